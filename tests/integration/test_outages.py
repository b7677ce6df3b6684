"""Servers that stop, die or freeze under a ledger, a publisher and a worker, and come back.

The servers here are this module's own.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from consumer import broker, declare
from consumer.errors import BrokerUnavailable
from consumer.publisher import Publisher
from providers.sandbox.faults import FaultKind
from storage.errors import LedgerUnavailable
from storage.orders import get_orders
from tests.support.breaking import frozen, killed, stopped
from tests.support.ledgers import claimed, open_ledger
from tests.support.messages import trade
from tests.support.waiting import eventually, never
from tests.support.world import PATIENT_LADDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from deploy.local_services import Server
    from storage.ledger import Ledger
    from tests.conftest import NewWorld, Servers
    from tests.support.world import World

    Break = Callable[[Server], AbstractAsyncContextManager[None]]

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
QUANTITIES = ("0.005", "0.1", "1", "50")
DATABASE_TIMEOUT = 1.0


def trades(count: int) -> list[dict[str, object]]:
    return [
        trade(symbol=SYMBOLS[number % 4], quantity=QUANTITIES[number % 4])
        for number in range(count)
    ]


@pytest.fixture
async def world(new_world: NewWorld, breakable: Servers) -> World:
    return await new_world(
        on=breakable, retry_delays=PATIENT_LADDER, database_timeout=DATABASE_TIMEOUT
    )


@pytest.mark.parametrize("broken", [stopped, killed, frozen])
async def test_a_ledger_that_is_away_is_said_in_time_and_comes_back_by_itself(
    world: World, breakable: Servers, broken: Break
) -> None:
    """Everything that was confirmed before is there afterwards."""
    ledger = open_ledger(world.database)
    confirmed: list[str] = []
    writers = [asyncio.create_task(_claim_on(ledger, f"w{n}", confirmed)) for n in range(4)]
    await eventually(lambda: len(confirmed) >= 20, what="some claims")

    async with broken(breakable.services.postgres):
        for writer in writers:
            with pytest.raises(LedgerUnavailable, match=r"^PostgreSQL: "):
                await asyncio.wait_for(writer, 4 * DATABASE_TIMEOUT)
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(LedgerUnavailable):
                await world.database.ping()
            # One time-out for the statement, and one for giving the connection up.
            assert time.monotonic() - began < 2 * DATABASE_TIMEOUT + 0.5

    async def back() -> bool:
        try:
            await world.database.ping()
        except LedgerUnavailable:
            return False
        return True

    await eventually(back, within=10, what="the ledger")
    await claimed(ledger, "afterwards")
    rows = await get_orders(world.database, confirmed)
    assert {row.request_id for row in rows} == set(confirmed)


async def _claim_on(ledger: Ledger, prefix: str, confirmed: list[str]) -> None:
    number = 0
    while True:
        request_id = f"{prefix}-{number}"
        await claimed(ledger, request_id)
        confirmed.append(request_id)
        number += 1


@pytest.mark.parametrize("broken", [stopped, killed, frozen])
async def test_while_the_ledger_is_away_nothing_is_sent_and_then_the_flow_goes_on(
    world: World, breakable: Servers, broken: Break
) -> None:
    messages = trades(60)
    ids = [one["requestId"] for one in messages]
    running = await world.start_worker(concurrent_batches=2)
    publishing = asyncio.create_task(_publish_slowly(world, messages))
    await eventually(lambda: len(world.truth) >= 5, what="the first orders")

    async with broken(breakable.services.postgres):
        await running.says("ledger unreachable, trading paused", within=10)
        sent = _sent(world)
        await never(lambda: _sent(world) > sent, during=1.5, what="a placement without a ledger")
        assert running.exit_code is None
        # What is published now stays in the queue, where any replica can have it.
        assert await world.amqp.depth(world.topology.queue) > 0

    await running.says("ledger reachable again, trading resumed")
    await publishing
    await world.reached(ids, "FILLED", "ACCEPTED", within=25)
    await world.look_now()
    rows = await world.reached(ids, "FILLED")
    assert len(world.truth) == len(ids)
    world.assert_none_doubled()
    assert {row.sends for row in rows} <= {1, 2}
    assert await running.stop() == 0
    await world.empty()
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0


async def _publish_slowly(world: World, messages: list[dict[str, object]]) -> None:
    for message in messages:
        await world.publish(message)
        await asyncio.sleep(0.02)  # a producer's pace


def _sent(world: World) -> int:
    """How many placements were signed and sent, whatever became of them."""
    return sum(one.endpoint == "order/create" for one in world.sandbox.sandbox.truth.recent)


async def test_a_restart_of_the_broker_loses_nothing_and_doubles_nothing(
    world: World, breakable: Servers, new_world: NewWorld
) -> None:
    """A worker in mid-flow, messages on a rung, and a publisher, all through one restart."""
    server = breakable.services.rabbitmq
    resting = await new_world(on=breakable, retry_delays="1s")
    async with broker.connection(resting.settings, "test") as connection:
        await declare.apply(connection, resting.topology)
    on_a_rung = {b"resting %d" % number for number in range(50)}
    for body in on_a_rung:
        await resting.amqp.publish(
            body, resting.topology.queue, exchange=resting.topology.retry_exchange
        )
    messages = trades(60)
    running = await world.start_worker(concurrent_batches=2)
    world.fault(FaultKind.LATENCY, endpoint="order/create", ms=40)
    await world.publish(*messages)
    await eventually(lambda: len(world.truth) >= 5, what="the first orders")
    publisher = Publisher(world.settings)
    await publisher.publish(b"{}", exchange=world.topology.dead_exchange, routing_key="")

    async with stopped(server):
        await running.says("broker unreachable, trying again", 2)
        with pytest.raises(BrokerUnavailable):
            await publisher.publish(b"{}", exchange=world.topology.dead_exchange, routing_key="")

    await running.consuming(2)
    await publisher.publish(b"{}", exchange=world.topology.dead_exchange, routing_key="")
    await publisher.aclose()
    await world.dead_letters(2)
    ids = [one["requestId"] for one in messages]
    await world.reached(ids, "FILLED", within=25)
    assert len(world.truth) == len(ids)
    world.assert_none_doubled()
    back = await resting.amqp.take(resting.topology.queue, len(on_a_rung))
    assert {one.body for one in back} == on_a_rung
    assert {one.routing_key for one in back} == {"retry.1"}
    assert running.exit_code is None
    assert await running.stop() == 0
    await world.empty()
