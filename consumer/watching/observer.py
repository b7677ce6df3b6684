"""Looking at the worker and its surroundings from time to time: vital signs, gauges, the watchdog.

Everything here is off an order's path. What can't be looked at now is unknown, never "all is
well": a broker that does not answer says nothing about the backlog.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from consumer.controls.values import Switch
from consumer.errors import BrokerUnavailable
from consumer.queue import broker
from consumer.watching import metrics
from consumer.watching.limited import exchange_of
from consumer.watching.measuring import KINDS, exchanges
from consumer.watching.vitals import Patience, faults_of_life, faults_of_readiness
from storage import watching
from storage.errors import LedgerUnavailable
from storage.rate_limits import show_cool_downs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aio_pika.abc import AbstractConnection
    from prometheus_client import Gauge

    from consumer.controls.live import LiveConfig
    from consumer.gate import LedgerGate
    from consumer.queue.publisher import Publisher
    from consumer.queue.topology import Topology
    from consumer.settings import Settings
    from consumer.watching.limited import WatchedLimiter
    from consumer.watching.vitals import Vitals
    from providers.clock import Clock
    from storage.postgres import Database

_log = structlog.get_logger(__name__)

_BEAT = 0.25  # seconds between two measurements of the event loop's lag
_HALTED = {Switch.OFF: 0, Switch.REDUCE_ONLY: 1, Switch.ON: 2}
_LEDGER_AWAY = "the ledger can't be reached"


@dataclass(frozen=True, slots=True)
class Circuits:
    """What lets orders through or keeps them back.

    Attributes:
        gate: shut while the ledger is away.
        live: the config, for what is halted and whether that is known.
        limiter: knows of exchanges that have asked this process to stay away.
    """

    gate: LedgerGate
    live: LiveConfig
    limiter: WatchedLimiter


class Observer:
    """Keeps `Vitals` and the gauges up to date, and tells the service manager that we live.

    Args:
        vitals: what is kept up to date.
        settings: intervals, patience, the broker.
        topology: the queues whose depth is read.
        database: where orders and the outbox are counted.
        circuits: what lets orders through or keeps them back.
        clock: monotonic time.
        publisher: asked whether the broker blocks it.
    """

    def __init__(
        self,
        vitals: Vitals,
        settings: Settings,
        topology: Topology,
        database: Database,
        circuits: Circuits,
        clock: Clock,
        publisher: Publisher,
    ) -> None:
        self._vitals = vitals
        self._settings = settings
        self._topology = topology
        self._database = database
        self._gate = circuits.gate
        self._live = circuits.live
        self._limiter = circuits.limiter
        self._clock = clock
        self._publisher = publisher
        self._patience = Patience(settings.watchdog_silence, settings.watchdog_lag)
        self._faults: tuple[str, ...] = ()
        self._away: set[str] = set()  # exchanges that have been cooling down

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the process should be started again; empty while it is alive."""
        return faults_of_life(self._vitals, self._clock.monotonic(), self._patience)

    async def run(self) -> None:
        """Look until cancelled."""
        # Not a task group: that would pass a cancellation on only once, and a wait with a deadline
        # may swallow one. Nor done when the first of them is: nobody would end the others.
        looks = (self._beat(), self._watch_queues(), self._watch_ledger())
        await asyncio.gather(*looks, return_exceptions=True)

    async def _beat(self) -> None:
        told_ready = False
        while True:
            began, worked = self._clock.monotonic(), time.thread_time()
            await asyncio.sleep(_BEAT)
            with self._unfailing():
                passed = self._clock.monotonic() - began
                self._vitals.busy = min(1.0, (time.thread_time() - worked) / max(passed, _BEAT))
                metrics.LOOP_BUSY.set(self._vitals.busy)
                told_ready = self._tell(passed - _BEAT, told_ready=told_ready)

    def _tell(self, late: float, *, told_ready: bool) -> bool:
        """Show how the process is; gives whether the service manager knows that it is ready."""
        lag = max(0.0, late)
        metrics.LOOP_LAG.observe(lag)
        vitals = self._vitals
        vitals.loop_lag = lag
        vitals.paused = None if self._gate.is_open else _LEDGER_AWAY
        ready = not faults_of_readiness(vitals)
        faults = self.faults
        if faults != self._faults:
            self._faults = faults
            if faults:
                _log.error("watchdog: this worker should be started again", faults=faults)
            else:
                _log.info("watchdog: alive again")
        metrics.LIVE.set(not faults)
        metrics.READY.set(ready)
        metrics.DRAINING.set(vitals.draining)
        metrics.CONNECTED.set(vitals.consuming)
        metrics.IN_FLIGHT.set(vitals.in_flight)
        metrics.CIRCUIT_OPEN.labels("ledger").set(not self._gate.is_open)
        metrics.CIRCUIT_OPEN.labels("config").set(not self._live.fresh)
        if not faults:
            _tell_service_manager("WATCHDOG=1" if told_ready else "READY=1\nWATCHDOG=1")
        return told_ready or not faults

    async def _watch_queues(self) -> None:
        """Read the depth of the queues, over a connection of its own."""
        while True:
            with self._unfailing(), contextlib.suppress(BrokerUnavailable):
                async with broker.connection(self._settings, "observer") as connection:
                    while True:
                        await self._look_at_queues(connection)
                        await asyncio.sleep(self._settings.observe_interval)
            self._vitals.saw_backlog(0, self._clock.monotonic())  # it is not known
            await asyncio.sleep(self._settings.observe_interval)

    @contextlib.contextmanager
    def _unfailing(self) -> Iterator[None]:
        """Go on whatever happens: a worker that nobody watches is worse than a wrong gauge."""
        try:
            yield
        except Exception:  # noqa: BLE001 - as above
            _log.exception("looking at the worker's surroundings failed")

    async def _look_at_queues(self, connection: AbstractConnection) -> None:
        names = (
            self._topology.queue,
            *self._topology.rung_queues,
            self._topology.dead_letter_queue,
        )
        timeout = self._settings.broker_timeout
        async with AsyncExitStack() as stack:
            channel = await stack.enter_async_context(broker.channel(connection, timeout))
            for name in names:
                queue = await channel.declare_queue(name, passive=True, timeout=timeout)
                ready = queue.declaration_result.message_count or 0
                metrics.QUEUE_MESSAGES.labels(name).set(ready)
                if name == self._topology.queue:
                    self._vitals.saw_backlog(ready, self._clock.monotonic())

    async def _watch_ledger(self) -> None:
        while True:
            with self._unfailing(), contextlib.suppress(LedgerUnavailable):
                await self._look_at_ledger()
                await self._look_at_controls()
            await asyncio.sleep(self._settings.observe_interval)

    async def _look_at_controls(self) -> None:
        """What is halted, by an operator or by an exchange."""
        switches = self._live.snapshot.switches.items()
        _show(
            metrics.KILL_SWITCH,
            {"global": 0} | {scope or "global": _HALTED[switch] for scope, switch in switches},
        )
        away = await self._cooling() | self._limiter.away
        for exchange in self._away | away:
            metrics.CIRCUIT_OPEN.labels(exchange).set(exchange in away)
        self._away |= away
        metrics.BLOCKED.set(await self._publisher.is_blocked())

    async def _cooling(self) -> set[str]:
        """The exchanges that have asked us to stay away, from anything."""
        return {exchange_of(row.scope) for row in await show_cool_downs(self._database)}

    async def _look_at_ledger(self) -> None:
        counts = await watching.open_orders(self._database)
        waiting = await watching.outbox(self._database)
        none = dict.fromkeys(exchanges(), 0.0)
        _show(metrics.UNRESOLVED, none | {one.exchange: one.unresolved for one in counts})
        _show(metrics.UNRESOLVED_AGE, none | {one.exchange: one.unresolved_age for one in counts})
        _show(metrics.QUARANTINED, none | {one.exchange: one.quarantined for one in counts})
        _show(metrics.OPEN, none | {one.exchange: one.at_exchange for one in counts})
        nothing = dict.fromkeys(KINDS, 0.0)
        _show(metrics.OUTBOX_BACKLOG, nothing | {one.kind: one.rows for one in waiting})
        _show(metrics.OUTBOX_AGE, nothing | {one.kind: one.age for one in waiting})
        used, idle = self._database.pool_use
        metrics.POOL_CONNECTIONS.labels("used").set(used)
        metrics.POOL_CONNECTIONS.labels("idle").set(idle)


def _show(gauge: Gauge, values: Mapping[str, float]) -> None:
    """Set a gauge of one label to these values and no others; no scrape can come in between."""
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)


def _tell_service_manager(words: str) -> None:
    """Tell systemd, as sd_notify(3) says; nothing happens where it does not run us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect(address)
        out.sendall(words.encode())
