"""The config of a worker, in memory: what a test sets holds at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.controls.controls import Controls
from consumer.controls.live import LiveConfig
from consumer.controls.registry import KILL_SWITCH, Registry
from storage.config import Move, Stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from consumer.settings import Settings
    from providers.clock import Clock

NAMES = ("fake", "other", "locked", "bybit", "binance", "mexc")


class FakeControls(Controls):
    """Controls over a table that is a dictionary.

    Args:
        settings: of the worker.
        clock: of the worker.
        stamp: tells the database's time, by which the history of a kill switch is kept.
        stale_after: how long the config is believed; for ever unless said otherwise.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        stamp: Callable[[], datetime] | None = None,
        *,
        stale_after: float = float("inf"),
    ) -> None:
        super().__init__(LiveConfig(Registry(NAMES), stale_after, clock), settings, clock)
        self._local = clock
        self._stamp = stamp or clock.now
        self.table: dict[str, str] = {}
        self.moves: list[Move] = []
        self.put()

    def put(self, changes: dict[str, str | None] | None = None) -> None:
        """Write keys, or remove those whose value is None; as a hand would, without a check."""
        for key, value in (changes or {}).items():
            old = self.table.pop(key, None)
            if old is not None and key.startswith(KILL_SWITCH):
                self.moves.append(Move(key, old, value, self._stamp()))
            if value is not None:
                self.table[key] = value
        version = self.live.snapshot.version + 1
        self.live.take(Stored(version, dict(self.table), self.moves), self._local.monotonic())
