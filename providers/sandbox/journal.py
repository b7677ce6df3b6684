"""What a venue's streams have to tell: each change of an order, as it was at that moment.

An order goes on changing while its changes wait to be told, so entries hold copies. Nothing is
noted while nobody listens: a book without a journal pays for none of it.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.account import Account, Position
    from providers.sandbox.values import Fill, Order


class What(StrEnum):
    """What happened to an order."""

    NEW = "new"
    FILL = "fill"
    END = "end"
    AMEND = "amend"
    TRIGGER = "trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change.

    Attributes:
        order: a copy; it does not change any more.
        fill: the execution, with `position` after it.
        wallet: the account's cash after the change.
    """

    what: What
    account: Account
    order: Order
    fill: Fill | None
    position: Position | None
    wallet: Decimal
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A change of something only one venue has, in that venue's own words."""

    account: Account
    symbol: str
    client_order_id: str
    body: dict[str, object]
    at_ms: int


class Journal:
    """The changes of one venue since they were last taken, oldest first."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[Entry | Told] = []

    def note(
        self,
        what: What,
        account: Account,
        order: Order,
        at_ms: int,
        *,
        fill: Fill | None = None,
        position: Position | None = None,
    ) -> None:
        """Note a change of an order."""
        self._entries.append(
            Entry(
                what=what,
                account=account,
                order=replace(order, fills=list(order.fills)),
                fill=fill,
                position=None if position is None else copy(position),
                wallet=account.wallet,
                at_ms=at_ms,
            )
        )

    def tell(self, told: Told) -> None:
        """Note something that is one venue's own."""
        self._entries.append(told)

    def take(self) -> list[Entry | Told]:
        """Every change since the last time."""
        taken, self._entries = self._entries, []
        return taken
