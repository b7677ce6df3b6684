"""Everything one flow needs, cut off from all others: queue names, database, exchange, workers.

A world shares only the servers. Workers are real processes; the sandbox exchange runs in the
test's own loop, where its truth can be read without a request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from consumer.queue.topology import Topology
from consumer.settings import Settings
from providers.sandbox.faults import FaultRule
from providers.sandbox.server import start_sandbox
from storage import postgres
from storage.identity import client_order_id
from storage.orders import OrderFilter, get_order, get_orders, list_orders
from tests.support import databases
from tests.support.amqp import Amqp
from tests.support.messages import encode
from tests.support.waiting import eventually
from tests.support.worker import WorkerProcess, environment_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from providers.sandbox.faults import ActiveRule, FaultKind
    from providers.sandbox.limits import LimitsSetting
    from providers.sandbox.server import RunningSandbox
    from providers.sandbox.values import Order
    from storage.orders import OrderRow
    from storage.postgres import Database
    from tests.support.amqp import Got

# Few rungs make a worker start fast; the second ladder outlasts an order of unknown outcome.
QUICK_LADDER = "200ms,400ms,800ms,1s"
PATIENT_LADDER = "200ms,400ms,800ms,1s,1s,2s,2s,3s,3s,3s"

_PATIENT = 30.0  # seconds for a statement of the test's own

# The waits of the promise, as short as the settings allow.
QUICK: dict[str, Any] = {
    "retry_delays": QUICK_LADDER,
    "collect_dead_letters": False,  # most tests read them as the broker has them
    "rate_limits": "off",  # nothing here is about the exchange's limits, unless a flow says so
    "claim_lease": 1.0,
    "worker_lease": 1.0,
    "send_within": 0.5,
    "absence_margin": 1.0,
    "exchange_recv_window_ms": 1000,
    "exchange_connect_timeout": 0.5,
    "exchange_request_timeout": 0.5,
    "reconcile_interval": 0.05,
    "database_timeout": 3.0,
    "broker_heartbeat": 5,
    "drain_timeout": 10.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a world is made.

    Attributes:
        name: unique among all worlds of these servers, `[a-z0-9_]`.
        database_url: a database of the world's own, as the owner of its tables.
        folder: for the workers' logs and whatever they write.
    """

    name: str
    amqp_url: str
    database_url: str
    folder: Path


