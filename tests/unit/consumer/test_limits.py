"""What an opening order may be worth: one step under a limit passes, one step over does not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.controls.drawdown import lost_percent
from consumer.controls.limits import held_on_side, leverage_denial, needs_mark, order_denial
from consumer.controls.snapshot import Limits, Snapshot
from providers.orders import OrderType, Position, PositionSide, PreparedOrder, Side

STEP = Decimal("0.001")
amounts = st.decimals("0.001", "1000000", places=3)


def order(
    quantity: Decimal = Decimal(1), price: Decimal | None = None, side: Side = Side.BUY
) -> PreparedOrder:
    return PreparedOrder(
        client_order_id="tw-1",
        symbol="BTCUSDT",
        side=side,
        order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
        quantity=quantity,
        reduce_only=False,
        price=price,
    )


@given(limit=amounts)
def test_a_quantity_is_refused_exactly_over_its_limit(limit: Decimal) -> None:
    limits = Limits(max_order_quantity=limit)

    assert order_denial(limits, order(limit), None) is None
    denial = order_denial(limits, order(limit + STEP), None)
    assert denial is not None
    assert denial.code == "MAX_ORDER_QUANTITY"
    assert (Decimal(denial.limit), Decimal(denial.value or 0)) == (limit, limit + STEP)
    assert denial.limit in denial.says
    assert "trade:max_order_quantity" in denial.says


@given(price=amounts, quantity=amounts)
def test_a_notional_is_refused_exactly_over_its_limit(price: Decimal, quantity: Decimal) -> None:
    worth = price * quantity

    for priced, mark in ((order(quantity, price), None), (order(quantity), price)):
        assert order_denial(Limits(max_order_notional=worth), priced, mark) is None
        denial = order_denial(Limits(max_order_notional=worth - Decimal("1e-9")), priced, mark)
        assert denial is not None
        assert denial.code == "MAX_ORDER_NOTIONAL"


@given(mark=st.decimals("1", "100000", places=2), percent=st.decimals("0.1", "50", places=1))
def test_a_limit_price_is_refused_outside_its_band_on_both_sides(
    mark: Decimal, percent: Decimal
) -> None:
    limits = Limits(price_band_percent=percent)
    away = mark * percent / 100

    for price in (mark - away, mark, mark + away):
        assert order_denial(limits, order(price=price), mark) is None
    for price in (mark - away - STEP, mark + away + STEP):
        if price > 0:
            denial = order_denial(limits, order(price=price), mark)
            assert denial is not None
            assert denial.code == "PRICE_BAND"


def test_a_market_order_has_no_price_to_be_far_away() -> None:
    assert order_denial(Limits(price_band_percent=Decimal(1)), order(), Decimal(100)) is None


@pytest.mark.parametrize(
    ("leverage", "passes"), [(1, True), (20, True), (21, False), (None, False)]
)
def test_leverage_is_refused_over_its_limit_and_when_it_is_not_known(
    leverage: int | None, *, passes: bool
) -> None:
    assert (leverage_denial(Limits(max_leverage=20), leverage) is None) is passes


@pytest.mark.parametrize("leverage", [1, 125, None])
def test_without_limits_everything_passes(leverage: int | None) -> None:
    assert leverage_denial(Limits(), leverage) is None
    assert order_denial(Limits(), order(Decimal(10**9), Decimal(10**9)), None) is None
    for wanted in KINDS.values():
        assert not needs_mark(Snapshot(), Limits(), wanted)


KINDS = {
    "buy at a limit": order(price=Decimal(1)),
    "sell at a limit": order(price=Decimal(1), side=Side.SELL),
    "buy": order(),
    "sell": order(side=Side.SELL),
}


@pytest.mark.parametrize(
    ("limits", "without"),
    [
        (Limits(max_position_size=Decimal(1)), set()),
        (Limits(max_order_notional=Decimal(1)), {"buy at a limit"}),
        (Limits(price_band_percent=Decimal(1)), {"buy", "sell"}),
        (Limits(max_order_quantity=Decimal(1), max_leverage=1), set(KINDS)),
    ],
)
def test_a_mark_price_is_read_only_where_a_limit_needs_one(
    limits: Limits, without: set[str]
) -> None:
    found = {kind for kind, wanted in KINDS.items() if not needs_mark(Snapshot(), limits, wanted)}
    assert found == without


def test_a_low_limit_to_sell_is_worth_what_the_market_pays() -> None:
    """It is met at once, at the market's price; a high one waits for its own."""
    limits = Limits(max_order_notional=Decimal(100))
    for price, side, passes in (
        ("1", Side.SELL, False),
        ("99", Side.SELL, False),
        ("200", Side.SELL, False),
        ("1", Side.BUY, True),
    ):
        denial = order_denial(limits, order(price=Decimal(price), side=side), Decimal(101))
        assert (denial is None) is passes, (price, side)


def position(side: PositionSide, quantity: str, symbol: str = "BTCUSDT") -> Position:
    return Position(symbol, side, Decimal(quantity), Decimal(1), None)


def test_in_one_way_mode_the_other_side_counts_against_an_order() -> None:
    held = [position(PositionSide.SHORT, "3"), position(PositionSide.LONG, "9", "ETHUSDT")]

    assert held_on_side(held, order(side=Side.BUY)) == -3
    assert held_on_side(held, order(side=Side.SELL)) == 3


def test_in_hedge_mode_a_leg_stands_alone() -> None:
    held = [position(PositionSide.SHORT, "3"), position(PositionSide.LONG, "2")]
    long = PreparedOrder(
        "tw-1", "BTCUSDT", Side.BUY, OrderType.MARKET, Decimal(1), reduce_only=False,
        position_side=PositionSide.LONG,
    )  # fmt: skip

    assert held_on_side(held, long) == 2


@given(start=amounts, percent=st.decimals("0.01", "99", places=2))
def test_a_drawdown_is_what_is_gone_of_the_days_first_equity(
    start: Decimal, percent: Decimal
) -> None:
    latest = start * (100 - percent) / 100

    assert abs(lost_percent(start, latest) - percent) < Decimal("1e-20")
    assert lost_percent(start, start) == 0
    assert lost_percent(start, start + STEP) < 0


def test_an_account_that_began_with_nothing_can_only_lose_all() -> None:
    assert lost_percent(Decimal(0), Decimal(0)) == 0
    assert lost_percent(Decimal(0), Decimal(5)) == 0
    assert lost_percent(Decimal(0), Decimal(-1)) == 100
