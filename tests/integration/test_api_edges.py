"""The edges of the REST API, with a real worker: slow callers, odd words, orders that rest."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import pytest_asyncio

from consumer.telling.reports import report_key
from providers.sandbox.fault_kinds import FaultKind
from tests.support.api import EXECUTE_KEY, Caller, free_port, keys
from tests.support.messages import encode, trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.conftest import NewWorld
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
ODD_ID = "ünï/🚀 %2F?#é"


class Served:
    """A world whose worker serves the API."""

    def __init__(self, world: World, port: int) -> None:
        self.world = world
        self.port = port
        self.caller = Caller(port)

    async def talk(self, text: bytes) -> bytes:
        """Send bytes, and read all that is answered until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(text)
            await writer.drain()
            return await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(new_module_world: NewWorld) -> AsyncIterator[Served]:
    """One worker for all tests here, with little patience."""
    port = free_port()
    world = await new_module_world(api_fill_wait=0.3, api_timeout=2.0, **keys(port))
    await world.start_worker()
    one = Served(world, port)
    async with one.caller:
        yield one


async def test_a_body_that_does_not_come_is_not_waited_for(served: Served) -> None:
    said = await served.talk(
        b"POST /process HTTP/1.1\r\nHost: here\r\nX-Internal-Auth-Key: " + EXECUTE_KEY.encode()
        + b"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )  # fmt: skip
    head, _, body = said.partition(b"\r\n\r\n")
    assert b" 408 " in head.splitlines()[0]
    assert json.loads(body)["error"] == {
        "code": "TIMEOUT", "message": "the body did not arrive within 2 s", "details": None,
    }  # fmt: skip


async def test_an_order_that_rests_is_answered_before_it_ends_and_once(served: Served) -> None:
    message = trade(orderType="LIMIT", price="10000")
    for _ in range(2):
        answer = await served.caller.post("/process", message)
        assert (answer.status_code, answer.json()["result"]["status"]) == (202, "New"), answer.text
    (placed,) = served.world.placed(message["requestId"])
    queued = await served.caller.post("/process", message, headers={"Prefer": "respond-async"})
    assert (queued.status_code, queued.json()["result"]["orderId"]) == (202, placed.order_id)


async def test_many_at_once_for_one_id_directly_and_by_the_queue_are_one_order(
    served: Served,
) -> None:
    message = trade(symbol="ETHUSDT", quantity="0.01")
    ways: tuple[dict[str, str], ...] = ({}, {"Prefer": "respond-async"}) * 5
    calls = [served.caller.post("/process", message, headers=way) for way in ways]
    answers = await asyncio.gather(served.world.publish(message, message), *calls)
    codes = {one.status_code for one in answers[1:] if one is not None}
    assert codes <= {200, 202}, [one.text for one in answers[1:] if one is not None]
    await served.world.reached([message["requestId"]], "FILLED")
    await served.world.empty()
    assert len(served.world.placed(message["requestId"])) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"requestId":"a"} x', "not JSON"),
        (b'{"requestId":"a","payload":{"quantity":1,"quantity":2}}', "given more than once"),
        (b'{"quantity": NaN, "requestId": "a"}', "is NaN"),
        (b'{"quantity": -Infinity, "requestId": "a"}', "is -Infinity"),
        (b'{"quantity": ' + b"9" * 3000 + b"}", "3000 characters"),
        (b"[" * 4000, "nested too deeply"),
        (b'{"requestId": "\\ud800", "quantity": 1}', "half of a surrogate pair"),
        (encode(trade(quantity="1e3000")), "quantity"),
        (encode(trade(requestId="x" * 129)), "requestId"),
    ],
)
async def test_json_is_taken_strictly(served: Served, body: bytes, words: str) -> None:
    answer = await served.caller.call("POST", "/process", content=body, headers=JSON)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/process", 405),
        ("BREW", "/orders", 405),
        ("TRACE", "/orders", 405),
        ("HEAD", "/process", 405),
        ("HEAD", "/nothing", 404),
        ("OPTIONS", "/nothing", 404),
        ("GET", "/orders/", 400),
        ("GET", "/dlq/", 404),
        ("GET", "//orders", 404),
        ("GET", "/dlq/x", 400),
        ("GET", "/dlq/99999999999999999999", 400),
        ("GET", "/orders/%00", 404),
        ("GET", "/orders/%ff", 404),
        ("GET", "/config/%2e%2e%2fx", 404),
    ],
)
async def test_what_is_not_there_is_said_in_the_envelope(
    served: Served, method: str, path: str, status: int
) -> None:
    answer = await served.caller.call(method, path)
    assert answer.status_code == status, answer.text
    assert ("allow" in answer.headers) is (status == 405)
    if method == "HEAD":
        assert answer.content == b""


