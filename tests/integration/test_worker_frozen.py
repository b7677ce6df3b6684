"""Workers and lines that freeze for longer than any lease, and wake up; consumers that are gone."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from consumer.execution.resolver import INTERRUPTED
from providers.sandbox.faults import FaultKind
from storage.identity import client_order_id
from storage.orders import get_events
from tests.support.messages import trade
from tests.support.proxy import Proxy
from tests.support.together import Together
from tests.support.waiting import eventually
from tests.support.world import PATIENT_LADDER

if TYPE_CHECKING:
    from tests.conftest import NewWorld
    from tests.support.together import UnderWay
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

together = Together()

TRADES = {
    "BTCUSDT": "0.005", "ETHUSDT": "0.1", "SOLUSDT": "1", "XRPUSDT": "50", "ADAUSDT": "100",
    "LINKUSDT": "3", "LTCUSDT": "1", "AVAXUSDT": "3", "DOTUSDT": "10", "BNBUSDT": "0.1",
}  # fmt: skip
# The broker gives a frozen worker's messages to somebody else after two missed heartbeats.
FREEZING: dict[str, Any] = {
    "retry_delays": PATIENT_LADDER, "broker_heartbeat": 1, "concurrent_batches": 2,
}  # fmt: skip


async def _freeze_and_wake(world: World, seed: int) -> None:
    """Freeze one of two workers in mid-flow until the other has taken everything over."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    messages = [
        trade(symbol=symbol, quantity=quantity)
        for _ in range(3)
        for symbol, quantity in TRADES.items()
    ]
    ids = [str(one["requestId"]) for one in messages]
    world.fault(FaultKind.LATENCY, endpoint="order/create", ms=40, probability=0.5, seed=seed)
    # On a slow line to the ledger a worker spends its time between the steps of an order.
    slow = Proxy(str(world.settings.database_url), delay=draw.uniform(0.005, 0.03))
    async with slow:
        zombie = await world.start_worker(database_url=slow.url)
        publishing = asyncio.create_task(world.publish(*messages))
        await eventually(lambda: len(world.truth) > 0, what="the first order")
        await asyncio.sleep(draw.uniform(0, 0.2))  # not a wait for anything: the moment varies
        zombie.send(signal.SIGSTOP)
        try:
            await publishing
            heir = await world.start_worker()
            await world.reached(ids, "FILLED", "ACCEPTED", within=40)
        finally:
            zombie.send(signal.SIGCONT)
        await zombie.says("broker unreachable, trying again")
        await zombie.consuming(2)
        await world.look_now()
        await world.reached(ids, "FILLED")
        await world.empty()
        assert [*await asyncio.gather(zombie.stop(), heir.stop())] == [0, 0]
    world.assert_none_doubled()
    assert {order.client_order_id for order in world.truth} == {
        client_order_id(one, "default") for one in ids
    }
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0


@together
async def a_worker_that_wakes_up_after_others_took_over_sends_nothing_twice(
    new_world: NewWorld,
) -> None:
    worlds = [await new_world(**FREEZING) for _ in range(3)]

    await asyncio.gather(*(_freeze_and_wake(world, n) for n, world in enumerate(worlds, start=21)))

    codes: set[str | None] = set()
    for world in worlds:
        for row in await world.orders():
            codes |= {event.code for event in await get_events(world.database, row.request_id)}
    assert INTERRUPTED in codes, "no order was frozen in mid-send: the test proves nothing"


@together
async def lines_that_fall_silent_are_noticed_and_nothing_is_lost(new_world: NewWorld) -> None:
    """To the broker, the ledger and the exchange: taken, but never answered."""
    worlds = {
        name: await new_world(**FREEZING, broker_timeout=2.0, database_timeout=1.0)
        for name in ("broker", "ledger", "exchange")
    }

    await asyncio.gather(*(_fall_silent(world, name) for name, world in worlds.items()))


async def _fall_silent(world: World, where: str) -> None:
    messages = [
        trade(symbol=symbol, quantity=quantity)
        for _ in range(4)
        for symbol, quantity in TRADES.items()
    ]
    ids = [one["requestId"] for one in messages]
    urls = {
        "broker": world.amqp.url,
        "ledger": str(world.settings.database_url),
        "exchange": world.sandbox.origin,
    }
    async with AsyncExitStack() as stack:
        proxies = {name: await stack.enter_async_context(Proxy(url)) for name, url in urls.items()}
        running = await world.start_worker(
            amqp_url=proxies["broker"].url,
            database_url=proxies["ledger"].url,
            bybit_base_url=f"{proxies['exchange'].url}/bybit",
        )
        await world.publish(*messages[:10])
        await eventually(lambda: len(world.truth) > 2, what="the first orders")
        with proxies[where].silent():
            await world.publish(*messages[10:])
            match where:
                case "broker":
                    await running.says("broker unreachable, trying again")
                case "ledger":
                    await running.says("ledger unreachable, trading paused")
                case _:
                    await eventually(
                        lambda: any(
                            one.get("reason") == "OUTCOME_UNKNOWN"
                            for one in running.events("settled")
                        ),
                        what="an unknown outcome",
                    )
        await world.reached(ids, "FILLED", "ACCEPTED", within=40)
        await world.look_now()
        await world.reached(ids, "FILLED")
        assert await running.stop() == 0
    world.assert_none_doubled()
    assert len(world.truth) == len(ids)
    await world.empty()
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0


@together
async def a_consumer_that_the_broker_ends_is_made_anew(new_world: NewWorld) -> None:
    """The queue is deleted under it: the connection stays, the channel too, no error is raised."""
    world = await new_world(collect_dead_letters=True, exchange_request_timeout=10.0)
    running = await world.start_worker()
    slow, next_one = trade(), trade(symbol="ETHUSDT", quantity="0.1")
    world.fault(FaultKind.DELAY_REPLY, request_id=slow["requestId"], ms=1500)
    await world.publish(slow)
    await eventually(lambda: world.placed(slow["requestId"]), what="the order at the exchange")

    async with world.amqp.channel() as channel:
        await channel.queue_delete(world.topology.dead_letter_queue)
        await channel.queue_delete(world.topology.queue)

    await running.says("the broker ended our consumer, consuming again")
    await running.consuming(2)
    await world.publish(next_one, b"no trade")
    await world.reached([slow["requestId"], next_one["requestId"]], "FILLED")
    await running.says("dead letters collected")
    (settled,) = [
        one for one in running.events("settled") if one.get("request_id") == slow["requestId"]
    ]
    assert settled["settlement"] == "ack"
    assert await running.stop() == 0


under_way = together.fixture()


@pytest.mark.parametrize("flow", together.names)
async def test_together(under_way: UnderWay, flow: str) -> None:
    await under_way[flow]
