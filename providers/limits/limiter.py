"""The seam between the clients and whoever keeps count of requests. No I/O in here.

A client asks for a slot before it signs, waits until the slot's moment, and asks once more whether
the scope has been shut meanwhile. What an answer says of the exchange's own count goes back.

    Limiter
    ├── OpenLimiter     counts nothing; knows cool-downs, of this process only
    ├── LocalLimiter    counts this process's requests, as one of so many that share the limits
    └── storage.rate_limits.SharedLimiter   counts those of all replicas
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from providers.limits.windows import Bucket, Demand, charge, take
from providers.values import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from providers.clock import Clock
    from providers.limits.plan import Need, Rules, Want


@value(frozen=True, slots=True)
class Slot:
    """A moment at which a request may leave.

    Attributes:
        at: monotonic seconds.
        used: how many slots of each need's bucket lie in its period up to this one and after it.
    """

    at: float
    used: tuple[int, ...] = ()


@value(frozen=True, slots=True)
class Joined:
    """What came back of a slot that the ledger took.

    Attributes:
        asked_at: monotonic seconds before it was asked for.
        answered_at: monotonic seconds when the answer was there.
        at_s: when it was taken, by whose clock slots are counted; None if none was needed.
        used: as of a `Slot`.
    """

    asked_at: float
    answered_at: float
    at_s: float | None = None
    used: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Closed:
    """No slot now: it would be too long a wait, or a cool-down is in force. Nothing was taken.

    Attributes:
        seconds: until it is worth asking again.
        cooling: the exchange has told us to stay away.
    """

    seconds: float
    cooling: bool = False


class Limiter(Protocol):
    """Keeps count of requests."""

    @property
    def rules(self) -> Rules | None:
        """How limits are kept; None if nothing is counted."""

    async def take(self, want: Want, patience: float) -> Slot | Closed:
        """Take the earliest slot if it is no more than `patience` seconds away. Never raises."""

    def joins(self, want: Want) -> Want | None:
        """What is left to ask for if the ledger takes the slot with the commit of an intent.

        None if it can't now: then `take` says why. Asks nobody.
        """

    def joined(self, want: Want, taken: Joined) -> Slot:
        """The slot that the ledger took."""

    async def cooling(self, scopes: Iterable[str]) -> float | None:
        """Seconds until the last cool-down of these scopes ends; None without one."""

    def shut(self, scopes: Iterable[str]) -> float | None:
        """As `cooling`, of the cool-downs that this process knows of; asks nobody."""

    def cool_down(self, scope: str, seconds: float, why: str) -> None:
        """Let nothing leave for a scope for so long; a longer cool-down stays."""

    def charge(self, need: Need, units: int) -> None:
        """Count units that others have used of the same limit."""


@runtime_checkable
class Limited(Protocol):
    """What a client may have besides: it asks a limiter before it sends."""

    def limit_with(self, limiter: Limiter, patience: float) -> None:
        """Ask this limiter from now on, and wait at most so many seconds for a slot."""


class OpenLimiter:
    """Counts nothing; keeps cool-downs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cooling: dict[str, float] = {}

    @property
    def rules(self) -> Rules | None:
        """None: nothing is counted."""
        return None

    async def take(self, want: Want, patience: float) -> Slot | Closed:
        """A slot now, unless a cool-down is in force."""
        del patience
        left = self.shut(want.scopes)
        if left is not None:
            return Closed(left, cooling=True)
        return Slot(self._clock.monotonic())

    def joins(self, want: Want) -> Want | None:
        """Nothing is left to ask for, unless a cool-down is in force."""
        return None if self.shut(want.scopes) is not None else replace(want, needs=())

    def joined(self, want: Want, taken: Joined) -> Slot:
        """A slot that is there always."""
        del want
        return Slot(taken.answered_at)

    async def cooling(self, scopes: Iterable[str]) -> float | None:
        """Seconds until the last cool-down of these scopes ends; None without one."""
        return self.shut(scopes)

    def shut(self, scopes: Iterable[str]) -> float | None:
        """Seconds until the last cool-down of these scopes ends; None without one."""
        if not self._cooling:
            return None
        until = max((self._cooling.get(scope, 0.0) for scope in scopes), default=0.0)
        left = until - self._clock.monotonic()
        return left if left > 0 else None

    def ends(self, scopes: Iterable[str]) -> dict[str, float]:
        """When the cool-downs of these scopes end that are known: monotonic seconds, by scope."""
        return {scope: self._cooling[scope] for scope in scopes if scope in self._cooling}

    def forget(self, ends: Mapping[str, float]) -> None:
        """End cool-downs that end then; one that was made longer since goes on."""
        for scope, until in ends.items():
            if self._cooling.get(scope) == until:
                del self._cooling[scope]

    def cool_down(self, scope: str, seconds: float, why: str) -> None:
        """Let nothing leave for a scope for so long."""
        del why
        until = self._clock.monotonic() + seconds
        self._cooling[scope] = max(until, self._cooling.get(scope, 0.0))

    def charge(self, need: Need, units: int) -> None:
        """Nothing is counted."""


