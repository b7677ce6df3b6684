"""Lanes: work with the same key runs one after the other in order, other keys run beside it.

A lane is one (exchange, account, symbol): two orders for the same position never race. Knows
nothing of messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    Job = Callable[[], Awaitable[None]]


class Lanes:
    """Runs jobs in order within their lane.

    A job must not raise; one that does is told to the event loop's exception handler, and its
    lane goes on.

    Args:
        done: called with a lane when its last job is done, before the lane ends; jobs may come
            meanwhile.
    """

    def __init__(self, done: Callable[[Any], Awaitable[None]] | None = None) -> None:
        self._done = done
        self._waiting: dict[Hashable, deque[Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, lane: Hashable, job: Job) -> None:
        """Start a job, or line it up behind the ones of its lane."""
        queue = self._waiting.get(lane)
        if queue is not None:
            queue.append(job)
            return
        self._waiting[lane] = deque((job,))
        task = asyncio.create_task(self._run(lane), name="lane")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def waiting(self, lane: Hashable) -> bool:
        """True if a job waits behind the one that runs."""
        return bool(self._waiting.get(lane))

    @property
    def busy(self) -> int:
        """How many lanes are running."""
        return len(self._tasks)

    async def idle(self) -> None:
        """Wait until no job is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Stop whatever runs; jobs that wait are dropped."""
        self._waiting.clear()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, lane: Hashable) -> None:
        while queue := self._waiting.get(lane):
            try:
                await queue.popleft()()
                if not queue and self._done is not None:
                    await self._done(lane)
            except Exception as error:  # noqa: BLE001 - a lane that ended here would never go on
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a job of lane {lane} raised", "exception": error}
                )
        self._waiting.pop(lane, None)
