"""Checks that must hold immediately before an order is sent, on every attempt. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.controls.registry import MAX_SIGNAL_AGE

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from consumer.contract.message import TradeMessage

EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class Late:
    """Why a message is too old: by which control, its limit, and the value that breaks it."""

    control: str
    limit: str
    value: str
    says: str


def stale(message: TradeMessage, now: datetime) -> str | None:
    """Say why a message has expired by its own word, or None if it has not."""
    found = late(message, now)
    return None if found is None else found.says


def late(
    message: TradeMessage,
    now: datetime,
    *,
    received_at: datetime | None = None,
    max_age: timedelta | None = None,
) -> Late | None:
    """Say why a message is too old to be sent, or None if it is not.

    Args:
        message: a trade.
        now: the time.
        received_at: when the message first reached us; it stands in for a `queuedAt` that is
            missing, or that claims to be later.
        max_age: how long ago the signal may be.
    """
    if message.expires_at is not None and now >= message.expires_at:
        over = (now - message.expires_at).total_seconds()
        limit = message.expires_at.isoformat()
        return Late(
            "expiresAt", limit, now.isoformat(), f"expiresAt {limit} passed {over:.3f} s ago"
        )
    if max_age is None:
        return None
    given = [moment for moment in (message.queued_at, received_at) if moment is not None]
    if not given or now - min(given) <= max_age:
        return None
    age = (now - min(given)).total_seconds()
    most = f"{max_age.total_seconds():g}"
    return Late(
        MAX_SIGNAL_AGE,
        most,
        f"{age:.3f}",
        f"{MAX_SIGNAL_AGE} is {most}; the signal is {age:.3f} s old",
    )
