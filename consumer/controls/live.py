"""The config of a running worker: the latest snapshot, and whether it can still be believed.

The snapshot is swapped whole; who has read it once keeps what he has. It counts as fresh while
the store has been heard of within `config_stale_after` seconds, by a clock that nobody can set,
and while the store's clock and ours agree: what is too old is judged by ours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import structlog

from consumer.controls import registry as keys
from consumer.controls.snapshot import Snapshot, parse
from consumer.controls.values import text_of
from storage import config
from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from consumer.controls.registry import Registry
    from providers.clock import Clock
    from storage.config import Stored
    from storage.postgres import Database

_log = structlog.get_logger(__name__)


class LiveConfig:
    """Holds the snapshot; a `storage.config_feed.Follower`.

    Args:
        registry: the keys.
        stale_after: seconds without word from the store until it is not believed any more.
        clock: local time.
        clock_difference: seconds that our clock may be ahead of the store's or behind it.
        on_change: called after a new snapshot is in place.
    """

    moves_of = keys.KILL_SWITCH

    def __init__(
        self,
        registry: Registry,
        stale_after: float,
        clock: Clock,
        clock_difference: float = math.inf,
        on_change: Callable[[Snapshot], None] = lambda _: None,
    ) -> None:
        self.registry = registry
        self.snapshot = Snapshot()
        self._stale_after = stale_after
        self._clock = clock
        self._on_change = on_change
        self._clock_difference = clock_difference
        self._heard_at: float | None = None
        self._ahead = 0.0

    @property
    def age(self) -> float | None:
        """Seconds since the snapshot was known to be what the store has; None before the first."""
        return None if self._heard_at is None else self._clock.monotonic() - self._heard_at

    @property
    def fresh(self) -> bool:
        """True if the snapshot can be believed, and our clock."""
        heard_at = self._heard_at
        if heard_at is None or abs(self._ahead) > self._clock_difference:
            return False
        return self._clock.monotonic() - heard_at <= self._stale_after

    def unbelievable(self) -> LedgerUnavailable:
        """Say why nothing may be sent while `fresh` is not true."""
        if abs(self._ahead) > self._clock_difference:
            what = "ahead of" if self._ahead > 0 else "behind"
            return LedgerUnavailable(
                f"this machine's clock is {abs(self._ahead):.1f} s {what} the database's, more "
                f"than CLOCK_DIFFERENCE ({self._clock_difference:g} s); set it right"
            )
        age = self.age
        since = "never" if age is None else f"for {age:.1f} s not"
        return LedgerUnavailable(f"the config store has {since} been heard of")

    async def refresh(self, database: Database) -> None:
        """Read everything now; raises `LedgerUnavailable` if that can't be done, or believed."""
        asked_at = self._clock.monotonic()
        self.take(await config.read_all(database, self.moves_of), asked_at)
        if not self.fresh:
            raise self.unbelievable()

    def take(self, stored: Stored, asked_at: float) -> None:
        """Put a new snapshot in place, unless a newer one is there already.

        Two may be asked for at once, and the one that was asked for first may be answered last,
        with the newer version. A store that was put back to an older one is followed as well.
        """
        heard_at = self._heard_at
        if heard_at is None or asked_at >= heard_at or stored.version > self.snapshot.version:
            before = self.snapshot
            self.snapshot = parse(stored, self.registry)
            self._heard(stored.at, asked_at)
            if self.snapshot != before:
                self._tell(before)

    def confirm(self, version: int, at: datetime, asked_at: float) -> bool:
        """Believe the snapshot a while longer, if it is of this version; else say no."""
        if self._heard_at is None or version != self.snapshot.version:
            return False
        self._heard(at, asked_at)
        return True

    def _heard(self, at: datetime | None, asked_at: float) -> None:
        """Remember that the store was heard of, and how far its clock and ours are apart.

        It read its clock at some moment since it was asked: what that may explain is no difference.
        """
        now = self._clock.monotonic()
        self._heard_at = asked_at if self._heard_at is None else max(self._heard_at, asked_at)
        if at is not None:
            ahead = (self._clock.now() - at).total_seconds()
            self._ahead = ahead if ahead < 0 else max(ahead - (now - asked_at), 0.0)

    def _tell(self, before: Snapshot) -> None:
        now = self.snapshot
        for key in sorted(set(before.values) | set(now.values)):
            old, new = before.values.get(key), now.values.get(key)
            if old != new:
                _log.info("config changed", key=key, old=_text(old), new=_text(new))
        for fault in set(now.faults) - set(before.faults):
            _log.error(
                "config can't be obeyed, what it is about is held",
                key=fault.key,
                error=fault.says,
                scope=fault.scope or "everything",
            )
        for fault in set(before.faults) - set(now.faults):
            _log.info("config can be obeyed again", key=fault.key)
        self._on_change(now)


async def stored_snapshot(database: Database, registry: Registry) -> Snapshot:
    """Read the config once, for a command."""
    return parse(await config.read_all(database, LiveConfig.moves_of), registry)


def _text(value: object) -> str | None:
    return None if value is None else text_of(value)
