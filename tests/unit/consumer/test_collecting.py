"""From a message in the dead-letter queue to a dead letter that can be kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.letters.collecting import letter_of
from consumer.outcome import Outcome, OutcomeKind
from consumer.queue.dead_letters import dead_letter_headers
from consumer.queue.delivery import Settlement
from consumer.queue.settlement import Decision
from consumer.queue.topology import Topology
from storage.dead_letters import error_group
from tests.fakes.broker import delivery
from tests.support.messages import encode, trade

if TYPE_CHECKING:
    from storage.dead_letters import DeadLetter

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
TOPOLOGY = Topology("trades", "trade", ("1s", "2s"))
REFUSED = Decision(Settlement.DEAD_LETTER, "EXPIRED", "too late")


def read(body: bytes, headers: dict[str, Any], **fields: Any) -> DeadLetter:  # noqa: ANN401 - of any type
    values: dict[str, Any] = {
        "message_id": "m-1",
        "content_type": "application/json",
        "routing_key": "trades",
        "now": NOW,
        **fields,
    }
    return letter_of(body, headers, topology=TOPOLOGY, max_bytes=65536, **values)


def buried(at: datetime = NOW, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """The headers of a dead letter of ours."""
    outcome = Outcome(OutcomeKind.REFUSED, request_id="r-1", exchange="mexc")
    return dict(dead_letter_headers(delivery(**fields), REFUSED, outcome, at))


def test_what_a_worker_said_is_kept() -> None:
    body = encode(trade(requestId="r-1", symbol="btc/usdt", exchange="bybit"))
    headers = buried(batch_id="b", batch_order=3, batch_at=NOW - timedelta(seconds=1), attempt=2)

    letter = read(body, headers | {"tenant": "blue"})

    assert letter.body == body
    assert (letter.reason, letter.error, letter.attempts) == ("EXPIRED", "too late", 2)
    assert (letter.batch_id, letter.batch_order) == ("b", 3)
    assert letter.batch_at == NOW - timedelta(seconds=1)
    assert letter.failed_at == NOW
    assert (letter.request_id, letter.symbol, letter.action) == ("r-1", "BTCUSDT", "LONG")
    assert letter.exchange == "mexc"  # where it was routed, not what it asked for
    assert json.loads(letter.headers)["tenant"] == "blue"


def test_an_envelope_is_understood() -> None:
    letter = read(encode({"requestId": "r-9", "payload": trade(requestId=None)}), {})
    assert (letter.request_id, letter.symbol) == ("r-9", "BTCUSDT")


def test_what_climbed_the_whole_ladder_has_a_reason_too() -> None:
    letter = read(encode(trade()), {"x-death": [{"count": 1}]}, routing_key="retry.2")
    assert letter.reason == "RETRIES_EXHAUSTED"
    assert letter.error
    assert letter.attempts == 3
    assert letter.failed_at == NOW


def test_delivered_again_it_is_the_same_one() -> None:
    body, headers = encode(trade()), buried()
    again = read(body, headers | {"x-delivery-count": 4}, now=NOW + timedelta(hours=1))
    assert again.identity == read(body, headers).identity


@pytest.mark.parametrize(
    "other",
    [
        buried(at=NOW + timedelta(microseconds=1), batch_id="b", batch_order=1),
        buried(batch_id="c", batch_order=1),
        buried(batch_id="b", batch_order=2),
        buried(batch_id="b", batch_order=1, attempt=3),
    ],
)
def test_another_death_of_the_same_message_is_another_one(other: dict[str, Any]) -> None:
    body = encode(trade())
    first = read(body, buried(batch_id="b", batch_order=1))
    assert read(body, other).identity != first.identity


def test_headers_that_a_producer_forged_never_merge_two_messages() -> None:
    forged = {"trade-batch-id": "same", "trade-failed-at": NOW.isoformat()}
    assert read(encode(trade()), forged).identity != read(encode(trade()), forged).identity


@pytest.mark.parametrize(
    ("error", "group"),
    [
        ("bybit 110007: not enough, order 77", "bybit 110007: not enough, order #"),
        (
            "given up after 5 attempts; last: RATE_LIMITED: bybit 10006: wait",
            "given up after # attempts; last: RATE_LIMITED: bybit 10006: wait",
        ),
        ("expiresAt 2026-01-31T12:00:00+00:00 passed 0.031 s ago", "expiresAt # passed # s ago"),
        ("requestId c7f1b1de-2f5e-4a4e-8f0e-1b9d4f6b2a10 was used", "requestId # was used"),
        ("unknown exchange 'kraken'", "unknown exchange 'kraken'"),
    ],
)
def test_errors_are_grouped_without_numbers_and_ids(error: str, group: str) -> None:
    assert error_group(error) == group
    assert error_group(group) == group


ANY: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=40)
    | st.binary(max_size=20)
    | st.floats()
    | st.decimals()
    | st.datetimes(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
NAMES = st.text(max_size=20) | st.sampled_from(
    [
        "trade-reason",
        "trade-error",
        "trade-failed-at",
        "trade-attempts",
        "trade-batch-at",
        "x-death",
    ]
)


@settings(max_examples=150)
@given(
    st.binary(max_size=60) | st.builds(encode, st.dictionaries(st.text(), st.text())),
    st.dictionaries(NAMES, ANY),
    st.text() | st.none(),
)
def test_whatever_comes_can_be_kept(
    body: bytes, headers: dict[str, Any], message_id: str | None
) -> None:
    letter = read(body, headers, message_id=message_id)
    assert letter.body == body
    assert b"\\u0000" not in letter.headers
    json.loads(letter.headers)
    for text in (letter.reason, letter.error, letter.batch_id, letter.message_id or ""):
        assert "\x00" not in text
        text.encode()
    assert letter.identity == read(body, headers, message_id=message_id).identity
