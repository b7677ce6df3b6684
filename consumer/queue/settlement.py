"""From an outcome to a settlement: one table. Pure.

placed, already done, nothing to do ─▶ ack
refused                             ─▶ dead letter (with the reason), then ack
retry                               ─▶ nack: one rung up the ladder;
on the last attempt a dead letter
released                            ─▶ requeue
abandoned                           ─▶ nothing: its channel is gone
"""

from __future__ import annotations

from types import MappingProxyType

from consumer.outcome import Outcome, OutcomeKind
from consumer.queue.delivery import Settlement
from providers.values import value

SETTLEMENT_OF: MappingProxyType[OutcomeKind, Settlement] = MappingProxyType(
    {
        OutcomeKind.PLACED: Settlement.ACK,
        OutcomeKind.ALREADY_DONE: Settlement.ACK,
        OutcomeKind.NOTHING_TO_DO: Settlement.ACK,
        OutcomeKind.REFUSED: Settlement.DEAD_LETTER,
        OutcomeKind.RETRY: Settlement.NACK,
        OutcomeKind.RELEASED: Settlement.REQUEUE,
        OutcomeKind.ABANDONED: Settlement.ABANDON,
    }
)

RETRIES_EXHAUSTED = "RETRIES_EXHAUSTED"


@value(frozen=True, slots=True)
class Decision:
    """How to settle, and the words a dead letter carries."""

    settlement: Settlement
    reason: str | None = None
    error: str | None = None


def decide(outcome: Outcome, *, attempt: int, last_attempt: bool) -> Decision:
    """Work out how a delivery is settled.

    Args:
        outcome: what became of its message.
        attempt: which try this was, from 1.
        last_attempt: a nack would put it among the dead letters without a reason; we do it
            ourselves instead, and say why.
    """
    settlement = SETTLEMENT_OF[outcome.kind]
    if settlement is Settlement.NACK and last_attempt:
        tried = f"given up after {attempt} attempts; last: "
        return Decision(
            Settlement.DEAD_LETTER,
            RETRIES_EXHAUSTED,
            tried + ": ".join(part for part in (outcome.reason, outcome.error) if part),
        )
    if settlement is Settlement.DEAD_LETTER:
        return Decision(settlement, outcome.reason or "REFUSED", outcome.error)
    return Decision(settlement, outcome.reason, outcome.error)
