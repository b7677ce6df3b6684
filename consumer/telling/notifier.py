"""Telling people what happened: from the outbox to the services of NOTIFY_URLS.

Off unless NOTIFY_URLS is set. However many workers there are, one notice at a time goes out, at
most every NOTIFY_EVERY seconds, and holds everything that happened since the last. Never in an
order's way: what can't be told waits, and is given up after NOTIFY_TRIES.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from consumer.errors import NotifyFailed
from consumer.telling.notices import compose
from consumer.telling.offload import back_off, jitter
from storage.errors import LedgerUnavailable
from storage.notifications import Notifications
from storage.orders import get_orders
from storage.outbox import Outbox, PutBack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.gate import LedgerGate
    from consumer.notify_settings import NotifySettings
    from consumer.telling.notify import Services
    from storage.notifications import PendingNotice
    from storage.postgres import Database

_log = structlog.get_logger(__name__)
_MOST = 1000  # events of one notice
_LEASE = timedelta(seconds=60)
_RENEW = 600.0  # seconds between saying what is wanted
_LONGEST_WAIT = 600.0  # seconds, before an event is told again


class Notifier:
    """Takes what is to be told and tells it; one for a process."""

    def __init__(
        self,
        database: Database,
        services: Services,
        settings: NotifySettings,
        gate: LedgerGate,
    ) -> None:
        self._database = database
        self._notices = Notifications(database)
        self._outbox = Outbox(database)
        self._services = services
        self._topics = settings.notify_topics
        self._pause = timedelta(seconds=settings.notify_every)
        self._tries = settings.notify_tries
        self._interval = min(1.0, settings.notify_every)
        self._gate = gate

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        renew_at = loop.time()
        while True:
            await self._gate.wait_open()
            try:
                if loop.time() >= renew_at:
                    await self.want()
                    renew_at = loop.time() + _RENEW
                await self.tell_some()
            except LedgerUnavailable as error:
                self._gate.report(error)
                continue
            except Exception:  # noqa: BLE001 - a defect must not end it for good
                _log.exception("notifying failed")
            await asyncio.sleep(self._interval)

    async def want(self) -> None:
        """Ask for events to be written down, and forget what nobody wants to hear any more."""
        await self._notices.want(self._topics)
        old = await self._notices.forget_old()
        if old:
            _log.warning("notifications given up, too old to be news", events=old)

    async def tell_some(self) -> bool:
        """Tell what there is, if it is time; True if something was told.

        Raises:
            LedgerUnavailable: what was taken comes back when its lease ends.
        """
        events = await self._notices.take(_MOST, pause=self._pause, lease=_LEASE)
        if not events:
            return False
        ids = {event.request_id for event in events if event.request_id is not None}
        orders = {row.request_id: row for row in await get_orders(self._database, sorted(ids))}
        try:
            failed = await self._services.send(compose(events, orders))
        except NotifyFailed as error:
            await self._later(events, error)
            return False
        await self._outbox.done([event.entry for event in events])
        if failed:
            _log.warning("notification not delivered by all services", services=failed)
        _log.debug("notification sent", events=len(events))
        return True

    async def _later(self, events: Sequence[PendingNotice], error: NotifyFailed) -> None:
        dead = [event for event in events if event.attempts >= self._tries]
        if dead:
            _log.error(
                "notifications given up",
                error=str(error),
                tries=self._tries,
                events=len(dead),
                request_ids=[event.request_id for event in dead if event.request_id][:20],
            )
            await self._outbox.done([event.entry for event in dead])
        again = [event for event in events if event.attempts < self._tries]
        _log.warning("notification not delivered", error=str(error), events=len(again))
        await self._outbox.put_back(
            [
                PutBack(
                    event.entry,
                    timedelta(seconds=back_off(event.attempts, _LONGEST_WAIT, jitter())),
                    str(error),
                )
                for event in again
            ]
        )
