"""Fixtures that give tests real servers, databases and names of their own, and real workers.

Nothing here starts before a test asks for it. Without RabbitMQ and PostgreSQL the tests that need
them fail with the message of `deploy.local_services`, which says what to install.
"""

from __future__ import annotations

import itertools
import os
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import pytest_asyncio

from consumer.settings import Settings
from deploy import local_services
from storage import postgres
from tests.support import databases
from tests.support.databases import Databases
from tests.support.world import Place, World, open_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from deploy.local_services import LocalServices
    from providers.sandbox.limits import LimitsSetting
    from providers.sandbox.server import RunningSandbox
    from storage.postgres import Database
    from tests.support.amqp import Amqp
    from tests.support.worker import WorkerProcess

_TEMPLATE = f"tw_template_{os.getpid()}"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Servers:
    """RabbitMQ and PostgreSQL, and the migrated databases of the latter."""

    services: LocalServices
    migrated: Databases


class NewWorld(Protocol):
    """Makes worlds that end with the test."""

    async def __call__(
        self,
        *,
        limits: LimitsSetting = "off",
        fill_delay: float = 0.0,
        on: Servers | None = None,
        **values: Any,  # noqa: ANN401 - settings of any type
    ) -> World:
        """Make one; see `tests.support.world.open_world`. `on` names other servers."""


class NewDatabase(Protocol):
    """Opens pools that end with the test."""

    async def __call__(self) -> Database:
        """Open one more."""


class StartWorker(Protocol):
    """Starts workers that end with the test."""

    async def __call__(self, **values: Any) -> WorkerProcess:  # noqa: ANN401 - as above
        """Start one, with settings that differ, and wait until it takes messages."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "late: runs after all other tests of the session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the late tests last, in the order they have."""
    items.sort(key=lambda item: item.get_closest_marker("late") is not None)


@pytest.fixture(scope="session")
def services() -> Iterator[LocalServices]:
    """RabbitMQ and PostgreSQL for the whole session; nobody stops them but the end."""
    with local_services.start(f"test-{os.getpid()}", fast=True) as started:
        yield started


@pytest.fixture(scope="session")
def migrated(services: LocalServices) -> Iterator[Databases]:
    """Databases with our schema, lent to one test at a time."""
    with _migrated(services) as lending:
        yield lending


@pytest.fixture(scope="module")
def breakable() -> Iterator[Servers]:
    """Servers of the module's own, for tests that stop, kill or freeze them."""
    # No heed to the environment: a server that it names is not ours to stop.
    name = f"test-{os.getpid()}-broken-{next(_numbers)}"
    with local_services.start(name, environ={}) as started, _migrated(started) as lending:
        yield Servers(started, lending)


@pytest.fixture(scope="session")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the logs of all workers of the session are."""
    return tmp_path_factory.mktemp("workers")


@pytest_asyncio.fixture
async def database_url(migrated: Databases) -> AsyncIterator[str]:
    """A database of this test alone, migrated."""
    async with migrated.lent(_name()) as url:
        yield url


@pytest_asyncio.fixture
async def empty_database_url(services: LocalServices) -> AsyncIterator[str]:
    """A database of this test alone, with nothing in it."""
    name = _name()
    yield await databases.create(services.database_url, name)
    await databases.drop(services.database_url, name)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool of connections to `database_url`."""
    async with _pool(database_url) as opened:
        yield opened


@pytest_asyncio.fixture
async def new_database(database_url: str) -> AsyncIterator[NewDatabase]:
    """Open more pools to `database_url`, as other replicas would."""
    async with AsyncExitStack() as stack:

        async def make() -> Database:
            return await stack.enter_async_context(_pool(database_url))

        yield make


@pytest_asyncio.fixture
async def new_world(request: pytest.FixtureRequest, log_folder: Path) -> AsyncIterator[NewWorld]:
    """Make isolated worlds: `world = await new_world(retry_delays="1s")`."""
    async with AsyncExitStack() as stack:
        yield _maker(stack, request, log_folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def new_module_world(
    request: pytest.FixtureRequest, log_folder: Path
) -> AsyncIterator[NewWorld]:
    """Make worlds that a whole module shares; its tests run in the module's loop."""
    async with AsyncExitStack() as stack:
        yield _maker(stack, request, log_folder)


@pytest_asyncio.fixture
async def world(
    services: LocalServices, database_url: str, log_folder: Path
) -> AsyncIterator[World]:
    """A world with the quick settings, without rate limits, in the database `database_url`."""
    place = Place(
        name=_name(), amqp_url=services.amqp_url, database_url=database_url, folder=log_folder
    )
    async with open_world(place) as opened:
        yield opened


@pytest.fixture
def settings(world: World) -> Settings:
    """Settings that lead to servers, names, database and exchange of this test alone."""
    return world.settings


@pytest.fixture
def sandbox(world: World) -> RunningSandbox:
    """The sandbox exchange of this test, in this process."""
    return world.sandbox


@pytest.fixture
def amqp(world: World) -> Amqp:
    """A raw connection to RabbitMQ."""
    return world.amqp


@pytest.fixture
def worker(world: World) -> StartWorker:
    """Start real workers: `running = await worker(retry_delays="1s")`."""
    return world.start_worker


@contextmanager
def _migrated(services: LocalServices) -> Iterator[Databases]:
    url = services.database_url
    databases.run_apart(databases.create_migrated(url, _TEMPLATE))
    lending = Databases(url, _TEMPLATE)
    yield lending
    databases.run_apart(lending.aclose())
    databases.run_apart(databases.drop(url, _TEMPLATE))


def _name() -> str:
    return f"t{os.getpid()}_{next(_numbers)}"


@asynccontextmanager
async def _pool(url: str) -> AsyncIterator[Database]:
    opened = await postgres.connect(Settings(database_url=url), give_up_after=10)
    try:
        yield opened
    finally:
        await opened.aclose()


def _maker(stack: AsyncExitStack, request: pytest.FixtureRequest, folder: Path) -> NewWorld:
    async def make(
        *,
        limits: LimitsSetting = "off",
        fill_delay: float = 0.0,
        on: Servers | None = None,
        **values: Any,  # noqa: ANN401 - settings of any type
    ) -> World:
        if on is None:
            on = Servers(request.getfixturevalue("services"), request.getfixturevalue("migrated"))
        name = _name()
        place = Place(
            name=name,
            amqp_url=on.services.amqp_url,
            database_url=await stack.enter_async_context(on.migrated.lent(name)),
            folder=folder,
        )
        return await stack.enter_async_context(
            open_world(place, limits=limits, fill_delay=fill_delay, **values)
        )

    return make
