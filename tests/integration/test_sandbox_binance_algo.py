"""The sandbox's Binance side over HTTP: conditional orders and the orders they become."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.sandbox import FaultKind, RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.binance.caller import BinanceCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VENUE = "binance"
ALGO = "v1/algoOrder"
SYMBOL = {"symbol": "BTCUSDT"}
BUY = {**SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.010"}
STOP = {
    **SYMBOL,
    "algoType": "CONDITIONAL",
    "side": "SELL",
    "type": "STOP_MARKET",
    "quantity": "0.010",
    "triggerPrice": "90000",
    "reduceOnly": "true",
}
WHOLE = {name: value for name, value in STOP.items() if name not in ("quantity", "reduceOnly")} | {
    "closePosition": "true"
}
DAY_MS = 86_400_000


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=7, fill_delay=0, limits="off") as running:
        yield running


@pytest.fixture
async def control(sandbox: RunningSandbox) -> AsyncIterator[SandboxControl]:
    async with SandboxControl(sandbox.origin) as client:
        await client.set_price("BTCUSDT", "100000")
        yield client


@pytest.fixture
async def caller(sandbox: RunningSandbox, control: SandboxControl) -> AsyncIterator[BinanceCaller]:
    del control  # it holds the price
    async with BinanceCaller(
        sandbox.base_url(VENUE), sandbox.key(VENUE), sandbox.secret(VENUE)
    ) as client:
        yield client


async def long(caller: BinanceCaller) -> None:
    await caller.ask("POST", "v1/order", **BUY)


async def place(caller: BinanceCaller, client_id: str = "", **fields: str) -> dict[str, Any]:
    if client_id:
        fields["clientAlgoId"] = client_id
    answer: dict[str, Any] = await caller.ask("POST", ALGO, **fields)
    return answer


async def code(caller: BinanceCaller, **fields: str) -> int:
    status, number = await caller.refused("POST", ALGO, **fields)
    assert status == 400
    return number


async def algo_of(caller: BinanceCaller, client_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = await caller.ask("GET", ALGO, clientAlgoId=client_id)
    return answer


async def open_ids(caller: BinanceCaller) -> list[str]:
    return [row["clientAlgoId"] for row in await caller.ask("GET", "v1/openAlgoOrders")]


async def test_it_waits_apart_from_ordinary_orders(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await long(caller)
    answer = await place(caller, "stop", **STOP)
    assert (answer["algoStatus"], answer["orderType"], answer["triggerPrice"]) == (
        "NEW",
        "STOP_MARKET",
        "90000",
    )
    assert "actualOrderId" not in answer
    assert (await algo_of(caller, "stop"))["actualOrderId"] == ""
    assert await open_ids(caller) == ["stop"]
    assert await caller.ask("GET", "v1/openOrders") == []
    named = {**SYMBOL, "origClientOrderId": "stop"}
    assert await caller.refused("GET", "v1/order", **named) == (400, -2013)
    assert await caller.refused("DELETE", "v1/order", **named) == (400, -2011)
    await caller.ask("DELETE", "v1/allOpenOrders", **SYMBOL)
    assert await open_ids(caller) == ["stop"]
    assert len((await control.truth()).orders) == 1


async def test_at_its_price_it_becomes_an_ordinary_order(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await long(caller)
    await place(caller, "stop", **STOP)
    await control.set_price("BTCUSDT", "90000.1")
    assert await open_ids(caller) == ["stop"]
    await control.set_price("BTCUSDT", "90000")
    assert await open_ids(caller) == []
    row = await algo_of(caller, "stop")
    assert (row["algoStatus"], row["actualQty"]) == ("FINISHED", "0.010")
    assert Decimal(row["actualPrice"]) == Decimal(90_000)
    order = await caller.ask("GET", "v1/order", **SYMBOL, orderId=row["actualOrderId"])
    assert (order["status"], order["clientOrderId"], order["reduceOnly"]) == (
        "FILLED",
        "stop",
        True,
    )
    assert await caller.ask("GET", "v3/positionRisk") == []
    latest = (await control.truth()).orders[-1]
    assert (latest["origin"], latest["order_id"]) == ("stop_loss", row["actualOrderId"])
    assert await caller.refused("DELETE", ALGO, clientAlgoId="stop") == (400, -2011)


@pytest.mark.parametrize(
    ("side", "kind", "trigger", "price", "waits_at"),
    [
        ("SELL", "STOP_MARKET", "99000", "99000", "99000.1"),
        ("BUY", "STOP_MARKET", "101000", "101000", "100999.9"),
        ("SELL", "TAKE_PROFIT_MARKET", "101000", "101000", "100999.9"),
        ("BUY", "TAKE_PROFIT_MARKET", "99000", "99000", "99000.1"),
    ],
)
async def test_which_way_each_kind_waits(
    caller: BinanceCaller,
    control: SandboxControl,
    side: str,
    kind: str,
    trigger: str,
    price: str,
    waits_at: str,
) -> None:
    fields = STOP | {"side": side, "type": kind, "triggerPrice": trigger}
    del fields["reduceOnly"]
    await place(caller, "a", **fields)
    await control.set_price("BTCUSDT", waits_at)
    assert await open_ids(caller) == ["a"]
    await control.set_price("BTCUSDT", price)
    assert (await algo_of(caller, "a"))["algoStatus"] == "FINISHED"
    (row,) = await caller.ask("GET", "v3/positionRisk")
    assert row["positionAmt"] == ("0.010" if side == "BUY" else "-0.010")


async def test_the_path_of_prices_triggers_it_too(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await control.release_price("BTCUSDT")
    now = await control.set_clock(frozen_at_ms=1_800_000_000_000)
    caller.offset_ms = now - time.time_ns() // 1_000_000
    last = Decimal((await control.prices(VENUE))["BTCUSDT"]["last"])
    close = {name: value for name, value in STOP.items() if name != "reduceOnly"}
    await place(caller, "down", **(close | {"triggerPrice": f"{last - 1:f}"}))
    up = close | {"side": "BUY", "triggerPrice": f"{last + 1:f}"}
    await place(caller, "up", **up)
    await control.set_clock(advance_ms=60_000)
    orders = (await control.truth()).orders
    assert orders, "a minute of prices within two dollars"
    assert {order["client_order_id"] for order in orders} <= {"down", "up"}


async def test_a_limit_follows_its_trigger(caller: BinanceCaller, control: SandboxControl) -> None:
    await long(caller)
    fields = STOP | {"type": "STOP", "price": "90100", "timeInForce": "GTC"}
    await place(caller, "limit", **fields)
    await control.set_price("BTCUSDT", "89900")
    row = await algo_of(caller, "limit")
    assert row["algoStatus"] == "TRIGGERED"
    (order,) = await caller.ask("GET", "v1/openOrders")
    assert (str(order["orderId"]), order["type"], order["price"]) == (
        row["actualOrderId"],
        "LIMIT",
        "90100",
    )
    await control.set_price("BTCUSDT", "90100")
    assert (await algo_of(caller, "limit"))["algoStatus"] == "FINISHED"


async def test_it_may_go_by_the_mark(caller: BinanceCaller, control: SandboxControl) -> None:
    await long(caller)
    await place(caller, "mark", **STOP, workingType="MARK_PRICE")
    assert (await algo_of(caller, "mark"))["workingType"] == "MARK_PRICE"
    await control.set_price("BTCUSDT", "89000")
    assert (await algo_of(caller, "mark"))["algoStatus"] == "FINISHED"


async def test_closing_the_whole_position(caller: BinanceCaller, control: SandboxControl) -> None:
    await long(caller)
    await place(caller, "whole", **WHOLE)
    await long(caller)
    await control.set_price("BTCUSDT", "89000")
    row = await algo_of(caller, "whole")
    assert (row["algoStatus"], row["actualQty"], row["closePosition"]) == (
        "FINISHED",
        "0.020",
        True,
    )
    assert await caller.ask("GET", "v3/positionRisk") == []


async def test_without_a_position_there_is_nothing_to_close(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await place(caller, "whole", **WHOLE)
    await place(caller, "reduce", **STOP)
    await control.set_price("BTCUSDT", "89000")
    for name in ("whole", "reduce"):
        row = await algo_of(caller, name)
        assert (row["algoStatus"], row["actualOrderId"]) == ("EXPIRED", "")
    assert (await control.truth()).orders == []


async def test_margin_is_checked_when_it_triggers(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    fields = STOP | {"quantity": "119"}
    del fields["reduceOnly"]
    await caller.ask("POST", "v1/leverage", **SYMBOL, leverage="5")
    await place(caller, "large", **fields)
    await control.set_price("BTCUSDT", "89000")
    assert (await algo_of(caller, "large"))["algoStatus"] == "REJECTED"


async def test_hedge_legs(sandbox: RunningSandbox, control: SandboxControl) -> None:
    keys = await control.add_account(VENUE, "hedger", hedge=True)
    stop = {name: value for name, value in STOP.items() if name != "reduceOnly"}
    async with BinanceCaller(sandbox.base_url(VENUE), keys["key"], keys["secret"]) as hedger:
        await hedger.ask("POST", "v1/order", **BUY, positionSide="LONG")
        assert await code(hedger, **stop) == -4061
        assert await code(hedger, **STOP, positionSide="LONG") == -1106
        assert await code(hedger, **WHOLE, positionSide="SHORT") == -4136
        await place(hedger, "leg", **stop, positionSide="LONG")
        await control.set_price("BTCUSDT", "89000")
        assert (await algo_of(hedger, "leg"))["algoStatus"] == "FINISHED"
        assert await hedger.ask("GET", "v3/positionRisk") == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"algoType": "VP"}, -1130),
        ({"algoType": ""}, -1102),
        ({"symbol": ""}, -1102),
        ({"symbol": "NOSUCHUSDT"}, -1121),
        ({"type": "MARKET"}, -1116),
        ({"type": "TRAILING_STOP_MARKET"}, -1020),
        ({"side": "UP"}, -1117),
        ({"positionSide": "LONG"}, -4061),
        ({"triggerPrice": ""}, -1102),
        ({"triggerPrice": "90000.05"}, -4014),
        ({"triggerPrice": "100000"}, -2021),
        ({"triggerPrice": "100001"}, -2021),
        ({"type": "TAKE_PROFIT_MARKET"}, -2021),
        ({"type": "STOP"}, -1102),
        ({"price": "90000"}, -1106),
        ({"quantity": ""}, -1102),
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "121"}, -4005),
        ({"reduceOnly": "false", "quantity": "0.001", "triggerPrice": "300"}, 0),
        ({"workingType": "INDEX"}, -1130),
        ({"timeInForce": "GTD"}, -1115),
        ({"clientAlgoId": "a b"}, -1100),
        ({"clientAlgoId": "x" * 37}, -4015),
        ({"closePosition": "true"}, -4137),
        ({"activatePrice": "1"}, -1106),
    ],
)
async def test_refusals(caller: BinanceCaller, changed: dict[str, str], expected: int) -> None:
    if not expected:
        await place(caller, **(STOP | changed))
        return
    assert await code(caller, **(STOP | changed)) == expected
    assert await open_ids(caller) == []


async def test_refusals_of_closing_whole(caller: BinanceCaller) -> None:
    assert await code(caller, **WHOLE, reduceOnly="true") == -1106
    limit = WHOLE | {"type": "STOP", "price": "90000"}
    assert await code(caller, **limit) == -4136
    await place(caller, **WHOLE)
    assert await code(caller, **WHOLE) == -4130
    profit = WHOLE | {"type": "TAKE_PROFIT_MARKET", "triggerPrice": "110000"}
    await place(caller, **profit)


async def test_an_id_is_taken_while_it_waits(caller: BinanceCaller) -> None:
    first = await place(caller, "same", **STOP)
    assert await code(caller, **STOP, clientAlgoId="same") == -4116
    limit = BUY | {"type": "LIMIT", "timeInForce": "GTC", "price": "99000"}
    await caller.ask("POST", "v1/order", **limit, newClientOrderId="same")
    answer = await caller.ask("DELETE", ALGO, clientAlgoId="same")
    assert answer == {
        "algoId": first["algoId"],
        "clientAlgoId": "same",
        "code": "200",
        "msg": "success",
    }
    second = await place(caller, "same", **STOP)
    assert (await algo_of(caller, "same"))["algoId"] == second["algoId"]
    by_number = await caller.ask("GET", ALGO, algoId=str(first["algoId"]))
    assert by_number["algoStatus"] == "CANCELED"


async def test_at_most_two_hundred_wait(caller: BinanceCaller) -> None:
    for _ in range(200):
        await place(caller, **STOP)
    assert await code(caller, **STOP) == -4045
    await caller.ask("DELETE", "v1/algoOpenOrders", **SYMBOL)
    await place(caller, **STOP)


async def test_look_ups(caller: BinanceCaller, control: SandboxControl) -> None:
    assert await caller.refused("GET", ALGO, clientAlgoId="none") == (400, -2013)
    assert await caller.refused("GET", ALGO, algoId="5") == (400, -2013)
    assert await caller.refused("GET", ALGO) == (400, -1102)
    assert await caller.refused("DELETE", ALGO, clientAlgoId="none") == (400, -2011)
    one = await place(caller, "one", **STOP)
    await place(caller, "two", **STOP)
    await caller.ask("DELETE", ALGO, clientAlgoId="two", **SYMBOL)

    async def names(**query: str) -> list[str]:
        rows = await caller.ask("GET", "v1/allAlgoOrders", **query)
        return [row["clientAlgoId"] for row in rows]

    assert await names(**SYMBOL) == ["one", "two"]
    assert await names(symbol="ETHUSDT") == []
    assert await names(**SYMBOL, algoId=str(one["algoId"] + 1)) == ["two"]
    assert await caller.refused("GET", "v1/allAlgoOrders") == (400, -1102)
    assert await caller.ask("GET", "v1/openAlgoOrders", symbol="ETHUSDT") == []
    await control.set_clock(advance_ms=3 * DAY_MS + 60_000)
    caller.offset_ms += 3 * DAY_MS + 60_000
    assert await names(**SYMBOL) == ["one"]
    assert await caller.refused("GET", ALGO, clientAlgoId="two") == (400, -2013)


async def test_faults_reach_it(caller: BinanceCaller, control: SandboxControl) -> None:
    await long(caller)
    await control.add_fault(FaultKind.HIDE, endpoint="POST algoOrder", ms=60_000, count=1)
    await place(caller, "hidden", **STOP)
    assert await caller.refused("GET", ALGO, clientAlgoId="hidden") == (400, -2013)
    assert await open_ids(caller) == []
    await control.add_fault(
        FaultKind.PARTIAL_CANCEL, endpoint="POST algoOrder", fraction="0.4", count=1
    )
    await place(caller, "part", **STOP)
    await control.set_clock(advance_ms=60_000)
    caller.offset_ms += 60_000
    assert await open_ids(caller) == ["hidden", "part"]
    await caller.ask("DELETE", ALGO, clientAlgoId="hidden")
    await control.set_price("BTCUSDT", "89000")
    row = await algo_of(caller, "part")
    assert (row["algoStatus"], row["actualQty"]) == ("FINISHED", "0.004")
