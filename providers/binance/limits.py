"""How long Binance asks to stay away after a limit was exceeded. Pure; hints only.

Limits run over whole minutes and whole ten seconds of the exchange's clock. Source: Binance API
docs, USDⓈ-M futures, "General Info", limits; the figures are those of `exchangeInfo.rateLimits`
in production. On another system they differ, which makes a hint a little wrong and nothing worse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from providers.calls import Verdict

_WEIGHT_A_MINUTE = 2400
_USED_WEIGHT = "x-mbx-used-weight-1m"
_MINUTE = 60
_TEN_SECONDS = 10
# What is counted, the most of it, and the seconds it is counted over; the longest first.
_COUNTED = (
    (_USED_WEIGHT, _WEIGHT_A_MINUTE, _MINUTE),
    ("x-mbx-order-count-1m", 1200, _MINUTE),
    ("x-mbx-order-count-10s", 300, _TEN_SECONDS),
)
_LONGEST_BAN = 3 * 86400.0  # seconds, as documented
_BANNED_UNTIL = re.compile(r"banned until (\d{13})\b", re.ASCII)
_WEIGHT_CODES = frozenset({"-1003", "http-429"})
_ORDERS_CODE = "-1015"


class UsedWeight:
    """How much of the minute's request weight is used up, as the last answer said it."""

    def __init__(self) -> None:
        self._minute = 0
        self._used = 0

    def note(self, headers: httpx.Headers, server_ms: int) -> None:
        """Take an answer's headers in."""
        used = _count(headers, _USED_WEIGHT)
        if used is not None:
            self._minute, self._used = _minute(server_ms), used

    def below_half(self, server_ms: int) -> bool:
        """True while requests that could as well be left out take nothing from others."""
        return self._minute != _minute(server_ms) or self._used < _WEIGHT_A_MINUTE // 2


def left_of_ban(message: str, server_ms: int) -> float | None:
    """Seconds until a ban ends, where the message says when."""
    found = _BANNED_UNTIL.search(message)
    if found is None:
        return None
    return min(max(0.0, (int(found[1]) - server_ms) / 1000), _LONGEST_BAN)


def left_of_counted(headers: httpx.Headers, server_ms: int) -> float | None:
    """Seconds until the longest window ends in which a counting header shows all as used."""
    for name, most, window in _COUNTED:
        used = _count(headers, name)
        if used is not None and used >= most:
            return _left_of_window(window, server_ms)
    return None


def left_after(verdict: Verdict, server_ms: int) -> float | None:
    """Seconds until the window ends that a refusal speaks of; None where it names none."""
    if verdict.code in _WEIGHT_CODES:
        return _left_of_window(_MINUTE, server_ms)
    if verdict.code == _ORDERS_CODE:
        minute = "MINUTE" in verdict.message.upper()
        return _left_of_window(_MINUTE if minute else _TEN_SECONDS, server_ms)
    return None


def _left_of_window(seconds: int, server_ms: int) -> float:
    """Seconds until the next whole window of so many seconds begins."""
    length = seconds * 1000
    return (length - server_ms % length) / 1000


def _minute(server_ms: int) -> int:
    return server_ms // (_MINUTE * 1000)


def _count(headers: httpx.Headers, name: str) -> int | None:
    """A counting header's number; None where it is absent or unreadable."""
    value = headers.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None  # noqa: PLR2004 - no counter is longer
