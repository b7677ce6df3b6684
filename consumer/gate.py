"""A gate that is shut while the ledger can't be reached, and opens by itself when it can again.

While it is shut nothing is taken from the queue and nothing is sent.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_log = structlog.get_logger(__name__)
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 2.0


class LedgerGate:
    """Shut it with `report`; it probes the ledger with jittered back-off and opens again.

    Args:
        probe: raises `LedgerUnavailable` while the ledger is away.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]]) -> None:
        self._probe = probe
        self._open = asyncio.Event()
        self._open.set()
        self._shut = asyncio.Event()
        self._prober: asyncio.Task[None] | None = None
        self._shut_at = 0.0

    @property
    def shut_for(self) -> float:
        """Seconds since it was shut; 0 while it is open."""
        return 0.0 if self.is_open else asyncio.get_running_loop().time() - self._shut_at

    @property
    def is_open(self) -> bool:
        """True while the ledger is believed to be there."""
        return self._open.is_set()

    def report(self, error: LedgerUnavailable) -> None:
        """Shut the gate because of an error, and start to probe."""
        if not self._open.is_set():
            return
        _log.warning("ledger unreachable, trading paused", error=str(error))
        self._shut_at = asyncio.get_running_loop().time()
        self._open.clear()
        self._shut.set()
        self._prober = asyncio.create_task(self._reopen(), name="ledger-probe")

    async def wait_open(self) -> None:
        """Return once the gate is open."""
        await self._open.wait()

    async def wait_shut(self) -> None:
        """Return once the gate is shut."""
        await self._shut.wait()

    async def aclose(self) -> None:
        """Stop probing."""
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.gather(self._prober, return_exceptions=True)

    async def _reopen(self) -> None:
        wait = _FIRST_WAIT
        while True:
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            try:
                await self._probe()
            except Exception as error:  # noqa: BLE001 - a prober that ended would never open it
                if not isinstance(error, LedgerUnavailable):
                    _log.warning("ledger probe failed", error=repr(error))
                wait = min(wait * 2, _LONGEST_WAIT)
                continue
            _log.info("ledger reachable again, trading resumed")
            self._shut.clear()
            self._open.set()
            return
