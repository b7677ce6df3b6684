"""Work that goes on in a thread of its own, with a loop of its own, while tests run."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Background(Generic[T]):
    """One coroutine under way from the moment this is made."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(work)
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(self._run)

    async def result(self) -> T:
        """Wait for the result; raises what the work raised."""
        return await asyncio.wrap_future(self._future)

    def stop(self) -> None:
        """End it, unless it has ended; what it opened is closed before this returns."""
        if not self._future.done():
            self._loop.call_soon_threadsafe(self._task.cancel)
        try:
            self._future.exception()
        except CancelledError:
            pass
        finally:
            self._pool.shutdown()

    def _run(self) -> T:
        try:
            return self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            raise CancelledError from None
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
