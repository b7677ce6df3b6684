"""Request limits that all replicas share, kept in PostgreSQL.

Slots that are wanted at the same time are taken in one statement, by the database's clock; see
migration 0030 for the rule. While the database does not answer, or not in time, this process keeps
to its share of each limit by itself, and goes back as soon as it answers again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import structlog

from providers.limits.limiter import Closed, LocalLimiter, OpenLimiter, Slot
from storage.errors import LedgerUnavailable
from storage.group_commit import GroupCommit
from storage.postgres import statement

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from providers.clock import Clock
    from providers.limits.limiter import Joined
    from providers.limits.plan import Need, Rules, Want
    from storage.postgres import Database

_log = structlog.get_logger(__name__)

_DEGRADED_FOR = 1.0  # seconds until the database is tried again
_STORE_AGAIN = 0.5  # seconds between tries to store a cool-down
_BEAT = 5.0  # seconds between signs of life
_GONE = timedelta(seconds=20)  # without one a replica does not count
_READINGS = 50  # of the database's clock that are kept
_WHY_MOST = 200


@dataclass(frozen=True, slots=True)
class _Ask:
    number: int  # makes each question different, so that any may stand in one group
    want: Want
    patience: float


class Readings:
    """When, by our monotonic clock, the database read its own."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, float]] = deque(maxlen=_READINGS)

    def local(self, asked_at: float, answered_at: float, database_s: float) -> float:
        """Our time of a reading: by the tightest of the latest, and certainly between the two."""
        self._kept.append((answered_at - asked_at, database_s - (asked_at + answered_at) / 2))
        _, ahead = min(self._kept)
        return min(max(database_s - ahead, asked_at), answered_at)


