"""Reading single fields out of an exchange's JSON, exactly and with an error that names them.

Decimals come from strings, integers or `Decimal`; a float is refused, for it has lost digits
already.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from providers.clock import from_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# What a parsed JSON object is: its values are looked at one by one, by the functions below.
Row = dict[str, Any]


class MalformedReply(ValueError):  # noqa: N818 - says the condition, as the provider errors do
    """An exchange's answer lacks a field, or has something unreadable in it."""


def row(value: object, what: str) -> Row:
    """Take `value` for a JSON object."""
    if not isinstance(value, dict):
        raise MalformedReply(f"{what} is {_kind(value)}, not an object")
    return value


def rows(source: Mapping[str, Any], name: str) -> list[Row]:
    """Take a field for a list of JSON objects."""
    value = source.get(name)
    if not isinstance(value, list):
        raise MalformedReply(f"{name} is {_kind(value)}, not a list")
    return [row(item, name) for item in value]


def text(source: Mapping[str, Any], name: str) -> str:
    """Take a field for a text that is not empty."""
    value = source.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedReply(f"{name} is {_kind(value)}, not a text")
    return value


def decimal(source: Mapping[str, Any], name: str) -> Decimal:
    """Take a field for a finite decimal number."""
    value = optional_decimal(source, name)
    if value is None:
        raise MalformedReply(f"{name} is missing")
    return value


def optional_decimal(source: Mapping[str, Any], name: str) -> Decimal | None:
    """Take a field for a finite decimal number; None where it is absent, null or empty."""
    value = source.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise MalformedReply(f"{name} is {_kind(value)}, not a decimal number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise MalformedReply(f"{name} is {value!r:.40}, not a decimal number") from None
    if not number.is_finite():
        raise MalformedReply(f"{name} is {value!r:.40}, not a finite number")
    return number


def positive(source: Mapping[str, Any], name: str) -> Decimal:
    """Take a field for a number above zero."""
    value = decimal(source, name)
    if value <= 0:
        raise MalformedReply(f"{name} is {value}, not above zero")
    return value


def optional_positive(source: Mapping[str, Any], name: str) -> Decimal | None:
    """Take a field for a number above zero; None where it is absent, empty or zero."""
    value = optional_decimal(source, name)
    return value if value is not None and value > 0 else None


def whole(source: Mapping[str, Any], name: str) -> int:
    """Take a field, a number or digits in a text, for a whole number."""
    value = source.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise MalformedReply(f"{name} is {_kind(value)}, not a whole number")


def instant(source: Mapping[str, Any], name: str) -> datetime:
    """Take a field for milliseconds since 1970."""
    try:
        return from_ms(whole(source, name))
    except (OverflowError, ValueError, OSError):
        raise MalformedReply(f"{name} is not a time in milliseconds") from None


def optional_instant(source: Mapping[str, Any], name: str) -> datetime | None:
    """Take a field for milliseconds since 1970; None where it is absent, empty or zero."""
    value = source.get(name)
    return None if value in (None, "", "0", 0) else instant(source, name)


def _kind(value: object) -> str:
    if value is None:
        return "missing"
    return "empty" if value == "" else type(value).__name__
