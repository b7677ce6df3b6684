"""From outcomes to settlements, the settlement of one delivery, and a dead letter's headers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiormq.exceptions
import pamqp.encode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.outcome import Outcome, OutcomeKind
from consumer.queue.dead_letters import bury, dead_letter_headers
from consumer.queue.delivery import Settlement
from consumer.queue.settlement import SETTLEMENT_OF, Decision, decide
from consumer.queue.topology import Topology
from tests.fakes.broker import FakeAcknowledger, FakePublisher, delivery
from tests.fakes.virtual_time import on_virtual_time, turns

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
TEXTS = st.text(max_size=20) | st.none()


def of(request_id: str | None, exchange: str | None = None) -> Outcome:
    """A refusal of somebody's message."""
    return Outcome(OutcomeKind.REFUSED, request_id=request_id, exchange=exchange)


# The decision.


@pytest.mark.parametrize(
    ("kind", "settlement", "on_the_last_attempt"),
    [
        (OutcomeKind.PLACED, Settlement.ACK, Settlement.ACK),
        (OutcomeKind.ALREADY_DONE, Settlement.ACK, Settlement.ACK),
        (OutcomeKind.NOTHING_TO_DO, Settlement.ACK, Settlement.ACK),
        (OutcomeKind.REFUSED, Settlement.DEAD_LETTER, Settlement.DEAD_LETTER),
        (OutcomeKind.RETRY, Settlement.NACK, Settlement.DEAD_LETTER),
        (OutcomeKind.RELEASED, Settlement.REQUEUE, Settlement.REQUEUE),
        (OutcomeKind.ABANDONED, Settlement.ABANDON, Settlement.ABANDON),
    ],
)
def test_every_outcome_has_a_settlement(
    kind: OutcomeKind, settlement: Settlement, on_the_last_attempt: Settlement
) -> None:
    outcome = Outcome(kind, "WHY", "because")
    assert decide(outcome, attempt=1, last_attempt=False).settlement is settlement
    assert decide(outcome, attempt=6, last_attempt=True).settlement is on_the_last_attempt


def test_the_table_knows_every_outcome() -> None:
    assert set(SETTLEMENT_OF) == set(OutcomeKind)


@given(st.sampled_from(OutcomeKind), TEXTS, TEXTS, st.integers(1, 21), st.booleans())
def test_nothing_is_acknowledged_that_was_not_done_and_every_dead_letter_has_a_reason(
    kind: OutcomeKind,
    reason: str | None,
    error: str | None,
    attempt: int,
    last: bool,  # noqa: FBT001 - drawn
) -> None:
    decision = decide(Outcome(kind, reason, error), attempt=attempt, last_attempt=last)
    done = kind in (OutcomeKind.PLACED, OutcomeKind.ALREADY_DONE, OutcomeKind.NOTHING_TO_DO)
    assert (decision.settlement is Settlement.ACK) == done
    if decision.settlement is Settlement.DEAD_LETTER:
        assert decision.reason
    if last:
        assert decision.settlement is not Settlement.NACK


def test_giving_up_says_how_often_it_was_tried_and_what_was_last() -> None:
    outcome = Outcome(OutcomeKind.RETRY, "RATE_LIMITED", "bybit 10006: too many visits")
    decision = decide(outcome, attempt=6, last_attempt=True)
    assert decision == Decision(
        Settlement.DEAD_LETTER,
        "RETRIES_EXHAUSTED",
        "given up after 6 attempts; last: RATE_LIMITED: bybit 10006: too many visits",
    )


def test_a_refusal_keeps_its_own_reason_on_the_last_attempt() -> None:
    outcome = Outcome(OutcomeKind.REFUSED, "EXPIRED", "too late")
    assert decide(outcome, attempt=6, last_attempt=True).reason == "EXPIRED"


# One delivery.


@pytest.mark.parametrize(
    ("settlement", "journal", "settled"),
    [
        (Settlement.ACK, ["ack"], True),
        (Settlement.DEAD_LETTER, ["ack"], True),
        (Settlement.NACK, ["nack"], True),
        (Settlement.REQUEUE, ["requeue"], True),
        (Settlement.ABANDON, [], False),
    ],
)
@on_virtual_time
async def test_a_settlement_reaches_the_broker(
    settlement: Settlement,
    journal: list[str],
    settled: bool,  # noqa: FBT001 - expected
) -> None:
    acknowledger = FakeAcknowledger()
    one = delivery(acknowledger=acknowledger)
    assert await one.settle(settlement) is settled
    assert acknowledger.journal == journal
    assert one.settled is settlement


@on_virtual_time
async def test_the_first_settlement_wins() -> None:
    acknowledger = FakeAcknowledger(gate=asyncio.Event())
    one = delivery(acknowledger=acknowledger)
    first = asyncio.ensure_future(one.settle(Settlement.NACK))
    await turns()
    assert await one.settle(Settlement.ACK) is False, "while the first is on its way"
    assert acknowledger.gate is not None
    acknowledger.gate.set()
    assert await first is True
    assert await one.settle(Settlement.ACK) is False, "after it"
    assert acknowledger.journal == ["nack"]
    assert one.settled is Settlement.NACK


