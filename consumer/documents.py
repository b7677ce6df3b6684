"""Orders and dead letters as JSON shows them, to the command line and to the REST API. Pure.

camelCase; numbers are text, so that no reader makes floats of them.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from storage.dead_letters import LetterRow, LetterState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.dead_letters import LetterCount
    from storage.orders import OrderRow

_HIDDEN = "***"
_CREDENTIAL = re.compile(
    "authori[sz]|auth[-_]|api[-_]?key|access[-_]?key|cookie|secret|token|signature|passw|credential",
    re.IGNORECASE,
)
_LETTER = {one.name: to_camel(one.name) for one in fields(LetterRow)}
LEFT = (LetterState.WAITING, LetterState.REPLAYING)  # nothing was done about them yet


def order_document(row: OrderRow) -> dict[str, object]:
    """Give an order as JSON shows it: camelCase, the columns that people and scripts want."""
    return {
        "requestId": row.request_id,
        "state": row.state,
        "code": row.code,
        "message": row.message,
        "exchange": row.exchange,
        "account": row.account,
        "symbol": row.symbol,
        "action": row.action,
        "requested": row.payload,
        "side": row.side,
        "orderType": row.order_type,
        "quantity": plain_number(row.order_quantity),
        "price": plain_number(row.order_price),
        "reduceOnly": row.reduce_only,
        "clientOrderId": row.client_order_id,
        "exchangeOrderId": row.exchange_order_id,
        "filledQuantity": plain_number(row.filled_quantity),
        "averagePrice": plain_number(row.average_price),
        "fee": plain_number(row.fee),
        "feeCurrency": row.fee_currency,
        "attempts": row.attempts,
        "sends": row.sends,
        "queuedAt": row.queued_at,
        "receivedAt": row.received_at,
        "sentAt": row.sent_at,
        "finishedAt": row.finished_at,
        "deadLetteredAt": row.dead_lettered_at,
        "secondsToWire": row.wire_seconds,
    }


def letter_document(row: LetterRow, *, whole: bool = False) -> dict[str, Any]:
    """Give a dead letter, without its body.

    Args:
        row: the dead letter.
        whole: also the producer's headers that hold credentials by their name, for a copy; else
            they are shown as asterisks. The table has them as they came, for the replay.
    """
    document: dict[str, Any] = {shown: getattr(row, name) for name, shown in _LETTER.items()}
    if not whole:
        document["headers"] = {
            name: _HIDDEN if _CREDENTIAL.search(name) else value
            for name, value in row.headers.items()
        }
    return document


def body_document(body: bytes) -> dict[str, str]:
    """Give a body: as text, or in base64 if it is none."""
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(body).decode()}


def stats_document(counts: Sequence[LetterCount]) -> dict[str, Any]:
    """Add counts up as people ask for them. Pure."""
    by_state: Counter[str] = Counter()
    by_reason: Counter[str] = Counter()
    by_exchange: Counter[str] = Counter()
    waiting = [one for one in counts if one.state in LEFT]
    for one in counts:
        by_state[one.state] += one.count
    for one in waiting:
        by_reason[one.reason] += one.count
        by_exchange[one.exchange] += one.count
    oldest = min((one.first_at for one in waiting), default=None)
    return {
        "waiting": sum(one.count for one in waiting),
        "oldestWaiting": oldest,
        "oldestWaitingSeconds": (datetime.now(UTC) - oldest).total_seconds() if oldest else None,
        "byState": dict(by_state),
        "byReason": dict(by_reason.most_common()),
        "byExchange": dict(by_exchange.most_common()),
    }


def plain_number(value: object) -> str | None:
    """Write a decimal without exponent and trailing zeros."""
    if value is None:
        return None
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
