"""The sandbox's Bybit side over HTTP: positions and account."""

from __future__ import annotations

from decimal import Decimal
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


async def order_of(caller: BybitCaller, link_id: str) -> dict[str, Any]:
    result = await caller.read(
        "/v5/order/realtime", category="linear", symbol="BTCUSDT", orderLinkId=link_id
    )
    (row,) = result["list"]
    return dict(row)


async def position_of(caller: BybitCaller, symbol: str = "BTCUSDT") -> dict[str, Any]:
    result = await caller.read("/v5/position/list", category="linear", symbol=symbol)
    (row,) = result["list"]
    return dict(row)


async def test_close_with_quantity_zero(caller: BybitCaller) -> None:
    await caller.write(CREATE, **{**BUY, "qty": "0.007"})
    close = {**SELL, "qty": "0", "reduceOnly": True, "closeOnTrigger": True}
    await caller.write(CREATE, **close, orderLinkId="z-1")
    assert (await order_of(caller, "z-1"))["cumExecQty"] == "0.007"
    assert (await position_of(caller))["size"] == "0.000"


async def test_reduce_only_is_trimmed(caller: BybitCaller) -> None:
    await caller.write(CREATE, **BUY)
    await caller.write(CREATE, **{**SELL, "qty": "5"}, reduceOnly=True, orderLinkId="z-1")
    row = await order_of(caller, "z-1")
    assert (row["qty"], row["cumExecQty"], row["orderStatus"]) == ("0.001", "0.001", "Filled")


async def test_flip_in_one_way_mode(caller: BybitCaller, control: SandboxControl) -> None:
    await caller.write(CREATE, **{**BUY, "qty": "0.004"})
    await control.set_price("BTCUSDT", "101000")
    await caller.write(CREATE, **{**SELL, "qty": "0.010"})
    row = await position_of(caller)
    assert (row["side"], row["size"]) == ("Sell", "0.006")
    assert Decimal(row["avgPrice"]) == Decimal(101_000)
    assert Decimal(row["cumRealisedPnl"]) == Decimal(4)


async def test_hedge_mode_has_two_rows_in_either_order(
    caller: BybitCaller, control: SandboxControl, sandbox: RunningSandbox
) -> None:
    await caller.write("/v5/position/switch-mode", symbol="BTCUSDT", mode=3)
    await caller.write(CREATE, **BUY, positionIdx=1)
    await caller.write(CREATE, **SELL, positionIdx=2)
    orders: set[tuple[int, ...]] = set()
    start = await control.set_clock(frozen_at_ms=sandbox.sandbox.clock.now_ms())
    for _ in range(2):
        result = await caller.read("/v5/position/list", category="linear", symbol="BTCUSDT")
        rows = {row["positionIdx"]: row for row in result["list"]}
        assert (rows[1]["side"], rows[2]["side"]) == ("Buy", "Sell")
        orders.add(tuple(row["positionIdx"] for row in result["list"]))
        start = await control.set_clock(frozen_at_ms=start + 1)
    assert orders == {(1, 2), (2, 1)}
    await caller.write(CREATE, **SELL, positionIdx=1, reduceOnly=True)
    assert await caller.code(CREATE, **SELL, positionIdx=1, reduceOnly=True) == 110017


async def test_leverage(caller: BybitCaller) -> None:
    path = "/v5/position/set-leverage"

    async def code(buy: Any, sell: Any = None) -> int:  # noqa: ANN401 - wrong kinds too
        body = {"symbol": "BTCUSDT", "buyLeverage": buy, "sellLeverage": sell or buy}
        return await caller.code(path, **body)

    assert await code("5") == 0
    assert await code("5") == 110043
    assert await code("100.01") == 110013
    assert await code("0") == 10001
    assert await code("5", "6") == 10001
    assert await code(5) == 10001
    info = await caller.read("/v5/position/symbol-info", category="linear", symbol="BTCUSDT")
    assert info["list"] == [{"symbol": "BTCUSDT", "positionIdx": 0, "leverage": "5"}]
    assert (await position_of(caller))["leverage"] == "5"


