"""Request limits: what exchanges publish, how it is kept to, and the seam to whoever keeps count.

`quota` holds the words, `bybit`, `binance` and `mexc` the published figures as tables, `pacing`
turns a figure into a rule that holds on the way, `windows` is that rule as a pure model, `limiter`
the protocol the clients speak to and the ways to keep count without a database. The one that all
replicas share is `storage.rate_limits`.
"""
