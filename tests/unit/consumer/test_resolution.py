"""What to do about an unknown outcome, what a look shows, and which message is too old."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.controls.checks import stale
from consumer.execution.reconciler import Step, progress
from consumer.execution.resolution import ABSENT_LOOKS, Expected, Verdict, judge, mismatch
from providers.orders import OrderStatus, OrderView, Side
from storage.states import STATE_OF_STATUS, OrderState, may_follow
from tests.fakes.messages import message

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
MARGIN = timedelta(seconds=5)

VIEW = OrderView(
    client_order_id="tw-1",
    exchange_order_id="x-1",
    symbol="BTCUSDT",
    side=Side.BUY,
    status=OrderStatus.NEW,
    quantity=Decimal("0.005"),
    filled_quantity=Decimal(0),
    average_price=None,
    fee=None,
    fee_currency=None,
    reject_reason=None,
    updated_at=None,
)
EXPECTED = Expected("BTCUSDT", "BUY", Decimal("0.005"), reduce_only=False)

QUANTITIES = st.sampled_from([Decimal(text) for text in ("0.004", "0.005", "0.0050", "0.006")])
VIEWS = st.builds(
    lambda symbol, side, quantity, status: replace(
        VIEW, symbol=symbol, side=side, quantity=quantity, status=status
    ),
    st.sampled_from(["BTCUSDT", "ETHUSDT"]),
    st.sampled_from(Side),
    QUANTITIES,
    st.sampled_from(OrderStatus),
)
WANTED = st.builds(
    Expected,
    st.sampled_from(["BTCUSDT", "ETHUSDT"]),
    st.sampled_from([None, "BUY", "SELL"]),
    st.none() | QUANTITIES,
    st.booleans(),
)
SPANS = st.timedeltas(timedelta(0), timedelta(minutes=5))
MOMENTS = st.timedeltas(timedelta(minutes=-5), timedelta(minutes=5)).map(lambda span: NOW + span)


@given(VIEWS, WANTED, MOMENTS, st.none() | MOMENTS, SPANS, st.integers(0, 3))
def test_an_order_that_is_there_is_adopted_or_quarantined(
    found: OrderView,
    expected: Expected,
    now: datetime,
    until: datetime | None,
    margin: timedelta,
    absent: int,
) -> None:
    verdict = judge(
        found, expected, now=now, may_land_until=until, margin=margin, absent_before=absent
    )
    same = (
        found.symbol == expected.symbol
        and expected.side in (None, found.side)
        and (
            expected.quantity is None
            or found.quantity == expected.quantity
            or (expected.reduce_only and found.quantity < expected.quantity)
        )
    )
    assert verdict is (Verdict.ADOPT if same else Verdict.QUARANTINE)
    assert (mismatch(found, expected) is None) == same


@given(WANTED, MOMENTS, st.none() | MOMENTS, SPANS, st.integers(0, 3))
def test_an_order_that_is_not_there_is_absent_only_when_that_is_certain(
    expected: Expected,
    now: datetime,
    until: datetime | None,
    margin: timedelta,
    absent: int,
) -> None:
    verdict = judge(
        None, expected, now=now, may_land_until=until, margin=margin, absent_before=absent
    )
    may_still_land = until is None or now <= until + margin
    if may_still_land:
        assert verdict is Verdict.WAIT
    elif absent == 0:
        assert verdict is Verdict.LOOK_AGAIN
    else:
        assert verdict is Verdict.ABSENT


def test_the_very_last_moment_still_counts_as_possible() -> None:
    def at(now: datetime) -> Verdict:
        return judge(None, EXPECTED, now=now, may_land_until=NOW, margin=MARGIN, absent_before=1)

    assert at(NOW + MARGIN) is Verdict.WAIT
    assert at(NOW + MARGIN + timedelta(microseconds=1)) is Verdict.ABSENT


def test_one_look_is_never_enough() -> None:
    assert ABSENT_LOOKS >= 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"symbol": "ETHUSDT"}, "symbol is ETHUSDT, sent was BTCUSDT"),
        ({"side": Side.SELL}, "side is SELL, sent was BUY"),
        ({"quantity": Decimal("0.0051")}, "quantity is 0.0051, sent was 0.005"),
        ({"quantity": Decimal("0.0049")}, "quantity is 0.0049, sent was 0.005"),
        ({"quantity": Decimal("1E+1")}, "quantity is 10, sent was 0.005"),
    ],
)
def test_a_mismatch_says_what_is_and_what_was_sent(change: dict[str, object], says: str) -> None:
    found = replace(VIEW, **change)  # type: ignore[arg-type]  # fields by name
    assert mismatch(found, EXPECTED) == says


def test_a_reduce_only_order_may_be_smaller_but_not_larger() -> None:
    expected = replace(EXPECTED, reduce_only=True)
    assert mismatch(replace(VIEW, quantity=Decimal("0.001")), expected) is None
    assert mismatch(replace(VIEW, quantity=Decimal("0.006")), expected) is not None


def test_another_spelling_of_the_quantity_is_the_same() -> None:
    assert mismatch(replace(VIEW, quantity=Decimal("0.00500")), EXPECTED) is None


# What a look of the reconciler means.


@given(
    st.sampled_from([OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED]),
    st.sampled_from(OrderStatus),
    QUANTITIES,
    QUANTITIES,
)
def test_a_look_never_takes_an_order_back(
    before: OrderState, status: OrderStatus, filled_before: Decimal, filled: Decimal
) -> None:
    found = replace(VIEW, status=status, filled_quantity=filled)
    step = progress(before, filled_before, found)
    assert may_follow(before, step.after)
    shown = STATE_OF_STATUS[status]
    if may_follow(before, shown):
        assert step == Step(shown, news=shown is not before or filled != filled_before)
    else:
        assert step == Step(before, news=False)


def test_a_view_that_lags_is_nothing_new() -> None:
    assert progress(OrderState.PARTIALLY_FILLED, Decimal("0.002"), VIEW) == Step(
        OrderState.PARTIALLY_FILLED, news=False
    )


def test_more_filled_is_news() -> None:
    more = replace(VIEW, status=OrderStatus.PARTIALLY_FILLED, filled_quantity=Decimal("0.003"))
    assert progress(OrderState.PARTIALLY_FILLED, Decimal("0.002"), more).news


# Checks before every send.


@given(MOMENTS, MOMENTS)
@example(NOW, NOW)
def test_a_message_is_too_old_from_the_moment_it_expires(now: datetime, expires: datetime) -> None:
    wanted = message(expiresAt=expires.isoformat())
    why = stale(wanted, now)
    assert (why is not None) == (now >= expires)
    if why is not None:
        assert expires.isoformat() in why
        late = (now - expires).total_seconds()
        assert f"passed {late:.3f} s ago" in why


@given(MOMENTS)
def test_a_message_that_does_not_expire_never_does(now: datetime) -> None:
    assert stale(message(), now) is None