class SharedLimiter:
    """A `providers.limits.limiter.Limiter` over the database.

    Args:
        database: where limits are kept.
        rules: how they are kept.
        clock: local time.
        replica: unique to this process.
        replicas: how many share the limits, as long as that could not be counted.
        timeout: seconds after which the database counts as not answering.
    """

    def __init__(
        self,
        database: Database,
        rules: Rules,
        clock: Clock,
        replica: UUID,
        *,
        replicas: int,
        timeout: float,
    ) -> None:
        self._database = database
        self._rules = rules
        self._clock = clock
        self._replica = replica
        self._replicas = replicas
        self._timeout = timeout
        self._group: GroupCommit[_Ask, Slot | Closed] = GroupCommit(
            self._take_group, key=lambda ask: ask.number
        )
        self._numbers = count()
        self._readings = Readings()
        self._known = OpenLimiter(clock)  # cool-downs we know of, should the database be away
        self._storing = OpenLimiter(clock)  # those that are not in the database yet
        self._booked_until: dict[str, float] = {}  # by bucket: our latest slot
        self._local: LocalLimiter | None = None
        self._try_again_at = 0.0
        self._beat_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def rules(self) -> Rules:
        """How limits are kept."""
        return self._rules

    @property
    def degraded(self) -> bool:
        """True while this process keeps to its share by itself."""
        return self._local is not None

    async def take(self, want: Want, patience: float) -> Slot | Closed:
        """Take the earliest slot if it is no more than `patience` seconds away."""
        left = self._storing.shut(want.scopes)
        if left is not None:
            return Closed(left, cooling=True)
        asked_at = self._clock.monotonic()
        if self._local is not None and asked_at < self._try_again_at:
            return self._own_share(self._local, want, patience)
        self._beat(asked_at)
        known = self._known.ends(want.scopes)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._group.submit(_Ask(next(self._numbers), want, patience))
        except (LedgerUnavailable, TimeoutError) as error:
            return self._own_share(self._degrade(error), want, patience)
        self._recover()
        if isinstance(answer, Slot):
            self._known.forget(known)  # somebody has ended them
            for need in want.needs:
                self._booked_until[need.bucket] = answer.at
        return answer

    def joins(self, want: Want) -> Want | None:
        """All of it, unless a cool-down is known, slots are booked ahead, or we keep to our share.

        There would hardly be a slot then, and others would wait for our commit to ask for theirs.
        """
        if self._local is not None or self.shut(want.scopes) is not None:
            return None
        now = self._clock.monotonic()
        if any(self._booked_until.get(need.bucket, now) > now for need in want.needs):
            return None
        self._beat(now)
        return want

    def joined(self, want: Want, taken: Joined) -> Slot:
        """The slot that was taken in the ledger's commit.

        A cool-down that is known by now began after it was asked for, and stays in force.
        """
        del want
        if taken.at_s is None:
            return Slot(taken.answered_at)
        at = self._readings.local(taken.asked_at, taken.answered_at, taken.at_s)
        return Slot(at, taken.used)

    async def cooling(self, scopes: Iterable[str]) -> float | None:
        """Seconds until the last cool-down of these scopes ends, asked now; None without one."""
        scopes = list(scopes)
        if self._local is None:
            with contextlib.suppress(LedgerUnavailable, TimeoutError):
                async with asyncio.timeout(self._timeout):
                    return await self._stored(scopes)
        return await self._known.cooling(scopes)

    def shut(self, scopes: Iterable[str]) -> float | None:
        """As `cooling`, of the cool-downs that this process knows of; asks nobody."""
        scopes = list(scopes)
        known, storing = self._known.shut(scopes), self._storing.shut(scopes)
        if known is None or storing is None:
            return storing if known is None else known
        return max(known, storing)

    def cool_down(self, scope: str, seconds: float, why: str) -> None:
        """Let nothing leave for a scope: here at once, everywhere as soon as it is stored."""
        _log.warning("cool-down", scope=scope, seconds=round(seconds, 3), why=why)
        self._storing.cool_down(scope, seconds, why)
        self._known.cool_down(scope, seconds, why)
        until = self._clock.monotonic() + seconds
        storing = self._storing.ends([scope])
        self._run(self._store(scope, until, why[:_WHY_MOST].replace("\x00", ""), storing))

    def charge(self, need: Need, units: int) -> None:
        """Count units that others have used of the same limit."""
        if self._local is not None:
            self._local.charge(need, units)
        else:
            self._run(self._charge([(need, units)]))

    async def aclose(self) -> None:
        """Give what is being stored one time-out to be stored."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(LedgerUnavailable, TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._database.execute(
                    "DELETE FROM rate_replicas WHERE replica = $1", self._replica
                )

    # The database.

    async def _take_group(self, group: Sequence[_Ask]) -> Sequence[Slot | Closed]:
        asked_at = self._clock.monotonic()
        needs = [(number, need) for number, ask in enumerate(group, 1) for need in ask.want.needs]
        rows = await self._database.fetch(
            statement("take_slots"),
            [number for number, _ in needs],
            [need.bucket for _, need in needs],
            [need.units for _, need in needs],
            [need.pace.general for _, need in needs],
            [need.pace.reserved for _, need in needs],
            [need.pace.period_ms for _, need in needs],
            [need.pace.lent_ms for _, need in needs],
            [ask.want.address for ask in group],
            [ask.want.urgent for ask in group],
            [int(ask.patience * 1000) for ask in group],
        )
        now = self._readings.local(asked_at, self._clock.monotonic(), rows[0]["now_s"])
        return [
            Slot(now + row["wait_ms"] / 1000, tuple(row["used"]))
            if row["taken"]
            else Closed(row["wait_ms"] / 1000, cooling=row["cooling"])
            for row in rows
        ]

    async def _stored(self, scopes: list[str]) -> float | None:
        rows = await self._database.fetch(
            "SELECT extract(epoch FROM max(until) - clock_timestamp())::float8 AS seconds "
            "FROM rate_cooldowns WHERE scope = ANY ($1) AND until > clock_timestamp()",
            scopes,
        )
        seconds: float | None = rows[0]["seconds"]
        return seconds

    async def _store(
        self, scope: str, until: float, why: str, storing: Mapping[str, float]
    ) -> None:
        """Store a cool-down, as often as it takes."""
        while (left := until - self._clock.monotonic()) > 0:
            try:
                await self._database.execute(
                    statement("cool_down"), scope, timedelta(seconds=left), why
                )
            except LedgerUnavailable:
                await asyncio.sleep(_STORE_AGAIN)
            else:
                break
        self._storing.forget(storing)

    async def _charge(self, used: Sequence[tuple[Need, int]]) -> None:
        with contextlib.suppress(LedgerUnavailable):
            for need, units in used:
                await self._database.execute(
                    "SELECT charge_slots($1, $2, $3, $4, $5)",
                    need.bucket,
                    units,
                    need.pace.general,
                    need.pace.reserved,
                    need.pace.period_ms,
                )

    def _beat(self, now: float) -> None:
        if now >= self._beat_at:
            self._beat_at = now + _BEAT
            self._run(self._count_replicas())

    async def _count_replicas(self) -> None:
        with contextlib.suppress(LedgerUnavailable):
            rows = await self._database.fetch(statement("count_replicas"), self._replica, _GONE)
            self._replicas = rows[0][0]

    # Without the database.

    def _degrade(self, error: Exception) -> LocalLimiter:
        self._try_again_at = self._clock.monotonic() + _DEGRADED_FOR
        if self._local is None:
            _log.warning(
                "shared rate limits out of reach, keeping to our share",
                error=str(error) or type(error).__name__,
                replicas=self._replicas,
            )
            # What the others and we have used just now is not known here, so begin with nothing.
            self._local = LocalLimiter(self._clock, self._rules, self._replicas, used_up=True)
        return self._local

    def _recover(self) -> None:
        local, self._local = self._local, None
        if local is not None:
            _log.info("shared rate limits are back")
            self._run(self._charge(local.used()))

    def _own_share(self, local: LocalLimiter, want: Want, patience: float) -> Slot | Closed:
        left = self._known.shut(want.scopes)
        if left is not None:
            return Closed(left, cooling=True)
        return local.take_now(want, patience)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="rate-limits")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(frozen=True, slots=True)
class BucketRow:
    """A limit in use, for people: so many of its slots used in its period, so many ahead."""

    bucket: str
    units: int
    period_ms: int
    used: int
    waiting: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class CoolDownRow:
    """A scope for which nothing leaves."""

    scope: str
    until: datetime
    since: datetime
    why: str
    seconds: float


async def show_buckets(database: Database) -> list[BucketRow]:
    """Every limit that was ever asked for."""
    return [BucketRow(**row) for row in await database.fetch(statement("show_limits"))]


async def show_cool_downs(database: Database) -> list[CoolDownRow]:
    """Every cool-down in force."""
    rows = await database.fetch(
        "SELECT scope, until, since, why, "
        "extract(epoch FROM until - clock_timestamp())::float8 AS seconds "
        "FROM rate_cooldowns WHERE until > clock_timestamp() ORDER BY scope"
    )
    return [CoolDownRow(**row) for row in rows]


async def clear_cool_downs(database: Database, exchange: str, why: str) -> list[str]:
    """End the cool-downs of an exchange at once; returns their scopes."""
    rows = await database.fetch(
        "UPDATE rate_cooldowns SET until = clock_timestamp(), why = why || '; ' || $2::text "
        "WHERE until > clock_timestamp() AND starts_with(scope, $1 || '@') RETURNING scope",
        exchange,
        why,
    )
    return sorted(row["scope"] for row in rows)
