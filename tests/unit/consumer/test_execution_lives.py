"""Whole lives of one message: crashes, lost replies, late landings, a ledger that comes and goes.

Two workers and a reconciler work on the same message at random; the exchange executes whatever
reaches it, twice if it is told twice. At the end there is at most one execution, and what the
ledger and the message's settlement say of it is true.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.execution.reconciler import Reconciler
from consumer.outcome import Outcome, OutcomeKind
from providers.errors import ExchangeUnavailable
from providers.orders import OrderStatus, PreparedOrder
from providers.outcomes import OutcomeClass, Placement, PlacementKind
from storage.errors import LedgerUnavailable
from storage.identity import client_order_id
from storage.states import OrderState
from tests.fakes.exchange import FakeExchange, accept, answer
from tests.fakes.messages import message
from tests.fakes.stage import PromiseBroken, Stage, promise
from tests.fakes.virtual_time import START, run

if TYPE_CHECKING:
    from consumer.contract.message import TradeMessage
    from tests.fakes.exchange import Behaviour

OURS = client_order_id("r-1", "default")
AWAY = ExchangeUnavailable("fake", "no answer", outcome_class=OutcomeClass.UNKNOWN)
DONE = (OutcomeKind.PLACED, OutcomeKind.ALREADY_DONE)

# The worst that the settings allow for: connecting and sending twice over, then the exchange's
# own window, then look-ups that lag as long as the margin says.
LONGEST_SEND = 16.0
LONGEST_FLIGHT = FakeExchange.acceptance_window.total_seconds()
LONGEST_LAG = 5.0


class CrashError(BaseException):
    """The process ends here."""


@dataclass(frozen=True)
class Send:
    """One try to place: how long until it is signed, whether it lands, and what is heard of it."""

    signing: float
    flight: float | None  # seconds until the exchange takes it; None: it never does
    lag: float
    ending: str  # unknown, raise, crash
    status: OrderStatus

    async def __call__(self, exchange: FakeExchange, order: PreparedOrder) -> Placement:
        await asyncio.sleep(self.signing)
        if self.flight is not None:
            asyncio.get_running_loop().call_later(
                self.flight, lambda: exchange.execute(order, status=self.status, lag=self.lag)
            )
        await asyncio.sleep(0.05)
        if self.ending == "raise":
            raise ConnectionResetError
        if self.ending == "crash":
            raise CrashError
        return Placement(PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "ReadTimeout", "no answer")


@dataclass(frozen=True)
class Step:
    """One delivery: to whom, what the exchange and the ledger do meanwhile, and then a pause.

    With two workers, the second gets the message `offset` seconds after the first.
    """

    workers: tuple[int, ...]
    offset: float
    place: Behaviour
    looks: tuple[bool, ...]
    ledger: tuple[tuple[str, float, bool | None], ...]  # call, seconds, committed (None: no error)
    pause: float
    reconcile: bool


SENDS: st.SearchStrategy[Behaviour] = st.one_of(
    st.just(accept),
    st.sampled_from(
        [OutcomeClass.RATE_IP, OutcomeClass.NOT_SENT, OutcomeClass.MARGIN, OutcomeClass.UNKNOWN]
    ).map(answer),
    st.builds(
        Send,
        signing=st.sampled_from([0.0, 1.0, LONGEST_SEND]),
        flight=st.sampled_from([None, 0.0, 1.0, LONGEST_FLIGHT]),
        lag=st.sampled_from([0.0, LONGEST_LAG]),
        ending=st.sampled_from(["unknown", "raise", "crash"]),
        status=st.sampled_from([OrderStatus.NEW, OrderStatus.FILLED, OrderStatus.CANCELED]),
    ),
)
STEPS = st.builds(
    Step,
    workers=st.sampled_from([(0,), (1,), (0, 1), (1, 0), (0, 0)]),
    offset=st.sampled_from([0.0, 1.0, 31.0, 33.0]),
    place=SENDS,
    looks=st.lists(st.booleans(), max_size=3).map(tuple),
    ledger=st.lists(
        st.tuples(
            st.sampled_from(["claim", "begin_sending", "record", "record"]),
            st.sampled_from([0.0, 1.0, 4.9, 40.0]),
            st.sampled_from([None, True, False]),
        ),
        max_size=3,
    ).map(tuple),
    pause=st.sampled_from([0.0, 0.5, 3.0, 9.2, 10.2, 12.0, 31.0, 33.0, 120.0]),
    reconcile=st.booleans(),
)

LATE = Send(LONGEST_SEND, LONGEST_FLIGHT, LONGEST_LAG, "crash", OrderStatus.FILLED)


def step(
    place: Behaviour, pause: float, *ledger: tuple[str, float, bool | None], worker: int = 0
) -> Step:
    return Step((worker,), 0.0, place, (), ledger, pause, reconcile=True)


class World:
    """Two workers with a reconciler each, one exchange, one ledger, one message."""

    def __init__(self, wanted: TradeMessage) -> None:
        self.wanted = wanted
        first = Stage()
        self.stages = [first, Stage(beside=first)]
        self.exchange = first.exchange
        self.clock = first.clock
        self.sent_at: list[float] = []
        watch = self.exchange.before_place

        def note(order: PreparedOrder) -> None:
            watch(order)
            if wanted.expires_at is not None:
                promise(self.clock.now() < wanted.expires_at, "sent after it expired")

        self.exchange.before_place = note

    async def deliver(self, worker: int, attempt: int, after: float = 0.0) -> Outcome | None:
        """Deliver once; None if the worker crashed or the ledger was away."""
        await asyncio.sleep(after)
        try:
            return await self.stages[worker].deliver(self.wanted, attempt=attempt)
        except (CrashError, LedgerUnavailable):
            return None
        except PromiseBroken as broken:
            raise AssertionError(*broken.args) from None

    async def live(self, step: Step, attempt: int) -> list[Outcome]:
        self.exchange.plan = deque([step.place])
        self.exchange.look_faults = deque(None if fine else AWAY for fine in step.looks)
        for worker in step.workers:
            ledger = self.stages[worker].ledger
            for call, seconds, committed in step.ledger:
                if committed is None:
                    ledger.slow_next(call, seconds)
                else:
                    ledger.fail_next(call, committed=committed)
        outcomes = await asyncio.gather(
            *(
                self.deliver(worker, attempt, number * step.offset)
                for number, worker in enumerate(step.workers)
            )
        )
        await asyncio.sleep(step.pause)
        if step.reconcile:
            await self.reconcile(step.workers[0])
        return [outcome for outcome in outcomes if outcome is not None]

    async def reconcile(self, worker: int) -> None:
        stage = self.stages[worker]
        reconciler = Reconciler(
            stage.ledger, stage.router, stage.settings, stage.gate, stage.clock, stage.controls
        )
        await stage.ledger.adopt_orphans(timedelta(seconds=5))
        for claim in await stage.ledger.due_checks(10, timedelta(seconds=30)):
            await reconciler.look(claim)

    async def settle(self) -> Outcome:
        """All is well again: deliver until it is settled."""
        for stage in self.stages:
            stage.ledger.forget_faults()
        self.exchange.plan.clear()
        self.exchange.look_faults.clear()
        for attempt in range(20, 40):
            outcome = await self.deliver(attempt % 2, attempt)
            assert outcome is not None
            if outcome.kind is not OutcomeKind.RETRY:
                return outcome
            await asyncio.sleep(45)
        raise AssertionError("it is never settled")

    def executions(self) -> int:
        return len(self.exchange.executions.get(OURS, []))

    def check(self, outcome: Outcome) -> None:
        """What was settled is true."""
        row = self.stages[0].row()
        executions = self.executions()
        assert executions <= 1
        if outcome.kind in DONE:
            assert executions == 1 or row.state in (OrderState.EXPIRED, OrderState.REJECTED)
        if outcome.kind is OutcomeKind.REFUSED:
            nothing_filled = row.state is OrderState.CANCELED
            assert executions == nothing_filled
            assert nothing_filled or row.state in (OrderState.EXPIRED, OrderState.REJECTED)


@settings(max_examples=150)
@given(
    st.lists(STEPS, min_size=1, max_size=6),
    st.none() | st.sampled_from([5.0, 20.0, 34.0, 60.0, 300.0]),
)
# The intent's answer comes late, the send takes its longest, and it is asked about just before
# the order can be seen: after a crash, and after an answer that told nothing.
@example([step(LATE, 8.5, ("begin_sending", 4.9, None)), step(accept, 0.0)], None)
@example([step(replace(LATE, ending="unknown"), 9.2), step(accept, 0.0)], None)
# The intent's answer comes so late that another worker has taken the order over and placed it.
@example([Step((0, 1), 33.0, accept, (), (("begin_sending", 40.0, None),), 0.0, True)], None)
@example([step(accept, 0.0, ("begin_sending", 4.9, None), ("record", 0.0, True))], 5.0)
@example([step(accept, 32.0, ("begin_sending", 0.0, True)), step(accept, 0.0, worker=1)], None)
def test_whatever_happens_an_order_is_placed_once_or_not_at_all(
    steps: list[Step], expires_in: float | None
) -> None:
    async def life() -> None:
        expires = None
        if expires_in is not None:
            expires = (START + timedelta(seconds=expires_in)).isoformat()
        world = World(message(expiresAt=expires))
        for attempt, one in enumerate(steps, start=1):
            for outcome in await world.live(one, attempt):
                world.check(outcome)
            assert world.executions() <= 1
        last = await world.settle()
        world.check(last)
        await asyncio.sleep(600)  # nothing is on its way any more
        assert world.executions() <= 1
        row = world.stages[0].row()
        placed = row.state not in (OrderState.EXPIRED, OrderState.REJECTED)
        assert world.executions() == int(placed)

    run(life())
