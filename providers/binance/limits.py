"""What Binance says of its limits: how much is used, how long to stay away. Pure.

Limits run over whole minutes and whole ten seconds of the exchange's clock. Source: Binance API
docs, USDⓈ-M futures, "General Info", limits. The figures are the published ones; on a system with
others a hint is a little wrong and nothing worse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from providers.admission import Usage
from providers.limits.binance import ORDERS_1M, ORDERS_10S, QUOTA
from providers.limits.quota import IP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.calls import Verdict

_WEIGHT_A_MINUTE = QUOTA.limits[IP].units
_USED_WEIGHT = "x-mbx-used-weight-1m"
_MINUTE = 60
_TEN_SECONDS = 10
# The header that counts, the limit, and the seconds it is counted over; the longest first.
_COUNTED = (
    (_USED_WEIGHT, QUOTA.limits[IP], _MINUTE),
    ("x-mbx-order-count-1m", QUOTA.limits[ORDERS_1M], _MINUTE),
    ("x-mbx-order-count-10s", QUOTA.limits[ORDERS_10S], _TEN_SECONDS),
)
_SHORTEST_BAN = 1.0  # seconds
_LONGEST_BAN = 3 * 86400.0  # seconds, as documented
_BANNED_UNTIL = re.compile(r"banned until (\d{13})\b", re.ASCII)
_WEIGHT_CODES = frozenset({"-1003", "http-429"})
_ORDERS_CODE = "-1015"


class UsedWeight:
    """How much of the minute's request weight is used up, as the last answer said it."""

    def __init__(self) -> None:
        self._minute = 0
        self._used = 0

    def note(self, headers: Mapping[str, str], server_ms: int) -> None:
        """Take an answer's headers in."""
        used = _count(headers, _USED_WEIGHT)
        if used is not None:
            self._minute, self._used = _minute(server_ms), used

    def below_half(self, server_ms: int) -> bool:
        """True while requests that could as well be left out take nothing from others."""
        return self._minute != _minute(server_ms) or self._used < _WEIGHT_A_MINUTE // 2


def left_of_ban(message: str, server_ms: int) -> float | None:
    """Seconds until a ban ends, where the message says when.

    One that should be over was read late, or our idea of the exchange's clock is wrong: no reason
    to stay away as long as from an exchange that names no end, and none to ask at once.
    """
    found = _BANNED_UNTIL.search(message)
    if found is None:
        return None
    return min(max(_SHORTEST_BAN, (int(found[1]) - server_ms) / 1000), _LONGEST_BAN)


def left_of_counted(headers: Mapping[str, str], server_ms: int) -> float | None:
    """Seconds until the longest window ends in which a counting header shows all as used."""
    for name, limit, window in _COUNTED:
        used = _count(headers, name)
        if used is not None and used >= limit.units:
            return _left_of_window(window, server_ms)
    return None


def usages(headers: Mapping[str, str], server_ms: int) -> list[Usage]:
    """What the counting headers show of each limit."""
    return [
        Usage(limit.name, used, _left_of_window(window, server_ms))
        for name, limit, window in _COUNTED
        if (used := _count(headers, name)) is not None
    ]


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


def _count(headers: Mapping[str, str], name: str) -> int | None:
    """A counting header's number; None where it is absent or unreadable."""
    value = headers.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None  # noqa: PLR2004 - no counter is longer
