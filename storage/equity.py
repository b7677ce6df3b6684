"""The equity of an account over a day (UTC), by which the daily drawdown is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.postgres import statement

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from storage.postgres import Database


@dataclass(frozen=True, slots=True)
class EquityDay:
    """One account today. `tripped_at`: when its drawdown halted it, once a day."""

    start: Decimal
    latest: Decimal
    currency: str
    tripped_at: datetime | None


async def note(
    database: Database, exchange: str, account: str, currency: str, equity: Decimal
) -> EquityDay:
    """Remember what an account is worth now; the first of a day is what the day started with."""
    (row,) = await database.fetch(statement("note_equity"), exchange, account, currency, equity)
    return EquityDay(row["start"], row["latest"], row["currency"], row["tripped_at"])


async def mark_tripped(database: Database, exchange: str, account: str) -> None:
    """Remember that today's drawdown has halted an account."""
    await database.execute(
        "UPDATE equity_days SET tripped_at = coalesce(tripped_at, now()) "
        "WHERE exchange = $1 AND account = $2 AND day = (now() AT TIME ZONE 'UTC')::date",
        exchange,
        account,
    )
