"""Checks that must hold immediately before an order is sent, on every attempt. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from consumer.message import TradeMessage


def stale(message: TradeMessage, now: datetime) -> str | None:
    """Say why a message is too old to be sent, or None if it is not."""
    if message.expires_at is not None and now >= message.expires_at:
        late = (now - message.expires_at).total_seconds()
        return f"expiresAt {message.expires_at.isoformat()} passed {late:.3f} s ago"
    return None
