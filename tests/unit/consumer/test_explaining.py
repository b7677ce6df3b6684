"""What people are told when the broker differs or is away."""

from __future__ import annotations

import asyncio

import pytest

from consumer.queue.broker import say, shown
from consumer.queue.declare import explain
from consumer.settings import BrokerSettings


def test_a_differing_argument_is_named_with_both_values() -> None:
    refusal = (
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue "
        "'trade-execution.retry.30s' in vhost '/': received '30000' but current is '60000'"
    )
    assert explain(refusal, "trade-execution.retry.30s") == (
        "queue 'trade-execution.retry.30s' exists with another 'x-message-ttl' "
        "(wanted '30000', found '60000'); delete it when it is empty, or set TRADE_QUEUE, "
        "TRADE_EXCHANGE or RETRY_DELAYS to what it was made with"
    )


def test_a_missing_argument_and_another_kind_are_named_too() -> None:
    refusal = (
        "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-strategy' for queue 'q' in vhost "
        "'/': received the value 'at-least-once' of type 'longstr' but current is none"
    )
    told = explain(refusal, "q")
    assert "another 'x-dead-letter-strategy'" in told
    assert "found none" in told
    refusal = (
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'trade' in vhost '/': "
        "received 'topic' but current is 'fanout'"
    )
    assert explain(refusal, "trade").startswith("exchange 'trade' exists with another 'type'")


def test_any_other_refusal_is_passed_on() -> None:
    assert explain("RESOURCE_LOCKED - cannot obtain", "q") == (
        "'q' can't be declared: RESOURCE_LOCKED - cannot obtain"
    )


def test_where_the_broker_is_can_be_shown_without_its_password() -> None:
    with_port = BrokerSettings(amqp_url="amqp://user:hunter2@mq.example:5673/vhost")
    assert shown(with_port) == "mq.example:5673"
    without = BrokerSettings(amqp_url="amqp://user:hunter2@mq.example/")
    assert shown(without) == "mq.example:5672"
    assert "hunter2" not in repr(with_port)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TimeoutError(), "no answer in time"),
        (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (RuntimeError("first line\nsecond line"), "first line"),
        (asyncio.InvalidStateError(), "InvalidStateError"),
    ],
)
def test_an_error_is_one_line(error: Exception, line: str) -> None:
    assert say(error) == line
