"""The connection to PostgreSQL: a pool, deadlines on everything, one error for "not now".

Knows nothing of orders. SQL lives in `storage/sql/*.sql`, one statement a file.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack, asynccontextmanager
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
    from collections.abc import AsyncIterator, Callable, Iterable

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
    asyncpg.InsufficientPrivilegeError,  # our role was not granted what a worker needs, yet
    asyncpg.ReadOnlySQLTransactionError,  # failed over: we still talk to the standby
    asyncpg.PostgresSystemError,  # an I/O error of the server
    asyncpg.InternalServerError,
)

_SESSION = {
    "application_name": "trade-worker",
    "synchronous_commit": "on",  # an intent that can vanish is no intent
    "jit": "off",  # our statements are short; compiling them costs more than running them
    # A plan is made once for a connection. One made while a table was small reads all of it, and
    # would go on doing so while it grows, until the table is analysed again.
    "enable_seqscan": "off",
    "timezone": "UTC",
}
_WARM = 4  # connections: what one order's way and the look-ups beside it use at the same time
_IDLE_MOST = 300  # seconds, of a connection or a statement that is not a daemon's


# Read at once: a worker whose files are replaced while it runs must not mix two versions.
_STATEMENTS = {
    entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8")
    for entry in resources.files("storage").joinpath("sql").iterdir()
    if entry.name.endswith(".sql")
}


def statement(name: str) -> str:
    """Give `storage/sql/<name>.sql`."""
    return _STATEMENTS[name]


class Database:
    """A pool of connections in which every call ends within `database_timeout`.

    Args:
        pool: where connections come from.
        timeout: seconds to wait for one.
        spare: keep those that were used at hand. To give one back to the pool and to ask for it
            again takes three turns of the event loop, and a statement of an order two of them.
    """

    def __init__(self, pool: Pool, timeout: float, *, spare: bool = False) -> None:
        self._pool = pool
        self._timeout = timeout
        self._keeps = spare
        self._spare: list[PooledConnection] = []
        self._waiting = 0  # for a connection of the pool

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
            connection = await self._take()
            try:
                yield connection
            except BaseException:
                await self._pool.release(connection)  # which looks at what is left of it
                raise
            await self._put_back(connection)
        except _UNAVAILABLE as error:
            raise LedgerUnavailable(f"PostgreSQL: {_say(error)}") from error

    async def _take(self) -> PooledConnection:
        while self._spare:
            connection = self._spare.pop()
            if _open(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=self._timeout)
        finally:
            self._waiting -= 1

    async def _put_back(self, connection: PooledConnection) -> None:
        wanted = self._keeps and not self._waiting
        if wanted and _open(connection) and not connection.is_in_transaction():
            self._spare.append(connection)
        else:
            await self._pool.release(connection)

    async def warm(self, names: Iterable[str]) -> None:
        """Let every open connection learn the types of some statements, before there is a hurry.

        asyncpg asks for them when a connection first meets a statement, which takes longer than the
        statement. What can't be done now is done then.
        """
        with contextlib.suppress(LedgerUnavailable):
            async with AsyncExitStack() as lent:
                for _ in range(self._pool.get_size()):
                    connection = await lent.enter_async_context(self.connection())
                    for name in names:
                        await connection.prepare(statement(name))

    async def ping(self) -> None:
        """Raise `LedgerUnavailable` unless the database answers and can be written to."""
        rows = await self.fetch(
            "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
        )
        if rows[0][0]:
            raise LedgerUnavailable("PostgreSQL is read-only now, or a standby")

    @property
    def pool_use(self) -> tuple[int, int]:
        """How many connections are in use, and how many are idle."""
        idle = self._pool.get_idle_size() + len(self._spare)
        return self._pool.get_size() - idle, idle

    async def aclose(self) -> None:
        """Close the pool, politely for one time-out, then at once."""
        self._keeps = False
        try:
            while self._spare:
                await self._pool.release(self._spare.pop())
            await asyncio.wait_for(self._pool.close(), self._timeout)
        except (TimeoutError, *_UNAVAILABLE):
            self._pool.terminate()


def _open(connection: PooledConnection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # it was cut, and the pool has taken it back by itself
        return False


@asynccontextmanager
async def open_connection(settings: StorageSettings) -> AsyncIterator[Connection]:
    """Open one connection outside the pool; whatever fails because of the database is one error."""
    try:
        connection = await asyncpg.connect(
            dsn=str(settings.database_url),
            timeout=settings.database_timeout,
            command_timeout=settings.database_timeout,
            server_settings=_SESSION,
        )
        try:
            yield connection
        finally:
            connection.terminate()
    except _UNAVAILABLE as error:
        raise LedgerUnavailable(f"PostgreSQL: {_say(error)}") from error


async def connect(
    settings: StorageSettings,
    *,
    give_up_after: float | None = None,
    on_retry: Callable[[str], None] | None = None,
    daemon: bool = False,
) -> Database:
    """Open the pool, trying again with jittered back-off until the database is there.

    Args:
        settings: where the database is.
        give_up_after: seconds after which `LedgerUnavailable` is raised; None never gives up.
        on_retry: told the error before each new try.
        daemon: the same statements will run over and over: some connections are opened now, none
            is closed for being idle, and a plan is made once. By default asyncpg forgets statements
            after five minutes, and the server plans each of the first five runs anew; either would
            make the first orders after a quiet time slow.
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
                pool = await _pool(settings, daemon=daemon)
                return Database(pool, settings.database_timeout, spare=daemon)
    except _UNAVAILABLE as error:
        raise LedgerUnavailable(f"PostgreSQL: {_say(error)}") from error
    raise AssertionError("unreachable: the retry loop returns or raises")


