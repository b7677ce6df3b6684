"""The sandbox's Binance side over HTTP: orders, look-ups, cancels, trades, error codes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.sandbox import FaultKind, RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.binance.caller import BinanceCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VENUE = "binance"
PRICE = "100000"
ORDER = "v1/order"
SYMBOL = {"symbol": "BTCUSDT"}
BUY = {**SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.010"}
SELL = {**BUY, "side": "SELL"}
LIMIT = {**BUY, "type": "LIMIT", "timeInForce": "GTC", "price": "99000"}
DAY_MS = 86_400_000


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
async def caller(sandbox: RunningSandbox, control: SandboxControl) -> AsyncIterator[BinanceCaller]:
    del control  # it holds the price
    async with BinanceCaller(
        sandbox.base_url(VENUE), sandbox.key(VENUE), sandbox.secret(VENUE)
    ) as client:
        yield client


@pytest.fixture
async def hedger(sandbox: RunningSandbox, control: SandboxControl) -> AsyncIterator[BinanceCaller]:
    keys = await control.add_account(VENUE, "hedger", hedge=True)
    async with BinanceCaller(sandbox.base_url(VENUE), keys["key"], keys["secret"]) as client:
        yield client


async def placed(caller: BinanceCaller, client_id: str = "", **fields: str) -> dict[str, Any]:
    if client_id:
        fields["newClientOrderId"] = client_id
    answer: dict[str, Any] = await caller.ask("POST", ORDER, **fields)
    return answer


async def order_of(caller: BinanceCaller, client_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = await caller.ask("GET", ORDER, **SYMBOL, origClientOrderId=client_id)
    return answer


async def code(caller: BinanceCaller, **fields: str) -> int:
    """The code of an order that must be refused; always HTTP 400."""
    status, number = await caller.refused("POST", ORDER, **fields)
    assert status == 400
    return number


async def later(caller: BinanceCaller, control: SandboxControl, ms: int) -> None:
    await control.set_clock(advance_ms=ms)
    caller.offset_ms += ms


# -- placing -------------------------------------------------------------------------------------


async def test_placing_is_an_acknowledgement_and_the_order_fills(caller: BinanceCaller) -> None:
    answer = await placed(caller, "a-1", **BUY, newOrderRespType="RESULT")
    assert (answer["status"], answer["executedQty"], answer["cumQty"]) == ("NEW", "0.000", "0.000")
    assert not {"avgPrice", "cumQuote", "time"} & set(answer)
    assert isinstance(answer["orderId"], int)
    assert answer["orderId"] > 2**53
    row = await order_of(caller, "a-1")
    assert row["orderId"] == answer["orderId"]
    assert (row["status"], row["executedQty"]) == ("FILLED", "0.010")
    assert (Decimal(row["avgPrice"]), Decimal(row["cumQuote"])) == (
        Decimal(100_000),
        Decimal(1_000),
    )
    assert (row["price"], row["timeInForce"], row["type"]) == ("0.00", "GTC", "MARKET")
    assert row["time"] <= row["updateTime"]


async def test_the_older_answer_can_be_had(caller: BinanceCaller, control: SandboxControl) -> None:
    await control.set_variant(VENUE, "place_reply", "settled")
    answer = await placed(caller, **BUY, newOrderRespType="RESULT")
    assert (answer["status"], answer["executedQty"], answer["cumQty"]) == (
        "FILLED",
        "0.010",
        "0.010",
    )
    assert "avgPrice" not in answer
    answer = await placed(caller, **BUY)
    assert (answer["status"], answer["executedQty"]) == ("NEW", "0.000")


async def test_the_older_answer_does_not_wait_for_the_fill_delay() -> None:
    async with (
        await start_sandbox(seed=7, fill_delay=30, splits=3) as running,
        SandboxControl(running.origin) as control,
        BinanceCaller(running.base_url(VENUE), running.key(VENUE), running.secret(VENUE)) as caller,
    ):
        await control.set_variant(VENUE, "place_reply", "settled")
        answer = await placed(caller, **BUY, newOrderRespType="RESULT")
        assert answer["status"] == "FILLED"
        assert len(await control.fills()) == 3
        await later(caller, control, 100_000)
        assert len(await control.fills()) == 3


async def test_an_order_without_an_id_gets_one(caller: BinanceCaller) -> None:
    first, second = [(await placed(caller, **BUY))["clientOrderId"] for _ in range(2)]
    assert first != second
    assert (await order_of(caller, second))["status"] == "FILLED"


async def test_the_dry_run_places_nothing(caller: BinanceCaller, control: SandboxControl) -> None:
    answer = await caller.ask("POST", "v1/order/test", **LIMIT, newClientOrderId="t-1")
    assert (answer["orderId"], answer["clientOrderId"], answer["status"]) == (0, "t-1", "NEW")
    assert await caller.refused("POST", "v1/order/test", **(BUY | {"quantity": "0"})) == (
        400,
        -4003,
    )
    assert (await control.truth()).orders == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"symbol": ""}, -1102),
        ({"symbol": "NOSUCHUSDT"}, -1121),
        ({"symbol": "EOSUSDT"}, -4141),
        ({"symbol": "NOVAUSDT"}, -4140),
        ({"side": ""}, -1102),
        ({"side": "buy"}, -1117),
        ({"type": "ICEBERG"}, -1116),
        ({"type": ""}, -1102),
        ({"timeInForce": "GTD"}, -1115),
        ({"timeInForce": ""}, -1102),
        ({"price": ""}, -1102),
        ({"price": "1e5"}, -1100),
        ({"price": "-1"}, -1100),
        ({"quantity": ""}, -1102),
        ({"quantity": "0,01"}, -1100),
        ({"newOrderRespType": "FULL"}, -1136),
        ({"newClientOrderId": ""}, -1105),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newClientOrderId": "a b"}, -1100),
        ({"positionSide": "UP"}, -4060),
        ({"positionSide": "LONG"}, -4061),
        ({"reduceOnly": "yes"}, -1102),
        ({"closePosition": "true"}, -4136),
        ({"stopPrice": "90000"}, -1106),
        ({"priceMatch": "QUEUE"}, -1130),
        ({"selfTradePreventionMode": "MAYBE"}, -1130),
        ({"quantity": "0.0101"}, -1111),
        ({"quantity": "0"}, -4003),
        ({"quantity": "1000.001"}, -4005),
        ({"price": "99000.005"}, -1111),
        ({"price": "99000.05"}, -4014),
        ({"price": "0"}, -4001),
        ({"price": "261.0"}, -4013),
        ({"price": "809485"}, -4002),
        ({"price": "105000.1"}, -4016),
        ({"side": "SELL", "price": "94999.9"}, -4024),
        ({"quantity": "0.001", "price": "49999.9"}, -4164),
        ({"quantity": "800"}, -2027),
        ({"quantity": "250", "price": "99000"}, -2019),
        ({"reduceOnly": "true"}, -2022),
    ],
)
async def test_refusals_of_a_limit_order(
    caller: BinanceCaller, control: SandboxControl, changed: dict[str, str], expected: int
) -> None:
    assert await code(caller, **(LIMIT | changed)) == expected
    assert (await control.truth()).orders == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"price": "99000"}, -1106),
        ({"timeInForce": "GTC"}, -1106),
        ({"quantity": "120.001"}, -4005),
        ({"symbol": "SUIUSDT", "quantity": "15"}, -4023),
        ({"symbol": "SUIUSDT", "quantity": "5"}, -4004),
        ({"symbol": "ETHUSDT", "quantity": "0.006"}, -4164),
    ],
)
async def test_refusals_of_a_market_order(
    caller: BinanceCaller, changed: dict[str, str], expected: int
) -> None:
    assert await code(caller, **(BUY | changed)) == expected


async def test_conditional_types_belong_to_another_endpoint(caller: BinanceCaller) -> None:
    for kind in (
        "STOP",
        "STOP_MARKET",
        "TAKE_PROFIT",
        "TAKE_PROFIT_MARKET",
        "TRAILING_STOP_MARKET",
    ):
        assert await code(caller, **(BUY | {"type": kind}), stopPrice="90000") == -4120


async def test_the_least_notional_does_not_bind_reduce_only(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await placed(caller, **BUY)
    await control.set_price("BTCUSDT", "40000")
    small = SELL | {"quantity": "0.001"}
    assert await code(caller, **small) == -4164
    await placed(caller, "small", **small, reduceOnly="true")
    assert (await order_of(caller, "small"))["status"] == "FILLED"


# -- client order ids ----------------------------------------------------------------------------


async def test_an_id_is_taken_only_while_its_order_is_open(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await placed(caller, "twin", **LIMIT)
    assert await code(caller, **BUY, newClientOrderId="twin") == -4116
    assert (await control.truth()).counters["duplicates_refused"] == {"binance": 1}
    await caller.ask("DELETE", ORDER, **SYMBOL, origClientOrderId="twin")
    again = await placed(caller, "twin", **BUY)
    third = await placed(caller, "twin", **BUY)
    assert again["orderId"] != third["orderId"]
    row = await order_of(caller, "twin")
    assert row["orderId"] == third["orderId"]
    by_number = await caller.ask("GET", ORDER, **SYMBOL, orderId=str(again["orderId"]))
    assert (by_number["orderId"], by_number["clientOrderId"]) == (again["orderId"], "twin")
    filled = [o for o in (await control.truth()).orders if o["state"] == "filled"]
    assert [o["client_order_id"] for o in filled] == ["twin", "twin"]


async def test_other_accounts_have_ids_of_their_own(
    caller: BinanceCaller, hedger: BinanceCaller
) -> None:
    await placed(caller, "same", **LIMIT)
    await placed(hedger, "same", **LIMIT, positionSide="LONG")


# -- life ----------------------------------------------------------------------------------------


async def test_a_limit_order_rests_then_fills_as_maker(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await placed(caller, "rest", **LIMIT)
    row = await caller.ask("GET", "v1/openOrder", **SYMBOL, origClientOrderId="rest")
    assert (row["status"], row["price"], row["avgPrice"], row["cumQuote"]) == (
        "NEW",
        "99000",
        "0.00",
        "0",
    )
    assert [o["clientOrderId"] for o in await caller.ask("GET", "v1/openOrders")] == ["rest"]
    assert await caller.ask("GET", "v1/openOrders", symbol="ETHUSDT") == []
    await control.set_price("BTCUSDT", "98000")
    row = await order_of(caller, "rest")
    assert (row["status"], Decimal(row["avgPrice"])) == ("FILLED", Decimal(99_000))
    missing = await caller.refused("GET", "v1/openOrder", **SYMBOL, origClientOrderId="rest")
    assert missing == (400, -2013)
    (trade,) = await caller.ask("GET", "v1/userTrades", **SYMBOL)
    assert (trade["maker"], Decimal(trade["commission"])) == (True, Decimal("0.198"))


@pytest.mark.parametrize(
    ("force", "price", "expected"),
    [
        ("IOC", "99000", "EXPIRED"),
        ("IOC", "101000", "FILLED"),
        ("FOK", "101000", "FILLED"),
        ("GTX", "99000", "NEW"),
    ],
)
async def test_times_in_force(caller: BinanceCaller, force: str, price: str, expected: str) -> None:
    await placed(caller, "o", **(LIMIT | {"timeInForce": force, "price": price}))
    row = await order_of(caller, "o")
    assert (row["status"], row["timeInForce"]) == (expected, force)


@pytest.mark.parametrize(
    ("force", "price", "expected"), [("FOK", "99000", -5021), ("GTX", "101000", -5022)]
)
async def test_what_cannot_be_is_refused_and_not_recorded(
    caller: BinanceCaller, control: SandboxControl, force: str, price: str, expected: int
) -> None:
    fields = LIMIT | {"timeInForce": force, "price": price}
    assert await code(caller, **fields, newClientOrderId="gone") == expected
    assert (await control.truth()).orders == []
    assert await caller.refused("GET", ORDER, **SYMBOL, origClientOrderId="gone") == (400, -2013)


async def test_a_market_order_that_runs_out_of_book_expires_with_its_fills(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await control.add_fault(FaultKind.PARTIAL_CANCEL, endpoint="POST order", fraction="0.4")
    await placed(caller, "part", **BUY)
    row = await order_of(caller, "part")
    assert (row["status"], row["origQty"], row["executedQty"]) == ("EXPIRED", "0.010", "0.004")
    assert await code(caller, **(LIMIT | {"timeInForce": "FOK", "price": "101000"})) == -5021


async def test_accepted_then_rejected(caller: BinanceCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.REJECT_LATER, endpoint="POST order", message="no")
    await placed(caller, "no", **BUY)
    row = await order_of(caller, "no")
    assert (row["status"], row["executedQty"]) == ("REJECTED", "0.000")


async def test_splits_are_several_trades(caller: BinanceCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.SPLIT, endpoint="POST order", parts=3)
    answer = await placed(caller, "s", **BUY)
    trades = await caller.ask("GET", "v1/userTrades", **SYMBOL, orderId=str(answer["orderId"]))
    assert [t["qty"] for t in trades] == ["0.003", "0.003", "0.004"]
    row = await order_of(caller, "s")
    assert Decimal(row["cumQuote"]) == sum(Decimal(t["quoteQty"]) for t in trades)


async def test_a_hidden_order_is_not_found_until_it_shows(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await control.add_fault(FaultKind.HIDE, endpoint="POST order", ms=60_000, count=1)
    await placed(caller, "late", **BUY)
    assert await caller.refused("GET", ORDER, **SYMBOL, origClientOrderId="late") == (400, -2013)
    assert await caller.ask("GET", "v1/allOrders", **SYMBOL) == []
    assert await caller.ask("GET", "v1/userTrades", **SYMBOL) == []
    await later(caller, control, 60_000)
    assert (await order_of(caller, "late"))["status"] == "FILLED"
    await control.add_fault(FaultKind.HIDE, endpoint="GET order", ms=1, count=1)
    assert await caller.refused("GET", ORDER, **SYMBOL, origClientOrderId="late") == (400, -2013)


# -- cancels -------------------------------------------------------------------------------------


async def test_a_cancel_is_done_when_it_is_answered() -> None:
    async with (
        await start_sandbox(seed=7, fill_delay=30) as running,
        BinanceCaller(running.base_url(VENUE), running.key(VENUE), running.secret(VENUE)) as caller,
    ):
        await placed(caller, "c", **BUY)
        answer = await caller.ask("DELETE", ORDER, **SYMBOL, origClientOrderId="c")
        assert (answer["status"], answer["clientOrderId"]) == ("CANCELED", "c")
        assert not {"avgPrice", "cumQuote"} & set(answer)
        assert (await order_of(caller, "c"))["status"] == "CANCELED"
        again = await caller.refused("DELETE", ORDER, **SYMBOL, origClientOrderId="c")
        assert again == (400, -2011)
        assert running.sandbox.truth.fills == []


async def test_cancels_that_find_nothing(caller: BinanceCaller) -> None:
    await placed(caller, "done", **BUY)
    await placed(caller, "rest", **LIMIT)

    async def refused(**named: str) -> int:
        status, number = await caller.refused("DELETE", ORDER, **named)
        assert status == 400
        return number

    assert await refused(**SYMBOL, origClientOrderId="done") == -2011
    assert await refused(**SYMBOL, origClientOrderId="unknown") == -2011
    assert await refused(**SYMBOL, orderId="5") == -2011
    assert await refused(symbol="ETHUSDT", origClientOrderId="rest") == -2011
    assert await refused(**SYMBOL) == -1102
    assert await refused(origClientOrderId="rest") == -1102
    assert len(await caller.ask("GET", "v1/openOrders")) == 1


async def test_cancel_all_of_a_symbol(caller: BinanceCaller) -> None:
    await placed(caller, "one", **LIMIT)
    await placed(caller, "two", **LIMIT)
    eth = LIMIT | {"symbol": "ETHUSDT", "price": "3000.00", "quantity": "0.1"}
    await placed(caller, "three", **eth)
    answer = await caller.ask("DELETE", "v1/allOpenOrders", **SYMBOL)
    assert answer["code"] == 200
    assert [o["clientOrderId"] for o in await caller.ask("GET", "v1/openOrders")] == ["three"]


async def test_the_dead_man_switch(caller: BinanceCaller, control: SandboxControl) -> None:
    path = "v1/countdownCancelAll"
    await placed(caller, "watched", **LIMIT)
    answer = await caller.ask("POST", path, **SYMBOL, countdownTime="1000")
    assert answer == {"symbol": "BTCUSDT", "countdownTime": "1000"}
    await later(caller, control, 800)
    await caller.ask("POST", path, **SYMBOL, countdownTime="1000")
    await later(caller, control, 800)
    assert (await order_of(caller, "watched"))["status"] == "NEW"
    await caller.ask("POST", path, **SYMBOL, countdownTime="0")
    await later(caller, control, 5_000)
    assert (await order_of(caller, "watched"))["status"] == "NEW"
    await caller.ask("POST", path, **SYMBOL, countdownTime="1000")
    await later(caller, control, 1_200)
    assert (await order_of(caller, "watched"))["status"] == "CANCELED"


# -- look-ups ------------------------------------------------------------------------------------


async def test_lookups_that_find_nothing(caller: BinanceCaller) -> None:
    await placed(caller, "here", **BUY)
    for named in (
        {**SYMBOL, "origClientOrderId": "nowhere"},
        {**SYMBOL, "orderId": "5"},
        {"symbol": "ETHUSDT", "origClientOrderId": "here"},
    ):
        assert await caller.refused("GET", ORDER, **named) == (400, -2013)
    assert await caller.refused("GET", ORDER, **SYMBOL) == (400, -1102)
    assert await caller.refused("GET", ORDER, origClientOrderId="here") == (400, -1102)


async def test_what_look_ups_forget(caller: BinanceCaller, control: SandboxControl) -> None:
    await placed(caller, "filled", **BUY)
    await placed(caller, "unfilled", **LIMIT)
    await caller.ask("DELETE", ORDER, **SYMBOL, origClientOrderId="unfilled")
    await control.add_fault(FaultKind.PARTIAL_CANCEL, endpoint="POST order", fraction="0.4")
    await placed(caller, "part", **BUY)
    await later(caller, control, 3 * DAY_MS - 60_000)
    names = [o["clientOrderId"] for o in await caller.ask("GET", "v1/allOrders", **SYMBOL)]
    assert names == ["filled", "unfilled", "part"]
    await later(caller, control, 120_000)
    gone = await caller.refused("GET", ORDER, **SYMBOL, origClientOrderId="unfilled")
    assert gone == (400, -2013)
    names = [o["clientOrderId"] for o in await caller.ask("GET", "v1/allOrders", **SYMBOL)]
    assert names == ["filled", "part"]
    await later(caller, control, 80 * DAY_MS)
    assert (await order_of(caller, "part"))["status"] == "EXPIRED"
    assert len(await caller.ask("GET", "v1/userTrades", **SYMBOL, fromId="1")) == 2
    await later(caller, control, 10 * DAY_MS)
    for name in ("filled", "part"):
        gone = await caller.refused("GET", ORDER, **SYMBOL, origClientOrderId=name)
        assert gone == (400, -2013)
    assert await caller.ask("GET", "v1/userTrades", **SYMBOL, fromId="1") == []


async def test_all_orders_by_id_and_time(caller: BinanceCaller, control: SandboxControl) -> None:
    path = "v1/allOrders"
    numbers = []
    for name in ("one", "two", "three"):
        numbers.append((await placed(caller, name, **BUY))["orderId"])
        await later(caller, control, 4 * DAY_MS)
    now = int((await caller.ask("GET", "v1/time"))["serverTime"])

    async def names(**query: str) -> list[str]:
        return [o["clientOrderId"] for o in await caller.ask("GET", path, **query)]

    assert await names(**SYMBOL) == ["three"]
    assert await names() == ["three"]
    assert await names(**SYMBOL, orderId=str(numbers[1])) == ["two", "three"]
    assert await names(**SYMBOL, orderId=str(numbers[0]), limit="1") == ["one"]
    assert await names(**SYMBOL, startTime=str(now - 13 * DAY_MS)) == ["one", "two"]
    assert await names(**SYMBOL, endTime=str(now - 7 * DAY_MS)) == ["one", "two"]
    assert await names(**SYMBOL, endTime=str(now - 7 * DAY_MS), limit="1") == ["two"]
    wide = {"startTime": str(now - 8 * DAY_MS), "endTime": str(now)}
    assert await caller.refused("GET", path, **SYMBOL, **wide) == (400, -4165)
    assert await caller.refused("GET", path, **SYMBOL, limit="1001") == (400, -1102)


async def test_trades_have_no_client_id(caller: BinanceCaller) -> None:
    answer = await placed(caller, "t", **BUY)
    (trade,) = await caller.ask("GET", "v1/userTrades", **SYMBOL, orderId=str(answer["orderId"]))
    assert not [name for name in trade if "lient" in name]
    assert (trade["orderId"], trade["qty"], trade["price"]) == (
        answer["orderId"],
        "0.010",
        "100000.00",
    )
    assert (Decimal(trade["commission"]), trade["commissionAsset"]) == (Decimal("0.5"), "USDT")
    assert (trade["side"], trade["buyer"], trade["maker"]) == ("BUY", True, False)
    assert (trade["positionSide"], Decimal(trade["realizedPnl"])) == ("BOTH", Decimal(0))


async def test_trades_by_id_time_and_order(caller: BinanceCaller) -> None:
    path = "v1/userTrades"
    orders = [await placed(caller, **BUY) for _ in range(3)]
    trades = await caller.ask("GET", path, **SYMBOL)
    ids = [t["id"] for t in trades]
    assert ids == sorted(ids)
    assert [t["orderId"] for t in trades] == [o["orderId"] for o in orders]
    assert [t["id"] for t in await caller.ask("GET", path, **SYMBOL, limit="2")] == ids[1:]
    after = await caller.ask("GET", path, **SYMBOL, fromId=str(ids[0]), limit="2")
    assert [t["id"] for t in after] == ids[:2]
    assert await caller.ask("GET", path, **SYMBOL, orderId="5") == []
    assert await caller.ask("GET", path, symbol="ETHUSDT") == []
    assert await caller.refused("GET", path) == (400, -1102)
    both = {"fromId": "1", "startTime": "1"}
    assert await caller.refused("GET", path, **SYMBOL, **both) == (400, -1128)


async def test_commission_assets(caller: BinanceCaller, control: SandboxControl) -> None:
    for _ in range(2):
        await placed(caller, **BUY)

    async def assets() -> list[tuple[str, Decimal]]:
        trades = await caller.ask("GET", "v1/userTrades", **SYMBOL)
        return [(t["commissionAsset"], Decimal(t["commission"])) for t in trades]

    in_bnb = (Decimal("0.5") / Decimal("871.40")).quantize(Decimal("1e-8"))
    assert await assets() == [("USDT", Decimal("0.5"))] * 2
    await control.set_variant(VENUE, "commission_asset", "BNB")
    assert await assets() == [("BNB", in_bnb)] * 2
    await control.set_variant(VENUE, "commission_asset", "mixed")
    assert await assets() == [("USDT", Decimal("0.5")), ("BNB", in_bnb)]


# -- reducing ------------------------------------------------------------------------------------


async def test_reduce_only_in_one_way_mode(caller: BinanceCaller, control: SandboxControl) -> None:
    await placed(caller, **BUY)
    assert await code(caller, **BUY, reduceOnly="true") == -2022
    more = SELL | {"quantity": "0.020"}
    await control.set_variant(VENUE, "reduce_only_excess", "rejected")
    assert await code(caller, **more, reduceOnly="true") == -2022
    await control.set_variant(VENUE, "reduce_only_excess", "trimmed")
    await placed(caller, "trimmed", **more, reduceOnly="true")
    row = await order_of(caller, "trimmed")
    assert (row["status"], row["executedQty"], row["reduceOnly"]) == ("FILLED", "0.010", True)
    assert await code(caller, **more, reduceOnly="true") == -2022


async def test_an_order_without_reduce_only_flips(caller: BinanceCaller) -> None:
    await placed(caller, **BUY)
    await placed(caller, **(SELL | {"quantity": "0.030"}))
    (row,) = await caller.ask("GET", "v3/positionRisk", **SYMBOL)
    assert (row["positionAmt"], row["positionSide"]) == ("-0.020", "BOTH")


async def test_hedge_mode(hedger: BinanceCaller, control: SandboxControl) -> None:
    await placed(hedger, **BUY, positionSide="LONG")
    await placed(hedger, **SELL, positionSide="SHORT")
    close = SELL | {"positionSide": "LONG"}
    assert await code(hedger, **BUY) == -4061
    assert await code(hedger, **BUY, positionSide="BOTH") == -4061
    assert await code(hedger, **close, reduceOnly="true") == -1106
    assert await code(hedger, **close, reduceOnly="false") == -1106
    assert await code(hedger, **(close | {"quantity": "0.011"})) == -2022
    rows = await hedger.ask("GET", "v3/positionRisk")
    assert {(r["positionSide"], r["positionAmt"]) for r in rows} == {
        ("LONG", "0.010"),
        ("SHORT", "-0.010"),
    }
    await control.set_price("BTCUSDT", "40000")
    small = close | {"quantity": "0.001"}
    await control.set_variant(VENUE, "hedge_close_notional", "enforced")
    assert await code(hedger, **small) == -4164
    await control.set_variant(VENUE, "hedge_close_notional", "exempt")
    await placed(hedger, **small)
    await placed(hedger, **(close | {"quantity": "0.009"}))
    assert await code(hedger, **close) == -2022
    rows = await hedger.ask("GET", "v3/positionRisk")
    assert [(r["positionSide"], r["positionAmt"]) for r in rows] == [("SHORT", "-0.010")]


async def test_at_most_two_hundred_open_orders(caller: BinanceCaller) -> None:
    for _ in range(200):
        await placed(caller, **(LIMIT | {"quantity": "0.001"}))
    assert await code(caller, **(LIMIT | {"quantity": "0.001"})) == -2025
