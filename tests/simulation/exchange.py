"""An exchange in virtual time, as unkind as the real ones: late, mute, forgetful, and obedient.

It executes an order as often as it is told to, if its client id is free; some exchanges free an id
once its order is filled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from providers.errors import ExchangeUnavailable
from providers.many import plainly_shown
from providers.orders import OrderStatus
from providers.outcomes import (
    PLACEMENT_OF_CLASS,
    OutcomeClass,
    Placement,
    PlacementKind,
    permitted,
)
from tests.fakes.exchange import NAME, Execution, FakeExchange
from tests.fakes.stage import PromiseBroken

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from providers.clock import Clock
    from providers.orders import Fill, OrderView, PreparedOrder
    from providers.outcomes import Permit

REQUEST_TIMEOUT = 5.0  # as the settings of the tests say
# The worst that the settings allow for; see `consumer.execution` and ABSENCE_MARGIN.
LONGEST_SIGNING = 8.0
LONGEST_FLIGHT = FakeExchange.acceptance_window.total_seconds()
LONGEST_LAG = 5.0


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one request that places an order.

    Attributes:
        signing: seconds until it is signed.
        flight: seconds until the exchange has it; None: it never does.
        answer: what the exchange says if it does not take it.
        mute: its answer never arrives.
        lag: seconds for which look-ups do not show the order.
        fills_after: seconds until it is filled; None: it is cancelled at once.
        rejected: in place of being filled it is rejected.
    """

    signing: float = 0.0
    flight: float | None = 0.0
    answer: OutcomeClass | None = None
    mute: bool = False
    lag: float = 0.0
    fills_after: float | None = 0.1
    rejected: bool = False


KIND = Fate()


def draw_fate(draw: random.Random) -> Fate:
    """Choose a fate; about every second is a kind one."""
    if draw.random() < 0.45:
        return KIND
    return Fate(
        signing=draw.choice([0.0, 0.0, 1.0, LONGEST_SIGNING]),
        flight=draw.choice([0.0, 0.0, 0.5, LONGEST_FLIGHT, None]),
        answer=draw.choice(
            [None, None, None, OutcomeClass.RATE_IP, OutcomeClass.CLOCK, OutcomeClass.UNKNOWN]
        ),
        mute=draw.random() < 0.5,
        lag=draw.choice([0.0, 0.5, LONGEST_LAG]),
        fills_after=draw.choice([0.0, 0.3, 4.0, None]),
        rejected=draw.random() < 0.15,
    )