async def test_position_mode(caller: BybitCaller) -> None:
    path = "/v5/position/switch-mode"
    assert await caller.code(path, symbol="BTCUSDT", mode=0) == 110025
    assert await caller.code(path, symbol="BTCUSDT", mode=1) == 10001
    assert await caller.code(path, mode=3) == 10001
    await caller.write(CREATE, **REST, orderLinkId="m-1")
    assert await caller.code(path, symbol="BTCUSDT", mode=3) == 110028
    await caller.write("/v5/order/cancel", symbol="BTCUSDT", orderLinkId="m-1")
    await caller.write(CREATE, **BUY)
    assert await caller.code(path, symbol="BTCUSDT", mode=3) == 110024
    assert await caller.code(path, coin="USDT", mode=3) == 110024
    await caller.write(CREATE, **SELL)
    assert await caller.code(path, coin="USDT", mode=3) == 0
    assert await caller.code(path, coin="USDT", mode=3) == 110025


async def test_margin_mode(caller: BybitCaller) -> None:
    path = "/v5/account/set-margin-mode"
    assert (await caller.read("/v5/account/info"))["marginMode"] == "REGULAR_MARGIN"
    assert await caller.code(path, setMarginMode="SOMETHING") == 10001
    await caller.write(CREATE, **BUY)
    answer = (await caller.post(path, {"setMarginMode": "ISOLATED_MARGIN"})).json()
    assert answer["retCode"] == 3400045
    assert answer["result"]["reasons"][0]["reasonMsg"]
    await caller.write(CREATE, **SELL)
    assert await caller.code(path, setMarginMode="PORTFOLIO_MARGIN") == 3400045
    assert await caller.code(path, setMarginMode="ISOLATED_MARGIN") == 0
    assert await caller.code(path, setMarginMode="ISOLATED_MARGIN") == 110026
    assert (await caller.read("/v5/account/info"))["marginMode"] == "ISOLATED_MARGIN"


async def test_balance_and_fees(caller: BybitCaller, control: SandboxControl) -> None:
    await caller.write(CREATE, **{**BUY, "qty": "1"})
    await control.set_price("BTCUSDT", "101000")
    result = await caller.read("/v5/account/wallet-balance", accountType="UNIFIED", coin="USDT")
    (account,) = result["list"]
    (coin,) = account["coin"]
    assert (coin["walletBalance"], coin["unrealisedPnl"]) == ("999945", "1000")
    assert (coin["equity"], coin["totalPositionIM"]) == ("1000945", "10000")
    assert account["totalAvailableBalance"] == "990945"
    fees = await caller.read("/v5/account/fee-rate", category="linear", symbol="BTCUSDT")
    assert fees["list"] == [
        {"symbol": "BTCUSDT", "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"}
    ]


async def test_logs_are_of_the_time_and_the_kind_asked_for(caller: BybitCaller) -> None:
    await caller.write(CREATE, **BUY)
    await caller.write(CREATE, **SELL)
    log, closed = "/v5/account/transaction-log", "/v5/position/closed-pnl"
    old = {"startTime": "1600000000000", "endTime": "1600000001000"}
    for asked, length in (({}, 2), ({"type": "TRADE"}, 2), ({"type": "SETTLEMENT"}, 0), (old, 0)):
        rows = (await caller.read(log, accountType="UNIFIED", **asked))["list"]
        assert len(rows) == length, asked
    for asked, length in (({}, 1), (old, 0)):
        assert len((await caller.read(closed, category="linear", **asked))["list"]) == length
    wrong = await caller.get(log, startTime="1600000000000", endTime="1700000000000")
    assert wrong.json()["retCode"] == 10001


async def test_there_is_nothing_of_the_other_categories(caller: BybitCaller) -> None:
    for path in ("/v5/position/list", "/v5/order/realtime", "/v5/market/tickers"):
        for category in ("inverse", "spot", "option"):
            assert (await caller.read(path, category=category))["list"] == []
    assert (await caller.get("/v5/position/list", category="other")).json()["retCode"] == 10001
    body = {"category": "spot", **BUY}
    assert (await caller.post(CREATE, body)).json()["retCode"] == 10001
