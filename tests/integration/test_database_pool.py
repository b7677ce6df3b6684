"""Connections that are kept at hand between statements, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from storage import postgres
from storage.errors import LedgerUnavailable
from storage.settings import StorageSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.postgres import Database

SIZE = 5
WHO = "SELECT pg_backend_pid()"


@asynccontextmanager
async def _daemons(url: str) -> AsyncIterator[Database]:
    settings = StorageSettings(
        database_url=url,
        database_pool_size=SIZE,
        database_timeout=5.0,
    )
    database = await postgres.connect(settings, daemon=True)
    try:
        yield database
    finally:
        await database.aclose()


async def _pid(database: Database) -> int:
    return int((await database.fetch(WHO))[0][0])


async def test_statements_one_after_the_other_use_one_connection(database_url: str) -> None:
    async with _daemons(database_url) as database:
        assert len({await _pid(database) for _ in range(10)}) == 1
        assert database.pool_use[0] == 0, "one that is kept at hand is idle"


async def _asked_while_cut(database: Database, pid: int) -> None:
    async with database.connection() as connection:
        assert await connection.fetchval(WHO) == pid
        # By another one, for the first is not at hand now.
        await database.execute("SELECT pg_terminate_backend($1)", pid)
        await connection.fetch("SELECT pg_sleep(5)")


async def test_one_that_was_cut_is_not_used_again(database_url: str) -> None:
    async with _daemons(database_url) as database:
        cut = await _pid(database)
        with pytest.raises(LedgerUnavailable):
            await _asked_while_cut(database, cut)
        for _ in range(SIZE + 1):
            assert await _pid(database) != cut


async def test_one_that_was_cut_while_it_was_at_hand_is_replaced(database_url: str) -> None:
    async with _daemons(database_url) as database, _daemons(database_url) as another:
        cut = await _pid(database)
        async with database.connection() as seen:
            gone = asyncio.Event()
            seen.add_termination_listener(lambda _: gone.set())
        await another.execute("SELECT pg_terminate_backend($1)", cut)
        await asyncio.wait_for(gone.wait(), 5)
        assert await _pid(database) != cut


async def test_whoever_waits_for_a_connection_gets_the_next_that_is_free(database_url: str) -> None:
    async with _daemons(database_url) as database:
        async with AsyncExitStack() as all_of_them:
            for _ in range(SIZE - 1):
                await all_of_them.enter_async_context(database.connection())
            async with database.connection():
                waiting = [asyncio.ensure_future(_pid(database)) for _ in range(3)]
                await asyncio.sleep(0)
                assert database.pool_use == (SIZE, 0)
            assert len(set(await asyncio.wait_for(asyncio.gather(*waiting), 4))) == 1
        assert database.pool_use == (0, SIZE)


async def test_an_open_transaction_is_ended_before_the_next_statement(database_url: str) -> None:
    async with _daemons(database_url) as database:
        async with database.connection() as connection:
            await connection.execute("BEGIN")
            await connection.execute("CREATE TABLE left_open (one integer)")
        rows = await database.fetch("SELECT to_regclass('left_open') AS seen")
        assert rows[0]["seen"] is None


async def test_after_an_error_the_next_statement_works(database_url: str) -> None:
    async with _daemons(database_url) as database:
        for _ in range(SIZE + 1):
            with pytest.raises(asyncpg.UndefinedTableError):
                await database.fetch("SELECT * FROM nothing_of_that_name")
        assert await _pid(database)


async def test_closing_takes_those_at_hand_along(database_url: str) -> None:
    async with _daemons(database_url) as database, _daemons(database_url) as another:
        used = await _pid(database)
        await database.aclose()
        rows = await another.fetch("SELECT FROM pg_stat_activity WHERE pid = $1", used)
        assert rows == []
        with pytest.raises(LedgerUnavailable):
            await database.fetch(WHO)
