"""Putting a message among the dead letters: body untouched, the reason in headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pamqp.common import FieldValue

    from consumer.outcome import Outcome
    from consumer.queue.delivery import Delivery
    from consumer.queue.publisher import Publisher
    from consumer.queue.settlement import Decision
    from consumer.queue.topology import Topology

# Headers must fit into one frame, whatever a producer put there.
_ERROR_MOST = 1000  # characters of one header
_KEPT_MOST = 16_384  # characters of all headers that are kept
_OURS = "trade-"
REPLAY_OF = "trade-replay-of"  # the dead letter that a replay published again


def dead_letter_headers(
    delivery: Delivery, decision: Decision, outcome: Outcome, failed_at: datetime
) -> dict[str, FieldValue]:
    """Build the headers of a dead letter. Pure.

    The message's own headers are kept, except the broker's `x-death` and its kind, and headers
    of an earlier death.
    """
    headers = _kept(delivery.headers)
    headers |= {
        "trade-reason": decision.reason or "REFUSED",
        "trade-error": (decision.error or "")[:_ERROR_MOST],
        "trade-batch-id": delivery.batch_id,
        "trade-batch-at": (delivery.batch_at or delivery.received_at).isoformat(),
        "trade-batch-order": delivery.batch_order,
        "trade-attempts": delivery.attempt,
        "trade-failed-at": failed_at.isoformat(),
    }
    if outcome.request_id is not None:
        headers["trade-request-id"] = outcome.request_id
    if outcome.exchange is not None:
        headers["trade-exchange"] = outcome.exchange
    return headers


def producers_headers(headers: Mapping[str, object]) -> dict[str, FieldValue]:
    """Choose the headers that go with a message when it is published again: the producer's."""
    return {name: value for name, value in _kept(headers).items() if name != REPLAY_OF}


async def bury(
    publisher: Publisher,
    topology: Topology,
    delivery: Delivery,
    headers: Mapping[str, FieldValue],
) -> None:
    """Publish a dead letter; returns once the broker has it. Raises as `Publisher.publish`."""
    await publisher.publish(
        delivery.body,
        exchange=topology.dead_exchange,
        routing_key=topology.queue,
        message_id=delivery.message_id,
        headers=headers,
    )


def _kept(headers: Mapping[str, object]) -> dict[str, FieldValue]:
    """Choose the headers to keep: the producer's, plain ones (nested tables are the broker's)."""
    kept: dict[str, FieldValue] = {}
    room = _KEPT_MOST
    for name, value in headers.items():
        ours = name.startswith(("x-", _OURS)) and name != REPLAY_OF
        if ours or not isinstance(value, str | int | bool):
            continue
        size = len(str(value))
        if size <= _ERROR_MOST and len(name) + size <= room:
            kept[name] = value
            room -= len(name) + size
    return kept
