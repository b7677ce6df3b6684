"""Dead letters on their way from the broker into the database: none lost, none twice."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from consumer.gate import LedgerGate
from consumer.letters.collector import Collector
from consumer.queue import broker, declare
from providers.clock import SystemClock
from storage.dead_letters import LetterFilter, LetterRow, get_body, list_letters
from tests.support.messages import encode, trade
from tests.support.together import Together
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import NewWorld
    from tests.support.together import UnderWay
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
together = Together()


async def applied(world: World) -> None:
    """Give the world's broker its topology."""
    async with broker.connection(world.settings, "test") as connection:
        await declare.apply(connection, world.topology)


@asynccontextmanager
async def collectors(world: World, count: int = 1) -> AsyncIterator[None]:
    """Replicas of which each collects dead letters, as workers do."""
    gate = LedgerGate(world.database.ping)
    tasks = [
        asyncio.create_task(
            Collector(world.settings, world.topology, world.database, gate, SystemClock()).run()
        )
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gate.aclose()


async def kept(world: World, count: int) -> list[LetterRow]:
    """Wait until so many dead letters are kept, and none is left in the queue."""

    async def there() -> list[LetterRow] | None:
        rows = list(await list_letters(world.database, LetterFilter(), 10_000))
        return rows if len(rows) >= count else None

    rows = await eventually(there, within=20, what=f"{count} dead letters")
    assert len(rows) == count
    return rows


@together
async def a_worker_collects_what_it_buries(new_world: NewWorld) -> None:
    world = await new_world(collect_dead_letters=True)
    await world.start_worker()
    bad = trade(exchange="kraken")
    junk = b"\xff" + os.urandom(1000)
    await world.publish(junk, bad)

    rows = {row.reason: row for row in await kept(world, 2)}

    assert await get_body(world.database, rows["NOT_UTF8"].id) == junk
    row = rows["UNKNOWN_EXCHANGE"]
    assert await get_body(world.database, row.id) == encode(bad)
    assert (row.request_id, row.exchange, row.symbol) == (bad["requestId"], "kraken", "BTCUSDT")
    assert row.batch_id == rows["NOT_UTF8"].batch_id
    assert row.batch_order == rows["NOT_UTF8"].batch_order + 1
    assert row.error == "unknown exchange 'kraken'; known here: binance, bybit, mexc"


@together
async def several_replicas_keep_each_once_and_one_that_comes_again_not_at_all(
    new_world: NewWorld,
) -> None:
    world = await new_world()
    await applied(world)
    bodies = [encode(trade()) for _ in range(60)]
    for number, body in enumerate(bodies * 2):  # each twice, as a lost confirm would
        await world.amqp.publish(
            body,
            "",
            exchange=world.topology.dead_exchange,
            message_id="m",
            headers={"trade-reason": "X", "trade-batch-id": "b", "trade-batch-order": number % 60},
        )

    async with collectors(world, 3):
        rows = await kept(world, 60)
        await eventually(lambda: empty(world), what="an empty queue")
    assert {row.batch_order for row in rows} == set(range(60))
    await kept(world, 60)


@together
async def what_the_database_refuses_is_kept_without_its_headers(new_world: NewWorld) -> None:
    world = await new_world()
    await applied(world)
    await world.database.execute(
        "ALTER TABLE dead_letters ADD CONSTRAINT odd CHECK (reason <> 'ODD')"
    )
    for reason in ("FINE", "ODD", "FINE"):
        await world.amqp.publish(
            encode(trade()),
            "",
            exchange=world.topology.dead_exchange,
            message_id=str(uuid4()),
            headers={"trade-reason": reason},
        )

    async with collectors(world):
        rows = await kept(world, 3)
    assert sorted(row.reason for row in rows) == ["FINE", "FINE", "UNREADABLE"]


async def empty(world: World) -> bool:
    """Whether the broker has no dead letter left."""
    return await world.amqp.depth(world.topology.dead_letter_queue) == 0


under_way = together.fixture()


@pytest.mark.parametrize("flow", together.names)
async def test_together(under_way: UnderWay, flow: str) -> None:
    await under_way[flow]
