"""What people are to be told: asking for it, and taking it to tell it.

    tell_people(connection, Topic.BAN, detail={…})     beside the change it speaks of
    SELECT notify_people('ban', NULL, '{…}')           the same from SQL
    orders                                             storage/sql/record.sql does it by itself

Nothing is written down while nobody tells: a worker with NOTIFY_URLS says what it will tell of by
`Notifications.want`, again and again, and a day after the last one did so it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import orjson

from storage.outbox import OutboxEntry
from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from storage.postgres import Database

NOTIFICATION = "notification"
KEPT_FOR = timedelta(days=1)  # older news is no news


class Topic(StrEnum):
    """What a notification is about; the first three are about an order, by its request id."""

    EXECUTED = "executed"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    DEAD_LETTERED = "dead_lettered"
    KILL_SWITCH = "kill_switch"
    BAN = "ban"
    FOREIGN = "foreign"  # an order on an account that is not ours, or a fill of one


class Executes(Protocol):
    """A connection in its transaction, or a `Database`."""

    async def execute(self, query: str, *args: object) -> object:
        """Run one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingNotice:
    """Something to tell that is ours for now; `attempts` counts this one.

    Attributes:
        detail: what was written down with it; of an order nothing, that is read from the ledger.
    """

    id: int
    topic: Topic
    request_id: str | None
    detail: Mapping[str, object]
    created_at: datetime
    attempts: int

    @property
    def entry(self) -> OutboxEntry:
        """The row, as `Outbox.done` and `Outbox.put_back` take it."""
        return OutboxEntry(self.id, NOTIFICATION, self.request_id or "", self.attempts)


async def tell_people(
    where: Executes,
    topic: Topic,
    *,
    request_id: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Ask for people to be told, in the transaction of `where`; nothing if nobody wants to be.

    Args:
        where: the connection that writes what they are told of.
        topic: what it is about.
        request_id: the order it is about, if it is about one.
        detail: the facts that can't be read from the ledger later. Never a secret.
    """
    await where.execute(
        "SELECT notify_people($1, $2, $3::jsonb)",
        topic,
        request_id,
        orjson.dumps(detail, default=str).decode() if detail else None,
    )


class Notifications:
    """What is to be told. Every call raises `LedgerUnavailable` while the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def want(self, topics: Iterable[Topic]) -> None:
        """Ask for these topics to be written down from now on, for a day."""
        await self._database.execute(
            "INSERT INTO notification_topics (topic, wanted_until) "
            "SELECT unnest($1::text[]), now() + $2::interval "
            "ON CONFLICT (topic) DO UPDATE SET wanted_until = excluded.wanted_until",
            sorted(topics),
            KEPT_FOR,
        )

    async def forget_old(self) -> int:
        """Delete what nobody told for a day; returns how many."""
        tag = await self._database.execute(
            "DELETE FROM outbox WHERE kind = 'notification' AND created_at < now() - $1::interval",
            KEPT_FOR,
        )
        return int(tag.rsplit(" ", 1)[-1])

    async def take(
        self, most: int, *, pause: timedelta, lease: timedelta
    ) -> Sequence[PendingNotice]:
        """Take the turn to tell, and what is to be told, oldest first; empty if it is not time.

        Args:
            most: rows to take.
            pause: until the next turn, whoever takes it.
            lease: nobody else gets the rows before it ends.
        """
        rows = await self._database.fetch(statement("take_notices"), pause, most, lease)
        return sorted(
            (
                PendingNotice(
                    id=row["id"],
                    topic=Topic(row["topic"]),
                    request_id=row["request_id"],
                    detail=orjson.loads(row["detail"]) if row["detail"] else {},
                    created_at=row["created_at"],
                    attempts=row["attempts"],
                )
                for row in rows
            ),
            key=lambda notice: notice.id,
        )
