"""Settings that would route messages to the wrong place are refused, with what would be right."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from consumer.queue.topology import Topology
from consumer.settings import BrokerSettings


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"trade_queue": "retry.1"}, "TRADE_QUEUE"),
        ({"trade_exchange": "trade-execution.retry"}, "TRADE_EXCHANGE"),
        ({"trade_queue": "q", "trade_exchange": "q.dead"}, "TRADE_EXCHANGE"),
    ],
)
def test_names_that_would_cross_are_refused(values: dict[str, str], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        BrokerSettings.model_validate(values)


def test_names_that_stay_apart_are_taken() -> None:
    topology = Topology.of(BrokerSettings(trade_queue="orders", trade_exchange="orders"))
    assert len({exchange.name for exchange in topology.exchanges}) == len(topology.exchanges)
