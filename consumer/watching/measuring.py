"""Moving the metrics of one message, away from the code that works on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.outcome import OutcomeKind
from consumer.queue.delivery import Settlement
from consumer.queue.settlement import SETTLEMENT_OF
from consumer.watching import metrics
from consumer.watching.trail import Stage, took
from storage.identity import client_order_id
from storage.notifications import NOTIFICATION
from storage.outbox import REPORT
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from consumer.contract.message import TradeMessage
    from consumer.outcome import Outcome
    from consumer.queue.delivery import Delivery
    from consumer.queue.settlement import Decision
    from providers.observing import CallRecord


_OTHER = "other"  # an exchange that is none of ours: its name is the message's
_exchanges: set[str] = set()
KINDS = (REPORT, NOTIFICATION)  # of rows in the outbox


def begin(names: Iterable[str], rungs: int) -> None:
    """Show every series that is known beforehand, at nought.

    A counter that appears with its first event has not risen, for whoever compares. And only these
    exchanges are named in labels: a message may name any.

    Args:
        names: the exchanges that orders may go to.
        rungs: of the retry ladder.
    """
    _exchanges.update(names)
    for outcome, settlement in SETTLEMENT_OF.items():
        metrics.SETTLED.labels(settlement, outcome)
    metrics.SETTLED.labels(Settlement.DEAD_LETTER, OutcomeKind.RETRY)
    for rung in range(1, rungs + 1):
        metrics.RETRIES.labels(str(rung))
    for stage in Stage:
        metrics.STAGE_SECONDS.labels(stage)
    for kind in KINDS:
        metrics.OUTBOX_BACKLOG.labels(kind)
        metrics.OUTBOX_AGE.labels(kind)
    metrics.KILL_SWITCH.labels("global")
    for exchange in exchanges():
        for state in OrderState:
            metrics.ORDERS.labels(exchange, state)
        for metric in (
            metrics.UNRESOLVED,
            metrics.UNRESOLVED_AGE,
            metrics.QUARANTINED,
            metrics.OPEN,
            metrics.REQUEST_SECONDS,
            metrics.LIMIT_WAIT,
            metrics.COOL_DOWNS,
            metrics.CIRCUIT_OPEN,
        ):
            metric.labels(exchange)


def exchanges() -> list[str]:
    """The exchanges that orders may go to."""
    return sorted(_exchanges)


def count_settled(
    delivery: Delivery,
    settlement: Settlement,
    outcome: Outcome,
    decision: Decision,
    seconds: float,
) -> None:
    """Count a message that was settled; `seconds` is how long we had it."""
    for stage, lasted in delivery.trail.seconds.items():
        metrics.STAGE_SECONDS.labels(stage).observe(lasted)
    if delivery.trail.to_wire is not None:
        metrics.WIRE_AGE.observe(delivery.trail.to_wire)
    metrics.SETTLED.labels(settlement, outcome.kind).inc()
    metrics.MESSAGE_SECONDS.observe(seconds)
    if settlement is Settlement.NACK:
        metrics.RETRIES.labels(str(delivery.attempt)).inc()
    elif settlement is Settlement.DEAD_LETTER:
        count_dead_letter(decision.reason or "REFUSED")


def canonical(
    delivery: Delivery,
    settlement: Settlement,
    outcome: Outcome,
    decision: Decision,
    message: TradeMessage | None,
    seconds: float,
) -> dict[str, object]:
    """Give the fields of a message's one canonical log line: what it was and what became of it."""
    trail = delivery.trail
    fields: dict[str, object] = {
        "settlement": settlement,
        "outcome": outcome.kind,
        "reason": decision.reason,
        "error": decision.error,
        "request_id": outcome.request_id,
        "exchange": outcome.exchange,
        "state": outcome.state,
        "exchange_order_id": trail.exchange_order_id,
        "attempt": delivery.attempt,
        "redelivered": delivery.redelivered or None,
        "batch_id": delivery.batch_id,
        "message_id": delivery.message_id,
        "seconds": seconds,
        "to_wire": None if trail.to_wire is None else round(trail.to_wire, 6),
        "stages": {stage: round(took, 6) for stage, took in trail.seconds.items()} or None,
    }
    if message is not None:
        fields |= {
            "symbol": message.symbol,
            "action": message.action,
            "account": message.account,
            "quantity": str(message.quantity),
            "client_order_id": client_order_id(message.request_id, message.account),
            "queued_at": message.queued_at,
        }
    return fields


def count_dead_letter(reason: str) -> None:
    """Count a message, or an order whose message is gone, that became a dead letter."""
    metrics.DEAD_LETTERS.labels(reason).inc()


def count_order(exchange: str, state: OrderState) -> None:
    """Count an order that came into a state."""
    name = exchange if exchange in _exchanges else _OTHER
    metrics.ORDERS.labels(name, state).inc()


def call_observer(*others: Callable[[CallRecord], None]) -> Callable[[CallRecord], None]:
    """Make what is told of each request to an exchange: it is counted, and others are told."""

    def called(record: CallRecord) -> None:
        metrics.REQUESTS.labels(record.exchange, record.outcome).inc()
        metrics.REQUEST_SECONDS.labels(record.exchange).observe(record.seconds)
        if record.kind == "place":
            took(Stage.SIGN, record.signing)
        for other in others:
            other(record)

    return called
