"""One message between the broker and workers, as a state machine: any outcomes, any losses.

It climbs its ladder rung by rung and ends once: acknowledged, or among the dead letters with a
reason; never both, never nowhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumer.outcome import Outcome, OutcomeKind
from consumer.queue.delivery import Delivery, Settlement
from consumer.queue.settlement import RETRIES_EXHAUSTED, decide
from consumer.queue.topology import Topology
from tests.fakes.virtual_time import START, VirtualLoop
from tests.simulation.broker import Broker, Channel

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from consumer.queue.delivery import Acknowledger, Arrival

TOPOLOGY = Topology("trade-execution", "trade", ("1s", "2s", "4s"))
MOST_ATTEMPTS = len(TOPOLOGY.delays) + 1
KINDS = [kind for kind in OutcomeKind if kind is not OutcomeKind.ABANDONED]


class Settling(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.held: list[Delivery] = []
        self.ended: list[Settlement] = []
        self.attempts: list[int] = []
        self.run(self.begin())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    async def begin(self) -> None:
        self.broker = Broker(TOPOLOGY, lambda _: None)
        self.channel = Channel("a", 10, self.take, lambda: True)
        self.broker.open(self.channel)
        self.broker.publish(b"{}", "m1")

    def take(self, message: Arrival, acknowledger: Acknowledger) -> None:
        attempt = TOPOLOGY.attempt(message.routing_key)
        self.attempts.append(attempt)
        self.held.append(
            Delivery(
                body=message.body,
                headers=message.headers,
                message_id=message.message_id,
                routing_key=message.routing_key,
                redelivered=message.redelivered,
                attempt=attempt,
                last_attempt=TOPOLOGY.is_last(attempt),
                received_at=START,
                batch_id="b",
                acknowledger=acknowledger,
            )
        )

    @precondition(lambda self: self.held)
    @rule(kind=st.sampled_from(KINDS), buried_first=st.booleans())
    def settle(self, kind: OutcomeKind, buried_first: bool) -> None:  # noqa: FBT001 - drawn
        delivery = self.held.pop()
        decision = decide(
            Outcome(kind, "WHY"), attempt=delivery.attempt, last_attempt=delivery.last_attempt
        )
        if decision.settlement is Settlement.DEAD_LETTER:
            assert decision.reason
            exhausted = decision.reason == RETRIES_EXHAUSTED
            assert exhausted == (kind is OutcomeKind.RETRY) == (kind is not OutcomeKind.REFUSED)
            self.broker.bury(delivery.body, {"trade-reason": decision.reason})
            if buried_first:  # and then its channel is lost: it comes again
                self.lose_the_channel()

        async def answer() -> None:
            stale = delivery.stale
            settled = await delivery.settle(decision.settlement)
            assert settled is not stale
            assert not await delivery.settle(Settlement.ACK), "first settlement wins"
            if settled and decision.settlement in (Settlement.ACK, Settlement.DEAD_LETTER):
                self.ended.append(decision.settlement)
            await asyncio.sleep(0)

        self.run(answer())

    @rule()
    def lose_the_channel(self) -> None:
        async def lose() -> None:
            self.broker.close(self.channel)
            self.channel = Channel("b", 10, self.take, lambda: True)
            self.broker.open(self.channel)
            await asyncio.sleep(0)

        self.held.clear()
        self.run(lose())

    @rule()
    def time_passes(self) -> None:
        self.run(asyncio.sleep(10))

    @invariant()
    def it_is_somewhere_and_ends_once(self) -> None:
        assert self.broker.left + len(self.ended) == 1

    @invariant()
    def it_climbs_one_rung_at_a_time_and_never_falls_off(self) -> None:
        assert all(0 <= b - a <= 1 for a, b in zip(self.attempts, self.attempts[1:], strict=False))
        assert max(self.attempts) <= MOST_ATTEMPTS
        assert all(letter.reason in ("WHY", RETRIES_EXHAUSTED) for letter in self.broker.dead)

    def teardown(self) -> None:
        self.runner.close()


TestSettling = Settling.TestCase
TestSettling.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
