"""Bybit's published limits. Source: Bybit API docs, V5, "Rate Limit Rules", endpoints' own pages.

Every request counts against 600 in 5 s of its address; who exceeds that is shut out with HTTP 403
for ten minutes. Private endpoints count by themselves, for each account, in any one second. The
figures are the default ones: placing, amending and cancelling rise with the VIP level
(`RATE_LIMIT_OVERRIDES=bybit:order/create=20` for VIP 1).
"""

from __future__ import annotations

from typing import Final

from providers.limits.quota import IP, Endpoint, Published, Quota, Scope, listed

_SECOND_MS: Final = 1000
_URGENT: Final = True
_ORDERS: Final = ("order/create", "order/amend", "order/cancel", "order/cancel-all")

# Endpoint, requests a second and account, whether closes and look-ups need it.
_PRIVATE: Final = (
    ("POST", "order/create", 10, False),
    ("POST", "order/amend", 10, False),
    ("POST", "order/cancel", 10, _URGENT),
    ("POST", "order/cancel-all", 10, _URGENT),
    ("POST", "order/pre-check", 10, False),
    ("GET", "order/realtime", 50, _URGENT),
    ("GET", "order/history", 50, _URGENT),
    ("GET", "execution/list", 50, False),
    ("GET", "position/list", 50, _URGENT),
    ("GET", "position/symbol-info", 2, False),
    ("POST", "position/set-leverage", 10, False),
    ("POST", "position/switch-mode", 10, False),
    ("POST", "position/trading-stop", 10, False),
    ("GET", "account/info", 50, False),
    ("POST", "account/set-margin-mode", 5, False),
    ("GET", "account/wallet-balance", 50, False),
    ("GET", "account/fee-rate", 5, False),
)
_ADDRESS: Final = Published(IP, 600, 5 * _SECOND_MS, Scope.ADDRESS)

QUOTA: Final = Quota(
    venue="bybit",
    limits=listed(
        _ADDRESS,
        *(
            Published(name, most, _SECOND_MS, bursts=name not in _ORDERS)
            for _, name, most, _ in _PRIVATE
        ),
    ),
    endpoints={
        ("GET", "/v5/market/time"): Endpoint(((IP, 1),), urgent=True),
        **{
            (method, f"/v5/{name}"): Endpoint(((name, 1), (IP, 1)), urgent=urgent)
            for method, name, _, urgent in _PRIVATE
        },
    },
    otherwise=Endpoint(((IP, 1),)),
)
