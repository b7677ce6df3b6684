"""Whose turn it is to look at an account, and how far its finished orders were seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from storage.postgres import statement

if TYPE_CHECKING:
    from datetime import datetime

    from storage.postgres import Database

SHOWN_LATE = timedelta(minutes=2)  # history may lag behind; what was seen before is seen again


class Look(StrEnum):
    """What is looked at."""

    OPEN = "open"
    RECENT = "recent"


@dataclass(frozen=True, slots=True)
class Turn:
    """A look that is ours to take.

    Attributes:
        began: now, by the database's clock.
        since: from when on finished orders are wanted.
    """

    exchange: str
    account: str
    look: Look
    began: datetime
    since: datetime


async def take_turn(
    database: Database, exchange: str, account: str, look: Look, every: timedelta
) -> Turn | None:
    """Take the turn to look at an account; None if somebody did so less than `every` ago."""
    rows = await database.fetch(statement("take_audit"), exchange, account, look, every, SHOWN_LATE)
    return Turn(exchange, account, look, rows[0]["began"], rows[0]["since"]) if rows else None


async def seen(database: Database, turn: Turn) -> None:
    """Remember that everything up to the beginning of a look was seen."""
    await database.execute(
        "UPDATE audits SET seen_until = greatest(seen_until, $4) "
        "WHERE exchange = $1 AND account = $2 AND look = $3",
        turn.exchange,
        turn.account,
        turn.look,
        turn.began,
    )
