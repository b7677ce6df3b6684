"""C109–C111: orders of the whole account can be listed afterwards, so that one too many is seen."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from providers.conformance.cases import case, check, raised, same
from providers.errors import ExchangeUnavailable
from providers.exchange import ListsRecentOrders
from providers.orders import OrderStatus

if TYPE_CHECKING:
    from datetime import datetime

    from providers.conformance.trader import Trader
    from providers.orders import OrderView

_EARLIER = timedelta(minutes=1)


@case("C109", "an order that is filled at once is among the recent orders, once and exact")
async def _(t: Trader) -> None:
    if not isinstance(t.client, ListsRecentOrders):
        return
    since = await t.client.server_time() - _EARLIER
    done = await t.trade()
    view = (await _listed(t, since, done.order.client_order_id))[done.order.client_order_id]
    seen = (view.exchange_order_id, view.symbol, view.side, view.status)
    same(seen, (done.view.exchange_order_id, t.symbol, done.true.side, OrderStatus.FILLED), "it")
    same((view.quantity, view.filled_quantity), (t.quantity, t.quantity), "the quantities")


@case("C110", "recent orders begin at the time that is asked for")
async def _(t: Trader) -> None:
    if not isinstance(t.client, ListsRecentOrders):
        return
    before = await t.trade()
    since = await t.client.server_time() + timedelta(milliseconds=5)

    async def later() -> bool | None:
        return await t.client.server_time() > since or None

    await t.until(later, "time to pass")
    after = await t.trade()
    found = await _listed(t, since, after.order.client_order_id)
    check(before.order.client_order_id not in found, "an older order is listed")


@case("C111", "recent orders that can't be read are an error, never a part of them")
async def _(t: Trader) -> None:
    if not isinstance(t.client, ListsRecentOrders):
        return
    await t.trade()
    since = await t.client.server_time() - _EARLIER
    await t.stage.go_away()
    await raised(ExchangeUnavailable, t.client.recent_orders(since), "an exchange that is away")


async def _listed(t: Trader, since: datetime, client_order_id: str) -> dict[str, OrderView]:
    """Ask for recent orders until one is among them; by client order id."""
    client = t.client
    assert isinstance(client, ListsRecentOrders)  # noqa: S101 - asked before; for the type checker

    async def look() -> dict[str, OrderView] | None:
        views = await client.recent_orders(since)
        same(len({one.exchange_order_id for one in views}), len(views), "the number of orders")
        found = {one.client_order_id: one for one in views}
        return found if client_order_id in found else None

    return await t.until(look, f"{client_order_id} among the recent orders")
