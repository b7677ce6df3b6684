"""Binance USDⓈ-M futures, USDT perpetuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from providers.binance.client import NAME, BinanceClient
from providers.clock import SystemClock
from providers.errors import NotConfigured
from providers.http import make_http

if TYPE_CHECKING:
    import httpx

    from providers.clock import Clock
    from providers.settings import ExchangeSettings


class BinanceProvider:
    """Registers Binance; see `providers.exchange.Provider`."""

    @property
    def name(self) -> str:
        """The venue's name in lower case."""
        return NAME

    def has_credentials(self, settings: ExchangeSettings) -> bool:
        """True if key and secret are both set."""
        return bool(
            settings.binance_api_key
            and settings.binance_api_key.get_secret_value()
            and settings.binance_api_secret
            and settings.binance_api_secret.get_secret_value()
        )

    def create_client(
        self,
        settings: ExchangeSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> BinanceClient:
        """Make a client; does no I/O.

        Args:
            settings: credentials, base URL, time-outs.
            transport: takes the place of the default way onto the wire.
            clock: takes the place of the system clock.

        Raises:
            NotConfigured: without key and secret.
        """
        key, secret = settings.binance_api_key, settings.binance_api_secret
        if key is None or secret is None or not self.has_credentials(settings):
            raise NotConfigured(NAME)
        return BinanceClient(
            str(settings.binance_base_url),
            key.get_secret_value(),
            secret.get_secret_value(),
            make_http(settings, transport),
            clock or SystemClock(),
            recv_window_ms=settings.exchange_recv_window_ms,
            instruments_ttl=settings.exchange_instruments_ttl,
        )


PROVIDER: Final = BinanceProvider()
