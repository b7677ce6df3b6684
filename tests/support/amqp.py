"""RabbitMQ as a producer or an operator sees it: raw publishes, gets, depths. Nothing of ours.

Only the names of the objects come from `consumer.queue.topology`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import aio_pika
import aiormq.exceptions

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
    from pamqp.common import FieldValue

    from consumer.queue.topology import Topology

TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Got:
    """A message taken off a queue; `at` is monotonic seconds."""

    body: bytes
    headers: Mapping[str, object]
    routing_key: str
    message_id: str | None
    content_type: str | None
    persistent: bool
    redelivered: bool
    at: float

    @classmethod
    def of(cls, message: AbstractIncomingMessage) -> Got:
        """Keep what tests look at."""
        return cls(
            body=message.body,
            headers=dict(message.headers or {}),
            routing_key=message.routing_key or "",
            message_id=message.message_id,
            content_type=message.content_type,
            persistent=message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT,
            redelivered=bool(message.redelivered),
            at=time.monotonic(),
        )


class Amqp:
    """One connection, opened when first needed and again after it was lost.

    Attributes:
        used: whether there ever was one.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.used = False
        self._opening = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._publishing: AbstractChannel | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; one that does not answer is let go."""
        opened, self._connection, self._publishing = self._connection, None, None
        if opened is not None:
            with suppress(OSError, TimeoutError, aiormq.exceptions.AMQPError):
                await asyncio.wait_for(opened.close(), TIMEOUT)

    async def connection(self) -> AbstractConnection:
        """The connection."""
        async with self._opening:
            if self._connection is None or not self._connection.connected.is_set():
                self._connection = await aio_pika.connect(self.url, timeout=TIMEOUT)
                self.used = True
            return self._connection

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """A channel of its own, since a refusal closes it."""
        connection = await self.connection()
        async with connection.channel(on_return_raises=True) as opened:
            yield opened

    async def publish(
        self,
        body: bytes,
        routing_key: str,
        *,
        exchange: str = "",
        message_id: str | None = None,
        headers: Mapping[str, FieldValue] | None = None,
        content_type: str | None = None,
        persistent: bool = True,
    ) -> None:
        """Publish one message, confirmed; as any producer would."""
        connection = await self.connection()
        async with self._opening:
            if self._publishing is None or self._publishing.is_closed:
                self._publishing = await connection.channel(on_return_raises=True)
            channel = self._publishing
        target = (
            await channel.get_exchange(exchange, ensure=False)
            if exchange
            else channel.default_exchange
        )
        mode = aio_pika.DeliveryMode
        message = aio_pika.Message(
            body,
            message_id=message_id,
            headers=dict(headers or {}),
            content_type=content_type,
            delivery_mode=mode.PERSISTENT if persistent else mode.NOT_PERSISTENT,
        )
        await target.publish(message, routing_key, mandatory=True, timeout=TIMEOUT)

    async def depth(self, queue: str) -> int:
        """How many messages are ready; those a consumer holds are not counted."""
        async with self.channel() as opened:
            declared = await opened.declare_queue(queue, passive=True, timeout=TIMEOUT)
            return declared.declaration_result.message_count or 0

    async def consumers(self, queue: str) -> int:
        """How many consumers a queue has."""
        async with self.channel() as opened:
            declared = await opened.declare_queue(queue, passive=True, timeout=TIMEOUT)
            return declared.declaration_result.consumer_count or 0

    async def exists(self, queue: str) -> bool:
        """Whether there is such a queue."""
        try:
            await self.depth(queue)
        except aiormq.exceptions.ChannelNotFoundEntity:
            return False
        return True

    async def take(self, queue: str, count: int = 1, *, within: float = 10.0) -> list[Got]:
        """Take so many messages off a queue for good; no more, and no fewer."""
        taken: list[Got] = []
        async with self.channel() as opened:
            source = await opened.get_queue(queue, ensure=False)

            async def enough() -> bool:
                while len(taken) < count:
                    message = await source.get(no_ack=True, fail=False, timeout=TIMEOUT)
                    if message is None:
                        return False
                    taken.append(Got.of(message))
                return True

            await eventually(enough, within=within, what=f"{count} messages in {queue}")
        return taken

    async def drain(self, queue: str) -> list[Got]:
        """Take everything that is ready now."""
        taken: list[Got] = []
        async with self.channel() as opened:
            source = await opened.get_queue(queue, ensure=False)
            while (
                message := await source.get(no_ack=True, fail=False, timeout=TIMEOUT)
            ) is not None:
                taken.append(Got.of(message))
        return taken

    async def spy(self, name: str, *bindings: tuple[str, str]) -> None:
        """Make a queue that gets a copy of what passes the (exchange, routing key) bindings."""
        async with self.channel() as opened:
            queue = await opened.declare_queue(name, durable=True, timeout=TIMEOUT)
            for exchange, key in bindings:
                await queue.bind(exchange, key, timeout=TIMEOUT)

    async def delete_queue(self, name: str) -> None:
        """Delete a queue with whatever is in it; a missing one is fine."""
        async with self.channel() as opened:
            await opened.queue_delete(name, timeout=TIMEOUT)

    async def delete(self, topology: Topology) -> None:
        """Delete everything a topology declares; a broker that trips over it is asked again."""
        for attempt in range(3):
            try:
                async with self.channel() as opened:
                    for queue in topology.queues:
                        await opened.queue_delete(queue.name, timeout=TIMEOUT)
                    for exchange in topology.exchanges:
                        await opened.exchange_delete(exchange.name, timeout=TIMEOUT)
            except (OSError, TimeoutError, aiormq.exceptions.AMQPError):
                await self.aclose()
                if attempt == 2:
                    raise
            else:
                return
