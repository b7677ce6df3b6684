"""Declaring and checking the broker's objects, and changing the retry ladder, on a real broker."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aio_pika
import aiormq.exceptions
import pytest

from consumer.errors import BrokerUnavailable, TopologyMismatch
from consumer.queue import broker, declare
from consumer.queue.topology import Topology
from consumer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

    from tests.support.amqp import Amqp
    from tests.support.world import World


@pytest.fixture
async def connection(world: World) -> AsyncIterator[AbstractConnection]:
    world.amqp.used = True  # so that what is declared here is deleted
    async with broker.connection(world.settings, "test") as opened:
        yield opened


@asynccontextmanager
async def one_message(amqp: Amqp, queue: str) -> AsyncIterator[AbstractIncomingMessage]:
    """Wait for a message; whoever asked settles it."""
    async with amqp.channel() as opened:
        await opened.set_qos(prefetch_count=1)
        source = await opened.get_queue(queue, ensure=False)
        arrived: asyncio.Future[AbstractIncomingMessage] = asyncio.Future()

        async def keep(message: AbstractIncomingMessage) -> None:
            arrived.set_result(message)

        tag = await source.consume(keep)
        yield await asyncio.wait_for(arrived, 10)
        await source.cancel(tag)


async def test_applying_declares_everything_and_may_be_repeated(
    world: World, connection: AbstractConnection
) -> None:
    done = await declare.apply(connection, world.topology)

    assert await declare.check(connection, world.topology) == []
    assert await declare.apply(connection, world.topology) == done
    names = [one.name for one in world.topology.exchanges]
    names += [one.name for one in world.topology.queues]
    for name in names:
        assert any(name in line for line in done), name


async def test_a_check_names_everything_that_is_missing_and_makes_nothing(
    world: World, connection: AbstractConnection
) -> None:
    expected = [
        *(f"exchange {one.name!r} does not exist" for one in world.topology.exchanges),
        *(f"queue {one.name!r} does not exist" for one in world.topology.queues),
    ]

    assert await declare.check(connection, world.topology) == expected
    assert await declare.check(connection, world.topology) == expected


async def test_a_queue_that_differs_is_named_with_its_argument(
    world: World, connection: AbstractConnection
) -> None:
    topology = world.topology
    async with connection.channel() as channel:
        await channel.declare_queue(
            topology.queue,
            durable=True,
            arguments={"x-queue-type": "quorum", "x-delivery-limit": 7},
        )

    (fault,) = [one for one in await declare.check(connection, topology) if "another" in one]
    with pytest.raises(TopologyMismatch) as refused:
        await declare.apply(connection, topology)

    for text in (fault, str(refused.value)):
        assert f"queue '{topology.queue}' exists with another 'x-" in text
        assert "delete it when it is empty, or set TRADE_QUEUE" in text


async def test_a_waiting_time_that_differs_is_shown_with_both_values(
    world: World, connection: AbstractConnection
) -> None:
    spec = world.topology.queues[1]
    assert spec.name == world.topology.rung_queues[0]
    async with connection.channel() as channel:
        await channel.declare_queue(
            spec.name, durable=True, arguments={**spec.arguments, "x-message-ttl": 4321}
        )

    with pytest.raises(TopologyMismatch) as refused:
        await declare.apply(connection, world.topology)

    assert f"'{spec.name}' exists with another 'x-message-ttl'" in str(refused.value)
    assert "200" in str(refused.value)
    assert "4321" in str(refused.value)


async def test_an_exchange_of_another_type_is_refused(
    world: World, connection: AbstractConnection
) -> None:
    async with connection.channel() as channel:
        await channel.declare_exchange(world.topology.exchange, "direct", durable=True)

    expected = f"exchange '{world.topology.exchange}' exists with another 'type'"
    with pytest.raises(TopologyMismatch, match=re.escape(expected)):
        await declare.apply(connection, world.topology)
    assert expected in (await declare.check(connection, world.topology))[0]


async def test_a_connection_that_has_ended_is_said_and_not_a_defect(
    world: World, connection: AbstractConnection
) -> None:
    await connection.close()

    for work in (
        declare.apply(connection, world.topology),
        declare.check(connection, world.topology),
    ):
        with pytest.raises(BrokerUnavailable, match="RabbitMQ: "):
            await work


async def test_the_rungs_of_the_default_ladder_wait_as_long_as_promised(
    world: World, connection: AbstractConnection
) -> None:
    """The broker itself says what each queue waits: it names it when asked for another value."""
    default = str(Settings.model_fields["retry_delays"].default)
    topology = Topology.of(world.changed(retry_delays=default))
    await declare.apply(connection, topology)
    waits = {}
    for spec in topology.queues:
        if spec.name not in topology.rung_queues:
            continue
        with pytest.raises(aiormq.exceptions.ChannelPreconditionFailed) as refused:
            async with connection.channel() as channel:
                await channel.declare_queue(
                    spec.name, durable=True, arguments={**spec.arguments, "x-message-ttl": 1}
                )
        found = re.search(r"x-message-ttl.*current is (?:the value )?'(\d+)'", str(refused.value))
        assert found is not None, str(refused.value)
        waits[spec.name.removeprefix(f"{topology.queue}.retry.")] = int(found[1])

    assert waits == {"30s": 30_000, "60s": 60_000, "5m": 300_000, "15m": 900_000, "30m": 1_800_000}


async def test_after_a_change_of_the_ladder_a_nacked_message_exists_once(
    world: World, connection: AbstractConnection
) -> None:
    old = world.topology
    new = Topology.of(world.changed(retry_delays="600s,700s"))
    await declare.apply(connection, old)
    await declare.apply(connection, new, [old])
    for number in range(5):
        await world.amqp.publish(b"%d" % number, new.queue, exchange=new.exchange)
        async with one_message(world.amqp, new.queue) as message:
            await message.nack(requeue=False)

    waiting = await world.amqp.take(new.rung_queues[0], 5)

    assert sorted(one.body for one in waiting) == [b"0", b"1", b"2", b"3", b"4"]
    for queue in (new.queue, *old.rung_queues, old.dead_letter_queue):
        assert await world.amqp.depth(queue) == 0, queue


async def test_a_message_that_waits_while_the_ladder_changes_comes_back_once(
    world: World, connection: AbstractConnection
) -> None:
    old = Topology.of(world.changed(retry_delays="1500ms,2s"))
    new = Topology.of(world.changed(retry_delays="600s,700s,800s"))
    await declare.apply(connection, old)
    await world.amqp.publish(b"waits", old.queue, exchange=old.exchange)
    async with one_message(world.amqp, old.queue) as message:
        await message.nack(requeue=False)

    await declare.apply(connection, new, [old])

    async with one_message(world.amqp, new.queue) as back:
        assert (back.body, back.routing_key) == (b"waits", "retry.1")
        await back.nack(requeue=False)
    (waiting,) = await world.amqp.take(new.rung_queues[1])  # where the second attempt goes now
    assert waiting.body == b"waits"
    for queue in (new.queue, new.rung_queues[0], *old.rung_queues, new.dead_letter_queue):
        assert await world.amqp.depth(queue) == 0, queue


async def test_a_change_back_to_an_earlier_ladder_works_as_well(
    world: World, connection: AbstractConnection
) -> None:
    first = world.topology
    second = Topology.of(world.changed(retry_delays="600s,700s"))
    await declare.apply(connection, first)
    await declare.apply(connection, second, [first])
    await declare.apply(connection, first, [second])
    await world.amqp.publish(b"m", first.queue, exchange=first.exchange)
    async with one_message(world.amqp, first.queue) as message:
        await message.nack(requeue=False)

    async with one_message(world.amqp, first.queue) as back:
        assert back.routing_key == "retry.1"
        await back.ack()
    assert await world.amqp.depth(second.rung_queues[0]) == 0


async def test_a_full_queue_refuses_rather_than_drops(
    world: World, connection: AbstractConnection
) -> None:
    """Every queue of ours refuses a publish that it can't hold."""
    await declare.apply(connection, world.topology)
    for spec in world.topology.queues:
        if spec.name == world.topology.dead_letter_queue:
            continue  # has no limit and no way on
        with pytest.raises(aiormq.exceptions.ChannelPreconditionFailed, match="x-overflow"):
            async with connection.channel() as channel:
                await channel.declare_queue(
                    spec.name,
                    durable=True,
                    arguments={**spec.arguments, "x-overflow": "drop-head"},
                )


async def test_what_is_declared_survives_and_persists(
    world: World, connection: AbstractConnection
) -> None:
    await declare.apply(connection, world.topology)
    for spec in world.topology.queues:
        with pytest.raises(aiormq.exceptions.ChannelPreconditionFailed, match="durable"):
            async with connection.channel() as channel:
                await channel.declare_queue(
                    spec.name,
                    durable=False,
                    arguments={
                        name: value
                        for name, value in spec.arguments.items()
                        if name != "x-queue-type"
                    },
                )
    for exchange in world.topology.exchanges:
        with pytest.raises(aiormq.exceptions.ChannelPreconditionFailed, match="durable"):
            async with connection.channel() as channel:
                await channel.declare_exchange(
                    exchange.name, aio_pika.ExchangeType(exchange.kind), durable=False
                )
