"""Connections to RabbitMQ: opened with deadlines, closed with deadlines, one error for "not now".

Plain connections, not aio-pika's robust ones: a delivery belongs to the channel it came on, and a
connection that heals itself behind our back would let us acknowledge a tag of another channel.
Whoever holds a connection notices its end and opens a new one.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aio_pika
import aiormq.exceptions
from yarl import URL

from consumer.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractConnection

    from consumer.settings import BrokerSettings

# What aio-pika and aiormq raise when the broker is away, or a channel or connection ended.
UNAVAILABLE = (
    OSError,  # includes every AMQP connection error
    TimeoutError,
    aiormq.exceptions.AMQPError,
    aiormq.exceptions.ChannelInvalidStateError,
    asyncio.InvalidStateError,
)


@asynccontextmanager
async def connection(settings: BrokerSettings, purpose: str) -> AsyncIterator[AbstractConnection]:
    """Open a connection, and close it within the broker time-out at the end.

    Args:
        settings: where the broker is.
        purpose: shown in the broker's list of connections.

    Raises:
        BrokerUnavailable: it can't be reached or refuses us; the text has no password.
    """
    url = URL(str(settings.amqp_url)).update_query(heartbeat=str(settings.broker_heartbeat))
    try:
        opened = await asyncio.wait_for(
            aio_pika.connect(
                url,
                timeout=settings.broker_timeout,
                client_properties={"connection_name": f"trade-worker {purpose}"},
            ),
            settings.broker_timeout,
        )
    except (*UNAVAILABLE, StopAsyncIteration) as error:
        raise BrokerUnavailable(f"RabbitMQ at {shown(settings)}: {say(error)}") from error
    try:
        yield opened
    finally:
        await close(opened, settings.broker_timeout)


async def close(opened: AbstractConnection, timeout: float) -> None:  # noqa: ASYNC109 - a deadline
    """Close a connection; one that does not answer is left to the operating system."""
    try:
        await asyncio.wait_for(opened.close(), timeout)
    except UNAVAILABLE:
        return


def shown(settings: BrokerSettings) -> str:
    """Give the broker's host and port, without user and password."""
    url = URL(str(settings.amqp_url))
    return f"{url.host}:{url.port or 5672}"


def say(error: BaseException) -> str:
    """Describe an error in one line."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, StopAsyncIteration):  # what aiormq raises then
        return "it closed the connection before it had said anything"
    text = str(error).strip().split("\n", 1)[0]
    return text or type(error).__name__
