"""Request limits: rolling windows and bans. The clock is an argument; nothing here knows a venue.

A window counts what was let through during the last `window_ms`. A guard adds what some venues do
to an address that goes on regardless: it is banned, longer each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

LimitsMode = Literal["published", "off"]
LimitsSetting = LimitsMode | Mapping[str, int]
"""`published`, `off`, or caps by endpoint name (`ip` for the address; the rest as published)."""

IP_CAP: Final = "ip"
"""The name under which a custom setting gives the cap per address."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit` units of weight in any `window_ms`."""

    limit: int
    window_ms: int


class Verdict(NamedTuple):
    """One request against one window.

    Attributes:
        remaining: what is left of the cap after this request.
        reset_ms: when there is room again if it was refused, else the present.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_ms: int


class RollingWindow:
    """Counts weights over the last `cap.window_ms` milliseconds."""

    __slots__ = ("_entries", "_used", "cap")

    def __init__(self, cap: Cap) -> None:
        self.cap = cap
        self._entries: deque[tuple[int, int]] = deque()
        self._used = 0

    def take(self, now_ms: int, weight: int = 1) -> Verdict:
        """Let a request through and count it, or refuse it without counting."""
        self._expire(now_ms)
        limit = self.cap.limit
        if self._used + weight > limit:
            first = self._entries[0][0] if self._entries else now_ms
            return Verdict(False, limit, max(limit - self._used, 0), first + self.cap.window_ms)
        self._entries.append((now_ms, weight))
        self._used += weight
        return Verdict(True, limit, limit - self._used, now_ms)

    def used(self, now_ms: int) -> int:
        """Weight inside the window."""
        self._expire(now_ms)
        return self._used

    def _expire(self, now_ms: int) -> None:
        entries = self._entries
        if entries and entries[-1][0] > now_ms:  # the clock was set back
            entries.clear()
            self._used = 0
        oldest = now_ms - self.cap.window_ms
        while entries and entries[0][0] <= oldest:
            self._used -= entries.popleft()[1]


class Guard:
    """A window with bans: who exceeds it more than `grace` times is shut out for a while.

    Args:
        cap: the window.
        bans_ms: length of the first ban, the second, ...; the last one repeats.
        grace: refusals allowed before a ban.
    """

    __slots__ = ("_bans_ms", "_grace", "_refused", "_strikes", "_until_ms", "window")

    def __init__(self, cap: Cap, bans_ms: tuple[int, ...], *, grace: int = 0) -> None:
        self.window = RollingWindow(cap)
        self._bans_ms = bans_ms
        self._grace = grace
        self._refused = 0
        self._strikes = 0
        self._until_ms = 0

    def banned_until(self, now_ms: int) -> int | None:
        """When the present ban ends, None without one."""
        return self._until_ms if now_ms < self._until_ms else None

    def ban(self, until_ms: int) -> None:
        """Shut the address out until an instant."""
        self._until_ms = until_ms

    def take(self, now_ms: int, weight: int = 1) -> Verdict:
        """Count a request; a refusal beyond the grace starts a ban."""
        verdict = self.window.take(now_ms, weight)
        if verdict.allowed:
            self._refused = 0
            return verdict
        self._refused += 1
        if self._refused > self._grace:
            length = self._bans_ms[min(self._strikes, len(self._bans_ms) - 1)]
            self._strikes += 1
            self._refused = 0
            self._until_ms = now_ms + length
        return verdict

    def rewind(self, by_ms: int) -> None:
        """Keep a ban's remaining length although the clock was set back by `by_ms`."""
        self._until_ms = max(0, self._until_ms - by_ms)


class Windows:
    """Rolling windows by caller and name, made on first use; few callers, so it stays small."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], RollingWindow] = {}

    def take(self, caller: str, name: str, cap: Cap, now_ms: int, weight: int = 1) -> Verdict:
        """Count a request of a caller under a name; a changed cap starts a new window."""
        window = self._windows.get((caller, name))
        if window is None or window.cap != cap:
            window = self._windows[caller, name] = RollingWindow(cap)
        return window.take(now_ms, weight)

    def clear(self) -> None:
        """Forget all counts."""
        self._windows.clear()
