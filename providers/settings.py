"""Settings of the exchanges: credentials, base URLs, time-outs.

Read from the environment, or from files named `<NAME>_FILE` (Docker and Kubernetes secrets).
Secrets are `SecretStr`: they print as asterisks.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, Field, HttpUrl, SecretStr, UrlConstraints
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from providers.limits import binance, bybit, mexc
from providers.limits.plan import Rules, parse_overrides

BaseUrl = Annotated[HttpUrl, UrlConstraints(host_required=True)]


QUOTAS = (binance.QUOTA, bybit.QUOTA, mexc.QUOTA)


def _overrides(text: str) -> str:
    parse_overrides(text, QUOTAS)
    return text


class RateLimits(StrEnum):
    """Who keeps count of requests."""

    SHARED = "shared"
    LOCAL = "local"
    OFF = "off"


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


class RateLimitSettings(EnvironmentSettings):
    """How the exchanges' request limits are kept."""

    rate_limits: RateLimits = Field(
        RateLimits.SHARED,
        description="`shared`: all workers on one database keep to the exchanges' request limits "
        "together; `local`: each keeps to its share of them by itself; `off`: nobody counts, and "
        "what an exchange refuses is tried again later.",
    )
    rate_limit_overrides: Annotated[str, AfterValidator(_overrides)] = Field(
        "",
        description="Other limits than the published ones, as for VIP levels and demo hosts: "
        "`bybit:order/create=20,binance:orders_10s=600`. `trade-worker limits published` lists "
        "them.",
    )
    rate_limit_max_wait: float = Field(
        5.0,
        ge=0,
        le=10,
        description="Seconds an order may wait for its request slot (at most half of CLAIM_LEASE); "
        "one that would wait longer goes back to the queue.",
    )
    rate_limit_margin_ms: int = Field(
        70,
        ge=0,
        le=2000,
        description="How much later than another a request may reach the exchange that left with "
        "it, in ms. Each window is kept longer by it; by three times where no order counts.",
    )
    rate_limit_reserve: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Part of each request limit that is kept for closes and look-ups; at least one "
        "request of four or more, lent to others now and then where that is more than the part.",
    )
    rate_limit_address: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = Field(
        "default",
        description="Name of the address that requests leave from. Workers that reach the "
        "exchanges from different addresses have different names; limits and bans of an address "
        "are shared by name.",
    )
    rate_limit_replicas: int = Field(
        8,
        ge=1,
        le=1000,
        description="How many workers share the limits where they can't be counted: with "
        "RATE_LIMITS=local, or until the database first answered.",
    )
    rate_limit_timeout: float = Field(
        1.0,
        gt=0,
        le=5,
        description="Seconds for a request slot from the database; after that a worker keeps to "
        "its share of the limits by itself until the database answers again.",
    )

    @property
    def rate_rules(self) -> Rules:
        """How limits are kept."""
        return Rules(
            margin_ms=self.rate_limit_margin_ms,
            reserve=self.rate_limit_reserve,
            address=self.rate_limit_address,
            overrides=parse_overrides(self.rate_limit_overrides, QUOTAS),
        )


class ExchangeSettings(RateLimitSettings):
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
    mexc_allow_opening: str | None = Field(
        None,
        description="Lets orders that open a position through to MEXC. Below mexc.com it must be "
        "the word that `trade-worker doctor --exchange mexc` prints once it has found that the "
        "order endpoint takes orders of this key: MEXC has no test environment. Everywhere else, "
        "such as a sandbox, they go through anyway. `false` keeps them back everywhere. Closing "
        "orders always go through.",
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
