"""The sandbox's Bybit side over HTTP: what is refused, and with which code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from providers.sandbox import RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.caller import BybitCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PRICE = "100000"
BUY: dict[str, Any] = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}
SELL: dict[str, Any] = {**BUY, "side": "Sell"}
REST: dict[str, Any] = {**BUY, "orderType": "Limit", "price": "99000"}

CREATE = "/v5/order/create"


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=7, fill_delay=0, limits="off") as running:
        yield running


@pytest.fixture
async def control(sandbox: RunningSandbox) -> AsyncIterator[SandboxControl]:
    async with SandboxControl(sandbox.origin) as client:
        await client.set_price("BTCUSDT", PRICE)
        yield client


@pytest.fixture
async def caller(sandbox: RunningSandbox, control: SandboxControl) -> AsyncIterator[BybitCaller]:
    del control  # it holds the price
    async with BybitCaller(sandbox.base_url(), sandbox.key(), sandbox.secret()) as client:
        yield client


async def position_of(caller: BybitCaller, symbol: str = "BTCUSDT") -> dict[str, Any]:
    result = await caller.read("/v5/position/list", category="linear", symbol=symbol)
    (row,) = result["list"]
    return dict(row)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"category": "spot"}, 10001),
        ({"symbol": "NOSUCHUSDT"}, 10001),
        ({"symbol": "EOSUSDT", "qty": "100"}, 110074),
        ({"side": "buy"}, 10001),
        ({"orderType": "Stop"}, 10001),
        ({"qty": 0.001}, 10001),
        ({"qty": "1e-3"}, 10001),
        ({"qty": "-0.001"}, 10001),
        ({"qty": ""}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "0", "reduceOnly": True}, 10001),
        ({"qty": "0.0015"}, 10001),
        ({"qty": "500.001"}, 10001),
        ({"qty": "450"}, 110007),
        ({"symbol": "DOGEUSDT", "qty": "1"}, 110094),
        ({"orderType": "Limit"}, 10001),
        ({"orderType": "Limit", "price": "99000.05"}, 10001),
        ({"orderType": "Limit", "price": "105000.1"}, 110003),
        ({"orderType": "Limit", "price": "99999999"}, 110003),
        ({"side": "Sell", "orderType": "Limit", "price": "94999.9"}, 110003),
        ({"orderType": "Limit", "price": "99000", "timeInForce": "GTX"}, 10001),
        ({"positionIdx": 1}, 10001),
        ({"positionIdx": 3}, 10001),
        ({"positionIdx": "one"}, 10001),
        ({"reduceOnly": "true"}, 10001),
        ({"reduceOnly": True}, 110017),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"orderLinkId": "a b"}, 10001),
        ({"orderLinkId": 7}, 10001),
        ({"takeProfit": "99000"}, 10001),
        ({"stopLoss": "101000"}, 10001),
        ({"stopLoss": "99000", "tpslMode": "Half"}, 10001),
        ({"stopLoss": "99000", "slOrderType": "Limit", "slLimitPrice": "98000"}, 10001),
        ({"stopLoss": "99000", "tpslMode": "Partial", "slOrderType": "Limit"}, 10001),
        ({"stopLoss": "99000", "slTriggerBy": "Nothing"}, 10001),
        ({"triggerPrice": "101000"}, 10001),
    ],
)
async def test_refused_orders(
    caller: BybitCaller, sandbox: RunningSandbox, changes: dict[str, Any], code: int
) -> None:
    response = await caller.post(CREATE, {"category": "linear", **BUY, **changes})
    answer = response.json()
    assert (response.status_code, answer["retCode"]) == (200, code), answer["retMsg"]
    assert answer["result"] == {}
    assert answer["retMsg"]
    assert sandbox.sandbox.truth.orders == []


async def test_link_ids_are_taken_for_good(caller: BybitCaller, control: SandboxControl) -> None:
    await caller.write(CREATE, **BUY, orderLinkId="x" * 36)
    assert await caller.code(CREATE, **BUY, orderLinkId="x" * 36) == 110072
    await control.set_clock(advance_ms=30 * 86_400_000)
    caller.offset_ms += 30 * 86_400_000
    assert await caller.code(CREATE, **SELL, orderLinkId="x" * 36) == 110072
    report = await control.truth()
    assert len(report.orders) == 1
    assert report.counters["duplicates_refused"] == {"bybit": 2}


async def test_too_many_open_orders(caller: BybitCaller) -> None:
    for _ in range(50):
        await asyncio.gather(*(caller.write(CREATE, **REST) for _ in range(10)))
    assert await caller.code(CREATE, **REST) == 110020


async def test_too_many_conditional_orders(caller: BybitCaller) -> None:
    body = {**BUY, "triggerPrice": "101000", "triggerDirection": 1}
    for _ in range(10):
        await caller.write(CREATE, **body)
    assert await caller.code(CREATE, **body) == 110009


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/v5/order/realtime", {"category": "linear"}, 10001),
        ("/v5/order/realtime", {"category": "linear", "symbol": "BTCUSDT", "limit": "51"}, 10001),
        ("/v5/order/realtime", {"symbol": "BTCUSDT"}, 10001),
        ("/v5/order/history", {"category": "linear", "cursor": "x"}, 10001),
        (
            "/v5/order/history",
            {"category": "linear", "startTime": "1", "endTime": "604800002"},
            10001,
        ),
        ("/v5/execution/list", {"category": "linear", "limit": "101"}, 10001),
        ("/v5/position/list", {"category": "linear"}, 10001),
        ("/v5/position/list", {"category": "linear", "symbol": "NOSUCHUSDT"}, 10001),
        ("/v5/position/symbol-info", {"category": "linear"}, 10001),
        ("/v5/account/wallet-balance", {"accountType": "SPOT"}, 10001),
        ("/v5/account/wallet-balance", {"accountType": "UNIFIED", "coin": "BTC"}, 10001),
        ("/v5/market/instruments-info", {"category": "linear", "symbol": "NOSUCHUSDT"}, 10001),
        ("/v5/market/instruments-info", {"category": "linear", "status": "Odd"}, 10001),
        ("/v5/market/price-limit", {"category": "linear"}, 10001),
    ],
)
async def test_refused_queries(
    caller: BybitCaller, path: str, query: dict[str, str], code: int
) -> None:
    answer = (await caller.get(path, **query)).json()
    assert (answer["retCode"], answer["result"]) == (code, {})


async def test_refused_protection_of_a_position(caller: BybitCaller) -> None:
    path = "/v5/position/trading-stop"
    body = {"symbol": "BTCUSDT", "positionIdx": 0}
    assert await caller.code(path, **body, stopLoss="99000") == 10001
    await caller.write(CREATE, **BUY)
    assert await caller.code(path, **body, stopLoss="100500") == 10001
    assert await caller.code(path, **body, stopLoss="99000") == 0
    assert await caller.code(path, **body, stopLoss="99000") == 34040
    assert await caller.code(path, **body, stopLoss="0") == 0
    assert (await position_of(caller))["stopLoss"] == ""
