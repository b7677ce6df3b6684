"""Putting a worker together and running it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import structlog

from consumer.controls.controls import Controls
from consumer.controls.drawdown import DrawdownWatch
from consumer.controls.live import LiveConfig
from consumer.controls.registry import Registry
from consumer.execution.audit import Auditor
from consumer.execution.executor import Executor
from consumer.execution.fills import FillReader
from consumer.execution.limiting import open_limiter
from consumer.execution.presence import Presence
from consumer.execution.reconciler import Reconciler
from consumer.execution.start_gate import StartGate
from consumer.gate import LedgerGate
from consumer.letters.collector import Collector
from consumer.queue.intake import Intake
from consumer.queue.publisher import Publisher
from consumer.queue.topology import Topology
from consumer.stopping import Phase, Sign, Stopping
from consumer.telling.notifier import Notifier
from consumer.telling.notify import Services
from consumer.telling.offload import Offload
from consumer.telling.redaction import Scrubber, secrets_of
from consumer.telling.system_log import SystemLog, open_system_log
from consumer.watching.limited import WatchedLimiter
from consumer.watching.measuring import begin, call_observer
from consumer.watching.observer import Circuits, Observer
from consumer.watching.tracing import open_tracing
from consumer.watching.vitals import Vitals, faults_of_readiness
from consumer.worker import Parts, Worker
from providers.clock import SystemClock
from providers.limits.limiter import OpenLimiter
from providers.registry import load_providers
from providers.router import ExchangeRouter
from storage import migrate, postgres
from storage.config_feed import ConfigFeed
from storage.errors import LedgerUnavailable
from storage.fills import Fills
from storage.ladders import remember_ladder
from storage.ledger import Ledger
from storage.objects.opening import open_store
from storage.outbox import Outbox
from storage.probing import prove_writable
from storage.rate_limits import SharedLimiter
from storage.workers import forget_the_gone, leave

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from uuid import UUID

    from consumer.api.doorway import Doorway
    from consumer.settings import Settings
    from consumer.telling.system_log import SystemLog
    from consumer.watching.tracing import Tracing
    from providers.clock import Clock
    from providers.observing import CallObserver
    from storage.objects.store import ObjectStore
    from storage.postgres import Database

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_ON_AN_ORDERS_WAY = (  # the statements
    "begin_ready",
    "claim",
    "take_slots",
    "begin_sending",
    "record",
)
_CANCEL_AGAIN = 0.5  # seconds
_YOUNG_MOST = 10_000  # objects that are made and not dropped before the collector looks at them


async def run_worker(  # noqa: PLR0915 - the parts, one after the other
    settings: Settings, *, apply_migrations: bool = False, consume: bool = True
) -> None:
    """Run until SIGTERM or SIGINT; a second signal ends the process at once.

    Args:
        settings: everything a worker can be told.
        consume: take messages from the queue; if not, only the REST API gives work.
        apply_migrations: migrate the database first instead of refusing an old schema.

    Raises:
        MigrationError: the schema does not fit this version.
        TopologyMismatch: the broker has queues that differ from ours.
        ObjectStoreMisconfigured: the settings lead to no object store.
        NotifyMisconfigured: the settings name people who can't be told.
        CannotListen: the address of the REST API can't be had.
    """
    services = Services(settings.notify_services)
    stopping = Stopping()
    stop = stopping.wanted
    _listen_for_signals(stopping)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        door = await _open_door(stack, settings)
        database = await _unless(stop, _connect(settings))
        if database is None:
            stopping.see(Sign.IDLE)
            return
        stack.push_async_callback(database.aclose)
        await _check_schema(database, apply_migrations=apply_migrations)
        await database.warm(_ON_AN_ORDERS_WAY)
        topology = Topology.of(settings)
        older = await _older_ladders(database, topology)
        # Before anything else is under way: to make an S3 client takes half a second of computing.
        store = await stack.enter_async_context(open_store(settings, settings.reports_bucket))
        owner = uuid4()
        system_log = await stack.enter_async_context(open_system_log(settings, owner.hex[:8]))
        providers = load_providers()
        registry = Registry(providers)
        controls, gate = _follow_config(stack, settings, database, registry, clock)
        limiter = _open_limiter(stack, settings, database, clock, owner)
        tracing = open_tracing(settings, str(owner), Scrubber(secrets_of(settings)).text)
        stack.push_async_callback(tracing.close)
        router = ExchangeRouter(
            providers, settings, _called(tracing, system_log), limiter, settings.slot_wait
        )
        stack.push_async_callback(router.aclose)
        begin(router.configured, len(topology.delays))
        await _start_exchanges(router)
        ledger = Ledger(
            database,
            owner,
            timedelta(seconds=settings.claim_lease),
            alive_for=timedelta(seconds=settings.worker_lease),
            send_within=timedelta(seconds=settings.send_within),
        )
        publisher = Publisher(settings)
        stack.push_async_callback(publisher.aclose)
        # Without a consumer no delivery is missed, however many messages wait.
        most = settings.max_batch_size * settings.concurrent_batches if consume else 0
        vitals = Vitals(most)
        start_gate = await _follow(stack, ledger, router, settings, gate, clock, controls, vitals)
        executor = Executor(ledger, router, settings, gate, clock, controls, start_gate)
        parts = Parts(
            settings, topology, ledger, gate, executor, publisher, clock, vitals, controls, tracing
        )
        worker = Worker(parts)
        _tell(stack, settings, database, store, gate, services, vitals)
        if settings.collect_dead_letters:
            _beside(stack, Collector(settings, topology, database, gate, clock).run(), "collector")
        circuits = Circuits(gate, controls.live, limiter)
        observer = Observer(vitals, settings, topology, database, circuits, clock, publisher)
        _beside(stack, observer.run(), "observer")
        if door is not None:
            from consumer.api.serving import serve  # noqa: PLC0415 - FastAPI takes long to import

            serve(
                stack,
                door,
                worker,
                parts,
                router,
                store,
                registry,
                system_log,
                (lambda: observer.faults, partial(_not_ready, vitals, gate, consume=consume)),
            )
        _spare_the_collector()
        _log.info("worker started", owner=str(owner), exchanges=sorted(router.configured))
        if consume:
            await Intake(settings, topology, gate, worker.arrived, older, vitals=vitals).run(
                stop, partial(_drain, worker, stopping)
            )
        else:
            vitals.started = True
            await stop.wait()
            vitals.draining = True
            await _drain(worker, stopping)
    stopping.see(Sign.CLOSED)
    _log.info("worker stopped")


def _spare_the_collector() -> None:
    """Leave what is there for good out of garbage collections.

    A full one would go through all modules: tens of milliseconds in which no order moves. And an
    order makes and drops a few hundred objects, hardly any of which a collection is needed for.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_MOST, *gc.get_threshold()[1:])


