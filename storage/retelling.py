"""Telling an order again from its events, and holding the result against its row. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from storage.states import OrderState, may_follow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.orders import OrderEvent, OrderRow

# What a SENDING event says of the order as it was sent: name in the event, name in the row.
_SENT = {
    "exchange": "exchange",
    "side": "side",
    "order_type": "order_type",
    "quantity": "order_quantity",
    "price": "order_price",
    "reduce_only": "reduce_only",
    "position_side": "position_side",
    "take_profit": "take_profit",
    "stop_loss": "stop_loss",
}
_TOLD = ("exchange_order_id", "filled_quantity", "average_price", "fee", "fee_currency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An order as its events tell it; the names are those of the row's columns."""

    state: OrderState
    sends: int = 0
    exchange: str | None = None
    side: str | None = None
    order_type: str | None = None
    order_quantity: Decimal | None = None
    order_price: Decimal | None = None
    reduce_only: bool | None = None
    position_side: str | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    exchange_order_id: str | None = None
    filled_quantity: Decimal = Decimal(0)
    average_price: Decimal | None = None
    fee: Decimal | None = None
    fee_currency: str | None = None


def retell(events: Sequence[OrderEvent]) -> Told | None:
    """Tell an order from its events, oldest first; None without events."""
    told: Told | None = None
    for event in events:
        told = replace(
            told if told is not None else Told(state=event.after),
            state=event.after,
            **_news(told, event),
        )
    return told


def _news(told: Told | None, event: OrderEvent) -> Mapping[str, Any]:
    """What an event changes besides the state."""
    if event.after is OrderState.SENDING:
        sent = {column: event.detail.get(name) for name, column in _SENT.items()}
        return {**sent, "sends": (told.sends if told is not None else 0) + 1}
    news = {name: event.detail[name] for name in _TOLD if name in event.detail}
    if "spent_exchange_order_id" in event.detail:
        news["exchange_order_id"] = None
    return news


def faults(row: OrderRow, events: Sequence[OrderEvent]) -> list[str]:
    """Say in what a row and its events disagree, and which steps the table does not allow."""
    told = retell(events)
    if told is None:
        return ["there are no events"]
    found = [
        f"{name} is {getattr(row, name)}, the events tell {getattr(told, name)}"
        for name in (field.name for field in fields(Told))
        if getattr(row, name) != getattr(told, name)
        and not (name == "exchange" and told.exchange is None)  # it was never sent
    ]
    before: OrderState | None = None
    for event in events:
        if event.before is not before and not (event.before is None and before is None):
            found.append(f"a step begins in {event.before}, the one before it ended in {before}")
        if event.before is not None and not may_follow(event.before, event.after):
            found.append(f"{event.after} may not follow {event.before}")
        before = event.after
    return found
