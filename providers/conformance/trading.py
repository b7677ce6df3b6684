"""C01–C19: orders that are accepted, filled, left resting, cut short or split."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from providers.conformance.cases import case, check, same
from providers.conformance.venue import Doing, Fault, What
from providers.orders import Action, OrderStatus, QuantityUnit, Side, TimeInForce
from providers.outcomes import PlacementKind
from providers.sizing import floor_to

if TYPE_CHECKING:
    from providers.conformance.trader import Trader

_BELOW = Decimal("0.98")
_ABOVE = Decimal("1.02")


@case("C01", "a market order is accepted and filled, once")
async def _(t: Trader) -> None:
    done = await t.trade()
    same(done.view.status, OrderStatus.FILLED, "the status")
    same(done.true.filled, t.quantity, "what was truly filled")


@case("C02", "the confirmed order tells quantity, average price and fee as they truly are")
async def _(t: Trader) -> None:
    done = await t.trade()
    view, true = done.view, done.true
    same((view.symbol, view.side), (true.symbol, true.side), "symbol and side")
    same((view.quantity, view.filled_quantity), (true.quantity, true.filled), "the quantities")
    same(view.average_price, true.value / true.filled, "the average price")
    fills = await t.client.fills(t.symbol, view)
    same(sum(fill.fee for fill in fills), true.fee, "the fee of the fills")
    check(view.fee is None or view.fee == true.fee, f"the fee is {view.fee}, truly {true.fee}")
    check(true.fee > 0, "the venue must charge fees, or this case finds out nothing")


@case("C03", "a limit order rests, is shown among the open ones, and can be cancelled")
async def _(t: Trader) -> None:
    order, placement = await t.place(t.limit(t.price * _BELOW))
    view = await t.resting(order.client_order_id)
    same(view.status, OrderStatus.NEW, "the status while it rests")
    same(view.exchange_order_id, placement.exchange_order_id, "the exchange's id")
    same(view.filled_quantity, Decimal(0), "what is filled")
    await t.client.cancel(t.symbol, order.client_order_id)
    view = await t.final(order.client_order_id)
    same((view.status, view.filled_quantity), (OrderStatus.CANCELED, Decimal(0)), "its end")
    same(list(await t.client.fills(t.symbol, view)), [], "the fills")
    same(list(await t.client.open_orders()), [], "the open orders")


@case("C04", "cancelling what is final already, or never was, is no error")
async def _(t: Trader) -> None:
    done = await t.trade()
    await t.client.cancel(t.symbol, done.order.client_order_id)
    await t.client.cancel(t.symbol, t.new_id())
    same((await t.final(done.order.client_order_id)).status, OrderStatus.FILLED, "the status")


@case("C05", "an IOC order that finds nobody ends without fills and does not rest")
async def _(t: Trader) -> None:
    await _ends_unfilled(t, TimeInForce.IOC, _BELOW)


@case("C06", "an IOC order that crosses is filled")
async def _(t: Trader) -> None:
    done = await t.trade(t.limit(t.price * _ABOVE, time_in_force=TimeInForce.IOC))
    same(done.view.status, OrderStatus.FILLED, "the status")


@case("C07", "a FOK order that finds nobody ends without fills and does not rest")
async def _(t: Trader) -> None:
    await _ends_unfilled(t, TimeInForce.FOK, _BELOW)


@case("C08", "a FOK order that crosses is filled whole")
async def _(t: Trader) -> None:
    done = await t.trade(t.limit(t.price * _ABOVE, time_in_force=TimeInForce.FOK))
    same((done.view.status, done.true.filled), (OrderStatus.FILLED, t.quantity), "the end")


@case("C09", "a post-only order that would take ends without fills")
async def _(t: Trader) -> None:
    await _ends_unfilled(t, TimeInForce.POST_ONLY, _ABOVE)


@case("C10", "a post-only order away from the market rests")
async def _(t: Trader) -> None:
    wanted = t.limit(t.price * _BELOW, time_in_force=TimeInForce.POST_ONLY)
    order, _ = await t.place(wanted)
    same((await t.resting(order.client_order_id)).status, OrderStatus.NEW, "the status")


@case("C11", "a limit order that crosses is filled at no worse than its price")
async def _(t: Trader) -> None:
    bought = await t.trade(t.limit(t.price * _ABOVE))
    paid = bought.view.average_price
    check(paid is not None and paid <= t.price * _ABOVE, f"paid {paid}")
    sold = await t.trade(t.limit(t.price * _BELOW, Action.CLOSE_LONG))
    got = sold.view.average_price
    check(got is not None and got >= t.price * _BELOW, f"got {got}")


@case("C12", "a market order that fills in part is told as cancelled, with its fills")
async def _(t: Trader) -> None:
    done = await t.spoiled(Fault(What.PARTIAL))
    filled = done.true.filled
    check(0 < filled < t.quantity, f"the venue filled {filled} of {t.quantity}")
    same((done.view.status, done.view.filled_quantity), (OrderStatus.CANCELED, filled), "the end")
    fills = await t.client.fills(t.symbol, done.view)
    same(sum(fill.quantity for fill in fills), filled, "the fills")
    (position,) = await t.client.positions(t.symbol)
    same(position.quantity, filled, "the position")


@case("C13", "fills in several executions add up, each told once, oldest first")
async def _(t: Trader) -> None:
    done = await t.spoiled(Fault(What.SPLIT))
    fills = await t.client.fills(t.symbol, done.view)
    same(len(fills), 3, "the number of fills")
    same(len({fill.fill_id for fill in fills}), 3, "the number of fill ids")
    same(sum(fill.quantity for fill in fills), t.quantity, "the sum of the fills")
    same(sum(fill.fee for fill in fills), done.true.fee, "the sum of the fees")
    times = [fill.executed_at for fill in fills]
    same(times, sorted(times), "the order of the fills")
    same({fill.exchange_order_id for fill in fills}, {done.view.exchange_order_id}, "their order")


@case("C14", "an order that is rejected after it was accepted is told as rejected")
async def _(t: Trader) -> None:
    done = await t.spoiled(Fault(What.REJECTED_LATER))
    same((done.view.status, done.view.filled_quantity), (OrderStatus.REJECTED, Decimal(0)), "it")


@case("C15", "a quantity in quote currency becomes margin times leverage by price, rounded down")
async def _(t: Trader) -> None:
    instrument = await t.client.instrument(t.symbol)
    margin = floor_to(t.quantity * t.price / 5, Decimal("0.01")) + 1
    wanted = t.request(quantity=margin, quantity_unit=QuantityUnit.QUOTE)
    mark = (await t.preparation.mark_price(t.symbol)).price
    done = await t.trade(wanted)
    same(done.true.filled, floor_to(margin * 5 / mark, instrument.lot), "the coins")
    check(done.true.filled > 0, "the quantity must be worth more than nothing")


@case("C16", "once the symbol is verified, an order is a single request")
async def _(t: Trader) -> None:
    await t.trade()
    before = await t.arrived(Doing.ANYTHING)
    await t.place()
    same(await t.arrived(Doing.ANYTHING) - before, 1, "the number of requests")


@case("C17", "quantity and price reach the exchange to the last digit")
async def _(t: Trader) -> None:
    instrument = await t.client.instrument(t.symbol)
    quantity = t.quantity + instrument.lot
    price = floor_to(t.price * _BELOW, instrument.tick) + instrument.tick
    order, _ = await t.place(t.limit(price + instrument.tick / 3, quantity=quantity))
    true = await t.true(order.client_order_id)
    same((true.quantity, true.price), (quantity, price), "quantity and price, truly")
    view = await t.resting(order.client_order_id)
    same(view.quantity, quantity, "the quantity as shown")


@case("C18", "a quantity between two lots is rounded down, a buyer's price too, a seller's up")
async def _(t: Trader) -> None:
    instrument = await t.client.instrument(t.symbol)
    lot, tick = instrument.lot, instrument.tick
    asked = t.quantity + lot * Decimal("0.9")
    low = floor_to(t.price * _BELOW, tick)
    high = floor_to(t.price * _ABOVE, tick)
    buy, _ = await t.place(t.limit(low + tick * Decimal("0.9"), quantity=asked))
    sell, _ = await t.place(t.limit(high + tick * Decimal("0.1"), Action.SHORT, quantity=asked))
    for order, price, side in ((buy, low, Side.BUY), (sell, high + tick, Side.SELL)):
        true = await t.true(order.client_order_id)
        same((true.side, true.quantity, true.price), (side, t.quantity, price), "the order, truly")


@case("C19", "an order that is rejected after it was accepted says why")
async def _(t: Trader) -> None:
    done = await t.spoiled(Fault(What.REJECTED_LATER))
    check(done.view.reject_reason, "the reason is missing")


async def _ends_unfilled(t: Trader, time_in_force: TimeInForce, factor: Decimal) -> None:
    """An order that can't be as asked for: refused at once, or accepted and ended; never traded."""
    order = await t.prepare(t.limit(t.price * factor, time_in_force=time_in_force))
    placement = await t.client.place(order)
    if placement.kind is PlacementKind.ACCEPTED:
        view = await t.final(order.client_order_id)
        check(view.status in (OrderStatus.CANCELED, OrderStatus.REJECTED), f"it is {view.status}")
        same(view.filled_quantity, Decimal(0), "what is filled")
    else:
        same(placement.kind, PlacementKind.REJECTED, f"the answer ({placement.message})")
    same(list(await t.client.open_orders(t.symbol)), [], "the open orders")
    same(list(await t.client.positions(t.symbol)), [], "the positions")
