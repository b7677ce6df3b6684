"""Changing the config, also while somebody has it locked.

Every change locks one row, so that versions grow in the order of the commits. A transaction that
somebody left open with a change in it therefore holds up everybody else; what is urgent ends it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from storage.errors import ConfigLocked, LedgerUnavailable
from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from typing import TypeVar

    from storage.postgres import Database, PooledConnection

    T = TypeVar("T")

_log = structlog.get_logger(__name__)
_PATIENCE = 0.2  # seconds that a change takes at most if nobody is in its way


async def change(
    database: Database,
    changes: Mapping[str, str | None],
    *,
    who: str,
    why: str | None = None,
    urgent: bool = False,
) -> list[str]:
    """Set keys, or remove those whose value is None, in one transaction.

    Args:
        database: where.
        changes: new values by key.
        who: changes them.
        why: for the history.
        urgent: end the sessions that keep the config locked.

    Returns:
        The keys that are different now, sorted.

    Raises:
        ConfigLocked: somebody keeps the config locked; says who.
    """

    async def put(connection: PooledConnection) -> list[str]:
        return await _put(connection, changes, who, why)

    return await _written(database, put, urgent=urgent)


async def change_from(
    database: Database,
    expected: Collection[str | None],
    key: str,
    value: str,
    *,
    who: str,
    why: str | None = None,
) -> bool:
    """Set a key if it has one of the expected values (None: is not set); says whether it had.

    Urgent, as for `change`.
    """

    async def put(connection: PooledConnection) -> bool:
        # What every change locks, so that nobody else changes the key in between.
        await connection.execute("SELECT FROM config_version FOR UPDATE")
        now = await connection.fetchval("SELECT value FROM config WHERE key = $1", key)
        if now not in expected:
            return False
        await _put(connection, {key: value}, who, why)
        return True

    return await _written(database, put, urgent=True)


async def _written(
    database: Database, put: Callable[[PooledConnection], Awaitable[T]], *, urgent: bool
) -> T:
    """Write in one transaction, with an eye on who is in the way."""
    found: list[str] = []

    async def write(session: asyncio.Future[int]) -> T:
        async with database.connection() as connection, connection.transaction():
            session.set_result(connection.get_server_pid())
            return await put(connection)

    session: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    writing = asyncio.create_task(write(session))
    try:
        while not (await asyncio.wait({writing}, timeout=_PATIENCE))[0]:
            if session.done():
                found = await _in_the_way(database, session.result(), end=urgent) or found
        return writing.result()
    except LedgerUnavailable as error:
        if not found:
            raise
        raise ConfigLocked(f"nothing was changed: the config is locked by {found[0]}") from error
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _in_the_way(database: Database, session: int, *, end: bool) -> list[str]:
    """Say who keeps a session waiting; and end them, where we may."""
    found = []
    for row in await database.fetch(statement("config_blockers"), session, end):
        since = f" since {row['xact_start']:%H:%M:%S} UTC" if row["xact_start"] else ""
        who = f"{row['usename']} ({row['program']}, {row['state']}{since}), pid {row['pid']}"
        if row["ended"]:
            _log.warning("ended a session that kept the config locked", session=who)
        found.append(f"{who}; SELECT pg_terminate_backend({row['pid']}) ends that session")
    return found


async def _put(
    connection: PooledConnection, changes: Mapping[str, str | None], who: str, why: str | None
) -> list[str]:
    removed = sorted(key for key, value in changes.items() if value is None)
    written = sorted((key, value) for key, value in changes.items() if value is not None)
    await connection.execute(
        "SELECT set_config('trade.who', $1, true), set_config('trade.why', $2, true)",
        who,
        why or "",
    )
    done: list[str] = []
    if removed:
        rows = await connection.fetch(
            "DELETE FROM config WHERE key = ANY($1::text[]) RETURNING key", removed
        )
        done += [row["key"] for row in rows]
    if written:
        rows = await connection.fetch(
            "INSERT INTO config AS c (key, value) "
            "SELECT * FROM unnest($1::text[], $2::text[]) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value "
            "WHERE c.value <> excluded.value RETURNING key",
            [key for key, _ in written],
            [value for _, value in written],
        )
        done += [row["key"] for row in rows]
    return sorted(done)
