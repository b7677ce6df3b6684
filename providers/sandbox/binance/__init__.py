"""Binance's side of the sandbox exchange: USDⓈ-M futures over REST, below `/fapi`."""
