"""C112–C116: many orders, or the fills of many, are read with one request; nothing is guessed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from providers.conformance.cases import case, check, raised, same
from providers.conformance.venue import Fault, What
from providers.errors import ExchangeUnavailable
from providers.exchange import ReadsMany

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from providers.conformance.trader import Trade, Trader
    from providers.orders import Fill, OrderView

_EARLIER = timedelta(minutes=1)


@case("C112", "orders found in a list are as they are when they are looked up alone")
async def _(t: Trader) -> None:
    if not isinstance(t.client, ReadsMany):
        return
    since = await t.client.server_time() - _EARLIER
    done = [await t.trade() for _ in range(3)]
    resting, _placement = await t.place(t.limit(t.price / 2))
    await t.resting(resting.client_order_id)
    names = [one.order.client_order_id for one in done]
    found = await _listed(t, since, names, and_ask_for=[resting.client_order_id])
    check(set(found) <= {*names, resting.client_order_id}, "others are among them")
    for name in found:
        alone = await t.client.find_order(t.symbol, name)
        check(alone is not None, f"{name} is not found alone")
        if alone is not None:
            same(_known(found[name]), _known(alone), f"{name} in the list")


@case("C113", "an order that is not there, or is another symbol's, is not found in a list")
async def _(t: Trader) -> None:
    if not isinstance(t.client, ReadsMany):
        return
    since = await t.client.server_time() - _EARLIER
    done = await t.trade()
    name = done.order.client_order_id
    await _listed(t, since, [name])
    same(await t.client.find_orders({t.new_id(): t.symbol}, since), {}, "what is not there")
    same(await t.client.find_orders({name: "NOSUCHUSDT"}, since), {}, "another symbol's order")


@case("C114", "a rejected order is left to be looked up alone")
async def _(t: Trader) -> None:
    if not isinstance(t.client, ReadsMany):
        return
    since = await t.client.server_time() - _EARLIER
    rejected = await t.spoiled(Fault(What.REJECTED_LATER))
    done = await t.trade()
    names = [rejected.order.client_order_id, done.order.client_order_id]
    found = await _listed(t, since, names[1:], and_ask_for=names[:1])
    check(names[0] not in found, "a rejected order is found in the list")


@case("C115", "fills read for many orders are those of each alone, and add up")
async def _(t: Trader) -> None:
    if not isinstance(t.client, ReadsMany):
        return
    since = await t.client.server_time() - _EARLIER
    done = [await t.trade(), await t.spoiled(Fault(What.SPLIT)), await t.trade()]
    found = await _filled(t, since, done)
    for one in done:
        name = one.order.client_order_id
        same(list(found[name]), list(await t.client.fills(t.symbol, one.view)), f"fills of {name}")


@case("C116", "a list that can't be read is an error")
async def _(t: Trader) -> None:
    if not isinstance(t.client, ReadsMany):
        return
    done = [await t.trade(), await t.trade()]
    since = await t.client.server_time() - _EARLIER
    await t.stage.go_away()
    wanted = {one.order.client_order_id: t.symbol for one in done}
    await raised(ExchangeUnavailable, t.client.find_orders(wanted, since), "an exchange away")
    views = [one.view for one in done]
    await raised(ExchangeUnavailable, t.client.fills_of_many(views, since), "an exchange away")


def _known(view: OrderView) -> tuple[object, ...]:
    """What any view of an order tells; not every one knows the fee."""
    ids = (view.client_order_id, view.exchange_order_id, view.symbol, view.side, view.status)
    return (*ids, view.quantity, view.filled_quantity, view.average_price)


async def _listed(
    t: Trader, since: datetime, names: Sequence[str], *, and_ask_for: Sequence[str] = ()
) -> Mapping[str, OrderView]:
    """Ask for orders until all are shown; for others too, whether they are shown or not."""
    client = t.client
    assert isinstance(client, ReadsMany)  # noqa: S101 - asked before; for the type checker
    wanted = dict.fromkeys([*names, *and_ask_for], t.symbol)

    async def look() -> Mapping[str, OrderView] | None:
        found = await client.find_orders(wanted, since)
        return found if all(name in found for name in names) else None

    return await t.until(look, f"{', '.join(names)} in a list")


async def _filled(
    t: Trader, since: datetime, done: Sequence[Trade]
) -> Mapping[str, Sequence[Fill]]:
    """Ask for the fills of orders until all are there."""
    client = t.client
    assert isinstance(client, ReadsMany)  # noqa: S101 - asked before; for the type checker

    async def look() -> Mapping[str, Sequence[Fill]] | None:
        found = await client.fills_of_many([one.view for one in done], since)
        return found if len(found) == len(done) else None

    return await t.until(look, "the fills of all")
