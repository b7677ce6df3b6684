"""The outbox: what others are still to be told, taken row by row until it is done.

Rows are written by `storage/sql/record.sql`, together with the state they speak of. Taking a row
is a lease, not a promise: it may be done twice, by two workers even, so whatever is done for a row
must come to the same when repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from storage.orders import OrderEvent, OrderRow, get_orders
from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from storage.postgres import Database

REPORT = "report"  # upload the report of a finished order

_ERROR_MOST = 500  # characters of an error that are worth keeping


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A row that is ours for now; `attempts` counts this one."""

    id: int
    kind: str
    request_id: str
    attempts: int


@dataclass(frozen=True, slots=True)
class PutBack:
    """A row given back, to be taken again after `wait`; no error means it was not tried."""

    entry: OutboxEntry
    wait: timedelta
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many rows there are, and when the oldest was written."""

    count: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class OrderStory:
    """An order and everything that happened to it, oldest first."""

    row: OrderRow
    events: Sequence[OrderEvent]


class Outbox:
    """The outbox's rows. Every call raises `LedgerUnavailable` while the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(
        self, kind: str, most: int, lease: timedelta, overdue: timedelta = timedelta(0)
    ) -> Sequence[OutboxEntry]:
        """Take rows that have been due for so long; nobody else gets them before the lease ends."""
        rows = await self._database.fetch(statement("take_outbox"), kind, most, lease, overdue)
        return [OutboxEntry(**row) for row in rows]

    async def done(self, entries: Sequence[OutboxEntry]) -> None:
        """Delete rows, whoever has them now: what was to be done is done."""
        if entries:
            await self._database.execute(
                "DELETE FROM outbox WHERE id = ANY($1::bigint[])", [entry.id for entry in entries]
            )

    async def put_back(self, items: Sequence[PutBack]) -> None:
        """Give rows back, unless somebody else took them in the meantime."""
        if items:
            await self._database.execute(
                statement("put_back_outbox"),
                [item.entry.id for item in items],
                [item.entry.attempts for item in items],
                [item.wait for item in items],
                [item.error[:_ERROR_MOST] if item.error else item.error for item in items],
            )

    async def backlog(self, kind: str) -> Backlog:
        """Count what is waiting or under way."""
        rows = await self._database.fetch(
            "SELECT count(*) AS n, min(created_at) AS oldest FROM outbox WHERE kind = $1", kind
        )
        return Backlog(rows[0]["n"], rows[0]["oldest"])

    async def stories(self, request_ids: Sequence[str]) -> Mapping[str, OrderStory]:
        """Read those of the orders that exist, with their events, by request id."""
        orders = await get_orders(self._database, request_ids)
        events: dict[str, list[OrderEvent]] = {order.request_id: [] for order in orders}
        for row in await self._database.fetch(
            "SELECT * FROM order_events WHERE request_id = ANY($1::text[]) ORDER BY id",
            list(events),
        ):
            events[row["request_id"]].append(OrderEvent.read(row))
        return {order.request_id: OrderStory(order, events[order.request_id]) for order in orders}
