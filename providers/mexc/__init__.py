"""MEXC contract API v1, USDT perpetuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from providers.clock import SystemClock
from providers.errors import NotConfigured
from providers.http import make_http
from providers.mexc.client import NAME, MexcClient

if TYPE_CHECKING:
    import httpx

    from providers.clock import Clock
    from providers.settings import ExchangeSettings

_REAL_DOMAIN = "mexc.com"


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
            allow_opening=may_open(settings),
        )


def may_open(settings: ExchangeSettings) -> bool:
    """Whether opening orders are let through: as set, else everywhere but on the real exchange."""
    if settings.mexc_allow_opening is not None:
        return settings.mexc_allow_opening
    host = (settings.mexc_base_url.host or "").lower().rstrip(".")
    return not (host == _REAL_DOMAIN or host.endswith(f".{_REAL_DOMAIN}"))


PROVIDER: Final = MexcProvider()
