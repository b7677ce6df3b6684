"""Which exchange a message goes to. Pure: a look-up in values that are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consumer.contract.message import TradeMessage
    from consumer.controls.snapshot import Snapshot


def route(message: TradeMessage, snapshot: Snapshot, default_exchange: str) -> str:
    """Return the exchange's name: the symbol's redirect, the message's own word, the default."""
    return (
        snapshot.routing.get(message.symbol)
        or message.exchange
        or snapshot.default_routing
        or default_exchange
    )
