"""What a message leaves behind."""

from __future__ import annotations

import asyncio
from contextvars import copy_context

import pytest

from consumer.watching.trail import Stage, Trail, followed, left, timed, with_ids


def test_a_stage_that_runs_twice_adds_up() -> None:
    trail = Trail()
    trail.add(Stage.RECORD, 0.25)
    trail.add(Stage.RECORD, 0.5)

    assert trail.seconds == {Stage.RECORD: 0.75}


def test_a_stage_that_fails_is_timed_as_well() -> None:
    trail = Trail()
    with pytest.raises(ZeroDivisionError), followed(trail), timed(Stage.CLAIM):
        _ = 1 / 0

    assert trail.seconds[Stage.CLAIM] > 0


def test_only_the_first_send_counts_as_the_way_to_the_wire() -> None:
    trail = Trail()
    with followed(trail):
        left()
        first = trail.to_wire
        left()

    assert first is not None
    assert trail.to_wire == first


async def test_messages_side_by_side_keep_their_trails_apart() -> None:
    both = asyncio.Barrier(2)

    async def work(trail: Trail, stage: Stage) -> None:
        with followed(trail):
            await both.wait()
            with timed(stage):
                await both.wait()
            await both.wait()

    one, other = Trail(), Trail()
    await asyncio.gather(work(one, Stage.CLAIM), work(other, Stage.INTENT))

    assert set(one.seconds) == {Stage.CLAIM}
    assert set(other.seconds) == {Stage.INTENT}


def test_one_that_ends_in_the_middle_of_another_leaves_that_its_trail() -> None:
    """As a task does that is collected without having ended: in whatever context comes along."""

    async def work() -> None:
        with followed(Trail()):
            await asyncio.sleep(0)

    killed, other = work(), Trail()
    copy_context().run(killed.send, None)
    with followed(other):
        killed.close()
        left()

    assert other.to_wire is not None


def test_outside_of_a_message_nothing_is_noted() -> None:
    with timed(Stage.CLAIM):
        left()


def test_a_log_line_has_the_ids_of_the_message_that_is_worked_on() -> None:
    line: dict[str, object] = {"event": "said", "trace_id": "its own"}
    with followed(Trail(ids={"request_id": "a", "trace_id": "b"})):
        assert with_ids(None, "info", line) == {"request_id": "a", **line}

    assert with_ids(None, "info", line) == line
