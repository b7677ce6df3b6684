"""SIGKILL in the middle of a flow, again and again: none lost, none doubled."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from providers.sandbox.faults import FaultKind
from storage.identity import client_order_id
from storage.orders import get_events
from storage.states import OrderState
from tests.support.messages import trade
from tests.support.together import Together
from tests.support.waiting import eventually
from tests.support.world import PATIENT_LADDER

if TYPE_CHECKING:
    from providers.sandbox.faults import ActiveRule
    from tests.conftest import NewWorld
    from tests.support.together import UnderWay
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

together = Together()

ORDERS = 60
KILLS = 4
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "LINKUSDT")
QUANTITIES = ("0.005", "0.1", "1", "50", "100", "3")


async def flow(world: World, seed: int) -> None:
    """Let orders flow through workers that are killed at moments drawn from a seed."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    messages = [
        trade(symbol=SYMBOLS[number % 6], quantity=QUANTITIES[number % 6])
        for number in range(ORDERS)
    ]
    # Placements that take a while are still under way when the kill comes, on either side of it.
    slow = world.fault(
        FaultKind.LATENCY, endpoint="order/create", ms=100, probability=0.7, seed=seed
    )
    running = await world.start_worker()
    publishing = asyncio.create_task(world.publish(*messages))
    for _ in range(KILLS):
        # One lane a symbol: at most six are under way, so that enough are left for the last kill.
        await _more(slow, draw.randint(1, 4))
        await asyncio.sleep(draw.uniform(0, 0.05))  # not a wait for anything: the moment varies
        await running.kill()
        running = await world.start_worker()
    await publishing

    ids = [str(one["requestId"]) for one in messages]
    await world.reached(ids, "FILLED", "ACCEPTED", within=40)
    await world.look_now()
    rows = await world.reached(ids, "FILLED")

    world.assert_none_doubled()
    assert {order.client_order_id for order in world.truth} == {
        client_order_id(one, "default") for one in ids
    }
    assert all(row.filled_quantity == row.order_quantity for row in rows)
    await world.empty()
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0
    assert await running.stop() == 0


@together
async def killed_workers_lose_nothing_and_double_nothing(new_world: NewWorld) -> None:
    worlds = [await new_world(retry_delays=PATIENT_LADDER, concurrent_batches=2) for _ in range(3)]

    await asyncio.gather(*(flow(world, seed) for seed, world in enumerate(worlds, start=11)))

    # The kills struck orders in mid-send; otherwise this proves nothing. Who takes one up then,
    # the next worker's reconciler or the delivery that comes again, is a matter of chance.
    interrupted = [
        event
        for world in worlds
        for row in await world.orders()
        for event in await get_events(world.database, row.request_id)
        if event.after is OrderState.UNKNOWN and event.code == "INTERRUPTED"
    ]
    assert interrupted


@together
async def a_kill_at_each_point_of_a_send_places_the_order_once(new_world: NewWorld) -> None:
    """The request is lost with the worker, or lands after its death, or had landed before."""
    world = await new_world()
    messages = {
        "lost": trade(symbol="BTCUSDT"),
        "lands later": trade(symbol="ETHUSDT", quantity="0.1"),
        "has landed": trade(symbol="SOLUSDT", quantity="1"),
        "waits behind one": trade(symbol="SOLUSDT", quantity="2"),
    }
    create = {"endpoint": "order/create", "count": 1}
    rules = [
        world.fault(FaultKind.LATENCY, request_id=messages["lost"]["requestId"], ms=3000, **create),
        world.fault(FaultKind.DROP_BEFORE, request_id=messages["lost"]["requestId"], **create),
        world.fault(FaultKind.DELAY_PROCESSING, request_id=messages["lands later"]["requestId"],
                    ms=1500, **create),
        world.fault(FaultKind.DELAY_REPLY, request_id=messages["has landed"]["requestId"],
                    ms=3000, **create),
    ]  # fmt: skip
    running = await world.start_worker(retry_delays=PATIENT_LADDER)
    await world.publish(*messages.values())
    await eventually(lambda: all(rule.injected for rule in rules), what="all three requests")
    await running.kill()
    assert {row.state for row in await world.orders()} <= {
        OrderState.SENDING,
        OrderState.RECEIVED,
    }

    await world.start_worker(retry_delays=PATIENT_LADDER)

    rows = await world.reached([one["requestId"] for one in messages.values()], "FILLED", within=25)
    assert [row.sends for row in rows] == [2, 1, 1, 1]
    for name, message in messages.items():
        assert len(world.placed(message["requestId"])) == 1, name
    world.assert_none_doubled()


async def _more(rule: ActiveRule, count: int) -> None:
    """Wait until so many more requests were struck by a fault."""
    goal = rule.injected + count
    await eventually(lambda: rule.injected >= goal, within=20, what="some more slow placements")


under_way = together.fixture()


@pytest.mark.parametrize("flow", together.names)
async def test_together(under_way: UnderWay, flow: str) -> None:
    await under_way[flow]
