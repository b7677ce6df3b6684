"""The real parts of a chaos run: servers, exchange, workers, and a wire of our own at each seam.

Every worker reaches the broker, the database and each exchange through proxies that are its own, so
that one can be cut off while the others work.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consumer.queue.topology import Topology
from consumer.settings import Settings
from deploy import local_services
from providers.sandbox.server import start_sandbox
from storage import postgres
from tests.chaos.traffic import VENUES
from tests.chaos.wire import Act, Hands, VenueWire
from tests.support import databases
from tests.support.amqp import Amqp
from tests.support.proxy import Proxy
from tests.support.waiting import eventually
from tests.support.worker import WorkerProcess, environment_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from deploy.local_services import LocalServices
    from providers.sandbox.server import RunningSandbox
    from storage.postgres import Database

_DATABASE = "chaos"
_SECRET = {
    "bybit": "bybit_api_secret",
    "binance": "binance_api_secret",
    "mexc": "mexc_secret_binding",
}
_START_SECONDS = 120.0  # a machine may have other things to do
REQUEST_TIMEOUT = 1.0
REPLY_DELAY = 1.8

# The waits of the promise, short enough that an order of unknown outcome is settled within the
# ladder, and long enough for a loaded machine.
CHAOS: dict[str, Any] = {
    "retry_delays": "300ms,600ms,1s,1s,2s,2s,3s,3s,4s,4s,5s,5s,6s,6s,8s,8s,10s,10s,15s,15s",
    "claim_lease": 2.0,
    "worker_lease": 2.5,  # a frozen worker may wake up after others took over
    "send_within": 1.0,
    "absence_margin": 2.0,
    "exchange_recv_window_ms": 2000,
    "exchange_connect_timeout": 1.0,
    "exchange_request_timeout": REQUEST_TIMEOUT,
    "reconcile_interval": 0.1,
    # Each look costs a sixtieth of what Binance allows in a minute.
    "audit_interval": 5.0,
    "recent_orders_interval": 10.0,
    "database_timeout": 2.0,
    "broker_heartbeat": 5,
    "broker_timeout": 5.0,
    "drain_timeout": 10.0,
    "log_format": "json",
}


@dataclass(slots=True)
class Place:
    """One worker's place: its wires, its settings, and whoever works there now."""

    number: int
    settings: Settings
    broker: Proxy
    database: Proxy
    wires: dict[str, VenueWire]
    folder: Path
    lives: list[WorkerProcess] = field(default_factory=list)
    frozen: bool = False
    said: bool = False

    @property
    def process(self) -> WorkerProcess:
        """The present life."""
        return self.lives[-1]

    @property
    def alive(self) -> bool:
        """Whether a process is there."""
        return bool(self.lives) and self.process.exit_code is None

    @property
    def consuming(self) -> bool:
        """Whether the present life has begun to take messages."""
        if not self.alive or self.frozen:
            return False
        self.said = self.said or b'"event":"consuming"' in self.process.log.read_bytes()
        return self.said

    def launch(self) -> None:
        """Start the next life."""
        log = self.folder / f"worker-{self.number}-{len(self.lives) + 1}.log"
        self.lives.append(WorkerProcess(environment_of(self.settings), log, self.folder))
        self.said = False
        self.frozen = False

    def kill(self) -> None:
        """End the present life in the middle of whatever it does."""
        self.process.send(signal.SIGKILL)

    async def freeze(self) -> bool:
        """Stop it from running; whether it stands still."""
        self.process.send(signal.SIGSTOP)
        self.frozen = True
        state = Path(f"/proc/{self.process.pid}/stat")

        def stands_still() -> bool:
            return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "T"

        with contextlib.suppress(AssertionError, OSError):
            await eventually(stands_still, within=5, what="a frozen worker")
            return self.alive
        return False

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send(signal.SIGCONT)
        self.frozen = False


