"""Who is at work: the sign of life of each worker, which its lanes and orders hang on.

A worker that moves its `alive_until` on counts as alive. It also holds a session lock on a
connection of its own, so that the others see at once when it was killed: PostgreSQL gives the lock
up with the connection. Behind a pooler that hands sessions around there is no such lock, and the
time alone decides.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from storage.postgres import alone, statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from storage.postgres import Connection, Database
    from storage.settings import StorageSettings

_LOCK = 29815  # the class of our session locks; see `worker_is_gone` in the migrations


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker that counts as alive; `gated` says which accounts it does not open on, and why."""

    owner: UUID
    started_at: datetime
    alive_until: datetime
    gated: Mapping[str, str]


class Session:
    """A connection that lives as long as its worker does."""

    def __init__(self, connection: Connection, owner: UUID, alive_for: timedelta) -> None:
        self._connection = connection
        self._owner = owner
        self._alive_for = alive_for
        self._locked = False

    async def beat(self, gated: Mapping[str, str]) -> None:
        """Give a sign of life."""
        number = await self._connection.fetchval(
            statement("beat"),
            self._owner,
            self._alive_for,
            self._locked,
            orjson.dumps(dict(gated)).decode(),
        )
        if not self._locked:
            self._locked = await self._connection.fetchval(
                "SELECT pg_try_advisory_lock($1::integer, $2::integer)", _LOCK, number
            )
            if self._locked:
                await self.beat(gated)


@asynccontextmanager
async def session(
    settings: StorageSettings, owner: UUID, alive_for: timedelta, on_loss: Callable[[], None]
) -> AsyncIterator[Session]:
    """Open a worker's session; whatever fails because of the database is `LedgerUnavailable`."""
    async with alone(settings, on_loss) as connection:
        yield Session(connection, owner, alive_for)


async def leave(database: Database, owner: UUID) -> None:
    """Hand over everything at the end of a worker that has finished its work."""
    await database.execute("UPDATE lanes SET owner = NULL WHERE owner = $1", owner)
    await database.execute("DELETE FROM workers WHERE owner = $1", owner)


async def forget_the_gone(database: Database) -> None:
    """Clear away workers that ended long ago without a word, and free what they held."""
    await database.execute(statement("forget_workers"))


async def alive(database: Database) -> Sequence[WorkerRow]:
    """List the workers that count as alive, oldest first."""
    rows = await database.fetch(
        "SELECT owner, started_at, alive_until, gated FROM workers "
        "WHERE NOT worker_is_gone(owner) ORDER BY started_at"
    )
    return [
        WorkerRow(row["owner"], row["started_at"], row["alive_until"], orjson.loads(row["gated"]))
        for row in rows
    ]
