"""Batches: nothing lost or doubled, never too large, closed in time, order kept."""

from __future__ import annotations

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consumer.queue.batching import Batch, Batcher

# Powers of two add up without rounding, so that a deadline is met exactly.
STEPS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 4.0])


class Batching(RuleBasedStateMachine):
    """Items arrive at any time; the owner asks for expired batches whenever time has passed."""

    @initialize(size=st.integers(1, 5), seconds=st.sampled_from([0.125, 0.5, 2.0]))
    def begin(self, size: int, seconds: float) -> None:
        ids = count(1)
        self.size = size
        self.seconds = seconds
        self.now = 100.0
        self.batcher: Batcher[int] = Batcher(size, seconds, lambda: f"b-{next(ids)}")
        self.items = count(1)
        self.added: list[int] = []
        self.promised: dict[int, str] = {}
        self.closed: list[Batch[int]] = []

    @rule()
    def an_item_arrives(self) -> None:
        item = next(self.items)
        self.promised[item] = self.batcher.batch_for(self.now).batch_id
        batch = self.batcher.add(item, self.now)
        self.added.append(item)
        if batch is not None:
            assert len(batch.items) == self.size
            self.closed.append(batch)

    @rule(step=STEPS)
    def time_passes(self, step: float) -> None:
        self.now += step
        deadline = self.batcher.deadline
        batch = self.batcher.expire(self.now)
        assert (batch is not None) == (deadline is not None and self.now >= deadline)
        if batch is not None:
            assert self.now - batch.opened_at >= self.seconds
            self.closed.append(batch)

    @rule()
    def the_worker_drains(self) -> None:
        was_open = self.batcher.deadline is not None
        batch = self.batcher.flush()
        assert (batch is not None) == was_open
        if batch is not None:
            self.closed.append(batch)

    @invariant()
    def nothing_is_lost_doubled_or_out_of_order(self) -> None:
        closed = [item for batch in self.closed for item in batch.items]
        assert closed == self.added[: len(closed)]
        waiting = len(self.added) - len(closed)
        assert waiting < self.size
        assert (waiting > 0) == (self.batcher.deadline is not None)

    @invariant()
    def no_batch_is_empty_too_large_or_late(self) -> None:
        for batch in self.closed:
            assert 1 <= len(batch.items) <= self.size
        deadline = self.batcher.deadline
        assert deadline is None or self.now < deadline <= self.now + self.seconds

    @invariant()
    def an_item_is_in_the_batch_it_was_told_and_ids_are_unique(self) -> None:
        for batch in self.closed:
            assert {self.promised[item] for item in batch.items} == {batch.batch_id}
        assert len({batch.batch_id for batch in self.closed}) == len(self.closed)


TestBatching = Batching.TestCase
TestBatching.settings = settings(max_examples=50, stateful_step_count=30)


def test_a_batch_closes_at_its_deadline_not_before() -> None:
    batcher: Batcher[str] = Batcher(10, 1.0, lambda: "b")
    assert batcher.add("first", 8.0) is None
    assert batcher.add("second", 8.75) is None
    deadline = batcher.deadline
    assert deadline == 9.0
    assert batcher.expire(8.9999) is None
    closed = batcher.expire(9.0)
    assert closed is not None
    assert closed.items == ["first", "second"]
    assert batcher.deadline is None
    assert batcher.expire(20.0) is None


def test_an_empty_batcher_has_nothing_to_flush() -> None:
    assert Batcher[str](10, 1.0, lambda: "b").flush() is None
