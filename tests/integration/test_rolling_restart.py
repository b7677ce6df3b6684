"""An upgrade as operators do it: one replica after the other is replaced while orders flow."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from providers.sandbox.faults import FaultKind
from tests.support.messages import trade
from tests.support.waiting import eventually
from tests.support.world import PATIENT_LADDER

if TYPE_CHECKING:
    from tests.support.worker import WorkerProcess
    from tests.support.world import World

ORDERS = 1_000
TRADES = {
    "BTCUSDT": "0.005", "ETHUSDT": "0.1", "SOLUSDT": "1", "XRPUSDT": "50", "ADAUSDT": "100",
    "LINKUSDT": "3", "LTCUSDT": "1", "AVAXUSDT": "3", "DOTUSDT": "10", "BNBUSDT": "0.1",
}  # fmt: skip


@pytest.mark.timeout(240)
async def test_replicas_are_replaced_one_by_one_while_1000_orders_flow(world: World) -> None:
    draw = itertools.cycle(TRADES.items())
    messages = [trade(symbol=symbol, quantity=quantity) for symbol, quantity in
                itertools.islice(draw, ORDERS)]  # fmt: skip
    ids = [str(one["requestId"]) for one in messages]
    # Some forty a second in each lane, so that none of the parts is over before it is to be struck.
    world.fault(FaultKind.LATENCY, endpoint="order/create", ms=25)
    settings = {"retry_delays": PATIENT_LADDER, "claim_lease": 5.0}
    running = [world.launch(**settings) for _ in range(3)]
    await asyncio.gather(*(one.consuming() for one in running))

    ended: list[WorkerProcess] = []
    for place in range(3):
        begin = place * ORDERS // 4
        await world.publish(*messages[begin : begin + ORDERS // 4])
        await _until_placed(world, begin + 60)
        old = running[place]
        assert len(world.truth) < begin + ORDERS // 4, "all was over before it was to stop"
        assert await old.stop() == 0
        ended.append(old)
        running[place] = world.launch(**settings)
        await running[place].consuming()
    await world.publish(*messages[3 * ORDERS // 4 :])

    await world.reached(ids, "FILLED", within=90)
    assert len(world.truth) == ORDERS
    world.assert_none_doubled()
    await world.empty()
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0
    for worker in ended:
        assert worker.events("worker stopped")
        assert not worker.events("drain timed out; the broker redelivers what is left")
    assert [await one.stop() for one in running] == [0, 0, 0]
    held = await world.database.fetch("SELECT * FROM lanes WHERE owner IS NOT NULL")
    assert not held, f"lanes still held by workers that have stopped: {held}"
    assert not await world.database.fetch("SELECT * FROM workers")


async def _until_placed(world: World, count: int) -> None:
    await eventually(lambda: len(world.truth) >= count, within=60, what=f"{count} orders")
