"""From a published limit to the rule that is kept: how many slots in which period. Pure.

A slot is a moment at which a request may leave; the request arrives up to `margin` later, some
sooner and some later. If at most N slots lie in any `window + margin`, then at most N requests
arrive in any `window`, however they overtake each other.

A long window is kept in parts: whoever has used up 1200 orders of a minute at its beginning would
have to wait for the rest of it. n slots in any period p, where m periods make `window + margin`
and m·n ≤ N, keep the same promise and never make anybody wait much longer than p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.limits.quota import Scope

if TYPE_CHECKING:
    from providers.limits.quota import Published

# The longest period, ms. Orders wait for a slot, so theirs is short; what an address may use has to
# last for the burst of reads with which a worker begins.
LONGEST_MS = MappingProxyType({Scope.ACCOUNT: 2000, Scope.ADDRESS: 10_000})
MOST_SLOTS = 400  # in a period: they are kept one by one
_LEAST_SLOTS = 10  # in a part of a window, so that it still takes a burst
_MARGIN_PART = 50  # of a window
_MARGIN_OF_BURSTS = 3  # times that of orders
_WORTH_RESERVING = 4  # units; of fewer nothing is kept back


@dataclass(frozen=True, slots=True)
class Pace:
    """At most `general` + `reserved` slots in any `period_ms`; the latter for what is urgent.

    Of a small limit a single reserved slot is more than the part that was to be kept: while it is
    free it is lent to others, once in `lent_ms`; never if that is 0.
    """

    general: int
    reserved: int
    period_ms: int
    lent_ms: int = 0

    def share(self, replicas: int) -> Pace:
        """What one of so many replicas may use where they can't tell each other.

        Together they use no more than the whole: where there is less than one slot for each,
        the period is longer instead.
        """
        whole = self.general + self.reserved
        units = max(1, whole // replicas)
        reserved = min(self.reserved // replicas, units - 1)
        period = max(self.period_ms, math.ceil(self.period_ms * replicas / whole))
        lent_ms = self.lent_ms if reserved == self.reserved else 0
        period_ms = self.period_ms if whole >= replicas else period
        return Pace(units - reserved, reserved, period_ms, lent_ms)


def margin_of(limit: Published, margin_ms: int) -> int:
    """The margin of a limit, ms: of a long window a small part costs little and allows much.

    Where no order is held up by it, it is wider: bursts come when machines are busiest.
    """
    wanted = margin_ms * _MARGIN_OF_BURSTS if limit.bursts else margin_ms
    return max(wanted, limit.window_ms // _MARGIN_PART)


def pace(limit: Published, *, margin_ms: int, reserve: float) -> Pace:
    """Work out the rule for a limit.

    Args:
        limit: as published, or overridden.
        margin_ms: how much later than another a request may arrive that left with it.
        reserve: the part kept for what is urgent; at least one slot, unless there are few or it
            is 0. What that slot is beyond the part is lent.
    """
    parts = min(
        math.ceil(limit.window_ms / LONGEST_MS[limit.scope]), max(1, limit.units // _LEAST_SLOTS)
    )
    parts = max(parts, math.ceil(limit.units / MOST_SLOTS))
    units = limit.units // parts
    period_ms = math.ceil((limit.window_ms + margin_ms) / parts)
    reserved = lent_ms = 0
    if reserve > 0 and units >= _WORTH_RESERVING:
        reserved = min(max(1, math.floor(units * reserve)), units - 1)
        if units * reserve < 1:  # of the one slot only this part was to be kept
            lent_ms = math.ceil(period_ms / (1 - units * reserve))
    return Pace(units - reserved, reserved, period_ms, lent_ms)
