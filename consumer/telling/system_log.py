"""The system log: every request to an exchange and to our API, kept in the object store.

Lines are noted in memory, on an order's way and at no more cost than that, and written out in the
background, a compressed object for some minutes of one hour:
`system-logs/2026/01/31/12/2026-01-31T12-00-00-123Z-{replica}-{number}.ndjson.gz`.

It is a log, not a ledger: a crash loses what is still in memory, and while the store is away the
oldest lines give way once the memory is full, which is counted and said.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import structlog

from consumer.telling.logs import to_json
from consumer.telling.offload import back_off, jitter
from consumer.telling.redaction import Scrubber, secrets_of
from providers.observing import CallRecord
from storage.objects.opening import open_store
from storage.objects.store import ObjectStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from consumer.settings import Settings
    from storage.objects.store import ObjectStore
    from storage.settings import ObjectStoreSettings

_log = structlog.get_logger(__name__)

PREFIX = "system-logs"
CONTENT_TYPE = "application/gzip"
_HOUR = 3600
_LONGEST_WAIT = 60.0  # seconds between tries while the store is away
_FLUSH_WITHIN = 5.0  # seconds that a stopping process gives to its last lines
_FASTEST = 1  # gzip's level: a quarter of the time of the default for a tenth more bytes

Line: TypeAlias = (
    "tuple[float, CallRecord | Mapping[str, object]]"  # seconds since 1970, what happened
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What becomes one object; all of one hour."""

    key: str
    lines: Sequence[Line]


class SystemLog:
    """Notes lines and writes them out; one for a process.

    Args:
        store: the bucket of system logs.
        settings: how many lines make an object, how long they wait, how many fit into memory.
        replica: tells processes apart, in keys and lines.
        scrub: takes secrets out of what is written.
        now: seconds since 1970.
    """

    def __init__(
        self,
        store: ObjectStore,
        settings: ObjectStoreSettings,
        replica: str,
        scrub: Scrubber,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._replica = replica
        self._scrub = scrub
        self._now = now
        self._batch_size = settings.system_logs_batch
        self._interval = settings.system_logs_interval
        self._lines: deque[Line] = deque(maxlen=settings.system_logs_memory)
        self._dropped = 0
        self._number = 0
        self._unsent: Batch | None = None
        self._failures = 0
        self._full = asyncio.Event()

    def note(self, line: Mapping[str, object]) -> None:
        """Note a line; never waits, never fails.

        Args:
            line: what happened; `type` says what kind of line it is.
        """
        self._append(line)

    def note_call(self, record: CallRecord) -> None:
        """Note a request to an exchange; those without a key only if they failed."""
        if record.kind != "public" or record.message:
            self._append(record)

    async def run(self) -> None:
        """Write out until cancelled."""
        while True:
            wait = self._interval
            if self._failures:
                wait = back_off(self._failures, _LONGEST_WAIT, jitter())
            try:
                async with asyncio.timeout(wait):
                    await (asyncio.sleep(wait) if self._failures else self._full.wait())
            except TimeoutError:
                pass
            try:
                await self.write_out()
            except Exception:  # noqa: BLE001 - a defect must not end it for good
                _log.exception("system log not written")
                self._unsent = None

    async def flush(self) -> None:
        """Write out what there is, for some seconds at most; says what is lost."""
        try:
            async with asyncio.timeout(_FLUSH_WITHIN):
                await self.write_out()
        except TimeoutError:
            pass
        lost = len(self._lines) + self._dropped + len(self._unsent.lines if self._unsent else ())
        if lost:
            _log.warning("system log lines lost", lines=lost)

    async def write_out(self) -> None:
        """Write out all lines, object by object; stops at the first that the store won't take."""
        self._full.clear()
        while batch := self._unsent or self._next():
            self._unsent = batch
            try:
                body = await asyncio.to_thread(pack, batch.lines, self._replica, self._scrub)
                await self._store.put(batch.key, body, CONTENT_TYPE)
            except ObjectStoreUnavailable as error:
                self._failures += 1
                if self._failures == 1:
                    _log.warning("object store away, system log waits", error=str(error))
                return
            self._unsent = None
            if self._failures:
                self._failures = 0
                _log.info("object store there again, system log goes on")

    def _append(self, what: CallRecord | Mapping[str, object]) -> None:
        lines = self._lines
        if len(lines) == lines.maxlen:
            self._dropped += 1
        lines.append((self._now(), what))
        if len(lines) >= self._batch_size:
            self._full.set()

    def _next(self) -> Batch | None:
        """Take the lines of the next object, all of the same hour."""
        if self._dropped:
            dropped, self._dropped = self._dropped + 1, 0  # and the one whose place is taken now
            _log.warning("system log memory full, oldest lines dropped", lines=dropped)
            first = self._lines.popleft()[0]
            self._lines.appendleft((first, {"type": "dropped", "lines": dropped}))
        if not self._lines:
            return None
        hour = self._lines[0][0] // _HOUR
        lines: list[Line] = []
        while self._lines and len(lines) < self._batch_size:
            if self._lines[0][0] // _HOUR != hour:
                break
            lines.append(self._lines.popleft())
        self._number += 1
        return Batch(object_key(lines[0][0], self._replica, self._number), lines)


def object_key(at: float, replica: str, number: int) -> str:
    """Name an object by the time of its first line. Pure."""
    moment = datetime.fromtimestamp(at, UTC)
    stamp = _iso(at).replace(":", "-").replace(".", "-")
    return f"{PREFIX}/{moment:%Y/%m/%d/%H}/{stamp}-{replica}-{number}.ndjson.gz"


def pack(lines: Sequence[Line], replica: str, scrub: Scrubber) -> bytes:
    """Write lines as compressed NDJSON, oldest first, without secrets. Pure."""
    text = b"".join(
        to_json({"at": _iso(at), "replica": replica, **_document(what)}) + b"\n"
        for at, what in lines
    )
    return gzip.compress(scrub.data(text), _FASTEST, mtime=0)


def _document(what: CallRecord | Mapping[str, object]) -> Mapping[str, object]:
    if not isinstance(what, CallRecord):
        return what
    document = {
        "type": "exchange_call",
        "exchange": what.exchange,
        "kind": what.kind,
        "method": what.method,
        "path": what.path,
        "client_order_id": what.client_order_id,
        "status": what.status,
        "outcome": what.outcome,
        "code": what.code,
        "message": what.message or None,
        "ms": round(what.seconds * 1000, 3),
    }
    return {name: value for name, value in document.items() if value is not None}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@asynccontextmanager
async def open_system_log(settings: Settings, replica: str) -> AsyncIterator[SystemLog | None]:
    """Run a system log for as long as the context lasts; its end writes out what is left.

    Returns:
        None where `SYSTEM_LOGS` is off.

    Raises:
        ObjectStoreMisconfigured: the settings lead to no store.
    """
    if not settings.system_logs:
        yield None
        return
    async with open_store(settings, settings.system_logs_bucket) as store:
        log = SystemLog(store, settings, replica, Scrubber(secrets_of(settings)))
        writing = asyncio.create_task(log.run(), name="system-log")
        try:
            yield log
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await log.flush()
