"""Uploading the reports of finished orders, from the outbox to the object store.

Never in an order's way: an order is finished once the ledger says so, and its report waits in the
outbox for as long as the store is away. Stopping is no different from crashing: rows that were
taken come back when their lease ends, and uploading a report again changes nothing.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from consumer.telling.reports import CONTENT_TYPE, report_body, report_key
from storage.errors import LedgerUnavailable
from storage.objects.store import ObjectStoreUnavailable
from storage.outbox import REPORT, Outbox, PutBack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from consumer.gate import LedgerGate
    from storage.objects.store import ObjectStore
    from storage.outbox import OrderStory, OutboxEntry
    from storage.settings import ObjectStoreSettings

_log = structlog.get_logger(__name__)

_MOST = 32  # rows of one take
_LEASE = timedelta(seconds=60)
_NOW = timedelta(0)
_FIRST_WAIT = 1.0  # seconds
_LONGEST_WAIT = 300.0  # of one report
_LONGEST_PROBE = 30.0  # between tries whether a store that was away is back


def back_off(failures: int, longest: float, spread: float) -> float:
    """Say how many seconds to wait after so many failures in a row: doubling, capped. Pure.

    Args:
        failures: from 1.
        longest: the cap, in seconds.
        spread: 0 to 1, random; takes away up to half, so that workers don't move in step.
    """
    doublings = min(failures - 1, 20)  # beyond that the cap holds anyway
    return float(min(_FIRST_WAIT * 2**doublings, longest) * (1 - spread / 2))


class Offload:
    """Takes rows, builds reports, uploads them; one for a process.

    While the store is away, one report is tried now and then, the others stay untouched. So do
    those that have not waited for as long as `left_for` says.
    """

    def __init__(
        self,
        outbox: Outbox,
        store: ObjectStore,
        settings: ObjectStoreSettings,
        gate: LedgerGate,
        left_for: Callable[[], timedelta] = timedelta,
    ) -> None:
        self._left_for = left_for
        self._outbox = outbox
        self._store = store
        self._gate = gate
        self._interval = settings.offload_interval
        self._concurrency = settings.offload_concurrency
        self._gap = 1 / settings.offload_per_second  # seconds from one upload's start to the next
        self._next_start = 0.0  # by the event loop's clock
        self._failures = 0  # of the store, in a row

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._gate.wait_open()
            more = False
            try:
                more = await self.offload_some()
            except LedgerUnavailable as error:
                self._gate.report(error)
                continue
            except Exception:  # noqa: BLE001 - a defect must not end it for good
                _log.exception("offloading reports failed")
            if self._failures:
                await asyncio.sleep(back_off(self._failures, _LONGEST_PROBE, jitter()))
            elif not more:
                await asyncio.sleep(self._interval)

    async def offload_some(self) -> bool:
        """Take rows once and do what can be done for them; True if more are likely to be due.

        Raises:
            LedgerUnavailable: rows that were taken come back when their lease ends.
        """
        most = 1 if self._failures else _MOST
        entries = await self._outbox.take(REPORT, most, _LEASE, self._left_for())
        if not entries:
            return False
        stories = await self._outbox.stories([entry.request_id for entry in entries])
        done, back = await self._upload_all(entries, stories)
        await self._outbox.done(done)
        await self._outbox.put_back(back)
        return len(entries) == most

    async def _upload_all(
        self, entries: Sequence[OutboxEntry], stories: Mapping[str, OrderStory]
    ) -> tuple[list[OutboxEntry], list[PutBack]]:
        done: list[OutboxEntry] = []
        back: list[PutBack] = []
        away: ObjectStoreUnavailable | None = None
        places = asyncio.Semaphore(self._concurrency)

        async def one(entry: OutboxEntry) -> None:
            nonlocal away
            async with places:
                await self._turn()
                if away is not None:
                    back.append(PutBack(entry, _NOW))
                    return
                try:
                    await self._upload(entry, stories.get(entry.request_id))
                except ObjectStoreUnavailable as error:
                    away = error
                    back.append(_later(entry, error))
                except Exception as error:  # noqa: BLE001 - one report must not hold up the others
                    _log.exception("report not uploaded", request_id=entry.request_id)
                    back.append(_later(entry, error))
                else:
                    done.append(entry)

        await asyncio.gather(*(one(entry) for entry in entries))
        self._note(away, any_done=bool(done))
        return done, back

    async def _upload(self, entry: OutboxEntry, story: OrderStory | None) -> None:
        if story is None:
            # Somebody removed the order by hand; there is nothing left to tell.
            _log.warning(
                "report dropped: the ledger has no such order", request_id=entry.request_id
            )
            return
        key = report_key(story.row)
        await self._store.put(key, report_body(story.row, story.events), CONTENT_TYPE)
        _log.debug("report uploaded", request_id=entry.request_id, key=key)

    async def _turn(self) -> None:
        """Wait for this upload's turn.

        To prepare one for S3 keeps the event loop busy for some milliseconds, in which no order
        moves: they are not started all at once.
        """
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + self._gap
        await asyncio.sleep(start - now)

    def _note(self, away: ObjectStoreUnavailable | None, *, any_done: bool) -> None:
        """Keep in mind whether the store is there; say so when that changes, and only then."""
        if away is not None:
            self._failures += 1
            if self._failures == 1:
                _log.warning("object store away, reports wait in the outbox", error=str(away))
        elif any_done and self._failures:
            self._failures = 0
            _log.info("object store there again, reports go on")


def _later(entry: OutboxEntry, error: Exception) -> PutBack:
    wait = timedelta(seconds=back_off(entry.attempts, _LONGEST_WAIT, jitter()))
    text = str(error)
    return PutBack(entry, wait, f"{type(error).__name__}: {text}" if text else type(error).__name__)


def jitter() -> float:
    """Give the spread of one wait, 0 to 1."""
    return random.random()  # noqa: S311 - no secret
