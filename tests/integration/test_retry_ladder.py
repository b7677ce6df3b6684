"""The ladder of a real broker: a nack climbs one rung, waits its time, and comes back."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from consumer.queue import broker, declare
from consumer.queue.topology import UNANSWERED_MOST, Topology
from consumer.settings import parse_delay
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

    from tests.support.world import World

MESSAGES = 25


async def test_every_nack_climbs_one_rung_waits_and_ends_among_the_dead_letters(
    world: World,
) -> None:
    topology = Topology.of(world.changed(retry_delays="200ms,400ms,300ms"))
    bodies = {b"%d " % number + os.urandom(200) for number in range(MESSAGES)}
    seen: defaultdict[bytes, list[tuple[str, float]]] = defaultdict(list)  # key, when it came
    nacked: defaultdict[bytes, list[float]] = defaultdict(list)

    async def refuse(message: AbstractIncomingMessage) -> None:
        seen[message.body].append((message.routing_key or "", time.monotonic()))
        nacked[message.body].append(time.monotonic())
        await message.nack(requeue=False)

    async with broker.connection(world.settings, "test") as connection:
        await declare.apply(connection, topology)
        channel = await connection.channel()
        queue = await channel.get_queue(topology.queue, ensure=False)
        await queue.consume(refuse)
        await asyncio.gather(
            *(
                world.amqp.publish(body, topology.queue, exchange=topology.exchange,
                                   message_id="m", headers={"producer": "p"})
                for body in bodies
            )
        )  # fmt: skip
        dead = await world.amqp.take(topology.dead_letter_queue, MESSAGES, within=10)

    assert {one.body for one in dead} == bodies
    assert set(seen) == bodies
    delays = [parse_delay(delay).total_seconds() for delay in topology.delays]
    for body in bodies:
        keys = [key for key, _ in seen[body]]
        assert keys == [topology.queue, "retry.1", "retry.2", "retry.3"]
        assert [topology.attempt(key) for key in keys] == [1, 2, 3, 4]
        assert [topology.is_last(topology.attempt(key)) for key in keys] == [False] * 3 + [True]
        for delay, left, (_, back) in zip(delays, nacked[body], seen[body][1:], strict=False):
            waited = back - left
            assert delay <= waited < delay + 2, f"{waited:.3f} s on a rung of {delay} s"
    for letter in dead:
        assert letter.persistent
        assert letter.message_id == "m"
        assert letter.headers["producer"] == "p"
    for name in (topology.queue, *topology.rung_queues):
        assert await world.amqp.depth(name) == 0


async def test_a_message_published_straight_to_the_queue_takes_the_same_way(world: World) -> None:
    topology = Topology.of(world.changed(retry_delays="200ms"))
    keys = []

    async def refuse(message: AbstractIncomingMessage) -> None:
        keys.append(message.routing_key)
        await message.nack(requeue=False)

    async with broker.connection(world.settings, "test") as connection:
        await declare.apply(connection, topology)
        channel = await connection.channel()
        queue = await channel.get_queue(topology.queue, ensure=False)
        await queue.consume(refuse)
        await world.amqp.publish(b"x", topology.queue)  # the default exchange
        await world.amqp.take(topology.dead_letter_queue)

    assert keys == [topology.queue, "retry.1"]


async def test_a_message_whose_consumers_die_is_not_lost_and_comes_back_by_a_refusal(
    world: World,
) -> None:
    """What goes up a rung without a refusal is dropped by the broker when it comes back.

    It takes the way main queue, rung, main queue for an automatic cycle then. So the broker's own
    delivery limit must never be met, and a refusal must take a message out of the circle.
    """
    topology = Topology.of(world.changed(retry_delays="200ms,200ms"))
    async with broker.connection(world.settings, "test") as connection:
        await declare.apply(connection, topology)
        await world.amqp.publish(b"deadly", topology.queue, exchange=topology.exchange)
        for key in (topology.queue, "retry.1"):
            for death in range(2 * UNANSWERED_MOST):
                message = await _taken(connection, topology)
                assert message.routing_key == key
                assert (message.headers or {})["x-delivery-count"] == death
                await message.channel.close()  # with the message unanswered
            last = await _taken(connection, topology)
            await last.nack(requeue=False)
        final = await _taken(connection, topology)
        assert (final.body, final.routing_key) == (b"deadly", "retry.2")
        await final.ack()


async def _taken(connection: AbstractConnection, topology: Topology) -> AbstractIncomingMessage:
    """Take the message on a channel of its own, as soon as it is there."""

    async def take() -> AbstractIncomingMessage | None:
        channel = await connection.channel()
        queue = await channel.get_queue(topology.queue, ensure=False)
        message = await queue.get(fail=False)
        if message is None:
            await channel.close()
        return message

    return await eventually(take, within=5, what="the message")
