"""A worker that is told to stop, as a state machine: at any moment, in any mess.

Begins nothing more, finishes what is in flight, settles no delivery twice, and leaves none behind
but those whose channel is gone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumer.outcome import Outcome, OutcomeKind
from storage.states import OrderState
from tests.fakes.bench import PLACED, Bench
from tests.fakes.broker import FakeAcknowledger
from tests.fakes.messages import body
from tests.fakes.virtual_time import VirtualLoop, turns

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
SYMBOLS = ("BTCUSDT", "ETHUSDT")
OUTCOMES = (
    PLACED,
    Outcome(OutcomeKind.RETRY, "RATE_LIMITED", "too many", OrderState.DEFERRED),
    Outcome(OutcomeKind.REFUSED, "EXPIRED", "too late", OrderState.EXPIRED),
    ZeroDivisionError(),
)
DRAIN_TIMEOUT = 20.0


class Draining(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.bench = self.run(self.made())
        self.takers: dict[str, FakeAcknowledger] = {}
        self.draining: asyncio.Task[bool] | None = None
        self.begun_before = 0

    async def made(self) -> Bench:
        return Bench(drain_timeout=DRAIN_TIMEOUT, max_batch_size=3)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.end())
        self.runner.close()

    async def end(self) -> None:
        """Whatever it was in, it stops within its time, and then nothing of it goes on."""
        drained = self.draining or asyncio.create_task(self.bench.worker.drain())
        await asyncio.wait_for(drained, DRAIN_TIMEOUT + 1)
        await self.bench.gate.aclose()
        before = list(self.bench.journal)
        held = {name for name, gate in self.bench.fake.held.items() if not gate.is_set()}
        for gate in self.bench.fake.held.values():
            gate.set()
        await asyncio.sleep(100)
        assert self.bench.journal == before
        for name, taker in self.takers.items():
            # Left unsettled is only what was still held when the time was over; the broker has it.
            assert taker.settled.is_set() or taker.closed or self.lane_is_held(name, held), name

    def lane_is_held(self, name: str, held: set[str]) -> bool:
        """Whether something of the same lane was held: then it may be waiting behind that."""
        lane = int(name) % len(SYMBOLS)
        return any(int(other) % len(SYMBOLS) == lane for other in held)

    @precondition(lambda self: len(self.takers) < 8)
    @rule(outcome=st.sampled_from(OUTCOMES), hold=st.booleans(), malformed=st.integers(0, 5))
    def arrive(self, outcome: Outcome | Exception, hold: bool, malformed: int) -> None:  # noqa: FBT001 - drawn
        name = str(len(self.takers) + 1)
        taker = FakeAcknowledger(self.bench.journal)
        self.takers[name] = taker
        raw = body(requestId=name, symbol=SYMBOLS[int(name) % len(SYMBOLS)])

        async def take() -> None:
            if malformed:
                self.bench.fake.plan.append(outcome)
                if hold:
                    self.bench.fake.hold(name)
            self.bench.arrive(raw if malformed else b"{", taker)
            await turns()

        self.run(take())

    @rule()
    def release_all(self) -> None:
        async def release() -> None:
            for held in self.bench.fake.held.values():
                held.set()
            await turns(60)

        self.run(release())

    @rule(seconds=st.sampled_from([0.2, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @precondition(lambda self: self.takers)
    @rule(draw=st.data())
    def channel_closes(self, draw: st.DataObject) -> None:
        self.takers[draw.draw(st.sampled_from(sorted(self.takers)))].closed = True

    @rule(away=st.booleans())
    def ledger(self, away: bool) -> None:  # noqa: FBT001 - drawn
        self.bench.ledger.away = away

    @precondition(lambda self: self.draining is None)
    @rule()
    def stop(self) -> None:
        async def begin() -> None:
            self.draining = asyncio.create_task(self.bench.worker.drain())
            await turns()

        self.run(begin())
        self.begun_before = len(self.bench.fake.asked)

    @invariant()
    def nothing_begins_after_the_stop(self) -> None:
        if self.draining is not None:
            assert len(self.bench.fake.asked) == self.begun_before

    @invariant()
    def nothing_is_settled_twice(self) -> None:
        answers = [one for one in self.bench.journal if one in ("ack", "nack", "requeue")]
        assert len(answers) == sum(taker.settled.is_set() for taker in self.takers.values())

    @invariant()
    def a_dead_letter_is_published_before_it_is_acknowledged(self) -> None:
        marks = [one for one in self.bench.journal if one.startswith("mark")]
        assert len(marks) <= self.bench.journal.count("publish")


TestDraining = Draining.TestCase
TestDraining.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
