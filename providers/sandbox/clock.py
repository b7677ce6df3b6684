"""The sandbox's clock: the machine's, moved by an offset or stopped at an instant.

Everything the exchange does by time (order life, prices, limits, timestamp windows) reads this one
clock, so setting it is enough to test each of them. A stopped clock stops order life too: with a
fill delay above zero an order then stays open until the clock is advanced.
"""

from __future__ import annotations

import time


class SandboxClock:
    """Milliseconds since the epoch, as the exchange sees them."""

    __slots__ = ("_frozen_at_ms", "_offset_ms")

    def __init__(self) -> None:
        self._offset_ms = 0
        self._frozen_at_ms: int | None = None

    @property
    def offset_ms(self) -> int:
        """How far the running clock is ahead of the machine's."""
        return self._offset_ms

    @property
    def frozen_at_ms(self) -> int | None:
        """The instant it stands at, None while it runs."""
        return self._frozen_at_ms

    def now_ms(self) -> int:
        """The exchange's time."""
        if self._frozen_at_ms is not None:
            return self._frozen_at_ms
        return time.time_ns() // 1_000_000 + self._offset_ms

    def set_offset(self, offset_ms: int) -> None:
        """Run, `offset_ms` ahead of the machine's clock (behind it when negative)."""
        self._frozen_at_ms = None
        self._offset_ms = offset_ms

    def freeze(self, at_ms: int) -> None:
        """Stand still at an instant."""
        self._frozen_at_ms = at_ms

    def advance(self, by_ms: int) -> None:
        """Jump ahead, running or frozen."""
        if self._frozen_at_ms is not None:
            self._frozen_at_ms += by_ms
        else:
            self._offset_ms += by_ms

    def reset(self) -> None:
        """Back to the machine's clock."""
        self._frozen_at_ms = None
        self._offset_ms = 0
