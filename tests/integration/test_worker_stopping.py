"""How a worker stops: in order, at once, and never at the cost of an order."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import httpx
import pytest

from providers.sandbox.faults import FaultKind
from storage.states import OrderState
from tests.support.api import free_port, keys
from tests.support.messages import trade
from tests.support.proxy import Proxy
from tests.support.together import Together
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import NewWorld
    from tests.support.together import UnderWay
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

together = Together()

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
QUANTITIES = ("0.005", "0.1", "1", "50")


def trades(count: int) -> list[dict[str, object]]:
    return [
        trade(symbol=SYMBOLS[number % 4], quantity=QUANTITIES[number % 4])
        for number in range(count)
    ]


@together
async def what_is_in_flight_is_finished_and_the_rest_stays_in_the_queue(
    new_world: NewWorld,
) -> None:
    worlds = [await new_world(), await new_world()]
    await asyncio.gather(
        _stopped_in_order(worlds[0], signal.SIGTERM), _stopped_in_order(worlds[1], signal.SIGINT)
    )


async def _stopped_in_order(world: World, number: signal.Signals) -> None:
    messages = trades(40)
    ids = [one["requestId"] for one in messages]
    world.fault(FaultKind.LATENCY, endpoint="order/create", ms=250)
    running = await world.start_worker(concurrent_batches=2)
    await world.publish(*messages)
    await eventually(lambda: len(world.truth) >= 2, what="the first orders at the exchange")

    running.send(number)
    code = await running.ended(within=60)

    assert code == 0
    assert running.events("draining")
    assert running.events()[-1]["event"] == "worker stopped"
    rows = {row.request_id: row for row in await world.orders()}
    placed = len(world.truth)
    assert 4 <= placed < len(ids)  # one a lane at least, but not all
    assert {row.state for row in rows.values()} <= {OrderState.ACCEPTED, OrderState.FILLED}
    assert len(rows) == placed
    assert await world.amqp.depth(world.topology.queue) == len(ids) - placed

    world.sandbox.sandbox.faults.clear()
    await world.look_now()
    await world.start_worker()
    await world.reached(ids, "FILLED")
    assert len(world.truth) == len(ids)
    world.assert_none_doubled()


@together
async def a_second_signal_ends_it_at_once_and_nothing_is_lost(new_world: NewWorld) -> None:
    world = await new_world()
    messages = trades(8)
    world.fault(FaultKind.DELAY_REPLY, endpoint="order/create", ms=3000, count=4)
    port = free_port()
    running = await world.start_worker(exchange_request_timeout=10.0, **keys(port))
    await world.publish(*messages)
    await eventually(lambda: len(world.truth) >= 4, what="orders at the exchange")

    running.send(signal.SIGTERM)
    await running.says("draining")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        ready, alive = await client.get("/ready"), await client.get("/health")
    assert (ready.status_code, ready.json()["faults"]) == (503, ["draining"])
    assert alive.status_code == 200
    assert running.exit_code is None
    began = asyncio.get_running_loop().time()
    running.send(signal.SIGTERM)

    assert await running.ended() == 130
    assert asyncio.get_running_loop().time() - began < 1

    await world.start_worker()
    await world.reached([one["requestId"] for one in messages], "FILLED")
    assert len(world.truth) == len(messages)
    world.assert_none_doubled()


@together
async def a_drain_that_takes_too_long_is_cut_off_and_nothing_is_lost(new_world: NewWorld) -> None:
    world = await new_world()
    messages = trades(4)
    world.fault(FaultKind.DELAY_REPLY, endpoint="order/create", ms=4000, count=4)
    running = await world.start_worker(exchange_request_timeout=10.0, drain_timeout=0.5)
    await world.publish(*messages)
    await eventually(lambda: len(world.truth) >= 4, what="orders at the exchange")

    assert await running.stop() == 0
    assert running.events("drain timed out; the broker redelivers what is left")

    await world.start_worker()
    await world.reached([one["requestId"] for one in messages], "FILLED")
    assert len(world.truth) == len(messages)


@together
async def a_worker_that_is_stopped_while_the_broker_is_away_finishes_its_order_and_ends(
    new_world: NewWorld,
) -> None:
    world = await new_world()
    message = trade()
    world.fault(FaultKind.DELAY_REPLY, endpoint="order/create", ms=1500)
    async with Proxy(world.amqp.url) as amqp:
        running = await world.start_worker(amqp_url=amqp.url, exchange_request_timeout=10.0)
        await world.publish(message)
        await eventually(lambda: world.placed(message["requestId"]), what="the order")
        with amqp.refusing():
            await running.says("broker unreachable, trying again")
            assert await running.stop() == 0
    assert not running.events("drain timed out; the broker redelivers what is left")
    (settled,) = running.events("settled")
    assert (settled["settlement"], settled["state"]) == ("abandon", "ACCEPTED")

    heir = await world.start_worker()
    await heir.says("settled")
    await world.reached([message["requestId"]], "FILLED")
    assert len(world.placed(message["requestId"])) == 1
    await world.empty()


@together
async def an_idle_worker_stops_at_once(new_world: NewWorld) -> None:
    world = await new_world()
    running = await world.start_worker()
    began = asyncio.get_running_loop().time()

    assert await running.stop() == 0

    assert asyncio.get_running_loop().time() - began < world.settings.drain_timeout
    assert not running.events("draining")
    assert await world.amqp.consumers(world.topology.queue) == 0


under_way = together.fixture()


@pytest.mark.parametrize("flow", together.names)
async def test_together(under_way: UnderWay, flow: str) -> None:
    await under_way[flow]
