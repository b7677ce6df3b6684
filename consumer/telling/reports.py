"""The report of a finished order: its key in the object store, and its content. Pure.

Both follow from what the ledger keeps of a finished order, which never changes again, so that a
report that is uploaded twice is the same object with the same bytes. What does change afterwards
(when the message reached the dead letters) is left out for that reason.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from storage.orders import OrderEvent, OrderRow

VERSION = 1
CONTENT_TYPE = "application/json"

# Stands at the head of every key, inside the bucket: reports are found by the same keys whether
# they have a bucket of their own or share one.
_PREFIX = "trade-reports"
_PLAIN_MOST = 160  # characters of an encoded name; beyond that it is cut and its digest added
_CUT = 136
_BROKEN_ESCAPE = re.compile("%[0-9A-F]?$")
_SEGMENT_ELSEWHERE = frozenset({".", ".."})


def report_key(row: OrderRow) -> str:
    """Name the report of a finished order.

    `trade-reports/{exchange}/{symbol}/{2026-01-31T12-00-00-123Z}-{request id}.json`, the time being
    when the order was finished. Every part is made of `[A-Za-z0-9._-]` and of `%XX` for bytes that
    are not, and is no longer than 201 characters. Different request ids make different keys.

    Raises:
        ValueError: the order is not finished.
    """
    stamp = _iso(_finished(row), "milliseconds").replace(":", "-").replace(".", "-")
    return (
        f"{_PREFIX}/{key_segment(row.exchange)}/{key_segment(row.symbol)}/"
        f"{stamp}-{key_part(row.request_id)}.json"
    )


def key_part(text: str) -> str:
    """Encode any text for a key, differently for every text.

    What is too long is cut and ends in the SHA-256 of the whole; that makes it longer than any
    text that was not cut, so the two never meet.
    """
    encoded = quote(text, safe="", errors="surrogatepass").replace("~", "%7E")
    if len(encoded) <= _PLAIN_MOST:
        return encoded
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{_BROKEN_ESCAPE.sub('', encoded[:_CUT])}-{digest}"


def key_segment(text: str) -> str:
    """Encode any text as a whole segment of a key, which must not be empty, `.` or `..`."""
    part = key_part(text)
    return part.replace(".", "%2E") if part in _SEGMENT_ELSEWHERE else part or "%00"


def report_document(row: OrderRow, events: Sequence[OrderEvent]) -> dict[str, object]:
    """Tell a finished order: what was asked, what was sent, what came of it, and when.

    Money and quantities are strings; times are ISO 8601 in UTC; `secondsToWire` is the time from
    the producer's `queuedAt` to the first send. `order` is null if it never came to an intent.

    Raises:
        ValueError: the order is not finished.
    """
    finished_at = _finished(row)
    return {
        "version": VERSION,
        "requestId": row.request_id,
        "clientOrderId": row.client_order_id,
        "exchange": row.exchange,
        "account": row.account,
        "symbol": row.symbol,
        "request": _plain(row.payload),
        "order": _order(row),
        "result": {
            "status": row.state,
            "orderId": row.exchange_order_id,
            "filledQuantity": _number(row.filled_quantity),
            "averagePrice": _number(row.average_price),
            "fee": _number(row.fee),
            "feeCurrency": row.fee_currency,
            "code": row.code,
            "message": row.message,
        },
        "times": {
            "queuedAt": _time(row.queued_at),
            "receivedAt": _time(row.received_at),
            "sentAt": _time(row.sent_at),
            "finishedAt": _time(finished_at),
            "secondsToWire": row.wire_seconds,
        },
        "attempts": row.attempts,
        "sends": row.sends,
        "events": [_event(event) for event in events],
    }


def report_body(row: OrderRow, events: Sequence[OrderEvent]) -> bytes:
    """Write a report as UTF-8 JSON; raises as `report_document` does."""
    return orjson.dumps(report_document(row, events))


def _order(row: OrderRow) -> dict[str, object] | None:
    if row.intended_at is None:
        return None
    return {
        "side": row.side,
        "orderType": row.order_type,
        "quantity": _number(row.order_quantity),
        "price": _number(row.order_price),
        "reduceOnly": row.reduce_only,
    }


def _event(event: OrderEvent) -> dict[str, object]:
    return {
        "at": _time(event.at),
        "before": event.before,
        "after": event.after,
        "attempt": event.attempt,
        "code": event.code,
        "message": event.message,
        "detail": {to_camel(name): _plain(value) for name, value in event.detail.items()},
    }


def _finished(row: OrderRow) -> datetime:
    if row.finished_at is None:
        raise ValueError(
            f"order {row.request_id!r} is {row.state}; only a finished one is reported"
        )
    return row.finished_at


def _plain(value: object) -> object:
    """Make a value that JSON can hold, decimals as text."""
    match value:
        case Decimal():
            return _number(value)
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value


def _number(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def _time(value: datetime | None) -> str | None:
    return None if value is None else _iso(value, "microseconds")


def _iso(value: datetime, precision: str) -> str:
    return value.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
