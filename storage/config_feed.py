"""Following the config store: told of each change, and asking all the time whether one was missed.

A connection of its own LISTENs. A NOTIFY makes everything be read anew, and so does every new
connection, for whatever was said while there was none is lost; between notifications the version
is asked for again and again, which also shows that the connection still lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import structlog

from storage import config
from storage.errors import LedgerUnavailable
from storage.postgres import open_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from providers.clock import Clock
    from storage.config import Stored
    from storage.postgres import Connection
    from storage.settings import StorageSettings

_log = structlog.get_logger(__name__)
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 1.0


class Follower(Protocol):
    """Who wants to know. The times are monotonic, from just before the store was asked."""

    moves_of: str

    def take(self, stored: Stored, asked_at: float) -> None:
        """The whole config, as it was at some moment after `asked_at`."""

    def confirm(self, version: int, at: datetime, asked_at: float) -> bool:
        """The store had this version at some moment after `asked_at`, `at` by its own clock.

        False asks for all of it: what the follower has is another version.
        """


class ConfigFeed:
    """Keeps a follower up to date until cancelled.

    Args:
        settings: where the store is; `config_poll` is the time between two questions.
        follower: who is told.
        clock: local time.
    """

    def __init__(self, settings: StorageSettings, follower: Follower, clock: Clock) -> None:
        self._settings = settings
        self._follower = follower
        self._clock = clock

    async def run(self) -> None:
        """Follow, over as many connections as it takes."""
        wait = _FIRST_WAIT
        while True:
            try:
                async with _listening(self._settings) as (connection, wake):
                    wait = _FIRST_WAIT
                    await self._follow(connection, wake)
            except LedgerUnavailable as error:
                _log.warning("config store unreachable", error=str(error))
            except Exception:  # noqa: BLE001 - if it ended here, the config would stay as it is
                _log.exception("following the config failed, going on")
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _follow(self, connection: Connection, wake: asyncio.Event) -> None:
        wake.set()  # what was said while nobody listened
        while True:
            told = wake.is_set()
            wake.clear()
            asked_at = self._clock.monotonic()
            if not told:
                version, at = await config.read_version(connection)
                told = not self._follower.confirm(version, at, asked_at)
            if told:
                asked_at = self._clock.monotonic()
                stored = await config.read_all(connection, self._follower.moves_of)
                self._follower.take(stored, asked_at)
            # Not `wait_for`, which swallows a cancellation that comes with what is waited for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.config_poll):
                    await wake.wait()


@asynccontextmanager
async def _listening(
    settings: StorageSettings,
) -> AsyncIterator[tuple[Connection, asyncio.Event]]:
    wake = asyncio.Event()
    async with open_connection(settings) as connection:
        # A connection that breaks wakes as well: the next question then fails at once.
        connection.add_termination_listener(lambda _: wake.set())
        await connection.add_listener(config.CHANNEL, lambda *_: wake.set())
        yield connection, wake
