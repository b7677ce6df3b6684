"""Orders that an account shows and that are not ours: what is noted of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from providers.orders import OrderView
    from storage.postgres import Database


class Kind(StrEnum):
    """Whose an order is."""

    FOREIGN = "foreign"  # somebody else's
    EXTRA = "extra"  # under our own kind of id, and more than we intended


@dataclass(frozen=True, slots=True)
class Stranger:
    """An order that no intent of ours is behind."""

    view: OrderView
    kind: Kind
    why: str


@dataclass(frozen=True, slots=True)
class ForeignOrder:
    """A stranger as it was noted."""

    exchange: str
    account: str
    exchange_order_id: str
    client_order_id: str
    symbol: str
    side: str
    quantity: Decimal
    filled_quantity: Decimal
    kind: str
    why: str
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Intended:
    """What the ledger knows under a client order id."""

    sends: int
    exchange_order_id: str | None


async def intended(
    database: Database, exchange: str, client_order_ids: Sequence[str]
) -> dict[str, Intended]:
    """Look up which of some client order ids we sent orders under."""
    rows = await database.fetch(
        "SELECT client_order_id, sends, exchange_order_id FROM orders "
        "WHERE exchange = $1 AND client_order_id = ANY ($2::text[])",
        exchange,
        list(client_order_ids),
    )
    return {
        row["client_order_id"]: Intended(row["sends"], row["exchange_order_id"]) for row in rows
    }


async def noted(
    database: Database, exchange: str, exchange_order_ids: Sequence[str]
) -> dict[str, Decimal]:
    """Return which of some orders were noted before, and how much of each was filled then."""
    rows = await database.fetch(
        "SELECT exchange_order_id, filled_quantity FROM foreign_orders "
        "WHERE exchange = $1 AND exchange_order_id = ANY ($2::text[])",
        exchange,
        list(exchange_order_ids),
    )
    return {row["exchange_order_id"]: row["filled_quantity"] for row in rows}


async def note(
    database: Database, exchange: str, account: str, strangers: Sequence[Stranger]
) -> None:
    """Note strangers and tell people; of one that was noted before, only what was filled since."""
    await database.fetch(
        statement("note_foreign"),
        exchange,
        account,
        [one.view.exchange_order_id for one in strangers],
        [one.view.client_order_id for one in strangers],
        [one.view.symbol for one in strangers],
        [one.view.side for one in strangers],
        [one.view.quantity for one in strangers],
        [one.view.filled_quantity for one in strangers],
        [one.kind for one in strangers],
        [one.why for one in strangers],
    )


async def list_foreign(database: Database, most: int = 200) -> Sequence[ForeignOrder]:
    """List what was noted, newest first."""
    rows = await database.fetch(
        "SELECT exchange, account, exchange_order_id, client_order_id, symbol, side, quantity, "
        "filled_quantity, kind, why, first_seen, last_seen "
        "FROM foreign_orders ORDER BY last_seen DESC, exchange_order_id LIMIT $1",
        most,
    )
    return [ForeignOrder(**row) for row in rows]
