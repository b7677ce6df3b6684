"""Time: a clock that tests can replace, and an estimate of an exchange's clock.

The estimate hangs on the monotonic clock, so a step of the local wall clock does not move it.
It is a lower bound: an exchange accepts a timestamp that is some seconds old, but hardly one
from the future, so the sign that is certain to be safe is "not later than the exchange's now".
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

_SAMPLES_KEPT = 8
_SAMPLE_LIFE = 600.0  # seconds; an older sample says little, for quartz drifts
_DRIFT = 100e-6  # seconds a second: twice what a poor quartz drifts
_MOST_CAUTION_MS = 500  # a signature is never set back further than this for a slow round trip


class Clock(Protocol):
    """Where everything that waits or signs gets its time from."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds since some moment; never steps back."""


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment; never steps back."""
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class _Sample:
    """One reading: at `middle` (monotonic) the exchange's clock showed `server_ms` ± `error`."""

    middle: float
    error: float  # seconds: half the round trip
    server_ms: float

    def error_at(self, monotonic: float) -> float:
        return self.error + abs(monotonic - self.middle) * _DRIFT


class ServerClock:
    """An exchange's clock, estimated from round trips; keeps the tightest recent one."""

    __slots__ = ("_best", "_clock", "_samples")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES_KEPT)
        self._best: _Sample | None = None

    @property
    def synced(self) -> bool:
        """True once the exchange's clock was read."""
        return self._best is not None

    def add(self, sent: float, received: float, server_ms: float) -> None:
        """Take in a reading.

        Args:
            sent: monotonic seconds just before the question left.
            received: monotonic seconds just after the answer came.
            server_ms: what the exchange's clock showed in between, ms since 1970.
        """
        sample = _Sample((sent + received) / 2, max(0.0, received - sent) / 2, server_ms)
        self._samples.append(sample)
        fresh = [one for one in self._samples if received - one.middle <= _SAMPLE_LIFE]
        self._best = min(fresh, key=lambda one: one.error_at(received))

    def forget(self) -> None:
        """Drop all readings: the exchange has just said that the estimate is wrong."""
        self._samples.clear()
        self._best = None

    def timestamp_ms(self) -> int:
        """The time to sign with, ms since 1970: as late as is certain not to be in the future.

        Before the first reading it is the local wall clock.
        """
        best = self._best
        if best is None:
            return int(self._clock.now().timestamp() * 1000)
        now = self._clock.monotonic()
        caution = min(best.error_at(now) * 1000, _MOST_CAUTION_MS)
        return int(best.server_ms + (now - best.middle) * 1000 - caution)

    def now(self) -> datetime:
        """The exchange's clock, estimated as for `timestamp_ms`."""
        return from_ms(self.timestamp_ms())


def from_ms(milliseconds: float) -> datetime:
    """An instant from milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return math.floor(instant.timestamp() * 1000)
