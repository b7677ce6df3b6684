"""Binance's published limits. Source: Binance API docs, USDⓈ-M futures, "General Info", limits,
and the weight on each endpoint's page.

Every request has a weight; an address may use 2400 in a minute. An order weighs nothing and
counts as one order of its account: 300 in ten seconds, 1200 in a minute. These are shared with
coin-margined futures. The figures are those of `exchangeInfo.rateLimits` in production.
"""  # noqa: D205 - the source is one sentence

from __future__ import annotations

from typing import Final

from providers.limits.quota import IP, Endpoint, Published, Quota, Scope, listed

ORDERS_10S: Final = "orders_10s"
ORDERS_1M: Final = "orders_1m"
_SECOND_MS: Final = 1000
_MINUTE_MS: Final = 60 * _SECOND_MS
_URGENT: Final = True

# Endpoint, weight with a symbol, weight without one, whether closes and look-ups need it.
_WEIGHTS: Final = (
    ("GET", "v1/time", 1, 1, _URGENT),
    ("GET", "v1/exchangeInfo", 1, 1, False),
    ("GET", "v1/premiumIndex", 1, 10, False),
    ("POST", "v1/leverage", 1, 1, False),
    ("POST", "v1/marginType", 1, 1, False),
    ("GET", "v1/symbolConfig", 5, 5, False),
    ("GET", "v1/accountConfig", 5, 5, False),
    ("GET", "v1/positionSide/dual", 30, 30, False),
    ("POST", "v1/positionSide/dual", 1, 1, False),
    ("GET", "v1/leverageBracket", 1, 1, False),
    ("GET", "v1/order", 1, 1, _URGENT),
    ("DELETE", "v1/order", 1, 1, _URGENT),
    ("GET", "v1/openOrder", 1, 1, _URGENT),
    ("GET", "v1/openOrders", 1, 40, False),
    ("GET", "v1/allOrders", 5, 5, _URGENT),
    ("DELETE", "v1/allOpenOrders", 1, 1, _URGENT),
    ("GET", "v1/userTrades", 5, 5, False),
    ("GET", "v1/algoOrder", 1, 1, _URGENT),
    ("DELETE", "v1/algoOrder", 1, 1, _URGENT),
    ("GET", "v3/positionRisk", 5, 5, _URGENT),
    ("GET", "v3/balance", 5, 5, False),
    ("GET", "v3/account", 5, 5, False),
    ("GET", "v1/commissionRate", 20, 20, False),
    ("GET", "v1/rateLimit/order", 1, 1, False),
)
_AN_ORDER: Final = ((ORDERS_10S, 1), (ORDERS_1M, 1))
_UNLISTED: Final = 40  # as much as the dearest endpoint

QUOTA: Final = Quota(
    venue="binance",
    limits=listed(
        Published(IP, 2400, _MINUTE_MS, Scope.ADDRESS),
        Published(ORDERS_10S, 300, 10 * _SECOND_MS),
        Published(ORDERS_1M, 1200, _MINUTE_MS),
    ),
    endpoints={
        ("POST", "/fapi/v1/order"): Endpoint(_AN_ORDER),
        # Take-profit and stop-loss of a position that is open already.
        ("POST", "/fapi/v1/algoOrder"): Endpoint(_AN_ORDER, urgent=True),
        **{
            (method, f"/fapi/{path}"): Endpoint(((IP, one),), ((IP, every),), urgent=urgent)
            for method, path, one, every, urgent in _WEIGHTS
        },
    },
    otherwise=Endpoint(((IP, _UNLISTED),)),
)
