"""Taking messages from the queue: connect, verify the topology, consume; again after every loss.

Broker callbacks only hand over; nothing is worked on in them. While the ledger is away the
consumer is cancelled, so that messages stay in the queue where any replica can have them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from consumer.errors import BrokerUnavailable, TopologyMismatch
from consumer.queue import broker, declare
from consumer.queue.delivery import AmqpAcknowledger, Arrival
from consumer.settings import TopologyAtStart
from consumer.watching import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from typing import Any

    from aio_pika.abc import AbstractChannel, AbstractConnection
    from aiormq.abc import DeliveredMessage
    from aiormq.channel import Channel
    from tenacity import RetryCallState

    from consumer.gate import LedgerGate
    from consumer.queue.delivery import Acknowledger
    from consumer.queue.topology import Topology
    from consumer.settings import Settings
    from consumer.watching.vitals import Vitals

    Arrived = Callable[[Arrival, Acknowledger], None]

_log = structlog.get_logger(__name__)
_CONSUME_AGAIN = 0.5  # seconds after the broker ended a consumer


class Intake:
    """Keeps a consumer on the queue until told to stop.

    Args:
        settings: broker and batch sizes.
        topology: what the broker must look like.
        gate: shut while nothing may be taken.
        arrived: called for each message; must not block or raise.
        older: the ladders that were bound to the queue before.
        vitals: told when there is a consumer and when there is none.
    """

    def __init__(
        self,
        settings: Settings,
        topology: Topology,
        gate: LedgerGate,
        arrived: Arrived,
        older: Sequence[Topology] = (),
        *,
        vitals: Vitals,
    ) -> None:
        self._settings = settings
        self._topology = topology
        self._gate = gate
        self._arrived = arrived
        self._older = older
        self._vitals = vitals
        self.consuming = asyncio.Event()

    async def run(self, stop: asyncio.Event, drain: Callable[[], Awaitable[None]]) -> None:
        """Consume until `stop` is set, then stop taking, `drain`, and close.

        The connection stays open while draining, so that what is in flight can be settled.

        Raises:
            TopologyMismatch: the broker's objects differ from ours; trying again is no use.
        """
        drained = False
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(BrokerUnavailable),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            before_sleep=_tell,
            sleep=_until(stop),
            reraise=True,
        ):
            if stop.is_set():
                break
            with attempt:
                async with broker.connection(self._settings, "consumer") as connection:
                    attempt.retry_state.attempt_number = 1  # connected: the back-off starts anew
                    if self._vitals.started:
                        metrics.RECONNECTS.inc()
                    await self._consume(connection, stop)
                    await drain()
                    drained = True
        if not drained:
            await drain()

    async def _consume(self, connection: AbstractConnection, stop: asyncio.Event) -> None:
        timeout = self._settings.broker_timeout
        await self._verify(connection)
        prefetch = self._settings.max_batch_size * self._settings.concurrent_batches
        with broker.translated("RabbitMQ"):
            channel = await broker.open_channel(connection, timeout, publisher_confirms=False)
            await channel.set_qos(prefetch_count=prefetch, timeout=timeout)
            cancelled = await broker.cancelled(channel)
            while not stop.is_set():
                if await _first(self._gate.wait_open(), channel.closed(), stop.wait()) != 0:
                    break
                await self._consume_while_open(channel, cancelled, stop)
                if cancelled.is_set() and not channel.is_closed and not stop.is_set():
                    # On the same channel, so that what is in flight can still be settled.
                    _log.warning("the broker ended our consumer, consuming again")
                    await _until(stop)(_CONSUME_AGAIN)
                    await self._verify(connection)
                    cancelled.clear()
        if channel.is_closed and not stop.is_set():
            raise BrokerUnavailable("RabbitMQ closed the channel")

    async def _consume_while_open(
        self, channel: AbstractChannel, cancelled: asyncio.Event, stop: asyncio.Event
    ) -> None:
        # aiormq's own channel: aio-pika would make a message of each that can be published again,
        # and a task more.
        underlay = cast("Channel", await channel.get_underlay_channel())

        async def hand_over(message: DeliveredMessage) -> None:
            tag = message.delivery_tag
            assert tag is not None  # noqa: S101 - only `Basic.Return` has none
            self._arrived(_arrival(message), AmqpAcknowledger(underlay, tag))

        consuming = await underlay.basic_consume(
            self._topology.queue, hand_over, timeout=self._settings.broker_timeout
        )
        _log.info("consuming", queue=self._topology.queue)
        self.consuming.set()
        self._vitals.started = True
        self._vitals.consuming = True
        self._vitals.consuming_since = asyncio.get_running_loop().time()
        try:
            await _first(stop.wait(), channel.closed(), cancelled.wait(), self._gate.wait_shut())
        finally:
            self.consuming.clear()
            self._vitals.consuming = False
            # At once, or for a moment it would seem that the broker was away.
            self._vitals.draining = stop.is_set()
        if not channel.is_closed and not cancelled.is_set():
            assert consuming.consumer_tag is not None  # noqa: S101 - ours, or the broker's choice
            await underlay.basic_cancel(
                consuming.consumer_tag, timeout=self._settings.broker_timeout
            )

    async def _verify(self, connection: AbstractConnection) -> None:
        if self._settings.topology_at_start is TopologyAtStart.APPLY:
            await declare.apply(
                connection, self._topology, self._older, timeout=self._settings.broker_timeout
            )
            return
        faults = await declare.check(
            connection, self._topology, timeout=self._settings.broker_timeout
        )
        if faults:
            raise TopologyMismatch("; ".join(faults))


def _arrival(message: DeliveredMessage) -> Arrival:
    properties = message.header.properties
    return Arrival(
        body=message.body,
        headers=properties.headers or {},
        message_id=properties.message_id,
        routing_key=message.routing_key or "",
        exchange=message.exchange or "",
        redelivered=bool(message.redelivered),
    )


async def _first(*waits: Awaitable[object]) -> int:
    """Wait until one is done; returns its number and cancels the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(number for number, task in enumerate(tasks) if task.done())
    finally:
        for task in tasks:
            task.cancel()


def _until(stop: asyncio.Event) -> Callable[[float], Coroutine[Any, Any, None]]:
    """Make a sleep that ends early when `stop` is set."""

    async def sleep(seconds: float) -> None:
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            return

    return sleep


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    wait = state.next_action.sleep if state.next_action is not None else 0
    _log.warning("broker unreachable, trying again", error=str(error), seconds=round(wait, 2))
