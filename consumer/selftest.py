"""Trying every control for real: one step under, at and over each limit, on a sandbox exchange.

Orders go the way that a worker's go, through the same execution and a real ledger: one of its own,
in a schema of the database that is dropped at the end. No queue, no exchange and no order of the
real ledger is touched.
"""

from __future__ import annotations

import json
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import PostgresDsn

from consumer.contract.decoding import decode
from consumer.controls.changing import change
from consumer.controls.controls import Controls
from consumer.controls.drawdown import DrawdownWatch
from consumer.controls.live import LiveConfig
from consumer.controls.registry import Registry
from consumer.execution.executor import Executor
from consumer.gate import LedgerGate
from consumer.letters.rehearsal import on_sandbox
from consumer.outcome import OutcomeKind
from providers.clock import SystemClock
from providers.registry import load_providers
from providers.router import ExchangeRouter
from providers.sandbox.server import start_sandbox
from storage import equity, migrate, postgres
from storage.errors import LedgerUnavailable
from storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consumer.outcome import Outcome
    from consumer.settings import Settings
    from storage.postgres import Database

_FRESH = 30.0  # seconds for which the config counts as fresh while the test runs
PASSES = "passes"


@dataclass(frozen=True, slots=True)
class Step:
    """One order under one setting, and what must become of it.

    Attributes:
        control: what is tried.
        step: how the order stands to it: under, at, over, …
        config: what is set for it; None removes.
        order: the fields of the message.
        expects: the reason of the denial, or `PASSES`.
        goes_to: the exchange that it must go to, or None for any.
    """

    control: str
    step: str
    config: Mapping[str, str | None]
    order: Mapping[str, object]
    expects: str = PASSES
    goes_to: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a step."""

    control: str
    step: str
    expected: str
    got: str
    says: str | None

    @property
    def acted(self) -> bool:
        """True if the control did what it must."""
        return self.expected == self.got


class _Shifted(SystemClock):
    """A clock that can be made to have run on."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Seconds, as many ahead as it was told."""
        return super().monotonic() + self.ahead


@dataclass(slots=True)
class _Bench:
    """Everything an order goes through, over a sandbox and a ledger of its own."""

    database: Database
    live: LiveConfig
    heard_by: _Shifted
    router: ExchangeRouter
    executor: Executor
    watch: DrawdownWatch
    results: list[Tried] = field(default_factory=list)

    async def set(self, config: Mapping[str, str | None]) -> None:
        await change(self.database, self.live.registry, config, who="selftest")
        await self.live.refresh(self.database)

    async def send(self, order: Mapping[str, object]) -> Outcome:
        message = {"requestId": str(uuid4()), "symbol": "BTCUSDT", "action": "LONG",
                   "quantity": "0.005", **order}  # fmt: skip
        decoded = decode(json.dumps(message).encode(), 65536)
        return await self.executor.execute(decoded, attempt=2, received_at=datetime.now(UTC))

    async def attempt(self, step: Step) -> None:
        await self.set(step.config)
        outcome = await self.send(step.order)
        got = PASSES if outcome.kind is OutcomeKind.PLACED else outcome.reason or outcome.kind
        if got == PASSES and step.goes_to is not None and outcome.exchange != step.goes_to:
            got = f"goes to {outcome.exchange}"
        self.results.append(Tried(step.control, step.step, step.expects, got, outcome.error))
        await self.set(dict.fromkeys(step.config))


async def run(settings: Settings, database: Database) -> list[Tried]:
    """Try every control; takes a few seconds.

    Args:
        settings: of the worker; its exchanges are replaced by the sandbox.
        database: where the schema is made; its role must be allowed to.
    """
    schema = f"selftest_{secrets.token_hex(6)}"
    await database.execute(f"CREATE SCHEMA {schema}")
    try:
        async with AsyncExitStack() as stack:
            bench = await _open(stack, settings, schema)
            for step in await _steps(bench):
                await bench.attempt(step)
            await _try_drawdown(bench)
            await _try_staleness(bench)
            return bench.results
    finally:
        await database.execute(f"DROP SCHEMA {schema} CASCADE")


