"""The sandbox's MEXC gate over HTTP: signatures, age, keys, language, limits, closed doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from providers.sandbox import FaultKind, RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.mexc.caller import MexcCaller, signed_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "mx0TESTKEY123"
SECRET = "testsecret-abcdef-0123456789"
FROZEN = 1_700_000_000_000
PRIVATE = "/api/v1/private"

ORDER = (
    '{"symbol":"BTC_USDT","price":0,"vol":1,"side":1,"type":5,"openType":1,"leverage":5,'
    '"externalOid":"tw-0001","positionMode":1}'
)
LEVERAGE = '{"openType":1,"leverage":5,"symbol":"BTC_USDT","positionType":1}'
HISTORY = "page_num=1&page_size=20&states=3%2C4&symbol=BTC_USDT"
EMPTY = "c26ec57aa74d818d09bd2984a963c0c74e95e6685f37d9fcad30b4746d1003e3"


def spaced(body: str) -> str:
    """The same JSON with the separators Python's json module writes by default."""
    return body.replace('":', '": ').replace(',"', ', "')


# Method, path below private, query or body as sent, signature. Produced with ccxt, pymexc and the
# exchange's public demo under a stopped clock. M4 is the query of M3, its comma signed as it is.
VECTORS = {
    "M1a": ("GET", "/account/assets", "", EMPTY),
    "M1b": ("GET", "/order/external/BTC_USDT/tw-0001", "", EMPTY),
    "M2": (
        "GET",
        "/position/leverage",
        "symbol=BTC_USDT",
        "850441222dd0f60863732642b1806f71d9ea636641dc24fcdf3f511016aa56dd",
    ),
    "M3": (
        "GET",
        "/order/list/history_orders",
        HISTORY,
        "ef1fa254112f04d6080c86138a049ae993ec4cc2cbb672739062f155a264584b",
    ),
    "M4": (
        "GET",
        "/order/list/history_orders",
        HISTORY,
        "b4ab4691689a3d81920ea22287d7d91f0eb7ae8683c6e9ca32945789d05b9037",
    ),
    "M5": (
        "POST",
        "/order/create",
        ORDER,
        "ff50b77d787131e3227e3dc290a68b9a5ee262604a95af686dda4d0294bf5fe6",
    ),
    "M6": (
        "POST",
        "/position/change_leverage",
        LEVERAGE,
        "3211a1e78139ff27a1fd14c5f27c6301c21c59149e1e9c4841bd0592f34e8e01",
    ),
    "M7": (
        "POST",
        "/position/change_leverage",
        spaced(LEVERAGE),
        "7a7a86a3b71e7b52be2fd483c5b8efe49570d015bf6bd19b588e513d6b21a022",
    ),
    "M8": (
        "POST",
        "/order/cancel",
        "[101716841474621953]",
        "ffb04d29e48e63ff0f3ba30183e6f474576f2001f117221d108592ecf6af9af4",
    ),
}


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=7, fill_delay=0) as running:
        yield running


@pytest.fixture
async def control(sandbox: RunningSandbox) -> AsyncIterator[SandboxControl]:
    async with SandboxControl(sandbox.origin) as client:
        yield client


@pytest.fixture
async def caller(sandbox: RunningSandbox) -> AsyncIterator[MexcCaller]:
    credentials = sandbox.base_url("mexc"), sandbox.key("mexc"), sandbox.secret("mexc")
    async with MexcCaller(*credentials) as client:
        yield client


@pytest.fixture
async def frozen(sandbox: RunningSandbox, control: SandboxControl) -> RunningSandbox:
    await control.add_account("mexc", "vectors", key=KEY, secret=SECRET, hedge=True)
    await control.set_clock(frozen_at_ms=FROZEN)
    return sandbox


async def send(
    sandbox: RunningSandbox, method: str, path: str, tail: str, headers: dict[str, str]
) -> httpx.Response:
    url = f"{sandbox.base_url('mexc')}{PRIVATE}{path}"
    async with httpx.AsyncClient(trust_env=False) as client:
        if method == "GET":
            return await client.get(f"{url}?{tail}" if tail else url, headers=headers)
        return await client.post(url, content=tail.encode(), headers=headers)


def headers_of(signature: str, stamp: int = FROZEN) -> dict[str, str]:
    return {
        "ApiKey": KEY,
        "Request-Time": str(stamp),
        "Signature": signature,
        "Content-Type": "application/json",
    }


async def allow(name: str, control: SandboxControl) -> None:
    if name == "M4":
        await control.set_variant("mexc", "signed_values", "raw")


