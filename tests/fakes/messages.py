"""Trade messages and settings for tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from consumer.contract.decoding import decode
from consumer.settings import Settings
from tests.fakes.exchange import NAME

if TYPE_CHECKING:
    from consumer.contract.message import TradeMessage

MAX_BYTES = 65536


def body(**changes: Any) -> bytes:  # noqa: ANN401 - any field of a message
    """A valid message's bytes; a field given as None is left out."""
    fields: dict[str, object] = {
        "requestId": "r-1",
        "exchange": NAME,
        "action": "LONG",
        "symbol": "BTCUSDT",
        "quantity": 0.005,
    }
    fields |= changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def message(**changes: Any) -> TradeMessage:  # noqa: ANN401 - any field of a message
    return decode(body(**changes), MAX_BYTES)


def settings(**changes: Any) -> Settings:  # noqa: ANN401 - any setting
    """Settings whose values matter to tests, whatever the environment says."""
    fixed: dict[str, Any] = {
        "default_exchange": NAME,
        "trade_queue": "trade-execution",
        "trade_exchange": "trade",
        "retry_delays": "30s,60s,5m,15m,30m",
        "max_batch_size": 10,
        "max_batch_timeout": 1.0,
        "batch_dispatch": "eager",
        "send_within": 5.0,
        "worker_lease": 10.0,
        "lane_wait": 15.0,
        "absence_margin": 5.0,
        "drain_timeout": 20.0,
        "exchange_connect_timeout": 3.0,
        "exchange_request_timeout": 5.0,
        "reconcile_interval": 0.25,
        "message_max_bytes": MAX_BYTES,
    }
    return Settings(**{**fixed, **changes})
