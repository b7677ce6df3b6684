"""Margin of isolated positions on all three exchanges: put in, taken out, refused."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from providers.sandbox import RunningSandbox, start_sandbox
from providers.sandbox.binance.caller import BinanceCaller
from providers.sandbox.caller import BybitCaller
from providers.sandbox.mexc.caller import MexcCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BTC = {"symbol": "BTCUSDT"}


@pytest.fixture
async def running() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(fill_delay=0, limits="off") as sandbox:
        sandbox.sandbox.set_price("BTCUSDT", Decimal(100_000))
        yield sandbox


def keys(running: RunningSandbox, venue: str) -> tuple[str, str, str]:
    return running.base_url(venue), running.key(venue), running.secret(venue)


async def test_bybit(running: RunningSandbox) -> None:
    path = "/v5/position/add-margin"
    buy = {**BTC, "side": "Buy", "orderType": "Market", "qty": "0.01"}
    async with BybitCaller(*keys(running, "bybit")) as caller:
        assert await caller.code(path, **BTC, margin="10") == 10001  # flat
        await caller.write("/v5/order/create", **buy)
        assert await caller.code(path, **BTC, margin="10") == 10001  # cross
        await caller.write("/v5/order/create", **{**buy, "side": "Sell"}, reduceOnly=True)
        await caller.post("/v5/account/set-margin-mode", {"setMarginMode": "ISOLATED_MARGIN"})
        await caller.write("/v5/order/create", **buy)
        row = await caller.write(path, **BTC, margin="10", positionIdx=0)
        assert row["positionIM"] == "110"
        assert await caller.code(path, **BTC, margin="-11") == 110007
        assert await caller.code(path, **BTC, margin="9999999") == 110007
        row = await caller.write(path, **BTC, margin="-4.5")
        assert row["positionIM"] == "105.5"


async def test_binance(running: RunningSandbox) -> None:
    path, buy = "v1/positionMargin", {**BTC, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    more = {**BTC, "amount": "10", "type": "1"}
    async with BinanceCaller(*keys(running, "binance")) as caller:
        assert await caller.refused("POST", path, **more) == (400, -4054)
        await caller.ask("POST", "v1/marginType", **BTC, marginType="ISOLATED")
        await caller.ask("POST", "v1/order", **buy)
        answer = await caller.ask("POST", path, **more)
        assert (answer["code"], answer["amount"], answer["type"]) == (200, 10, 1)
        (row,) = await caller.ask("GET", "v3/positionRisk", **BTC)
        assert row["isolatedWallet"] == "60.00000000"
        assert await caller.refused("POST", path, **{**more, "amount": "11", "type": "2"}) == (
            400,
            -4051,
        )
        assert await caller.refused("POST", path, **{**more, "amount": "0"}) == (400, -4055)
        await caller.ask("POST", path, **{**more, "type": "2"})
        rows = await caller.ask("GET", f"{path}/history", **BTC)
        assert [(row["type"], row["amount"]) for row in rows] == [(1, "10"), (2, "10")]


async def test_mexc(running: RunningSandbox) -> None:
    path = "position/change_margin"
    order = {"symbol": "BTC_USDT", "price": 0, "vol": 100, "side": 1, "type": 5, "positionMode": 2}
    async with MexcCaller(*keys(running, "mexc")) as caller:
        await caller.write("order/create", {**order, "openType": 1, "leverage": 10})
        (held,) = await caller.read("position/open_positions")
        change = {"positionId": held["positionId"], "amount": 10, "type": "ADD"}
        await caller.write(path, change)
        (row,) = await caller.read("position/open_positions")
        assert row["im"] == held["im"] + 10
        assert await caller.code(path, {**change, "amount": 11, "type": "SUB"}) == 2005
        assert await caller.code(path, {**change, "positionId": 1}) == 2009
        assert await caller.code(path, {**change, "type": "MORE"}) == 600


async def test_changes_of_orders_are_remembered_on_binance(running: RunningSandbox) -> None:
    order = {**BTC, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "newClientOrderId": "a"}
    named = {**BTC, "origClientOrderId": "a"}
    async with BinanceCaller(*keys(running, "binance")) as caller:
        await caller.ask("POST", "v1/order", **order, quantity="0.01", price="99000")
        await caller.ask("PUT", "v1/order", **named, side="BUY", quantity="0.02", price="98000")
        (row,) = await caller.ask("GET", "v1/orderAmendment", **named)
    assert row["amendment"] == {
        "price": {"before": "99000", "after": "98000"},
        "origQty": {"before": "0.01", "after": "0.02"},
        "count": 1,
    }
