"""Settings of the exchanges: credentials, base URLs, time-outs.

Read from the environment, or from files named `<NAME>_FILE` (Docker and Kubernetes secrets).
Secrets are `SecretStr`: they print as asterisks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, HttpUrl, SecretStr, UrlConstraints
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

BaseUrl = Annotated[HttpUrl, UrlConstraints(host_required=True)]


class FileSecretsSource(PydanticBaseSettingsSource):
    """`FOO_FILE=/run/secrets/foo` gives the setting `FOO` the file's content, stripped."""

    def get_field_value(self, field: object, field_name: str) -> tuple[object, str, bool]:
        """Not used: the whole mapping is built in `__call__`."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, object]:
        """Read every `<NAME>_FILE` that names a known setting."""
        values: dict[str, object] = {}
        for name, field in self.settings_cls.model_fields.items():
            env_name = name.upper()
            if isinstance(field.validation_alias, AliasChoices):
                env_name = str(field.validation_alias.choices[0])
            path = os.environ.get(f"{env_name}_FILE")
            if not path:
                continue
            try:
                values[name] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ValueError(
                    f"{env_name}_FILE names {path}, which can't be read: {error.strerror}"
                ) from None
        return values


class EnvironmentSettings(BaseSettings):
    """The common base: environment first, then secret files, then defaults."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over secret files."""
        del dotenv_settings, file_secret_settings
        return (init_settings, env_settings, FileSecretsSource(settings_cls))


class ExchangeSettings(EnvironmentSettings):
    """What the exchanges need; each provider reads its own part."""

    bybit_api_key: SecretStr | None = Field(None, description="Bybit API key.")
    bybit_api_secret: SecretStr | None = Field(None, description="Bybit API secret.")
    bybit_base_url: BaseUrl = Field(
        HttpUrl("https://api.bybit.com"),
        description="Bybit REST base URL; a testnet, demo or sandbox URL works too.",
    )
    mexc_api_key: SecretStr | None = Field(None, description="MEXC API key.")
    mexc_secret_binding: SecretStr | None = Field(None, description="MEXC API secret.")
    mexc_base_url: BaseUrl = Field(
        HttpUrl("https://api.mexc.com"),
        description="MEXC contract REST base URL; a sandbox URL works too.",
    )
    mexc_allow_opening: bool | None = Field(
        None,
        description="Whether orders that open a position may go to MEXC. Unset, they may not as "
        "long as the base URL is below mexc.com (MEXC has no test environment, so check the order "
        "endpoint with this account first: `trade-worker doctor`), and may everywhere else, such "
        "as a sandbox. Closing orders always may.",
    )
    binance_api_key: SecretStr | None = Field(None, description="Binance API key.")
    binance_api_secret: SecretStr | None = Field(None, description="Binance API secret.")
    binance_base_url: BaseUrl = Field(
        HttpUrl("https://fapi.binance.com"),
        description="Binance USD-M futures REST base URL; a demo or sandbox URL works too.",
    )
    exchange_recv_window_ms: int = Field(
        5000,
        ge=1000,
        le=60000,
        description="How long after its timestamp an exchange may accept a request, in ms. "
        "Short keeps the wait before an order of unknown outcome may be sent again short.",
    )
    exchange_connect_timeout: float = Field(
        3.0, gt=0, le=60, description="Seconds to connect to an exchange."
    )
    exchange_request_timeout: float = Field(
        5.0, gt=0, le=60, description="Seconds to wait for an exchange's answer."
    )
    exchange_max_connections: int = Field(
        64, ge=1, le=1000, description="Most connections to one exchange from one worker."
    )
    exchange_setup_ttl: float = Field(
        300.0,
        gt=0,
        description="Seconds for which a verified position mode, margin mode and leverage "
        "of a symbol are trusted.",
    )
    exchange_instruments_ttl: float = Field(
        3600.0, gt=0, description="Seconds after which instrument rules are read anew."
    )