async def _open(stack: AsyncExitStack, settings: Settings, schema: str) -> _Bench:
    url = str(settings.database_url)
    apart = PostgresDsn(f"{url}{'&' if '?' in url else '?'}search_path={schema}")
    sandbox = await start_sandbox(limits="off", fill_delay=0.0)
    stack.push_async_callback(sandbox.close)
    changed = on_sandbox(settings, sandbox).model_copy(
        update={"database_url": apart, "default_exchange": "bybit", "default_leverage": 5}
    )
    database = await postgres.connect(changed, give_up_after=5)
    stack.push_async_callback(database.aclose)
    await migrate.migrate(database)
    clock = SystemClock()
    providers = load_providers()
    heard_by = _Shifted()
    live = LiveConfig(Registry(providers), _FRESH, heard_by)
    await live.refresh(database)
    gate = LedgerGate(database.ping)
    stack.push_async_callback(gate.aclose)
    router = ExchangeRouter(providers, changed)
    stack.push_async_callback(router.aclose)
    await router.start()
    lease = timedelta(seconds=60)
    ledger = Ledger(database, uuid4(), lease, alive_for=lease, send_within=timedelta(seconds=5))
    controls = Controls(live, changed, clock)
    executor = Executor(ledger, router, changed, gate, clock, controls)
    watch = DrawdownWatch(live, database, router, changed, gate)
    return _Bench(database, live, heard_by, router, executor, watch)


async def _steps(bench: _Bench) -> Sequence[Step]:
    """Every control, one step under, at and over; prices follow the sandbox's market."""
    mark = (await bench.router.client("bybit").mark_price("BTCUSDT")).price
    near = (mark * Decimal("0.97")).quantize(Decimal("0.1"))
    sol = (await bench.router.client("bybit").mark_price("SOLUSDT")).price
    return [
        *_worth(near),
        *_band(mark),
        *_position(sol),
        *_times(),
        *_switches(),
        *_places(),
    ]


def _worth(price: Decimal) -> list[Step]:
    lever, most = "trade:max_leverage", "trade:max_order_quantity"
    notional = "trade:max_order_notional"
    limit = {"orderType": "LIMIT", "price": str(price)}
    worth = {notional: str(price * Decimal("0.01"))}
    low = {**limit, "action": "SHORT", "quantity": "0.01"}  # below the mark price
    return [
        Step(lever, "under", {lever: "20"}, {"leverage": 19}),
        Step(lever, "at", {lever: "20"}, {"leverage": 20}),
        Step(lever, "over", {lever: "20"}, {"leverage": 21}, "MAX_LEVERAGE"),
        Step(most, "under", {most: "0.01"}, {"quantity": "0.009"}),
        Step(most, "at", {most: "0.01"}, {"quantity": "0.01"}),
        Step(most, "over", {most: "0.01"}, {"quantity": "0.011"}, "MAX_ORDER_QUANTITY"),
        Step(notional, "under", worth, {**limit, "quantity": "0.009"}),
        Step(notional, "at", worth, {**limit, "quantity": "0.01"}),
        Step(notional, "over", worth, {**limit, "quantity": "0.011"}, "MAX_ORDER_NOTIONAL"),
        # Met at once, at the market's price.
        Step(notional, "low limit to sell", worth, low, "MAX_ORDER_NOTIONAL"),
        Step(most, "close", {most: "0.001"}, {"action": "CLOSE_LONG", "quantity": "0.01"}),
    ]


def _band(mark: Decimal) -> list[Step]:
    key = "trade:price_band_percent"

    def at(percent: str) -> dict[str, object]:
        price = mark * (1 - Decimal(percent) / 100)
        return {"orderType": "LIMIT", "price": str(price.quantize(Decimal("0.1")))}

    return [
        Step(key, "under", {key: "3"}, at("2")),
        Step(key, "just under", {key: "3"}, at("2.8")),  # the mark moves: never exactly at
        Step(key, "over", {key: "3"}, at("3.3"), "PRICE_BAND"),
    ]


def _position(price: Decimal) -> list[Step]:
    key = "trade:max_position_size"
    limit = {key: str((price * 10).quantize(Decimal(1)))}

    def sol(quantity: str) -> dict[str, object]:
        return {"symbol": "SOLUSDT", "quantity": quantity}

    return [
        Step(key, "under", limit, sol("9")),
        Step(key, "together over", limit, sol("2"), "MAX_POSITION_SIZE"),
        Step(key, "close", limit, {**sol("9"), "action": "CLOSE_LONG"}),
        Step(key, "alone over", limit, sol("11"), "MAX_POSITION_SIZE"),
    ]


