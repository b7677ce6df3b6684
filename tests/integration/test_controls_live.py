"""Controls turned while messages flow through several workers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from consumer.controls.changing import change
from consumer.controls.registry import Registry
from providers.sandbox.faults import FaultKind
from tests.support.commands import Commands
from tests.support.messages import trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import NewWorld
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
REGISTRY = Registry({"bybit", "binance", "mexc"})
KILL = "trade:kill_switch"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(new_module_world: NewWorld) -> World:
    """Two workers, two exchanges, a ladder that brings an order back soon."""
    world = await new_module_world(retry_delays=",".join(["700ms"] * 10))
    for _ in range(2):
        world.launch(
            binance_base_url=world.sandbox.base_url("binance"),
            binance_api_key=world.sandbox.key("binance"),
            binance_api_secret=world.sandbox.secret("binance"),
        )
    await asyncio.gather(*(one.consuming(within=60) for one in world.workers))
    return world


async def put(world: World, changes: dict[str, str | None]) -> None:
    await change(world.database, REGISTRY, changes, who="test", why="a test")


@contextlib.asynccontextmanager
async def load(world: World, pause: float = 0.01, **fields: Any) -> AsyncIterator[list[str]]:  # noqa: ANN401
    """Publish one order after the other; gives the request ids so far."""
    sent: list[str] = []

    async def publish() -> None:
        while True:
            message = trade(**fields)
            await world.publish(message)
            sent.append(str(message["requestId"]))
            await asyncio.sleep(pause)

    publishing = asyncio.create_task(publish())
    try:
        yield sent
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


async def obeyed(world: World, key: str, new: str | None) -> None:
    """Wait until every worker goes by a value."""

    def told() -> bool:
        lasts = [
            [e for e in one.events("config changed") if e["key"] == key] for one in world.workers
        ]
        return all(last and last[-1].get("new") == new for last in lasts)

    await eventually(told, what=f"{key} = {new} in every worker")


async def test_a_redirect_moves_the_next_order_to_the_other_exchange(shared: World) -> None:
    key = "exchanges:routing:SOLUSDT"
    sol: dict[str, Any] = {"symbol": "SOLUSDT", "quantity": "1", "leverage": 5}
    async with load(shared, **sol) as sent:
        for target in ("binance", "bybit", "binance"):
            await put(shared, {key: target})
            await obeyed(shared, key, target)
            probe = trade(**sol, exchange="bybit")
            await shared.publish(probe)
            (row,) = await shared.reached([probe["requestId"]], "FILLED")
            assert row.exchange == target
        ids = list(sent)
    rows = await shared.reached(ids, "FILLED", within=30)
    assert {row.exchange for row in rows} == {"bybit", "binance"}
    shared.assert_none_doubled()
    await put(shared, {key: None})


async def test_the_kill_switch_stops_every_worker_within_a_second(shared: World) -> None:
    run = Commands(shared.settings)
    async with load(shared) as sent:
        first = len(shared.truth)
        await eventually(lambda: len(shared.truth) > first + 10, what="orders before the switch")
        assert (await run.run("kill-switch", "status")).exit_code == 0
        await run.good("kill-switch", "on", "--why", "a test")
        placed = await _quiet(shared, within=1.0)
        before = len(sent)
        await eventually(lambda: len(sent) > before + 20)
        assert len(shared.truth) == placed, "something was sent after the switch was on"
        assert (await run.run("kill-switch", "status")).exit_code == 1
        await run.good("kill-switch", "off", "--why", "a test")
        await eventually(lambda: len(shared.truth) > placed, what="orders after the switch")
        ids = list(sent)
    rows = await shared.reached(ids, "FILLED", "DENIED", within=30)
    denied = [row for row in rows if row.state == "DENIED"]
    assert len(denied) >= 10  # the last of them were still in the queue when the switch was lifted
    assert {row.code for row in denied} == {"KILL_SWITCH_ACTIVE"}
    assert not any(shared.placed(row.request_id) for row in denied)
    letters = await shared.amqp.take(shared.topology.dead_letter_queue, len(denied))
    assert {str(one.headers["trade-reason"]) for one in letters} == {"KILL_SWITCH_ACTIVE"}
    events = await shared.database.fetch(
        "SELECT detail FROM order_events WHERE after_state = 'DENIED' LIMIT 1"
    )
    assert '"control": "trade:kill_switch"' in events[0]["detail"]


async def _quiet(world: World, *, within: float) -> int:
    """Wait until the exchange has taken nothing for a while that began in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    count, since = len(world.truth), loop.time()
    while loop.time() - since < 0.5:
        await asyncio.sleep(0.01)
        if len(world.truth) != count:
            count, since = len(world.truth), loop.time()
            assert since < end, f"still sending {within} s after the switch"
    return count


async def test_an_order_on_its_rung_stays_unsent_when_the_switch_is_lifted(shared: World) -> None:
    waiting, fresh = (trade(symbol="XRPUSDT", quantity="50", leverage=5) for _ in range(2))
    shared.fault(FaultKind.RATE_LIMIT, request_id=waiting["requestId"], count=1)
    await shared.publish(waiting)
    await shared.reached([waiting["requestId"]], "DEFERRED")

    await put(shared, {f"{KILL}:XRPUSDT": "on"})
    await put(shared, {f"{KILL}:XRPUSDT": None})

    (row,) = await shared.reached([waiting["requestId"]], "DENIED")
    assert row.code == "KILL_SWITCH_ACTIVE"
    assert not shared.placed(waiting["requestId"])
    await shared.publish(fresh)
    await shared.reached([fresh["requestId"]], "FILLED")


async def test_a_value_that_a_hand_spoiled_holds_orders_until_it_is_put_right(
    shared: World,
) -> None:
    eth: dict[str, Any] = {"symbol": "ETHUSDT", "quantity": "0.1", "leverage": 5}
    opened, held = trade(**eth), trade(**eth)
    closing = trade(symbol="ETHUSDT", action="CLOSE_LONG", quantity="0.1", leverage=None)
    await shared.publish(opened)
    await shared.reached([opened["requestId"]], "FILLED")
    key = "trade:max_leverage:ETHUSDT"
    await shared.database.execute("INSERT INTO config (key, value) VALUES ($1, '20x')", key)
    for worker in shared.workers:
        await worker.says("config can't be obeyed, what it is about is held")

    await shared.publish(held, closing)
    (row,) = await shared.reached([held["requestId"]], "DEFERRED")
    assert row.code == "CONFIG_FAULT"
    assert "expected: a whole number from 1 to 125" in str(row.message)
    await shared.reached([closing["requestId"]], "FILLED")  # a limit never holds a close

    await shared.database.execute("UPDATE config SET value = '20' WHERE key = $1", key)
    await shared.reached([held["requestId"]], "FILLED")
    await put(shared, {key: None})
