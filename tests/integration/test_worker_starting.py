"""How a worker starts, and what it says when it can't."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consumer import broker, declare
from consumer.settings import Settings
from storage import migrate
from tests.support.messages import trade
from tests.support.proxy import Proxy
from tests.support.worker import WorkerProcess, environment_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import World


async def test_a_queue_that_differs_is_named_and_the_worker_ends(world: World) -> None:
    async with world.amqp.channel() as channel:
        await channel.declare_queue(world.topology.queue, durable=True)

    running = world.launch()

    assert await running.ended(within=20) == 1
    last = running.text.splitlines()[-1]
    assert last.startswith(f"trade-worker: queue '{world.topology.queue}' exists with another 'x-")
    assert "Traceback" not in running.text


async def test_with_check_only_a_missing_topology_is_refused(world: World) -> None:
    running = world.launch(topology_at_start="check")

    assert await running.ended(within=20) == 1
    assert f"queue '{world.topology.queue}' does not exist" in running.text
    assert not await world.amqp.exists(world.topology.queue)

    async with broker.connection(world.settings, "test") as connection:
        await declare.apply(connection, world.topology)
    await world.start_worker(topology_at_start="check")


async def test_wrong_settings_are_named_and_nothing_is_tried(
    world: World, log_folder: Path
) -> None:
    wrong = {
        "RETRY_DELAYS": "30 seconds",
        "MAX_BATCH_SIZE": "0",
        "AMQP_URL": "http://somewhere",
        "BYBIT_BASE_URL": "no url",
    }
    running = WorkerProcess(
        environment_of(world.settings) | wrong, log_folder / "wrong-settings.log", log_folder
    )
    world.workers.append(running)

    assert await running.ended(within=20) == 2
    (line,) = running.text.splitlines()
    assert line.startswith("trade-worker: the settings are wrong: ")
    for name in wrong:
        assert f"{name}: " in line
    assert world.settings.bybit_api_secret is not None
    assert world.settings.bybit_api_secret.get_secret_value() not in line


async def test_a_secret_file_that_is_missing_is_named(world: World, log_folder: Path) -> None:
    environ = environment_of(world.settings)
    del environ["BYBIT_API_SECRET"]
    running = WorkerProcess(
        environ | {"BYBIT_API_SECRET_FILE": "/nowhere/secret"},
        log_folder / "missing-secret.log",
        log_folder,
    )
    world.workers.append(running)

    assert await running.ended(within=20) == 2
    assert "BYBIT_API_SECRET_FILE names /nowhere/secret, which can't be read" in running.text


async def test_a_secret_file_is_as_good_as_the_variable(world: World, log_folder: Path) -> None:
    environ = environment_of(world.settings)
    secret = log_folder / f"{world.name}.secret"
    secret.write_text(environ.pop("BYBIT_API_SECRET") + "\n", encoding="utf-8")
    running = WorkerProcess(
        environ | {"BYBIT_API_SECRET_FILE": str(secret)},
        log_folder / f"{world.name}-1.log",
        log_folder,
    )
    world.workers.append(running)
    await running.consuming()
    message = trade()

    await world.publish(message)

    await world.reached([message["requestId"]], "FILLED")


async def test_without_a_schema_it_says_what_to_do_and_with_migrate_it_does_it(
    world: World, empty_database_url: str
) -> None:
    running = world.launch(database_url=empty_database_url)
    assert await running.ended(within=20) == 1
    assert "run `trade-worker migrate` first" in running.text

    second = world.launch("--migrate", database_url=empty_database_url)

    await second.consuming()
    applied = [one["migration"] for one in second.events("migrated")]
    assert applied == [one.name for one in migrate.known()]


async def test_it_waits_for_a_database_and_a_broker_that_come_later(world: World) -> None:
    async with Proxy(str(world.settings.database_url)) as database, Proxy(world.amqp.url) as amqp:
        with amqp.refusing():
            with database.refusing():
                running = world.launch(database_url=database.url, amqp_url=amqp.url)
                await running.says("ledger unreachable, waiting", 2)
            await running.says("broker unreachable, trying again", 2)
        await running.consuming()

        message = trade()
        await world.publish(message)
        await world.reached([message["requestId"]], "FILLED")
        await running.stop()


async def test_it_stops_at_once_while_it_waits(world: World) -> None:
    async with Proxy(str(world.settings.database_url)) as database, Proxy(world.amqp.url) as amqp:
        with database.refusing(), amqp.refusing():
            first = world.launch(database_url=database.url)
            second = world.launch(amqp_url=amqp.url)
            await first.says("ledger unreachable, waiting", 3)
            await second.says("broker unreachable, trying again", 3)

            assert [*await asyncio.gather(first.stop(), second.stop())] == [0, 0]


async def test_an_exchange_that_is_away_at_the_start_does_not_keep_it_from_starting(
    world: World,
) -> None:
    async with Proxy(world.sandbox.origin) as exchange:
        with exchange.refusing():
            running = await world.start_worker(bybit_base_url=f"{exchange.url}/bybit")
            assert running.events("exchange not ready yet")
            message = trade()
            await world.publish(message)
            await running.says("settled")
        await world.reached([message["requestId"]], "FILLED")
    assert len(world.placed(message["requestId"])) == 1


async def test_the_worker_sees_the_settings_of_this_test_and_no_others(world: World) -> None:
    """A guard for the tests themselves: what `environment_of` leaves out is the default."""
    environ = environment_of(world.settings)

    assert environ["TRADE_QUEUE"] == world.name
    assert environ["DATABASE_URL"] == str(world.settings.database_url)
    unset = {
        name.upper() for name in Settings.model_fields if getattr(world.settings, name) is None
    }
    assert not unset & set(environ)
