"""The outbox in a real database, and the way of a report from there to a real S3 endpoint."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from consumer.gate import LedgerGate
from consumer.telling.offload import Offload
from consumer.telling.reports import report_body, report_key
from deploy import local_services
from storage import migrate, postgres
from storage.errors import ClaimLost
from storage.objects.folder import FolderStore
from storage.objects.opening import open_store
from storage.outbox import REPORT, Outbox, OutboxEntry, PutBack
from storage.settings import StorageSettings
from storage.states import OrderState as S
from tests.support.ledgers import change, claimed, intent, open_ledger
from tests.support.messages import trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from deploy.local_services import LocalServices
    from storage.ledger import ChangeDetails, Ledger
    from storage.objects.store import ObjectStore
    from storage.orders import OrderRow
    from storage.postgres import Database
    from tests.conftest import NewWorld

SECRET = "do-not-print"
NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
FAR = timedelta(hours=1)
PRICE = Decimal("12345678901234567890.123456789012345678")  # more digits than a float holds


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalServices]:
    """An S3 endpoint of the module's own, which its tests may stop."""
    with local_services.start(
        f"test-{os.getpid()}-outbox", rabbitmq=False, postgres=False, s3=True, environ={}
    ) as started:
        yield started


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return open_ledger(database)


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


async def walk(ledger: Ledger, request_id: str, *states: S) -> OrderRow:
    """Claim a new order and take it through these states."""
    row = await claimed(
        ledger,
        request_id,
        quantity=Decimal("0.0050"),
        payload={"requestId": request_id, "action": "LONG", "quantity": "0.0050"},
        queued_at=NOW,
    )
    before = row.state
    for after in states:
        if after is S.SENDING:
            await ledger.begin_sending(intent(row, before=before))
        else:
            await ledger.record(change(row, before, after, **told(row, after)))
        before = after
    return row


async def fill(ledger: Ledger, count: int) -> list[str]:
    """Have so many orders filled."""
    names = [f"order/{number:03d} é" for number in range(count)]
    path = (S.SENDING, S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED)
    for name in names:  # one after the other: they are all of one lane
        await walk(ledger, name, *path)
    return names


def told(row: OrderRow, state: S) -> ChangeDetails:
    """What an exchange tells of an order in its book."""
    if state not in {S.ACCEPTED, S.FILLED}:
        return {}
    return {
        "exchange_order_id": f"e-{row.request_id}",
        "sent_at": NOW + timedelta(seconds=0.25),
        "average_price": PRICE,
        "fee": Decimal("0.10"),
        "fee_currency": "USDT",
    }


async def waiting(database: Database) -> list[tuple[str, str]]:
    rows = await database.fetch("SELECT kind, request_id FROM outbox ORDER BY id")
    return [(row["kind"], row["request_id"]) for row in rows]


async def stored(store: ObjectStore) -> list[str]:
    return [info.key async for info in store.list_objects()]


# Writing.


@pytest.mark.parametrize(
    "path",
    [
        [S.DENIED],
        [S.EXPIRED],
        [S.CANCELED],
        [S.SENDING, S.REJECTED],
        [S.SENDING, S.ACCEPTED, S.FILLED],
        [S.SENDING, S.ACCEPTED, S.CANCELED],
        [S.SENDING, S.UNKNOWN, S.QUARANTINED, S.FILLED],
    ],
)
async def test_an_order_that_becomes_finished_puts_one_report_into_the_outbox(
    database: Database, ledger: Ledger, path: list[S]
) -> None:
    row = await walk(ledger, "r-1", *path)
    assert await waiting(database) == [(REPORT, "r-1")]

    # Said again, as after a lost answer: that is no second end.
    await ledger.record(change(row, path[-1], path[-1]))
    assert await waiting(database) == [(REPORT, "r-1")]


