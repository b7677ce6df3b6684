"""What controls cost and how fast they act: look-ups, a change on its way, the kill switch.

    make bench-controls
    python -m tests.bench.controls --json
    python -m tests.bench.controls --replicas 2 --changes 400 --rounds 5

Look-ups and routing are timed in this process, over a config of 500 symbols. For the rest real
workers run as processes of their own on a real RabbitMQ and PostgreSQL, with orders flowing to the
sandbox. A change is timed from the moment before it is written until each worker's log says that
its snapshot has it; the last worker counts. The kill switch is thrown by the command that an
operator types: timed is the last order that reached the exchange, once from the commit of the
switch and once from the start of the command. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consumer.contract.decoding import decode
from consumer.controls.changing import change
from consumer.controls.controls import Controls
from consumer.controls.live import LiveConfig
from consumer.controls.registry import Registry
from consumer.controls.snapshot import parse
from consumer.settings import Settings
from deploy import local_services
from providers.clock import SystemClock
from storage.config import Stored
from tests.support import databases
from tests.support.messages import encode, trade
from tests.support.waiting import eventually
from tests.support.worker import environment_of
from tests.support.world import Place, World, open_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from tests.support.worker import WorkerProcess

REGISTRY = Registry({"bybit", "binance", "mexc"})
SYMBOLS = 500
CALLS, REPEATS = 1000, 300
SWITCH = "trade:kill_switch"
CHANGED = "trade:max_signal_age_seconds"
_FIRST_AGE = 1000  # seconds: a limit that none of the orders meets
_BETWEEN = 0.02  # seconds between two changes
_QUANTITIES = {"BTCUSDT": "0.005", "ETHUSDT": "0.1", "SOLUSDT": "1", "XRPUSDT": "50"}

# As in production, but that orders are not held back by the exchange's own limits.
SETTINGS: dict[str, Any] = {
    "rate_limits": "off",
    "retry_delays": ",".join(["1s"] * 20),
    "claim_lease": 30.0,
    "send_within": 5.0,
    "exchange_recv_window_ms": 5000,
    "exchange_connect_timeout": 3.0,
    "exchange_request_timeout": 5.0,
    "database_timeout": 5.0,
    "worker_lease": 10.0,
    "reconcile_interval": 0.25,
    "log_level": "INFO",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing, measured often.

    Attributes:
        what: what was done.
        unit: of the figures.
        times: how often.
        goal: what `judged` must stay below; None if there is none.
        judged: the figure that the goal is for.
    """

    what: str
    unit: str
    times: int
    median: float
    p99: float
    worst: float
    goal: float | None = None
    judged: str = "p99"

    @classmethod
    def of(
        cls,
        what: str,
        unit: str,
        values: Sequence[float],
        goal: float | None = None,
        judged: str = "p99",
    ) -> Measured:
        """Sum up values."""
        ordered = sorted(values)
        last = len(ordered) - 1
        return cls(
            what,
            unit,
            len(ordered),
            ordered[last // 2],
            ordered[min(last, round(0.99 * last))],
            ordered[-1],
            goal,
            judged,
        )

    @property
    def good(self) -> bool:
        """True if the goal is met, or there is none."""
        return self.goal is None or float(getattr(self, self.judged)) < self.goal


# In this process.


def lookups() -> list[Measured]:
    """Time what an order asks of the snapshot."""
    controls = _controls()
    snapshot = controls.live.snapshot
    message = decode(encode(trade(symbol="S7USDT", exchange="bybit")), 65536)
    return [
        _timed("look-up of a redirect", 1.0, lambda: snapshot.routing.get("S7USDT")),
        _timed("look-up of a symbol's limits", 1.0, lambda: snapshot.limits_for("S7USDT")),
        _timed("look-up of a kill switch", 1.0, lambda: snapshot.switches.get("S7USDT")),
        _timed("route()", 2.0, lambda: controls.route(message)),
    ]


def _controls() -> Controls:
    """Controls over a config with something set for each of many symbols."""
    values = {"trade:max_leverage": "20", "exchanges:default_routing": "binance"}
    for number in range(SYMBOLS):
        symbol = f"S{number}USDT"
        values[f"exchanges:routing:{symbol}"] = "mexc"
        values[f"trade:max_order_notional:{symbol}"] = "2500"
        values[f"{SWITCH}:{symbol}"] = "reduce_only"
    live = LiveConfig(REGISTRY, 3.0, SystemClock())
    live.snapshot = parse(Stored(1, values), REGISTRY)
    assert not live.snapshot.faults
    return Controls(live, Settings(), SystemClock())


def _timed(what: str, goal: float, call: Callable[[], object]) -> Measured:
    """Time a call: in batches, for a clock is slower to read, and by what this thread ran."""
    values = []
    for _ in range(REPEATS):
        began = time.thread_time_ns()
        for _ in range(CALLS):
            call()
        values.append((time.thread_time_ns() - began) / CALLS / 1000)
    return Measured.of(what, "µs", values, goal)


# With real workers.


async def changes(world: World, count: int) -> list[Measured]:
    """Change a key so often, and see when each worker had it."""
    began, wrote = [], []
    for number in range(count):
        began.append(time.time())
        await change(world.database, REGISTRY, {CHANGED: str(_FIRST_AGE + number)}, who="bench")
        wrote.append(time.time())
        await asyncio.sleep(_BETWEEN)
    await eventually(
        lambda: all(count - 1 in _heard(one) for one in world.workers), what="the last change"
    )
    arrivals = [_arrivals(_heard(one), count) for one in world.workers]
    commits = [1000 * (end - start) for start, end in zip(began, wrote, strict=True)]
    took = [1000 * (max(each) - at) for at, *each in zip(began, *arrivals, strict=True)]
    workers = len(world.workers)
    return [
        Measured.of("writing a change, with its commit", "ms", commits),
        Measured.of(f"change to the snapshots of {workers} workers", "ms", took, goal=50.0),
    ]


def _heard(worker: WorkerProcess) -> dict[int, float]:
    """When a worker's snapshot had each change, by number."""
    return {
        int(event["new"]) - _FIRST_AGE: datetime.fromisoformat(event["timestamp"]).timestamp()
        for event in worker.events("config changed")
        if event["key"] == CHANGED
    }


def _arrivals(heard: Mapping[int, float], count: int) -> list[float]:
    """When each change had arrived: with a later one, if both were read at once."""
    times = [heard.get(number, float("inf")) for number in range(count)]
    return list(itertools.accumulate(reversed(times), min))[::-1]


@dataclass(frozen=True, slots=True)
class Thrown:
    """One round of the kill switch: seconds until the last order reached the exchange."""

    from_commit: float
    from_command: float
    senders: int


async def thrown(world: World) -> Thrown:
    """Throw the switch while every worker sends; see that nothing comes after it."""
    since = datetime.now(UTC)
    await _all_send(world, since)
    began = time.time()
    await _command(world, "on")
    rows = await world.database.fetch(
        "SELECT at FROM config_history WHERE key = $1 ORDER BY id DESC LIMIT 1", SWITCH
    )
    committed = rows[0]["at"].timestamp()
    # Whoever still sends would show within this time: several requests' worth.
    await asyncio.sleep(max(0.0, committed + 3.0 - time.time()))
    last = max(order.arrived_ms for order in world.truth) / 1000
    senders = await _senders(world, datetime.fromtimestamp(committed - 1, UTC))
    await _command(world, "off")
    return Thrown(last - committed, last - began, senders)


async def _command(world: World, switch: str) -> None:
    """What an operator types, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "consumer", "kill-switch", switch, "--why", "a benchmark"),
        env=environment_of(world.settings),
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0


async def _all_send(world: World, since: datetime) -> None:
    async def all_do() -> bool:
        return await _senders(world, since) == len(world.workers)

    await eventually(all_do, within=60, every=0.05, what="orders from every worker")


async def _senders(world: World, since: datetime) -> int:
    """How many workers have sent since a moment."""
    rows = await world.database.fetch(
        "SELECT count(DISTINCT owner) AS n FROM order_events "
        "WHERE after_state = 'SENDING' AND at >= $1",
        since,
    )
    return int(rows[0]["n"])


@contextlib.asynccontextmanager
async def load(world: World, pause: float) -> AsyncIterator[list[str]]:
    """Publish orders one after the other; gives the request ids so far."""
    sent: list[str] = []
    symbols = list(_QUANTITIES)

    async def publish() -> None:
        while True:
            symbol = symbols[len(sent) % len(symbols)]
            message = trade(symbol=symbol, quantity=_QUANTITIES[symbol], leverage=10)
            await world.publish(message)
            sent.append(str(message["requestId"]))
            await asyncio.sleep(pause)

    publishing = asyncio.create_task(publish())
    try:
        yield sent
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


async def with_workers(arguments: argparse.Namespace) -> list[Measured]:
    """Start everything, measure, take everything away."""
    name = f"bench-{os.getpid()}"
    with local_services.start(name, environ={}) as services, tempfile.TemporaryDirectory() as kept:
        url = await databases.create_migrated(services.database_url, f"bench_{os.getpid()}")
        place = Place(
            name=f"bench{os.getpid()}",
            amqp_url=services.amqp_url,
            database_url=url,
            folder=Path(kept),
        )
        async with open_world(place, fill_delay=0.005, **SETTINGS) as world:
            for _ in range(arguments.replicas):
                world.launch()
            await asyncio.gather(*(one.consuming(within=60) for one in world.workers))
            async with load(world, 1 / arguments.rate) as sent:
                found = await changes(world, arguments.changes)
                rounds = [await thrown(world) for _ in range(arguments.rounds)]
                ids = list(sent)
            await world.reached(ids, "FILLED", "DENIED", within=120)
            world.assert_none_doubled()
            assert all(one.senders == arguments.replicas for one in rounds), rounds
    commit = [one.from_commit for one in rounds]
    command = [one.from_command for one in rounds]
    return [
        *found,
        Measured.of("kill switch, commit to the last send", "s", commit, 1.0, "worst"),
        Measured.of("kill switch, command to the last send", "s", command, 1.0, "worst"),
    ]


def show(found: Sequence[Measured]) -> None:
    """Print a table."""
    print(f"{'what':45} {'times':>7} {'median':>9} {'p99':>9} {'worst':>9}     goal")
    for one in found:
        goal = "" if one.goal is None else f"{one.judged} < {one.goal:g} {one.unit}"
        print(
            f"{one.what:45} {one.times:>7} {one.median:>9.3f} {one.p99:>9.3f} {one.worst:>9.3f} "
            f"{one.unit:3} {goal}{'' if one.good else '   MISSED'}"
        )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make bench-controls", description=__doc__)
    parser.add_argument("--replicas", type=int, default=3, help="how many workers (3)")
    parser.add_argument("--changes", type=int, default=300, help="changes of the config (300)")
    parser.add_argument("--rounds", type=int, default=5, help="times the switch is thrown (5)")
    parser.add_argument("--rate", type=float, default=50, help="orders published a second (50)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    found = [*lookups(), *asyncio.run(with_workers(arguments))]
    if arguments.json:
        print(json.dumps([{**asdict(one), "good": one.good} for one in found], indent=2))
    else:
        show(found)
    return 0 if all(one.good for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
