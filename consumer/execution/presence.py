"""A worker's sign of life to the other replicas, given from its first moment to its last.

Without it a worker's lanes and orders go to others, and no intent of its own is committed. When the
line is cut the others may take over at once, so it is mended at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from storage.errors import LedgerUnavailable
from storage.workers import session

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from consumer.execution.start_gate import StartGate
    from storage.settings import StorageSettings

_log = structlog.get_logger(__name__)
_BEATS = 5  # signs of life within the time that one of them counts
_AGAIN = 0.2  # seconds before a line that was cut is tried again


class Presence:
    """Says that a worker is alive.

    Args:
        settings: where the database is.
        owner: the worker.
        alive_for: how long a sign of life counts.
        start_gate: knows the accounts that it does not open positions on now, and why.
    """

    def __init__(
        self,
        settings: StorageSettings,
        owner: UUID,
        alive_for: timedelta,
        start_gate: StartGate,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._alive_for = alive_for
        self._start_gate = start_gate
        self._changed = asyncio.Event()
        start_gate.on_change = self.tell

    def tell(self) -> None:
        """Give the next sign at once, because what it says has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled."""
        lost = False
        while True:
            try:
                async with session(self._settings, self._owner, self._alive_for, self.tell) as ours:
                    while True:
                        await ours.beat(self._start_gate.shut)
                        lost = False
                        await self._next()
            except LedgerUnavailable as error:
                if not lost:
                    _log.warning("the sign of life can't be given", error=str(error))
                lost = True
            except Exception:  # noqa: BLE001 - if it ended here, our lanes would be lost for good
                _log.exception("the sign of life failed")
            await asyncio.sleep(_AGAIN)

    async def _next(self) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), self._alive_for.total_seconds() / _BEATS)
        except TimeoutError:
            return
        self._changed.clear()