@on_virtual_time
async def test_a_delivery_whose_channel_is_gone_is_abandoned() -> None:
    acknowledger = FakeAcknowledger(closed=True)
    one = delivery(acknowledger=acknowledger)
    assert one.stale
    assert await one.settle(Settlement.ACK) is False
    assert one.settled is Settlement.ABANDON
    assert acknowledger.journal == []


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("gone"),
        TimeoutError(),
        aiormq.exceptions.ChannelClosed(406, "PRECONDITION_FAILED"),
        aiormq.exceptions.ConnectionClosed(320, "CONNECTION_FORCED"),
        aiormq.exceptions.ChannelInvalidStateError(),
        asyncio.InvalidStateError(),
    ],
)
@on_virtual_time
async def test_a_broker_error_leaves_the_delivery_to_the_broker(error: Exception) -> None:
    one = delivery(acknowledger=FakeAcknowledger(error=error))
    assert await one.settle(Settlement.ACK) is False
    assert one.settled is Settlement.ABANDON


# A dead letter.

DECISION = Decision(Settlement.DEAD_LETTER, "EXPIRED", "too late")


def test_the_headers_say_why() -> None:
    one = delivery(attempt=3, batch_id="b-7", batch_order=2, batch_at=NOW)
    assert dead_letter_headers(one, DECISION, of("r-1", exchange="bybit"), NOW) == {
        "trade-reason": "EXPIRED",
        "trade-error": "too late",
        "trade-batch-id": "b-7",
        "trade-batch-at": "2026-01-31T12:00:00+00:00",
        "trade-batch-order": 2,
        "trade-attempts": 3,
        "trade-failed-at": "2026-01-31T12:00:00+00:00",
        "trade-request-id": "r-1",
        "trade-exchange": "bybit",
    }


def test_without_a_request_id_there_is_no_header_for_it() -> None:
    assert "trade-request-id" not in dead_letter_headers(delivery(), DECISION, of(None), NOW)


def test_the_producers_headers_are_kept_and_the_brokers_and_older_ones_of_ours_are_not() -> None:
    one = delivery(
        headers={
            "tenant": "blue",
            "priority": 5,
            "replayed": True,
            "x-death": [{"count": 3}],
            "x-delivery-count": 2,
            "x-first-death-queue": "trade-execution",
            "trade-reason": "OLDER",
            "trade-request-id": "someone-elses",
            "trade-anything": "forged",
            "trade-replay-of": 7,
            "table": {"nested": True},
            "list": [1, 2],
            "bytes": b"\x00",
            "decimal": Decimal("0.1"),
            "none": None,
            "at": NOW,
        }
    )
    headers = dead_letter_headers(one, DECISION, of(None), NOW)
    assert {name: headers[name] for name in headers if not name.startswith("trade-")} == {
        "tenant": "blue",
        "priority": 5,
        "replayed": True,
    }
    assert headers["trade-reason"] == "EXPIRED"
    assert headers["trade-replay-of"] == 7
    assert "trade-request-id" not in headers
    assert "trade-anything" not in headers


def test_a_long_error_is_cut() -> None:
    long = Decision(Settlement.DEAD_LETTER, "X", "e" * 100_000)
    assert dead_letter_headers(delivery(), long, of(None), NOW)["trade-error"] == "e" * 1000


def test_many_headers_do_not_outgrow_a_frame() -> None:
    many: dict[str, object] = {f"h{number}": "x" * 900 for number in range(200)}
    headers = dead_letter_headers(
        delivery(headers={**many, "last": 1}), DECISION, of("r" * 128), NOW
    )
    assert headers["h0"] == "x" * 900
    assert len(pamqp.encode.field_table(dict(headers))) < 32_768
    assert headers["trade-reason"] == "EXPIRED"


ANY_HEADER: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=2000)
    | st.binary(max_size=20)
    | st.floats(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children),
    max_leaves=5,
)


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(max_size=50) | st.sampled_from(["x-death", "trade-error", "tenant"]), ANY_HEADER
    ),
    TEXTS,
    TEXTS,
)
def test_headers_can_always_be_sent(
    headers: dict[str, object], error: str | None, request_id: str | None
) -> None:
    decision = Decision(Settlement.DEAD_LETTER, None, error)
    made = dead_letter_headers(delivery(headers=headers), decision, of(request_id), NOW)
    assert len(pamqp.encode.field_table(dict(made))) < 131_072 / 2
    for value in made.values():
        assert isinstance(value, str | int)
        assert len(str(value)) <= 1000
    assert made["trade-reason"] == "REFUSED"


@on_virtual_time
async def test_a_dead_letter_is_the_body_untouched() -> None:
    publisher = FakePublisher()
    topology = Topology("trade-execution", "trade", ("30s",))
    one = delivery(b"\xff not even text", message_id="m-9")
    await bury(publisher, topology, one, {"trade-reason": "NOT_UTF8"})
    (letter,) = publisher.published
    assert letter.body == b"\xff not even text"
    assert letter.exchange == "trade-execution.dead"
    assert letter.message_id == "m-9"
    assert letter.headers == {"trade-reason": "NOT_UTF8"}