async def _open_door(stack: AsyncExitStack, settings: Settings) -> Doorway | None:
    """Listen for the REST API and for probes, if that is wanted; there is nothing to serve yet."""
    if settings.api_port is None:
        return None
    from consumer.api.doorway import Doorway  # noqa: PLC0415 - FastAPI takes long to import

    door = Doorway(settings)
    await door.open()
    stack.push_async_callback(door.aclose)
    return door


async def _older_ladders(database: Database, topology: Topology) -> list[Topology]:
    """The ladders that were bound to the queue before; remembers the present one."""
    return [
        Topology(topology.queue, topology.exchange, delays)
        for delays in await remember_ladder(database, topology.queue, topology.delays)
    ]


async def _connect(settings: Settings) -> Database:
    return await postgres.connect(
        settings,
        on_retry=lambda error: _log.warning("ledger unreachable, waiting", error=error),
        daemon=True,
    )


async def _follow(
    stack: AsyncExitStack,
    ledger: Ledger,
    router: ExchangeRouter,
    settings: Settings,
    gate: LedgerGate,
    clock: Clock,
    controls: Controls,
    vitals: Vitals,
) -> StartGate:
    """Give signs of life, and follow what is at the exchanges already to its end."""
    database = ledger.database

    def left_for() -> timedelta:
        return vitals.left_for

    await forget_the_gone(database)
    stack.push_async_callback(_leave, database, ledger.owner)
    reconciler = Reconciler(ledger, router, settings, gate, clock, controls, left_for)
    start_gate = StartGate(ledger, reconciler, gate)
    presence = Presence(settings, ledger.owner, ledger.alive_for, start_gate)
    _beside(stack, presence.run(), "presence")
    _beside(stack, start_gate.run(), "start-gate")
    _beside(stack, reconciler.run(), "reconciler")
    _beside(stack, FillReader(Fills(database), router, gate, clock, left_for).run(), "fills")
    _beside(stack, Auditor(database, router, settings, gate).run(), "audit")
    drawdown = DrawdownWatch(controls.live, database, router, settings, gate)
    _beside(stack, drawdown.run(), "drawdown")
    return start_gate


