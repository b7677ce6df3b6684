"""Publishing for sure, on a real broker."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from consumer import broker, declare
from consumer.errors import BrokerUnavailable, PublishRefused
from consumer.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.world import World


@pytest.fixture
async def publisher(world: World) -> AsyncIterator[Publisher]:
    async with broker.connection(world.settings, "test") as connection:
        await declare.apply(connection, world.topology)
    world.amqp.used = True
    opened = Publisher(world.settings)
    yield opened
    await opened.aclose()


async def publish(publisher: Publisher, world: World, body: bytes) -> None:
    await publisher.publish(
        body, exchange=world.topology.exchange, routing_key=world.topology.queue, message_id="m-1"
    )


@pytest.mark.parametrize("size", [0, 1, 65536, 10 * 1024 * 1024])
async def test_a_confirmed_message_is_in_the_queue_byte_for_byte(
    world: World, publisher: Publisher, size: int
) -> None:
    body = os.urandom(size)

    await publish(publisher, world, body)

    (got,) = await world.amqp.take(world.topology.queue)
    assert got.body == body
    assert got.persistent
    assert (got.message_id, got.content_type) == ("m-1", "application/json")


async def test_many_may_publish_at_once(world: World, publisher: Publisher) -> None:
    await asyncio.gather(*(publish(publisher, world, b"%d" % number) for number in range(300)))

    got = await world.amqp.take(world.topology.queue, 300)
    assert {one.body for one in got} == {b"%d" % number for number in range(300)}


async def test_what_no_queue_takes_is_refused(world: World, publisher: Publisher) -> None:
    with pytest.raises(PublishRefused, match=r"no binding for 'nowhere'.*topology apply"):
        await publisher.publish(b"x", exchange=world.topology.exchange, routing_key="nowhere")
    with pytest.raises(PublishRefused, match="no-such-queue"):
        await publisher.publish(b"x", exchange="", routing_key="no-such-queue")

    await publish(publisher, world, b"the next one is fine")


async def test_a_missing_exchange_is_refused_and_does_not_look_like_an_absent_broker(
    world: World, publisher: Publisher
) -> None:
    for _ in range(2):
        with pytest.raises(PublishRefused, match=r"'no-such-exchange'.*topology apply"):
            await publisher.publish(b"x", exchange="no-such-exchange", routing_key="y")

    await publish(publisher, world, b"the next one is fine")


async def test_a_full_queue_refuses(world: World, publisher: Publisher) -> None:
    name = f"{world.name}.full"
    async with world.amqp.channel() as channel:
        await channel.declare_queue(
            name, durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
    try:
        await publisher.publish(b"1", exchange="", routing_key=name)
        with pytest.raises(PublishRefused, match="the queue is full"):
            await publisher.publish(b"2", exchange="", routing_key=name)
        assert [one.body for one in await world.amqp.drain(name)] == [b"1"]
    finally:
        await world.amqp.delete_queue(name)


async def test_an_absent_broker_is_said_without_its_password(world: World) -> None:
    away = world.changed(amqp_url="amqp://user:hidden-word@127.0.0.1:9/", broker_timeout=2.0)
    publisher = Publisher(away)
    with pytest.raises(BrokerUnavailable) as refused:
        await publisher.publish(b"x", exchange="", routing_key="y")
    await publisher.aclose()

    assert "127.0.0.1:9" in str(refused.value)
    assert "hidden-word" not in str(refused.value)
