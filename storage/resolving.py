"""A person's word on an order that waits for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.postgres import statement
from storage.states import OrderState

if TYPE_CHECKING:
    from decimal import Decimal

    from storage.postgres import Database

RESOLUTIONS = (
    OrderState.FILLED,
    OrderState.CANCELED,
    OrderState.REJECTED,
    OrderState.ACCEPTED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What somebody says that an order was; None leaves a number as it is."""

    state: OrderState
    who: str
    why: str
    filled_quantity: Decimal | None = None
    average_price: Decimal | None = None


async def resolve(database: Database, request_id: str, word: Word) -> bool:
    """Take a person's word for a quarantined order; False if it is not quarantined."""
    rows = await database.fetch(
        statement("resolve_quarantined"),
        request_id,
        word.state,
        word.why,
        word.filled_quantity,
        word.average_price,
        word.who,
    )
    return bool(rows)
