"""Bybit's side of the sandbox exchange: V5, category linear."""