@asynccontextmanager
async def alone(
    settings: StorageSettings, on_loss: Callable[[], None]
) -> AsyncIterator[Connection]:
    """Lend a connection outside the pool, for what hangs on one session.

    Args:
        settings: where the database is.
        on_loss: told at once when the connection is gone.
    """
    connection: Connection | None = None
    try:
        connection = await asyncpg.connect(
            dsn=str(settings.database_url),
            timeout=settings.database_timeout,
            command_timeout=settings.database_timeout,
            server_settings=_SESSION,
        )
        connection.add_termination_listener(lambda _: on_loss())
        yield connection
    except _UNAVAILABLE as error:
        raise LedgerUnavailable(f"PostgreSQL: {_say(error)}") from error
    finally:
        if connection is not None:
            with contextlib.suppress(*_UNAVAILABLE):
                await connection.close(timeout=1)


async def _pool(settings: StorageSettings, *, daemon: bool) -> Pool:
    return await asyncpg.create_pool(
        dsn=str(settings.database_url),
        min_size=min(_WARM, settings.database_pool_size) if daemon else 1,
        max_size=settings.database_pool_size,
        timeout=settings.database_timeout,
        command_timeout=settings.database_timeout,
        server_settings={**_SESSION, "plan_cache_mode": "force_generic_plan" if daemon else "auto"},
        reset=_as_it_is,
        max_inactive_connection_lifetime=0 if daemon else _IDLE_MOST,
        max_cached_statement_lifetime=0 if daemon else _IDLE_MOST,
    )


async def _as_it_is(_connection: PooledConnection | Connection) -> None:
    """Give a connection back without asking the server to forget its session.

    asyncpg has ended what was open of a transaction by then, and nothing else is ever left behind:
    sessions that hold something (a lock, a LISTEN) are opened outside the pool. To ask would be one
    more way to the server and back, after each statement and before its result is passed on.
    """


def own_fault(error: Exception) -> bool:
    """True if a statement over several rows may have failed because of one of them."""
    return isinstance(
        error,
        asyncpg.DataError
        | asyncpg.IntegrityConstraintViolationError
        | asyncpg.RaiseError
        | asyncpg.UnknownPostgresError,  # the guards' own codes, TW001 and TW002
    )


def _say(error: BaseException | None) -> str:
    """Describe a database error in one line that never holds a password."""
    if error is None:
        return "no error"
    text = str(error).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
