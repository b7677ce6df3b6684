"""Everything the control API offers has a command: faults of any kind, switches, clock, truth."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from typer.testing import CliRunner

from consumer.cli.sandbox import app
from providers.sandbox import FaultKind, FaultRule, RunningSandbox, start_sandbox
from providers.sandbox.caller import BybitCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BUY = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}


class Line:
    """The command line, pointed at one sandbox."""

    def __init__(self, running: RunningSandbox) -> None:
        self.sandbox = running.sandbox
        self._environ = {"SANDBOX_URL": running.origin, "COLUMNS": "200", "TERM": "dumb"}

    async def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command that ends with `code`; what it printed."""
        runner = CliRunner()
        result = await asyncio.to_thread(runner.invoke, app, list(words), env=self._environ)
        assert result.exit_code == code, result.output
        return result.output

    async def json(self, *words: str) -> Any:  # noqa: ANN401 - any document
        """What a command prints as JSON."""
        return json.loads(await self(*words, "--json"))


@pytest.fixture
async def running() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(fill_delay=0) as sandbox:
        yield sandbox


@pytest.fixture
def line(running: RunningSandbox) -> Line:
    return Line(running)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (
            ["partial_cancel", "--fraction", "0.25", "--symbol", "BTCUSDT"],
            {"fraction": "0.25", "symbol": "BTCUSDT"},
        ),
        (["split", "--parts", "3", "--after", "2"], {"parts": 3, "after": 2}),
        (["reject_later", "--message", "EC_Others"], {"message": "EC_Others"}),
        (
            ["delay_processing", "--ms", "50", "--recheck-window", "--probability", "0.5"],
            {"ms": 50, "recheck_window": True, "probability": 0.5},
        ),
        (
            ["answer", "--code", "10016", "--execute", "--for-ms", "900", "--method", "POST"],
            {"code": "10016", "execute": True, "for_ms": 900, "method": "POST"},
        ),
        (["server_error", "--status", "503", "--seed", "4"], {"status": 503, "seed": 4}),
        (
            ["stream_cut", "--endpoint", "execution", "--client-order-id-regex", "^a"],
            {"endpoint": "execution", "client_order_id_regex": "^a"},
        ),
    ],
)
async def test_faults_of_every_kind_can_be_added(
    line: Line, words: list[str], rule: dict[str, Any]
) -> None:
    await line("fault", "add", *words)
    (active,) = line.sandbox.faults.rules
    shown = (await line.json("fault", "list"))["rules"][0]
    assert (shown["kind"], active.rule.kind) == (words[0], words[0])
    assert {name: shown[name] for name in rule} == rule
    await line("fault", "clear", "1")
    assert not line.sandbox.faults.rules
    assert "no fault rule 1" in await line("fault", "clear", "1", code=1)


async def test_every_field_of_a_rule_has_an_option(line: Line) -> None:
    shown = await line("fault", "add", "--help")
    names = {"client_order_id_prefix": "client-order-id"}
    for name in FaultRule.__dataclass_fields__:
        if name != "kind":
            assert f"--{names.get(name, name.replace('_', '-'))}" in shown, name
    assert (await line.json("fault", "kinds")).keys() == set(FaultKind)


async def test_switches_are_shown_and_turned(line: Line) -> None:
    await line("switch", "mexc", "duplicate_ids", "accepted")
    assert (await line.json("switch"))["mexc"]["duplicate_ids"] == "accepted"
    assert "unrouted_streams" in await line("switch")
    assert "must be one of" in await line("switch", "mexc", "duplicate_ids", "maybe", code=1)
    await line("switch", "mexc", code=2)


async def test_clock_prices_and_limits(line: Line) -> None:
    await line("clock", "--freeze", "1700000000000")
    assert (await line("clock", "--advance", "5")).strip() == "1700000000005"
    await line("clock", code=2)
    await line("clock", "--offset", "0")
    market = line.sandbox.facade("bybit").engine.market
    await line("price", "BTCUSDT", "123456", "--exchange", "bybit")
    assert market.last("BTCUSDT", 0) == 123_456
    await line("price", "BTCUSDT")
    assert market.last("BTCUSDT", 0) != 123_456
    await line("limits", "order/create=3", "--exchange", "bybit")
    assert line.sandbox.facade("bybit").limits == {"order/create": 3}
    await line("limits", "off")
    assert line.sandbox.facade("mexc").limits == "off"
    await line("limits", "order/create=many", code=2)


async def test_the_truth_the_streams_and_a_new_start(line: Line, running: RunningSandbox) -> None:
    async with BybitCaller(running.base_url(), running.key(), running.secret()) as caller:
        await caller.write("/v5/order/create", **BUY, orderLinkId="t-1")
    (order,) = (await line.json("truth", "--client-order-id", "t-"))["orders"]
    assert (order["client_order_id"], order["state"]) == ("t-1", "filled")
    assert "t-1" in await line("truth", "--exchange", "bybit")
    async with aiohttp.ClientSession() as http:
        socket = await http.ws_connect(f"{running.base_url()}/v5/public/linear")
        (row,) = await line.json("streams")
        assert (row["venue"], row["path"], row["account"]) == ("bybit", "/v5/public/linear", None)
        assert "/v5/public/linear" in await line("streams")
        assert (await line("streams", "--cut")).strip() == "cut: 1"
        async with asyncio.timeout(30):
            assert (await socket.receive()).type is not aiohttp.WSMsgType.TEXT
    await line("reset", "--recent")
    await line("reset")
    assert (await line.json("truth"))["orders"] == []
