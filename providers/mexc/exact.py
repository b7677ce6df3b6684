"""JSON whose numbers stay exact, both ways. MEXC writes and wants numbers, not strings.

A price of 0.1 is `Decimal("0.1")` in here and `0.1` on the wire, and never a float in between.
"""

from __future__ import annotations

import json
from decimal import Context, Decimal, Inexact
from typing import TYPE_CHECKING, Final

import orjson

from providers.fields import MalformedReply, decimal, optional_decimal
from providers.sizing import plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# More digits than this on one side of the point are no price and no quantity of this world.
_MOST_DIGITS = 40
# For sums of such numbers; the default context would round to 28 digits.
EXACT: Final = Context(prec=4 * _MOST_DIGITS, traps=[Inexact])
_SIMPLE: Final = frozenset({str, bool, int, Decimal})  # all that an order has
_ORJSON: Final = range(-(1 << 63), 1 << 64)  # the integers that it writes
_DECODER: Final = json.JSONDecoder(parse_float=Decimal)


def dumps(value: object) -> bytes:
    """Write compact JSON; a `Decimal` becomes a plain number, with all its digits.

    Raises:
        TypeError: for a float, or anything else that has no exact form.
        ValueError: for a Decimal that is not finite.
    """
    if isinstance(value, dict) and _SIMPLE.issuperset(map(type, value.values())):
        try:
            return orjson.dumps(value, default=_digits)
        except orjson.JSONEncodeError:
            pass  # rare; below it is said what is wrong
    return orjson.dumps(_exact(value))


def loads(body: bytes) -> object:
    """Read JSON; whole numbers become int, all others `Decimal`.

    Raises:
        ValueError: if it is not JSON, or holds a number that no Decimal can.
    """
    orjson.loads(body)  # the stricter judge of what is JSON: no NaN, no half of a character
    try:
        return _DECODER.decode(body.decode())
    except (ArithmeticError, RecursionError) as error:
        raise ValueError(type(error).__name__) from None


def number(source: Mapping[str, Any], name: str) -> Decimal:
    """Take a field for a decimal number of sane length."""
    return _sane(decimal(source, name), name)


def optional_number(source: Mapping[str, Any], name: str) -> Decimal | None:
    """Take a field for a decimal number of sane length; None where it is absent, null or empty."""
    value = optional_decimal(source, name)
    return None if value is None else _sane(value, name)


def positive_number(source: Mapping[str, Any], name: str) -> Decimal:
    """Take a field for a number above zero, of sane length."""
    value = number(source, name)
    if value <= 0:
        raise MalformedReply(f"{name} is {value}, not above zero")
    return value


def optional_positive_number(source: Mapping[str, Any], name: str) -> Decimal | None:
    """Take a field for a number above zero; None where it is absent, empty, or not above zero."""
    value = optional_number(source, name)
    return value if value is not None and value > 0 else None


def _sane(value: Decimal, name: str) -> Decimal:
    exponent = value.as_tuple().exponent
    if (
        not isinstance(exponent, int)
        or exponent < -_MOST_DIGITS
        or value.adjusted() >= _MOST_DIGITS
    ):
        raise MalformedReply(f"{name} has more than {_MOST_DIGITS} digits on one side of its point")
    return value


def _digits(value: Decimal) -> orjson.Fragment:
    return orjson.Fragment(plain(value))


def _exact(value: object) -> object:
    """The same for orjson: what has no exact form refused, long numbers and Decimals as digits."""
    match value:
        case str():
            return value
        case int():
            return value if value in _ORJSON else orjson.Fragment(str(value))
        case Decimal():
            return _digits(value)
        case dict():
            return {str(name): _exact(member) for name, member in value.items()}
        case list() | tuple():
            return [_exact(member) for member in value]
        case _:
            raise TypeError(f"{type(value).__name__} has no exact form in JSON")
