"""Every kind of fault over real HTTP: what the caller sees, and what really happened."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from providers.sandbox import (
    FaultKind,
    FaultRule,
    RunningSandbox,
    SandboxControl,
    SandboxControlError,
    start_sandbox,
)
from providers.sandbox.caller import BybitCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CREATE = "/v5/order/create"
BUY: dict[str, Any] = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.010"}
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
async def caller(sandbox: RunningSandbox) -> AsyncIterator[BybitCaller]:
    async with BybitCaller(sandbox.base_url(), sandbox.key(), sandbox.secret()) as client:
        yield client


async def create(caller: BybitCaller, link_id: str) -> httpx.Response:
    return await caller.post(CREATE, {"category": "linear", **BUY, "orderLinkId": link_id})


async def look_up(caller: BybitCaller, link_id: str) -> list[dict[str, Any]]:
    query = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": link_id}
    result = await caller.read("/v5/order/realtime", **query)
    return list(result["list"])


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def test_dropped_before_processing(caller: BybitCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.DROP_BEFORE, endpoint="order/create", count=1)
    with pytest.raises(NO_ANSWER):
        await create(caller, "d-1")
    assert (await control.truth()).orders == []
    assert (await create(caller, "d-1")).json()["retCode"] == 0
    assert (await control.faults())["injected"] == {"drop_before": 1}


async def test_dropped_after_processing(caller: BybitCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.DROP_AFTER, endpoint="order/create", count=1)
    with pytest.raises(NO_ANSWER):
        await create(caller, "d-1")
    (order,) = (await control.truth()).orders
    assert (order["client_order_id"], order["state"]) == ("d-1", "filled")
    assert (await create(caller, "d-1")).json()["retCode"] == 110072


async def test_reply_later_than_the_caller_waits(
    caller: BybitCaller, control: SandboxControl
) -> None:
    await control.add_fault(FaultKind.DELAY_REPLY, endpoint="order/create", ms=60_000)
    caller.http.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        await create(caller, "d-1")
    assert len((await control.truth()).orders) == 1


async def test_processed_after_the_caller_has_gone(
    caller: BybitCaller, control: SandboxControl, sandbox: RunningSandbox
) -> None:
    await control.add_fault(FaultKind.DELAY_PROCESSING, endpoint="order/create", ms=600, count=1)
    caller.http.timeout = httpx.Timeout(0.1)
    with pytest.raises(httpx.ReadTimeout):
        await create(caller, "d-1")
    caller.http.timeout = httpx.Timeout(5)
    assert await look_up(caller, "d-1") == []
    assert (await control.truth()).orders == []
    await until(lambda: len(sandbox.sandbox.truth.orders) == 1)
    (row,) = await look_up(caller, "d-1")
    assert row["orderStatus"] == "Filled"
    (order,) = (await control.truth()).orders
    assert order["accepted_at"] - order["arrived_at"] >= 590


@pytest.mark.parametrize("recheck", [False, True])
async def test_a_late_request_may_be_checked_for_age_again(
    caller: BybitCaller,
    control: SandboxControl,
    sandbox: RunningSandbox,
    recheck: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await control.add_fault(
        FaultKind.DELAY_PROCESSING, endpoint="order/create", ms=300, recheck_window=recheck
    )
    sending = asyncio.create_task(create(caller, "d-1"))
    faults = sandbox.sandbox.faults
    await until(lambda: faults.injected[FaultKind.DELAY_PROCESSING] == 1)
    await control.set_clock(advance_ms=10_000)
    answer = (await sending).json()
    assert answer["retCode"] == (10002 if recheck else 0)
    assert len((await control.truth()).orders) == (0 if recheck else 1)


@pytest.mark.parametrize("execute", [True, False])
@pytest.mark.parametrize("status", [500, 502, 504])
async def test_server_errors(
    caller: BybitCaller,
    control: SandboxControl,
    status: int,
    execute: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await control.add_fault(FaultKind.SERVER_ERROR, status=status, execute=execute, count=1)
    response = await create(caller, "d-1")
    assert response.status_code == status
    assert response.text.startswith("<html>")
    assert len((await control.truth()).orders) == (1 if execute else 0)


@pytest.mark.parametrize("execute", [True, False])
@pytest.mark.parametrize("code", ["10000", "10016", "429", "10014"])
async def test_answers_with_any_code(
    caller: BybitCaller,
    control: SandboxControl,
    code: str,
    execute: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await control.add_fault(FaultKind.ANSWER, code=code, message="as asked", execute=execute)
    response = await create(caller, "d-1")
    answer = response.json()
    assert (response.status_code, answer["retCode"]) == (200, int(code))
    assert (answer["retMsg"], answer["result"]) == ("as asked", {})
    assert len((await control.truth()).orders) == (1 if execute else 0)


async def test_a_bare_status(caller: BybitCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.ANSWER, status=429, message="slow down")
    response = await create(caller, "d-1")
    assert (response.status_code, response.text) == (429, "slow down")


async def test_an_injected_answer_does_not_hide_a_refusal(
    sandbox: RunningSandbox, control: SandboxControl
) -> None:
    await control.add_fault(FaultKind.SERVER_ERROR, execute=True)
    async with BybitCaller(sandbox.base_url(), sandbox.key(), "wrong") as stranger:
        assert (await create(stranger, "d-1")).json()["retCode"] == 10004
    assert (await control.truth()).orders == []


async def test_a_rate_limit_storm(caller: BybitCaller, control: SandboxControl) -> None:
    now = await control.set_clock(frozen_at_ms=time.time_ns() // 1_000_000)
    await control.add_fault(FaultKind.RATE_LIMIT, endpoint="order/*", for_ms=2_000)
    response = await create(caller, "d-1")
    assert response.json()["retCode"] == 10006
    assert response.headers["X-Bapi-Limit-Status"] == "0"
    assert response.headers["X-Bapi-Limit-Reset-Timestamp"] == str(now + 1000)
    await control.set_clock(advance_ms=2_000)
    caller.offset_ms += 2_000
    assert (await create(caller, "d-1")).json()["retCode"] == 0


async def test_a_ban_holds_for_every_request(
    caller: BybitCaller, control: SandboxControl, sandbox: RunningSandbox
) -> None:
    await control.set_clock(frozen_at_ms=sandbox.sandbox.clock.now_ms())
    await control.add_fault(FaultKind.BAN, endpoint="order/create", ms=60_000, count=1)
    assert (await create(caller, "d-1")).status_code == 403
    assert (await caller.get("/v5/market/time")).status_code == 403
    await control.set_clock(advance_ms=60_000)
    caller.offset_ms += 60_000
    assert (await create(caller, "d-1")).json()["retCode"] == 0


async def test_maintenance_shows_in_the_system_status(
    caller: BybitCaller, control: SandboxControl
) -> None:
    assert (await caller.read("/v5/system/status"))["list"] == []
    await control.add_fault(FaultKind.MAINTENANCE, endpoint="order/*", for_ms=60_000)
    assert (await create(caller, "d-1")).json()["retCode"] == 10016
    (row,) = (await caller.read("/v5/system/status"))["list"]
    assert (row["state"], int(row["end"]) - int(row["begin"])) == ("ongoing", 60_000)
    assert (await control.truth()).orders == []


async def test_an_order_that_look_ups_cannot_see_yet(
    caller: BybitCaller, control: SandboxControl, sandbox: RunningSandbox
) -> None:
    await control.set_clock(frozen_at_ms=sandbox.sandbox.clock.now_ms())
    await control.add_fault(FaultKind.HIDE, endpoint="order/create", ms=3_000, count=1)
    await create(caller, "d-1")
    query = {"category": "linear", "symbol": "BTCUSDT"}

    async def seen() -> list[int]:
        counts = []
        for path in ("/v5/order/realtime", "/v5/order/history", "/v5/execution/list"):
            by_id = await caller.read(path, **query, orderLinkId="d-1")
            listed = await caller.read(path, **query, openOnly="1")
            counts += [len(by_id["list"]), len(listed["list"])]
        return counts

    assert await seen() == [0] * 6
    assert (await create(caller, "d-1")).json()["retCode"] == 110072
    await control.set_clock(advance_ms=3_000)
    caller.offset_ms += 3_000
    assert await seen() == [1] * 6


async def test_a_look_up_that_sees_nothing(caller: BybitCaller, control: SandboxControl) -> None:
    await create(caller, "d-1")
    await control.add_fault(FaultKind.HIDE, endpoint="order/realtime", ms=1, count=2)
    assert [len(await look_up(caller, "d-1")) for _ in range(3)] == [0, 0, 1]


async def test_accepted_then_rejected(caller: BybitCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.REJECT_LATER, message="EC_NoEnoughQtyToFill")
    assert (await create(caller, "d-1")).json()["retCode"] == 0
    (row,) = await look_up(caller, "d-1")
    assert (row["orderStatus"], row["rejectReason"]) == ("Rejected", "EC_NoEnoughQtyToFill")
    assert row["cumExecQty"] == "0.000"


async def test_partly_filled_then_cancelled(caller: BybitCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.PARTIAL_CANCEL, fraction=Decimal("0.4"))
    await create(caller, "d-1")
    (row,) = await look_up(caller, "d-1")
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == (
        "Cancelled",
        "0.004",
        "0.000",
    )


async def test_split_fills(caller: BybitCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.SPLIT, parts=4)
    await create(caller, "d-1")
    fills = await control.fills(client_order_id="d-1")
    assert [fill["qty"] for fill in fills] == ["0.002", "0.002", "0.003", "0.003"]


@pytest.mark.parametrize("skew_ms", [-3_000, 8_000])
async def test_a_skewed_clock(caller: BybitCaller, control: SandboxControl, skew_ms: int) -> None:
    await control.add_fault(FaultKind.CLOCK_SKEW, ms=skew_ms)
    before = time.time_ns() // 1_000_000
    answer = (await caller.get("/v5/market/time")).json()
    after = time.time_ns() // 1_000_000
    assert before <= answer["time"] - skew_ms <= after
    assert abs(int(answer["result"]["timeSecond"]) * 1000 - answer["time"]) < 1000
    assert (await create(caller, "d-1")).json()["retCode"] == 10002
    caller.offset_ms = skew_ms
    assert (await create(caller, "d-1")).json()["retCode"] == 0


async def test_latency(caller: BybitCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.LATENCY, ms=120)
    begin = time.monotonic()
    assert (await create(caller, "d-1")).json()["retCode"] == 0
    assert time.monotonic() - begin >= 0.12
    (order,) = (await control.truth()).orders
    assert order["accepted_at"] - order["arrived_at"] >= 55


async def test_rules_hit_what_they_select(caller: BybitCaller, control: SandboxControl) -> None:
    rule = FaultRule(
        kind=FaultKind.ANSWER,
        venue="bybit",
        endpoint="/v5/order/create",
        symbol="BTCUSDT",
        client_order_id_prefix="bad-",
        code="10016",
        after=1,
        count=1,
    )
    number = await control.add_fault(rule)
    ids = ["bad-1", "good-1", "bad-2", "bad-3"]
    codes = [(await create(caller, link_id)).json()["retCode"] for link_id in ids]
    assert codes == [0, 0, 10016, 0]
    (shown,) = (await control.faults())["rules"]
    assert (shown["id"], shown["matched"], shown["injected"]) == (number, 2, 1)
    await control.remove_fault(number)
    with pytest.raises(SandboxControlError, match=f"no fault rule {number}"):
        await control.remove_fault(number)


async def test_faults_are_seen_in_the_request_log(
    caller: BybitCaller, control: SandboxControl
) -> None:
    await control.add_fault(FaultKind.DROP_AFTER, endpoint="order/create", count=1)
    with pytest.raises(NO_ANSWER):
        await create(caller, "d-1")
    await create(caller, "d-2")
    first, second = await control.requests()
    assert (first["outcome"], first["faults"], first["client_order_id"]) == (
        "dropped",
        ["drop_after"],
        "d-1",
    )
    assert (second["outcome"], second["faults"], second["code"]) == ("200", [], "0")
    report = await control.truth()
    assert report.counters["faults"] == {"drop_after": 1}
    assert report.counters["requests"] == {"bybit": {"order/create": 2}}
