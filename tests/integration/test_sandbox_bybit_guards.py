"""Take profit and stop loss of a part of a position: orders of their own, one of them wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from providers.sandbox import SandboxControl, start_sandbox
from providers.sandbox.caller import BybitCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BTC = {"category": "linear", "symbol": "BTCUSDT"}
BUY: dict[str, Any] = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.010"}
GUARDED = {**BUY, "tpslMode": "Partial", "takeProfit": "110000", "stopLoss": "90000"}
STOP = "/v5/position/trading-stop"


class Desk:
    """A caller with what the tests look at."""

    def __init__(self, caller: BybitCaller, control: SandboxControl) -> None:
        self.caller = caller
        self.control = control

    async def buy(self, **more: str) -> None:
        await self.caller.write("/v5/order/create", **{**GUARDED, **more})

    async def waiting(self) -> dict[str, dict[str, Any]]:
        """The orders that wait for a price, by kind."""
        rows = await self.caller.read("/v5/order/realtime", **BTC, orderFilter="tpslOrder")
        return {row["stopOrderType"]: row for row in rows["list"]}

    async def size(self) -> str:
        rows = await self.caller.read("/v5/position/list", **BTC)
        return str(rows["list"][0]["size"])

    async def last_closed(self) -> dict[str, Any]:
        rows = await self.caller.read("/v5/order/history", **BTC, orderStatus="Filled")
        return dict(rows["list"][0])


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with (
        await start_sandbox(fill_delay=0, limits="off") as running,
        SandboxControl(running.origin) as control,
        BybitCaller(running.base_url(), running.key(), running.secret()) as caller,
    ):
        await control.set_price("BTCUSDT", "100000")
        yield Desk(caller, control)


@pytest.mark.parametrize(
    ("price", "kind", "made_by"),
    [
        ("110000", "TakeProfit", "CreateByPartialTakeProfit"),
        ("89000", "StopLoss", "CreateByPartialStopLoss"),
    ],
)
async def test_one_triggers_and_the_other_goes(
    desk: Desk, price: str, kind: str, made_by: str
) -> None:
    await desk.buy()
    waiting = await desk.waiting()
    assert waiting.keys() == {"PartialTakeProfit", "PartialStopLoss"}
    for row in waiting.values():
        assert (row["qty"], row["orderStatus"], row["side"]) == ("0.010", "Untriggered", "Sell")
        assert (row["reduceOnly"], row["tpslMode"]) == (True, "Partial")
    await desk.control.set_price("BTCUSDT", price)
    assert await desk.size() == "0.000"
    assert await desk.waiting() == {}
    closed = await desk.last_closed()
    assert (closed["stopOrderType"], closed["createType"]) == (f"Partial{kind}", made_by)


async def test_each_order_guards_what_it_filled(desk: Desk) -> None:
    await desk.buy()
    await desk.caller.write("/v5/order/create", **BUY)
    await desk.control.set_price("BTCUSDT", "110000")
    assert await desk.size() == "0.010"


async def test_a_closed_position_needs_no_guard(desk: Desk) -> None:
    await desk.buy()
    await desk.caller.write("/v5/order/create", **{**BUY, "side": "Sell"}, reduceOnly=True)
    assert await desk.waiting() == {}


async def test_a_guard_can_be_a_limit_order_and_be_cancelled(desk: Desk) -> None:
    await desk.buy(tpOrderType="Limit", tpLimitPrice="109000")
    waiting = await desk.waiting()
    gain, loss = waiting["PartialTakeProfit"], waiting["PartialStopLoss"]
    assert (gain["orderType"], gain["price"], loss["orderType"]) == ("Limit", "109000", "Market")
    await desk.caller.write("/v5/order/cancel", symbol="BTCUSDT", orderId=loss["orderId"])
    assert (await desk.waiting()).keys() == {"PartialTakeProfit"}
    await desk.control.set_price("BTCUSDT", "110000")
    assert (await desk.last_closed())["orderType"] == "Limit"


async def test_part_of_a_position_is_guarded_afterwards(desk: Desk) -> None:
    part = {"symbol": "BTCUSDT", "tpslMode": "Partial", "stopLoss": "90000", "positionIdx": 0}
    assert await desk.caller.code(STOP, **part, slSize="0.004") == 10001
    await desk.caller.write("/v5/order/create", **BUY)
    assert await desk.caller.code(STOP, **part, slSize="0.011") == 10001
    assert await desk.caller.code(STOP, **part, slSize="0.004") == 0
    await desk.control.set_price("BTCUSDT", "89000")
    assert await desk.size() == "0.006"


@pytest.mark.parametrize(
    ("side", "prices", "closed_at"),
    [
        ("Buy", ("101000", "103000", "102100", "101999"), 3),
        ("Sell", ("99000", "98000", "98900", "99001"), 3),
        ("Buy", ("99500", "99000"), 1),
    ],
)
async def test_a_trailing_stop_follows_the_price(
    desk: Desk, side: str, prices: tuple[str, ...], closed_at: int
) -> None:
    trailing = {"symbol": "BTCUSDT", "trailingStop": "1000"}
    assert await desk.caller.code(STOP, **trailing) == 10001  # nothing to guard yet
    await desk.caller.write("/v5/order/create", **{**BUY, "side": side})
    await desk.caller.write(STOP, **trailing)
    for index, price in enumerate(prices):
        await desk.control.set_price("BTCUSDT", price)
        assert (await desk.size() == "0.000") is (index == closed_at), price
    assert (await desk.last_closed())["stopOrderType"] == "TrailingStop"


async def test_a_trailing_stop_waits_for_its_price_and_can_be_taken_away(desk: Desk) -> None:
    await desk.caller.write("/v5/order/create", **BUY)
    trailing = {"symbol": "BTCUSDT", "trailingStop": "1000", "activePrice": "105000"}
    await desk.caller.write(STOP, **trailing)
    for price in ("104000", "102000", "105000", "104500"):
        await desk.control.set_price("BTCUSDT", price)
        assert await desk.size() == "0.010"
    await desk.caller.write(STOP, **{**trailing, "trailingStop": "0"})
    await desk.control.set_price("BTCUSDT", "90000")
    assert await desk.size() == "0.010"
