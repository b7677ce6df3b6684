"""Where contestants meet: services, a fast exchange, a queue that is filled, a process that is run.

Every run has a queue and a database of its own, so that nothing of an earlier one is in its way.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from consumer.queue import broker, declare
from consumer.queue.topology import Topology
from consumer.settings import Settings
from tests.bench.lineup import ROOT, SETTINGS
from tests.support import databases
from tests.support.amqp import Amqp
from tests.support.messages import encode
from tests.support.worker import environment_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from deploy.local_services import LocalServices
    from tests.bench.lineup import Contestant

_AT_ONCE = 200  # messages that are published side by side
_LOOK = 0.1  # seconds between two looks at how far a run is
_GIVE_A_SIGN = 1.0  # seconds until it is seen that a process has ended
_TAIL = 3000
_UNFINISHED = """
    SELECT (SELECT count(*) FROM orders WHERE state <> 'FILLED') + (SELECT count(*) FROM outbox)
"""
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class RunFailedError(Exception):
    """A contestant did not do what all have to do; says who, what, and what it last wrote."""


class FastExchange:
    """The exchange's process; see `tests.bench.exchange`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.exchange"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    @property
    def cpu_seconds(self) -> float:
        """Processor time it took so far."""
        return cpu_seconds(self._process.pid)

    async def seen(self) -> dict[str, Any]:
        """What it saw since the last reset."""
        return await self._ask("seen")

    async def count(self) -> dict[str, int]:
        """How many orders it took, and how many requests it refused."""
        return await self._ask("count")

    async def until(self, orders: int, seconds: float) -> dict[str, int]:
        """Wait for so many orders, at most so long; gives what `count` does."""
        try:
            return await asyncio.wait_for(self._ask(f"until?orders={orders}"), seconds)
        except TimeoutError:
            return await self.count()

    async def reset(self) -> None:
        """Let it forget everything."""
        await self._ask("reset")

    async def _ask(self, what: str) -> dict[str, Any]:
        url = f"{self.url}/bench/{what}"
        async with aiohttp.ClientSession() as session, session.get(url) as got:
            found: dict[str, Any] = orjson.loads(await got.read())
            return found

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(10)


