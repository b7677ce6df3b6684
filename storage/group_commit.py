"""Let writes that are wanted at the same time share one statement and one commit.

While one group is being written, the next one gathers; a lone write is not kept waiting. When one
is written, what waits is left to gather for a few turns of the event loop more: these take no time
while the loop is idle, and are as long as it is busy, when a statement for each few costs most.
Knows nothing of what is written.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """Gathers items and hands them to `run` in groups; each caller gets its own item's result.

    Args:
        run: writes a group and returns one result an item, in order. An exception goes to every
            caller of the group, unless `alone` says that it may be one item's own fault: then
            the items are written one by one.
        key: two items with an equal key never stand in one group.
        alone: tells for an exception whether to write the group's items one by one.
        most: largest group.
        turns: of the event loop, in which what waits gathers once a group is written: the more,
            the larger the groups, and the longer what waits has to.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        key: Callable[[T], Hashable],
        alone: Callable[[Exception], bool] = lambda _: False,
        most: int = 200,
        turns: int = 2,
    ) -> None:
        self._run = run
        self._key = key
        self._alone = alone
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._turns = turns
        self._writer: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """Write one item with whatever else is waiting; raises what writing it raised."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="group-commit")
        return await future

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write(self._take())
                for _ in range(self._turns):
                    await asyncio.sleep(0)
        finally:
            self._writer = None

    async def _write(self, group: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._run([item for item, _ in group])
        except Exception as error:  # noqa: BLE001 - every error belongs to the callers
            if len(group) > 1 and self._alone(error):
                for entry in group:
                    await self._write_one(*entry)
            else:
                _settle(group, error)
        else:
            for (_, future), result in zip(group, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _write_one(self, item: T, future: asyncio.Future[R]) -> None:
        try:
            (result,) = await self._run([item])
        except Exception as error:  # noqa: BLE001 - as above
            _settle([(item, future)], error)
        else:
            if not future.done():
                future.set_result(result)

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        """Take the next group off the waiting list, leaving items whose key is in it already."""
        group: list[tuple[T, asyncio.Future[R]]] = []
        left: list[tuple[T, asyncio.Future[R]]] = []
        keys: set[Hashable] = set()
        for entry in self._waiting:
            key = self._key(entry[0])
            if len(group) < self._most and key not in keys:
                keys.add(key)
                group.append(entry)
            else:
                left.append(entry)
        self._waiting = left
        return group


def _settle(group: list[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
