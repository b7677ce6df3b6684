"""Settings of what is kept: the database, the object store, and how long to wait for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    Field,
    HttpUrl,
    PostgresDsn,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from providers.settings import EnvironmentSettings

_S3 = "s3://"
_STORE_URLS = (
    "an object store is file:///an/absolute/folder, file://./a/folder/from/here, or s3:// "
    "(with the bucket in REPORTS_BUCKET and the server, if it is not AWS, in S3_ENDPOINT_URL)"
)
Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]


def parse_store_url(url: str) -> Path | None:
    """Read an object store's URL: a folder, or None for S3.

    Raises:
        ValueError: naming what is expected.
    """
    if url == _S3:
        return None
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.query or parts.fragment or not path.strip("/"):
        raise ValueError(_STORE_URLS)
    if parts.netloc == ".":
        return Path(path.lstrip("/"))
    if parts.netloc in {"", "localhost"} and path.startswith("/"):
        return Path(path)
    raise ValueError(_STORE_URLS)


def _store_url(url: str) -> str:
    parse_store_url(url)
    return url


def _without_credentials(url: HttpUrl) -> HttpUrl:
    if url.username or url.password:
        raise ValueError("may hold no credentials; they belong in S3_ACCESS_KEY_ID and its fellow")
    return url


class ObjectStoreSettings(EnvironmentSettings):
    """Where reports go and how the place is reached."""

    object_store_url: Annotated[str, AfterValidator(_store_url)] = Field(
        "file://./trade-objects",
        description="Where reports go: `s3://`, or a folder as `file:///absolute/folder` or "
        "`file://./folder` (from the working directory).",
    )
    object_store_timeout: float = Field(
        10.0, gt=0, le=120, description="Seconds for one object; after that it is tried later."
    )
    object_store_create_bucket: bool = Field(
        default=False, description="`true` makes a missing S3 bucket."
    )
    reports_bucket: Bucket = Field(
        "trade-reports",
        description="Bucket of the reports; in a folder store, the folder inside it.",
    )
    system_logs: bool = Field(
        default=True,
        description="`false` keeps no log of the requests to exchanges.",
    )
    system_logs_bucket: Bucket = Field(
        "hoox-system-logs", description="Bucket, or folder, of the system logs."
    )
    system_logs_interval: float = Field(
        60.0, gt=0, le=3600, description="Most seconds that a line waits to be uploaded."
    )
    system_logs_batch: int = Field(
        5000, ge=1, le=100_000, description="Most lines of one uploaded object."
    )
    system_logs_memory: int = Field(
        50_000,
        ge=1,
        le=1_000_000,
        description="Most lines kept in memory while the object store is away; beyond it the "
        "oldest are dropped, and counted.",
    )
    s3_endpoint_url: Annotated[HttpUrl, AfterValidator(_without_credentials)] | None = Field(
        None, description="URL of a server that speaks S3; unset means AWS."
    )
    s3_region: str | None = Field(
        None, description="Region of the bucket; unset leaves it to AWS_REGION and its like."
    )
    s3_access_key_id: SecretStr | None = Field(
        None, description="S3 access key; unset takes the credentials AWS's own tools take."
    )
    s3_secret_access_key: SecretStr | None = Field(
        None, description="S3 secret key.", validate_default=True
    )
    offload_interval: float = Field(
        1.0, gt=0, le=60, description="Seconds between looks for reports to upload."
    )
    offload_concurrency: int = Field(
        8, ge=1, le=64, description="Most reports under way to the object store at once."
    )
    offload_per_second: float = Field(
        50.0,
        ge=1,
        le=10000,
        description="Most reports a second that one worker uploads, so that a burst of orders is "
        "not slowed by its own reports; the others wait in the outbox.",
    )

    @field_validator("s3_secret_access_key")
    @classmethod
    def _both_or_none(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "s3_access_key_id" in info.data and (
            (info.data["s3_access_key_id"] is None) is not (secret is None)
        ):
            raise ValueError("S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY go together")
        return secret

    @property
    def object_folder(self) -> Path | None:
        """The folder that objects are kept in, or None if S3 keeps them."""
        return parse_store_url(self.object_store_url)


class StorageSettings(ObjectStoreSettings):
    """Where the ledger is and how it is reached."""

    database_url: PostgresDsn = Field(
        PostgresDsn("postgresql://localhost:5432/trade"),
        description="PostgreSQL URL of the ledger.",
        repr=False,  # it may hold a password
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
    config_poll: float = Field(
        0.5,
        gt=0,
        le=10,
        description="Seconds between questions whether the config changed, beside being told.",
    )
    config_stale_after: float = Field(
        3.0,
        gt=0,
        le=60,
        description="Seconds without word from the config store after which nothing is sent.",
    )
    clock_difference: float = Field(
        2.0,
        gt=0,
        le=3600,
        description="Seconds that this machine's clock may differ from the database's. Beyond "
        "that nothing is sent until they agree, for it is not known what is too old.",
    )
