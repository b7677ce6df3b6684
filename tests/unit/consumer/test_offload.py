"""Uploading reports while the store or the ledger comes and goes: nothing lost, nothing in a hurry.

Against an outbox and a store in memory, in time that jumps.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.gate import LedgerGate
from consumer.telling.offload import Offload, back_off
from storage.errors import LedgerUnavailable
from storage.objects.store import ObjectInfo, ObjectNotFound, ObjectStoreUnavailable
from storage.outbox import REPORT, Backlog, OrderStory, Outbox, OutboxEntry, PutBack
from storage.settings import ObjectStoreSettings
from tests.fakes.finished_orders import DENIED, EVENTS, FILLED
from tests.fakes.virtual_time import START, on_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping, Sequence

SETTINGS = ObjectStoreSettings(
    offload_interval=1.0, offload_concurrency=4, offload_per_second=1000.0
)
LEASE = 60.0  # seconds; longer than any wait of these tests but one


@dataclass
class Row:
    """A row of the outbox in memory; `due` is in the loop's time."""

    request_id: str
    due: float = 0.0
    attempts: int = 0
    error: str | None = None


class FakeOutbox(Outbox):
    """The outbox in memory. While `away`, every call fails."""

    def __init__(self, count: int) -> None:
        self.rows = {number: Row(f"r-{number}") for number in range(count)}
        self.missing: set[str] = set()
        self.broken: set[str] = set()
        self.taken: list[int] = []
        self.away = False

    async def take(
        self, kind: str, most: int, lease: timedelta, overdue: timedelta = timedelta(0)
    ) -> Sequence[OutboxEntry]:
        await self._answer()
        assert kind == REPORT
        now = asyncio.get_running_loop().time() - overdue.total_seconds()
        due = sorted((row.due, number) for number, row in self.rows.items() if row.due <= now)
        taken = [number for _, number in due[:most]]
        for number in taken:
            self.rows[number].due = now + lease.total_seconds()
            self.rows[number].attempts += 1
        self.taken.append(len(taken))
        return [
            OutboxEntry(number, REPORT, self.rows[number].request_id, self.rows[number].attempts)
            for number in taken
        ]

    async def done(self, entries: Sequence[OutboxEntry]) -> None:
        await self._answer()
        for entry in entries:
            self.rows.pop(entry.id, None)

    async def put_back(self, items: Sequence[PutBack]) -> None:
        await self._answer()
        for item in items:
            row = self.rows[item.entry.id]
            if row.attempts == item.entry.attempts:
                row.due = asyncio.get_running_loop().time() + item.wait.total_seconds()
                row.attempts -= item.error is None
                row.error = item.error or row.error

    async def backlog(self, kind: str) -> Backlog:
        raise NotImplementedError

    async def stories(self, request_ids: Sequence[str]) -> Mapping[str, OrderStory]:
        await self._answer()
        return {
            name: OrderStory(
                replace(
                    FILLED if int(name[2:]) % 2 else DENIED,
                    request_id=name,
                    finished_at=None if name in self.broken else FILLED.finished_at,
                ),
                EVENTS,
            )
            for name in request_ids
            if name not in self.missing
        }

    async def _answer(self) -> None:
        await asyncio.sleep(0.001)
        if self.away:
            raise LedgerUnavailable("the database is away")


