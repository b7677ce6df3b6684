"""From a message in the dead-letter queue to a dead letter as it is kept. Pure.

Takes whatever comes, from any version and from nobody's hand: what can't be read is left empty,
the body is kept as it is.

What tells one death from another is the message (id and body), and the batch, place and moment in
which it failed, as the headers say; of a message that climbed the whole ladder by itself, the
broker's own record of that. So a dead letter that is delivered twice is the same one, and a request
that died twice is two.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from consumer.contract.decoding import parse_object, request_id_of
from consumer.errors import MalformedMessage
from consumer.queue.dead_letters import REPLAY_OF
from consumer.queue.settlement import RETRIES_EXHAUSTED
from providers.symbols import normalise
from storage.dead_letters import DeadLetter, error_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.queue.topology import Topology

_TEXT_MOST = 200  # characters of a name
_ERROR_MOST = 1000
_HEADER_MOST = 131_072  # a frame holds no longer one
_INT_MOST = 2**31 - 1
_NO_REASON = "the broker moved it here after its last wait; no worker said why"


def letter_of(
    body: bytes,
    headers: Mapping[str, object],
    *,
    message_id: str | None,
    content_type: str | None,
    routing_key: str,
    topology: Topology,
    max_bytes: int,
    now: datetime,
) -> DeadLetter:
    """Read a message from the dead-letter queue."""
    asked = _asked(body, max_bytes)
    said = _text(headers.get("trade-reason"))
    error = _text(headers.get("trade-error"), _ERROR_MOST) or ("" if said else _NO_REASON)
    failed_at = _time(headers.get("trade-failed-at")) or now
    own = _text(headers.get("trade-request-id"))
    symbol = asked.get("symbol")
    return DeadLetter(
        identity=_identity(body, headers, message_id),
        body=body,
        headers=orjson.dumps(_plain(dict(headers))),
        content_type=_text(content_type),
        message_id=_text(message_id),
        routing_key=_text(routing_key) or "",
        reason=said or RETRIES_EXHAUSTED,
        error=error,
        error_group=error_group(error),
        attempts=_int(headers.get("trade-attempts")) or topology.attempt(routing_key),
        request_id=own or asked.get("requestId"),
        exchange=_text(headers.get("trade-exchange")) or asked.get("exchange"),
        symbol=_symbol(symbol) if symbol else None,
        action=asked.get("action"),
        replay_of=_int(headers.get(REPLAY_OF)),
        batch_id=_text(headers.get("trade-batch-id")) or "",
        batch_at=_time(headers.get("trade-batch-at")) or failed_at,
        batch_order=_int(headers.get("trade-batch-order")) or 0,
        failed_at=failed_at,
    )


def bare(letter: DeadLetter) -> DeadLetter:
    """Give a dead letter with nothing in it that a database could refuse but the body."""
    return DeadLetter(
        identity=letter.identity,
        body=letter.body,
        headers=b"{}",
        content_type=None,
        message_id=None,
        routing_key="",
        reason="UNREADABLE",
        error="its headers can't be kept",
        error_group="its headers can't be kept",
        attempts=letter.attempts,
        request_id=None,
        exchange=None,
        symbol=None,
        action=None,
        replay_of=None,
        batch_id="",
        batch_at=letter.failed_at,
        batch_order=0,
        failed_at=letter.failed_at,
    )


def _identity(body: bytes, headers: Mapping[str, object], message_id: str | None) -> bytes:
    marks = {
        name: value
        for name, value in headers.items()
        if name.startswith("trade-") or name == "x-death"
    }
    seed = orjson.dumps(_plain([message_id, marks]), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(hashlib.sha256(body).digest() + seed).digest()


def _asked(body: bytes, max_bytes: int) -> dict[str, str]:
    """Read what a body says of itself, as far as it can be read."""
    try:
        value = parse_object(body, max_bytes)
    except MalformedMessage:
        return {}
    found: dict[str, str] = {}
    if (request_id := request_id_of(value)) is not None:
        found["requestId"] = request_id
    payload = value.get("payload", value)
    if isinstance(payload, dict):
        if (request_id := request_id_of(payload)) is not None:
            found["requestId"] = request_id
        for name, change in (("exchange", str.lower), ("symbol", str), ("action", str.upper)):
            text = payload.get(name)
            if isinstance(text, str) and (clean := _text(text)):
                found[name] = change(clean)
    return found


def _symbol(text: str) -> str:
    try:
        return normalise(text)
    except ValueError:
        return text


def _text(value: object, most: int = _TEXT_MOST) -> str | None:
    """Make text that a database can keep."""
    if value is None:
        return None
    return str(value)[:most].replace("\x00", "").encode(errors="replace").decode() or None


def _int(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _INT_MOST:
        return value
    return None


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.astimezone(UTC) if parsed.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _plain(value: object) -> object:
    """Make a header's value one that JSON and a database can keep."""
    plain: object
    match value:
        case None | bool() | float():
            plain = value
        case int():
            plain = value if abs(value) <= _INT_MOST else str(value)
        case datetime():
            plain = value.isoformat()
        case dict():
            plain = {_text(name, _ERROR_MOST) or "": _plain(one) for name, one in value.items()}
        case list() | tuple():
            plain = [_plain(item) for item in value]
        case bytes() | bytearray():
            plain = bytes(value).decode(errors="replace").replace("\x00", "")
        case _:
            plain = _text(value, _HEADER_MOST) or ""
    return plain