@pytest.mark.parametrize("name", VECTORS)
async def test_known_signatures_are_accepted(
    frozen: RunningSandbox, control: SandboxControl, name: str
) -> None:
    await allow(name, control)
    method, path, tail, signature = VECTORS[name]
    response = await send(frozen, method, path, tail, headers_of(signature))
    answer = response.json()
    assert (response.status_code, answer["success"], answer["code"]) == (200, True, 0)


@pytest.mark.parametrize("name", VECTORS)
async def test_a_changed_request_is_refused(
    frozen: RunningSandbox, control: SandboxControl, name: str
) -> None:
    await allow(name, control)
    method, path, tail, signature = VECTORS[name]
    tampered = tail.replace("BTC", "ETH").replace("[1", "[2") if tail else "x=1"
    answer = (await send(frozen, method, path, tampered, headers_of(signature))).json()
    assert (answer["success"], answer["code"]) == (False, 602)
    assert frozen.sandbox.truth.orders == []


async def test_the_same_json_written_otherwise_is_refused(frozen: RunningSandbox) -> None:
    for name, path in (("M5", "/order/create"), ("M6", "/position/change_leverage")):
        _, _, tail, signature = VECTORS[name]
        answer = (await send(frozen, "POST", path, spaced(tail), headers_of(signature))).json()
        assert answer["code"] == 602


@pytest.mark.parametrize(
    ("variant", "encoded", "raw"),
    [("encoded", 0, 602), ("raw", 602, 0), ("either", 0, 0)],
)
async def test_how_a_comma_is_signed_is_a_switch(
    frozen: RunningSandbox, control: SandboxControl, variant: str, encoded: int, raw: int
) -> None:
    await control.set_variant("mexc", "signed_values", variant)
    codes = []
    for name in ("M3", "M4"):
        method, path, tail, signature = VECTORS[name]
        answer = (await send(frozen, method, path, tail, headers_of(signature))).json()
        codes.append(answer["code"])
    assert codes == [encoded, raw]


async def test_the_order_of_a_query_does_not_matter(frozen: RunningSandbox) -> None:
    shuffled = "&".join(reversed(HISTORY.split("&")))
    response = await send(frozen, "GET", VECTORS["M3"][1], shuffled, headers_of(VECTORS["M3"][3]))
    assert response.json()["code"] == 0


@pytest.mark.parametrize(
    ("offset_ms", "accepted"),
    [(-10_001, False), (-10_000, True), (0, True), (2_000, True), (2_001, False)],
)
async def test_age(frozen: RunningSandbox, offset_ms: int, accepted: bool) -> None:  # noqa: FBT001 - a column
    headers = signed_headers(KEY, SECRET, "", FROZEN + offset_ms)
    answer = (await send(frozen, "GET", "/account/assets", "", headers)).json()
    assert answer["code"] == (0 if accepted else 513)


@pytest.mark.parametrize(
    ("window", "offset_ms", "code"),
    [
        ("30", -30_000, 0),
        ("5", -5_001, 513),
        ("20000", -20_000, 0),
        ("90000", -60_001, 513),
        ("x", 0, 513),
    ],
)
async def test_the_window_may_be_named(
    frozen: RunningSandbox, window: str, offset_ms: int, code: int
) -> None:
    headers = signed_headers(KEY, SECRET, "", FROZEN + offset_ms) | {"Recv-Window": window}
    answer = (await send(frozen, "GET", "/account/assets", "", headers)).json()
    assert answer["code"] == code


async def test_credentials(frozen: RunningSandbox) -> None:
    good = headers_of(EMPTY)

    async def code(headers: dict[str, str]) -> int:
        response = await send(frozen, "GET", "/account/assets", "", headers)
        assert response.status_code == 200
        return int(response.json()["code"])

    assert await code(good) == 0
    assert await code({}) == 401
    assert await code(good | {"ApiKey": "nobody"}) == 402
    assert await code(good | {"Request-Time": "now"}) == 513
    assert await code(good | {"Request-Time": "9" * 5000}) == 513
    assert await code(good | {"Signature": "00"}) == 602
    assert await code(good | {"Signature": EMPTY.upper()}) == 602


async def test_messages_are_chinese_unless_a_language_is_named(frozen: RunningSandbox) -> None:
    headers = headers_of("00")
    chinese = (await send(frozen, "GET", "/account/assets", "", headers)).json()["message"]
    assert not chinese.isascii()
    named = headers | {"Language": "en-US"}
    english = (await send(frozen, "GET", "/account/assets", "", named)).json()["message"]
    assert english.isascii()
    assert english.startswith("Signature")


