"""The sandbox's Bybit side over HTTP: public endpoints, orders, look-ups, executions."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.sandbox import RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.caller import BybitCaller
from providers.sandbox.values import OrderState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PRICE = "100000"
BUY: dict[str, Any] = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}
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


# -- public --------------------------------------------------------------------------------------


async def test_instruments_by_symbol_and_by_page(caller: BybitCaller) -> None:
    path = "/v5/market/instruments-info"
    result = await caller.read(path, category="linear", symbol="BTCUSDT")
    (row,) = result["list"]
    assert row["status"] == "Trading"
    assert row["contractType"] == "LinearPerpetual"
    assert row["priceFilter"] == {
        "minPrice": "0.10",
        "maxPrice": "1886430.00",
        "tickSize": "0.10",
    }
    assert row["lotSizeFilter"]["qtyStep"] == row["lotSizeFilter"]["minOrderQty"] == "0.001"
    assert row["lotSizeFilter"]["maxMktOrderQty"] == "500.000"
    assert row["leverageFilter"]["maxLeverage"] == "100.00"
    seen: list[str] = []
    cursor = ""
    while True:
        page = await caller.read(path, category="linear", limit="7", cursor=cursor)
        seen += [item["symbol"] for item in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) > 15
    assert "EOSUSDT" not in seen
    closed = await caller.read(path, category="linear", status="Closed")
    assert [item["symbol"] for item in closed["list"]] == ["EOSUSDT"]


async def test_prices(caller: BybitCaller) -> None:
    result = await caller.read("/v5/market/tickers", category="linear", symbol="BTCUSDT")
    (row,) = result["list"]
    assert (row["lastPrice"], row["markPrice"]) == ("100000.00", "100000.00")
    assert (row["bid1Price"], row["ask1Price"]) == ("99999.90", "100000.10")
    band = await caller.read("/v5/market/price-limit", category="linear", symbol="BTCUSDT")
    assert (band["buyLmt"], band["sellLmt"]) == ("105000.00", "95000.00")
    everything = await caller.read("/v5/market/tickers", category="linear")
    assert len(everything["list"]) > 15


async def test_time_needs_no_key(caller: BybitCaller) -> None:
    answer = (await caller.http.get(f"{caller.base_url}/v5/market/time")).json()
    assert answer["result"]["timeSecond"] == str(answer["time"] // 1000)
    assert answer["result"]["timeNano"] == str(answer["time"] * 1_000_000)


# -- orders --------------------------------------------------------------------------------------


async def test_create_returns_ids_only_and_the_order_fills(caller: BybitCaller) -> None:
    ids = await caller.write(CREATE, **BUY, orderLinkId="a-1")
    assert set(ids) == {"orderId", "orderLinkId"}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", ids["orderId"])
    row = await order_of(caller, "a-1")
    assert row["orderId"] == ids["orderId"]
    assert (row["orderStatus"], row["timeInForce"]) == ("Filled", "IOC")
    assert (row["price"], row["avgPrice"]) == ("105000.00", "100000")
    assert (row["cumExecQty"], row["leavesQty"], row["cumExecValue"]) == ("0.001", "0.000", "100")
    assert row["cumFeeDetail"] == {"USDT": "0.055"}
    assert (row["rejectReason"], row["cancelType"]) == ("EC_NoError", "UNKNOWN")
    assert (await position_of(caller))["size"] == "0.001"


async def test_an_order_moves_on_only_after_a_delay() -> None:
    async with await start_sandbox(fill_delay=0.05, limits="off") as sandbox:
        clock = sandbox.sandbox.clock
        async with (
            SandboxControl(sandbox.origin) as control,
            BybitCaller(sandbox.base_url(), sandbox.key(), sandbox.secret()) as caller,
        ):
            await control.set_clock(frozen_at_ms=clock.now_ms())
            await caller.write(CREATE, **BUY, orderLinkId="a-1")
            row = await order_of(caller, "a-1")
            assert (row["orderStatus"], row["avgPrice"]) == ("New", "")
            await control.set_clock(advance_ms=50)
            assert (await order_of(caller, "a-1"))["orderStatus"] == "Filled"


async def test_a_running_clock_moves_orders_on_without_being_asked() -> None:
    async with await start_sandbox(fill_delay=0.02, limits="off") as sandbox:
        truth = sandbox.sandbox.truth
        async with BybitCaller(sandbox.base_url(), sandbox.key(), sandbox.secret()) as caller:
            await caller.write(CREATE, **BUY)
            async with asyncio.timeout(5):
                while True:
                    if truth.orders[0].state is OrderState.FILLED:
                        break
                    await asyncio.sleep(0.005)


async def test_order_rows_leave_realtime_but_stay_in_history(
    caller: BybitCaller, control: SandboxControl
) -> None:
    await caller.write(CREATE, **BUY, orderLinkId="a-1")
    await control.reset("recent")
    for path, found in (("/v5/order/realtime", 0), ("/v5/order/history", 1)):
        result = await caller.read(path, category="linear", symbol="BTCUSDT", orderLinkId="a-1")
        assert len(result["list"]) == found


async def test_only_open_orders_unless_asked(caller: BybitCaller) -> None:
    await caller.write(CREATE, **BUY, orderLinkId="done")
    await caller.write(CREATE, **REST, orderLinkId="open")

    async def ids(path: str, **query: str) -> list[str]:
        result = await caller.read(path, category="linear", settleCoin="USDT", **query)
        return [row["orderLinkId"] for row in result["list"]]

    assert await ids("/v5/order/realtime") == ["open"]
    assert await ids("/v5/order/realtime", openOnly="1") == ["done"]
    assert await ids("/v5/order/history") == ["done"]


async def test_order_id_wins_over_link_id_and_unknown_is_empty(caller: BybitCaller) -> None:
    first = await caller.write(CREATE, **BUY, orderLinkId="a-1")
    await caller.write(CREATE, **BUY, orderLinkId="a-2")
    for path in ("/v5/order/realtime", "/v5/order/history"):
        query = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a-2"}
        both = await caller.read(path, **query, orderId=first["orderId"])
        assert [row["orderLinkId"] for row in both["list"]] == ["a-1"]
        none = await caller.read(path, **{**query, "orderLinkId": "never"})
        assert none["list"] == []


async def test_history_forgets_unfilled_orders_after_a_day(
    caller: BybitCaller, control: SandboxControl
) -> None:
    await caller.write(CREATE, **REST, orderLinkId="gone")
    await caller.write("/v5/order/cancel", symbol="BTCUSDT", orderLinkId="gone")
    await caller.write(CREATE, **BUY, orderLinkId="kept")

    async def ids() -> list[str]:
        result = await caller.read("/v5/order/history", category="linear", symbol="BTCUSDT")
        return [row["orderLinkId"] for row in result["list"]]

    assert await ids() == ["kept", "gone"]
    await control.set_clock(advance_ms=86_400_000)
    caller.offset_ms += 86_400_000
    assert await ids() == ["kept"]
    await control.set_clock(advance_ms=7 * 86_400_000)
    caller.offset_ms += 7 * 86_400_000
    assert await ids() == []
    by_id = await caller.read("/v5/order/history", category="linear", orderLinkId="kept")
    assert len(by_id["list"]) == 1


async def test_listings_page_by_cursor(caller: BybitCaller) -> None:
    for number in range(7):
        await caller.write(CREATE, **BUY, orderLinkId=f"p-{number}")
    for path in ("/v5/order/history", "/v5/execution/list"):
        seen: list[str] = []
        cursor = ""
        while True:
            query = {"category": "linear", "symbol": "BTCUSDT", "limit": "3", "cursor": cursor}
            page = await caller.read(path, **query)
            seen += [row["orderLinkId"] for row in page["list"]]
            cursor = page["nextPageCursor"]
            if not cursor:
                break
        assert seen == [f"p-{number}" for number in range(6, -1, -1)]


async def test_executions_of_a_split_order() -> None:
    async with (
        await start_sandbox(fill_delay=0, limits="off", splits=3) as sandbox,
        SandboxControl(sandbox.origin) as control,
        BybitCaller(sandbox.base_url(), sandbox.key(), sandbox.secret()) as caller,
    ):
        await control.set_price("BTCUSDT", PRICE)
        await caller.write(CREATE, **{**BUY, "qty": "0.010"}, orderLinkId="s-1")
        result = await caller.read("/v5/execution/list", category="linear", orderLinkId="s-1")
        rows = result["list"]
        assert [row["execPrice"] for row in rows] == ["100000.20", "100000.10", "100000.00"]
        assert len({row["execId"] for row in rows}) == 3
        order = await order_of(caller, "s-1")
        total = sum(Decimal(row["execQty"]) for row in rows)
        value = sum(Decimal(row["execValue"]) for row in rows)
        fees = sum(Decimal(row["execFee"]) for row in rows)
        assert total == Decimal(order["cumExecQty"]) == Decimal("0.010")
        assert value == Decimal(order["cumExecValue"])
        assert fees == Decimal(order["cumFeeDetail"]["USDT"])
        assert {row["execType"] for row in rows} == {"Trade"}
        assert {row["isMaker"] for row in rows} == {False}


async def test_resting_amend_and_cancel(caller: BybitCaller) -> None:
    await caller.write(CREATE, **REST, orderLinkId="r-1")
    named = {"symbol": "BTCUSDT", "orderLinkId": "r-1"}
    await caller.write("/v5/order/amend", **named, price="98000", qty="0.002")
    row = await order_of(caller, "r-1")
    assert (row["price"], row["qty"], row["orderStatus"]) == ("98000", "0.002", "New")
    assert await caller.code("/v5/order/amend", **named, price="98000") == 10001
    assert await caller.code("/v5/order/amend", **named, price="98000.05") == 10001
    await caller.write("/v5/order/cancel", **named)
    row = await order_of(caller, "r-1")
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByUser")
    assert await caller.code("/v5/order/cancel", **named) == 110001
    assert await caller.code("/v5/order/amend", **named, price="97000") == 110001
    await caller.write(CREATE, **REST, orderLinkId="r-2")
    elsewhere = {"symbol": "ETHUSDT", "orderLinkId": "r-2"}
    assert await caller.code("/v5/order/cancel", **elsewhere) == 110001
    unknown = {"symbol": "BTCUSDT", "orderId": "none"}
    assert await caller.code("/v5/order/cancel", **unknown) == 110001


async def test_cancel_all(caller: BybitCaller, control: SandboxControl) -> None:
    await control.set_price("ETHUSDT", "3000")
    await caller.write(CREATE, **REST, orderLinkId="c-1")
    await caller.write(
        CREATE, **{**REST, "symbol": "ETHUSDT", "price": "2900", "qty": "1"}, orderLinkId="c-2"
    )
    result = await caller.write("/v5/order/cancel-all", symbol="BTCUSDT")
    assert [row["orderLinkId"] for row in result["list"]] == ["c-1"]
    result = await caller.write("/v5/order/cancel-all", settleCoin="USDT")
    assert [row["orderLinkId"] for row in result["list"]] == ["c-2"]
    assert await caller.code("/v5/order/cancel-all") == 10001


@pytest.mark.parametrize(
    ("time_in_force", "price", "status", "reason"),
    [
        ("GTC", "100000", "Filled", "EC_NoError"),
        ("IOC", "99000", "Cancelled", "EC_NoImmediateQtyToFill"),
        ("FOK", "99000", "Cancelled", "EC_NoImmediateQtyToFill"),
        ("PostOnly", "100000", "Cancelled", "EC_PostOnlyWillTakeLiquidity"),
        ("PostOnly", "99000", "New", "EC_NoError"),
    ],
)
async def test_times_in_force(
    caller: BybitCaller, time_in_force: str, price: str, status: str, reason: str
) -> None:
    body = {**REST, "price": price, "timeInForce": time_in_force}
    await caller.write(CREATE, **body, orderLinkId="t-1")
    row = await order_of(caller, "t-1")
    assert (row["orderStatus"], row["rejectReason"]) == (status, reason)


async def test_pre_check_places_nothing(caller: BybitCaller, sandbox: RunningSandbox) -> None:
    result = await caller.write("/v5/order/pre-check", **{**BUY, "qty": "1"})
    assert result["postImrE4"] > result["preImrE4"] == 0
    assert await caller.code("/v5/order/pre-check", **{**BUY, "qty": "0.0001"}) == 10001
    assert sandbox.sandbox.truth.orders == []


async def test_attached_protection_becomes_the_positions(
    caller: BybitCaller, control: SandboxControl
) -> None:
    await caller.write(CREATE, **BUY, orderLinkId="g-1", takeProfit="101000", stopLoss="99000")
    row = await position_of(caller)
    assert (row["takeProfit"], row["stopLoss"]) == ("101000", "99000")
    await caller.write(
        "/v5/position/trading-stop", symbol="BTCUSDT", positionIdx=0, stopLoss="98000"
    )
    row = await position_of(caller)
    assert (row["takeProfit"], row["stopLoss"]) == ("101000", "98000")
    await control.set_price("BTCUSDT", "97990")
    row = await position_of(caller)
    assert (row["size"], row["side"], row["stopLoss"]) == ("0.000", "", "")
    closing = (await control.truth()).orders[-1]
    assert (closing["origin"], closing["state"]) == ("stop_loss", "filled")


async def test_conditional_order(caller: BybitCaller, control: SandboxControl) -> None:
    body = {**BUY, "triggerPrice": "101000", "triggerDirection": 1}
    await caller.write(CREATE, **body, orderLinkId="w-1")
    assert (await order_of(caller, "w-1"))["orderStatus"] == "Untriggered"
    await control.set_price("BTCUSDT", "101000")
    assert (await order_of(caller, "w-1"))["orderStatus"] == "Filled"
