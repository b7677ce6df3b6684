"""What an exchange's answer means for an order and for its message: every class, both ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.execution.meaning import (
    CACHE_IN_DOUBT,
    NOTHING_LEFT,
    STATE_OF_PLACEMENT,
    confirm_after,
    details_of_placement,
    details_of_view,
    exchange_says,
    letter_of_end,
    next_look,
    outcome_of_placement,
    outcome_of_row,
    reason_to_wait,
    state_after,
)
from consumer.outcome import OutcomeKind
from providers.orders import OrderStatus, OrderView, Side
from providers.outcomes import PLACEMENT_OF_CLASS, OutcomeClass, Placement, PlacementKind
from storage.ledger import NewOrder
from storage.states import STATE_OF_STATUS, OrderState, may_follow
from tests.fakes.ledger import born

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
WINDOW = timedelta(seconds=6)
CLASSES = st.sampled_from(OutcomeClass)

# Written down once more, by what can have happened to the order: the heart of the promise.
CERTAINLY_NOT_FINAL = frozenset(
    {
        OutcomeClass.AUTH,
        OutcomeClass.PARAMETER,
        OutcomeClass.FILTER,
        OutcomeClass.MARGIN,
        OutcomeClass.REDUCE_ONLY,
        OutcomeClass.NO_POSITION,
        OutcomeClass.NOT_TRADABLE,
    }
)
CERTAINLY_NOT_NOW = frozenset(
    {
        OutcomeClass.RATE_ACCOUNT,
        OutcomeClass.RATE_IP,
        OutcomeClass.CLOCK,
        OutcomeClass.OVERLOAD,
        OutcomeClass.NOT_SENT,
        OutcomeClass.NOT_PERMITTED,
    }
)
MAYBE = frozenset(
    {
        OutcomeClass.UNKNOWN,
        OutcomeClass.DUPLICATE_ID,
        OutcomeClass.BENIGN,
        OutcomeClass.NOT_FOUND,
    }
)


def placement(outcome_class: OutcomeClass, message: str | None = "no") -> Placement:
    return Placement(
        PLACEMENT_OF_CLASS[outcome_class], outcome_class, "10001", message, sent_at=NOW
    )


def test_the_classes_above_are_all_there_are() -> None:
    known = CERTAINLY_NOT_FINAL | CERTAINLY_NOT_NOW | MAYBE | {OutcomeClass.ACCEPTED}
    assert known == set(OutcomeClass)
    assert set(STATE_OF_PLACEMENT) == set(PlacementKind)


@given(CLASSES, st.booleans())
def test_every_answer_leads_to_a_state_that_may_follow_sending(
    outcome_class: OutcomeClass,
    opens: bool,  # noqa: FBT001 - drawn
) -> None:
    after = state_after(placement(outcome_class), opens=opens)
    assert after is not OrderState.SENDING
    assert may_follow(OrderState.SENDING, after)


@pytest.mark.parametrize("opens", [True, False])
@pytest.mark.parametrize("outcome_class", OutcomeClass)
def test_only_certain_answers_are_taken_as_certain(
    outcome_class: OutcomeClass,
    opens: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    answered = placement(outcome_class)
    after = state_after(answered, opens=opens)
    details = details_of_placement(answered, after, WINDOW)
    outcome = outcome_of_placement(answered, after, "bybit", details.get("message"))
    assert outcome.state is after
    if outcome_class is OutcomeClass.ACCEPTED:
        assert (after, outcome.kind) == (OrderState.ACCEPTED, OutcomeKind.PLACED)
    elif outcome_class in NOTHING_LEFT and not opens:
        assert (after, outcome.kind) == (OrderState.DEFERRED, OutcomeKind.RETRY)
        assert outcome.reason == "NOTHING_TO_CLOSE"
    elif outcome_class in CERTAINLY_NOT_FINAL:
        assert (after, outcome.kind) == (OrderState.REJECTED, OutcomeKind.REFUSED)
        assert outcome.reason == "EXCHANGE_REJECTED"
    elif outcome_class in CERTAINLY_NOT_NOW:
        assert (after, outcome.kind) == (OrderState.DEFERRED, OutcomeKind.RETRY)
        assert outcome.reason == reason_to_wait(outcome_class)
    else:
        assert (after, outcome.kind) == (OrderState.UNKNOWN, OutcomeKind.RETRY)
        assert outcome.reason == "OUTCOME_UNKNOWN"


@given(CLASSES, st.booleans())
def test_what_may_have_been_executed_is_asked_about(
    outcome_class: OutcomeClass,
    opens: bool,  # noqa: FBT001 - drawn
) -> None:
    """An unknown outcome has a time until which it may land, and somebody who looks."""
    answered = placement(outcome_class)
    after = state_after(answered, opens=opens)
    details = details_of_placement(answered, after, WINDOW)
    if after is OrderState.UNKNOWN:
        assert details.get("may_land_for") == WINDOW
        assert details.get("keep_lease") or details.get("check_in")
    elif after is OrderState.ACCEPTED:
        assert details.get("check_in")
        assert details.get("code") is None
    else:
        assert "may_land_for" not in details
        assert not details.get("keep_lease")


@pytest.mark.parametrize(
    ("outcome_class", "reason"),
    [
        (OutcomeClass.RATE_ACCOUNT, "RATE_LIMITED"),
        (OutcomeClass.RATE_IP, "RATE_LIMITED"),
        (OutcomeClass.CLOCK, "CLOCK_SKEW"),
        (OutcomeClass.OVERLOAD, "EXCHANGE_OVERLOADED"),
        (OutcomeClass.NOT_SENT, "EXCHANGE_UNREACHABLE"),
        (OutcomeClass.UNKNOWN, "EXCHANGE_UNREACHABLE"),
    ],
)
def test_a_wait_has_a_reason(outcome_class: OutcomeClass, reason: str) -> None:
    assert reason_to_wait(outcome_class) == reason


@pytest.mark.parametrize("message", ["recv_window too small", None])
def test_a_clock_error_tells_what_to_check(message: str | None) -> None:
    answered = placement(OutcomeClass.CLOCK, message)
    details = details_of_placement(answered, OrderState.DEFERRED, WINDOW)
    text = details.get("message")
    assert text is not None
    assert "Check system NTP sync" in text
    assert message is None or message in text


def test_a_filter_refusal_puts_the_cache_in_doubt_and_a_margin_refusal_does_not() -> None:
    assert OutcomeClass.FILTER in CACHE_IN_DOUBT
    assert OutcomeClass.MARGIN not in CACHE_IN_DOUBT
    assert not CACHE_IN_DOUBT & (CERTAINLY_NOT_NOW | MAYBE)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_looks_come_less_and_less_often_but_go_on(one: int, other: int) -> None:
    assert timedelta(0) < next_look(one) <= timedelta(seconds=60)
    if one <= other:
        assert next_look(one) <= next_look(other)
    assert next_look(0) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("code", "message", "line"),
    [
        ("10006", "too many visits", "bybit 10006: too many visits"),
        ("10006", None, "bybit 10006"),
        (None, "no answer", "bybit: no answer"),
        (None, None, "bybit"),
        ("10006", "", "bybit 10006"),
    ],
)
def test_the_exchange_is_named_with_code_and_message(
    code: str | None, message: str | None, line: str
) -> None:
    assert exchange_says("bybit", code, message) == line


@pytest.mark.parametrize("status", OrderStatus)
def test_an_order_that_was_seen_is_recorded_as_it_is(status: OrderStatus) -> None:
    view = OrderView(
        client_order_id="tw-1",
        exchange_order_id="x-1",
        symbol="BTCUSDT",
        side=Side.BUY,
        status=status,
        quantity=Decimal("0.005"),
        filled_quantity=Decimal("0.002"),
        average_price=Decimal(20000),
        fee=Decimal("0.1"),
        fee_currency="USDT",
        reject_reason="not now",
        updated_at=None,
    )
    after = STATE_OF_STATUS[status]
    details = details_of_view(view, after)
    assert details.get("filled_quantity") == Decimal("0.002")
    assert details.get("exchange_order_id") == "x-1"
    assert (details.get("check_in") is None) == after.final
    rejected = status is OrderStatus.REJECTED
    assert details.get("code") == ("EXCHANGE_REJECTED" if rejected else None)
    assert details.get("message") == ("not now" if rejected else None)


# A message that asks again for an order that is done.

ROW = born(
    NewOrder(
        request_id="r-1",
        client_order_id="tw-1",
        fingerprint=b"1",
        payload={},
        exchange="bybit",
        account="default",
        symbol="BTCUSDT",
        action="LONG",
        quantity=Decimal("0.005"),
        price=None,
        queued_at=None,
        received_at=NOW,
    ),
    None,
    NOW,
    None,
)


@pytest.mark.parametrize(
    ("state", "reason", "error"),
    [
        (OrderState.DENIED, "BELOW_MIN_QUANTITY", "why"),
        (OrderState.EXPIRED, "EXPIRED", "why"),
        (OrderState.REJECTED, "EXCHANGE_REJECTED", "bybit BELOW_MIN_QUANTITY: why"),
        (OrderState.QUARANTINED, "QUARANTINED", "why"),
    ],
)
def test_a_refused_order_is_refused_again_until_its_message_is_among_the_dead(
    state: OrderState, reason: str, error: str
) -> None:
    row = replace(ROW, state=state, code="BELOW_MIN_QUANTITY", message="why")
    again = outcome_of_row(row)
    assert (again.kind, again.reason, again.error) == (OutcomeKind.REFUSED, reason, error)
    assert again.state is state
    buried = outcome_of_row(replace(row, dead_lettered_at=NOW))
    assert buried.kind is OutcomeKind.ALREADY_DONE
    assert buried.row is not None


def test_a_denial_without_a_code_has_a_reason_all_the_same() -> None:
    assert outcome_of_row(replace(ROW, state=OrderState.DENIED)).reason == "DENIED"


@pytest.mark.parametrize(
    "state",
    [OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED, OrderState.FILLED, OrderState.CANCELED],
)
def test_an_order_that_was_placed_is_done(state: OrderState) -> None:
    outcome = outcome_of_row(replace(ROW, state=state))
    assert outcome.kind is OutcomeKind.ALREADY_DONE
    assert outcome.state is state


# An order that ends without a fill.

TAKEN = replace(ROW, state=OrderState.ACCEPTED, sends=1, exchange_order_id="x-1")
ENDED = OrderView(
    client_order_id="tw-1", exchange_order_id="x-1", symbol="BTCUSDT", side=Side.BUY,
    status=OrderStatus.REJECTED, quantity=Decimal("0.005"), filled_quantity=Decimal(0),
    average_price=None, fee=None, fee_currency=None, reject_reason="no margin", updated_at=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("after", "reason", "error"),
    [
        (OrderState.REJECTED, "EXCHANGE_REJECTED", "rejected after it was accepted: no margin"),
        (OrderState.CANCELED, "EXCHANGE_CANCELED", "before anything was filled: no margin"),
    ],
)
def test_what_was_taken_and_came_to_nothing_becomes_a_dead_letter_once(
    after: OrderState, reason: str, error: str
) -> None:
    letter = letter_of_end(TAKEN, after, ENDED)
    assert letter is not None
    assert letter.reason == reason
    assert letter.error.startswith("bybit: ")
    assert letter.error.endswith(error)
    # given up before, while its outcome was not known: that letter is there
    assert letter_of_end(replace(TAKEN, dead_lettered_at=NOW), after, ENDED) is None


@pytest.mark.parametrize("terms", ["IOC", "FOK"])
def test_an_order_that_was_not_to_wait_may_find_nothing(terms: str) -> None:
    row = replace(TAKEN, payload={"timeInForce": terms})
    assert letter_of_end(row, OrderState.CANCELED, ENDED) is None
    assert letter_of_end(row, OrderState.REJECTED, ENDED) is not None
    done = outcome_of_row(replace(row, state=OrderState.CANCELED))
    assert done.kind is OutcomeKind.ALREADY_DONE


@pytest.mark.parametrize("after", [one for one in OrderState if one is not OrderState.REJECTED])
def test_what_was_filled_in_part_or_goes_on_is_no_dead_letter(after: OrderState) -> None:
    part = replace(ENDED, filled_quantity=Decimal("0.001"))
    assert letter_of_end(TAKEN, after, part) is None
    if after is not OrderState.CANCELED:
        assert letter_of_end(TAKEN, after, ENDED) is None


def test_a_message_whose_order_came_to_nothing_is_refused_until_it_is_among_the_dead() -> None:
    row = replace(TAKEN, state=OrderState.CANCELED)
    again = outcome_of_row(row)
    assert (again.kind, again.reason) == (OutcomeKind.REFUSED, "EXCHANGE_CANCELED")
    buried = outcome_of_row(replace(row, dead_lettered_at=NOW))
    assert buried.kind is OutcomeKind.ALREADY_DONE
    # Refused at the door once, and then there was nothing left to close.
    never_there = outcome_of_row(replace(row, exchange_order_id=None))
    assert never_there.kind is OutcomeKind.ALREADY_DONE


@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1)))  # noqa: DTZ001
def test_orders_taken_within_two_seconds_are_confirmed_at_the_same_moment(at: datetime) -> None:
    taken = at.replace(tzinfo=UTC, microsecond=at.microsecond // 1000 * 1000)
    alone, together = (confirm_after(taken, together=which) for which in (False, True))
    assert alone < together <= alone + timedelta(seconds=2)
    due = (taken + together - alone).timestamp()
    assert abs(due / 2 - round(due / 2)) < 1e-3
