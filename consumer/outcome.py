"""What became of one message, as a value. Execution makes it; settlement and answers read it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from providers.values import value

if TYPE_CHECKING:
    from storage.orders import OrderRow
    from storage.states import OrderState


class OutcomeKind(StrEnum):
    """Everything that can become of a message."""

    PLACED = "placed"  # the exchange has the order, and the ledger says so
    ALREADY_DONE = "already_done"  # an earlier delivery did it; nothing was sent now
    NOTHING_TO_DO = "nothing_to_do"  # nothing to close, or a test message
    REFUSED = "refused"  # final: denied, expired, rejected, malformed, in conflict
    RETRY = "retry"  # not done, or not known to be done: come back later
    RELEASED = "released"  # not begun: give it back to the queue
    ABANDONED = "abandoned"  # its channel is gone; the broker gives it to somebody again


@value(frozen=True, slots=True)
class Outcome:
    """What became of one message.

    Attributes:
        kind: see `OutcomeKind`.
        reason: a short word for grouping: a dead letter's `trade-reason`, an answer's `code`.
        error: what was wrong, where, and what would be right; None when all is well.
        state: the order's state in the ledger, if it has one.
        row: the ledger's row as it was read last, where an answer may need it.
        request_id: the message's request id, if it could be read.
        exchange: where it was routed, if it came so far.
    """

    kind: OutcomeKind
    reason: str | None = None
    error: str | None = None
    state: OrderState | None = None
    row: OrderRow | None = None
    request_id: str | None = None
    exchange: str | None = None

    def of(self, request_id: str) -> Outcome:
        """Give the same, said of a message."""
        return Outcome(
            self.kind, self.reason, self.error, self.state, self.row, request_id, self.exchange
        )
