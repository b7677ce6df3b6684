"""C34–C49: what the exchange refuses for certain, and what is refused before it is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from providers.conformance.cases import case, check, raised, same
from providers.conformance.venue import Doing, Fault, What
from providers.errors import ExchangeRefusal, RequestRefused
from providers.outcomes import OutcomeClass, PlacementKind
from providers.sizing import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.conformance.trader import Trader
    from providers.outcomes import Placement


@case("C34", "a wrong key, signature or permission is a refusal of class AUTH")
async def _(t: Trader) -> None:
    await _refused(t, OutcomeClass.AUTH)


@case("C35", "a wrong command is a refusal of class PARAMETER")
async def _(t: Trader) -> None:
    await _refused(t, OutcomeClass.PARAMETER)


@case("C36", "a broken trading rule is a refusal of class FILTER")
async def _(t: Trader) -> None:
    await _refused(t, OutcomeClass.FILTER)


@case("C37", "want of margin is a refusal of class MARGIN")
async def _(t: Trader) -> None:
    await _refused(t, OutcomeClass.MARGIN)


@case("C38", "a symbol that may not be traded is a refusal of class NOT_TRADABLE")
async def _(t: Trader) -> None:
    await _refused(t, OutcomeClass.NOT_TRADABLE)


@case("C39", "a reduce-only order that would not reduce is a refusal of class REDUCE_ONLY")
async def _(t: Trader) -> None:
    await _refused(t, OutcomeClass.REDUCE_ONLY)


@case("C40", "a missing position is a refusal of class NO_POSITION")
async def _(t: Trader) -> None:
    await _refused(t, OutcomeClass.NO_POSITION)


@case("C41", "an order that the account can't pay for is refused by the exchange")
async def _(t: Trader) -> None:
    instrument = await t.client.instrument(t.symbol)
    most = instrument.max_market_quantity or instrument.max_quantity or t.quantity * 10**6
    order = await t.prepare(t.request(leverage=1))
    await _really_refused(t, await t.client.place(replace(order, quantity=most)), OutcomeClass)


@case("C42", "an order off the lot, or below the least quantity, is refused by the exchange")
async def _(t: Trader) -> None:
    instrument = await t.client.instrument(t.symbol)
    order = await t.prepare()
    broken = (OutcomeClass.FILTER, OutcomeClass.PARAMETER)
    for quantity in (t.quantity + instrument.lot / 2, instrument.min_quantity / 2):
        wrong = replace(order, quantity=quantity, client_order_id=t.new_id())
        await _really_refused(t, await t.client.place(wrong), broken)


@case("C43", "a symbol that does not exist is refused, here and by the exchange")
async def _(t: Trader) -> None:
    order = await t.prepare()
    before = await t.arrived(Doing.PLACE)
    error = await raised(
        RequestRefused, t.prepare(replace(t.request(), symbol="NOSUCHUSDT")), "preparing"
    )
    same(error.code, "UNKNOWN_SYMBOL", "the code")
    same(await t.arrived(Doing.PLACE), before, "the orders sent")
    placement = await t.client.place(replace(order, symbol="NOSUCHUSDT"))
    same(placement.kind, PlacementKind.REJECTED, f"the answer ({placement.message})")


@case("C44", "a client order id that is too long is refused by the exchange")
async def _(t: Trader) -> None:
    order = await t.prepare()
    placement = await t.client.place(replace(order, client_order_id="x" * 60))
    await _really_refused(t, placement, (OutcomeClass.PARAMETER,))


@case("C45", "less than the least quantity is refused here, with the least in the message")
async def _(t: Trader) -> None:
    instrument = await t.client.instrument(t.symbol)
    before = await t.arrived(Doing.PLACE)
    wanted = t.request(quantity=instrument.min_quantity / 2)
    error = await raised(RequestRefused, t.prepare(wanted), "preparing too little")
    same(error.code, "BELOW_MIN_QUANTITY", "the code")
    check(plain(instrument.min_quantity) in str(error), f"the message is: {error}")
    same(await t.arrived(Doing.PLACE), before, "the orders sent")


@case("C46", "more than one order may carry is refused here, with the most in the message")
async def _(t: Trader) -> None:
    instrument = await t.client.instrument(t.symbol)
    most = instrument.max_market_quantity or instrument.max_quantity
    if most is None:
        return
    error = await raised(RequestRefused, t.prepare(t.request(quantity=most * 2)), "preparing")
    same(error.code, "ABOVE_MAX_QUANTITY", "the code")
    check(plain(most) in str(error), f"the message is: {error}")


@case("C47", "after a FILTER refusal the instruments are read anew, once")
async def _(t: Trader) -> None:
    _, placement = await t.answer_to(What.REFUSED, outcome_class=OutcomeClass.FILTER)
    before = await t.arrived(Doing.INSTRUMENTS)
    for _ in range(3):
        t.preparation.forget(t.symbol, placement.outcome_class)
        await t.prepare()
    read = await t.arrived(Doing.INSTRUMENTS) - before
    check(read > 0, "the instruments must be read anew")
    first = read
    t.preparation.forget(t.symbol, placement.outcome_class)
    await t.prepare()
    same(await t.arrived(Doing.INSTRUMENTS) - before, first, "the readings after the first")


@case("C48", "a wrong secret is a refusal of class AUTH, for orders and for everything else")
async def _(t: Trader) -> None:
    order = await t.prepare()
    stranger = t.stage.connect(wrong_secret=True)
    try:
        await stranger.instrument(t.symbol)
        placement = await stranger.place(order)
        kind = (placement.kind, placement.outcome_class)
        same(kind, (PlacementKind.REJECTED, OutcomeClass.AUTH), f"the answer ({placement.message})")
        error = await raised(ExchangeRefusal, stranger.positions(t.symbol), "reading positions")
        same(error.outcome_class, OutcomeClass.AUTH, "the class")
    finally:
        await stranger.aclose()
    same(await t.accepted(order.client_order_id), 0, "the orders accepted")


@case("C49", "what a refusal raises names the exchange, its code, its message and what to do")
async def _(t: Trader) -> None:
    fault = Fault(What.REFUSED, Doing.POSITIONS, outcome_class=OutcomeClass.AUTH, times=None)
    await t.stage.inject(fault)
    error = await raised(ExchangeRefusal, t.client.positions(t.symbol), "reading positions")
    text = str(error)
    check(error.code and error.code in text, f"the exchange's code is missing: {text}")
    check(t.venue.name in text, f"the exchange's name is missing: {text}")
    check(error.said and error.said in text, f"the exchange's message is missing: {text}")
    check(error.advice and error.advice in text, f"what to do is missing: {text}")


async def _refused(t: Trader, outcome_class: OutcomeClass) -> None:
    order, placement = await t.answer_to(What.REFUSED, outcome_class=outcome_class)
    await _really_refused(t, placement, (outcome_class,))
    same(await t.accepted(order.client_order_id), 0, "the orders accepted")
    same(await t.arrived(Doing.PLACE), 1, "the requests to place it")
    await t.trade()


async def _really_refused(t: Trader, placement: Placement, classes: Iterable[OutcomeClass]) -> None:
    same(placement.kind, PlacementKind.REJECTED, f"the answer ({placement.message})")
    check(placement.outcome_class in tuple(classes), f"the class is {placement.outcome_class}")
    check(placement.code, "a refusal must carry the exchange's code")
    check(placement.message, "a refusal must carry the exchange's message")
    same(list(await t.client.positions(t.symbol)), [], "the positions")