async def test_any_request_id_can_be_traded_read_and_reported(served: Served) -> None:
    message = trade(requestId=ODD_ID)
    done = await served.caller.post("/process", message)
    assert (done.status_code, done.json()["requestId"]) == (200, ODD_ID)
    shown = await served.caller.get(f"/orders/{quote(ODD_ID, safe='')}")
    assert shown.json()["result"]["requestId"] == ODD_ID
    plain = trade(requestId="é-1")
    await served.caller.post("/process", plain)
    for request_id in (ODD_ID, "é-1"):
        key = report_key(await served.world.order(request_id))
        report = await eventually(lambda k=key: _report(served, k), within=15, what="the report")  # type: ignore[misc]  # bound
        assert report.json()["requestId"] == request_id
        assert report.headers["accept-ranges"] == "none"
    # As it is when somebody pastes the key into a query: decoded once.
    pasted = await served.caller.call("GET", f"/report?key={key}")
    assert pasted.status_code == 200
    part = await served.caller.get("/report", params={"key": key}, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (200, pasted.content)
    tag = pasted.headers["etag"]
    for known, status in ((f'"x", W/{tag}', 304), ("*", 304), ('"x"', 200), (tag.strip('"'), 200)):
        same = await served.caller.get(
            "/report", params={"key": key}, headers={"If-None-Match": known}
        )
        assert same.status_code == status, known
        assert same.headers["etag"] == tag
    head = await served.caller.call("HEAD", "/report", params={"key": key})
    assert (head.status_code, head.content, head.headers["content-length"]) == (
        200, b"", str(len(pasted.content)),
    )  # fmt: skip


async def _report(served: Served, key: str) -> httpx.Response | None:
    answer = await served.caller.get("/report", params={"key": key})
    return answer if answer.status_code == 200 else None


async def test_while_it_drains_it_says_so_and_takes_nothing(new_module_world: NewWorld) -> None:
    port = free_port()
    world = await new_module_world(
        exchange_request_timeout=15.0, api_fill_wait=20.0, drain_timeout=25.0, **keys(port)
    )
    worker = await world.start_worker()
    message, late = trade(), trade(symbol="ETHUSDT", quantity="0.01")
    # It drains until the answer comes; by then everything below has been asked.
    world.fault(FaultKind.DELAY_REPLY, endpoint="order/create", ms=6000, count=1)
    async with Caller(port) as caller:
        waiting = asyncio.create_task(caller.post("/process", message))
        await eventually(lambda: world.placed(message["requestId"]), what="the order")
        worker.send(15)
        ready = await eventually(lambda: _not_ready(caller), what="that it is not ready")
        assert ready.json() == {"status": "not ready", "faults": ["draining"]}
        assert (await caller.get("/health")).status_code == 200
        refused = await caller.post("/process", late)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert (await waiting).status_code == 200
    assert await worker.ended(within=30) == 0
    assert not world.placed(late["requestId"])


async def _not_ready(caller: Caller) -> httpx.Response | None:
    answer = await caller.get("/ready")
    return answer if answer.status_code == 503 else None
