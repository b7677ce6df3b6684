"""How a worker starts, and what it says when it can't."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from consumer.queue import broker, declare
from consumer.settings import Settings
from consumer.watching.vitals import STARTING
from storage import migrate
from tests.support import databases
from tests.support.api import free_port, keys
from tests.support.messages import trade
from tests.support.proxy import Proxy
from tests.support.together import Together
from tests.support.worker import WorkerProcess, environment_of

if TYPE_CHECKING:
    from tests.conftest import NewWorld
    from tests.support.together import UnderWay

pytestmark = pytest.mark.asyncio(loop_scope="module")

together = Together()


@together
async def a_queue_that_differs_is_named_and_the_worker_ends(new_world: NewWorld) -> None:
    world = await new_world()
    async with world.amqp.channel() as channel:
        await channel.declare_queue(world.topology.queue, durable=True)

    running = world.launch()

    assert await running.ended(within=60) == 1
    last = running.text.splitlines()[-1]
    assert last.startswith(f"trade-worker: queue '{world.topology.queue}' exists with another 'x-")
    assert "Traceback" not in running.text


@together
async def with_check_only_a_missing_topology_is_refused(new_world: NewWorld) -> None:
    world = await new_world()
    running = world.launch(topology_at_start="check")

    assert await running.ended(within=60) == 1
    assert f"queue '{world.topology.queue}' does not exist" in running.text
    assert not await world.amqp.exists(world.topology.queue)

    async with broker.connection(world.settings, "test") as connection:
        await declare.apply(connection, world.topology)
    await world.start_worker(topology_at_start="check")


@together
async def wrong_settings_are_named_and_nothing_is_tried(new_world: NewWorld) -> None:
    world = await new_world()
    wrong = {
        "RETRY_DELAYS": "30 seconds",
        "MAX_BATCH_SIZE": "0",
        "AMQP_URL": "http://somewhere",
        "BYBIT_BASE_URL": "no url",
    }
    running = WorkerProcess(
        environment_of(world.settings) | wrong, world.folder / "wrong-settings.log", world.folder
    )
    world.workers.append(running)

    assert await running.ended(within=60) == 2
    (line,) = running.text.splitlines()
    assert line.startswith("trade-worker: the settings are wrong: ")
    for name in wrong:
        assert f"{name}: " in line
    assert world.settings.bybit_api_secret is not None
    assert world.settings.bybit_api_secret.get_secret_value() not in line


@together
async def a_secret_file_that_is_missing_is_named(new_world: NewWorld) -> None:
    world = await new_world()
    environ = environment_of(world.settings)
    del environ["BYBIT_API_SECRET"]
    running = WorkerProcess(
        environ | {"BYBIT_API_SECRET_FILE": "/nowhere/secret"},
        world.folder / "missing-secret.log",
        world.folder,
    )
    world.workers.append(running)

    assert await running.ended(within=60) == 2
    assert "BYBIT_API_SECRET_FILE names /nowhere/secret, which can't be read" in running.text


@together
async def a_secret_file_is_as_good_as_the_variable(new_world: NewWorld) -> None:
    world = await new_world()
    environ = environment_of(world.settings)
    secret = world.folder / f"{world.name}.secret"
    secret.write_text(environ.pop("BYBIT_API_SECRET") + "\n", encoding="utf-8")
    running = WorkerProcess(
        environ | {"BYBIT_API_SECRET_FILE": str(secret)},
        world.folder / f"{world.name}-1.log",
        world.folder,
    )
    world.workers.append(running)
    await running.consuming()
    message = trade()

    await world.publish(message)

    await world.reached([message["requestId"]], "FILLED")


@together
async def without_a_schema_it_says_what_to_do_and_with_migrate_it_does_it(
    new_world: NewWorld,
) -> None:
    world = await new_world()
    name = f"{world.name}_empty"
    empty = await databases.create(world.owner_url, name)
    running = world.launch(database_url=empty)
    assert await running.ended(within=60) == 1
    assert "run `trade-worker migrate` first" in running.text

    second = world.launch("--migrate", database_url=empty)

    await second.consuming()
    applied = [one["migration"] for one in second.events("migrated")]
    assert applied == [one.name for one in migrate.known()]
    await second.stop()
    await databases.drop(world.owner_url, name)


@together
async def it_waits_for_a_database_and_a_broker_that_come_later(new_world: NewWorld) -> None:
    world = await new_world()
    port = free_port()
    away = "not connected to RabbitMQ"
    async with Proxy(str(world.settings.database_url)) as database, Proxy(world.amqp.url) as amqp:
        with amqp.refusing():
            with database.refusing():
                running = world.launch(database_url=database.url, amqp_url=amqp.url, **keys(port))
                await running.says("ledger unreachable, waiting", 2)
                no_ledger = [STARTING, "the ledger has not been reached yet"]
                assert await probed(port) == {
                    "health": (200, []), "ready": (503, no_ledger), "started": (503, no_ledger)
                }  # fmt: skip
                assert "trade_worker_live 1.0" in await asked(port, "metrics")
                assert "still starting" in await asked(port, "orders")
            await running.says("broker unreachable, trying again", 2)
            assert await probed(port) == {
                "health": (200, []),
                "ready": (503, [STARTING, away]),
                "started": (503, [STARTING, away]),
            }
        await running.consuming()
        assert await probed(port) == {"health": (200, []), "ready": (200, []), "started": (200, [])}

        message = trade()
        await world.publish(message)
        await world.reached([message["requestId"]], "FILLED")
        await running.stop()


@together
async def it_stops_at_once_while_it_waits(new_world: NewWorld) -> None:
    world = await new_world()
    async with Proxy(str(world.settings.database_url)) as database, Proxy(world.amqp.url) as amqp:
        with database.refusing(), amqp.refusing():
            first = world.launch(database_url=database.url)
            second = world.launch(amqp_url=amqp.url)
            await first.says("ledger unreachable, waiting", 3)
            await second.says("broker unreachable, trying again", 3)

            assert [*await asyncio.gather(first.stop(), second.stop())] == [0, 0]


@together
async def an_exchange_that_is_away_at_the_start_does_not_keep_it_from_starting(
    new_world: NewWorld,
) -> None:
    world = await new_world()
    async with Proxy(world.sandbox.origin) as exchange:
        with exchange.refusing():
            running = await world.start_worker(bybit_base_url=f"{exchange.url}/bybit")
            assert running.events("exchange not ready yet")
            message = trade()
            await world.publish(message)
            await running.says("settled")
        await world.reached([message["requestId"]], "FILLED")
    assert len(world.placed(message["requestId"])) == 1


@together
async def the_worker_sees_the_settings_of_this_test_and_no_others(new_world: NewWorld) -> None:
    """A guard for the tests themselves: what `environment_of` leaves out is the default."""
    world = await new_world()
    environ = environment_of(world.settings)

    assert environ["TRADE_QUEUE"] == world.name
    assert environ["DATABASE_URL"] == str(world.settings.database_url)
    unset = {
        name.upper() for name in Settings.model_fields if getattr(world.settings, name) is None
    }
    assert not unset & set(environ)


async def asked(port: int, path: str) -> str:
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.get(f"http://127.0.0.1:{port}/{path}")).text


async def probed(port: int) -> dict[str, tuple[int, list[str]]]:
    """How a worker answers what Kubernetes asks."""
    async with httpx.AsyncClient(timeout=30) as client:
        answers = {
            path: await client.get(f"http://127.0.0.1:{port}/{path}")
            for path in ("health", "ready", "started")
        }
    return {path: (one.status_code, one.json()["faults"]) for path, one in answers.items()}


under_way = together.fixture()


@pytest.mark.parametrize("flow", together.names)
async def test_together(under_way: UnderWay, flow: str) -> None:
    await under_way[flow]
