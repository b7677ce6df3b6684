"""C50–C68: no usable answer. The order may exist; nobody may claim to know, or send it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.conformance.cases import case, check, raised, same
from providers.conformance.venue import Doing, Fault, What
from providers.errors import ExchangeUnavailable
from providers.orders import OrderStatus, TimeInForce
from providers.outcomes import OutcomeClass, PlacementKind

if TYPE_CHECKING:
    from providers.conformance.trader import Trader


@case("C50", "the connection is cut before the order is accepted: UNKNOWN")
async def _(t: Trader) -> None:
    await _unknown(t, What.CUT, executed=False)


@case("C51", "the connection is cut after the order is accepted: UNKNOWN, and it is found")
async def _(t: Trader) -> None:
    await _unknown(t, What.CUT, executed=True)


@case("C52", "the answer comes too late: UNKNOWN, and the order is found", patient=True)
async def _(t: Trader) -> None:
    await _unknown(t, What.LATE_REPLY, executed=True)


@case("C53", "a 5xx with a web page before the order is accepted: UNKNOWN")
async def _(t: Trader) -> None:
    await _unknown(t, What.SERVER_ERROR, executed=False)


@case("C54", "a 5xx with a web page after the order is accepted: UNKNOWN, and it is found")
async def _(t: Trader) -> None:
    await _unknown(t, What.SERVER_ERROR, executed=True)


@case("C55", "an answer that is no JSON, before the order is accepted: UNKNOWN")
async def _(t: Trader) -> None:
    await _unknown(t, What.NOT_JSON, executed=False)


@case("C56", "an answer that is no JSON, after the order is accepted: UNKNOWN, and it is found")
async def _(t: Trader) -> None:
    await _unknown(t, What.NOT_JSON, executed=True)


@case("C57", "a code that no table lists, and no order: UNKNOWN, never a refusal")
async def _(t: Trader) -> None:
    await _unknown(t, What.UNKNOWN_CODE, executed=False)


@case("C58", "a code that no table lists, and an order: UNKNOWN, and it is found")
async def _(t: Trader) -> None:
    await _unknown(t, What.UNKNOWN_CODE, executed=True)


@case("C59", "the exchange's own 'outcome unknown', and no order: UNKNOWN")
async def _(t: Trader) -> None:
    await _unknown(t, What.MAYBE, executed=False)


@case("C60", "the exchange's own 'outcome unknown', and an order: UNKNOWN, and it is found")
async def _(t: Trader) -> None:
    await _unknown(t, What.MAYBE, executed=True)


@case(
    "C61",
    "an order that is accepted after the client gave up is not found, then found",
    patient=True,
)
async def _(t: Trader) -> None:
    order, placement = await t.answer_to(What.LATE_PROCESSING)
    same(placement.kind, PlacementKind.UNKNOWN, f"the answer ({placement.message})")
    same(await t.client.find_order(t.symbol, order.client_order_id), None, "the first look-up")
    await t.final(order.client_order_id)
    same(await t.accepted(order.client_order_id), 1, "the orders accepted")


@case("C62", "an order that look-ups do not show yet is not found, then is", patient=True)
async def _(t: Trader) -> None:
    order, placement = await t.answer_to(What.HIDDEN)
    same(placement.kind, PlacementKind.ACCEPTED, f"the answer ({placement.message})")
    same(await t.client.find_order(t.symbol, order.client_order_id), None, "the first look-up")
    same((await t.final(order.client_order_id)).status, OrderStatus.FILLED, "the status")


@case("C63", "an id that was never used is not found, which is no error")
async def _(t: Trader) -> None:
    await t.trade()
    same(await t.client.find_order(t.symbol, t.new_id()), None, "the look-up")


@case("C64", "an id used twice is told as a duplicate, or leads to the first order; one is placed")
async def _(t: Trader) -> None:
    wanted = t.limit(t.price * 98 / 100, time_in_force=TimeInForce.GTC)
    order, first = await t.place(wanted)
    await t.resting(order.client_order_id)
    again = await t.client.place(order)
    if again.kind is PlacementKind.ACCEPTED:
        same(again.exchange_order_id, first.exchange_order_id, "the exchange's id")
    else:
        same(again.kind, PlacementKind.DUPLICATE, f"the answer ({again.message})")
        same(again.outcome_class, OutcomeClass.DUPLICATE_ID, "the class")
    found = await t.client.find_order(t.symbol, order.client_order_id)
    check(found is not None, "the first order must be found")
    same(found and found.exchange_order_id, first.exchange_order_id, "the order found")
    same(await t.accepted(order.client_order_id), 1, "the orders accepted")


@case("C65", "a look-up that fails is raised, never told as 'not found'")
async def _(t: Trader) -> None:
    done = await t.trade()
    await t.stage.inject(Fault(What.SERVER_ERROR, Doing.LOOK_UP, times=None))
    look = t.client.find_order(t.symbol, done.order.client_order_id)
    error = await raised(ExchangeUnavailable, look, "the look-up")
    same(error.outcome_class, OutcomeClass.UNKNOWN, "the class")


@case("C66", "positions that can't be read are raised, never told as flat")
async def _(t: Trader) -> None:
    await t.trade()
    for what in (What.SERVER_ERROR, What.NOT_JSON, What.CUT):
        await t.stage.inject(Fault(what, Doing.POSITIONS, times=20))
        await raised(ExchangeUnavailable, t.client.positions(t.symbol), f"reading, {what}")


@case("C67", "an exchange that is not there was sent nothing, and is used again once it is back")
async def _(t: Trader) -> None:
    order = await t.prepare()
    await t.stage.go_away()
    look = t.client.find_order(t.symbol, order.client_order_id)
    await raised(ExchangeUnavailable, look, "the look-up")  # and no connection is left open
    placement = await t.client.place(order)
    kind = (placement.kind, placement.outcome_class)
    same(kind, (PlacementKind.DEFERRED, OutcomeClass.NOT_SENT), f"it ({placement.message})")
    await t.stage.come_back()
    same((await t.client.place(order)).kind, PlacementKind.ACCEPTED, "the next answer")
    await t.final(order.client_order_id)


@case("C68", "reading is tried again where that may help")
async def _(t: Trader) -> None:
    await t.trade()
    await t.stage.inject(Fault(What.SERVER_ERROR, Doing.POSITIONS))
    same(len(await t.client.positions(t.symbol)), 1, "the number of positions")


async def _unknown(t: Trader, what: What, *, executed: bool) -> None:
    """The answer must be UNKNOWN, after one request; look-ups must then tell the truth."""
    order, placement = await t.answer_to(what, executed=executed)
    kind = (placement.kind, placement.outcome_class)
    same(kind, (PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN), f"the answer ({placement.message})")
    check(placement.signed_at and placement.sent_at, "it must tell when it was signed and sent")
    check(placement.code, "it must tell what came back, or did not")
    same(await t.accepted(order.client_order_id), int(executed), "the orders accepted")
    if executed:
        same((await t.final(order.client_order_id)).status, OrderStatus.FILLED, "the status")
    else:
        same(await t.client.find_order(t.symbol, order.client_order_id), None, "the look-up")
    check(await t.arrived(Doing.PLACE) <= 1, "it must have been sent once")
