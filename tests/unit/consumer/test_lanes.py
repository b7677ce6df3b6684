"""Lanes: order within one, concurrency across them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.queue.lanes import Lanes
from tests.fakes.virtual_time import on_virtual_time, run, turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Jobs:
    """Jobs that tell when they begin, and end when they are allowed to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.may_end: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def job(self, name: str) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            self.begun.append(name)
            await self.may_end[name].wait()
            self.done.append(name)

        return work

    async def end(self, name: str) -> None:
        self.may_end[name].set()
        await turns()


@on_virtual_time
async def test_one_lane_runs_one_after_the_other_and_lanes_run_beside_each_other() -> None:
    lanes, jobs = Lanes(), Jobs()
    for name in ("a1", "a2", "b1", "a3", "b2"):
        lanes.submit(name[0], jobs.job(name))
    assert jobs.begun == [], "a job is never begun inside submit"
    await turns()
    assert jobs.begun == ["a1", "b1"]
    assert lanes.busy == 2
    await jobs.end("b1")
    assert jobs.begun == ["a1", "b1", "b2"]
    await jobs.end("a1")
    await jobs.end("a2")
    assert jobs.begun == ["a1", "b1", "b2", "a2", "a3"]


@on_virtual_time
async def test_idle_waits_for_what_is_submitted_meanwhile_too() -> None:
    lanes, jobs = Lanes(), Jobs()
    lanes.submit("a", jobs.job("a1"))
    idle = asyncio.ensure_future(lanes.idle())
    await turns()
    lanes.submit("b", jobs.job("b1"))
    await jobs.end("a1")
    assert not idle.done()
    lanes.submit("a", jobs.job("a2"))
    await jobs.end("b1")
    assert not idle.done()
    await jobs.end("a2")
    await idle
    assert lanes.busy == 0


@on_virtual_time
async def test_idle_lanes_are_idle_at_once() -> None:
    await Lanes().idle()


@on_virtual_time
async def test_a_lane_that_ran_dry_is_used_again() -> None:
    lanes, jobs = Lanes(), Jobs()
    for name in ("a1", "a2"):
        lanes.submit("a", jobs.job(name))
        await jobs.end(name)
        assert lanes.busy == 0
    assert jobs.done == ["a1", "a2"]


@on_virtual_time
async def test_cancel_stops_what_runs_and_drops_what_waits() -> None:
    lanes, jobs = Lanes(), Jobs()
    for name in ("a1", "a2", "b1"):
        lanes.submit(name[0], jobs.job(name))
    await turns()
    await lanes.cancel()
    assert jobs.begun == ["a1", "b1"]
    assert jobs.done == []
    assert lanes.busy == 0
    lanes.submit("a", jobs.job("a3"))
    await jobs.end("a3")
    assert jobs.done == ["a3"]


@on_virtual_time
async def test_a_job_that_raises_is_told_and_its_lane_goes_on() -> None:
    lanes, jobs = Lanes(), Jobs()
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def broken() -> None:
        raise OSError("the disk is full")

    lanes.submit("a", broken)
    lanes.submit("a", jobs.job("a1"))
    await jobs.end("a1")
    assert jobs.done == ["a1"]
    assert [str(context["exception"]) for context in told] == ["the disk is full"]
    await lanes.idle()


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans(), st.integers(0, 2)),
        max_size=30,
    )
)
def test_every_job_runs_once_in_its_lanes_order(plan: list[tuple[str, int, bool, int]]) -> None:
    async def live() -> None:
        lanes = Lanes()
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        began: list[tuple[str, int]] = []
        running: dict[str, int] = defaultdict(int)

        overlaps: list[int] = []

        def job(number: int) -> Callable[[], Awaitable[None]]:
            lane, ticks, fails, _ = plan[number]

            async def work() -> None:
                began.append((lane, number))
                running[lane] += 1
                overlaps.append(running[lane] - 1)
                await asyncio.sleep(ticks)
                running[lane] -= 1
                if fails:
                    raise RuntimeError

            return work

        for number, (lane, _, _, pause) in enumerate(plan):
            lanes.submit(lane, job(number))
            await asyncio.sleep(pause)
        await lanes.idle()
        for lane in "abc":
            expected = [number for number, step in enumerate(plan) if step[0] == lane]
            assert [number for name, number in began if name == lane] == expected
        assert not any(overlaps)

    run(live())


@pytest.mark.parametrize("key", ["a", ("bybit", "default", "BTCUSDT"), object()])
@on_virtual_time
async def test_anything_hashable_is_a_lane(key: object) -> None:
    lanes, jobs = Lanes(), Jobs()
    lanes.submit(key, jobs.job("a1"))
    await jobs.end("a1")
    assert jobs.done == ["a1"]
