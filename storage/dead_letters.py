"""Dead letters as they are kept: collecting, listing, grouping, dropping.

Replaying them is in `storage.replays`. A dead letter is known by its `identity`, so that collecting
it twice keeps one row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    import asyncpg

    from storage.postgres import Database

_PAGE = 500
# A word with a digit in it is a number or an id; an exchange's code at the head of what it said, as
# in `bybit 110007: …`, is neither.
_CODE_OR_VARIABLE = re.compile(r"((?:^|: )[a-z]+ -?\d+(?=:))|\w*\d[\w-]*(?:[.:+]\w+)*")


class LetterState(StrEnum):
    """What was done about a dead letter."""

    WAITING = "waiting"
    REPLAYING = "replaying"  # taken up, and not known to be in the queue yet
    REPLAYED = "replayed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter as it came out of the queue; the columns' meaning is in the migration."""

    identity: bytes
    body: bytes
    headers: bytes  # JSON
    content_type: str | None
    message_id: str | None
    routing_key: str
    reason: str
    error: str
    error_group: str
    attempts: int
    request_id: str | None
    exchange: str | None
    symbol: str | None
    action: str | None
    replay_of: int | None
    batch_id: str
    batch_at: datetime
    batch_order: int
    failed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRow:
    """A kept dead letter without its body; `size` is the body's, in bytes."""

    id: int
    headers: Mapping[str, object]
    content_type: str | None
    message_id: str | None
    reason: str
    error: str
    attempts: int
    request_id: str | None
    exchange: str | None
    symbol: str | None
    action: str | None
    replay_of: int | None
    batch_id: str
    batch_at: datetime
    batch_order: int
    failed_at: datetime
    collected_at: datetime
    state: LetterState
    changed_at: datetime | None
    changed_by: str | None
    changed_why: str | None
    result: str | None
    replay_message_id: str | None
    size: int

    @classmethod
    def read(cls, record: asyncpg.Record) -> LetterRow:
        """Make a row from a record of `list_dead_letters`."""
        values = {name: record[name] for name in _COLUMNS}
        values["headers"] = orjson.loads(record["headers"])
        values["state"] = LetterState(record["state"])
        return cls(**values)


_COLUMNS = tuple(field.name for field in fields(LetterRow))


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters; None means any."""

    ids: Sequence[int] | None = None
    states: Sequence[LetterState] | None = None
    reason: str | None = None
    exchange: str | None = None
    symbol: str | None = None
    batch_id: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def arguments(self) -> tuple[object, ...]:
        """What `dead_letters_matching` takes."""
        return tuple(getattr(self, field.name) for field in fields(self))

    @property
    def names(self) -> bool:
        """True if it is about certain dead letters, which must be there."""
        return bool(self.ids or self.batch_id or self.request_id)

    @property
    def selects(self) -> bool:
        """True if anything but the state is asked for."""
        return any(
            getattr(self, field.name) is not None
            for field in fields(self)
            if field.name != "states"
        )


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Dead letters with the same reason, and the same error but for numbers and ids."""

    reason: str
    error: str
    count: int
    requests: int
    first_at: datetime
    last_at: datetime
    example: int


@dataclass(frozen=True, slots=True)
class LetterCount:
    """How many dead letters are in a state, for a reason, of an exchange."""

    state: LetterState
    reason: str
    exchange: str
    count: int
    first_at: datetime
    last_at: datetime


def error_group(error: str) -> str:
    """Take the numbers and ids out of an error, so that its like are counted together."""
    return _CODE_OR_VARIABLE.sub(lambda found: found[1] or "#", error)


async def collect(database: Database, letters: Sequence[DeadLetter]) -> None:
    """Keep dead letters; safe to repeat after any error. Durable once it returns."""
    names = [field.name for field in fields(DeadLetter)]
    columns = [[getattr(letter, name) for letter in letters] for name in names]
    columns[names.index("headers")] = [letter.headers.decode() for letter in letters]
    await database.execute(statement("collect_dead_letters"), *columns)


async def list_letters(
    database: Database, wanted: LetterFilter, limit: int, below: LetterRow | None = None
) -> Sequence[LetterRow]:
    """List dead letters, newest first; `below` is the last row of the page before."""
    key = (None, None) if below is None else (below.failed_at, below.id)
    rows = await database.fetch(statement("list_dead_letters"), *wanted.arguments, *key, limit)
    return [LetterRow.read(row) for row in rows]


async def all_letters(
    database: Database, wanted: LetterFilter
) -> AsyncIterator[Sequence[LetterRow]]:
    """Go through all dead letters that a filter wants, page by page."""
    below: LetterRow | None = None
    while page := await list_letters(database, wanted, _PAGE, below):
        yield page
        below = page[-1]


async def batches_named(database: Database, beginning: str) -> Sequence[str]:
    """List the batches whose id is this, else the first few whose id begins so."""
    rows = await database.fetch(
        "SELECT DISTINCT batch_id FROM dead_letters WHERE starts_with(batch_id, $1) "
        "ORDER BY batch_id LIMIT 5",
        beginning,
    )
    found = [row["batch_id"] for row in rows]
    return [beginning] if beginning in found else found


async def get_body(database: Database, letter_id: int) -> bytes:
    """Return a dead letter's body, untouched."""
    rows = await database.fetch("SELECT body FROM dead_letters WHERE id = $1", letter_id)
    return bytes(rows[0]["body"])


async def group_letters(
    database: Database, wanted: LetterFilter, limit: int
) -> Sequence[LetterGroup]:
    """Group dead letters by reason and error, the largest group first."""
    rows = await database.fetch(statement("group_dead_letters"), *wanted.arguments, limit)
    return [LetterGroup(*row.values()) for row in rows]


async def count_letters(database: Database, wanted: LetterFilter) -> Sequence[LetterCount]:
    """Count dead letters by state, reason and exchange."""
    rows = await database.fetch(statement("count_dead_letters"), *wanted.arguments)
    return [LetterCount(LetterState(row["state"]), *list(row.values())[1:]) for row in rows]


async def drop_letters(database: Database, wanted: LetterFilter, by: str, why: str) -> int:
    """Put waiting dead letters aside; their rows stay. Returns how many."""
    tag = await database.execute(statement("drop_dead_letters"), *wanted.arguments, by, why)
    return int(tag.rsplit(" ", 1)[-1])