@pytest.mark.parametrize(
    "path",
    [
        [],
        [S.DEFERRED],
        [S.SENDING],
        [S.SENDING, S.UNKNOWN],
        [S.SENDING, S.ACCEPTED, S.PARTIALLY_FILLED],
        [S.SENDING, S.ACCEPTED, S.QUARANTINED],
    ],
)
async def test_an_order_that_is_not_finished_puts_none(
    database: Database, ledger: Ledger, path: list[S]
) -> None:
    await walk(ledger, "r-1", *path)

    assert await waiting(database) == []


async def test_neither_the_end_nor_its_report_is_there_without_the_other(
    database: Database,
    ledger: Ledger,
) -> None:
    row = await walk(ledger, "r-1", S.SENDING, S.ACCEPTED)

    with pytest.raises(ClaimLost):
        await ledger.record(change(replace(row, fence=99), S.ACCEPTED, S.FILLED))
    assert await waiting(database) == []

    await database.execute("ALTER TABLE outbox ADD CONSTRAINT refuse CHECK (kind <> 'report')")
    try:
        with pytest.raises(asyncpg.CheckViolationError):
            await ledger.record(change(row, S.ACCEPTED, S.FILLED))
    finally:
        await database.execute("ALTER TABLE outbox DROP CONSTRAINT refuse")
    rows = await database.fetch("SELECT state FROM orders")
    assert [row["state"] for row in rows] == [S.ACCEPTED]

    await ledger.record(change(row, S.ACCEPTED, S.FILLED))
    assert await waiting(database) == [(REPORT, "r-1")]