@dataclass(slots=True)
class Run:
    """One run of a contestant, with a queue and a database of its own."""

    arena: Arena
    contestant: Contestant
    name: str
    database_url: str
    settings: Settings
    environ: dict[str, str]
    log: Path
    stamps: Path
    started: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start the contestant."""
        with self.log.open("ab") as output:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                list(self.contestant.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=self.environ,
            )

    async def stop(self) -> None:
        """Let it finish what it has begun, and end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self.process.wait, 30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    async def publish(self, trades: Sequence[dict[str, object]]) -> None:
        """Fill the queue."""
        for start in range(0, len(trades), _AT_ONCE):
            await asyncio.gather(*(self.publish_one(one) for one in trades[start:][:_AT_ONCE]))

    async def publish_one(self, asked: dict[str, object]) -> None:
        """Publish one message; the queue has it when this returns."""
        make = self.contestant.message
        body, headers = (encode(asked), {}) if make is None else make(asked)
        await self.arena.amqp.publish(
            body, self.name, message_id=str(asked["requestId"]), headers=headers
        )

    async def durable_at(self) -> list[float]:
        """When each order's outcome became durable, in seconds since 1970, sorted."""
        async with databases.connected(self.database_url) as connection:
            rows = await connection.fetch(self.contestant.durable)
        return sorted(row[0].timestamp() for row in rows)

    async def placed(self, count: int, *, within: float) -> int:
        """Wait until so many orders came to the exchange, or so long; gives how many did."""
        deadline = time.monotonic() + within
        while True:
            seen = await self.arena.exchange.until(count, _GIVE_A_SIGN)
            if seen["refused"]:
                raise self._failed(f"{seen['refused']} requests were refused")
            if seen["orders"] >= count or time.monotonic() > deadline:
                return seen["orders"]
            self._must_go_on(f"{seen['orders']} of {count} orders at the exchange", math.inf)

    async def at_exchange(self, count: int, *, within: float) -> None:
        """Wait until so many orders came to the exchange."""
        placed = await self.placed(count, within=within)
        if placed < count:
            raise self._failed(f"too slow: {placed} of {count} orders at the exchange")

    async def settled(self, count: int, *, within: float) -> list[float]:
        """Wait until so many outcomes are durable; gives when each became so."""
        deadline = time.monotonic() + within
        await self.at_exchange(count, within=within)
        while len(found := await self.durable_at()) < count:
            self._must_go_on(f"{len(found)} of {count} outcomes", deadline)
            await asyncio.sleep(_LOOK)
        return found

    async def quiet(self, *, within: float) -> None:
        """Wait until orders are followed to their end, and their reports are written."""
        if not self.contestant.ours:
            return
        deadline = time.monotonic() + within
        async with databases.connected(self.database_url) as connection:
            while left := await connection.fetchval(_UNFINISHED):
                self._must_go_on(f"{left} orders or reports are not finished", deadline)
                await asyncio.sleep(_LOOK)

    async def all_acked(self) -> None:
        """Stop, and see that nothing comes back to the queue."""
        await self.stop()
        left = await self.arena.amqp.depth(self.name)
        if left:
            raise self._failed(f"{left} messages were not acknowledged")

    def _must_go_on(self, seen: str, deadline: float) -> None:
        assert self.process is not None
        ended = self.process.poll()
        if ended is None and time.monotonic() < deadline:
            return
        why = "too slow" if ended is None else f"ended with {ended}"
        raise self._failed(f"{why}: {seen}")

    def _failed(self, why: str) -> RunFailedError:
        tail = self.log.read_text(errors="replace")[-_TAIL:]
        return RunFailedError(f"{self.contestant.name}: {why}. It wrote last:\n{tail}")

    @property
    def rss_mb(self) -> float:
        """Resident size of the process now, in MB (10⁶ bytes)."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * _PAGE / 1e6

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the process and its children, so far."""
        assert self.process is not None
        return cpu_seconds(self.process.pid)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of an event."""
        needle = f'"{event}"'.encode()
        found = (line for line in self.log.read_bytes().splitlines() if needle in line)
        return [one for one in map(orjson.loads, found) if one.get("event") == event]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its living descendants, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = (int(fields[11]) + int(fields[12])) / _TICKS
    return own + sum(cpu_seconds(int(child)) for child in children)


class Arena:
    """Servers, exchange and folder that all runs share."""

    def __init__(self, services: LocalServices, exchange: FastExchange, folder: Path) -> None:
        self.services = services
        self.exchange = exchange
        self.folder = folder
        self.amqp = Amqp(services.amqp_url)
        self._template = f"bench_template_{os.getpid()}"
        self._runs = 0

    async def open(self) -> None:
        """Make the template of all databases."""
        await databases.create_migrated(self.services.database_url, self._template)

    @asynccontextmanager
    async def run(self, contestant: Contestant, **changed: object) -> AsyncIterator[Run]:
        """Prepare a run; whatever was started is stopped, and all is taken away afterwards."""
        async with self.database() as url:
            run = await self._prepared(contestant, url, changed)
            try:
                yield run
            finally:
                await run.stop()
                await self._take_away(run)

    async def _prepared(
        self, contestant: Contestant, url: str, changed: Mapping[str, object]
    ) -> Run:
        name = urlsplit(url).path.removeprefix("/")
        settings = Settings.model_validate(
            {
                **SETTINGS,
                "amqp_url": self.services.amqp_url,
                "database_url": url,
                "trade_queue": name,
                "trade_exchange": f"{name}.trade",
                "bybit_base_url": self.exchange.url,
                "object_store_url": f"file://{self.folder}/{name}",
                **changed,
            }
        )
        stamps = self.folder / f"{name}.stamps"
        environ = {
            **environment_of(settings),
            "BYBIT_BASE_URL": self.exchange.url,  # without the slash that settings add
            "BENCH_STAMPS": str(stamps),
            "PYTHONPATH": str(ROOT),
        }
        await self._declare(contestant, settings, name)
        await self.exchange.reset()
        log = self.folder / f"{name}.log"
        return Run(self, contestant, name, url, settings, environ, log, stamps)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """A database of its own with our schema; gives its URL."""
        self._runs += 1
        name = f"bench{os.getpid()}_{self._runs}"
        server = self.services.database_url
        url = await databases.create(server, name, self._template)
        try:
            yield url
        finally:
            await databases.drop(server, name)

    async def _declare(self, contestant: Contestant, settings: Settings, name: str) -> None:
        if contestant.ours:
            async with broker.connection(settings, "bench") as connection:
                await declare.apply(connection, Topology.of(settings), timeout=10)
            return
        async with self.amqp.channel() as channel:
            await channel.declare_queue(
                name, durable=True, arguments={"x-queue-type": "quorum"}, timeout=10
            )

    async def _take_away(self, run: Run) -> None:
        if run.contestant.ours:
            await self.amqp.delete(Topology.of(run.settings))
        else:
            await self.amqp.delete_queue(run.name)

    async def aclose(self) -> None:
        """Close connections."""
        await self.amqp.aclose()
        await databases.drop(self.services.database_url, self._template)
