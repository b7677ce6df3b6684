"""JSON as MEXC writes and reads it: numbers are JSON numbers, and they are exact.

Decimals go out as digits and come in as `Decimal`; no float is involved. A MEXC order id has more
digits than a double holds, so a client that reads numbers as doubles is caught here.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final, Never

import orjson


def encode(value: object) -> bytes:
    """JSON with every `Decimal` as a plain number, without exponent and needless zeros."""
    return orjson.dumps(value, default=_number)


def decode(raw: bytes) -> Any:  # noqa: ANN401 - JSON
    """The value of a JSON text; fractions are `Decimal`.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return _DECODER.decode(raw.decode())
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def plain(value: Decimal) -> str:
    """A decimal without exponent and needless zeros."""
    if not value:
        return "0"
    text = f"{value:f}"  # normalize() would round to the context's digits
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(plain(value).encode())
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON number")


_DECODER: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)
