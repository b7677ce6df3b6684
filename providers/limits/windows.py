"""The rule "at most n slots in any period", as a pure model: time is an argument.

A ring holds the newest n slots, past and future, in order. The next k units fit at the earliest
moment that is a period after the k-th oldest of them: then at most n - k others lie within a
period before it or anywhere after it, so no window that holds the new slot holds more than n.
A bucket has two rings, one that everybody uses and one for what is urgent; what is urgent takes
whichever lets it go first. A reserved slot that is free is lent to whoever comes then, if none was
lent for long enough; it is never booked ahead, so that what is urgent waits no longer than if
another of its kind had come just before. `find_slots` in the database does exactly the same, for
all replicas; here it is for a worker that can't reach it, and for tests that hold the two against
each other.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.limits.pacing import Pace

FAR_AHEAD_MS = 30_000
"""A slot further in the future was taken before the clock was set back; it counts as taken now."""


@dataclass(slots=True)
class Bucket:
    """The slots of one limit, ms, oldest first; `lent` is when a reserved one was lent last."""

    general: list[int] = field(default_factory=list)
    reserved: list[int] = field(default_factory=list)
    lent: int = 0

    def fit(self, pace: Pace, now: int) -> None:
        """Bring both rings to their sizes; an unused slot was taken at the beginning of time."""
        if max(self.general[-1:] + self.reserved[-1:], default=0) > now + FAR_AHEAD_MS:
            self.general = [min(one, now) for one in self.general]
            self.reserved = [min(one, now) for one in self.reserved]
            self.lent = min(self.lent, now)
        self.general = _fit(self.general, pace.general)
        self.reserved = _fit(self.reserved, pace.reserved)

    def within(self, pace: Pace, at: int) -> int:
        """How many slots lie in the period that ends at a moment, or after it."""
        since = at - pace.period_ms
        return sum(slot > since for slot in self.slots)

    @property
    def slots(self) -> list[int]:
        """All slots, of both rings."""
        return self.general + self.reserved


class Demand(NamedTuple):
    """Units of one bucket."""

    bucket: Bucket
    units: int
    pace: Pace


def take(demands: Sequence[Demand], *, urgent: bool, now: int, patience: int) -> tuple[int, bool]:
    """Take the earliest slot that fits all buckets, if it is near enough.

    Args:
        demands: each bucket once.
        urgent: whether the reserved rings may be used.
        now: ms.
        patience: longest wait, ms; beyond it nothing is taken.

    Returns:
        The moment of the slot, and whether it was taken.
    """
    at = now
    for bucket, units, pace in demands:
        bucket.fit(pace, now)
        first = bucket.general[min(units, pace.general) - 1]
        if units <= pace.reserved and (urgent or _lends(bucket, units, pace, now)):
            first = min(first, bucket.reserved[units - 1])
        at = max(at, first + pace.period_ms)
    if at - now > patience:
        return at, False
    for bucket, units, pace in demands:
        count = min(units, pace.general)
        if bucket.general[count - 1] + pace.period_ms <= at:
            _push(bucket.general, count, at)
        else:
            _push(bucket.reserved, units, at)
            if not urgent:
                bucket.lent = at
    return at, True


def _lends(bucket: Bucket, units: int, pace: Pace, now: int) -> bool:
    free = bucket.reserved[units - 1] + pace.period_ms <= now
    return free and pace.lent_ms > 0 and bucket.lent + pace.lent_ms <= now


def charge(bucket: Bucket, units: int, pace: Pace, now: int) -> None:
    """Count units that somebody else has used just now."""
    bucket.fit(pace, now)
    _push(bucket.general, min(units, pace.general), now)


def _fit(ring: list[int], size: int) -> list[int]:
    if len(ring) == size:
        return ring
    return ring[len(ring) - size :] if len(ring) > size else [0] * (size - len(ring)) + ring


def _push(ring: list[int], units: int, at: int) -> None:
    for _ in range(units):
        insort(ring, at)
    del ring[:units]
