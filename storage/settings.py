"""Settings of what is kept: the database and how long to wait for it."""

from __future__ import annotations

from pydantic import Field, PostgresDsn

from providers.settings import EnvironmentSettings


class StorageSettings(EnvironmentSettings):
    """Where the ledger is and how it is reached."""

    database_url: PostgresDsn = Field(
        PostgresDsn("postgresql://localhost:5432/trade"),
        description="PostgreSQL URL of the ledger.",
    )
    database_pool_size: int = Field(
        6, ge=2, le=100, description="Most database connections of one worker."
    )
    database_timeout: float = Field(
        5.0,
        gt=0,
        le=120,
        description="Seconds for one statement or for getting a connection; after that the "
        "ledger counts as unreachable and nothing is sent.",
    )
