"""Ending what runs beside the intake."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from consumer.assembly import _end
from consumer.queue.topology import Topology
from consumer.watching.observer import Circuits, Observer
from consumer.watching.vitals import Vitals
from providers.clock import SystemClock
from tests.fakes.messages import settings


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    begun = asyncio.Event()
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        begun.set()
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1

    task = asyncio.create_task(stubborn())
    await begun.wait()

    await asyncio.wait_for(_end(task), 10)

    assert task.done()
    assert swallowed == 2


class Stubborn(Observer):
    """One of its looks swallows the first cancellation, as a wait with a deadline may."""

    def __init__(self) -> None:
        nothing = cast("Any", None)
        made = settings()
        circuits = Circuits(nothing, nothing, nothing)
        super().__init__(
            Vitals(1), made, Topology.of(made), nothing, circuits, SystemClock(), nothing
        )
        self.begun = asyncio.Event()
        self.ended = False

    async def _watch_ledger(self) -> None:
        await asyncio.Event().wait()

    async def _watch_queues(self) -> None:
        self.begun.set()
        try:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.Event().wait()
        finally:
            self.ended = True


async def test_an_observer_has_ended_when_all_of_its_looks_have() -> None:
    observer = Stubborn()
    task = asyncio.create_task(observer.run())
    await observer.begun.wait()

    await asyncio.wait_for(_end(task), 10)

    assert observer.ended
