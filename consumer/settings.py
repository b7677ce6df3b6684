"""All settings of a worker, in one model: the exchanges', the storage's, and its own.

Every field is an environment variable of the same name in capitals; the table in the README is
generated from this model.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AmqpDsn, BeforeValidator, Field, SecretStr, model_validator

from consumer.notify_settings import NotifySettings
from providers.settings import ExchangeSettings, RateLimits
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


class Traces(StrEnum):
    """Where traces go; OTLP takes its address from the variables that OpenTelemetry names."""

    OFF = "off"
    OTLP = "otlp"


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
    collect_dead_letters: bool = Field(
        default=True,
        description="`false` leaves dead letters in their queue, for tools of your own; then "
        "nothing lists or replays them.",
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


class Settings(BrokerSettings, ExchangeSettings, NotifySettings):
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
    worker_lease: float = Field(
        10.0,
        ge=1,
        le=600,
        description="Seconds without a sign of life after which a worker counts as gone, and its "
        "lanes and orders are others'; at least twice SEND_WITHIN is taken. A worker that was "
        "killed counts as gone at once.",
    )
    lane_wait: float = Field(
        15.0,
        ge=0,
        le=600,
        description="Seconds that a message waits while another worker has its order or its "
        "(exchange, account, symbol); then it is nacked. One that waits for the ledger goes back "
        "to the queue after it, for another worker may reach it.",
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

    @property
    def slot_wait(self) -> float:
        """Seconds an order may wait for its request slot."""
        if self.rate_limits is RateLimits.OFF:
            return 0.0
        return min(self.rate_limit_max_wait, self.claim_lease / 2)

    drain_timeout: float = Field(
        20.0,
        gt=0,
        le=600,
        description="Seconds that a stopping worker gives to what is in flight.",
    )
    audit_interval: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="Seconds between looks at each account's open orders for those that are not "
        "ours; all workers together.",
    )
    recent_orders_interval: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds between looks at each account's finished orders, by which more orders "
        "than intents are seen also where they are filled at once; all workers together.",
    )
    equity_interval: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds between looks at each account's equity, for the daily drawdown.",
    )
    reconcile_interval: float = Field(
        0.25, gt=0, le=60, description="Seconds between looks at orders that are due one."
    )
    missing_after: float = Field(
        3600.0,
        ge=1,
        le=7 * 86400,
        description="Seconds for which an exchange may not show an order that it has taken; then "
        "the order is QUARANTINED and a person must look.",
    )
    traces: Traces = Field(
        Traces.OFF,
        description="`otlp` sends traces to OTEL_EXPORTER_OTLP_ENDPOINT; needs the extra `otel`.",
    )
    observe_interval: float = Field(
        5.0, gt=0, le=300, description="Seconds between looks at queues and ledger for the metrics."
    )
    watchdog_silence: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds with a backlog, room for more and no delivery, after which the worker "
        "counts as dead.",
    )
    watchdog_lag: float = Field(
        5.0,
        gt=0,
        le=300,
        description="An event loop that runs so many seconds late counts as dead.",
    )
    api_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of the REST API; unset, `trade-worker run` serves none and `trade-worker "
        "api` takes 8780.",
    )
    api_host: str = Field("127.0.0.1", description="Address that the REST API listens on.")
    internal_key_binding: SecretStr | None = Field(
        None,
        description="Keys that may execute through the REST API, in `X-Internal-Auth-Key`; several "
        "separated by spaces or commas, so that one can be changed for another.",
    )
    internal_read_key_binding: SecretStr | None = Field(
        None, description="Keys that may only read through the REST API; several as above."
    )
    api_fill_wait: float = Field(
        10.0,
        ge=0,
        le=120,
        description="Seconds that `POST /process` waits for an order to be finished; then it "
        "answers 202 with the status.",
    )
    api_timeout: float = Field(
        60.0, gt=0, le=600, description="Seconds after which the REST API gives a request up."
    )
    log_level: Annotated[str, Field(pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR."
    )
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="`json`, `console`, or `auto`: console on a terminal."
    )

    @model_validator(mode="after")
    def _answered_before_given_up(self) -> Self:
        """Refuse a wait for fills that no request would live to see the end of."""
        if self.api_fill_wait >= self.api_timeout:
            raise ValueError(
                f"API_FILL_WAIT {self.api_fill_wait:g} must be below API_TIMEOUT "
                f"{self.api_timeout:g}"
            )
        return self