@dataclass(slots=True)
class World:
    """One isolated flow; made by `open_world`.

    Attributes:
        settings: what workers and commands are given; they are no owners of the database's tables.
        database: a pool of the tables' owner, for the test.
        owner_url: the database for the tables' owner.
    """

    settings: Settings
    sandbox: RunningSandbox
    amqp: Amqp
    database: Database
    folder: Path
    name: str
    owner_url: str
    topologies: list[Topology]
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def topology(self) -> Topology:
        """The names at the broker."""
        return self.topologies[0]

    def changed(self, **values: Any) -> Settings:  # noqa: ANN401 - settings of any type
        """The settings with some values changed; other names at the broker are cleared as well."""
        settings = self.settings.model_validate({**self.settings.model_dump(), **values})
        topology = Topology.of(settings)
        if topology not in self.topologies:
            self.topologies.append(topology)
        return settings

    # Workers.

    def launch(self, *arguments: str, **values: Any) -> WorkerProcess:  # noqa: ANN401 - as above
        """Start a worker without waiting for anything."""
        number = len(self.workers) + 1
        worker = WorkerProcess(
            environment_of(self.changed(**values)),
            self.folder / f"{self.name}-{number}.log",
            self.folder,
            arguments,
        )
        self.workers.append(worker)
        return worker

    async def start_worker(self, **values: Any) -> WorkerProcess:  # noqa: ANN401 - as above
        """Start a worker and wait until it takes messages."""
        worker = self.launch(**values)
        await worker.consuming()
        return worker

    # The queue.

    async def publish(self, *messages: dict[str, object] | bytes) -> None:
        """Publish to the trade exchange, as producers do, in this order."""
        for message in messages:
            await self.amqp.publish(
                message if isinstance(message, bytes) else encode(message),
                self.topology.queue,
                exchange=self.topology.exchange,
            )

    async def dead_letters(self, count: int, *, within: float = 15.0) -> list[Got]:
        """Take so many dead letters, and see that there are no more."""
        taken = await self.amqp.take(self.topology.dead_letter_queue, count, within=within)
        more = await self.amqp.drain(self.topology.dead_letter_queue)
        assert not more, f"{len(more)} dead letters too many: {[one.headers for one in more]}"
        return taken

    async def empty(self, *, within: float = 10.0) -> None:
        """Wait until no message is left anywhere but among the dead letters.

        A message that a consumer holds is not seen here, so ask when the workers are done or gone.
        """
        queues = (self.topology.queue, *self.topology.rung_queues)

        async def left() -> bool:
            return not any([await self.amqp.depth(queue) for queue in queues])

        await eventually(left, within=within, what=f"empty queues {self.topology.queue}")

    # The ledger.

    async def order(self, request_id: object) -> OrderRow:
        """An order that must be there."""
        row = await get_order(self.database, str(request_id))
        assert row is not None, f"the ledger has no order {request_id!r}"
        return row

    async def orders(self) -> list[OrderRow]:
        """All orders."""
        return list(await list_orders(self.database, OrderFilter(limit=10_000)))

    async def reached(
        self, request_ids: Iterable[object], *states: str, within: float = 15.0
    ) -> list[OrderRow]:
        """Wait until orders are in one of some states; returns them in the order asked for."""
        wanted = [str(one) for one in request_ids]

        async def all_there() -> list[OrderRow] | None:
            # Counted where they are: reading them all takes time from whatever is in this process.
            (row,) = await self.database.fetch(
                "SELECT count(*) AS n FROM orders WHERE request_id = ANY($1) AND state = ANY($2)",
                wanted,
                states,
            )
            if row["n"] < len(set(wanted)):
                return None
            rows = {row.request_id: row for row in await get_orders(self.database, wanted)}
            there = [rows[one] for one in wanted if rows[one].state in states]
            return there if len(there) == len(wanted) else None

        try:
            # To ask for many takes milliseconds, in which the sandbox, which is here, does nothing.
            every = max(0.05, len(wanted) / 4000)
            return await eventually(all_there, within=within, every=every)
        except AssertionError:
            found = {row.request_id: row.state for row in await self.orders()}
            left = {one: str(found.get(one)) for one in wanted if str(found.get(one)) not in states}
            raise AssertionError(
                f"not {'/'.join(states)} within {within:g} s: {left}\n"
                + "\n".join(f"--- {worker.log}\n{worker.text[-6000:]}" for worker in self.workers)
            ) from None

    async def look_now(self) -> None:
        """Make every look due that a worker had borrowed when it ended; it would be later."""
        # Waits for no row that a worker is writing, or each might wait for the other: such a row is
        # tried again, one that is due already is not.
        done: set[str] = set()

        async def all_due() -> bool:
            rows = await self.database.fetch(
                "UPDATE orders SET check_at = now() WHERE request_id IN (SELECT request_id "
                "FROM orders WHERE check_at > now() + interval '3 s' FOR UPDATE SKIP LOCKED) "
                "RETURNING request_id"
            )
            done.update(row["request_id"] for row in rows)
            left = await self.database.fetch(
                "SELECT request_id FROM orders WHERE check_at > now() + interval '3 s'"
            )
            return done.issuperset(row["request_id"] for row in left)

        await eventually(all_due, what="every look to be due")

    # The exchange.

    def fault(
        self,
        kind: FaultKind,
        *,
        request_id: object = None,
        **values: Any,  # noqa: ANN401 - the fields of a rule
    ) -> ActiveRule:
        """Put a fault into force; `request_id` picks one order."""
        if request_id is not None:
            values["client_order_id_prefix"] = client_order_id(str(request_id), "default")
        inside = self.sandbox.sandbox
        return inside.faults.add(FaultRule(kind=kind, **values), inside.clock.now_ms())

    @property
    def truth(self) -> list[Order]:
        """Every order that the exchange accepted, in order."""
        return self.sandbox.sandbox.truth.orders

    def placed(self, request_id: object) -> list[Order]:
        """The orders that the exchange has of one request."""
        wanted = client_order_id(str(request_id), "default")
        return [order for order in self.truth if order.client_order_id == wanted]

    def creates(self, request_id: object) -> list[str]:
        """How each request that tried to place an order was answered, oldest first."""
        wanted = client_order_id(str(request_id), "default")
        return [
            f"{seen.outcome}/{seen.code}"
            for seen in self.sandbox.sandbox.truth.recent
            if seen.endpoint == "order/create" and seen.client_order_id == wanted
        ]

    def assert_none_doubled(self) -> None:
        """No two orders under one client order id, whatever happened."""
        counts = Counter(order.client_order_id for order in self.truth)
        doubled = {one: count for one, count in counts.items() if count > 1}
        assert not doubled, f"placed more than once: {doubled}"


@asynccontextmanager
async def open_world(
    place: Place,
    *,
    limits: LimitsSetting = "off",
    fill_delay: float = 0.0,
    **values: Any,  # noqa: ANN401 - settings of any type
) -> AsyncIterator[World]:
    """Make a world, and take it all away afterwards.

    Args:
        place: servers, names, folder.
        limits: request limits of the sandbox.
        fill_delay: seconds until the sandbox fills an order.
        values: settings that differ from `QUICK`.
    """
    async with AsyncExitStack() as stack:
        sandbox = await start_sandbox(limits=limits, fill_delay=fill_delay)
        stack.push_async_callback(sandbox.close)
        settings = Settings.model_validate(
            {
                **QUICK,
                "amqp_url": place.amqp_url,
                "database_url": databases.as_worker(place.database_url),
                "trade_queue": place.name,
                "trade_exchange": f"{place.name}.trade",
                "bybit_api_key": sandbox.key(),
                "bybit_api_secret": sandbox.secret(),
                "bybit_base_url": sandbox.base_url(),
                "object_store_url": f"file://{place.folder}/objects",
                "log_format": "json",
                **values,
            }
        )
        # The test's own pool is patient, unless it is the time-out that is tried.
        seconds = values.get("database_timeout", _PATIENT)
        patient = Settings.model_validate(
            {
                **settings.model_dump(),
                "database_url": place.database_url,
                "database_timeout": seconds,
            }
        )
        database = await postgres.connect(patient, give_up_after=30)
        stack.push_async_callback(database.aclose)
        amqp = Amqp(place.amqp_url)
        stack.push_async_callback(amqp.aclose)
        world = World(
            settings=settings,
            sandbox=sandbox,
            amqp=amqp,
            database=database,
            folder=place.folder,
            name=place.name,
            owner_url=place.database_url,
            topologies=[Topology.of(settings)],
        )
        stack.push_async_callback(_clear, world)
        yield world


async def _clear(world: World) -> None:
    for worker in world.workers:
        worker.close()
    if world.workers or world.amqp.used:
        await asyncio.gather(*(world.amqp.delete(one) for one in world.topologies))
