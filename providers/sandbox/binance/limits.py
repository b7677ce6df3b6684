"""Binance's request limits: weight by address, orders by account, bans for who goes on regardless.

Windows begin at whole multiples of their length and count everything sent during it, as Binance's
do; at the next multiple they are empty again. The clock is an argument.
"""

from __future__ import annotations

from typing import Any, Final

from providers.sandbox.limits import IP_CAP, Cap

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60 * SECOND_MS

ORDERS_10S: Final = "orders_10s"
ORDERS_1M: Final = "orders_1m"

PUBLISHED: Final[dict[str, Cap]] = {
    IP_CAP: Cap(2400, MINUTE_MS),
    ORDERS_10S: Cap(300, 10 * SECOND_MS),
    ORDERS_1M: Cap(1200, MINUTE_MS),
}

GRACE: Final = 10
"""Refusals (429) within one minute before the address is banned (418); Binance names no figure."""

BANS_MS: Final = tuple(minutes * MINUTE_MS for minutes in (2, 5, 30, 120, 1440, 4320))
"""Bans grow from two minutes to three days."""


def row(name: str, cap: Cap) -> dict[str, Any]:
    """A limit as exchangeInfo and the counters show it."""
    minute = cap.window_ms >= MINUTE_MS
    return {
        "rateLimitType": "REQUEST_WEIGHT" if name == IP_CAP else "ORDERS",
        "interval": "MINUTE" if minute else "SECOND",
        "intervalNum": cap.window_ms // (MINUTE_MS if minute else SECOND_MS),
        "limit": cap.limit,
    }


class AlignedWindow:
    """What was used since the last whole multiple of the window."""

    __slots__ = ("_index", "_used", "cap")

    def __init__(self, cap: Cap) -> None:
        self.cap = cap
        self._index = 0
        self._used = 0

    def used(self, now_ms: int) -> int:
        """Used so far in the present window."""
        index = now_ms // self.cap.window_ms
        if index != self._index:
            self._index, self._used = index, 0
        return self._used

    def add(self, now_ms: int, weight: int = 1) -> bool:
        """Count; whether the cap still held."""
        self._used = self.used(now_ms) + weight
        return self._used <= self.cap.limit

    def next_ms(self, now_ms: int) -> int:
        """When the present window ends."""
        return (now_ms // self.cap.window_ms + 1) * self.cap.window_ms


class Address:
    """The one address everyone calls from: its weight, its refusals, its bans."""

    def __init__(self, cap: Cap) -> None:
        self.weight = AlignedWindow(cap)
        self._refusals = AlignedWindow(Cap(GRACE, MINUTE_MS))
        self._strikes = 0
        self._until_ms = 0

    def banned_until(self, now_ms: int) -> int | None:
        """When the present ban ends, None without one."""
        return self._until_ms if now_ms < self._until_ms else None

    def ban(self, until_ms: int) -> None:
        """Ban until an instant."""
        self._until_ms = until_ms

    def offend(self, now_ms: int) -> None:
        """Count a refusal; too many of them are a ban, longer each time."""
        if not self._refusals.add(now_ms):
            self._until_ms = now_ms + BANS_MS[min(self._strikes, len(BANS_MS) - 1)]
            self._strikes += 1
            self._refusals = AlignedWindow(self._refusals.cap)

    def rewind(self, by_ms: int) -> None:
        """Keep a ban's remaining length although the clock was set back by `by_ms`."""
        self._until_ms = max(0, self._until_ms - by_ms)


class OrderCounts:
    """How many orders each account has sent lately."""

    def __init__(self, caps: dict[str, Cap]) -> None:
        self._caps = caps
        self._windows: dict[str, tuple[AlignedWindow, AlignedWindow]] = {}

    def of(self, account: str) -> tuple[AlignedWindow, AlignedWindow]:
        """An account's windows: ten seconds, one minute."""
        found = self._windows.get(account)
        if found is None:
            found = self._windows[account] = (
                AlignedWindow(self._caps[ORDERS_10S]),
                AlignedWindow(self._caps[ORDERS_1M]),
            )
        return found
