"""Servers that stop, die or freeze under a ledger, a publisher and a worker, and come back.

The servers here are this module's own.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from consumer.errors import BrokerUnavailable
from consumer.queue import broker, declare
from consumer.queue.publisher import Publisher
from providers.sandbox.faults import FaultKind
from storage.errors import LedgerUnavailable
from storage.orders import get_orders
from tests.support import databases
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
        away = datetime.now(UTC)
        before = len(_sent(world))
        await running.says("ledger unreachable, trading paused", within=10)
        # One order of a lane may be between the commit of its intent and the wire; see below.
        most = before + len(SYMBOLS)
        await never(lambda: len(_sent(world)) > most, during=1.5, what="one more placement")
        late = set(_sent(world)[before:])
        assert running.exit_code is None
        # What is published now stays in the queue, where any replica can have it.
        assert await world.amqp.depth(world.topology.queue) > 0

    await running.says("ledger reachable again, trading resumed")
    await publishing
    await world.reached(ids, "FILLED", "ACCEPTED", within=25)
    await world.look_now()
    rows = await world.reached(ids, "FILLED")
    for row in rows:
        if row.client_order_id in late:
            assert row.intended_at is not None
            assert row.intended_at < away, "sent without a durable intent"
    assert len(world.truth) == len(ids)
    world.assert_none_doubled()
    assert {row.sends for row in rows} <= {1, 2}
    assert await running.stop() == 0
    await world.empty()
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0


async def test_a_ledger_that_turned_read_only_pauses_trading_once_until_it_is_writable(
    world: World,
) -> None:
    """As after a failover that left us with the standby, or on a provider's full disk."""
    name = urlsplit(str(world.settings.database_url)).path.removeprefix("/")
    running = await world.start_worker()

    async with databases.connected(world.owner_url) as connection:
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            message = trade()
            await world.publish(message)
            await running.says("ledger unreachable, trading paused")
            await never(lambda: world.truth, during=1.5, what="a placement without a ledger")
            assert len(running.events("ledger unreachable, trading paused")) <= 2
        finally:
            await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    await running.says("ledger reachable again, trading resumed")
    await world.reached([message["requestId"]], "FILLED")
    assert len(world.truth) == 1


_FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION full_disk();
"""


@pytest.mark.parametrize("fault", ["full", "slow"])
async def test_a_ledger_that_is_full_or_slow_pauses_trading_until_it_takes_orders_again(
    world: World, fault: str
) -> None:
    """It can be read all the same; what matters is whether an order could be written."""
    running = await world.start_worker(database_timeout=0.7)
    async with databases.connected(world.owner_url) as connection:
        if fault == "full":
            await connection.execute(_FULL)
        else:
            await connection.execute("BEGIN; LOCK TABLE orders IN SHARE MODE")
        messages = [trade(symbol=symbol, quantity=quantity) for symbol, quantity in
                    (("BTCUSDT", "0.005"), ("ETHUSDT", "0.1"), ("SOLUSDT", "1"))]  # fmt: skip
        await asyncio.gather(*(world.publish(one) for one in messages))
        await running.says("ledger unreachable, trading paused")
        await never(lambda: world.truth, during=2.5, what="a placement without a ledger")
        assert len(running.events("ledger unreachable, trading paused")) == 1
        assert not running.events("ledger reachable again, trading resumed")
        if fault == "full":
            await connection.execute("DROP TRIGGER full_disk ON orders; DROP FUNCTION full_disk")
        else:
            await connection.execute("ROLLBACK")

    await running.says("ledger reachable again, trading resumed")
    await world.reached([one["requestId"] for one in messages], "FILLED", within=30)
    assert len(world.truth) == len(messages)
    assert len(await world.orders()) == len(messages)  # what the probe wrote is not there
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0


async def _publish_slowly(world: World, messages: list[dict[str, object]]) -> None:
    for message in messages:
        await world.publish(message)
        await asyncio.sleep(0.02)  # a producer's pace


def _sent(world: World) -> list[str | None]:
    """The client order ids of all placements that were sent, whatever became of them."""
    seen = world.sandbox.sandbox.truth.recent
    return [one.client_order_id for one in seen if one.endpoint == "order/create"]


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
