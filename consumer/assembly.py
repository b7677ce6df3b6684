"""Putting a worker together and running it until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import structlog

from consumer.execution import Executor
from consumer.gate import LedgerGate
from consumer.intake import Intake
from consumer.offload import Offload
from consumer.publisher import Publisher
from consumer.reconciler import Reconciler
from consumer.topology import Topology
from consumer.worker import Parts, Worker
from providers.clock import SystemClock
from providers.registry import load_providers
from providers.router import ExchangeRouter
from storage import migrate, postgres
from storage.ladders import remember_ladder
from storage.ledger import Ledger
from storage.objects.opening import open_store
from storage.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from consumer.settings import Settings

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_STOPPED_AT_ONCE = 130


async def run_worker(settings: Settings, *, apply_migrations: bool = False) -> None:
    """Run until SIGTERM or SIGINT; a second signal ends the process at once.

    Args:
        settings: everything a worker can be told.
        apply_migrations: migrate the database first instead of refusing an old schema.

    Raises:
        MigrationError: the schema does not fit this version.
        TopologyMismatch: the broker has queues that differ from ours.
        ObjectStoreMisconfigured: the settings lead to no object store.
    """
    stop = asyncio.Event()
    _listen_for_signals(stop)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        database = await _unless(
            stop,
            postgres.connect(
                settings,
                on_retry=lambda error: _log.warning("ledger unreachable, waiting", error=error),
            ),
        )
        if database is None:
            return
        stack.push_async_callback(database.aclose)
        if apply_migrations:
            for name in await migrate.migrate(database):
                _log.info("migrated", migration=name)
        await migrate.check(database)
        topology = Topology.of(settings)
        older = [
            Topology(topology.queue, topology.exchange, delays)
            for delays in await remember_ladder(database, topology.queue, topology.delays)
        ]
        # Before anything else is under way: to make an S3 client takes half a second of computing.
        store = await stack.enter_async_context(open_store(settings, settings.reports_bucket))
        gate = LedgerGate(database.ping)
        stack.push_async_callback(gate.aclose)
        router = ExchangeRouter(load_providers(), settings)
        stack.push_async_callback(router.aclose)
        await _start_exchanges(router)
        owner = uuid4()
        ledger = Ledger(database, owner, timedelta(seconds=settings.claim_lease))
        publisher = Publisher(settings)
        stack.push_async_callback(publisher.aclose)
        executor = Executor(ledger, router, settings, gate, clock)
        worker = Worker(Parts(settings, topology, ledger, gate, executor, publisher, clock))
        reconciler = asyncio.create_task(
            Reconciler(ledger, router, settings, gate, clock).run(), name="reconciler"
        )
        stack.push_async_callback(_end, reconciler)
        offload = asyncio.create_task(
            Offload(Outbox(database), store, settings, gate).run(), name="offload"
        )
        stack.push_async_callback(_end, offload)
        intake = Intake(settings, topology, gate, worker.arrived, older)
        _log.info("worker started", owner=str(owner), exchanges=sorted(router.configured))
        await intake.run(stop, worker.drain)
    _log.info("worker stopped")


async def _start_exchanges(router: ExchangeRouter) -> None:
    """Warm up the exchanges; one that fails is tried again when it is needed."""
    for name, error in (await router.start()).items():
        _log.warning("exchange not ready yet", exchange=name, error=str(error))


def _listen_for_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(name: str) -> None:
        if stop.is_set():
            os._exit(_STOPPED_AT_ONCE)
        _log.info("stopping", signal=name)
        stop.set()

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


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
