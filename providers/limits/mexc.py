"""MEXC's published limits. Source: MEXC futures API docs, the "rate limit" line of each endpoint.

Each endpoint counts by itself, so many requests in two seconds. Whether that is by key, account or
address MEXC does not say: private ones are counted by account here, public ones by address. No
limit of an address over all endpoints is published.
"""

from __future__ import annotations

from typing import Final

from providers.limits.quota import Endpoint, Published, Quota, Scope, listed

_WINDOW_MS: Final = 2000
_URGENT: Final = True
_ORDERS: Final = ("order/create", "order/batch_cancel_with_external")
_OTHERWISE: Final = "other"

# Endpoint, requests, milliseconds, whether closes and look-ups need it.
_PUBLIC: Final = (
    ("GET", "contract/ping", 20, _WINDOW_MS, _URGENT),
    ("GET", "contract/detail", 10, _WINDOW_MS, False),
    ("GET", "contract/ticker", 20, _WINDOW_MS, False),
    ("GET", "contract/fair_price", 20, _WINDOW_MS, False),
)
_PRIVATE: Final = (
    ("POST", "order/create", 4, _WINDOW_MS, False),
    ("POST", "order/batch_cancel_with_external", 20, _WINDOW_MS, _URGENT),
    ("GET", "order/external", 20, _WINDOW_MS, _URGENT),
    ("GET", "order/get", 20, _WINDOW_MS, _URGENT),
    ("GET", "order/list/open_orders", 20, _WINDOW_MS, _URGENT),
    ("GET", "order/list/history_orders", 20, _WINDOW_MS, _URGENT),
    ("GET", "order/deal_details", 20, _WINDOW_MS, False),
    ("GET", "position/open_positions", 20, _WINDOW_MS, _URGENT),
    ("GET", "position/position_mode", 20, _WINDOW_MS, _URGENT),
    ("GET", "position/leverage", 20, _WINDOW_MS, False),
    ("POST", "position/change_leverage", 10, 10_000, False),
    ("GET", "account/assets", 20, _WINDOW_MS, False),
)

QUOTA: Final = Quota(
    venue="mexc",
    limits=listed(
        *(
            Published(name, most, window, Scope.ADDRESS, bursts=True)
            for _, name, most, window, _ in _PUBLIC
        ),
        *(
            Published(name, most, window, bursts=name not in _ORDERS)
            for _, name, most, window, _ in _PRIVATE
        ),
        Published(_OTHERWISE, 4, _WINDOW_MS),  # the strictest figure there is
    ),
    endpoints={
        **{
            (method, f"/api/v1/{name}"): Endpoint(((name, 1),), urgent=urgent)
            for method, name, _, _, urgent in _PUBLIC
        },
        **{
            (method, f"/api/v1/private/{name}"): Endpoint(((name, 1),), urgent=urgent)
            for method, name, _, _, urgent in _PRIVATE
        },
    },
    otherwise=Endpoint(((_OTHERWISE, 1),)),
)
