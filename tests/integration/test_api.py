"""The REST API of a real worker: trades, answers, keys, limits, operators' routes, the end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from consumer.telling.reports import report_key
from providers.sandbox.faults import FaultKind
from tests.support.api import EXECUTE_KEY, NEXT_KEY, READ_KEY, Caller, free_port, keys
from tests.support.messages import encode, trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.conftest import NewWorld
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
TRACE = "0af7651916cd43dd8448eb211c80319c"

ELSEWHERE = (
    "x",
    "/etc/passwd",
    "trade-reports/../../etc/passwd",
    "trade-reports/%2e%2e/x",
    "trade-reports//x",
    "trade-reports/\x00",
    "trade-reports/nothing",
)


class Served:
    """A world whose worker serves the API."""

    def __init__(self, world: World, port: int) -> None:
        self.world = world
        self.port = port
        self.caller = Caller(port)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(new_module_world: NewWorld) -> AsyncIterator[Served]:
    """One worker for all tests here; it takes from the queue as well."""
    port = free_port()
    world = await new_module_world(
        collect_dead_letters=True, api_fill_wait=5.0, message_max_bytes=4096, **keys(port)
    )
    await world.start_worker()
    one = Served(world, port)
    async with one.caller:
        yield one
    text = "".join(worker.text for worker in world.workers)
    for secret in (EXECUTE_KEY, NEXT_KEY, READ_KEY):
        assert secret not in text


def enveloped(message: dict[str, object]) -> dict[str, object]:
    """The REST form of a message."""
    return {"requestId": message["requestId"],
            "payload": {k: v for k, v in message.items() if k != "requestId"}}  # fmt: skip


async def test_a_trade_is_filled_and_told_again_for_the_same_id(served: Served) -> None:
    message = trade()
    first = await served.caller.post("/process", enveloped(message))
    assert first.status_code == 200, first.text
    document = first.json()
    assert (document["success"], document["requestId"], document["error"]) == (
        True, message["requestId"], None,
    )  # fmt: skip
    result = document["result"]
    assert (result["status"], result["executedQty"], result["symbol"]) == (
        "Filled", "0.005", "BTCUSDT",
    )  # fmt: skip
    assert result["orderId"]
    assert float(result["price"]) > 0

    again = await served.caller.post("/process", message)  # the flat form is the same trade
    assert again.status_code == 200
    assert again.json() == document
    assert len(served.world.placed(message["requestId"])) == 1

    other = await served.caller.post("/process", message | {"quantity": "0.006"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "DUPLICATE_REQUEST")


async def test_at_the_same_time_and_from_the_queue_it_is_one_order(served: Served) -> None:
    message = trade(symbol="ETHUSDT", quantity="0.01")
    await served.world.publish(message)
    answers = await asyncio.gather(*(served.caller.post("/process", message) for _ in range(6)))
    assert {one.status_code for one in answers} == {200}
    await served.world.reached([message["requestId"]], "FILLED")
    assert len(served.world.placed(message["requestId"])) == 1


async def test_asked_not_to_wait_it_goes_by_the_queue(served: Served) -> None:
    message = trade()
    answer = await served.caller.post(
        "/process",
        message,
        headers={
            "Prefer": "respond-async, wait=5",
            "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        },
    )
    assert (answer.status_code, answer.json()["result"]["status"]) == (202, "Queued")
    await served.world.reached([message["requestId"]], "FILLED")
    (worker,) = served.world.workers
    (settled,) = await eventually(
        lambda: [
            one for one in worker.events("settled") if one.get("request_id") == message["requestId"]
        ],
        what="its log line",
    )
    assert settled["trace_id"] == TRACE  # the message carried its caller's trace on
    again = await served.caller.post("/process", message, headers={"Prefer": "respond-async"})
    assert (again.status_code, again.json()["result"]["status"]) == (200, "Filled")
    other = message | {"quantity": "1"}
    again = await served.caller.post("/process", other, headers={"Prefer": "respond-async"})
    assert again.status_code == 409


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ({"quantity": 0}, 400, "VALIDATION_ERROR", "Quantity parameter must be greater than zero."),
        ({"symbol": "NOSUCHUSDT"}, 400, "BAD_REQUEST", "NOSUCHUSDT"),
        ({"colour": "blue"}, 400, "VALIDATION_ERROR", "unknown field"),
        ({"quantity": "400", "leverage": 2}, 500, "INTERNAL_ERROR", "Exchange API Reject: bybit"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, 400, "BAD_REQUEST", "expiresAt"),
        ({"exchange": "binance"}, 500, "INTERNAL_ERROR", "not configured"),
    ],
)  # fmt: skip
async def test_what_is_refused_says_why_and_says_it_again(
    served: Served, change: dict[str, object], status: int, code: str, words: str
) -> None:
    message = trade(**change)
    for _ in range(2):
        answer = await served.caller.post("/process", message)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code), answer.text
        assert words in error["message"]
        assert answer.json()["requestId"] == message["requestId"]


async def test_what_is_not_known_is_accepted_and_followed_by_the_queue(served: Served) -> None:
    message = trade(symbol="SOLUSDT", quantity="1")
    served.world.fault(
        FaultKind.DROP_AFTER, request_id=message["requestId"], endpoint="order/create", count=1
    )
    answer = await served.caller.post("/process", message)
    assert (answer.status_code, answer.json()["result"]["status"]) == (202, "Unknown")
    await served.world.reached([message["requestId"]], "FILLED")
    again = await served.caller.post("/process", message)
    assert (again.status_code, again.json()["result"]["status"]) == (200, "Filled")
    assert len(served.world.placed(message["requestId"])) == 1


async def test_a_rate_limit_is_told_with_when_to_come_back(served: Served) -> None:
    message = trade(symbol="XRPUSDT", quantity="40")
    served.world.fault(
        FaultKind.RATE_LIMIT, request_id=message["requestId"], endpoint="order/create", count=1
    )
    answer = await served.caller.post("/process", message)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "RATE_LIMITED")
    assert int(answer.headers["Retry-After"]) >= 1

    async def filled() -> bool:
        return (await served.caller.post("/process", message)).status_code == 200

    await eventually(filled, within=20, what="the second try", every=0.5)


async def test_a_webhook_takes_a_bare_trade(served: Served) -> None:
    probe = await served.caller.post("/webhook", {"probe": True}, headers={"X-Request-ID": "p-1"})
    assert probe.json() == {
        "success": True, "requestId": "p-1", "result": {"probe": True}, "error": None,
    }  # fmt: skip
    bare = trade(requestId=None)
    done = await served.caller.post("/webhook", bare, headers={"X-Request-ID": "hook-1"})
    assert (done.status_code, done.json()["requestId"]) == (200, "hook-1")
    unnamed = await served.caller.post("/webhook", bare)
    assert unnamed.status_code == 200
    assert len(served.world.placed(unnamed.json()["requestId"])) == 1
    odd = await served.caller.post(
        "/webhook", bare | {"requestId": "a"}, headers={"X-Request-ID": "b"}
    )
    assert odd.status_code == 400


async def test_keys_decide_and_two_of_them_hold_at_once(served: Served) -> None:
    for key, reads, executes in (
        (EXECUTE_KEY, 200, 200),
        (NEXT_KEY, 200, 200),
        (READ_KEY, 200, 403),
        ("wrong", 401, 401),
        ("", 401, 401),
        (f"{EXECUTE_KEY},{READ_KEY}", 401, 401),
        (None, 401, 401),
    ):
        async with Caller(served.port, key) as caller:
            assert (await caller.get("/orders")).status_code == reads, key
            probe = await caller.post("/webhook", {"probe": True})
            assert probe.status_code == executes, key
            open_ones = [(await caller.get(path)).status_code for path in
                         ("/health", "/ready", "/metrics", "/openapi.json")]  # fmt: skip
            assert open_ones == [200] * 4


async def test_bodies_and_methods_are_held_to_the_rules(served: Served) -> None:
    call = served.caller.call
    for body, headers, status in (
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"[]", {"Content-Type": "application/json"}, 400),
        (b'{"requestId":"a","requestId":"b"}', {"Content-Type": "application/json"}, 400),
        (b"\xff", {"Content-Type": "application/json; charset=utf-8"}, 400),
        (encode(trade()), {"Content-Type": "text/plain"}, 415),
        (encode(trade()), {}, 415),
        (b" " * 5000, {"Content-Type": "application/json"}, 413),
    ):
        answer = await call("POST", "/process", content=body, headers=headers)
        assert answer.status_code == status, (body[:40], answer.text)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 1000

    answer = await call(
        "POST", "/process", content=chunks(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    wrong = await call("DELETE", "/process")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    options = await call("OPTIONS", "/kill-switch")
    assert (options.status_code, options.headers["allow"]) == (200, "GET, HEAD, OPTIONS, PUT")
    head = await call("HEAD", "/orders")
    assert (head.status_code, head.content) == (200, b"")
    assert (await call("GET", "/nothing")).status_code == 404


async def test_orders_positions_and_reports_can_be_read(served: Served) -> None:
    message = trade(symbol="DOGEUSDT", quantity="300")
    await served.caller.post("/process", message)
    path = f"/orders/{message['requestId']}"
    shown = (await served.caller.get(path)).json()["result"]
    assert (shown["state"], shown["filledQuantity"]) == ("FILLED", "300")
    assert shown["events"][-1]["after"] == "FILLED"
    assert (await served.caller.get("/orders/nothing")).status_code == 404
    listed = await served.caller.get("/orders", params={"symbol": "DOGE-USDT", "limit": 5})
    assert [one["requestId"] for one in listed.json()["result"]["orders"]] == [message["requestId"]]
    assert (await served.caller.get("/orders", params={"limit": 0})).status_code == 400
    misspelt = await served.caller.get("/orders", params={"symbl": "DOGEUSDT"})
    assert (misspelt.status_code, "symbl" in misspelt.text) == (400, True)
    held = (await served.caller.get("/positions", params={"symbol": "DOGEUSDT"})).json()["result"]
    assert [(one["exchange"], one["side"], one["quantity"]) for one in held["positions"]] == [
        ("bybit", "LONG", "300")
    ]
    assert held["errors"] == {}

    key = report_key(await served.world.order(message["requestId"]))

    async def there() -> httpx.Response | None:
        answer = await served.caller.get("/report", params={"key": key})
        return answer if answer.status_code == 200 else None

    report = await eventually(there, within=15, what="the report")
    assert report.json()["requestId"] == message["requestId"]
    etag = report.headers["etag"]
    known = {"If-None-Match": etag}
    same = await served.caller.get("/report", params={"key": key}, headers=known)
    assert (same.status_code, same.content) == (304, b"")
    for elsewhere in ELSEWHERE:
        answer = await served.caller.get("/report", params={"key": elsewhere})
        assert answer.status_code == 404, elsewhere


async def test_signals_are_kept_and_listed(served: Served) -> None:
    for number in range(3):
        kept = await served.caller.post(
            "/api/signals",
            {"symbol": "sol-usdt", "signalType": "long", "source": "s7", "price": f"{number}.10"},
        )
        assert kept.status_code == 201, kept.text
    first = (await served.caller.get("/api/signals", params={"source": "s7", "limit": 2})).json()
    assert [one["price"] for one in first["result"]["signals"]] == ["2.10", "1.10"]
    assert first["result"]["signals"][0]["symbol"] == "SOLUSDT"
    rest = await served.caller.get(
        "/api/signals", params={"source": "s7", "before": first["result"]["next"]}
    )
    assert [one["price"] for one in rest.json()["result"]["signals"]] == ["0.10"]
    bad = await served.caller.post("/api/signals", {"symbol": "SOLUSDT", "signalType": ""})
    assert bad.status_code == 400


async def test_config_and_kill_switch_are_read_and_turned(served: Served) -> None:
    wrong = await served.caller.put("/kill-switch", {"value": "maybe", "why": "x"})
    assert wrong.status_code == 400
    done = await served.caller.put(
        "/kill-switch", {"value": "on", "scope": "APTUSDT", "why": "a test", "by": "ann"}
    )
    assert done.json()["result"]["switches"] == {"APTUSDT": "on"}
    row = (await served.caller.get("/config/trade:kill_switch:APTUSDT")).json()["result"]
    assert (row["value"], row["updatedBy"]) == ("on", "ann")
    done = await served.caller.put("/config/trade:kill_switch:APTUSDT", {"value": None, "why": "x"})
    assert done.json()["result"]["changed"] == ["trade:kill_switch:APTUSDT"]
    assert (await served.caller.get("/config/trade:kill_switch:APTUSDT")).status_code == 404
    odd = await served.caller.put("/config/trade:no_such", {"value": "1", "why": "x"})
    assert (odd.status_code, odd.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_dead_letters_are_found_replayed_and_dropped(served: Served) -> None:
    get = served.caller.get
    message = trade(exchange="kraken")
    await served.world.publish(b"not JSON", message)

    async def there() -> list[dict[str, Any]] | None:
        found = (await get("/dlq")).json()["result"]["deadLetters"]
        return found if len(found) == 2 else None

    letters = {one["reason"]: one for one in await eventually(there, what="two dead letters")}
    number = letters["UNKNOWN_EXCHANGE"]["id"]
    assert json.loads((await get(f"/dlq/{number}")).json()["result"]["body"]) == message
    assert (await get("/dlq/999999")).status_code == 404
    page = (await get("/dlq", params={"limit": 1})).json()["result"]
    below = (await get("/dlq", params={"before": page["next"]})).json()["result"]
    assert len(below["deadLetters"]) == 1
    assert (await get("/dlq/stats")).json()["result"]["waiting"] == 2
    assert len((await get("/dlq/groups")).json()["result"]["groups"]) == 2

    said = {"why": "a test", "by": "ann"}
    ids = [one["id"] for one in letters.values()]
    tried = await served.caller.post("/dlq/replay", {"ids": ids, "dryRun": True, **said})
    result = tried.json()["result"]
    assert (result["published"], result["reopened"], result["refused"]) == (1, 1, {"NOT_JSON": 1})
    done = await served.caller.post("/dlq/drop", {"ids": ids, **said})
    assert done.json()["result"] == {"dropped": 2}
    wrong: dict[str, Any]
    for wrong in ({"ids": []}, {"ids": ["1"], **said}, {"ids": [1]}, {"ids": [1.5], **said}):
        assert (await served.caller.post("/dlq/replay", wrong)).status_code == 400


async def test_it_is_closed_without_keys_and_finishes_when_it_ends(
    new_module_world: NewWorld,
) -> None:
    port, closed = free_port(), free_port()
    world = await new_module_world(fill_delay=1.0, api_fill_wait=8.0, **keys(port))
    worker = world.launch()
    alone = world.launch(api_port=closed, internal_key_binding=None, internal_read_key_binding=None)
    await asyncio.gather(worker.consuming(), alone.consuming())
    async with Caller(closed) as caller:
        for path in ("/orders", "/dlq", "/config"):
            answer = await caller.get(path)
            assert (answer.status_code, answer.json()["error"]["message"]) == (
                500, "Service configuration error",
            )  # fmt: skip
        assert (await caller.post("/process", trade())).status_code == 500
    message = trade()
    async with Caller(port) as caller:
        waiting = asyncio.create_task(caller.post("/process", message))
        await eventually(lambda: world.placed(message["requestId"]), what="the order")
        worker.send(15)
        answer = await waiting
        assert (answer.status_code, answer.json()["result"]["status"]) == (200, "Filled")
    assert await worker.ended() == 0