async def _check_schema(database: Database, *, apply_migrations: bool) -> None:
    """Raise `MigrationError` unless the schema is this version's, after migrating if asked to."""
    if apply_migrations:
        for name in await migrate.migrate(database):
            _log.info("migrated", migration=name)
    await migrate.check(database)


def _follow_config(
    stack: AsyncExitStack,
    settings: Settings,
    database: Database,
    registry: Registry,
    clock: Clock,
) -> tuple[Controls, LedgerGate]:
    """Keep the config up to date; the gate is shut while ledger or config store are away."""
    live = LiveConfig(registry, settings.config_stale_after, clock, settings.clock_difference)
    gate = LedgerGate(partial(_probe, database, live))
    stack.push_async_callback(gate.aclose)
    _beside(stack, ConfigFeed(settings, live, clock).run(), "config")
    return Controls(live, settings, clock), gate


async def _probe(database: Database, live: LiveConfig) -> None:
    """Raise `LedgerUnavailable` unless the ledger can be written to and the config is known."""
    await prove_writable(database)
    await live.refresh(database)


def _open_limiter(
    stack: AsyncExitStack, settings: Settings, database: Database, clock: Clock, owner: UUID
) -> WatchedLimiter:
    """Make what keeps count of requests; if nobody does, cool-downs are kept and watched anyway."""
    limiter = open_limiter(settings, database, clock, owner)
    if isinstance(limiter, SharedLimiter):
        stack.push_async_callback(limiter.aclose)
    return WatchedLimiter(limiter or OpenLimiter(clock), clock)


def _called(tracing: Tracing, system_log: SystemLog | None) -> CallObserver:
    """Whoever is told of a request to an exchange."""
    notes = () if system_log is None else (system_log.note_call,)
    return call_observer(tracing.called, *notes)


def _not_ready(vitals: Vitals, gate: LedgerGate, *, consume: bool) -> tuple[str, ...]:
    """Say why no work is taken; without the queue that depends on the ledger alone."""
    if consume:
        return faults_of_readiness(vitals)
    faults = () if gate.is_open else ("the ledger can't be reached",)
    return (*faults, "draining") if vitals.draining else faults


async def _start_exchanges(router: ExchangeRouter) -> None:
    """Warm up the exchanges; one that fails is tried again when it is needed."""
    for name, error in (await router.start()).items():
        _log.warning("exchange not ready yet", exchange=name, error=str(error))


async def _drain(worker: Worker, stopping: Stopping) -> None:
    stopping.see(Sign.IDLE if await worker.drain() else Sign.TIMED_OUT)


def _listen_for_signals(stopping: Stopping) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(name: str) -> None:
        if stopping.phase is Phase.WORKING:
            _log.info("stopping", signal=name)
        stopping.see(Sign.SIGNAL)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number.name)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Do some work unless `stop` is set first; then the work is cancelled and None returned."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None
    finally:
        stopped.cancel()


def _beside(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    """Run something beside the intake until the worker ends."""
    stack.push_async_callback(_end, asyncio.create_task(work, name=name))


def _tell(
    stack: AsyncExitStack,
    settings: Settings,
    database: Database,
    store: ObjectStore,
    gate: LedgerGate,
    services: Services,
    vitals: Vitals,
) -> None:
    """Let the outbox be told: reports to the object store, notices to people."""
    offload = Offload(Outbox(database), store, settings, gate, lambda: vitals.left_for)
    _beside(stack, offload.run(), "offload")
    if settings.notify_services:
        _beside(stack, Notifier(database, services, settings, gate).run(), "notifier")


async def _leave(database: Database, owner: UUID) -> None:
    """Leave the lanes to the others at once; if that fails, they find out."""
    with contextlib.suppress(LedgerUnavailable):
        await leave(database, owner)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended: a wait with a deadline may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCEL_AGAIN)
    await asyncio.gather(task, return_exceptions=True)
