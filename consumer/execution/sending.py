"""The last moments before a byte leaves: is it still in time, is it still allowed, and the send.

An intent that is committed is no leave to send for ever: others count the request as over after a
while, and may send the order themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from consumer.watching.trail import Stage, left, timed
from providers.outcomes import OutcomeClass, Placement, PlacementKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from consumer.controls.permission import Denial
    from providers.clock import Clock
    from providers.exchange import ExchangeClient
    from providers.orders import PreparedOrder
    from providers.outcomes import Permit

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Began:
    """When the commit of an intent was begun: monotonic seconds, and the time."""

    monotonic: float
    at: datetime

    @classmethod
    def now(cls, clock: Clock) -> Began:
        """It begins now."""
        return cls(clock.monotonic(), clock.now())


def too_old(began: Began, clock: Clock, sign_within: timedelta) -> str | None:
    """Say that a signature would come too late for its intent, or None.

    A process that stood still since may find that others count the request as over, and have
    sent the order themselves. By both clocks, for a machine that sleeps may stop either.
    """
    passed = timedelta(seconds=clock.monotonic() - began.monotonic)
    if max(passed, clock.now() - began.at) <= sign_within:
        return None
    return "the intent to send it is too old; nothing was sent"


class LastLook:
    """A permit that remembers why it was refused.

    Args:
        look: says what forbids the order.
        too_late: says that the time for a signature is over.
    """

    def __init__(
        self, look: Callable[[], Denial | None], too_late: Callable[[], str | None]
    ) -> None:
        self._look = look
        self._too_late = too_late
        self.denial: Denial | None = None

    def __call__(self) -> str | None:
        """Say what forbids the send now, or None."""
        self.denial = self._look()
        return self._too_late() if self.denial is None else self.denial.says


async def sent(client: ExchangeClient, order: PreparedOrder, permit: Permit) -> Placement:
    """Place an order; an exception out of a client means that nothing is known."""
    try:
        left()
        with timed(Stage.WIRE):
            return await client.place(order, permit)
    except Exception as error:  # noqa: BLE001 - whatever it is, the order may have been sent
        _log.error(
            "placing raised; the outcome counts as unknown",
            exchange=client.name,
            error=type(error).__name__,
        )
        return Placement(
            PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, type(error).__name__, "internal error"
        )