@dataclass(slots=True)
class Scene:
    """Everything a run works with."""

    services: LocalServices
    sandbox: RunningSandbox
    database: Database
    amqp: Amqp
    topology: Topology
    places: list[Place]
    say: Callable[[str], None]

    async def running(self, least: int) -> None:
        """Wait until so many workers take messages."""
        await eventually(
            lambda: sum(place.consuming for place in self.places) >= least,
            within=_START_SECONDS,
            every=0.1,
            what=f"{least} workers that take messages",
        )

    async def keep_alive(self) -> None:
        """Start workers again when they ended, whoever ended them."""
        while True:
            for place in self.places:
                if not place.alive:
                    place.launch()
            await asyncio.sleep(0.1)

    async def depths(self) -> dict[str, int]:
        """Messages that are ready, by queue; dead letters are collected off theirs."""
        names = (
            self.topology.queue,
            *self.topology.rung_queues,
            self.topology.dead_letter_queue,
        )
        return {name: await self.amqp.depth(name) for name in names}


class Book:
    """Which client order ids the exchange has accepted, read along as its truth grows."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._orders = sandbox.sandbox.truth.orders
        self._seen = 0
        self._ids: set[str] = set()

    def has(self, client_order_id: str) -> bool:
        """Whether an order of this id was accepted."""
        fresh = self._orders[self._seen :]
        self._seen += len(fresh)
        self._ids.update(order.client_order_id for order in fresh)
        return client_order_id in self._ids


@asynccontextmanager
async def open_scene(
    workers: int,
    seed: int,
    decide: Callable[[int], Act],
    folder: Path,
    say: Callable[[str], None],
) -> AsyncIterator[Scene]:
    """Start everything but the workers, and take it all away afterwards."""
    async with AsyncExitStack() as stack:
        services = await asyncio.to_thread(
            local_services.start, f"chaos-{os.getpid()}", environ={}, report=say
        )
        stack.push_async_callback(asyncio.to_thread, services.stop)
        sandbox = await start_sandbox(seed=seed, limits="off", fill_delay=0.02, splits=2)
        stack.push_async_callback(sandbox.close)
        sandbox.sandbox.truth.recent = deque()  # every request, for the counts of the effects
        database_url = await databases.create_migrated(services.database_url, _DATABASE)
        places: list[Place] = []
        book = Book(sandbox)
        hands = Hands(decide, book.has, lambda number: places[number].kill(), REPLY_DELAY)
        places += [
            await _place(stack, number, services, sandbox, hands, folder)
            for number in range(workers)
        ]
        settings = Settings.model_validate(
            # The driver's own pool is patient: it is not what is put to the test.
            {
                **places[0].settings.model_dump(),
                "database_url": database_url,
                "database_timeout": 60.0,
            }
        )
        database = await postgres.connect(settings, give_up_after=10)
        stack.push_async_callback(database.aclose)
        amqp = Amqp(services.amqp_url)
        stack.push_async_callback(amqp.aclose)
        stack.callback(_end_all, places)
        yield Scene(services, sandbox, database, amqp, Topology.of(settings), places, say)


async def _place(
    stack: AsyncExitStack,
    number: int,
    services: LocalServices,
    sandbox: RunningSandbox,
    hands: Hands,
    folder: Path,
) -> Place:
    async def between(url: str) -> Proxy:
        return await stack.enter_async_context(Proxy(url))

    broker = await between(services.amqp_url)
    database = await between(databases.as_worker(databases.named(services.database_url, _DATABASE)))
    wires: dict[str, VenueWire] = {}
    values: dict[str, Any] = {**CHAOS, "amqp_url": broker.url, "database_url": database.url}
    for venue in VENUES:
        wire = VenueWire(sandbox.base_url(venue), venue, number, hands)
        wires[venue] = await stack.enter_async_context(wire)
        values[f"{venue}_base_url"] = wire.url
        values[f"{venue}_api_key"] = sandbox.key(venue)
        values[_SECRET[venue]] = sandbox.secret(venue)
    values["object_store_url"] = f"file://{folder}/objects"
    return Place(number, Settings.model_validate(values), broker, database, wires, folder)


def _end_all(places: list[Place]) -> None:
    for place in places:
        for life in place.lives:
            life.close()
