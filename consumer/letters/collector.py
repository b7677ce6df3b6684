"""Collecting dead letters: from their queue into the ledger's database, by every replica.

A dead letter is acknowledged only after its row is durable. Delivered twice, it is one row.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import structlog

from consumer.errors import BrokerUnavailable
from consumer.letters.collecting import bare, letter_of
from consumer.queue import broker
from storage.dead_letters import collect
from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

    from consumer.gate import LedgerGate
    from consumer.queue.topology import Topology
    from consumer.settings import Settings
    from providers.clock import Clock
    from storage.dead_letters import DeadLetter
    from storage.postgres import Database

_log = structlog.get_logger(__name__)
_MOST = 50  # dead letters held at once, and written together
_LONGEST_WAIT = 5.0


class Collector:
    """Keeps a consumer on the dead-letter queue; one for a process."""

    def __init__(
        self,
        settings: Settings,
        topology: Topology,
        database: Database,
        gate: LedgerGate,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._topology = topology
        self._database = database
        self._gate = gate
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled."""
        wait = 0.2
        while True:
            try:
                await self._gate.wait_open()
                async with broker.connection(self._settings, "dead letters") as connection:
                    wait = 0.2
                    await self._collect(connection)
            except BrokerUnavailable as error:
                _log.debug("dead letters wait in their queue", error=str(error))
            except Exception:  # noqa: BLE001 - if it ended here, nobody would collect
                _log.exception("collecting dead letters failed, going on")
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _collect(self, connection: AbstractConnection) -> None:
        timeout = self._settings.broker_timeout
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        with broker.translated("RabbitMQ"):
            channel = await broker.open_channel(connection, timeout, publisher_confirms=False)
            await channel.set_qos(prefetch_count=_MOST, timeout=timeout)
            queue = await channel.get_queue(self._topology.dead_letter_queue, ensure=False)
            cancelled = await broker.cancelled(channel)
            await queue.consume(arrived.put, timeout=timeout)
            ends = [asyncio.ensure_future(one) for one in (channel.closed(), cancelled.wait())]
            try:
                while (group := await _next(arrived, ends)) is not None:
                    await self._keep(group, channel)
            finally:
                for end in ends:
                    end.cancel()

    async def _keep(self, group: list[AbstractIncomingMessage], channel: AbstractChannel) -> None:
        letters = [self._read(message) for message in group]
        while not channel.is_closed:
            try:
                await self._write(letters)
            except LedgerUnavailable as error:
                self._gate.report(error)
                await self._gate.wait_open()
            else:
                break
        for message in group:
            if channel.is_closed:
                return  # they come again, and are known by then
            await message.ack()
        _log.info("dead letters collected", count=len(group))

    async def _write(self, letters: list[DeadLetter]) -> None:
        """Write a group; one that the database refuses does not keep the others out."""
        try:
            await collect(self._database, letters)
        except LedgerUnavailable:
            raise
        except Exception:  # noqa: BLE001 - one of them is at fault, whichever it is
            for letter in letters:
                try:
                    await collect(self._database, [letter])
                except LedgerUnavailable:
                    raise
                except Exception:  # noqa: BLE001 - as above
                    _log.exception("dead letter kept without its headers")
                    await collect(self._database, [bare(letter)])

    def _read(self, message: AbstractIncomingMessage) -> DeadLetter:
        return letter_of(
            message.body,
            message.headers or {},
            message_id=message.message_id,
            content_type=message.content_type,
            routing_key=message.routing_key or "",
            topology=self._topology,
            max_bytes=self._settings.message_max_bytes,
            now=self._clock.now(),
        )


async def _next(
    arrived: asyncio.Queue[AbstractIncomingMessage], ends: Sequence[asyncio.Future[Any]]
) -> list[AbstractIncomingMessage] | None:
    """Wait for a message and take whatever is there with it; None once no more will come."""
    if arrived.empty():
        first = asyncio.ensure_future(arrived.get())
        await asyncio.wait((first, *ends), return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            first.cancel()
            return None
        group = [first.result()]
    else:
        group = []
    while not arrived.empty() and len(group) < _MOST:
        group.append(arrived.get_nowait())
    return group
