"""Publishing for sure, on a real broker."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from consumer.errors import BrokerUnavailable, PublishRefused
from consumer.queue import broker, declare
from consumer.queue.publisher import Publisher
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

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


async def test_a_silent_broker_fails_every_publish_in_time_and_cancels_nobody(
    world: World, publisher: Publisher
) -> None:
    """Giving the connection up must not look like a cancellation to who still waits on it."""
    await publish(publisher, world, b"the queue is there")
    async with Proxy(world.amqp.url) as amqp:
        settings = world.changed(amqp_url=amqp.url, broker_timeout=1.0, broker_heartbeat=60)
        through = Publisher(settings)
        await publish(through, world, b"the line is good")
        with amqp.silent():
            began = asyncio.get_running_loop().time()

            async def later(seconds: float) -> None:
                await asyncio.sleep(seconds)
                await publish(through, world, b"maybe")

            results = await asyncio.gather(
                *(later(number * 0.2) for number in range(6)), return_exceptions=True
            )
        assert [type(one) for one in results] == [BrokerUnavailable] * 6, results
        assert asyncio.get_running_loop().time() - began < 6

        await publish(through, world, b"and good again")
        await through.aclose()
        assert amqp.connections == 0
    bodies = {one.body for one in await world.amqp.drain(world.topology.queue)}
    assert {b"the queue is there", b"the line is good", b"and good again"} <= bodies


async def test_many_publishes_on_a_bad_line_end_with_a_clear_yes_or_no(
    world: World, publisher: Publisher
) -> None:
    async with Proxy(world.amqp.url) as amqp:
        through = Publisher(world.changed(amqp_url=amqp.url, broker_timeout=2.0))
        confirmed: set[bytes] = set()

        async def one(number: int) -> None:
            body = b"%d" % number
            while True:
                try:
                    await publish(through, world, body)
                except BrokerUnavailable:
                    await asyncio.sleep(0.01)
                    continue
                confirmed.add(body)
                return

        async def cut() -> None:
            for _ in range(10):
                await asyncio.sleep(0.05)
                amqp.cut()

        await asyncio.gather(cut(), *(one(number) for number in range(200)))
        await through.aclose()
        await eventually(lambda: amqp.connections == 0, what="the last connection's end")
    arrived = {one.body for one in await world.amqp.drain(world.topology.queue)}
    assert arrived >= confirmed == {b"%d" % number for number in range(200)}
    del publisher