@dataclass
class FakeStore:
    """A store in memory. While `away`, every call fails; `most_at_once` was seen."""

    objects: dict[str, bytes] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)
    away: bool = False
    at_once: int = 0
    most_at_once: int = 0
    seconds: float = 0.01

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        assert content_type == "application/json"
        self.puts.append(key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if self.away:
            raise ObjectStoreUnavailable("S3: nobody is there")
        self.objects[key] = body

    async def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise ObjectNotFound(key)
        return self.objects[key]

    async def head(self, key: str) -> ObjectInfo | None:
        return ObjectInfo(key, len(self.objects[key]), START) if key in self.objects else None

    async def list_objects(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield ObjectInfo(key, len(self.objects[key]), START)


@dataclass
class Bench:
    """An offload at work, and what it works on."""

    outbox: FakeOutbox
    store: FakeStore
    gate: LedgerGate

    async def until(self, what: Callable[[], bool], *, within: float = 600.0) -> None:
        deadline = asyncio.get_running_loop().time() + within
        while not what():
            assert asyncio.get_running_loop().time() < deadline, "it did not come to that"
            await asyncio.sleep(0.05)

    async def seconds(self, count: float) -> None:
        await asyncio.sleep(count)


@asynccontextmanager
async def offloading(
    outbox: FakeOutbox, store: FakeStore, settings: ObjectStoreSettings = SETTINGS
) -> AsyncIterator[Bench]:
    async def probe() -> None:
        if outbox.away:
            raise LedgerUnavailable("still away")

    gate = LedgerGate(probe)
    task = asyncio.create_task(Offload(outbox, store, settings, gate).run())
    try:
        yield Bench(outbox, store, gate)
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await gate.aclose()


def lines(logs: list[MutableMapping[str, Any]], level: str) -> list[str]:
    return [line["event"] for line in logs if line["log_level"] == level]


@on_virtual_time
async def test_reports_are_uploaded_and_their_rows_deleted(
    logs: list[MutableMapping[str, Any]],
) -> None:
    outbox, store = FakeOutbox(100), FakeStore()

    async with offloading(outbox, store) as bench:
        await bench.until(lambda: not outbox.rows)

    assert len(store.objects) == len(store.puts) == 100
    assert store.most_at_once == SETTINGS.offload_concurrency
    assert lines(logs, "warning") == lines(logs, "error") == []


@on_virtual_time
async def test_full_takes_follow_each_other_and_a_part_waits_for_the_next_look() -> None:
    outbox, store = FakeOutbox(64), FakeStore(seconds=0)
    began = asyncio.get_running_loop().time()

    async with offloading(outbox, store) as bench:
        await bench.until(lambda: not outbox.rows)
        assert asyncio.get_running_loop().time() - began < SETTINGS.offload_interval
        outbox.taken.clear()
        await bench.seconds(5 * SETTINGS.offload_interval)

    assert outbox.taken
    assert set(outbox.taken) == {0}
    assert len(outbox.taken) <= 5


@on_virtual_time
async def test_uploads_begin_no_faster_than_told() -> None:
    outbox, store = FakeOutbox(50), FakeStore(seconds=0)
    slow = SETTINGS.model_copy(update={"offload_per_second": 10.0})
    began = asyncio.get_running_loop().time()

    async with offloading(outbox, store, slow) as bench:
        await bench.until(lambda: not outbox.rows)

    assert asyncio.get_running_loop().time() - began >= 4.9


@on_virtual_time
async def test_a_store_that_is_away_is_noted_once_and_tried_with_one_report_at_a_time(
    logs: list[MutableMapping[str, Any]],
) -> None:
    outbox, store = FakeOutbox(200), FakeStore(away=True)

    async with offloading(outbox, store) as bench:
        await bench.until(lambda: any(row.error for row in outbox.rows.values()))
        assert len(store.puts) == SETTINGS.offload_concurrency
        await bench.seconds(3600)
        assert len(outbox.rows) == 200
        untouched = [row for row in outbox.rows.values() if row.error is None]
        assert all(row.attempts == 0 for row in untouched)
        assert max(outbox.taken[1:]) == 1
        tries = len(store.puts)
        assert 3600 / 30 <= tries <= 3600 / 15 + 20  # a probe every 15 to 30 s, after a few quick
        store.away = False
        await bench.until(lambda: len(outbox.rows) < 100, within=31)
        await bench.until(lambda: not outbox.rows)

    assert len(store.objects) == 200
    assert lines(logs, "warning") == ["object store away, reports wait in the outbox"]
    assert lines(logs, "info") == ["object store there again, reports go on"]


@on_virtual_time
async def test_a_report_waits_at_most_five_minutes_for_its_next_try() -> None:
    outbox, store = FakeOutbox(1), FakeStore(away=True)

    async with offloading(outbox, store) as bench:
        await bench.until(lambda: outbox.rows[0].attempts >= 12, within=3600)
        store.away = False
        await bench.until(lambda: not outbox.rows, within=300 + 30 + 2)


@on_virtual_time
async def test_a_report_that_cannot_be_built_holds_up_no_other(
    logs: list[MutableMapping[str, Any]],
) -> None:
    outbox, store = FakeOutbox(10), FakeStore()
    outbox.broken = {"r-3"}

    async with offloading(outbox, store) as bench:
        await bench.until(lambda: set(outbox.rows) == {3})
        await bench.until(lambda: outbox.rows[3].attempts >= 3)
        assert (outbox.rows[3].error or "").startswith("ValueError: order 'r-3'")
        outbox.broken = set()
        await bench.until(lambda: not outbox.rows)

    assert len(store.objects) == 10
    assert lines(logs, "warning") == []


@on_virtual_time
async def test_an_order_that_somebody_removed_is_dropped_with_a_warning(
    logs: list[MutableMapping[str, Any]],
) -> None:
    outbox, store = FakeOutbox(3), FakeStore()
    outbox.missing = {"r-1"}

    async with offloading(outbox, store) as bench:
        await bench.until(lambda: not outbox.rows)

    assert len(store.objects) == 2
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert warning["request_id"] == "r-1"


@on_virtual_time
async def test_while_the_ledger_is_away_the_gate_is_shut_and_nothing_is_lost() -> None:
    outbox, store = FakeOutbox(40), FakeStore()

    async with offloading(outbox, store) as bench:
        await bench.until(lambda: len(store.objects) >= 8)
        outbox.away = True
        await bench.until(lambda: not bench.gate.is_open)
        await bench.seconds(120)
        outbox.away = False
        await bench.until(lambda: not outbox.rows)

    assert len(store.objects) == 40


@on_virtual_time
async def test_rows_of_one_that_was_cancelled_come_back_when_the_lease_ends() -> None:
    outbox, store = FakeOutbox(20), FakeStore(seconds=5)
    async with offloading(outbox, store) as bench:
        await bench.until(lambda: store.at_once > 0)
    assert len(outbox.rows) == 20

    store.seconds = 0.01
    async with offloading(outbox, store) as bench:
        await bench.until(lambda: not outbox.rows, within=LEASE + 2)

    assert len(store.objects) == 20


@on_virtual_time
async def test_a_defect_does_not_end_it(
    logs: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox, store = FakeOutbox(1), FakeStore()
    answers = iter([RuntimeError("a defect")])
    stories = outbox.stories

    async def broken(request_ids: Sequence[str]) -> Mapping[str, OrderStory]:
        for error in answers:
            raise error
        return await stories(request_ids)

    monkeypatch.setattr(outbox, "stories", broken)

    async with offloading(outbox, store) as bench:
        await bench.until(lambda: not outbox.rows, within=LEASE + 5)

    assert lines(logs, "error") == ["offloading reports failed"]


@given(st.integers(1, 10_000), st.floats(1, 600), st.floats(0, 1))
def test_waits_grow_to_a_cap_and_spread_over_half_of_it(
    failures: int, longest: float, spread: float
) -> None:
    wait = back_off(failures, longest, spread)

    assert min(0.5, longest / 2) <= wait <= longest
    assert wait <= back_off(failures + 1, longest, spread)
    assert back_off(failures, longest, 1) * 2 == pytest.approx(back_off(failures, longest, 0))
