"""The sandbox's Binance side over HTTP: market data, settings, positions, balances."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.sandbox import RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.binance.caller import BinanceCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VENUE = "binance"
SYMBOL = {"symbol": "BTCUSDT"}
BUY = {**SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.010"}
SELL = {**BUY, "side": "SELL"}
LIMIT = {**BUY, "type": "LIMIT", "timeInForce": "GTC", "price": "99000"}
STOP = {
    **SYMBOL,
    "algoType": "CONDITIONAL",
    "side": "SELL",
    "type": "STOP_MARKET",
    "quantity": "0.010",
    "triggerPrice": "90000",
}


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


async def place(caller: BinanceCaller, **fields: str) -> dict[str, Any]:
    answer: dict[str, Any] = await caller.ask("POST", "v1/order", **fields)
    return answer


async def risk(caller: BinanceCaller) -> dict[str, Any]:
    (row,) = await caller.ask("GET", "v3/positionRisk", **SYMBOL)
    return dict(row)


# -- market data ---------------------------------------------------------------------------------


async def test_the_contract_rules(caller: BinanceCaller) -> None:
    info = await caller.ask("GET", "v1/exchangeInfo")
    assert [(r["rateLimitType"], r["intervalNum"], r["limit"]) for r in info["rateLimits"]] == [
        ("REQUEST_WEIGHT", 1, 2400),
        ("ORDERS", 10, 300),
        ("ORDERS", 1, 1200),
    ]
    rows = {row["symbol"]: row for row in info["symbols"]}
    btc = rows["BTCUSDT"]
    filters = {item["filterType"]: item for item in btc["filters"]}
    assert (btc["status"], btc["contractType"], btc["marginAsset"]) == (
        "TRADING",
        "PERPETUAL",
        "USDT",
    )
    assert (btc["pricePrecision"], btc["quantityPrecision"]) == (2, 3)
    assert filters["PRICE_FILTER"]["tickSize"] == "0.10"
    assert filters["PRICE_FILTER"]["minPrice"] == "261.10"
    assert filters["LOT_SIZE"] == {
        "filterType": "LOT_SIZE",
        "stepSize": "0.001",
        "minQty": "0.001",
        "maxQty": "1000",
    }
    assert filters["MARKET_LOT_SIZE"]["maxQty"] == "120"
    assert filters["MIN_NOTIONAL"]["notional"] == "50"
    assert filters["MAX_NUM_ORDERS"]["limit"] == 200
    assert filters["PERCENT_PRICE"]["multiplierUp"] == "1.0500"
    assert (rows["EOSUSDT"]["status"], rows["NOVAUSDT"]["status"]) == ("CLOSE", "PENDING_TRADING")


async def test_prices(caller: BinanceCaller) -> None:
    mark = await caller.ask("GET", "v1/premiumIndex", **SYMBOL)
    assert Decimal(mark["markPrice"]) == Decimal(100_000)
    assert mark["nextFundingTime"] > mark["time"]
    for version in ("v1", "v2"):
        price = await caller.ask("GET", f"{version}/ticker/price", **SYMBOL)
        assert price["price"] == "100000.00"
    book = await caller.ask("GET", "v1/ticker/bookTicker", **SYMBOL)
    assert (book["bidPrice"], book["askPrice"]) == ("99999.90", "100000.10")
    for path in ("v1/premiumIndex", "v2/ticker/price", "v1/ticker/bookTicker"):
        rows = await caller.ask("GET", path)
        assert len(rows) > 15
        assert not {"EOSUSDT", "NOVAUSDT"} & {row["symbol"] for row in rows}
        assert await caller.refused("GET", path, symbol="NOSUCHUSDT") == (400, -1121)


async def test_both_venues_show_the_same_market(
    control: SandboxControl, caller: BinanceCaller
) -> None:
    await control.release_price("BTCUSDT")
    await control.set_clock(frozen_at_ms=1_800_000_000_000)
    ours, theirs = await control.prices(VENUE), await control.prices("bybit")
    assert Decimal(ours["BTCUSDT"]["last"]) == Decimal(theirs["BTCUSDT"]["last"])
    shown = await caller.http.get(f"{caller.base_url}/fapi/v2/ticker/price?symbol=BTCUSDT")
    assert shown.json()["price"] == ours["BTCUSDT"]["last"]


async def test_the_venues_keep_their_orders_apart(
    control: SandboxControl, caller: BinanceCaller
) -> None:
    await place(caller, **BUY)
    assert len((await control.truth(venue=VENUE)).orders) == 1
    assert (await control.truth(venue="bybit")).orders == []
    info = await control.info()
    assert info["venues"]["binance"]["base_url"].endswith("/binance")
    account = info["venues"]["binance"]["accounts"][0]
    assert (account["key"], account["secret"]) == (
        "sandbox-binance-key",
        "sandbox-binance-secret",
    )


# -- settings ------------------------------------------------------------------------------------


async def config(caller: BinanceCaller) -> dict[str, Any]:
    (row,) = await caller.ask("GET", "v1/symbolConfig", **SYMBOL)
    return dict(row)


async def test_leverage(caller: BinanceCaller) -> None:
    assert (await config(caller))["leverage"] == 20
    for _ in range(2):
        answer = await caller.ask("POST", "v1/leverage", **SYMBOL, leverage="125")
        assert answer == {"symbol": "BTCUSDT", "leverage": 125, "maxNotionalValue": "300000"}
    assert (await config(caller))["leverage"] == 125
    for wrong in ("0", "126"):
        refused = await caller.refused("POST", "v1/leverage", **SYMBOL, leverage=wrong)
        assert refused == (400, -4028)
    for wrong in ("", "2.5", "x"):
        refused = await caller.refused("POST", "v1/leverage", **SYMBOL, leverage=wrong)
        assert refused == (400, -1102)
    assert (await caller.ask("GET", "v1/symbolConfig", symbol="ETHUSDT"))[0]["leverage"] == 20


async def test_leverage_bounds_the_position(caller: BinanceCaller) -> None:
    large = BUY | {"quantity": "3"}
    await caller.ask("POST", "v1/leverage", **SYMBOL, leverage="125")
    await place(caller, **large)
    assert await caller.refused("POST", "v1/order", **BUY) == (400, -2027)
    await caller.ask("POST", "v1/leverage", **SYMBOL, leverage="50")
    await place(caller, **BUY)
    refused = await caller.refused("POST", "v1/leverage", **SYMBOL, leverage="125")
    assert refused == (400, -2027)


async def test_lower_leverage_needs_margin(caller: BinanceCaller) -> None:
    await place(caller, **(BUY | {"quantity": "20"}))
    refused = await caller.refused("POST", "v1/leverage", **SYMBOL, leverage="1")
    assert refused == (400, -2028)
    assert (await config(caller))["leverage"] == 20


async def test_margin_type_is_by_symbol(caller: BinanceCaller) -> None:
    isolated = SYMBOL | {"marginType": "ISOLATED"}
    crossed = SYMBOL | {"marginType": "CROSSED"}
    path = "v1/marginType"
    assert await caller.refused("POST", path, **crossed) == (400, -4046)
    assert await caller.ask("POST", path, **isolated) == {"code": 200, "msg": "success"}
    assert await caller.refused("POST", path, **isolated) == (400, -4046)
    assert (await config(caller))["marginType"] == "ISOLATED"
    (eth,) = await caller.ask("GET", "v1/symbolConfig", symbol="ETHUSDT")
    assert eth["marginType"] == "CROSSED"
    assert await caller.refused("POST", path, **SYMBOL, marginType="BOTH") == (400, -1130)
    await place(caller, **LIMIT)
    assert await caller.refused("POST", path, **crossed) == (400, -4047)
    await caller.ask("DELETE", "v1/allOpenOrders", **SYMBOL)
    await caller.ask("POST", "v1/algoOrder", **STOP)
    assert await caller.refused("POST", path, **crossed) == (400, -4047)
    await caller.ask("DELETE", "v1/algoOpenOrders", **SYMBOL)
    await place(caller, **BUY)
    assert await caller.refused("POST", path, **crossed) == (400, -4048)
    refused = await caller.refused("POST", "v1/leverage", **SYMBOL, leverage="10")
    assert refused == (400, -4161)
    await caller.ask("POST", "v1/leverage", **SYMBOL, leverage="25")


async def test_position_mode_is_of_the_account(caller: BinanceCaller) -> None:
    path = "v1/positionSide/dual"
    assert await caller.ask("GET", path) == {"dualSidePosition": False}
    assert await caller.refused("POST", path, dualSidePosition="false") == (400, -4059)
    assert await caller.refused("POST", path, dualSidePosition="maybe") == (400, -1130)
    assert await caller.refused("POST", path) == (400, -1102)
    await place(caller, **LIMIT)
    assert await caller.refused("POST", path, dualSidePosition="true") == (400, -4067)
    await caller.ask("DELETE", "v1/allOpenOrders", **SYMBOL)
    await caller.ask("POST", "v1/algoOrder", **STOP)
    assert await caller.refused("POST", path, dualSidePosition="true") == (400, -4067)
    await caller.ask("DELETE", "v1/algoOpenOrders", **SYMBOL)
    await place(caller, **BUY)
    assert await caller.refused("POST", path, dualSidePosition="true") == (400, -4068)
    await place(caller, **SELL)
    answer = await caller.ask("POST", path, dualSidePosition="true")
    assert answer == {"code": 200, "msg": "success"}
    assert (await caller.ask("GET", "v1/accountConfig"))["dualSidePosition"] is True
    eth = {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
    assert await caller.refused("POST", "v1/order", **eth) == (400, -4061)


async def test_brackets_are_a_list_or_one_object(caller: BinanceCaller) -> None:
    rows = await caller.ask("GET", "v1/leverageBracket")
    assert len(rows) > 15
    one = await caller.ask("GET", "v1/leverageBracket", **SYMBOL)
    assert one["symbol"] == "BTCUSDT"
    assert one["brackets"][0] == {
        "bracket": 1,
        "initialLeverage": 125,
        "notionalCap": 300000,
        "notionalFloor": 0,
        "maintMarginRatio": 0.004,
        "cum": 0,
    }


async def test_fees(caller: BinanceCaller) -> None:
    answer = await caller.ask("GET", "v1/commissionRate", **SYMBOL)
    assert Decimal(answer["makerCommissionRate"]) == Decimal("0.0002")
    assert Decimal(answer["takerCommissionRate"]) == Decimal("0.0005")
    assert await caller.refused("GET", "v1/commissionRate") == (400, -1102)


# -- positions and balances ----------------------------------------------------------------------


async def test_version_three_leaves_flat_symbols_out(caller: BinanceCaller) -> None:
    assert await caller.ask("GET", "v3/positionRisk") == []
    assert await caller.ask("GET", "v3/positionRisk", **SYMBOL) == []
    await place(caller, **LIMIT)
    row = await risk(caller)
    assert (row["positionAmt"], row["entryPrice"], row["bidNotional"]) == ("0.000", "0", "990")
    await caller.ask("DELETE", "v1/allOpenOrders", **SYMBOL)
    await place(caller, **BUY)
    row = await risk(caller)
    assert (row["positionAmt"], row["entryPrice"]) == ("0.010", "100000")
    assert not {"leverage", "marginType"} & set(row)
    await place(caller, **SELL)
    assert await caller.ask("GET", "v3/positionRisk") == []


async def test_version_two_shows_every_symbol(
    caller: BinanceCaller, control: SandboxControl, sandbox: RunningSandbox
) -> None:
    rows = await caller.ask("GET", "v2/positionRisk")
    assert len(rows) > 15
    assert {row["positionAmt"] for row in rows if row["symbol"] == "BTCUSDT"} == {"0.000"}
    (row,) = await caller.ask("GET", "v2/positionRisk", **SYMBOL)
    assert (row["leverage"], row["marginType"], row["positionSide"]) == ("20", "cross", "BOTH")
    keys = await control.add_account(VENUE, "hedger", hedge=True)
    async with BinanceCaller(sandbox.base_url(VENUE), keys["key"], keys["secret"]) as hedger:
        rows = await hedger.ask("GET", "v2/positionRisk", **SYMBOL)
    assert [row["positionSide"] for row in rows] == ["BOTH", "LONG", "SHORT"]


async def test_money_follows_the_position(caller: BinanceCaller, control: SandboxControl) -> None:
    await caller.ask("POST", "v1/leverage", **SYMBOL, leverage="10")
    await place(caller, **(BUY | {"quantity": "1"}))
    await control.set_price("BTCUSDT", "100500")
    row = await risk(caller)
    assert {name: Decimal(row[name]) for name in ("unRealizedProfit", "notional")} == {
        "unRealizedProfit": Decimal(500),
        "notional": Decimal(100_500),
    }
    assert Decimal(row["initialMargin"]) == Decimal(10_000)
    assert Decimal(row["maintMargin"]) == Decimal(402)
    wallet = Decimal(1_000_000) - Decimal(50)
    for version in ("v2", "v3"):
        rows = await caller.ask("GET", f"{version}/balance")
        usdt = {row["asset"]: row for row in rows}["USDT"]
        assert Decimal(usdt["balance"]) == wallet
        assert Decimal(usdt["crossUnPnl"]) == Decimal(500)
        assert Decimal(usdt["availableBalance"]) == wallet + 500 - 10_000
        account = await caller.ask("GET", f"{version}/account")
        assert Decimal(account["totalMarginBalance"]) == wallet + 500
        assert Decimal(account["totalMaintMargin"]) == Decimal(402)
        held = [p for p in account["positions"] if Decimal(p["positionAmt"])]
        assert [(p["symbol"], p["positionAmt"]) for p in held] == [("BTCUSDT", "1.000")]
    await place(caller, **(SELL | {"quantity": "1"}))
    rows = await caller.ask("GET", "v3/balance")
    paid = Decimal(50) + Decimal("50.25")
    usdt = {row["asset"]: row for row in rows}["USDT"]
    assert Decimal(usdt["balance"]) == 1_000_000 + 500 - paid
    account = await caller.ask("GET", "v3/account")
    assert account["positions"] == []


async def test_open_orders_hold_margin(caller: BinanceCaller) -> None:
    await place(caller, **(LIMIT | {"quantity": "1"}))
    account = await caller.ask("GET", "v3/account")
    held = Decimal(account["totalOpenOrderInitialMargin"])
    assert held == Decimal(99_000) / 20 + Decimal(99_000) * Decimal("0.0005")
    assert Decimal(account["availableBalance"]) == Decimal(1_000_000) - held


async def test_isolated_profit_backs_nothing_else(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await caller.ask("POST", "v1/marginType", **SYMBOL, marginType="ISOLATED")
    await place(caller, **(BUY | {"quantity": "1"}))
    await control.set_price("BTCUSDT", "104000")
    account = await caller.ask("GET", "v3/account")
    wallet = Decimal(1_000_000) - 50
    assert Decimal(account["totalUnrealizedProfit"]) == Decimal(4_000)
    assert Decimal(account["totalCrossUnPnl"]) == Decimal(0)
    assert Decimal(account["totalCrossWalletBalance"]) == wallet - 5_000
    assert Decimal(account["availableBalance"]) == wallet - 5_000
    (row,) = account["positions"]
    assert (Decimal(row["isolatedWallet"]), Decimal(row["isolatedMargin"])) == (
        Decimal(5_000),
        Decimal(9_000),
    )


async def test_a_reset_starts_anew(caller: BinanceCaller, control: SandboxControl) -> None:
    await caller.ask("POST", "v1/leverage", **SYMBOL, leverage="3")
    await place(caller, **BUY, newClientOrderId="before")
    await caller.ask("POST", "v1/algoOrder", **STOP)
    await caller.ask("POST", "v1/listenKey")
    await control.set_variant(VENUE, "place_reply", "settled")
    await control.reset()
    assert (await control.variants())[VENUE]["place_reply"] == "new"
    assert (await config(caller))["leverage"] == 20
    assert await caller.ask("GET", "v1/allOrders") == []
    assert await caller.ask("GET", "v1/openAlgoOrders") == []
    assert await caller.refused("PUT", "v1/listenKey") == (400, -1125)
