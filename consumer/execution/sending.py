"""The last look at an order before it is signed, and the call that places it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from consumer.watching.trail import Stage, left, timed
from providers.outcomes import OutcomeClass, Placement, PlacementKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.controls.permission import Denial
    from providers.exchange import ExchangeClient
    from providers.orders import PreparedOrder
    from providers.outcomes import Permit

_log = structlog.get_logger(__name__)


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
        """Say what forbids to sign the order now, or None."""
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
