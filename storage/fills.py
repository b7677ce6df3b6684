"""Fills and positions as the exchange shows them, kept beside the orders they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from providers.orders import Fill, Position, PositionSide, Side
from storage.group_commit import GroupCommit
from storage.orders import OrderRow
from storage.postgres import own_fault, statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from storage.postgres import Database


@dataclass(frozen=True, slots=True)
class KeptPosition:
    """One leg of an account's position, and when it was read."""

    exchange: str
    account: str
    position: Position
    read_at: datetime


class _Found(NamedTuple):
    """Fills of an order, and how long to wait until they are read again if they are not all."""

    row: OrderRow
    fills: Sequence[Fill]
    wait: timedelta


class Fills:
    """The fills and positions in the ledger. Every call raises `LedgerUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found = GroupCommit(self._record_group, key=_request_id, alone=own_fault)

    async def due(
        self, most: int, lease: timedelta, overdue: timedelta = timedelta(0)
    ) -> Sequence[OrderRow]:
        """Borrow orders whose fills are to be read, and have been for so long."""
        rows = await self._database.fetch(statement("due_fills"), most, lease, overdue)
        return [OrderRow.read(row) for row in rows]

    async def record(self, row: OrderRow, fills: Sequence[Fill], wait: timedelta) -> bool:
        """Keep fills of an order and bring it in line with them. Safe to repeat.

        Args:
            row: the order.
            fills: what the exchange shows, or nothing if it could not be asked.
            wait: until they are read again, if they are not complete.

        Returns:
            True if they add up to what was filled.
        """
        return await self._found.submit(_Found(row, fills, wait))

    async def _record_group(self, group: Sequence[_Found]) -> Sequence[bool]:
        fills = [(found.row, fill) for found in group for fill in found.fills]
        rows = await self._database.fetch(
            statement("record_fills"),
            [found.row.request_id for found in group],
            [found.wait for found in group],
            [row.request_id for row, _ in fills],
            [row.exchange for row, _ in fills],
            [row.account for row, _ in fills],
            [fill.fill_id for _, fill in fills],
            [fill.exchange_order_id for _, fill in fills],
            [fill.symbol for _, fill in fills],
            [fill.side for _, fill in fills],
            [fill.price for _, fill in fills],
            [fill.quantity for _, fill in fills],
            [fill.fee for _, fill in fills],
            [fill.fee_currency for _, fill in fills],
            [fill.maker for _, fill in fills],
            [fill.executed_at for _, fill in fills],
        )
        complete = {row["request_id"] for row in rows}
        return [found.row.request_id in complete for found in group]

    async def put_positions(
        self, exchange: str, account: str, positions: Sequence[Position], read_at: datetime
    ) -> None:
        """Keep all positions of an account as they were read."""
        await self._database.execute(
            statement("put_positions"),
            exchange,
            account,
            read_at,
            [one.symbol for one in positions],
            [one.side for one in positions],
            [one.quantity for one in positions],
            [one.entry_price for one in positions],
            [one.leverage for one in positions],
        )


def _request_id(found: _Found) -> str:
    return found.row.request_id


async def get_fills(database: Database, request_id: str) -> Sequence[Fill]:
    """Return an order's fills, oldest first."""
    rows = await database.fetch(
        "SELECT * FROM fills WHERE request_id = $1 ORDER BY executed_at, fill_id", request_id
    )
    return [
        Fill(
            fill_id=row["fill_id"],
            exchange_order_id=row["exchange_order_id"],
            symbol=row["symbol"],
            side=Side(row["side"]),
            price=row["price"],
            quantity=row["quantity"],
            fee=row["fee"],
            fee_currency=row["fee_currency"],
            maker=row["maker"],
            executed_at=row["executed_at"],
        )
        for row in rows
    ]


async def list_positions(database: Database) -> Sequence[KeptPosition]:
    """List the positions as they were read last."""
    rows = await database.fetch("SELECT * FROM positions ORDER BY exchange, account, symbol, leg")
    return [
        KeptPosition(
            row["exchange"],
            row["account"],
            Position(
                row["symbol"],
                PositionSide(row["leg"]),
                row["quantity"],
                row["entry_price"],
                row["leverage"],
            ),
            row["read_at"],
        )
        for row in rows
    ]