class SimExchange(FakeExchange):
    """The exchange of a simulation.

    Args:
        next_fate: says what happens to the next order.
        look_fails: says whether the next look-up fails.
        frees_ids: whether a client id may be used again once its order is filled.
    """

    worth_listing = 1  # so that lists are read at all

    def __init__(
        self,
        clock: Clock,
        next_fate: Callable[[], Fate],
        look_fails: Callable[[], bool],
        say: Callable[[str], None],
        *,
        frees_ids: bool,
    ) -> None:
        super().__init__(clock)
        self._next_fate = next_fate
        self._look_fails = look_fails
        self._say = say
        self._frees_ids = frees_ids
        self.sent_at: list[tuple[str, float]] = []
        self.wrong: list[str] = []

    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        """Send an order; whatever happens to the sender, what has left is on its way."""
        try:
            self.before_place(order)
        except PromiseBroken as broken:
            self.wrong.append(str(broken))
            raise
        fate = self._next_fate()
        await asyncio.sleep(fate.signing)
        refused = permit()
        if refused is not None:
            return Placement(PlacementKind.DEFERRED, OutcomeClass.NOT_PERMITTED, message=refused)
        self.sends.append(order)
        self.sent_at.append((order.client_order_id, self.clock.now().timestamp()))
        self._say(f"exchange: sent {order.client_order_id}: {fate}")
        answered: asyncio.Future[Placement] = asyncio.get_running_loop().create_future()
        if fate.flight is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(fate.flight, self._land, order, fate, answered)
        await asyncio.wait([answered], timeout=REQUEST_TIMEOUT)
        if answered.done() and not fate.mute:
            return replace(answered.result(), sent_at=self.clock.now())
        return Placement(PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "ReadTimeout", "no answer")

    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        """Look an order up."""
        await asyncio.sleep(0)
        if self._look_fails():
            raise ExchangeUnavailable(NAME, "no answer", outcome_class=OutcomeClass.UNKNOWN)
        found = await super().find_order(symbol, client_order_id)
        self._say(f"exchange: {client_order_id} is {found.status if found else 'not there'}")
        await asyncio.sleep(0)
        return found

    async def find_orders(
        self, wanted: Mapping[str, str], since: datetime
    ) -> Mapping[str, OrderView]:
        """Look orders up in a list; one that can't be read leaves them to be looked up alone."""
        del since
        await asyncio.sleep(0)
        if self._look_fails():
            raise ExchangeUnavailable(NAME, "no answer", outcome_class=OutcomeClass.UNKNOWN)
        now = self.clock.monotonic()
        taken = [one for every in self.executions.values() for one in every]
        found = plainly_shown([one.view for one in taken if one.visible_at <= now], wanted)
        for name, view in found.items():
            self._say(f"exchange: {name} is {view.status}, in a list")
        await asyncio.sleep(0)
        return found

    async def fills_of_many(
        self, orders: Sequence[OrderView], since: datetime
    ) -> Mapping[str, Sequence[Fill]]:
        """Nothing: fills are read by nobody here."""
        del orders, since
        return {}

    def _land(self, order: PreparedOrder, fate: Fate, answered: asyncio.Future[Placement]) -> None:
        placement = self._take(order, fate)
        self._say(f"exchange: {order.client_order_id}: {placement.kind}")
        if not answered.done():
            answered.set_result(placement)

    def _take(self, order: PreparedOrder, fate: Fate) -> Placement:
        kind = PLACEMENT_OF_CLASS[fate.answer] if fate.answer else PlacementKind.ACCEPTED
        if fate.answer is not None and kind is not PlacementKind.UNKNOWN:
            return Placement(kind, fate.answer, "10001", "refused at the door")
        earlier = self.executions.get(order.client_order_id, [])
        if any(not self._frees_ids or self._is_open(one) for one in earlier):
            return Placement(PlacementKind.DUPLICATE, OutcomeClass.DUPLICATE_ID, "110072", "again")
        taken = self._execute(order, fate)
        if fate.answer is not None:
            return Placement(kind, fate.answer, "502", "taken, and then a proxy fell over")
        return Placement(kind, OutcomeClass.ACCEPTED, "0", "OK", taken.view.exchange_order_id)

    def _execute(self, order: PreparedOrder, fate: Fate) -> Execution:
        taken = self.execute(order, lag=fate.lag)
        if fate.fills_after is None:
            taken.view = replace(taken.view, status=OrderStatus.CANCELED)
        else:
            loop = asyncio.get_running_loop()
            end = self._reject if fate.rejected else self._fill
            loop.call_later(fate.fills_after, end, taken)
        return taken

    def _reject(self, taken: Execution) -> None:
        self._say(f"exchange: {taken.view.client_order_id} rejected")
        taken.view = replace(taken.view, status=OrderStatus.REJECTED, reject_reason="no margin")

    def _fill(self, taken: Execution) -> None:
        self._say(f"exchange: {taken.view.client_order_id} filled")
        taken.view = replace(
            taken.view,
            status=OrderStatus.FILLED,
            filled_quantity=taken.view.quantity,
            average_price=Decimal(20000),
            fee=Decimal("0.01"),
            fee_currency="USDT",
            updated_at=self.clock.now(),
        )

    @staticmethod
    def _is_open(one: Execution) -> bool:
        return one.view.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)
