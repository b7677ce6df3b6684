"""C106–C108: whoever sends an order is asked once more, directly before each signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.conformance.cases import case, check, same
from providers.conformance.venue import Doing, Fault, What
from providers.outcomes import OutcomeClass, PlacementKind

if TYPE_CHECKING:
    from providers.conformance.trader import Trader

_WHY = "the kill switch is on"


@case("C106", "an order that is not permitted any more is not sent, and says why")
async def _(t: Trader) -> None:
    order = await t.prepare()
    placement = await t.client.place(order, lambda: _WHY)
    kind = (placement.kind, placement.outcome_class)
    same(kind, (PlacementKind.DEFERRED, OutcomeClass.NOT_PERMITTED), "the answer")
    same(placement.message, _WHY, "the message")
    check(placement.sent_at is None, "what was not sent must not say when")
    same(await t.arrived(Doing.PLACE), 0, "the orders sent")


@case("C107", "an order that is permitted is asked for once, and sent")
async def _(t: Trader) -> None:
    asked: list[int] = []
    order = await t.prepare()
    placement = await t.client.place(order, lambda: asked.append(1))
    same(placement.kind, PlacementKind.ACCEPTED, f"the answer ({placement.message})")
    same(len(asked), 1, "how often it was asked for")


@case("C108", "the second try after a clock error needs a permit of its own")
async def _(t: Trader) -> None:
    answers = iter([None, _WHY])
    order = await t.prepare()
    await t.stage.inject(Fault(What.CLOCK_BEHIND))
    placement = await t.client.place(order, lambda: next(answers))
    same(placement.outcome_class, OutcomeClass.NOT_PERMITTED, "the class")
    same(await t.arrived(Doing.PLACE), 1, "the requests to place it")
    same(await t.accepted(order.client_order_id), 0, "the orders accepted")