async def test_paths_and_bodies(caller: MexcCaller) -> None:
    unknown = await caller.get("order/nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 404)
    assert (await caller.get("order/create")).status_code == 404
    assert (await caller.get("order/external/BTC_USDT")).status_code == 404
    for body in (b"{", b"1", b'"x"', b"null", b'{"vol": NaN}', b"[" * 100_000):
        assert await caller.code("order/submit", body) == 601
    assert await caller.code("order/cancel", b"{}") == 600
    assert await caller.code("order/cancel_all", b'""') == 0
    assert await caller.code("order/cancel_all", b"") == 0


async def test_orders_are_limited_to_four_in_two_seconds(
    sandbox: RunningSandbox, caller: MexcCaller, control: SandboxControl
) -> None:
    await control.set_clock(frozen_at_ms=sandbox.sandbox.clock.now_ms())
    body = {"symbol": "BTC_USDT"}
    answers = [await caller.post("order/create", body) for _ in range(5)]
    assert [answer.json()["code"] for answer in answers] == [2001] * 4 + [510]
    assert answers[-1].status_code == 200
    assert not any("limit" in name.lower() for name in answers[-1].headers)
    assert (await caller.get("account/assets")).json()["code"] == 0
    await control.set_clock(advance_ms=2000)
    assert await caller.code("order/create", body) == 2001


async def test_other_limits(
    sandbox: RunningSandbox, caller: MexcCaller, control: SandboxControl
) -> None:
    now_ms = sandbox.sandbox.clock.now_ms()
    await control.set_clock(frozen_at_ms=now_ms)
    reads = [(await caller.get("account/assets")).json()["code"] for _ in range(21)]
    assert reads == [0] * 20 + [510]
    changes = [await caller.code("position/change_leverage", {}) for _ in range(11)]
    assert changes == [2006] * 10 + [510]
    await control.set_clock(advance_ms=2000)
    assert (await caller.get("account/assets")).json()["code"] == 0
    assert await caller.code("position/change_leverage", {}) == 510
    detail = f"{caller.base_url}/api/v1/contract/detail"
    public = [(await caller.http.get(detail)).json()["code"] for _ in range(11)]
    assert public == [0] * 10 + [510]
    await control.set_limits({"account/assets": 1})
    reads = [(await caller.get("account/assets")).json()["code"] for _ in range(2)]
    assert reads == [0, 510]
    await control.set_limits("off")
    reads = [(await caller.get("account/assets")).json()["code"] for _ in range(30)]
    assert set(reads) == {0}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": FaultKind.MAINTENANCE}, 200, 801),
        ({"kind": FaultKind.MAINTENANCE, "code": "604"}, 200, 604),
        ({"kind": FaultKind.ANSWER, "code": "1002"}, 200, 1002),
        ({"kind": FaultKind.ANSWER, "code": "500"}, 200, 500),
        ({"kind": FaultKind.ANSWER, "code": "501", "status": 503}, 503, 501),
        ({"kind": FaultKind.ANSWER, "status": 429}, 429, None),
        ({"kind": FaultKind.RATE_LIMIT}, 200, 510),
        ({"kind": FaultKind.BAN, "ms": 60_000}, 403, None),
        ({"kind": FaultKind.SERVER_ERROR, "status": 502}, 502, None),
        ({"kind": FaultKind.CLOCK_SKEW, "ms": 30_000}, 200, 513),
    ],
)
async def test_injected_answers(
    caller: MexcCaller,
    control: SandboxControl,
    fault: dict[str, Any],
    status: int,
    code: int | None,
) -> None:
    values = {**fault, "venue": "mexc", "endpoint": "order/create", "count": 1}
    await control.add_fault(values.pop("kind"), **values)
    response = await caller.post("order/create", {})
    assert response.status_code == status
    if code is not None:
        answer = response.json()
        assert (answer["success"], answer["code"]) == (False, code)
        assert "data" not in answer
    assert (await control.truth()).orders == []


async def test_a_banned_address_sees_the_edge(caller: MexcCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.BAN, venue="mexc", ms=5_000, count=1)
    ping = f"{caller.base_url}/api/v1/contract/ping"
    for _ in range(2):
        response = await caller.http.get(ping)
        assert response.status_code == 403
        assert response.headers["Content-Type"].startswith("text/html")
    await control.set_clock(advance_ms=5_000)
    assert (await caller.http.get(ping)).status_code == 200


async def test_success_may_have_another_code(caller: MexcCaller, control: SandboxControl) -> None:
    await control.set_variant("mexc", "success_code", "200")
    answer = (await caller.get("position/position_mode")).json()
    assert answer == {"success": True, "code": 200, "data": 2}


async def test_reset_turns_the_switches_back(
    sandbox: RunningSandbox, control: SandboxControl
) -> None:
    before = (await control.variants())["mexc"]
    await control.set_variant("mexc", "duplicate_ids", "accepted")
    assert (await control.variants())["mexc"] != before
    await control.reset()
    assert (await control.variants())["mexc"] == before
    info = await control.info()
    assert info["venues"]["mexc"]["base_url"] == sandbox.base_url("mexc")
