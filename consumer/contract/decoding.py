"""From bytes to a `TradeMessage`, or to an error that tells the producer what to mend. Pure.

Strict on purpose: UTF-8, one JSON object, no field twice, no NaN, no number that would take a
megabyte to print. Numbers become `Decimal` in the parser and stay it. What an error shows of a
body is cut and printable, so that it can go into a header, a log line and a database.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from consumer.contract.message import NoNumber, TradeMessage
from consumer.errors import MalformedMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMBER_MOST = 64  # characters; the longest sensible number is far shorter
_EXPONENT_MOST = 99  # a message's fields are stricter; beyond it counting gets slow
_SHOWN_ERRORS = 5
_SHOWN_NAME = 40  # characters of a field's name

# Where pydantic's own words are for programmers.
_PLAIN = MappingProxyType(
    {
        "extra_forbidden": "unknown field",
        "missing": "is missing",
        "string_type": "must be a text in quotes",
        "string_unicode": "must be valid Unicode, no half of a surrogate pair alone",
        "decimal_type": "must be a number, such as 0.005",
        "int_type": "must be a whole number, such as 10",
        "int_from_float": "must be a whole number, such as 10",
        "bool_type": "must be true or false",
        "datetime_type": "must be ISO 8601, such as 2026-01-31T12:00:00Z",
    }
)


def decode(body: bytes, max_bytes: int) -> TradeMessage:
    """Read a message body.

    Accepts the flat form, and the REST envelope `{"requestId": …, "payload": {…}}`.

    Raises:
        MalformedMessage: with what was wrong, where, and what would be right.
    """
    return validate(parse_object(body, max_bytes))


def parse_object(body: bytes, max_bytes: int) -> dict[str, Any]:
    """Parse one JSON object; raises `MalformedMessage`."""
    if len(body) > max_bytes:
        raise MalformedMessage(
            "TOO_LARGE", f"the body has {len(body)} bytes; at most {max_bytes} are accepted"
        )
    if not body.strip():
        raise MalformedMessage("NOT_JSON", "the body is empty; expected one JSON object")
    if body.startswith(codecs.BOM_UTF8):
        raise MalformedMessage(
            "NOT_JSON", "the body begins with a byte order mark; leave it out, JSON has none"
        )
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessage(
            "NOT_UTF8", f"the body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}"
        ) from None
    try:
        value = json.loads(
            text,
            parse_float=_number,
            parse_int=_number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise MalformedMessage(
            "NOT_JSON", f"the body is not JSON: {error.msg} at character {error.pos}"
        ) from None
    except RecursionError:
        raise MalformedMessage(
            "NOT_JSON", "the body is nested too deeply; a trade message is one flat object"
        ) from None
    if not isinstance(value, dict):
        raise MalformedMessage(
            "NOT_AN_OBJECT", f"the body is a JSON {_json_type(value)}; expected an object"
        )
    return value


def validate(value: dict[str, Any]) -> TradeMessage:
    """Hold a parsed object against the contract; raises `MalformedMessage`."""
    if "payload" in value:
        value = _open_envelope(value)
    try:
        return TradeMessage.model_validate(value)
    except ValidationError as error:
        raise MalformedMessage("VALIDATION_ERROR", describe(error), request_id_of(value)) from None


def request_id_of(value: dict[str, Any]) -> str | None:
    """Return the request id of an object that may be malformed otherwise."""
    candidate = value.get("requestId")
    if isinstance(candidate, str) and 1 <= len(candidate) <= 128 and candidate.isprintable():  # noqa: PLR2004 - the contract's bounds
        return candidate
    return None


def describe(error: ValidationError) -> str:
    """Say every fault in one line: field, then what would be right. Never the input."""
    faults = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(_shown(str(part)) for part in item["loc"])
        text = _PLAIN.get(item["type"]) or item["msg"].removeprefix("Value error, ")
        if item["type"] == "string_unicode" and not where:
            text = f"a field's name {text}"
        faults.append(f"{where}: {text}" if where else text)
    more = len(faults) - _SHOWN_ERRORS
    shown = "; ".join(faults[:_SHOWN_ERRORS])
    return f"{shown}; and {more} more" if more > 0 else shown


def _open_envelope(value: dict[str, Any]) -> dict[str, Any]:
    payload = value["payload"]
    request_id = request_id_of(value)
    extra = sorted(set(value) - {"requestId", "payload"})
    if extra:
        raise MalformedMessage(
            "VALIDATION_ERROR",
            f"{_shown_all(extra)}: unknown field beside payload; an envelope has requestId and "
            "payload only",
            request_id,
        )
    if not isinstance(payload, dict):
        raise MalformedMessage(
            "VALIDATION_ERROR",
            f"payload: is a JSON {_json_type(payload)}; expected an object",
            request_id,
        )
    inner = payload.get("requestId", value.get("requestId"))
    if "requestId" in value and inner != value["requestId"]:
        raise MalformedMessage(
            "VALIDATION_ERROR", "payload.requestId: differs from the envelope's", request_id
        )
    return {**payload, "requestId": inner} if inner is not None else payload


def _number(text: str) -> Decimal | NoNumber:
    if len(text) > _NUMBER_MOST:
        return NoNumber(f"is a number of {len(text)} characters; at most {_NUMBER_MOST} are read")
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent that even a Decimal can't hold
        number = None
    if number is None or abs(number.adjusted()) > _EXPONENT_MOST:
        return NoNumber(f"is beyond 10^±{_EXPONENT_MOST}")
    return number


def _constant(text: str) -> NoNumber:
    return NoNumber(f"is {text}, which JSON does not have; must be a number, such as 0.005")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = sorted(name for name, count in counts.items() if count > 1)
        raise MalformedMessage("VALIDATION_ERROR", f"{_shown_all(twice)}: given more than once")
    return value


def _shown(name: str) -> str:
    """Make a field's name fit to be shown, whatever it is."""
    cut = name if len(name) <= _SHOWN_NAME else f"{name[:_SHOWN_NAME]}…"
    return cut if cut and cut.isprintable() else ascii(cut)


def _shown_all(names: Sequence[str]) -> str:
    shown = ", ".join(_shown(name) for name in names[:_SHOWN_ERRORS])
    more = len(names) - _SHOWN_ERRORS
    return f"{shown} and {more} more" if more > 0 else shown


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case Decimal() | NoNumber():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
