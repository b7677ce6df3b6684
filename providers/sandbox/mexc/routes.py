"""Which path is which endpoint, and how many requests each takes.

Limits after MEXC's public futures documentation: so many requests in so many milliseconds, counted
by account (by address for public endpoints; MEXC does not say by what it counts).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from providers.sandbox.limits import Cap
from providers.sandbox.mexc import (
    accounts,
    charts,
    orders,
    plans,
    positions,
    public,
    queries,
    stops,
)
from providers.sandbox.mexc.desk import Desk
from providers.sandbox.wire import Call

Handler = Callable[[Desk, Call, int], Any]

PREFIX: Final = "/api/v1/"
_PRIVATE: Final = "private/"

_USUAL: Final = Cap(20, 2000)
_ORDERS: Final = Cap(4, 2000)
_RARE: Final = Cap(5, 2000)


class Route(NamedTuple):
    """One endpoint.

    Attributes:
        name: its path without prefix, `private/` and path parameters.
        parameters: names of the path parameters that follow.
    """

    name: str
    parameters: tuple[str, ...]
    private: bool
    handler: Handler
    cap: Cap


_TABLE: Final[tuple[tuple[str, str, Handler, Cap], ...]] = (
    ("GET", "contract/ping", public.ping, _USUAL),
    ("GET", "contract/detail", public.detail, Cap(10, 2000)),
    ("GET", "contract/detail/country", public.detail, Cap(10, 2000)),
    ("GET", "contract/ticker", public.ticker, _USUAL),
    ("GET", "contract/fair_price/{symbol}", public.fair_price, _USUAL),
    ("GET", "contract/index_price/{symbol}", public.index_price, _USUAL),
    ("GET", "contract/support_currencies", public.currencies, _USUAL),
    ("GET", "contract/depth/{symbol}", charts.depth, _USUAL),
    ("GET", "contract/deals/{symbol}", charts.deals, _USUAL),
    ("GET", "contract/kline/{symbol}", charts.kline, _USUAL),
    ("GET", "contract/kline/index_price/{symbol}", charts.mark_kline, _USUAL),
    ("GET", "contract/kline/fair_price/{symbol}", charts.mark_kline, _USUAL),
    ("GET", "contract/funding_rate/{symbol}", charts.funding_rate, _USUAL),
    ("GET", "contract/funding_rate/history", charts.funding_history, _USUAL),
    ("GET", "private/position/funding_records", positions.funding_records, _USUAL),
    ("GET", "private/position/open_positions", positions.open_positions, _USUAL),
    ("GET", "private/position/list/history_positions", positions.history, _USUAL),
    ("GET", "private/position/leverage", positions.leverage, _USUAL),
    ("POST", "private/position/change_leverage", positions.change_leverage, Cap(10, 10_000)),
    ("POST", "private/position/change_margin", positions.change_margin, _USUAL),
    ("GET", "private/position/position_mode", positions.position_mode, _USUAL),
    ("POST", "private/position/change_position_mode", positions.change_position_mode, _USUAL),
    ("POST", "private/position/close_all", orders.close_all, _ORDERS),
    ("POST", "private/position/reverse", orders.reverse, _ORDERS),
    ("POST", "private/order/create", orders.create, _ORDERS),
    ("POST", "private/order/submit", orders.submit, _USUAL),
    ("POST", "private/order/submit_batch", orders.submit_batch, _ORDERS),
    ("POST", "private/order/change_limit_order", orders.change, _ORDERS),
    ("POST", "private/order/cancel", orders.cancel, _USUAL),
    ("POST", "private/order/cancel_with_external", orders.cancel_external, _USUAL),
    ("POST", "private/order/batch_cancel_with_external", orders.cancel_external, _USUAL),
    ("POST", "private/order/cancel_all", orders.cancel_all, _USUAL),
    ("GET", "private/order/external/{symbol}/{externalOid}", queries.by_external, _USUAL),
    ("GET", "private/order/get/{orderId}", queries.by_id, _USUAL),
    ("GET", "private/order/batch_query", queries.many, _RARE),
    ("POST", "private/order/batch_query_with_external", queries.many_external, _USUAL),
    ("GET", "private/order/list/open_orders", queries.open_orders, _USUAL),
    ("GET", "private/order/list/open_orders/{symbol}", queries.open_orders, _USUAL),
    ("GET", "private/order/list/history_orders", queries.history, _USUAL),
    ("GET", "private/order/deal_details/{orderId}", queries.deal_details, _USUAL),
    ("GET", "private/order/list/order_deals", queries.deals, _USUAL),
    ("GET", "private/order/list/order_deals/v3", queries.deals, _USUAL),
    ("GET", "private/account/assets", accounts.assets, _USUAL),
    ("GET", "private/account/asset/{currency}", accounts.asset, _USUAL),
    ("GET", "private/account/tiered_fee_rate/v2", accounts.fee_rate, _USUAL),
    ("POST", "private/planorder/place", plans.place, _ORDERS),
    ("POST", "private/planorder/place/v2", plans.place, _ORDERS),
    ("GET", "private/planorder/list/orders", plans.listed, _USUAL),
    ("POST", "private/planorder/cancel", plans.cancel, _USUAL),
    ("POST", "private/planorder/cancel_all", plans.cancel_all, _USUAL),
    ("POST", "private/stoporder/place", stops.place, _RARE),
    ("GET", "private/stoporder/list/orders", stops.listed, _USUAL),
    ("GET", "private/stoporder/open_orders", stops.open_ones, _USUAL),
    ("POST", "private/stoporder/cancel", stops.cancel, _USUAL),
    ("POST", "private/stoporder/cancel_all", stops.cancel_all, _USUAL),
    ("POST", "private/stoporder/change_price", stops.change, _USUAL),
    ("POST", "private/stoporder/change_plan_price", stops.change, _USUAL),
)


def _routes() -> dict[tuple[str, str, int], Route]:
    found: dict[tuple[str, str, int], Route] = {}
    for method, template, handler, cap in _TABLE:
        head, *braced = template.split("/{")
        parameters = tuple(name.removesuffix("}") for name in braced)
        name = head.removeprefix(_PRIVATE)
        route = Route(name, parameters, head.startswith(_PRIVATE), handler, cap)
        found[method, PREFIX + head, len(parameters)] = route
    return found


ROUTES: Final = _routes()
"""Routes by method, path up to its parameters, and their number."""

_MOST_PARAMETERS: Final = max(count for _, _, count in ROUTES)


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a path, and its path parameters."""
    for count in range(_MOST_PARAMETERS + 1):
        head, *values = path.rsplit("/", count)
        route = ROUTES.get((method, head, count))
        if route is not None and len(values) == count and all(values):
            return route, dict(zip(route.parameters, map(unquote, values), strict=True))
    return None
