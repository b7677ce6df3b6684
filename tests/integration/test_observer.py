"""The watchdog and the gauges, on a real broker and a real ledger."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consumer.assembly import _end
from consumer.controls.changing import change
from consumer.controls.live import LiveConfig
from consumer.controls.registry import Registry
from consumer.gate import LedgerGate
from consumer.queue.publisher import Publisher
from consumer.watching import metrics
from consumer.watching.limited import WatchedLimiter
from consumer.watching.observer import Circuits, Observer
from consumer.watching.vitals import Vitals
from providers.clock import SystemClock
from providers.limits.limiter import OpenLimiter
from providers.registry import load_providers
from tests.support.messages import trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.world import World


def value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"{metrics.PREFIX}_{name}", labels)


def live() -> LiveConfig:
    return LiveConfig(Registry(load_providers()), 5.0, SystemClock())


def circuits(world: World, config: LiveConfig) -> Circuits:
    clock = SystemClock()
    limiter = WatchedLimiter(OpenLimiter(clock), clock)
    return Circuits(LedgerGate(world.database.ping), config, limiter)


async def test_it_tells_how_busy_the_event_loop_is(world: World) -> None:
    settings = world.changed(observe_interval=0.1)
    vitals = Vitals(most_in_flight=40)
    observer = Observer(
        vitals, settings, world.topology, world.database, circuits(world, live()),
        SystemClock(), Publisher(settings),
    )  # fmt: skip

    async def toil() -> None:
        while True:
            sum(range(50_000))
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(observer.run()), asyncio.create_task(toil())]
    try:
        await eventually(lambda: vitals.busy > 0.4, what="busy")
        assert vitals.left_for.total_seconds() > 0
        tasks.pop().cancel()
        await eventually(lambda: vitals.busy < 0.4, what="at leisure")
        assert value("event_loop_busy_ratio") == vitals.busy
    finally:
        for task in tasks:
            await _end(task)


async def test_a_consumer_that_is_gone_without_a_word_is_noticed(world: World) -> None:
    """Everything believes that it consumes; the broker delivers nothing."""
    first = await world.start_worker()
    assert await first.stop() == 0
    settings = world.changed(watchdog_silence=1.0, observe_interval=0.1)
    vitals = Vitals(most_in_flight=10, started=True, consuming=True)
    observer = Observer(
        vitals, settings, world.topology, world.database, circuits(world, live()),
        SystemClock(), Publisher(settings),
    )  # fmt: skip
    running = asyncio.create_task(observer.run())
    try:
        await eventually(lambda: value("live") == 1.0, what="a first look")
        await world.publish(trade())
        await eventually(lambda: observer.faults, what="the watchdog's word")

        assert "1 messages wait in the queue" in observer.faults[0]
        await eventually(lambda: value("live") == 0.0, what="the gauge")
        assert value("queue_messages", queue=world.topology.queue) == 1.0

        vitals.took(SystemClock().monotonic())
        assert observer.faults == ()
    finally:
        await _end(running)


async def test_gauges_count_what_is_open(world: World) -> None:
    await world.database.execute(
        """
        INSERT INTO orders (request_id, client_order_id, fingerprint, payload, exchange, account,
            symbol, action, quantity, received_at, state, intended_at)
        SELECT s || n, s || n, '', '{}', 'bybit', 'default', 'BTCUSDT', 'LONG', 1, now(), s,
            now() - interval '90 s'
        FROM unnest(ARRAY['SENDING', 'UNKNOWN', 'ACCEPTED', 'QUARANTINED', 'FILLED']) AS s,
            generate_series(1, 2) AS n
        """
    )
    await world.database.execute(
        "INSERT INTO rate_cooldowns (scope, until, since, why) "
        "VALUES ('binance@fapi.binance.com ip:here', now() + interval '1 h', now(), 'banned')"
    )
    config = live()
    halts: dict[str, str | None] = {
        "trade:kill_switch": "on", "trade:kill_switch:mexc": "reduce_only"
    }  # fmt: skip
    await change(world.database, config.registry, halts, who="test")
    await config.refresh(world.database)
    publisher = Publisher(world.settings)
    observer = Observer(
        Vitals(most_in_flight=10), world.changed(observe_interval=0.1), world.topology,
        world.database, circuits(world, config), SystemClock(), publisher,
    )  # fmt: skip
    running = asyncio.create_task(observer.run())
    try:
        await eventually(
            lambda: value("orders_unresolved", exchange="bybit") == 4.0, what="the counts"
        )
        await eventually(
            lambda: value("circuit_open", circuit="binance") == 1.0, what="a look at the controls"
        )
        assert value("orders_quarantined", exchange="bybit") == 2.0
        assert value("orders_open", exchange="bybit") == 2.0
        assert (value("orders_unresolved_age_seconds", exchange="bybit") or 0) >= 90
        assert value("kill_switch", scope="global") == 2.0
        assert value("kill_switch", scope="mexc") == 1.0
        assert value("broker_blocked") == 0.0
        assert value("database_pool_connections", state="used") is not None
    finally:
        await _end(running)
