"""Publishing that is sure: persistent, mandatory, confirmed, within a deadline.

Uses a connection of its own, so that a broker that blocks publishers does not block settling.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aio_pika
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.exceptions import ChannelNotFoundEntity

from consumer.errors import BrokerUnavailable, PublishRefused
from consumer.queue import broker
from consumer.queue.broker import lost, say, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
    from pamqp.common import FieldValue

    from consumer.settings import BrokerSettings

_FREE_WITHIN = 0.05  # seconds in which a connection that is not blocked says so


class Publisher:
    """Publishes; opens its connection when it is first needed and anew after it was lost."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchanges: dict[str, AbstractExchange] = {}
        self._opening = asyncio.Lock()

    async def publish(
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        message_id: str | None = None,
        headers: Mapping[str, FieldValue] | None = None,
        content_type: str = "application/json",
    ) -> None:
        """Publish one message; returns once the broker has it safe in a queue.

        Raises:
            PublishRefused: no queue took it (returned as unroutable, or refused).
            BrokerUnavailable: the broker is away or silent; it may or may not have it.
        """
        message = aio_pika.Message(
            body,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            content_type=content_type,
            message_id=message_id,
            headers=dict(headers or {}),
        )
        channel: AbstractChannel | None = None
        try:
            channel, target = await self._exchange(exchange)
            await target.publish(
                message, routing_key, mandatory=True, timeout=self._settings.broker_timeout
            )
        except PublishError as error:
            raise PublishRefused(
                f"no queue took the message: exchange {exchange!r} has no binding for "
                f"{routing_key!r}; run `trade-worker topology apply`"
            ) from error
        except DeliveryError as error:
            raise PublishRefused(
                f"the broker refused the message for {routing_key!r}: the queue is full or "
                "has no majority of its members"
            ) from error
        except BaseException as error:
            if not lost(error):
                raise
            # Others may have noticed before and opened a new connection: leave that one alone.
            if channel is self._channel:
                await self._drop()
            if isinstance(error, ChannelNotFoundEntity) and f"exchange '{exchange}'" in str(error):
                raise PublishRefused(
                    f"no queue took the message: exchange {exchange!r} does not exist; run "
                    "`trade-worker topology apply`"
                ) from error
            raise BrokerUnavailable(f"RabbitMQ at {shown(self._settings)}: {say(error)}") from error

    async def is_blocked(self) -> bool:
        """Tell whether the broker blocks our publishing now: it is short of memory or disk.

        A broker tells a connection only after that has tried to publish.
        """
        transport = None if self._connection is None else self._connection.transport
        if transport is None or transport.connection.is_closed:
            return False
        free = asyncio.ensure_future(transport.connection.ready())
        await asyncio.wait((free,), timeout=_FREE_WITHIN)
        blocked = not free.done()
        free.cancel()
        return blocked

    async def aclose(self) -> None:
        """Close the connection."""
        await self._drop()

    async def _exchange(self, name: str) -> tuple[AbstractChannel, AbstractExchange]:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                await self._drop()
                self._channel = await self._open()
            if name not in self._exchanges:
                self._exchanges[name] = (
                    await self._channel.get_exchange(name, ensure=False)
                    if name
                    else self._channel.default_exchange
                )
            return self._channel, self._exchanges[name]

    async def _open(self) -> AbstractChannel:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(
                broker.connection(self._settings, "publisher")
            )
            channel = await broker.open_channel(
                connection, self._settings.broker_timeout, on_return_raises=True
            )
            self._stack = stack.pop_all()
            self._connection = connection
        return channel

    async def _drop(self) -> None:
        self._connection = None
        self._channel = None
        self._exchanges.clear()
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()
