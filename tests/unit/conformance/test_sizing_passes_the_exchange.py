"""Whatever order maths lets through, the exchange's own filters take: all three, every symbol.

The rules go the whole way: the sandbox lists them, the client reads them, sizing rounds to them,
and the sandbox's check, which shares no code with sizing, judges the result.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from hypothesis import event, given, settings
from hypothesis import strategies as st

from providers.conformance.builtin import VENUES
from providers.errors import RequestRefused
from providers.orders import (
    Action,
    Instrument,
    OrderType,
    PositionMode,
    QuantityUnit,
    Side,
    TradeRequest,
)
from providers.sandbox import checks, values
from providers.sandbox.sandbox import Options, Sandbox
from providers.sizing import Sized, size_close, size_opening

if TYPE_CHECKING:
    from providers.conformance.sandboxed import SandboxVenue
    from providers.sandbox.instruments import Instrument as Theirs


@dataclass(frozen=True)
class Listed:
    """A symbol as our client reads it, and as the exchange judges by it."""

    venue: str
    ours: Instrument
    theirs: Theirs
    trims_closes: bool


async def _read(venue: SandboxVenue) -> list[Listed]:
    engine = Sandbox(Options()).facade(venue.name).engine
    async with venue.stage(PositionMode.ONE_WAY) as stage:
        client = stage.connect()
        found = []
        for symbol, theirs in engine.market.instruments.items():
            try:
                ours = await client.instrument(symbol)
            except RequestRefused:  # not listed as a perpetual that trades
                continue
            found.append(Listed(venue.name, ours, theirs, engine.rules.trims_closes))
        await client.aclose()
        return found


@cache
def listed() -> list[Listed]:
    async def everywhere() -> list[Listed]:
        return [one for venue in VENUES for one in await _read(venue)]

    return asyncio.run(everywhere())


@st.composite
def near_steps(draw: st.DrawFn, step: Decimal, least: Decimal, most: Decimal) -> Decimal:
    """A number on a step or between two, from about the least to about the most."""
    low, high = int(least / step), int(most / step)
    steps = draw(
        st.integers(max(low - 2, 0), low + 20)
        | st.integers(low, max(low, min(high, low + 5000)))
        | st.integers(max(high - 20, 0), high + 2)
    )
    return step * steps + step * draw(
        st.sampled_from(["0", "0.000001", "0.4", "0.999999"]).map(Decimal)
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Listed, TradeRequest, Side, Decimal]:
    one = draw(st.sampled_from(listed()))
    last = one.theirs.start_price
    unit = draw(st.sampled_from(QuantityUnit))
    kind = draw(st.sampled_from(OrderType))
    market = kind is OrderType.MARKET
    most = one.theirs.max_market_qty if market else one.theirs.max_qty
    quantity = draw(near_steps(one.theirs.step, one.theirs.min_qty, most))
    side = draw(st.sampled_from(Side))
    return (
        one,
        TradeRequest(
            one.ours.symbol,
            Action.LONG if side is Side.BUY else Action.SHORT,
            quantity if unit is QuantityUnit.BASE else quantity * last / 10,
            quantity_unit=unit,
            order_type=kind,
            price=draw(near_steps(one.theirs.tick, last * Decimal("0.97"), last * Decimal("1.03")))
            if kind is OrderType.LIMIT
            else None,
        ),
        side,
        last,
    )


def as_asked(wanted: TradeRequest, sized: Sized, side: Side, *, reduces: bool) -> values.NewOrder:
    return values.NewOrder(
        symbol=wanted.symbol,
        side=values.Side[side.name],
        kind=values.OrderKind[wanted.order_type.name],
        qty=sized.quantity,
        price=sized.price,
        reduce_only=reduces,
    )


def judged(one: Listed, new: values.NewOrder, *, size: Decimal, last: Decimal) -> checks.Accepted:
    return checks.check_order(
        new,
        one.theirs,
        mode=values.PositionMode.ONE_WAY,
        size=size,
        last=last,
        trims_closes=one.trims_closes,
    )


@settings(max_examples=400)
@given(cases())
def test_an_opening_order_is_taken_by_the_exchange_or_refused_here(
    drawn: tuple[Listed, TradeRequest, Side, Decimal],
) -> None:
    one, wanted, side, last = drawn
    try:
        sized = size_opening(wanted, one.ours, side, leverage=Decimal(10), mark=last)
    except RequestRefused as error:
        event(f"{one.venue}: {error.code}")
        return
    event(f"{one.venue}: sized")
    new = as_asked(wanted, sized, side, reduces=False)
    try:
        accepted = judged(one, new, size=Decimal(0), last=last)
    except values.Refused as refused:
        # MEXC has a least value of an order and lists it nowhere, so only it can tell.
        if one.venue != "mexc" or refused.reason is not values.Refusal.NOTIONAL_BELOW_MIN:
            raise
        return
    assert accepted.qty == sized.quantity


@settings(max_examples=400)
@given(cases(), st.integers(1, 10**6))
def test_a_close_is_taken_by_the_exchange_or_refused_here(
    drawn: tuple[Listed, TradeRequest, Side, Decimal], lots: int
) -> None:
    one, wanted, side, last = drawn
    held = one.theirs.step * lots
    try:
        sized = size_close(wanted, one.ours, side, held, leverage=Decimal(10), mark=last)
    except RequestRefused as error:
        event(f"{one.venue}: {error.code}")
        return
    event(f"{one.venue}: sized")
    size = held if side is Side.SELL else -held
    accepted = judged(one, as_asked(wanted, sized, side, reduces=True), size=size, last=last)
    assert accepted.qty == sized.quantity, "nothing was trimmed, because no more was asked for"


def test_every_exchange_lists_symbols_that_trade_and_some_that_do_not() -> None:
    for venue in VENUES:
        rules = [one.ours for one in listed() if one.venue == venue.name]
        assert len([one for one in rules if one.tradable]) > 5
