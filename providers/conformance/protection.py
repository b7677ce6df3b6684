"""C100–C105: take-profit and stop-loss, with the order or right after its fill."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from providers.conformance.cases import NotConform, case, same
from providers.conformance.venue import Doing, Fault, What
from providers.exchange import ProtectsAfterFill
from providers.orders import Action
from providers.outcomes import PlacementKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.conformance.trader import Trade, Trader
    from providers.orders import TradeRequest
    from providers.outcomes import Placement

_UP, _DOWN = Decimal("1.02"), Decimal("0.98")
_PAST_UP, _PAST_DOWN = Decimal("1.03"), Decimal("0.97")


@case("C100", "a long is closed at its stop-loss")
async def _(t: Trader) -> None:
    await _closed_at(t, Action.LONG, _PAST_DOWN)


@case("C101", "a long is closed at its take-profit")
async def _(t: Trader) -> None:
    await _closed_at(t, Action.LONG, _PAST_UP)


@case("C102", "a short is closed at its stop-loss")
async def _(t: Trader) -> None:
    await _closed_at(t, Action.SHORT, _PAST_UP)


@case("C103", "a short is closed at its take-profit")
async def _(t: Trader) -> None:
    await _closed_at(t, Action.SHORT, _PAST_DOWN)


@case("C104", "take-profit and stop-loss are sent with the order, on the tick")
async def _(t: Trader) -> None:
    done = await t.trade(_with_levels(t, t.request()))
    levels = (done.true.take_profit, done.true.stop_loss)
    same(levels, (t.price * _UP, t.price * _DOWN), "take-profit and stop-loss, truly")


@case("C105", "protecting again places nothing twice, after a lost answer either")
async def _(t: Trader) -> None:
    done = await t.trade(_with_levels(t, t.request()))
    await t.stage.inject(Fault(What.CUT, Doing.PROTECT, executed=True, times=2))
    first = await _protected(t, done)
    same([one.kind for one in first], [PlacementKind.UNKNOWN] * 2, "the first answers")
    again = await _protected(t, done)
    same([one.kind for one in again], [PlacementKind.DUPLICATE] * 2, "the second answers")
    same(await t.arrived(Doing.PROTECT), 2, "the requests")


def _with_levels(t: Trader, wanted: TradeRequest) -> TradeRequest:
    long = wanted.action is Action.LONG
    up, down = t.price * _UP, t.price * _DOWN
    return replace(wanted, take_profit=up if long else down, stop_loss=down if long else up)


async def _protected(t: Trader, done: Trade) -> Sequence[Placement]:
    if not isinstance(t.client, ProtectsAfterFill):
        raise NotConform("the client protects nothing after the fill")
    return await t.client.protect(done.order, done.view)


async def _closed_at(t: Trader, action: Action, factor: Decimal) -> None:
    done = await t.trade(_with_levels(t, t.request(action)))
    if isinstance(t.client, ProtectsAfterFill):
        kinds = [one.kind for one in await t.client.protect(done.order, done.view)]
        same(kinds, [PlacementKind.ACCEPTED] * 2, "the answers to protecting")
    same(len(await t.client.positions(t.symbol)), 1, "the positions before")
    await t.stage.hold_price(t.price * factor)

    async def flat() -> bool | None:
        return None if await t.client.positions(t.symbol) else True

    await t.until(flat, "the position to be closed")
