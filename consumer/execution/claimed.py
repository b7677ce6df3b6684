"""An order: what is claimed of its message, while somebody works on it, and what becomes of it.

Recording waits for the ledger if it is away: what happened at an exchange must not be lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Unpack

from consumer.watching.measuring import count_order
from consumer.watching.trail import Stage, timed
from storage.errors import LedgerUnavailable
from storage.identity import client_order_id, fingerprint
from storage.ledger import Change, NewOrder

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from consumer.contract.message import TradeMessage
    from consumer.gate import LedgerGate
    from providers.clock import Clock
    from storage.ledger import ChangeDetails, Claimed, Lane, Ledger
    from storage.orders import OrderRow
    from storage.states import OrderState


def _nothing_more() -> bool:
    return False


@dataclass(slots=True)
class ClaimedOrder:
    """An order that is ours for now; `state` is kept in step with the ledger.

    `lane` is held with it, and handed over with the record that ends the work on it; `more` tells
    whether more work for it waits here. `asked` is False if its exchange could not be asked for it.
    """

    row: OrderRow
    state: OrderState
    claimed_at: datetime  # the database's clock
    claimed_monotonic: float
    lane: Lane | None = None
    more: Callable[[], bool] = _nothing_more
    asked: bool = True

    @classmethod
    def of(
        cls, claim: Claimed, clock: Clock, more: Callable[[], bool] = _nothing_more
    ) -> ClaimedOrder:
        """Begin to work on a claim."""
        return cls(claim.row, claim.row.state, claim.now, clock.monotonic(), claim.lane, more)

    def database_time(self, clock: Clock) -> datetime:
        """Tell the database's time, by which `may_land_until` is set."""
        return self.claimed_at + timedelta(seconds=clock.monotonic() - self.claimed_monotonic)


class Recorder:
    """Writes changes of claimed orders into the ledger."""

    def __init__(self, ledger: Ledger, gate: LedgerGate) -> None:
        self._ledger = ledger
        self._gate = gate

    async def record(
        self, order: ClaimedOrder, after: OrderState, **details: Unpack[ChangeDetails]
    ) -> None:
        """Record a change, as often as it takes.

        Raises:
            ClaimLost: the order was taken over in the meantime.
        """
        change = Change(
            request_id=order.row.request_id,
            fence=order.row.fence,
            before=order.state,
            after=after,
            lane=None if details.get("keep_lease") else order.lane,
            more=order.more(),
            **details,
        )
        while True:
            try:
                with timed(Stage.RECORD):
                    await self._ledger.record(change)
            except LedgerUnavailable as error:
                self._gate.report(error)
                await self._gate.wait_open()
            else:
                if after is not order.state:
                    count_order(order.row.exchange, after)
                order.state = after
                return


def new_order(message: TradeMessage, exchange: str, received_at: datetime) -> NewOrder:
    """Say what the ledger keeps of a message."""
    return NewOrder(
        request_id=message.request_id,
        client_order_id=client_order_id(message.request_id, message.account),
        fingerprint=fingerprint(message.terms),
        payload=message.document,
        exchange=exchange,
        account=message.account,
        symbol=message.symbol,
        action=message.action,
        quantity=message.quantity,
        price=message.price,
        queued_at=message.queued_at,
        received_at=received_at,
    )
