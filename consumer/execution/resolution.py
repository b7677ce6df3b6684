"""What to do about an order whose outcome is not known. Pure; the clock is an argument.

The exchange has been asked by client order id. Found, and it is ours: adopt it. Found, and it is
something else: a person must look. Not found: that means "not there" only once the request can
no longer be accepted and look-ups had time to catch up, and only when seen more than once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from decimal import Decimal

    from providers.orders import OrderView

ABSENT_LOOKS = 2  # look-ups that must agree, all of them after the last moment of acceptance


class Verdict(StrEnum):
    """What to do."""

    ADOPT = "adopt"  # the order is there: take over what the exchange says
    QUARANTINE = "quarantine"  # our id, but not our order
    LOOK_AGAIN = "look_again"  # conclusive so far: look once more
    ABSENT = "absent"  # certainly not executed: it may be sent again
    WAIT = "wait"  # the request may still be on its way


@dataclass(frozen=True, slots=True)
class Expected:
    """What the order that was sent looks like."""

    symbol: str
    side: str | None
    quantity: Decimal | None
    reduce_only: bool


def judge(
    found: OrderView | None,
    expected: Expected,
    *,
    now: datetime,
    may_land_until: datetime | None,
    margin: timedelta,
    absent_before: int,
) -> Verdict:
    """Decide.

    Args:
        found: what the exchange showed for the client order id.
        expected: what was sent.
        now: the time at which the look-up began, on the clock of `may_land_until`.
        may_land_until: after this the exchange accepts no request of this intent; None means
            that it is not known.
        margin: allowance for look-ups that lag behind.
        absent_before: how many earlier look-ups found nothing, after the margin.
    """
    if found is not None:
        return Verdict.ADOPT if mismatch(found, expected) is None else Verdict.QUARANTINE
    if may_land_until is None or now <= may_land_until + margin:
        return Verdict.WAIT
    return Verdict.ABSENT if absent_before + 1 >= ABSENT_LOOKS else Verdict.LOOK_AGAIN


def mismatch(found: OrderView, expected: Expected) -> str | None:
    """Say in what an order differs from the one that was sent; None if it is the same.

    A reduce-only order may be smaller: exchanges trim it to the position.
    """
    if found.symbol != expected.symbol:
        return f"symbol is {found.symbol}, sent was {expected.symbol}"
    if expected.side is not None and found.side != expected.side:
        return f"side is {found.side}, sent was {expected.side}"
    trimmed = (
        expected.reduce_only
        and expected.quantity is not None
        and found.quantity < expected.quantity
    )
    if expected.quantity is not None and found.quantity != expected.quantity and not trimmed:
        return f"quantity is {found.quantity:f}, sent was {expected.quantity:f}"
    return None
