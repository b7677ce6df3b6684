"""Connections that are cut in the middle of anything: to the broker, the ledger, the exchange."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

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

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
QUANTITIES = ("0.005", "0.1", "1", "50")


def trades(count: int) -> list[dict[str, object]]:
    return [
        trade(symbol=SYMBOLS[number % 4], quantity=QUANTITIES[number % 4])
        for number in range(count)
    ]


async def _cut_now_and_then(proxy: Proxy, draw: random.Random, times: int, longest: float) -> None:
    """Cut a proxy's connections so often, at moments that are drawn."""
    async with asyncio.timeout(times * longest * 20):
        while proxy.cuts < times:
            await asyncio.sleep(draw.uniform(0, longest))
            proxy.cut()


@together
async def a_worker_that_is_cut_off_while_it_starts_starts_all_the_same(new_world: NewWorld) -> None:
    """Every step of connecting, declaring and consuming is hit by some cut."""
    world = await new_world()
    draw = random.Random(3)  # noqa: S311 - no secret
    async with Proxy(world.amqp.url) as amqp:
        running = world.launch(amqp_url=amqp.url)
        # On a machine that starts a dozen workers at this moment.
        await eventually(lambda: amqp.connections > 0, within=40, what="the first connection")
        await _cut_now_and_then(amqp, draw, 25, 0.12)
        assert running.exit_code is None, running.text[-3000:]

        async def taken_from() -> bool:
            queue = world.topology.queue
            return await world.amqp.exists(queue) and await world.amqp.consumers(queue) > 0

        await eventually(taken_from, within=20, what="a consumer")
        message = trade()
        await world.publish(message)
        await world.reached([message["requestId"]], "FILLED", within=20)
        assert await running.stop() == 0


@together
async def flows_through_bad_lines_lose_nothing_and_double_nothing(new_world: NewWorld) -> None:
    """Four flows at once: three with one bad line each, one in which every line is bad."""
    cases = {"broker": {"broker"}, "ledger": {"ledger"}, "exchange": {"exchange"},
             "all": {"broker", "ledger", "exchange"}}  # fmt: skip
    worlds = {
        name: await new_world(
            retry_delays=PATIENT_LADDER, database_timeout=1.0, concurrent_batches=2
        )
        for name in cases
    }

    results = await asyncio.gather(
        *(_flow(worlds[name], bad) for name, bad in cases.items()), return_exceptions=True
    )

    for name, result in zip(cases, results, strict=True):
        if isinstance(result, BaseException):
            raise AssertionError(f"with cuts to: {name}") from result  # noqa: TRY004 - a flow failed


async def _flow(world: World, bad: set[str]) -> None:
    messages = trades(60)
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

        await asyncio.gather(
            _publish_slowly(world, messages),
            *(_cut_now_and_then(proxies[name], random.Random(5), 8, 0.3) for name in bad),  # noqa: S311 - no secret
        )

        await world.reached(ids, "FILLED", "ACCEPTED", within=40)
        await world.look_now()
        await world.reached(ids, "FILLED")
        assert await running.stop() == 0
    assert len(world.truth) == len(ids)
    world.assert_none_doubled()
    await world.empty()
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0


async def _publish_slowly(world: World, messages: list[dict[str, object]]) -> None:
    for message in messages:
        await world.publish(message)
        await asyncio.sleep(0.02)  # a producer's pace


under_way = together.fixture()


@pytest.mark.parametrize("flow", together.names)
async def test_together(under_way: UnderWay, flow: str) -> None:
    await under_way[flow]
