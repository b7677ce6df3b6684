"""The values that config keys hold, and how each is read from text. Pure.

A parser raises `ValueError` for anything it does not understand; what would be right is said by
the key (`consumer.controls.registry`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from providers.symbols import normalise

MAX_LEVERAGE = 125
_WHOLE = re.compile(r"[0-9]{1,3}")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
_RATE = re.compile(r"([0-9]{1,4})/([0-9]{1,5})(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_MOST_IN_A_RATE = 1000
_DAY = 86400


class Switch(StrEnum):
    """How far the kill switch is thrown."""

    OFF = "off"
    REDUCE_ONLY = "reduce_only"  # only closes pass
    ON = "on"  # nothing passes


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many in any window of so many seconds."""

    most: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.most}/{self.seconds}s"


_SWITCHES = {
    "off": Switch.OFF,
    "false": Switch.OFF,
    "reduce_only": Switch.REDUCE_ONLY,
    "on": Switch.ON,
    "true": Switch.ON,
}


def switch(text: str) -> Switch:
    """Read `off`, `reduce_only` or `on`; `false` and `true` are other words for off and on."""
    try:
        return _SWITCHES[text]
    except KeyError:
        raise ValueError(text) from None


def truth(text: str) -> bool:
    """Read `true` or `false`."""
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def leverage(text: str) -> int:
    """Read a whole number from 1 to 125."""
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= MAX_LEVERAGE:
        raise ValueError(text)
    return int(text)


def positive(text: str) -> Decimal:
    """Read a decimal number greater than zero, without an exponent."""
    if not _NUMBER.fullmatch(text) or not Decimal(text):
        raise ValueError(text)
    return Decimal(text)


def percent(text: str) -> Decimal:
    """Read a decimal number greater than 0, at most 100."""
    value = positive(text)
    if value > 100:  # noqa: PLR2004 - what per cent means
        raise ValueError(text)
    return value


def seconds(text: str) -> timedelta:
    """Read seconds: greater than 0, at most a day."""
    value = positive(text)
    if value > _DAY or value < Decimal("0.001"):
        raise ValueError(text)
    return timedelta(microseconds=int(value * 1_000_000))


def rate(text: str) -> Rate:
    """Read `10/60s`, `100/5m` or `500/1h`; at most 1000, in at most a day."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    found = Rate(int(match[1]), int(match[2]) * _SECONDS[match[3]])
    if not 1 <= found.most <= _MOST_IN_A_RATE or not 1 <= found.seconds <= _DAY:
        raise ValueError(text)
    return found


def symbols(text: str) -> frozenset[str]:
    """Read symbols separated by commas; at least one."""
    return frozenset(normalise(part.strip()) for part in text.split(","))


def text_of(value: object) -> str:
    """Write a value the one way in which it is stored."""
    match value:
        case bool():
            return str(value).lower()
        case Decimal():
            return plain(value)
        case timedelta():
            return plain(Decimal(value // timedelta(microseconds=1)) / 1_000_000)
        case frozenset():
            return ",".join(sorted(value))
        case _:
            return str(value)


def plain(value: Decimal) -> str:
    """Write a number without an exponent and without zeros at its end."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
