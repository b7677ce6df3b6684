"""Which exchange a message goes to. Pure: a look-up in values that are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consumer.message import TradeMessage


def route(message: TradeMessage, default_exchange: str) -> str:
    """Return the exchange's name: the message's own, else the default."""
    return message.exchange or default_exchange
