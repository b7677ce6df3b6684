"""All settings of a worker, in one model: the exchanges', the storage's, and its own.

Every field is an environment variable of the same name in capitals; the table in the README is
generated from this model.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AmqpDsn, BeforeValidator, Field, model_validator

from providers.settings import ExchangeSettings
from storage.settings import StorageSettings

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_DELAY = re.compile(r"([0-9]{1,9})(ms|s|m|h)")
_MAX_RUNGS = 20
_MAX_DELAY = timedelta(hours=24)


def parse_delay(text: str) -> timedelta:
    """Read `500ms`, `30s`, `5m` or `1h`; at least 1 ms, at most 24 h.

    Raises:
        ValueError: naming what is expected.
    """
    match = _DELAY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no delay; write it as 500ms, 30s, 5m or 1h")
    delay = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if not timedelta(0) < delay <= _MAX_DELAY:
        raise ValueError(f"{text!r} is out of range; a retry delay is 1ms to 24h")
    return delay


def _ladder(value: object) -> object:
    if not isinstance(value, str):
        return value
    labels = tuple(part.strip() for part in value.split(",") if part.strip())
    if not 1 <= len(labels) <= _MAX_RUNGS:
        raise ValueError(
            f"a retry ladder has 1 to {_MAX_RUNGS} delays separated by commas, such as "
            "30s,60s,5m,15m,30m"
        )
    for label in labels:
        parse_delay(label)
    return ",".join(labels)


class Dispatch(StrEnum):
    """When a message of a batch is started."""

    EAGER = "eager"
    ON_CLOSE = "on_close"


class LogFormat(StrEnum):
    """How log lines are written; AUTO is console on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class TopologyAtStart(StrEnum):
    """What a starting worker does about the broker's topology."""

    APPLY = "apply"
    CHECK = "check"


class BrokerSettings(StorageSettings):
    """The queue, its retries, and how they are reached."""

    amqp_url: AmqpDsn = Field(
        AmqpDsn("amqp://guest:guest@localhost:5672/"), description="RabbitMQ URL.", repr=False
    )
    trade_queue: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")] = Field(
        "trade-execution",
        description="The queue trades are taken from; retry and dead-letter names derive from it.",
    )
    trade_exchange: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")] = Field(
        "trade", description="The topic exchange producers publish to."
    )
    retry_delays: Annotated[str, BeforeValidator(_ladder)] = Field(
        "30s,60s,5m,15m,30m",
        description="The retry ladder: how long a message waits after its 1st, 2nd, … nack. "
        "After the last it is a dead letter.",
    )
    topology_at_start: TopologyAtStart = Field(
        TopologyAtStart.APPLY,
        description="`apply` declares what is missing at start, `check` refuses to start instead. "
        "Either refuses a queue that differs.",
    )
    broker_timeout: float = Field(
        10.0, gt=0, le=120, description="Seconds for one request to RabbitMQ."
    )
    broker_heartbeat: int = Field(
        15, ge=1, le=600, description="Heartbeat of the RabbitMQ connections, seconds."
    )

    @model_validator(mode="after")
    def _names_apart(self) -> Self:
        """Refuse names that would route retried messages to the wrong place."""
        if self.trade_queue.startswith("retry."):
            raise ValueError(
                f"TRADE_QUEUE {self.trade_queue!r} begins with 'retry.', as the routing keys of "
                "retried messages do; choose another name"
            )
        if self.trade_exchange in (f"{self.trade_queue}.retry", f"{self.trade_queue}.dead"):
            raise ValueError(
                f"TRADE_EXCHANGE {self.trade_exchange!r} is the name of an exchange that is made "
                "for TRADE_QUEUE; choose another name"
            )
        return self


class Settings(BrokerSettings, ExchangeSettings):
    """Everything a worker can be told."""

    max_batch_size: int = Field(10, ge=1, le=100, description="Most messages in a batch.")
    max_batch_timeout: float = Field(
        1.0, gt=0, le=60, description="Seconds after a batch's first message when it closes."
    )
    batch_dispatch: Dispatch = Field(
        Dispatch.EAGER,
        description="`eager` starts a message when it arrives, `on_close` when its batch closes.",
    )
    concurrent_batches: int = Field(
        4,
        ge=1,
        le=100,
        description="Batches in flight at once; prefetch is this times the batch size.",
    )
    message_max_bytes: int = Field(
        65536, ge=256, le=8388608, description="Largest message body that is looked into."
    )
    default_exchange: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = Field(
        "bybit", description="Where a message goes that names no exchange."
    )
    default_leverage: int | None = Field(
        None,
        ge=1,
        le=125,
        description="Leverage of orders that name none; unset leaves the account's as it is.",
    )
    claim_lease: float = Field(
        30.0,
        ge=1,
        le=600,
        description="Seconds for which a claim on an order holds without a sign of life.",
    )
    send_within: float = Field(
        5.0,
        gt=0,
        le=60,
        description="Seconds from the start of the intent's commit in which an order must be "
        "handed to the exchange, or it is not sent.",
    )
    absence_margin: float = Field(
        5.0,
        ge=1,
        le=300,
        description="Seconds added for slow look-ups before 'not found' counts as 'not there'.",
    )
    drain_timeout: float = Field(
        20.0,
        gt=0,
        le=600,
        description="Seconds that a stopping worker gives to what is in flight.",
    )
    reconcile_interval: float = Field(
        0.25, gt=0, le=60, description="Seconds between looks at orders that are due one."
    )
    log_level: Annotated[str, Field(pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR."
    )
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="`json`, `console`, or `auto`: console on a terminal."
    )
