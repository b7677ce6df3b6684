"""The sandbox's MEXC account over HTTP: leverage, margin and position modes, positions, money."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.sandbox import RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.mexc.caller import MexcCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SYMBOL = "BTC_USDT"
PRICE = Decimal(100_000)
LEVERAGE = "position/change_leverage"


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=7, limits="off", fill_delay=0) as running:
        running.sandbox.set_price("BTCUSDT", PRICE)
        yield running


@pytest.fixture
async def control(sandbox: RunningSandbox) -> AsyncIterator[SandboxControl]:
    async with SandboxControl(sandbox.origin) as client:
        yield client


@pytest.fixture
async def one_way(sandbox: RunningSandbox) -> AsyncIterator[MexcCaller]:
    credentials = sandbox.base_url("mexc"), sandbox.key("mexc"), sandbox.secret("mexc")
    async with MexcCaller(*credentials) as client:
        yield client


@pytest.fixture
async def hedge(sandbox: RunningSandbox, control: SandboxControl) -> AsyncIterator[MexcCaller]:
    keys = await control.add_account("mexc", "hedged", hedge=True)
    async with MexcCaller(sandbox.base_url("mexc"), keys["key"], keys["secret"]) as client:
        yield client


def body(**fields: object) -> dict[str, Any]:
    """A market order that opens a long of ten contracts in isolated margin, hedge by default."""
    usual = {
        "symbol": SYMBOL,
        "price": 0,
        "vol": 10,
        "side": 1,
        "type": 5,
        "openType": 1,
        "leverage": 5,
    }
    return {name: value for name, value in {**usual, **fields}.items() if value is not None}


async def place(caller: MexcCaller, **fields: object) -> str:
    return str((await caller.write("order/create", body(**fields)))["orderId"])


async def code(caller: MexcCaller, **fields: object) -> int:
    return await caller.code("order/create", body(**fields))


async def held(caller: MexcCaller) -> dict[int, dict[str, Any]]:
    rows = await caller.read("position/open_positions", symbol=SYMBOL)
    return {row["positionType"]: row for row in rows}


def setting(leverage: int, direction: int = 1, open_type: int = 1) -> dict[str, Any]:
    return {
        "symbol": SYMBOL,
        "openType": open_type,
        "leverage": leverage,
        "positionType": direction,
    }


async def leverages(caller: MexcCaller) -> list[tuple[int, int, int]]:
    rows = await caller.read("position/leverage", symbol=SYMBOL)
    return [(row["positionType"], row["openType"], row["leverage"]) for row in rows]


async def test_leverage_has_a_value_for_each_direction(one_way: MexcCaller) -> None:
    assert await leverages(one_way) == [(1, 1, 20), (2, 1, 20)]
    await one_way.write(LEVERAGE, setting(7))
    await one_way.write(LEVERAGE, setting(9, direction=2, open_type=2))
    assert await leverages(one_way) == [(1, 1, 7), (2, 2, 9)]
    await one_way.write(LEVERAGE, setting(7))
    assert await leverages(one_way) == [(1, 1, 7), (2, 2, 9)]


async def test_margin_follows_the_direction_in_one_way_mode(one_way: MexcCaller) -> None:
    await one_way.write(LEVERAGE, setting(5))
    await one_way.write(LEVERAGE, setting(10, direction=2))
    await place(one_way, positionMode=2, leverage=5)
    assert (await held(one_way))[1]["im"] == 20  # 100 USDT over 5
    await place(one_way, positionMode=2, side=3, vol=20, leverage=10)
    short = await held(one_way)
    assert list(short) == [2]
    assert (short[2]["im"], short[2]["holdVol"], short[2]["leverage"]) == (10, 10, 10)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (setting(0), 2006),
        (setting(501), 2006),
        (setting(5, direction=3), 2022),
        (setting(5, open_type=3), 2002),
        ({"symbol": SYMBOL, "leverage": 5}, 2022),
        ({"leverage": 5}, 600),
        ({"symbol": SYMBOL}, 2006),
        ({"positionId": 5, "leverage": 5}, 2009),
        ({**setting(5), "symbol": "NO_USDT"}, 1001),
        ({**setting(5), "symbol": "OP_USDT"}, 9071),
        ({**setting(5, open_type=2), "symbol": "PEPE_USDT"}, 9070),
    ],
)
async def test_leverage_refusals(
    one_way: MexcCaller, fields: dict[str, Any], expected: int
) -> None:
    assert await one_way.code(LEVERAGE, fields) == expected


async def test_open_orders_and_cross_positions_block_leverage(hedge: MexcCaller) -> None:
    resting = await place(hedge, type=1, price=90_000)
    assert await hedge.code(LEVERAGE, setting(6)) == 2019
    assert await hedge.code(LEVERAGE, setting(6, direction=2)) == 0
    await hedge.write("order/cancel", [resting])
    await place(hedge)
    assert await hedge.code(LEVERAGE, setting(6, open_type=2)) == 2027
    assert await hedge.code(LEVERAGE, setting(6)) == 0
    position = (await held(hedge))[1]
    assert await hedge.code(LEVERAGE, {"positionId": position["positionId"], "leverage": 8}) == 0
    assert (await held(hedge))[1]["leverage"] == 8
    await place(hedge, side=3, openType=2, leverage=6)
    assert await hedge.code(LEVERAGE, setting(7, direction=2, open_type=2)) == 2026


async def test_a_position_needs_the_margin_its_leverage_asks_for(
    sandbox: RunningSandbox, control: SandboxControl
) -> None:
    keys = await control.add_account("mexc", "poor", hedge=True, balance="30")
    async with MexcCaller(sandbox.base_url("mexc"), keys["key"], keys["secret"]) as poor:
        await place(poor)
        assert await poor.code(LEVERAGE, setting(2)) == 2005
        assert (await leverages(poor))[0] == (1, 1, 5)
        assert await code(poor) == 2005


async def test_one_direction_is_cross_or_isolated(hedge: MexcCaller) -> None:
    resting = await place(hedge, type=1, price=90_000)
    assert await code(hedge, openType=2) == 7003
    assert await code(hedge, leverage=6) == 7004
    assert await code(hedge, side=3, openType=2, leverage=6) == 0
    await place(hedge)
    await hedge.write("order/cancel", [resting])
    assert await code(hedge, openType=2) == 2027
    assert await code(hedge, leverage=6) == 2021
    assert await code(hedge, side=4, openType=2) == 2027
    assert await leverages(hedge) == [(1, 1, 5), (2, 2, 6)]


async def test_position_mode(one_way: MexcCaller, hedge: MexcCaller) -> None:
    mode, change = "position/position_mode", "position/change_position_mode"
    assert await one_way.read(mode) == 2
    assert await hedge.read(mode) == 1
    assert await one_way.code(change, {"positionMode": 2}) == 0
    assert await one_way.code(change, {"positionMode": 1}) == 0
    assert await one_way.read(mode) == 1
    resting = await place(hedge, type=1, price=90_000)
    assert await hedge.code(change, {"positionMode": 2}) == 7001
    await hedge.write("order/cancel", [resting])
    await place(hedge)
    assert await hedge.code(change, {"positionMode": 2}) == 7001
    await hedge.write("position/close_all", {})
    assert await hedge.code(change, {"positionMode": 2}) == 0
    assert await hedge.code(change, {"positionMode": 3}) == 600


async def test_an_order_without_mode_is_taken_as_the_account_is_or_as_hedge(
    one_way: MexcCaller, hedge: MexcCaller, control: SandboxControl
) -> None:
    assert await code(hedge) == 0
    assert await code(hedge, positionMode=2) == 7002
    assert await code(one_way) == 0
    assert await code(one_way, positionMode=1) == 7002
    await control.set_variant("mexc", "missing_position_mode", "hedge")
    assert await code(one_way) == 7002
    assert await code(hedge) == 0


async def test_two_legs_in_hedge_mode(hedge: MexcCaller) -> None:
    await place(hedge)
    await place(hedge, side=3, vol=4, leverage=8)
    both = await held(hedge)
    assert {kind: row["holdVol"] for kind, row in both.items()} == {1: 10, 2: 4}
    assert await code(hedge, side=2, vol=5) == 2008
    assert await code(hedge, side=2, vol=4) == 0
    assert await code(hedge, side=2, vol=1) == 2009
    assert list(await held(hedge)) == [1]


async def test_reduce_only_is_not_for_hedge_mode(
    hedge: MexcCaller, control: SandboxControl
) -> None:
    await place(hedge)
    assert await code(hedge, side=4, vol=1, reduceOnly=True) == 600
    assert await code(hedge, side=4, vol=1, reduceOnly=False) == 0
    await control.set_variant("mexc", "hedge_reduce_only", "ignored")
    assert await code(hedge, side=4, vol=1, reduceOnly=True) == 0


async def test_closes_reserve_volume(hedge: MexcCaller) -> None:
    await place(hedge)
    resting = await place(hedge, side=4, type=1, price=105_000, vol=6)
    assert (await held(hedge))[1]["frozenVol"] == 6
    assert await code(hedge, side=4, vol=5) == 7005
    assert await code(hedge, side=4, vol=11) == 2008
    more = {"orderId": resting, "price": 105_000, "vol": 11}
    assert await hedge.code("order/change_limit_order", more) == 7005
    low = {"orderId": resting, "price": 80_000, "vol": 6}
    assert await hedge.code("order/change_limit_order", low) == 2004
    assert await hedge.code("order/change_limit_order", {**more, "vol": 7}) == 0
    assert await code(hedge, side=4, vol=3) == 0
    await hedge.write("order/cancel", [resting])
    assert (await held(hedge))[1]["frozenVol"] == 0
    assert await code(hedge, side=4, vol=7) == 0
    assert await held(hedge) == {}


async def test_one_way_closes_only_reduce(one_way: MexcCaller, control: SandboxControl) -> None:
    await place(one_way, positionMode=2)
    assert await code(one_way, positionMode=2, side=4, vol=11) == 2008
    assert await code(one_way, positionMode=2, side=3, vol=2, reduceOnly=True) == 0
    assert await code(one_way, positionMode=2, side=4, vol=2, reduceOnly=True) == 0
    await control.set_variant("mexc", "one_way_closes", "net")
    assert await code(one_way, positionMode=2, side=4, vol=10) == 0
    assert {kind: row["holdVol"] for kind, row in (await held(one_way)).items()} == {2: 4}


async def test_a_close_may_name_its_position(hedge: MexcCaller) -> None:
    await place(hedge)
    await place(hedge, side=3)
    both = await held(hedge)
    long, short = both[1]["positionId"], both[2]["positionId"]
    assert await code(hedge, side=4, vol=1, positionId=5) == 2009
    assert await code(hedge, side=4, vol=1, positionId=short) == 2043
    assert await code(hedge, side=4, vol=1, positionId=long) == 0


async def test_positions_have_ids_and_a_history(hedge: MexcCaller, control: SandboxControl) -> None:
    opened = await place(hedge)
    first = (await held(hedge))[1]
    assert (first["holdAvgPrice"], first["im"], first["state"]) == (PRICE, 20, 1)
    assert first["realised"] == Decimal("-0.08")
    await control.set_price("BTCUSDT", "101000")
    closed = await place(hedge, side=4)
    again = await place(hedge)
    second = (await held(hedge))[1]
    assert second["positionId"] != first["positionId"]
    history = await hedge.read("position/list/history_positions", symbol=SYMBOL)
    assert len(history) == 1
    row = history[0]
    assert (row["positionId"], row["state"], row["closeVol"]) == (first["positionId"], 3, 10)
    # A profit of 1 USDT less 0.0008 of 100 and of 101 USDT.
    assert (row["closeProfitLoss"], row["realised"]) == (1, Decimal("0.8392"))
    assert (row["openAvgPrice"], row["closeAvgPrice"]) == (PRICE, 101_000)
    expected = [first["positionId"], first["positionId"], second["positionId"]]
    found = [
        (await hedge.read(f"order/get/{order_id}"))["positionId"]
        for order_id in (opened, closed, again)
    ]
    assert found == expected
    assert await hedge.read("position/list/history_positions", type=2) == []


async def test_a_flip_ends_one_position_and_begins_another(one_way: MexcCaller) -> None:
    await place(one_way, positionMode=2)
    long = (await held(one_way))[1]["positionId"]
    flip = await place(one_way, positionMode=2, side=3, vol=25)
    short = (await held(one_way))[2]
    assert (short["holdVol"], short["closeVol"]) == (15, 0)
    history = await one_way.read("position/list/history_positions")
    assert [(row["positionId"], row["positionType"]) for row in history] == [(long, 1)]
    assert (await one_way.read(f"order/get/{flip}"))["positionId"] == short["positionId"]


@pytest.mark.parametrize("mode", [1, 2])
async def test_reverse_and_close_all(one_way: MexcCaller, hedge: MexcCaller, mode: int) -> None:
    caller = hedge if mode == 1 else one_way
    await place(caller, positionMode=mode)
    long = (await held(caller))[1]["positionId"]
    await caller.write("position/reverse", {"symbol": SYMBOL, "positionId": long, "vol": 10})
    after = await held(caller)
    assert {kind: row["holdVol"] for kind, row in after.items()} == {2: 10}
    assert await caller.code("position/reverse", {"symbol": SYMBOL, "positionId": long}) == 2009
    await caller.write("position/close_all", b"")
    assert await held(caller) == {}


async def test_money(one_way: MexcCaller, control: SandboxControl) -> None:
    start = await one_way.read("account/asset/USDT")
    assert (start["equity"], start["availableBalance"]) == (1_000_000, 1_000_000)
    await place(one_way, positionMode=2)
    await place(one_way, positionMode=2, type=1, price=90_000)
    await control.set_price("BTCUSDT", "101000")
    now = await one_way.read("account/asset/USDT")
    # 0.001 BTC bought for 100 USDT at 5x, and as much ordered for 90, with a fee of 0.0008.
    assert now["positionMargin"] == 20
    assert now["frozenBalance"] == Decimal("18.072")
    assert now["unrealized"] == 1
    assert now["equity"] == Decimal("1000000.92")
    free = Decimal(1_000_000) - Decimal("0.08") - 20 - Decimal("18.072")
    assert now["availableBalance"] == free  # the profit of an isolated position is not free
    rows = await one_way.read("account/assets")
    assert [row for row in rows if row["currency"] == "USDT"] == [now]
    assert (await one_way.read("account/asset/BTC"))["equity"] == 0
    assert (await one_way.get("account/asset/XYZ")).json()["code"] == 600


async def test_profit_of_a_cross_position_is_free(
    one_way: MexcCaller, control: SandboxControl
) -> None:
    await place(one_way, positionMode=2, openType=2)
    await control.set_price("BTCUSDT", "101000")
    now = await one_way.read("account/asset/USDT")
    assert now["availableBalance"] == Decimal(1_000_000) - Decimal("0.08") - 20 + 1


async def test_the_api_charges_other_fees_than_the_list_shows(one_way: MexcCaller) -> None:
    rate = await one_way.read("account/tiered_fee_rate/v2", symbol=SYMBOL)
    assert (rate["realTakerFee"], rate["realMakerFee"]) == (Decimal("0.0008"), Decimal("0.0006"))
    detail = await one_way.http.get(f"{one_way.base_url}/api/v1/contract/detail?symbol={SYMBOL}")
    assert '"takerFeeRate":0.0002,' in detail.text


async def test_fifty_orders_in_one_way_mode(one_way: MexcCaller) -> None:
    # A contract shows the limits of both modes: [hedge, one-way].
    wanted = body(positionMode=2, type=1, price=90_000, vol=1)
    rows = await one_way.write("order/submit_batch", [wanted] * 50)
    assert {row["errorCode"] for row in rows} == {0}
    assert await one_way.code("order/create", wanted) == 2036
