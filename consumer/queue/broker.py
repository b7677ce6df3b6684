"""Connections to RabbitMQ: opened with deadlines, closed with deadlines, one error for "not now".

Plain connections, not aio-pika's robust ones: a delivery belongs to the channel it came on, and a
connection that heals itself behind our back would let us acknowledge a tag of another channel.
Whoever holds a connection notices its end and opens a new one.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import aio_pika
import aiormq.exceptions
from yarl import URL

from consumer.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aio_pika.abc import AbstractChannel, AbstractConnection

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
    with translated(f"RabbitMQ at {shown(settings)}"):
        opened = await asyncio.wait_for(
            aio_pika.connect(
                url,
                timeout=settings.broker_timeout,
                client_properties={"connection_name": f"trade-worker {purpose}"},
            ),
            settings.broker_timeout,
        )
    try:
        yield opened
    finally:
        await close(opened, settings.broker_timeout)


async def open_channel(
    opened: AbstractConnection,
    timeout: float,  # noqa: ASYNC109 - a deadline
    *,
    publisher_confirms: bool = True,
    on_return_raises: bool = False,
) -> AbstractChannel:
    """Open a channel that lives as long as its connection; the options are aio-pika's.

    Raises:
        BrokerUnavailable: the connection has ended, or nothing answers.
    """
    with translated("RabbitMQ"):
        try:
            return await asyncio.wait_for(
                opened.channel(
                    publisher_confirms=publisher_confirms, on_return_raises=on_return_raises
                ),
                timeout,
            )
        except RuntimeError as error:  # what the libraries say of a connection that has ended
            raise BrokerUnavailable(f"RabbitMQ: {say(error)}") from error


async def cancelled(opened: AbstractChannel) -> asyncio.Event:
    """Give an event that is set when the broker ends a consumer of the channel by itself.

    It does so when the queue is deleted or can't be served any more. The channel stays open, and
    nothing else tells that no message will come.
    """
    told = asyncio.Event()
    underlay = await opened.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _frame: told.set())
    return told


@asynccontextmanager
async def channel(
    opened: AbstractConnection,
    timeout: float,  # noqa: ASYNC109 - a deadline
) -> AsyncIterator[AbstractChannel]:
    """Open a channel for as long as the context lasts.

    Raises:
        BrokerUnavailable: the connection or the channel ended, then or inside the context.
    """
    with translated("RabbitMQ"):
        async with await open_channel(opened, timeout) as made:
            yield made


async def close(opened: AbstractConnection, timeout: float) -> None:  # noqa: ASYNC109 - a deadline
    """Close a connection; one that does not answer is left to the operating system."""
    with suppress(BrokerUnavailable), translated("RabbitMQ"):
        await asyncio.wait_for(opened.close(), timeout)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn everything that says that the broker is away into `BrokerUnavailable`."""
    try:
        yield
    except BaseException as error:
        if not lost(error):
            raise
        raise BrokerUnavailable(f"{where}: {say(error)}") from error


def lost(error: BaseException) -> bool:
    """Tell whether an error says that the broker is away, or that a connection has ended.

    Depending on where a connection breaks, aiormq raises not only its own errors but a bare
    `Exception`, a `StopAsyncIteration`, or a cancellation that nobody asked for.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return isinstance(error, (*UNAVAILABLE, StopAsyncIteration)) or type(error) is Exception


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
    if not text and (isinstance(error, asyncio.CancelledError) or type(error) is Exception):
        return "the connection has ended"
    return text or type(error).__name__
