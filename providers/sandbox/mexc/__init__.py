"""MEXC's side of the sandbox exchange: contract API v1, USDT perpetuals."""
