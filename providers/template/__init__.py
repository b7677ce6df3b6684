"""A template for an exchange of your own: copy this folder, and read `providers/ADDING.md`.

It speaks the API of an exchange that does not exist, so it is registered nowhere. In a package of
your own, this line of `pyproject.toml` is what makes trade-worker find it::

    [project.entry-points."trade_worker.providers"]
    template = "your_package:PROVIDER"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import Field, HttpUrl, SecretStr

from providers.clock import SystemClock
from providers.errors import NotConfigured
from providers.http import make_http
from providers.settings import BaseUrl, EnvironmentSettings
from providers.template.client import NAME, TemplateClient

if TYPE_CHECKING:
    import httpx

    from providers.settings import ExchangeSettings


class TemplateSettings(EnvironmentSettings):
    """Settings of one's own: read from the environment, or from files named `<NAME>_FILE`."""

    template_api_key: SecretStr | None = Field(None, description="API key.")
    template_api_secret: SecretStr | None = Field(None, description="API secret.")
    template_base_url: BaseUrl = Field(HttpUrl("https://api.template.example"))


class TemplateProvider:
    """Registers the exchange; see `providers.exchange.Provider`."""

    @property
    def name(self) -> str:
        """The venue's name in lower case, as messages and the entry point write it."""
        return NAME

    def has_credentials(self, settings: ExchangeSettings) -> bool:
        """True if key and secret are both set."""
        del settings  # those of the built-in exchanges; ours are our own
        own = TemplateSettings()
        return own.template_api_key is not None and own.template_api_secret is not None

    def create_client(
        self,
        settings: ExchangeSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        own: TemplateSettings | None = None,
    ) -> TemplateClient:
        """Make a client; does no I/O.

        Args:
            settings: time-outs, and how often rules are read anew.
            transport: takes the place of the default way onto the wire.
            own: takes the place of what the environment says.

        Raises:
            NotConfigured: without key and secret.
        """
        own = own or TemplateSettings()
        key, secret = own.template_api_key, own.template_api_secret
        if key is None or secret is None:
            raise NotConfigured(NAME)
        return TemplateClient(
            str(own.template_base_url),
            key.get_secret_value(),
            secret.get_secret_value(),
            make_http(settings, transport),
            SystemClock(),
            recv_window_ms=settings.exchange_recv_window_ms,
            instruments_ttl=settings.exchange_instruments_ttl,
        )


PROVIDER: Final = TemplateProvider()
