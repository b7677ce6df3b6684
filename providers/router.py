"""Which client an order goes to: one client, and one preparation, for each configured exchange.

Clients are made when first asked for. What an order is routed by (redirects, defaults) is
decided elsewhere; here a name is all there is.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from providers.errors import NotConfigured, UnknownExchange
from providers.exchange import Observable
from providers.limits.limiter import Limited
from providers.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.exchange import ExchangeClient, Provider
    from providers.limits.limiter import Limiter
    from providers.observing import CallObserver
    from providers.settings import ExchangeSettings

_log = logging.getLogger(__name__)


class ExchangeRouter:
    """The exchanges by name.

    Args:
        providers: what is registered, as `providers.registry.load_providers` gives it.
        settings: credentials and time-outs.
        observer: told of every request of every client that can tell.
        limiter: keeps count of requests; without one nobody does.
        patience: longest wait for a slot, seconds.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        settings: ExchangeSettings,
        observer: CallObserver | None = None,
        limiter: Limiter | None = None,
        patience: float = 0.0,
    ) -> None:
        self._providers = dict(providers)
        self._settings = settings
        self._observer = observer
        self._limiter = limiter
        self._patience = patience
        self._clients: dict[str, ExchangeClient] = {}
        self._preparations: dict[str, Preparation] = {}
        self._closed = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every exchange that is registered."""
        return tuple(self._providers)

    @property
    def configured(self) -> tuple[str, ...]:
        """Every exchange that has credentials."""
        return tuple(
            name
            for name, provider in self._providers.items()
            if provider.has_credentials(self._settings)
        )

    def client(self, name: str) -> ExchangeClient:
        """The client of an exchange, made the first time.

        Raises:
            UnknownExchange: nothing is registered under the name.
            NotConfigured: it has no credentials.
        """
        client = self._clients.get(name)
        if client is not None:
            return client
        provider = self._providers.get(name)
        if provider is None:
            raise UnknownExchange(name, self.names)
        if not provider.has_credentials(self._settings):
            raise NotConfigured(name)
        if self._closed:
            raise RuntimeError("the router is closed")
        client = self._clients[name] = provider.create_client(self._settings)
        if self._observer is not None and isinstance(client, Observable):
            client.observe(self._observer)
        if self._limiter is not None and isinstance(client, Limited):
            client.limit_with(self._limiter, self._patience)
        return client

    def preparation(self, name: str) -> Preparation:
        """The preparation that goes with the client of an exchange; raises as `client` does."""
        preparation = self._preparations.get(name)
        if preparation is None:
            preparation = self._preparations[name] = Preparation(
                self.client(name), self._settings.exchange_setup_ttl
            )
        return preparation

    async def start(self) -> Mapping[str, Exception]:
        """Start every configured exchange, all at once.

        One that can't be started does not keep the others from it, and stays usable: what it
        lacks is read when an order first needs it.

        Returns:
            What went wrong, by exchange; empty if nothing did.
        """
        names = self.configured
        results = await asyncio.gather(*map(self._start, names), return_exceptions=True)
        failed: dict[str, Exception] = {}
        for name, result in zip(names, results, strict=True):
            if isinstance(result, Exception):
                failed[name] = result
                _log.error("%s could not be started: %s", name, result)
            elif isinstance(result, BaseException):
                raise result
        return failed

    async def aclose(self) -> None:
        """Close every client; one that fails to close does not keep the others open."""
        self._closed = True
        clients = list(self._clients.items())
        self._clients.clear()
        self._preparations.clear()
        results = await asyncio.gather(
            *(client.aclose() for _, client in clients), return_exceptions=True
        )
        for (name, _), result in zip(clients, results, strict=True):
            if isinstance(result, Exception):
                _log.error("%s could not be closed: %s", name, result)

    async def _start(self, name: str) -> None:
        await self.client(name).start()
