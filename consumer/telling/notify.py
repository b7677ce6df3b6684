"""Sending a notice to the services that NOTIFY_URLS names, through apprise.

A URL holds the keys of its service, so none is ever shown: a service is called by its kind and a
number. apprise is an optional part (`trade-worker[notify]`) and imported only where it is wanted.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from typing import TYPE_CHECKING, Any

from consumer.errors import NotifyFailed, NotifyMisconfigured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.telling.notices import Notice

_WITHIN = 30.0  # seconds for all services; they are told at the same time


class Services:
    """The services of NOTIFY_URLS; without any, apprise is not asked for.

    Raises:
        NotifyMisconfigured: naming the URL by its place in the list, never its text.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._services: dict[str, Any] = {}
        if not urls:
            return
        try:
            import apprise  # noqa: PLC0415 - optional, and slow to import
        except ImportError:
            raise NotifyMisconfigured(
                "NOTIFY_URLS is set, but apprise is not installed; install it with "
                "`pip install 'trade-worker[notify]'`"
            ) from None
        # It says in its warnings what it sent where.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what its plug-ins import
            self._add(apprise, urls)

    def _add(self, apprise: Any, urls: Sequence[str]) -> None:  # noqa: ANN401 - a module
        for number, url in enumerate(urls, start=1):
            service = apprise.Apprise()
            if not service.add(url):
                raise NotifyMisconfigured(
                    f"URL {number} of {len(urls)} in NOTIFY_URLS is none that apprise knows; "
                    "write json://host/path for a webhook, tgram://token/chat for Telegram, "
                    "slack://tokens/#channel for Slack, mailto://user:password@host for e-mail"
                )
            self._services[f"{url.partition('://')[0]} (URL {number})"] = service

    @property
    def names(self) -> Sequence[str]:
        """How the services are called here."""
        return tuple(self._services)

    async def send(self, notice: Notice) -> Sequence[str]:
        """Send to all services at once; returns the names of those that did not take it.

        Raises:
            NotifyFailed: none took it.
        """
        names = list(self._services)
        tries = [asyncio.create_task(self._send(name, notice)) for name in names]
        done, late = await asyncio.wait(tries, timeout=_WITHIN)
        for task in late:
            task.cancel()
        took = {task.result() for task in done}
        failed = [name for name in names if name not in took]
        if len(failed) == len(names):
            raise NotifyFailed(f"not delivered by {', '.join(failed)}")
        return failed

    async def _send(self, name: str, notice: Notice) -> str | None:
        try:
            good = await self._services[name].async_notify(
                body=notice.body, title=notice.title, notify_type=notice.mood.value
            )
        except Exception:  # noqa: BLE001 - a plug-in may fail in any way; its words may hold a key
            return None
        return name if good else None