class LocalLimiter(OpenLimiter):
    """Counts the requests of this process, which has a share of each limit.

    Args:
        clock: local time.
        rules: how limits are kept.
        replicas: how many share each limit.
        used_up: begin as if everything had just been used: by whom is not known.
    """

    def __init__(self, clock: Clock, rules: Rules, replicas: int, *, used_up: bool = False) -> None:
        super().__init__(clock)
        self._rules = rules
        self._replicas = replicas
        self._used_until = math.ceil(clock.monotonic() * 1000) if used_up else 0
        self._buckets: dict[str, Bucket] = {}
        self._needs: dict[str, Need] = {}

    @property
    def rules(self) -> Rules:
        """How limits are kept."""
        return self._rules

    def joins(self, want: Want) -> Want | None:
        """None: the count is kept here."""
        del want
        return None

    async def take(self, want: Want, patience: float) -> Slot | Closed:
        """Take the earliest slot of our share."""
        return self.take_now(want, patience)

    def take_now(self, want: Want, patience: float) -> Slot | Closed:
        """As `take`."""
        left = self.shut(want.scopes)
        if left is not None:
            return Closed(left, cooling=True)
        now = self._clock.monotonic()
        demands = [
            Demand(self._bucket(need), need.units, need.pace.share(self._replicas))
            for need in want.needs
        ]
        now_ms = math.ceil(now * 1000)
        at, taken = take(
            demands, urgent=want.urgent, now=now_ms, patience=math.floor(patience * 1000)
        )
        at_second = max(now, at / 1000)
        if not taken:
            return Closed(at_second - now)
        return Slot(at_second, tuple(bucket.within(paced, at) for bucket, _, paced in demands))

    def charge(self, need: Need, units: int) -> None:
        """Count units that others have used of our share."""
        now_ms = math.ceil(self._clock.monotonic() * 1000)
        charge(self._bucket(need), units, need.pace.share(self._replicas), now_ms)

    def used(self) -> list[tuple[Need, int]]:
        """What was taken lately of each bucket, and is still to be taken."""
        now_ms = math.ceil(self._clock.monotonic() * 1000)
        found = [
            (self._needs[name], sum(slot > max(self._used_until, since) for slot in bucket.slots))
            for name, bucket in self._buckets.items()
            for since in (now_ms - self._needs[name].pace.period_ms,)
        ]
        return [(need, units) for need, units in found if units]

    def _bucket(self, need: Need) -> Bucket:
        found = self._buckets.get(need.bucket)
        if found is None:
            paced = need.pace.share(self._replicas)
            found = self._buckets[need.bucket] = Bucket(
                [self._used_until] * paced.general, [self._used_until] * paced.reserved
            )
            self._needs[need.bucket] = need
        return found
