"""A limiter that is watched: how long requests wait for a slot, who is told to stay away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.watching import metrics
from providers.limits.limiter import Closed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.clock import Clock
    from providers.limits.limiter import Joined, Limiter, Slot
    from providers.limits.plan import Need, Rules, Want


class WatchedLimiter:
    """Asks another limiter, and moves the metrics."""

    def __init__(self, limiter: Limiter, clock: Clock) -> None:
        self._limiter = limiter
        self._clock = clock
        self._until: dict[str, float] = {}  # when an exchange's last cool-down ends

    @property
    def away(self) -> set[str]:
        """The exchanges that have asked this process to stay away, from anything."""
        now = self._clock.monotonic()
        return {exchange for exchange, until in self._until.items() if until > now}

    @property
    def rules(self) -> Rules | None:
        """How limits are kept; None if nothing is counted."""
        return self._limiter.rules

    async def take(self, want: Want, patience: float) -> Slot | Closed:
        """Take the earliest slot if it is no more than `patience` seconds away. Never raises."""
        asked = self._clock.monotonic()
        slot = await self._limiter.take(want, patience)
        if isinstance(slot, Closed):
            why = "cooling" if slot.cooling else "full"
            metrics.LIMIT_CLOSED.labels(want.exchange, why).inc()
        else:
            leaves = max(slot.at, self._clock.monotonic())
            metrics.LIMIT_WAIT.labels(want.exchange).observe(leaves - asked)
        return slot

    def joins(self, want: Want) -> Want | None:
        """What is left to ask for if the ledger takes the slot."""
        return self._limiter.joins(want)

    def joined(self, want: Want, taken: Joined) -> Slot:
        """The slot that the ledger took, at once."""
        metrics.LIMIT_WAIT.labels(want.exchange).observe(0.0)
        return self._limiter.joined(want, taken)

    async def cooling(self, scopes: Iterable[str]) -> float | None:
        """Seconds until the last cool-down of these scopes ends; None without one."""
        return await self._limiter.cooling(scopes)

    def shut(self, scopes: Iterable[str]) -> float | None:
        """As `cooling`, of the cool-downs that this process knows of; asks nobody."""
        return self._limiter.shut(scopes)

    def cool_down(self, scope: str, seconds: float, why: str) -> None:
        """Let nothing leave for a scope for so long; a longer cool-down stays."""
        exchange = exchange_of(scope)
        until = self._clock.monotonic() + seconds
        self._until[exchange] = max(until, self._until.get(exchange, until))
        metrics.COOL_DOWNS.labels(exchange).inc()
        self._limiter.cool_down(scope, seconds, why)

    def charge(self, need: Need, units: int) -> None:
        """Count units that others have used of the same limit."""
        self._limiter.charge(need, units)


def exchange_of(scope: str) -> str:
    """Tell the exchange of a scope, `exchange@host …`."""
    return scope.partition("@")[0]
