"""Injected answers in Binance's words: the four 503s, time-outs, overload, maintenance, bans."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from providers.sandbox import (
    FaultKind,
    RunningSandbox,
    SandboxControl,
    SandboxControlError,
    start_sandbox,
)
from providers.sandbox.binance.caller import BinanceCaller
from providers.sandbox.binance.codes import UNKNOWN_ERROR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VENUE = "binance"
ORDER = "v1/order"
SYMBOL = {"symbol": "BTCUSDT"}
BUY = {**SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.010"}
SELL = {**BUY, "side": "SELL"}
NO_ANSWER = (httpx.RemoteProtocolError, httpx.ReadError)


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


async def placed(control: SandboxControl) -> int:
    return len((await control.truth()).orders)


@pytest.mark.parametrize(
    ("rule", "status", "code", "text"),
    [
        ({"status": 503}, 503, None, UNKNOWN_ERROR),
        ({"status": 503, "message": "Service Unavailable."}, 503, None, "Service Unavailable."),
        ({"code": "-1008"}, 503, -1008, "Request throttled by system-level protection"),
        ({"code": "-1001"}, 503, -1001, "Internal error; unable to process your request"),
        ({"status": 408}, 408, -1007, "Send status unknown; execution status unknown"),
        ({"code": "-1007"}, 408, -1007, "Send status unknown; execution status unknown"),
        ({"code": "-1006", "status": 500}, 500, -1006, "Execution status unknown"),
        ({"code": "-1003"}, 429, -1003, "Too many requests"),
        ({"code": "-5028"}, 400, -5028, "recvWindow"),
        ({"code": "-2019"}, 400, -2019, "Margin is insufficient."),
        ({"code": "-4067", "message": "as some accounts say"}, 400, -4067, "as some accounts say"),
        ({"code": "-9999"}, 400, -9999, "injected by a fault rule"),
        ({"status": 429}, 429, -1003, "Too many requests"),
        ({"status": 451}, 451, None, "injected by a fault rule"),
    ],
)
@pytest.mark.parametrize("execute", [False, True])
async def test_injected_answers(
    caller: BinanceCaller,
    control: SandboxControl,
    rule: dict[str, Any],
    status: int,
    code: int | None,
    text: str,
    execute: bool,  # noqa: FBT001 - a column
) -> None:
    await control.add_fault(
        FaultKind.ANSWER, venue=VENUE, endpoint="POST order", execute=execute, count=1, **rule
    )
    response = await caller.send("POST", ORDER, **BUY)
    answer = response.json()
    assert (response.status_code, answer.get("code")) == (status, code)
    assert text in answer["msg"]
    if code is None:
        assert set(answer) == {"timestamp", "path", "msg"}
        assert answer["path"] == "/fapi/v1/order"
    assert await placed(control) == execute
    assert (await caller.send("POST", ORDER, **BUY)).status_code == 200


async def test_a_wall_before_the_venue(caller: BinanceCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.ANSWER, venue=VENUE, status=403, count=1)
    response = await caller.send("POST", ORDER, **BUY)
    assert response.status_code == 403
    assert response.headers["Content-Type"].startswith("text/html")
    await control.add_fault(FaultKind.SERVER_ERROR, venue=VENUE, status=504, execute=True, count=1)
    response = await caller.send("POST", ORDER, **BUY)
    assert (response.status_code, "<html>" in response.text) == (504, True)
    assert await placed(control) == 1


async def test_overload_spares_what_reduces(caller: BinanceCaller, control: SandboxControl) -> None:
    await caller.ask("POST", ORDER, **BUY)
    await control.add_fault(FaultKind.ANSWER, venue=VENUE, endpoint="POST order", code="-1008")
    assert await caller.refused("POST", ORDER, **BUY) == (503, -1008)
    await caller.ask("POST", ORDER, **SELL, reduceOnly="true")
    assert await caller.refused("POST", ORDER, **SELL, reduceOnly="true") == (400, -2022)
    assert await placed(control) == 2


async def test_overload_spares_only_signed_requests(
    sandbox: RunningSandbox, caller: BinanceCaller, control: SandboxControl
) -> None:
    await caller.ask("POST", ORDER, **BUY)
    await control.add_fault(FaultKind.ANSWER, venue=VENUE, endpoint="POST order", code="-1008")
    async with BinanceCaller(sandbox.base_url(VENUE), caller.key, "wrong") as stranger:
        refused = await stranger.refused("POST", ORDER, **SELL, reduceOnly="true")
    assert refused == (400, -1022)
    assert await placed(control) == 1


async def test_overload_in_hedge_mode(sandbox: RunningSandbox, control: SandboxControl) -> None:
    keys = await control.add_account(VENUE, "hedger", hedge=True)
    async with BinanceCaller(sandbox.base_url(VENUE), keys["key"], keys["secret"]) as hedger:
        await hedger.ask("POST", ORDER, **BUY, positionSide="LONG")
        await control.add_fault(FaultKind.ANSWER, venue=VENUE, endpoint="POST order", code="-1008")
        refused = await hedger.refused("POST", ORDER, **SELL, positionSide="SHORT")
        assert refused == (503, -1008)
        await hedger.ask("POST", ORDER, **SELL, positionSide="LONG")


async def test_rate_limits_by_endpoint(caller: BinanceCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.RATE_LIMIT, venue=VENUE, count=2)
    assert await caller.refused("POST", ORDER, **BUY) == (429, -1015)
    assert await caller.refused("GET", "v3/balance") == (429, -1003)
    assert await placed(control) == 0


async def test_maintenance(caller: BinanceCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.MAINTENANCE, venue=VENUE, count=1)
    assert await caller.refused("POST", ORDER, **BUY) == (503, -1016)
    for code in ("239999", "-1109"):
        await control.add_fault(FaultKind.MAINTENANCE, venue=VENUE, code=code, count=1)
        _, number = await caller.refused("POST", ORDER, **BUY)
        assert number == int(code)
    assert await placed(control) == 0


async def test_a_ban_lasts_and_tells_until_when(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    now = await control.set_clock(frozen_at_ms=1_800_000_000_000)
    await control.add_fault(FaultKind.BAN, venue=VENUE, ms=5_000, count=1)
    for _ in range(2):
        response = await caller.send("POST", ORDER, **BUY)
        assert response.status_code == 418
        assert f"banned until {now + 5_000}" in response.json()["msg"]
    await control.set_clock(frozen_at_ms=now - 60_000)
    assert (await caller.send("GET", "v1/ping")).status_code == 418
    await control.set_clock(advance_ms=5_000)
    assert (await caller.send("GET", "v1/ping")).status_code == 200
    assert await placed(control) == 0


async def test_a_delayed_request_is_checked_again_by_the_engine(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await control.add_fault(
        FaultKind.DELAY_PROCESSING,
        venue=VENUE,
        endpoint="POST order",
        ms=150,
        recheck_window=True,
        count=2,
    )
    assert await caller.refused("POST", ORDER, **BUY, recvWindow="100") == (400, -5028)
    await caller.ask("POST", ORDER, **BUY, recvWindow="5000")
    assert await placed(control) == 1


async def test_a_delayed_request_is_not_there_for_the_first_look_up(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await control.add_fault(
        FaultKind.DELAY_PROCESSING, venue=VENUE, endpoint="POST order", ms=200, count=1
    )
    sending = asyncio.create_task(caller.ask("POST", ORDER, **BUY, newClientOrderId="slow"))
    named = {**SYMBOL, "origClientOrderId": "slow"}
    assert await caller.refused("GET", ORDER, **named) == (400, -2013)
    await sending
    assert (await caller.ask("GET", ORDER, **named))["status"] == "FILLED"


async def test_a_cut_connection_tells_nothing(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await control.add_fault(FaultKind.DROP_BEFORE, venue=VENUE, method="POST", count=1)
    with pytest.raises(NO_ANSWER):
        await caller.send("POST", ORDER, **BUY, newClientOrderId="cut")
    assert await placed(control) == 0
    await control.add_fault(FaultKind.DROP_AFTER, venue=VENUE, endpoint="/fapi/v1/order", count=1)
    with pytest.raises(NO_ANSWER):
        await caller.send("POST", ORDER, **BUY, newClientOrderId="cut")
    assert await placed(control) == 1
    # A market order that filled frees its id: sending it again doubles the position.
    await caller.ask("POST", ORDER, **BUY, newClientOrderId="cut")
    assert [o["client_order_id"] for o in (await control.truth()).orders] == ["cut", "cut"]


async def test_faults_choose_by_id_and_symbol(
    caller: BinanceCaller, control: SandboxControl
) -> None:
    await control.add_fault(FaultKind.ANSWER, code="-1000", client_order_id_prefix="bad-")
    await control.add_fault(FaultKind.ANSWER, code="-1001", symbol="ETHUSDT")
    await caller.ask("POST", ORDER, **BUY, newClientOrderId="good-1")
    assert await caller.refused("POST", ORDER, **BUY, newClientOrderId="bad-1") == (400, -1000)
    named = {**SYMBOL, "origClientOrderId": "bad-1"}
    assert await caller.refused("GET", ORDER, **named) == (400, -1000)
    assert await caller.refused("GET", "v1/openOrders", symbol="ETHUSDT") == (503, -1001)
    seen = (await control.requests())[-1]
    assert (seen["venue"], seen["endpoint"], seen["code"]) == (VENUE, "GET openOrders", "-1001")


async def test_a_skewed_clock(caller: BinanceCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.CLOCK_SKEW, venue=VENUE, ms=-3_000)
    assert await caller.refused("POST", ORDER, **BUY) == (400, -1021)
    shown = (await caller.ask("GET", "v1/time"))["serverTime"]
    assert 2_000 < (await control.set_clock(advance_ms=0)) - shown < 8_000
    caller.offset_ms -= 3_000
    await caller.ask("POST", ORDER, **BUY)


async def test_the_variants(control: SandboxControl) -> None:
    assert (await control.variants())[VENUE]["commission_asset"] == "USDT"
    with pytest.raises(SandboxControlError, match="no variant named 'colour'"):
        await control.set_variant(VENUE, "colour", "red")
    with pytest.raises(SandboxControlError, match="must be one of USDT, BNB, mixed"):
        await control.set_variant(VENUE, "commission_asset", "DOGE")
    with pytest.raises(SandboxControlError, match="no venue 'nowhere'"):
        await control.set_variant("nowhere", "commission_asset", "BNB")
