"""MEXC contract API v1, USDT perpetuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from providers.clock import SystemClock
from providers.errors import NotConfigured
from providers.http import make_http
from providers.mexc.clearance import opening
from providers.mexc.client import NAME, MexcClient

if TYPE_CHECKING:
    import httpx

    from providers.clock import Clock
    from providers.settings import ExchangeSettings


class MexcProvider:
    """Registers MEXC; see `providers.exchange.Provider`."""

    @property
    def name(self) -> str:
        """The venue's name in lower case."""
        return NAME

    def has_credentials(self, settings: ExchangeSettings) -> bool:
        """True if key and secret are both set."""
        return bool(
            settings.mexc_api_key
            and settings.mexc_api_key.get_secret_value()
            and settings.mexc_secret_binding
            and settings.mexc_secret_binding.get_secret_value()
        )

    def create_client(
        self,
        settings: ExchangeSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> MexcClient:
        """Make a client; does no I/O.

        Args:
            settings: credentials, base URL, time-outs.
            transport: takes the place of the default way onto the wire.
            clock: takes the place of the system clock.

        Raises:
            NotConfigured: without key and secret.
        """
        key, secret = settings.mexc_api_key, settings.mexc_secret_binding
        if key is None or secret is None or not self.has_credentials(settings):
            raise NotConfigured(NAME)
        return MexcClient(
            str(settings.mexc_base_url),
            key.get_secret_value(),
            secret.get_secret_value(),
            make_http(settings, transport),
            clock or SystemClock(),
            instruments_ttl=settings.exchange_instruments_ttl,
            opening=opening(
                settings.mexc_allow_opening,
                key.get_secret_value(),
                secret.get_secret_value(),
                settings.mexc_base_url.host or "",
            ),
        )


PROVIDER: Final = MexcProvider()
