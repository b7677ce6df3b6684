"""What a list of orders or of executions says plainly of those that were asked for. Pure."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from providers.orders import OrderStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from providers.orders import Fill, OrderView


def plainly_shown(views: Sequence[OrderView], wanted: Mapping[str, str]) -> dict[str, OrderView]:
    """Pick the orders that were wanted and of which a list leaves no doubt.

    Left out are those shown twice under their id, those of another symbol, and rejected ones: a
    venue may keep a refused repetition beside the order that worked.

    Args:
        views: what the list shows.
        wanted: the symbol of each order, by its client order id.
    """
    times = Counter(view.client_order_id for view in views)
    return {
        view.client_order_id: view
        for view in views
        if wanted.get(view.client_order_id) == view.symbol
        and times[view.client_order_id] == 1
        and view.status is not OrderStatus.REJECTED
    }


def complete_fills(fills: Iterable[Fill], orders: Iterable[OrderView]) -> dict[str, Sequence[Fill]]:
    """Give the executions of each order, by its client order id, if they are all there.

    Args:
        fills: of these orders and of others, oldest first, each once.
        orders: as they were shown.
    """
    found: dict[str, list[Fill]] = {}
    for fill in fills:
        found.setdefault(fill.exchange_order_id, []).append(fill)
    return {
        order.client_order_id: own
        for order in orders
        if (own := found.get(order.exchange_order_id))
        and sum((fill.quantity for fill in own), Decimal(0)) == order.filled_quantity
        and all(fill.symbol == order.symbol for fill in own)
    }
