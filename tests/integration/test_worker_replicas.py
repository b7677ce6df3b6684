"""Several workers on one queue: each order once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.messages import trade
from tests.support.world import PATIENT_LADDER

if TYPE_CHECKING:
    from tests.support.world import World

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")
QUANTITIES = ("0.005", "0.1", "1", "50", "100")


@pytest.mark.parametrize("replicas", [2, 3])
async def test_replicas_share_the_work_and_place_each_order_once(
    world: World, replicas: int
) -> None:
    messages = [
        trade(symbol=SYMBOLS[number % 5], quantity=QUANTITIES[number % 5]) for number in range(80)
    ]
    workers = [
        world.launch(concurrent_batches=1, retry_delays=PATIENT_LADDER) for _ in range(replicas)
    ]
    await asyncio.gather(*(one.consuming() for one in workers))

    # Some come twice: the copies mostly land on different workers at the same time.
    await asyncio.gather(*(world.publish(one) for one in (*messages, *messages[::4])))

    ids = [one["requestId"] for one in messages]
    await world.reached(ids, "FILLED", within=20)
    assert len(world.truth) == len(messages)
    world.assert_none_doubled()
    placed = [
        Counter(str(one["outcome"]) for one in worker.events("settled"))["placed"]
        for worker in workers
    ]
    assert all(placed), f"one worker did nothing: {placed}"
    await world.empty()
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0
    assert [*await asyncio.gather(*(one.stop() for one in workers))] == [0] * replicas
