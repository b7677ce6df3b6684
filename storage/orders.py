"""One row of the ledger as a value, and how it is read. Writing is in `storage.ledger`."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson

from providers.values import value
from storage.postgres import statement
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from storage.postgres import Database


@value(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """An order as the ledger has it; columns and their meaning are in the first migration."""

    request_id: str
    client_order_id: str
    fingerprint: bytes
    payload: Mapping[str, object]
    exchange: str
    account: str
    symbol: str
    action: str
    quantity: Decimal
    price: Decimal | None
    queued_at: datetime | None
    received_at: datetime
    state: OrderState
    code: str | None
    message: str | None
    attempts: int
    sends: int
    updated_at: datetime
    owner: UUID | None
    fence: int
    lease_until: datetime | None
    side: str | None
    order_type: str | None
    order_quantity: Decimal | None
    order_price: Decimal | None
    reduce_only: bool | None
    intended_at: datetime | None
    sent_at: datetime | None
    may_land_until: datetime | None
    exchange_order_id: str | None
    filled_quantity: Decimal
    average_price: Decimal | None
    fee: Decimal | None
    fee_currency: str | None
    finished_at: datetime | None
    dead_lettered_at: datetime | None
    check_at: datetime | None
    checks: int
    position_side: str | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    replays: int = 0
    allow_stale: bool = False
    wanted_at: datetime | None = None

    @classmethod
    def read(cls, record: asyncpg.Record) -> OrderRow:
        """Make a row from a record that has at least the columns of `orders`."""
        values = {name: record[name] for name in _COLUMNS}
        values["state"] = OrderState(record["state"])
        values["payload"] = orjson.loads(record["payload"])
        return cls(**values)

    @property
    def wire_seconds(self) -> float | None:
        """Seconds from the producer's `queuedAt` to the first send; None if either is missing."""
        if self.queued_at is None or self.sent_at is None:
            return None
        return (self.sent_at - self.queued_at).total_seconds()


_COLUMNS = tuple(field.name for field in fields(OrderRow))


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One step in an order's life, as appended to `order_events`."""

    at: datetime
    before: OrderState | None
    after: OrderState
    fence: int
    attempt: int
    code: str | None
    message: str | None
    detail: Mapping[str, object]

    @classmethod
    def read(cls, record: asyncpg.Record) -> OrderEvent:
        """Make an event from a row of `order_events`."""
        return cls(
            at=record["at"],
            before=OrderState(record["before_state"]) if record["before_state"] else None,
            after=OrderState(record["after_state"]),
            fence=record["fence"],
            attempt=record["attempt"],
            code=record["code"],
            message=record["message"],
            # The numbers in it are quantities, prices and fees: never floats.
            detail=json.loads(record["detail"], parse_float=Decimal, parse_int=Decimal)
            if record["detail"]
            else {},
        )


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders to list; None means any. `limit` is the most rows."""

    state: OrderState | None = None
    exchange: str | None = None
    symbol: str | None = None
    since: datetime | None = None
    limit: int = 50


async def list_orders(database: Database, wanted: OrderFilter) -> Sequence[OrderRow]:
    """List orders, newest first."""
    rows = await database.fetch(
        statement("list_orders"),
        wanted.state,
        wanted.exchange,
        wanted.symbol,
        wanted.since,
        wanted.limit,
    )
    return [OrderRow.read(row) for row in rows]


async def get_order(database: Database, request_id: str) -> OrderRow | None:
    """Return one order by request id, or None."""
    rows = await get_orders(database, [request_id])
    return rows[0] if rows else None


async def get_orders(database: Database, request_ids: Sequence[str]) -> Sequence[OrderRow]:
    """Return those of the orders that exist, in no particular order."""
    rows = await database.fetch(
        "SELECT * FROM orders WHERE request_id = ANY($1::text[])", list(request_ids)
    )
    return [OrderRow.read(row) for row in rows]


async def get_events(database: Database, request_id: str) -> Sequence[OrderEvent]:
    """Return an order's events, oldest first."""
    rows = await database.fetch(
        "SELECT * FROM order_events WHERE request_id = $1 ORDER BY id", request_id
    )
    return [OrderEvent.read(row) for row in rows]


async def count_by_state(database: Database) -> dict[OrderState, int]:
    """Count the orders in each state that has any."""
    rows = await database.fetch("SELECT state, count(*) AS n FROM orders GROUP BY state")
    return {OrderState(row["state"]): row["n"] for row in rows}
