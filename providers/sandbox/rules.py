"""Where venues differ inside the engine: values, and a hook, that each facade provides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal


class DuplicateIds(StrEnum):
    """What a venue does with a client order id that it has seen before."""

    REFUSED_FOREVER = "refused_forever"
    REFUSED_WHILE_OPEN = "refused_while_open"
    RETURNS_EXISTING = "returns_existing"
    ACCEPTED = "accepted"


class Watcher(Protocol):
    """What else of a venue goes by prices or time, such as conditional orders kept apart."""

    @property
    def busy(self) -> bool:
        """Whether anything waits; a watcher at rest costs nothing."""
        ...

    def look(self, now_ms: int) -> None:
        """Do what is due at one instant of the price grid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRules:
    """One venue's own rules.

    Attributes:
        order_id: makes an order id from its sequence number.
        fill_id: makes a fill id from its sequence number.
        trims_closes: a reduce-only order above the position is cut to it, else refused.
        max_open_orders: active orders a symbol may have.
        max_conditional: conditional orders a symbol may have.
        recent_closed: how many closed orders an account's open-order look-up still knows.
        cancels_at_once: a cancel is done when it is answered, whatever the fill delay.
    """

    venue: str
    order_id: Callable[[int], str]
    fill_id: Callable[[int], str]
    taker_fee: Decimal
    maker_fee: Decimal
    duplicate_ids: DuplicateIds
    trims_closes: bool = True
    max_open_orders: int = 500
    max_conditional: int = 10
    recent_closed: int = 500
    cancels_at_once: bool = False
