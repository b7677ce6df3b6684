"""The connection to PostgreSQL: a pool, deadlines on everything, one error for "not now".

Knows nothing of orders. SQL lives in `storage/sql/*.sql`, one statement a file.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_before_delay,
    stop_never,
    wait_random_exponential,
)

from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tenacity import RetryCallState

    from storage.settings import StorageSettings

    Connection = asyncpg.Connection[asyncpg.Record]
    PooledConnection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

# Everything that says "the database can't do it now" rather than "the statement is wrong".
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,  # pool closing, connection lost in mid-operation
    asyncpg.InternalClientError,  # the protocol broke off in mid-message
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.OperatorInterventionError,  # shutting down, crashed, starting up, cancelled
    asyncpg.TransactionRollbackError,  # deadlock, serialisation: the statement may be repeated
    asyncpg.ReadOnlySQLTransactionError,  # failed over: we still talk to the standby
    asyncpg.PostgresSystemError,  # an I/O error of the server
    asyncpg.InternalServerError,
)

_SESSION = {
    "application_name": "trade-worker",
    "synchronous_commit": "on",  # an intent that can vanish is no intent
    "jit": "off",  # our statements are short; compiling them costs more than running them
    "timezone": "UTC",
}


@cache
def statement(name: str) -> str:
    """Read `storage/sql/<name>.sql`."""
    return resources.files("storage").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


class Database:
    """A pool of connections in which every call ends within `database_timeout`."""

    def __init__(self, pool: Pool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Run one statement; raises `LedgerUnavailable` if the database can't now."""
        async with self.connection() as connection:
            return await connection.fetch(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        """Run one statement and return its command tag."""
        async with self.connection() as connection:
            return await connection.execute(query, *args)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PooledConnection]:
        """Lend a connection; whatever fails inside because of the database is one error."""
        try:
            async with self._pool.acquire(timeout=self._timeout) as connection:
                yield connection
        except _UNAVAILABLE as error:
            raise LedgerUnavailable(f"PostgreSQL: {_say(error)}") from error

    async def ping(self) -> None:
        """Raise `LedgerUnavailable` unless the database answers and can be written to."""
        rows = await self.fetch("SELECT pg_is_in_recovery()")
        if rows[0][0]:
            raise LedgerUnavailable("PostgreSQL is a standby: it can't be written to")

    async def aclose(self) -> None:
        """Close the pool, politely for one time-out, then at once."""
        try:
            await asyncio.wait_for(self._pool.close(), self._timeout)
        except (TimeoutError, *_UNAVAILABLE):
            self._pool.terminate()


async def connect(
    settings: StorageSettings,
    *,
    give_up_after: float | None = None,
    on_retry: Callable[[str], None] | None = None,
) -> Database:
    """Open the pool, trying again with jittered back-off until the database is there.

    Args:
        settings: where the database is.
        give_up_after: seconds after which `LedgerUnavailable` is raised; None never gives up.
        on_retry: told the error before each new try.
    """

    def tell(state: RetryCallState) -> None:
        if on_retry is not None and state.outcome is not None:
            on_retry(_say(state.outcome.exception()))

    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(_UNAVAILABLE),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_never if give_up_after is None else stop_before_delay(give_up_after),
            before_sleep=tell,
            reraise=True,
        ):
            with attempt:
                return Database(await _pool(settings), settings.database_timeout)
    except _UNAVAILABLE as error:
        raise LedgerUnavailable(f"PostgreSQL: {_say(error)}") from error
    raise AssertionError("unreachable: the retry loop returns or raises")


async def _pool(settings: StorageSettings) -> Pool:
    return await asyncpg.create_pool(
        dsn=str(settings.database_url),
        min_size=1,
        max_size=settings.database_pool_size,
        timeout=settings.database_timeout,
        command_timeout=settings.database_timeout,
        server_settings=_SESSION,
    )


def _say(error: BaseException | None) -> str:
    """Describe a database error in one line that never holds a password."""
    if error is None:
        return "no error"
    text = str(error).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
