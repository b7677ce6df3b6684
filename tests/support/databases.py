"""A PostgreSQL database for each test, copied from a migrated template.

The tables belong to whoever the server's URL names. What is tested works as `WORKER`, a role that
may do what a worker needs and no more, so that every test shows that this is enough.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from consumer.settings import Settings
from storage import migrate, postgres, roles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from storage.postgres import Database

    Connection = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")
WORKER = "trade_worker"
_PASSWORD = "no-secret"


def named(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def as_worker(url: object) -> str:
    """The URL for the role that workers, commands and the API have; a password in it is kept."""
    parts = urlsplit(str(url))
    place = parts.netloc.rsplit("@", 1)[-1]
    password = parts.password or _PASSWORD
    return urlunsplit(parts._replace(netloc=f"{WORKER}:{password}@{place}"))


async def make_role(database: Database) -> None:
    """Have the role, and give it its rights in this database."""
    await database.execute(
        f"DO $$ BEGIN CREATE ROLE {WORKER} LOGIN PASSWORD '{_PASSWORD}'; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
    await roles.grant(database, WORKER)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Lend a connection that knows nothing of ours."""
    connection = await asyncpg.connect(url, timeout=10, command_timeout=30)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


async def create(server_url: str, name: str, template: str | None = None) -> str:
    """Make a database; returns its URL."""
    copied = f" TEMPLATE {template}" if template is not None else ""
    async with connected(server_url) as connection:
        await connection.execute(f"CREATE DATABASE {name}{copied}")
    return named(server_url, name)


async def drop(server_url: str, name: str) -> None:
    """Remove a database, whoever is connected to it."""
    async with connected(server_url) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def create_migrated(server_url: str, name: str) -> str:
    """Make a database with our schema; returns its URL."""
    url = await create(server_url, name)
    database = await postgres.connect(Settings(database_url=url), give_up_after=10)
    try:
        await migrate.migrate(database)
        await make_role(database)
    finally:
        await database.aclose()
    return url


class Databases:
    """Migrated databases of one server, lent to one test at a time and wiped in between.

    Copying one takes a quarter of a second, wiping one a few milliseconds.
    """

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._free: list[str] = []

    @asynccontextmanager
    async def lent(self, name: str) -> AsyncIterator[str]:
        """Lend a database with nothing in its tables; gives its URL.

        Args:
            name: of the database, if one has to be made.
        """
        url = (
            self._free.pop() if self._free else await create(self._server_url, name, self._template)
        )
        try:
            yield url
        finally:
            if await _wipe(url):
                self._free.append(url)
            else:
                await drop(self._server_url, urlsplit(url).path.removeprefix("/"))

    async def aclose(self) -> None:
        """Remove the databases."""
        for url in self._free:
            await drop(self._server_url, urlsplit(url).path.removeprefix("/"))


async def _wipe(url: str) -> bool:
    """Empty every table but the list of migrations; False if that list is not as it was made."""
    async with connected(url) as connection, connection.transaction():
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        rows = await connection.fetch("SELECT name, checksum FROM schema_migrations ORDER BY name")
        if [tuple(row) for row in rows] != [(one.name, one.checksum) for one in migrate.known()]:
            return False
        tables = [
            row["name"]
            for row in await connection.fetch(
                "SELECT quote_ident(tablename) AS name FROM pg_tables "
                "WHERE schemaname = 'public' AND tablename <> 'schema_migrations'"
            )
        ]
        for table in tables:  # the events refuse to be emptied, and rightly so
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
        for table in tables:
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    return True


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, also where a loop runs already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def waiting_for_locks(database: Database) -> int:
    """How many statements wait for a lock just now."""
    rows = await database.fetch(
        "SELECT FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return len(rows)
