"""C69–C79: rate limits, bans, overload, maintenance, and clocks that differ."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from providers.conformance.cases import case, check, raised, same
from providers.conformance.venue import Doing, Fault, What
from providers.errors import ExchangeUnavailable
from providers.outcomes import OutcomeClass, PlacementKind

if TYPE_CHECKING:
    from providers.conformance.trader import Trader

_HOUR = 3600.0


@case("C69", "a rate limit of the account defers the order, and says for how long")
async def _(t: Trader) -> None:
    order, placement = await t.answer_to(What.RATE_LIMITED)
    kind = (placement.kind, placement.outcome_class)
    wanted = (PlacementKind.DEFERRED, OutcomeClass.RATE_ACCOUNT)
    same(kind, wanted, f"the answer ({placement.message})")
    check(placement.retry_after is not None, "it must say for how long")
    same(await t.accepted(order.client_order_id), 0, "the orders accepted")
    same((await t.client.place(order)).kind, PlacementKind.ACCEPTED, "the next answer")


@case("C70", "a ban of the address defers the order, and after it nothing leaves at all")
async def _(t: Trader) -> None:
    order, placement = await t.answer_to(What.BANNED)
    kind = (placement.kind, placement.outcome_class)
    same(kind, (PlacementKind.DEFERRED, OutcomeClass.RATE_IP), f"it ({placement.message})")
    check((placement.retry_after or 0) > 0, "it must say for how long")
    before = await t.arrived(Doing.ANYTHING)
    again = await t.client.place(order)
    same((again.kind, again.outcome_class), kind, "the next answer")
    check(again.sent_at is None, "what was not sent must not say when")
    error = await raised(ExchangeUnavailable, t.client.positions(t.symbol), "reading positions")
    same(error.outcome_class, OutcomeClass.RATE_IP, "the class")
    same(await t.arrived(Doing.ANYTHING), before, "the requests")
    same(await t.accepted(order.client_order_id), 0, "the orders accepted")


@case("C71", "an overloaded exchange, which says that it did nothing, defers the order")
async def _(t: Trader) -> None:
    order, placement = await t.answer_to(What.OVERLOADED)
    kind = (placement.kind, placement.outcome_class)
    same(kind, (PlacementKind.DEFERRED, OutcomeClass.OVERLOAD), f"it ({placement.message})")
    same(await t.accepted(order.client_order_id), 0, "the orders accepted")


@case("C72", "maintenance never counts as a refusal of the order")
async def _(t: Trader) -> None:
    order, placement = await t.answer_to(What.MAINTENANCE)
    wanted = (PlacementKind.DEFERRED, PlacementKind.UNKNOWN)
    check(placement.kind in wanted, f"the answer is {placement.kind} ({placement.message})")
    same(await t.accepted(order.client_order_id), 0, "the orders accepted")


@case("C73", "a timestamp refused as too new costs a clock reading and exactly one more try")
async def _(t: Trader) -> None:
    await _clock_off_once(t, What.CLOCK_BEHIND)


@case("C74", "a timestamp refused as too old costs a clock reading and exactly one more try")
async def _(t: Trader) -> None:
    await _clock_off_once(t, What.CLOCK_AHEAD)


@case("C75", "timestamps that are refused again are not tried a third time; the message says why")
async def _(t: Trader) -> None:
    order, placement = await t.answer_to(What.CLOCK_BEHIND, times=None)
    kind = (placement.kind, placement.outcome_class)
    same(kind, (PlacementKind.DEFERRED, OutcomeClass.CLOCK), f"the answer ({placement.message})")
    same(await t.arrived(Doing.PLACE), 2, "the requests to place it")
    same(await t.accepted(order.client_order_id), 0, "the orders accepted")


@case(
    "C76", "reading under a clock error says: Timestamp verification failed. Check system NTP sync."
)
async def _(t: Trader) -> None:
    await t.stage.inject(Fault(What.CLOCK_BEHIND, Doing.POSITIONS, times=None))
    error = await raised(ExchangeUnavailable, t.client.positions(t.symbol), "reading positions")
    same(error.outcome_class, OutcomeClass.CLOCK, "the class")
    wanted = "Timestamp verification failed. Check system NTP sync."
    check(wanted in str(error), f"it says: {error}")


@case("C77", "the exchange's clock is followed, however far it is from ours")
async def _(t: Trader) -> None:
    order = await t.prepare()
    await t.stage.shift_clock(_HOUR)
    placement = await t.client.place(order)
    same(placement.kind, PlacementKind.ACCEPTED, f"the answer ({placement.message})")
    signed, sent = placement.signed_at, placement.sent_at
    ahead = signed - sent if signed is not None and sent is not None else timedelta(0)
    check(ahead > timedelta(seconds=_HOUR - 60), f"signed {ahead} ahead of our clock")
    same(await t.arrived(Doing.PLACE), 2, "the requests to place it")


@case("C78", "the exchange's clock is read on request")
async def _(t: Trader) -> None:
    before = await t.client.server_time()
    await t.stage.shift_clock(_HOUR)
    moved = await t.client.server_time() - before
    check(moved >= timedelta(seconds=_HOUR), f"it moved by {moved}")


@case("C79", "how long the exchange may still accept a request is known, and not long")
async def _(t: Trader) -> None:
    window = t.client.acceptance_window
    check(timedelta(0) < window <= timedelta(seconds=70), f"it is {window}")


async def _clock_off_once(t: Trader, what: What) -> None:
    order, placement = await t.answer_to(what)
    same(placement.kind, PlacementKind.ACCEPTED, f"the answer ({placement.message})")
    same(await t.arrived(Doing.PLACE), 2, "the requests to place it")
    same(await t.accepted(order.client_order_id), 1, "the orders accepted")
