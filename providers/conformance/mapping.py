"""C20–C33: LONG, SHORT, CLOSE_LONG, CLOSE_SHORT and CLOSE, in one-way and in hedge mode."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from providers.conformance.cases import case, check, raised, same
from providers.errors import NothingToClose, RequestRefused
from providers.orders import Action, PositionMode, PositionSide, Side
from providers.outcomes import OutcomeClass, PlacementKind

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.conformance.trader import Trade, Trader

_ONE_WAY = (PositionMode.ONE_WAY,)
_HEDGE = (PositionMode.HEDGE,)
_LONG, _SHORT = PositionSide.LONG, PositionSide.SHORT


@case("C20", "LONG buys, for the long leg in hedge mode, and may enlarge a position")
async def _(t: Trader) -> None:
    _mapped(t, await t.trade(t.request(Action.LONG)), Side.BUY, _LONG, reduces=False)
    same(await _held(t), {_LONG: t.quantity}, "the position")


@case("C21", "SHORT sells, for the short leg in hedge mode, and may enlarge a position")
async def _(t: Trader) -> None:
    _mapped(t, await t.trade(t.request(Action.SHORT)), Side.SELL, _SHORT, reduces=False)
    same(await _held(t), {_SHORT: t.quantity}, "the position")


@case("C22", "CLOSE_LONG sells and only reduces the long")
async def _(t: Trader) -> None:
    await t.trade(t.request(Action.LONG))
    _mapped(t, await t.trade(t.request(Action.CLOSE_LONG)), Side.SELL, _LONG, reduces=True)
    same(await _held(t), {}, "the position")


@case("C23", "CLOSE_SHORT buys and only reduces the short")
async def _(t: Trader) -> None:
    await t.trade(t.request(Action.SHORT))
    _mapped(t, await t.trade(t.request(Action.CLOSE_SHORT)), Side.BUY, _SHORT, reduces=True)
    same(await _held(t), {}, "the position")


@case("C24", "CLOSE of a long sells, whatever size was asked for above it")
async def _(t: Trader) -> None:
    await t.trade(t.request(Action.LONG))
    closed = await t.trade(t.request(Action.CLOSE, t.quantity * 1000))
    _mapped(t, closed, Side.SELL, _LONG, reduces=True)
    same((closed.order.quantity, closed.true.filled), (t.quantity, t.quantity), "what was closed")
    same(await _held(t), {}, "the position")


@case("C25", "CLOSE of a short buys, whatever size was asked for above it")
async def _(t: Trader) -> None:
    await t.trade(t.request(Action.SHORT))
    closed = await t.trade(t.request(Action.CLOSE, t.quantity * 1000))
    _mapped(t, closed, Side.BUY, _SHORT, reduces=True)
    same((closed.order.quantity, closed.true.filled), (t.quantity, t.quantity), "what was closed")
    same(await _held(t), {}, "the position")


@case("C26", "a close of less than the position leaves the rest open")
async def _(t: Trader) -> None:
    await t.trade(t.request(Action.SHORT, t.quantity * 3))
    await t.trade(t.request(Action.CLOSE_SHORT, t.quantity))
    same(await _held(t), {_SHORT: t.quantity * 2}, "the position")


@case("C27", "a close without a position on its side is refused before anything is sent")
async def _(t: Trader) -> None:
    closes = (Action.CLOSE, Action.CLOSE_LONG, Action.CLOSE_SHORT)
    for action in closes:
        await raised(NothingToClose, t.prepare(t.request(action)), f"{action} of nothing")
    await t.trade(t.request(Action.LONG))
    wrong = t.prepare(t.request(Action.CLOSE_SHORT))
    await raised(NothingToClose, wrong, "CLOSE_SHORT of a long")


@case("C28", "a close that comes too late opens nothing: it is refused, or ends without fills")
async def _(t: Trader) -> None:
    await t.trade(t.request(Action.LONG))
    late = await t.prepare(t.request(Action.CLOSE_LONG))
    await t.trade(t.request(Action.CLOSE_LONG))
    placement = await t.client.place(late)
    if placement.kind is PlacementKind.ACCEPTED:
        same((await t.final(late.client_order_id)).filled_quantity, 0, "what was traded")
    else:
        same(placement.kind, PlacementKind.REJECTED, f"the answer ({placement.message})")
        wanted = (OutcomeClass.REDUCE_ONLY, OutcomeClass.NO_POSITION)
        check(placement.outcome_class in wanted, f"the class is {placement.outcome_class}")
    same(await _held(t), {}, "the position")


@case("C29", "one-way mode: a SHORT while long nets against it", _ONE_WAY)
async def _(t: Trader) -> None:
    await t.trade(t.request(Action.LONG, t.quantity * 2))
    await t.trade(t.request(Action.SHORT, t.quantity))
    same(await _held(t), {_LONG: t.quantity}, "the position")


@case("C30", "hedge mode: long and short are held side by side", _HEDGE)
async def _(t: Trader) -> None:
    await _both_legs(t)
    same(await _held(t), {_LONG: t.quantity * 2, _SHORT: t.quantity}, "the positions")


@case("C31", "hedge mode: CLOSE while both legs are open is refused as ambiguous", _HEDGE)
async def _(t: Trader) -> None:
    await _both_legs(t)
    error = await raised(RequestRefused, t.prepare(t.request(Action.CLOSE)), "CLOSE of both")
    same(error.code, "AMBIGUOUS_CLOSE", "the code")


@case("C32", "hedge mode: CLOSE_LONG and CLOSE_SHORT leave the other leg alone", _HEDGE)
async def _(t: Trader) -> None:
    await _both_legs(t)
    await t.trade(t.request(Action.CLOSE_LONG, t.quantity * 9))
    same(await _held(t), {_SHORT: t.quantity}, "the positions after CLOSE_LONG")
    await t.trade(t.request(Action.CLOSE_SHORT, t.quantity * 9))
    same(await _held(t), {}, "the positions after CLOSE_SHORT")


@case("C33", "an order for the wrong position mode is refused, and the mode is read anew")
async def _(t: Trader) -> None:
    order = await t.prepare()
    other = _LONG if t.mode is PositionMode.ONE_WAY else None
    placement = await t.client.place(replace(order, position_side=other))
    same(placement.kind, PlacementKind.REJECTED, f"the answer ({placement.message})")
    t.preparation.forget(t.symbol, placement.outcome_class)
    await t.trade()
    same(await t.accepted(order.client_order_id), 0, "the orders accepted in the wrong mode")


def _mapped(t: Trader, done: Trade, side: Side, leg: PositionSide, *, reduces: bool) -> None:
    """The truth about side and leg, and whether the order could only reduce.

    In hedge mode the leg says which way an order goes, so a venue may leave the flag out there.
    """
    true = done.true
    same(true.side, side, "the side")
    same(true.leg, leg if t.mode is PositionMode.HEDGE else None, "the leg")
    if t.mode is PositionMode.ONE_WAY:
        same(true.reduces, reduces, "whether it only reduces")
    same(done.view.side, side, "the side as shown")


async def _both_legs(t: Trader) -> None:
    await t.trade(t.request(Action.LONG, t.quantity * 2))
    await t.trade(t.request(Action.SHORT, t.quantity))


async def _held(t: Trader) -> dict[PositionSide, Decimal]:
    return {one.side: one.quantity for one in await t.client.positions(t.symbol)}
