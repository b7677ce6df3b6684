"""The sandbox's Bybit gate over HTTP: signatures, age, keys, limits and their headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from providers.sandbox import RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.caller import BybitCaller, signed_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "TESTKEY123456"
SECRET = "testsecret-abcdef-0123456789"
FROZEN = 1_700_000_000_000

ORDER = (
    '{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.001",'
    '"positionIdx":0,"reduceOnly":false,"orderLinkId":"tw-0001"}'
)
LEVERAGE = '{"category":"linear","symbol":"BTCUSDT","buyLeverage":"5","sellLeverage":"5"}'


def spaced(body: str) -> str:
    """The same JSON with the separators Python's json module writes by default."""
    return body.replace('":', '": ').replace(',"', ', "')


# Path, signed query or body, signature; produced with ccxt and pybit under a stopped clock.
VECTORS = {
    "B1": (
        "GET",
        "/v5/order/realtime",
        "category=linear&symbol=BTCUSDT&orderLinkId=tw-0001",
        "2033b59f26057fb397712a0a527e21bedd8c23a286ffb1d3d1b7740c7972fb60",
    ),
    "B2": (
        "GET",
        "/v5/order/realtime",
        "category=linear&orderLinkId=tw-0001&symbol=BTCUSDT",
        "d54ca71bced678c64d5986615345327e70ef66a2a07bd10553bbd2e1c85ecfa0",
    ),
    "B3": (
        "POST",
        "/v5/order/create",
        ORDER,
        "f95a97aeb232fed51ad7bd10ff3ff3fe4e12870a8fb58f3ca3899e6b83d1bab8",
    ),
    "B4": (
        "POST",
        "/v5/order/create",
        spaced(ORDER),
        "21617c47cfd583cb7da5a19d59e4b42fdf2304d119ccb5c681ce3c1e239fb1f7",
    ),
    "B5": (
        "POST",
        "/v5/position/set-leverage",
        LEVERAGE,
        "5a6b7f43cf24699da951b2e06a6355ec1c88a1588ba069027e406028d498cd76",
    ),
    "B6": (
        "POST",
        "/v5/position/set-leverage",
        spaced(LEVERAGE),
        "13e51b3a489fb80c10b7b69dde5d6fc224aca536b972428c6d2e2cb6dcd24d10",
    ),
    "B7": (
        "GET",
        "/v5/account/wallet-balance",
        "accountType=UNIFIED&coin=USDT",
        "a62e0c26be20eb933591cade404da0c7ad444ed5d729de2a3428bd1279a966a1",
    ),
    "B8": (
        "GET",
        "/v5/account/info",
        "",
        "bed4d293bb6cfd4cec8cd02a7fd055c0a898c78084707b01b18381b734e0890e",
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
async def caller(sandbox: RunningSandbox) -> AsyncIterator[BybitCaller]:
    async with BybitCaller(sandbox.base_url(), sandbox.key(), sandbox.secret()) as client:
        yield client


@pytest.fixture
async def frozen(sandbox: RunningSandbox, control: SandboxControl) -> RunningSandbox:
    await control.add_account("bybit", "vectors", key=KEY, secret=SECRET)
    await control.set_clock(frozen_at_ms=FROZEN)
    return sandbox


async def send(
    sandbox: RunningSandbox, method: str, path: str, tail: str, headers: dict[str, str]
) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        if method == "GET":
            url = f"{sandbox.base_url()}{path}?{tail}" if tail else f"{sandbox.base_url()}{path}"
            return await client.get(url, headers=headers)
        return await client.post(
            f"{sandbox.base_url()}{path}", content=tail.encode(), headers=headers
        )


def headers_of(signature: str, stamp: int = FROZEN) -> dict[str, str]:
    return {
        "X-BAPI-API-KEY": KEY,
        "X-BAPI-TIMESTAMP": str(stamp),
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": signature,
        "Content-Type": "application/json",
    }


@pytest.mark.parametrize("name", VECTORS)
async def test_known_signatures_are_accepted(frozen: RunningSandbox, name: str) -> None:
    method, path, tail, signature = VECTORS[name]
    response = await send(frozen, method, path, tail, headers_of(signature))
    answer = response.json()
    assert (response.status_code, answer["retCode"], answer["time"]) == (200, 0, FROZEN)


@pytest.mark.parametrize("name", VECTORS)
async def test_a_changed_request_is_refused(frozen: RunningSandbox, name: str) -> None:
    method, path, tail, signature = VECTORS[name]
    tampered = tail.replace("BTC", "ETH").replace("USDT", "USDC") if tail else "x=1"
    response = await send(frozen, method, path, tampered, headers_of(signature))
    assert (response.status_code, response.json()["retCode"]) == (200, 10004)
    assert frozen.sandbox.truth.orders == []


async def test_the_same_json_written_otherwise_is_refused(frozen: RunningSandbox) -> None:
    _, path, tail, signature = VECTORS["B3"]
    response = await send(frozen, "POST", path, spaced(tail), headers_of(signature))
    assert response.json()["retCode"] == 10004


async def test_the_same_query_encoded_otherwise_is_refused(frozen: RunningSandbox) -> None:
    _, path, tail, signature = VECTORS["B1"]
    encoded = tail.replace("tw-0001", "tw%2D0001")
    response = await send(frozen, "GET", path, encoded, headers_of(signature))
    assert response.json()["retCode"] == 10004


@pytest.mark.parametrize(
    ("offset_ms", "accepted"),
    [(-5001, False), (-5000, True), (0, True), (999, True), (1000, False)],
)
async def test_age(frozen: RunningSandbox, offset_ms: int, accepted: bool) -> None:  # noqa: FBT001 - a column
    headers = signed_headers(KEY, SECRET, "", FROZEN + offset_ms)
    answer = (await send(frozen, "GET", "/v5/account/info", "", headers)).json()
    assert answer["retCode"] == (0 if accepted else 10002)
    if not accepted:
        assert f"req_timestamp[{FROZEN + offset_ms}]" in answer["retMsg"]
        assert f"server_timestamp[{FROZEN}]" in answer["retMsg"]


async def test_credentials(frozen: RunningSandbox) -> None:
    good = headers_of(VECTORS["B8"][3])
    path = "/v5/account/info"
    unknown = await send(frozen, "GET", path, "", good | {"X-BAPI-API-KEY": "nobody"})
    assert (unknown.status_code, unknown.json()["retCode"]) == (200, 10003)
    garbled = await send(frozen, "GET", path, "", good | {"X-BAPI-TIMESTAMP": "now"})
    assert garbled.json()["retCode"] == 10002
    upper = await send(frozen, "GET", path, "", good | {"X-BAPI-SIGN": "00"})
    assert upper.json()["retCode"] == 10004
    missing = await send(frozen, "GET", path, "", {})
    assert (missing.status_code, missing.json()["retCode"]) == (401, 10003)


async def test_paths_and_bodies(caller: BybitCaller) -> None:
    assert (await caller.get("/v5/order/nothing")).status_code == 404
    assert (await caller.get("/v5/order/create")).status_code == 404
    url = f"{caller.base_url}/v5/account/info"
    with_body = await caller.http.request("GET", url, content=b"{}")
    assert with_body.status_code == 403
    for body in (b"{", b"[]", b""):
        answer = (await caller.post("/v5/order/create", body)).json()
        assert answer["retCode"] == 10001


async def test_published_limit_of_create(
    caller: BybitCaller, control: SandboxControl, sandbox: RunningSandbox
) -> None:
    now = await control.set_clock(frozen_at_ms=sandbox.sandbox.clock.now_ms())
    body = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market"}
    answers = [
        await caller.post("/v5/order/create", {**body, "qty": "0.001", "orderLinkId": f"l-{n}"})
        for n in range(11)
    ]
    assert [a.json()["retCode"] for a in answers] == [0] * 10 + [10006]
    assert [a.headers["X-Bapi-Limit-Status"] for a in answers] == [
        *(str(n) for n in range(9, -1, -1)),
        "0",
    ]
    assert {a.headers["X-Bapi-Limit"] for a in answers} == {"10"}
    assert answers[0].headers["X-Bapi-Limit-Reset-Timestamp"] == str(now)
    assert answers[-1].headers["X-Bapi-Limit-Reset-Timestamp"] == str(now + 1000)
    other = await caller.get("/v5/account/info")
    assert other.json()["retCode"] == 0
    await control.set_clock(advance_ms=1000)
    caller.offset_ms += 1000
    again = await caller.post(
        "/v5/order/create", {**body, "qty": "0.001", "orderLinkId": "l-again"}
    )
    assert again.json()["retCode"] == 0
    report = await control.truth()
    assert len(report.orders) == 11
    assert report.counters["codes"]["bybit"]["10006"] == 1


async def test_too_many_requests_ban_the_address(
    caller: BybitCaller, control: SandboxControl, sandbox: RunningSandbox
) -> None:
    await control.set_clock(frozen_at_ms=sandbox.sandbox.clock.now_ms())
    await control.set_limits({"ip": 5})
    statuses = [(await caller.get("/v5/market/time")).status_code for _ in range(7)]
    assert statuses == [200] * 5 + [403] * 2
    await control.set_clock(advance_ms=599_000)
    assert (await caller.get("/v5/market/time")).status_code == 403
    await control.set_clock(advance_ms=1_000)
    assert (await caller.get("/v5/market/time")).status_code == 200


async def test_custom_limits_and_none(
    sandbox: RunningSandbox, caller: BybitCaller, control: SandboxControl
) -> None:
    await control.set_clock(frozen_at_ms=sandbox.sandbox.clock.now_ms())
    await control.set_limits({"order/realtime": 2})
    query = {"category": "linear", "symbol": "BTCUSDT"}
    codes = [(await caller.get("/v5/order/realtime", **query)).json() for _ in range(3)]
    assert [answer["retCode"] for answer in codes] == [0, 0, 10006]
    await control.set_limits("off")
    answers = [await caller.get("/v5/order/realtime", **query) for _ in range(60)]
    assert {answer.json()["retCode"] for answer in answers} == {0}
    assert answers[-1].headers["X-Bapi-Limit"] == "50"


async def test_accounts_are_limited_apart(
    sandbox: RunningSandbox, caller: BybitCaller, control: SandboxControl
) -> None:
    await control.set_clock(frozen_at_ms=sandbox.sandbox.clock.now_ms())
    await control.set_limits({"account/info": 1})
    keys = await control.add_account("bybit", "second")
    async with BybitCaller(sandbox.base_url(), keys["key"], keys["secret"]) as second:
        assert (await caller.get("/v5/account/info")).json()["retCode"] == 0
        assert (await second.get("/v5/account/info")).json()["retCode"] == 0
        assert (await caller.get("/v5/account/info")).json()["retCode"] == 10006