def _times() -> list[Step]:
    orders, age = "trade:max_orders_per_symbol", "trade:max_signal_age_seconds"
    xrp = {"symbol": "XRPUSDT", "quantity": "50"}

    def ago(seconds: float) -> dict[str, object]:
        queued = datetime.now(UTC) - timedelta(seconds=seconds)
        return {"queuedAt": queued.isoformat()}

    return [
        Step(orders, "under", {orders: "2/60s"}, xrp),
        Step(orders, "at", {orders: "2/60s"}, xrp),
        Step(orders, "over", {orders: "2/60s"}, xrp, "MAX_ORDERS_PER_SYMBOL"),
        Step(age, "under", {age: "3600"}, ago(3000)),
        Step(age, "over", {age: "3600"}, ago(3601), "EXPIRED"),
    ]


def _switches() -> list[Step]:
    key, denied = "trade:kill_switch", "KILL_SWITCH_ACTIVE"
    close = {"action": "CLOSE_LONG", "quantity": "0.001"}
    return [
        Step(key, "off, open", {key: "off"}, {}),
        Step(key, "reduce_only, open", {key: "reduce_only"}, {}, denied),
        Step(key, "reduce_only, close", {key: "reduce_only"}, close),
        Step(key, "on, open", {key: "on"}, {}, denied),
        Step(key, "on, close", {key: "on"}, close, denied),
        Step(f"{key}:bybit", "on, its order", {f"{key}:bybit": "on"}, {}, denied),
        Step(f"{key}:bybit", "on, another's", {f"{key}:bybit": "on"}, {"exchange": "binance"}),
        Step(f"{key}:BTCUSDT", "on, its order", {f"{key}:BTCUSDT": "on"}, {}, denied),
        Step(
            f"{key}:BTCUSDT",
            "on, another's",
            {f"{key}:BTCUSDT": "on"},
            {"symbol": "ETHUSDT", "quantity": "0.1"},
        ),
    ]


def _places() -> list[Step]:
    enabled, symbols = "exchanges:bybit:enabled", "trade:symbols"
    routing, default = "exchanges:routing:BTCUSDT", "exchanges:default_routing"
    close = {"action": "CLOSE_LONG", "quantity": "0.001"}
    named: dict[str, Any] = {"exchange": "bybit"}
    return [
        Step(enabled, "true, open", {enabled: "true"}, {}),
        Step(enabled, "false, open", {enabled: "false"}, {}, "EXCHANGE_DISABLED"),
        Step(enabled, "false, close", {enabled: "false"}, close),
        Step(symbols, "listed", {symbols: "BTCUSDT,ETHUSDT"}, {}),
        Step(symbols, "not listed", {symbols: "ETHUSDT"}, {}, "SYMBOL_NOT_ALLOWED"),
        Step(routing, "redirects", {routing: "binance"}, named, goes_to="binance"),
        Step(default, "no name", {default: "mexc"}, {}, goes_to="mexc"),
        Step(default, "a name", {default: "mexc"}, named, goes_to="bybit"),
    ]


async def _try_drawdown(bench: _Bench) -> None:
    """The sandbox's account stays as it is; what the day began with is moved."""
    key = "trade:max_daily_drawdown_percent"
    await bench.set({key: "5"})
    worth = await _worth_now(bench)
    for step, lost, expects in (("under", "4.9", "off"), ("over", "5.1", "reduce_only")):
        start = worth / (1 - Decimal(lost) / 100)
        await bench.database.execute(
            "UPDATE equity_days SET start = $1 WHERE exchange = 'bybit'", start
        )
        await bench.watch.look("bybit")
        await bench.live.refresh(bench.database)
        got = str(bench.live.snapshot.switches.get("bybit", "off"))
        says = f"{lost} % lost of {start:.0f}"
        bench.results.append(Tried(key, step, expects, got, says))
    await bench.set({key: None, "trade:kill_switch:bybit": None})


async def _worth_now(bench: _Bench) -> Decimal:
    await bench.watch.look("bybit")
    total = sum((one.total for one in await bench.router.client("bybit").balances()), Decimal(0))
    return (await equity.note(bench.database, "bybit", "default", "USDT", total)).latest


async def _try_staleness(bench: _Bench) -> None:
    """A config that nobody has heard of for too long holds everything; so it is made old."""
    bench.heard_by.ahead = _FRESH + 1
    try:
        got, says = str((await bench.send({})).kind), None
    except LedgerUnavailable as error:  # a worker pauses then
        got, says = "pauses", str(error)
    bench.results.append(Tried("config", "not heard of", "pauses", got, says))
