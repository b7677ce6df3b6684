"""Counts for whoever watches: orders that are open or unresolved, rows that wait in the outbox.

Cheap on a ledger of any size: partial indexes hold just the rows that are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.postgres import Database


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """What is not finished at one exchange. `unresolved_age` is in seconds, 0 if there is none."""

    exchange: str
    at_exchange: int
    unresolved: int
    unresolved_age: float
    quarantined: int


@dataclass(frozen=True, slots=True)
class WaitingRows:
    """What waits in the outbox, by kind; `age` of the oldest, in seconds."""

    kind: str
    rows: int
    age: float


async def open_orders(database: Database) -> Sequence[OpenOrders]:
    """Count the orders that are not finished, by exchange."""
    rows = await database.fetch(statement("count_open"))
    return [
        OpenOrders(
            row["exchange"],
            row["at_exchange"],
            row["unresolved"],
            row["unresolved_age"],
            row["quarantined"],
        )
        for row in rows
    ]


async def outbox(database: Database) -> Sequence[WaitingRows]:
    """Count the rows that wait in the outbox, by kind."""
    rows = await database.fetch(statement("count_outbox"))
    return [WaitingRows(row["kind"], row["rows"], row["age"]) for row in rows]
