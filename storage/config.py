"""The config store: keys and values that can be changed while messages flow, and their history.

Knows nothing of what a key means; what is in here has been checked by
`consumer.controls.registry`, and written by `storage.config_writing`. Workers follow it through
`storage.config_feed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import orjson

from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from storage.postgres import Database

CHANNEL = "trade_config"  # what the triggers notify; the payload says nothing
LONGEST_VALUE = 20_000  # characters; the table takes no longer one
MOST_KEYS = 5000


@dataclass(frozen=True, slots=True)
class Move:
    """The last time a key went from one value to another; `new` is None if it was removed."""

    key: str
    old: str
    new: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """The whole config as of one instant. `version` grows with every change.

    `at` is that instant by the database's clock, or None where there is none.
    """

    version: int
    values: Mapping[str, str]
    moves: Sequence[Move] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """One key as it stands."""

    key: str
    value: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """One line of the history: `old` is None for a new key, `new` for one that was removed."""

    id: int
    key: str
    old: str | None
    new: str | None
    who: str
    why: str | None
    at: datetime


class _Fetches(Protocol):
    """A pool or a connection."""

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]: ...


async def read_all(source: _Fetches, moves_of: str) -> Stored:
    """Read everything in one statement.

    Args:
        source: a database or a connection.
        moves_of: beginning of the keys whose moves are wanted.
    """
    (row,) = await source.fetch(
        statement("read_config"), moves_of, LONGEST_VALUE + 1, MOST_KEYS + 1
    )
    moves = (
        Move(key, old, new, datetime.fromisoformat(at))
        for key, old, new, at in orjson.loads(row["moves"])
    )
    return Stored(row["version"], orjson.loads(row["values"]), tuple(moves), row["at"])


async def read_version(source: _Fetches) -> tuple[int, datetime]:
    """Read the version alone, the least that shows whether something changed, and the time."""
    (row,) = await source.fetch(
        "SELECT coalesce((SELECT version FROM config_version), 0) AS version, "
        "clock_timestamp() AS at"
    )
    return row["version"], row["at"]


async def list_config(database: Database) -> list[ConfigRow]:
    """List every key that is set, by name."""
    rows = await database.fetch(
        "SELECT key, value, updated_at, updated_by FROM config ORDER BY key"
    )
    return [ConfigRow(*row.values()) for row in rows]


async def history(
    database: Database, *, key: str | None = None, after: int = 0, limit: int = 50
) -> list[ConfigChange]:
    """List changes, newest first; of one key, or after one id."""
    rows = await database.fetch(
        "SELECT id, key, old, new, who, why, at FROM config_history "
        "WHERE ($1::text IS NULL OR key = $1) AND id > $2 ORDER BY id DESC LIMIT $3",
        key,
        after,
        limit,
    )
    return [ConfigChange(*row.values()) for row in rows]
