"""A day as the ledger has it: what was traded, paid and refused, by exchange and symbol.

Days are UTC, and an order belongs to the day it came in. Read anew each time: orders that were
open when a day was summed up are counted for what became of them when it is summed up again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson

from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import asyncpg

    from storage.postgres import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySummary:
    """One exchange and symbol on one day. Every order is in exactly one of the counts.

    Attributes:
        filled: wholly filled.
        partly_filled: something was filled, not all of it, or not all of it yet.
        open: nothing filled so far, and not finished.
        volume_base: what was filled, in base coins.
        volume_quote: the same times its average price.
        fees: what was paid, by currency.
        wire_p50: seconds from the producer's `queuedAt` to the first send; None if no order has
            both.
    """

    exchange: str
    symbol: str
    orders: int
    filled: int
    partly_filled: int
    canceled: int
    rejected: int
    denied: int
    expired: int
    quarantined: int
    open: int
    volume_base: Decimal
    volume_quote: Decimal
    fees: Mapping[str, Decimal]
    wire_p50: float | None
    wire_p99: float | None

    @classmethod
    def read(cls, record: asyncpg.Record) -> DaySummary:
        """Make a summary from a row of `daily_summary.sql`."""
        values = {one.name: record[one.name] for one in fields(cls)}
        paid = orjson.loads(record["fees"]) if record["fees"] else {}
        values["fees"] = {name: Decimal(paid[name]) for name in sorted(paid)}
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourOfDay:
    """One exchange in one hour; `fees` are those in the currency that was asked for."""

    exchange: str
    hour: int
    orders: int
    filled: int
    refused: int
    volume_quote: Decimal
    fees: Decimal
    wire_p50: float | None
    wire_p99: float | None


def span_of(day: date) -> tuple[datetime, datetime]:
    """Give the first instant of a day and of the next, UTC."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


async def summarise(database: Database, day: date) -> Sequence[DaySummary]:
    """Sum up a day, by exchange and symbol in their order."""
    rows = await database.fetch(statement("daily_summary"), *span_of(day))
    return [DaySummary.read(row) for row in rows]


async def hours_of(database: Database, day: date, fee_currency: str) -> Sequence[HourOfDay]:
    """Sum up a day by exchange and hour; hours without orders are left out."""
    rows = await database.fetch(statement("daily_hours"), *span_of(day), fee_currency)
    return [HourOfDay(**row) for row in rows]
