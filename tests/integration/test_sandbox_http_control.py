"""The control API over HTTP: the truth and its pages, accounts, clock, prices, reset, bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
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
from providers.sandbox.caller import BybitCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CREATE = "/v5/order/create"
BUY: dict[str, Any] = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=7, fill_delay=0, limits="off") as running:
        yield running


@pytest.fixture
async def control(sandbox: RunningSandbox) -> AsyncIterator[SandboxControl]:
    async with SandboxControl(sandbox.origin) as client:
        yield client


@pytest.fixture
async def caller(sandbox: RunningSandbox) -> AsyncIterator[BybitCaller]:
    async with BybitCaller(sandbox.base_url(), sandbox.key(), sandbox.secret()) as client:
        yield client


async def test_info_names_what_a_client_needs(
    sandbox: RunningSandbox, control: SandboxControl
) -> None:
    info = await control.info()
    bybit = info["venues"]["bybit"]
    assert bybit["base_url"] == sandbox.base_url("bybit")
    (account,) = bybit["accounts"]
    assert (account["key"], account["secret"]) == (sandbox.key(), sandbox.secret())
    assert (bybit["limits"], info["seed"], info["fill_delay_ms"]) == ("off", 7, 0)


async def test_truth_filters_and_pages(
    sandbox: RunningSandbox, caller: BybitCaller, control: SandboxControl
) -> None:
    keys = await control.add_account("bybit", "second", balance="5000")
    async with BybitCaller(sandbox.base_url(), keys["key"], keys["secret"]) as second:
        for number in range(4):
            await caller.write(CREATE, **BUY, orderLinkId=f"a-{number}")
            await second.write(CREATE, **BUY, orderLinkId=f"b-{number}")
    report = await control.truth()
    assert [order["client_order_id"] for order in report.orders] == [
        f"{letter}-{number}" for number in range(4) for letter in "ab"
    ]
    assert report.counters["orders"] == report.counters["fills"] == 8
    chosen = (await control.truth(client_order_id_prefix="b-")).orders
    assert [order["account"] for order in chosen] == ["second"] * 4
    assert (await control.truth(account="main", symbol="ETHUSDT")).orders == []
    assert len((await control.truth(venue="bybit")).orders) == 8
    assert (await control.truth(venue="elsewhere")).orders == []
    async with httpx.AsyncClient(trust_env=False) as http:
        pages = []
        after: int | None = 0
        while after is not None:
            query = {"after": str(after), "limit": "3", "client_order_id_prefix": "a-"}
            page = (await http.get(f"{sandbox.control_url}/truth", params=query)).json()
            pages.append([order["client_order_id"] for order in page["orders"]])
            after = page["next"]
    assert pages == [["a-0", "a-1", "a-2"], ["a-3"]]
    fills = await control.fills(client_order_id="b-2")
    assert [fill["qty"] for fill in fills] == ["0.001"]


async def test_what_the_truth_says_of_an_order(
    caller: BybitCaller, control: SandboxControl
) -> None:
    await control.set_price("BTCUSDT", "100000")
    ids = await caller.write(CREATE, **BUY, orderLinkId="a-1")
    (order,) = (await control.truth()).orders
    assert order["order_id"] == ids["orderId"]
    assert (order["venue"], order["account"], order["side"]) == ("bybit", "main", "buy")
    assert (order["qty"], order["price"], order["filled"]) == ("0.001", None, "0.001")
    assert (order["avg_price"], order["fee"], order["state"]) == (
        "100000.00",
        "0.05500000",
        "filled",
    )
    assert order["arrived_at"] <= order["accepted_at"]
    assert abs(order["arrived_ns"] // 1_000_000 - order["arrived_at"]) <= 1


async def test_duplicates_are_counted(caller: BybitCaller, control: SandboxControl) -> None:
    for _ in range(3):
        await caller.post(CREATE, {"category": "linear", **BUY, "orderLinkId": "same"})
    report = await control.truth()
    assert len(report.orders) == 1
    assert report.counters["duplicates_refused"] == {"bybit": 2}
    assert report.counters["codes"]["bybit"] == {"0": 1, "110072": 2}


async def test_the_request_log_has_no_secrets(
    sandbox: RunningSandbox, caller: BybitCaller, control: SandboxControl
) -> None:
    await caller.get("/v5/order/realtime", category="linear", symbol="BTCUSDT")
    await caller.write(CREATE, **BUY, orderLinkId="a-1")
    text = json.dumps(await control.requests())
    assert "a-1" in text
    for hidden in (sandbox.key(), sandbox.secret(), "category", "sign"):
        assert hidden not in text.lower()
    assert len(await control.requests(limit=1)) == 1


async def test_prices_can_be_held_moved_and_released(control: SandboxControl) -> None:
    own = (await control.prices())["ETHUSDT"]
    await control.set_price("ETHUSDT", "3333.337")
    assert (await control.prices())["ETHUSDT"] == {"last": "3333.34", "mark": "3333.34"}
    now = await control.set_clock(advance_ms=0)
    await control.set_clock(frozen_at_ms=now)
    await control.set_price("ETHUSDT", "3000", hold=False)
    assert (await control.prices())["ETHUSDT"]["last"] == "3000.00"
    await control.release_price("ETHUSDT")
    released = (await control.prices())["ETHUSDT"]
    assert released["last"] != "3000.00"
    assert set(released) == set(own)


async def test_reset_starts_again(caller: BybitCaller, control: SandboxControl) -> None:
    await control.add_account("bybit", "second")
    await control.add_fault(FaultKind.LATENCY, ms=1, endpoint="order/cancel")
    await control.set_price("BTCUSDT", "1000")
    await control.set_limits("published")
    await control.set_clock(offset_ms=5000)
    caller.offset_ms = 5000
    await caller.write(CREATE, **{**BUY, "qty": "0.01"}, orderLinkId="a-1")
    await control.reset()
    caller.offset_ms = 0
    report = await control.truth()
    assert (report.orders, report.counters["requests"]) == ([], {})
    assert (await control.faults()) == {"rules": [], "injected": {}}
    info = await control.info()
    assert [item["name"] for item in info["venues"]["bybit"]["accounts"]] == ["main"]
    assert info["venues"]["bybit"]["limits"] == "off"
    assert info["clock"]["offset_ms"] == 0
    await caller.write(CREATE, **BUY, orderLinkId="a-1")
    result = await caller.read("/v5/account/wallet-balance", accountType="UNIFIED")
    assert Decimal(result["list"][0]["totalWalletBalance"]) > 999_999
    assert Decimal((await control.prices())["BTCUSDT"]["last"]) > 50_000


async def test_setting_the_clock_back_keeps_orders_moving() -> None:
    async with (
        await start_sandbox(fill_delay=0.05, limits="off") as running,
        SandboxControl(running.origin) as control,
        BybitCaller(running.base_url(), running.key(), running.secret()) as caller,
    ):
        now = await control.set_clock(frozen_at_ms=running.sandbox.clock.now_ms())
        await caller.write(CREATE, **BUY)
        await control.set_clock(frozen_at_ms=now - 3_600_000)
        assert (await control.truth()).orders[0]["state"] == "new"
        await control.set_clock(advance_ms=50)
        assert (await control.truth()).orders[0]["state"] == "filled"


async def test_one_seed_one_course() -> None:
    async def course(seed: int) -> tuple[list[str], dict[str, dict[str, str]]]:
        async with (
            await start_sandbox(seed=seed, fill_delay=0, limits="off") as running,
            SandboxControl(running.origin) as control,
            BybitCaller(running.base_url(), running.key(), running.secret()) as caller,
        ):
            await control.set_clock(frozen_at_ms=1_700_000_000_000)
            caller.offset_ms = 0
            prices = await control.prices()
            await control.set_clock(offset_ms=0)
            ids = [(await caller.write(CREATE, **BUY))["orderId"] for _ in range(3)]
            return ids, prices

    first = await course(5)
    assert first == await course(5)
    assert first != await course(6)


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("POST", "faults", {}, "kind is required"),
        ("POST", "faults", {"kind": "explode"}, "kind must be one of"),
        ("POST", "faults", {"kind": "latency"}, "ms must be"),
        ("POST", "faults", {"kind": "latency", "ms": "soon"}, "ms must be a whole number"),
        ("POST", "faults", {"kind": "drop_before", "colour": 1}, "unknown field 'colour'"),
        ("POST", "faults", {"kind": "drop_before", "probability": "x"}, "probability"),
        ("POST", "clock", {}, "exactly one of"),
        ("POST", "clock", {"offset_ms": 1, "advance_ms": 1}, "exactly one of"),
        ("POST", "clock", {"advance_ms": -1}, "0 or more"),
        ("POST", "clock", {"offset_ms": 1.5}, "whole number"),
        ("POST", "limits", {}, "limits is required"),
        ("POST", "limits", {"limits": "some"}, "published, off"),
        ("POST", "limits", {"limits": 5}, "published, off"),
        ("POST", "limits", {"limits": {"order/create": "many"}}, "whole number"),
        ("POST", "limits", {"limits": {"order/fly": 5}}, "no venue has a limit named"),
        ("POST", "limits", {"limits": "off", "venue": "moon"}, "no venue 'moon'"),
        ("POST", "prices", {"symbol": "BTCUSDT"}, "price is required"),
        ("POST", "prices", {"symbol": "BTCUSDT", "price": "-1"}, "above zero"),
        ("POST", "prices", {"symbol": "BTCUSDT", "price": "NaN"}, "decimal"),
        ("POST", "prices", {"symbol": "BTCUSDT", "price": "1e30"}, "not above 1000000000"),
        ("POST", "prices", {"symbol": "NOSUCHUSDT", "price": "1"}, "lists 'NOSUCHUSDT'"),
        ("POST", "accounts", {"venue": "bybit", "name": "main"}, "choose another"),
        ("POST", "accounts", {"venue": "moon", "name": "a"}, "no venue 'moon'"),
        ("POST", "accounts", {"venue": "bybit", "name": ""}, "must not be empty"),
        ("POST", "accounts", {"venue": "bybit", "name": "a", "balance": "-1"}, "balance must"),
        ("POST", "reset", {"scope": "half"}, "scope must be"),
        ("GET", "truth?limit=0", None, "limit must be"),
        ("GET", "truth?limit=many", None, "limit must be"),
        ("GET", "truth?after=-1", None, "after must be"),
        ("GET", "truth?colour=red", None, "unknown field 'colour'"),
        ("DELETE", "faults?id=9", None, "no fault rule 9"),
    ],
)
async def test_bad_input_is_explained(
    sandbox: RunningSandbox, method: str, path: str, body: dict[str, Any] | None, says: str
) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.request(method, f"{sandbox.control_url}/{path}", json=body)
    assert response.status_code == 400
    assert says in response.json()["error"]


async def test_unknown_paths_and_broken_bodies(sandbox: RunningSandbox) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        unknown = await http.get(f"{sandbox.control_url}/nothing")
        assert unknown.status_code == 404
        assert "GET /_sandbox/truth" in unknown.json()["error"]
        elsewhere = await http.get(f"{sandbox.origin}/moon/v5/market/time")
        assert elsewhere.status_code == 404
        assert "bybit" in elsewhere.text
        broken = await http.post(f"{sandbox.control_url}/faults", content=b"{")
        assert (broken.status_code, "not JSON" in broken.json()["error"]) == (400, True)
        listed = await http.post(f"{sandbox.control_url}/faults", content=b"[]")
        assert listed.status_code == 400


async def test_the_client_passes_the_reason_on(control: SandboxControl) -> None:
    with pytest.raises(SandboxControlError, match="price must be above zero"):
        await control.set_price("BTCUSDT", "0")


async def test_senseless_options_are_refused() -> None:
    with pytest.raises(ValueError, match="fill_delay"):
        await start_sandbox(fill_delay=-1)
    with pytest.raises(ValueError, match="splits"):
        await start_sandbox(splits=0)
    with pytest.raises(ValueError, match="limit named"):
        await start_sandbox(limits={"order/fly": 1})


async def test_a_taken_port_is_an_error(sandbox: RunningSandbox) -> None:
    with pytest.raises(OSError, match="in use"):
        await start_sandbox(port=sandbox.port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_until_told_to_stop(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "providers.sandbox", "--port", "0", "--limits", "off"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        info = json.loads(process.stdout.readline())
        with httpx.Client(trust_env=False) as http:
            answer = http.get(f"{info['venues']['bybit']['base_url']}/v5/market/time")
            assert answer.json()["retCode"] == 0
            process.send_signal(number)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, "")