async def test_orders_that_finished_before_there_was_an_outbox_are_reported_as_well(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = migrate.known()[:1]
    database = await postgres.connect(
        StorageSettings(database_url=empty_database_url), give_up_after=10
    )
    try:
        with monkeypatch.context() as older:
            older.setattr(migrate, "known", lambda: first)
            await migrate.migrate(database)
        for state, day in ((S.FILLED, "2026-01-02"), (S.DENIED, "2026-01-01"), (S.UNKNOWN, None)):
            await database.execute(
                "INSERT INTO orders (request_id, client_order_id, fingerprint, payload, exchange, "
                "account, symbol, action, quantity, received_at, state, finished_at) "
                "VALUES ($1, $1, '', '{}', 'bybit', 'default', 'BTCUSDT', 'LONG', 1, now(), $1, "
                "$2::text::timestamptz)",
                state,
                day,
            )

        await migrate.migrate(database)

        assert await waiting(database) == [(REPORT, S.DENIED), (REPORT, S.FILLED)]
    finally:
        await database.aclose()


# Taking.


async def test_no_row_is_taken_twice_however_many_take(ledger: Ledger, outbox: Outbox) -> None:
    names = await fill(ledger, 100)

    async def take_all() -> list[OutboxEntry]:
        mine: list[OutboxEntry] = []
        while taken := await outbox.take(REPORT, 7, FAR):
            mine.extend(taken)
        return mine

    shares = await asyncio.gather(*(take_all() for _ in range(5)))

    taken = [entry.request_id for share in shares for entry in share]
    assert sorted(taken) == sorted(names)
    assert (await outbox.backlog(REPORT)).count == 100


async def test_rows_can_be_left_until_they_are_overdue(
    database: Database, ledger: Ledger, outbox: Outbox
) -> None:
    await fill(ledger, 3)
    minute = timedelta(minutes=1)
    assert await outbox.take(REPORT, 10, FAR, minute) == []

    await database.execute("UPDATE outbox SET available_at = available_at - interval '61 s'")

    assert len(await outbox.take(REPORT, 10, FAR, minute)) == 3


async def test_rows_of_a_worker_that_vanished_come_back(ledger: Ledger, outbox: Outbox) -> None:
    await fill(ledger, 3)
    first = await outbox.take(REPORT, 10, timedelta(milliseconds=100))
    assert await outbox.take(REPORT, 10, FAR) == []

    second: Sequence[OutboxEntry] = await eventually(lambda: outbox.take(REPORT, 10, FAR))

    assert {entry.id for entry in second} == {entry.id for entry in first}
    assert {entry.attempts for entry in second} == {2}


async def test_a_row_given_back_waits_and_one_that_was_not_tried_does_not(
    database: Database, ledger: Ledger, outbox: Outbox
) -> None:
    await fill(ledger, 2)
    tried, untried = await outbox.take(REPORT, 2, FAR)

    await outbox.put_back(
        [PutBack(tried, FAR, "S3: away " + "x" * 1000), PutBack(untried, timedelta(0))]
    )

    (again,) = await outbox.take(REPORT, 2, FAR)
    assert (again.id, again.attempts) == (untried.id, 1)
    (row,) = await database.fetch(
        "SELECT attempts, last_error, available_at > now() AS later FROM outbox WHERE id = $1",
        tried.id,
    )
    assert (row["attempts"], row["last_error"][:8], row["later"]) == (1, "S3: away", True)
    assert len(row["last_error"]) == 500


async def test_one_who_is_too_late_can_finish_a_row_but_not_give_it_back(
    ledger: Ledger, outbox: Outbox
) -> None:
    await fill(ledger, 1)
    (late,) = await outbox.take(REPORT, 1, timedelta(0))
    (now,) = await outbox.take(REPORT, 1, FAR)
    assert (late.id, late.attempts, now.attempts) == (now.id, 1, 2)

    await outbox.put_back([PutBack(late, timedelta(0), "too late")])
    assert await outbox.take(REPORT, 1, FAR) == []

    await outbox.done([late])
    assert (await outbox.backlog(REPORT)).count == 0
    await outbox.put_back([PutBack(now, timedelta(0), "gone already")])
    assert (await outbox.backlog(REPORT)).count == 0


async def test_rows_of_another_kind_are_left_alone(database: Database, outbox: Outbox) -> None:
    await database.execute("INSERT INTO outbox (kind, request_id) VALUES ('other', 'r-1')")

    assert await outbox.take(REPORT, 10, FAR) == []
    assert (await outbox.backlog(REPORT)).oldest is None


async def test_an_order_is_told_with_every_digit_of_its_events(
    ledger: Ledger, outbox: Outbox
) -> None:
    await walk(ledger, "r-1", S.SENDING, S.ACCEPTED, S.FILLED)

    stories = await outbox.stories(["r-1", "r-2"])

    assert list(stories) == ["r-1"]
    events = stories["r-1"].events
    assert [event.after for event in events] == [S.RECEIVED, S.SENDING, S.ACCEPTED, S.FILLED]
    assert events[-1].detail["average_price"] == PRICE
    assert events[1].detail["quantity"] == Decimal("0.005")


# Offloading.


@asynccontextmanager
async def offloading(
    database: Database, store: ObjectStore, settings: StorageSettings, replicas: int = 1
) -> AsyncIterator[None]:
    """Have so many replicas offload while the block runs."""
    gates = [LedgerGate(database.ping) for _ in range(replicas)]
    tasks = [
        asyncio.create_task(Offload(Outbox(database), store, settings, gate).run())
        for gate in gates
    ]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for gate in gates:
            await gate.aclose()


async def assert_reports_match(database: Database, store: ObjectStore, names: list[str]) -> None:
    """Each order has one report, nothing else is there, and each says what the ledger says."""
    stories = await Outbox(database).stories(names)
    wanted = {report_key(story.row): story for story in stories.values()}
    assert len(wanted) == len(names)
    assert await stored(store) == sorted(wanted)
    for key, story in wanted.items():
        body = await store.get(key)
        assert body == report_body(story.row, story.events)
        report = json.loads(body)
        assert report["requestId"] == story.row.request_id
        assert report["result"]["status"] == story.row.state


def s3_settings(endpoint: LocalServices, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any
    return {
        "object_store_url": "s3://",
        "object_store_create_bucket": True,
        "object_store_timeout": 2.0,
        "reports_bucket": f"reports-{uuid4().hex[:8]}",
        "s3_endpoint_url": endpoint.s3_endpoint_url,
        "s3_access_key_id": "trade-worker",
        "s3_secret_access_key": SECRET,
        "offload_interval": 0.05,
        "offload_per_second": 1000.0,
        **changes,
    }


@asynccontextmanager
async def away(endpoint: LocalServices) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Stop the endpoint; it comes back when told to, or at the end. What it had is lost."""
    there = False

    async def come_back() -> None:
        nonlocal there
        if not there:
            await asyncio.to_thread(endpoint.s3.start)
            there = True

    await asyncio.to_thread(endpoint.s3.stop)
    try:
        yield come_back
    finally:
        await come_back()


async def test_orders_finished_while_s3_was_away_are_all_reported_once_it_is_back(
    database: Database, ledger: Ledger, outbox: Outbox, endpoint: LocalServices
) -> None:
    settings = StorageSettings(**s3_settings(endpoint))
    async with open_store(settings, settings.reports_bucket) as store, away(endpoint) as come_back:
        async with offloading(database, store, settings, replicas=2):
            names = await fill(ledger, 50)
            await eventually(lambda: _tried(database), what="a try that failed")
            assert (await outbox.backlog(REPORT)).count == 50
            await come_back()
            await _drained(outbox)

        await assert_reports_match(database, store, names)


async def test_a_worker_trades_on_while_s3_is_away(
    new_world: NewWorld, endpoint: LocalServices
) -> None:
    world = await new_world(**s3_settings(endpoint))
    wanted = [trade() for _ in range(50)]
    wanted.append(trade(quantity="0.00001"))  # below the instrument's least: denied
    names = [str(message["requestId"]) for message in wanted]
    async with away(endpoint) as come_back:
        worker = await world.start_worker()
        await world.publish(*wanted)
        await world.reached(names, S.FILLED, S.DENIED)
        await world.empty()
        await worker.says("object store away, reports wait in the outbox")
        assert (await Outbox(world.database).backlog(REPORT)).count == 51

        await come_back()
        await _drained(Outbox(world.database))
        await worker.says("object store there again, reports go on")
    assert len(worker.events("object store away, reports wait in the outbox")) == 1
    async with open_store(world.settings, world.settings.reports_bucket) as store:
        await assert_reports_match(world.database, store, names)
    assert await worker.stop() == 0
    assert SECRET not in worker.text


async def test_reports_are_whole_and_single_though_workers_are_cut_off_at_any_moment(
    database: Database, ledger: Ledger, outbox: Outbox, tmp_path: Path
) -> None:
    settings = StorageSettings(offload_interval=0.01, offload_per_second=500.0)
    names = await fill(ledger, 60)
    async with AsyncExitStack() as stack:
        store = FolderStore(tmp_path, timeout=5)
        stack.push_async_callback(store.aclose)
        for _ in range(6):
            reached = len(await stored(store)) + 3
            async with offloading(database, store, settings):
                await eventually(partial(_stored, store, reached), every=0.001)
            # As if the leases of the one that was cut off had ended.
            await database.execute("UPDATE outbox SET available_at = now()")
        async with offloading(database, store, settings, replicas=3):
            await _drained(outbox)

        await assert_reports_match(database, store, names)


async def _stored(store: ObjectStore, least: int) -> bool:
    return len(await stored(store)) >= least


async def _tried(database: Database) -> bool:
    rows = await database.fetch("SELECT count(*) AS n FROM outbox WHERE last_error IS NOT NULL")
    return bool(rows[0]["n"])


async def _drained(outbox: Outbox) -> None:
    async def empty() -> bool:
        return (await outbox.backlog(REPORT)).count == 0

    await eventually(empty, within=60, what="an empty outbox")
