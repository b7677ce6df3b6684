"""The system log: nothing lost quietly, no secret in it, read back in order."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consumer.telling.log_reading import read_lines
from consumer.telling.redaction import Scrubber
from consumer.telling.request_log import RequestLog
from consumer.telling.system_log import SystemLog, object_key, pack
from providers.observing import CallRecord
from providers.outcomes import OutcomeClass
from storage.objects.folder import FolderStore
from storage.objects.store import ObjectStoreUnavailable
from storage.settings import ObjectStoreSettings
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from consumer.telling.request_log import Message, Receive, Scope, Send

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
CANARY = 'canary"\\word é'
CALL = CallRecord(
    "bybit", "place", "POST", "/v5/order/create", "tw-1", 200, OutcomeClass.ACCEPTED, "0", "", 0.01
)


class Store(FolderStore):
    """A store that can be away."""

    away = False

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        if self.away:
            raise ObjectStoreUnavailable("S3: no answer")
        await super().put(key, body, content_type)


class Rig:
    """A log, its store, and a clock that a test turns."""

    def __init__(self, store: Store, **settings: Any) -> None:  # noqa: ANN401 - settings of any type
        self.store = store
        self.now = NOON.timestamp()
        self.log = SystemLog(
            store,
            ObjectStoreSettings(**settings),
            "abc",
            Scrubber([CANARY]),
            lambda: self.now,
        )

    async def keys(self) -> list[str]:
        return [one.key async for one in self.store.list_objects()]

    async def lines(self) -> list[dict[str, Any]]:
        bodies = [await self.store.get(key) for key in await self.keys()]
        return [json.loads(line) for body in bodies for line in gzip.decompress(body).splitlines()]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path, 5.0)
    yield made
    await made.aclose()


@pytest.fixture
def rig(store: Store) -> Rig:
    return Rig(store, system_logs_batch=4, system_logs_memory=10)


async def test_lines_become_one_object_by_date_and_hour(rig: Rig) -> None:
    rig.log.note_call(CALL)
    rig.now += 0.123
    rig.log.note({"type": "api_request", "path": "/orders"})
    await rig.log.write_out()

    assert await rig.keys() == [
        "system-logs/2026/01/31/12/2026-01-31T12-00-00-000Z-abc-1.ndjson.gz"
    ]
    call, request = await rig.lines()
    assert call == {
        "at": "2026-01-31T12:00:00.000Z",
        "replica": "abc",
        "type": "exchange_call",
        "exchange": "bybit",
        "kind": "place",
        "method": "POST",
        "path": "/v5/order/create",
        "client_order_id": "tw-1",
        "status": 200,
        "outcome": "ACCEPTED",
        "code": "0",
        "ms": 10.0,
    }
    assert request["path"] == "/orders"
    await rig.log.write_out()
    assert len(await rig.keys()) == 1  # nothing to say makes no object


async def test_an_object_has_so_many_lines_and_one_hour_at_most(rig: Rig) -> None:
    for minutes in (0, 1, 2, 3, 4, 59, 60, 61):
        rig.now = (NOON + timedelta(minutes=minutes)).timestamp()
        rig.log.note({"minutes": minutes})
    await rig.log.write_out()

    hours = [key.split("/")[4] for key in await rig.keys()]
    assert hours == ["12", "12", "13"]
    assert [line["minutes"] for line in await rig.lines()] == [0, 1, 2, 3, 4, 59, 60, 61]


async def test_while_the_store_is_away_lines_wait_and_the_oldest_give_way(rig: Rig) -> None:
    rig.store.away = True
    for number in range(4):
        rig.log.note({"number": number})
    with capture_logs() as said:
        await rig.log.write_out()
        await rig.log.write_out()
        for number in range(4, 20):
            rig.log.note({"number": number})
        rig.store.away = False
        await rig.log.write_out()

    lines = await rig.lines()
    numbers = [line["number"] for line in lines if "number" in line]
    # The first object was made and kept; of the other 16 lines 10 fit, one of which says so.
    assert numbers == [0, 1, 2, 3, *range(11, 20)]
    assert [line["lines"] for line in lines if line.get("type") == "dropped"] == [7]
    assert [one["event"] for one in said] == [
        "object store away, system log waits",
        "object store there again, system log goes on",
        "system log memory full, oldest lines dropped",
    ]


@pytest.mark.parametrize(
    ("values", "lines"),
    [({"system_logs_batch": 4}, 4), ({"system_logs_interval": 0.05}, 1)],
    ids=["full", "old"],
)
async def test_lines_are_written_once_they_are_enough_or_old(
    store: Store, values: dict[str, Any], lines: int
) -> None:
    rig = Rig(store, **{"system_logs_interval": 3600, **values})
    running = asyncio.create_task(rig.log.run())
    for number in range(lines):
        rig.log.note({"number": number})

    assert len(await eventually(rig.lines)) == lines
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_last_lines_are_written_at_the_end_or_said_to_be_lost(rig: Rig) -> None:
    rig.log.note({"number": 0})
    await rig.log.flush()
    assert len(await rig.lines()) == 1

    rig.store.away = True
    for number in range(7):
        rig.log.note({"number": number})
    with capture_logs() as said:
        await rig.log.flush()
    assert said[-1] == {"event": "system log lines lost", "lines": 7, "log_level": "warning"}


async def test_a_clock_reading_is_no_news_unless_it_fails(rig: Rig) -> None:
    clock = replace(CALL, kind="public", client_order_id=None)
    failed = replace(clock, status=None, code="ReadTimeout", message="ReadTimeout")
    rig.log.note_call(clock)
    rig.log.note_call(failed)
    await rig.log.write_out()

    assert [line["code"] for line in await rig.lines()] == ["ReadTimeout"]


async def test_lines_are_read_back_in_order_from_all_replicas(store: Store) -> None:
    minutes = {"a": (1, 30, 59, 61), "b": (2, 45, 60, 150)}
    for replica, moments in minutes.items():
        for number, minute in enumerate(moments):
            at = (NOON + timedelta(minutes=minute)).timestamp()
            body = pack([(at, {"minute": minute})], replica, Scrubber())
            await store.put(object_key(at, replica, number), body, "")
    await store.put("system-logs/2026/01/31/12/broken", b"\x1f\x8b broken", "")

    hours = [
        one
        async for one in read_lines(
            store, NOON + timedelta(minutes=2), NOON + timedelta(minutes=61)
        )
    ]

    lines = [json.loads(line)["minute"] for hour in hours for line in hour.lines]
    assert lines == [2, 30, 45, 59, 60]
    assert [hour.unreadable for hour in hours] == [["system-logs/2026/01/31/12/broken"], []]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=30), st.text())
def test_no_secret_is_packed_whatever_surrounds_it(secret: str, around: str) -> None:
    lines: list[tuple[float, Mapping[str, object]]] = [
        (0.0, {"message": f"{around}{secret}{around}", "nested": {"list": [secret]}})
    ]
    text = gzip.decompress(pack(lines, "-", Scrubber([secret])))
    assert json.dumps(secret).encode()[1:-1] not in text
    for line in text.splitlines():
        document = json.loads(line)
        assert secret not in document["nested"]["list"]


@pytest.mark.parametrize(
    ("secret", "around"),
    [
        ("00000000", "\x00"),
        ("newsecret", "\n"),
        ("uafe00000", "\\"),
        ("0secret12", "\\\x1f"),
        ('"quoted"s', '"\\'),
        ("\\\\back\\\\", "\\"),
    ],
)
def test_a_line_stays_json_where_a_secret_follows_an_escape(secret: str, around: str) -> None:
    lines: list[tuple[float, Mapping[str, object]]] = [(0.0, {"message": f"{around}{secret}!"})]
    text = gzip.decompress(pack(lines, "-", Scrubber([secret])))
    assert secret not in json.loads(text)["message"]
    assert json.loads(text)["message"].endswith("!")


async def test_a_request_is_noted_without_what_could_be_secret(rig: Rig) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"canary"})

    async def nothing(*_: object) -> Message:
        return {}

    async def swallow(_message: Message) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/orders",
        "query_string": b"symbol=BTCUSDT&token=canary",
        "client": ("127.0.0.1", 5),
        "headers": [
            (b"x-internal-auth-key", b"canary"),
            (b"cookie", b"canary"),
            (b"authorization", b"Bearer canary"),
            (b"User-Agent", b"curl"),
            (b"x-request-id", b"r-1"),
        ],
    }
    await RequestLog(app, rig.log)(scope, nothing, swallow)

    async def broken(*_: object) -> None:
        raise RuntimeError("canary")

    with pytest.raises(RuntimeError):
        await RequestLog(broken, rig.log)(scope, nothing, swallow)
    await rig.log.write_out()

    answered, failed = await rig.lines()
    assert (answered["status"], answered["query"]) == (404, ["symbol", "token"])
    assert (answered["user_agent"], answered["request_id"]) == ("curl", "r-1")
    assert failed["status"] is None
    assert "canary" not in json.dumps([answered, failed])
