"""Order maths: what leaves it passes the exchange's own filters and is never more than asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, getcontext, localcontext
from fractions import Fraction

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from providers.errors import RequestRefused
from providers.orders import (
    Action,
    Instrument,
    OrderType,
    QuantityUnit,
    Side,
    TradeRequest,
)
from providers.sizing import (
    check_leverage,
    from_contracts,
    plain,
    size_close,
    size_opening,
    to_contracts,
)
from tests.unit.providers.helpers import BTC, btc, request

# Strategies.


def scaled(low: int, high: int, places: int = 12) -> st.SearchStrategy[Decimal]:
    return st.builds(
        lambda digits, exponent: Decimal(digits).scaleb(-exponent),
        st.integers(low, high),
        st.integers(0, places),
    )


STEPS = st.builds(
    lambda digit, exponent: Decimal(digit).scaleb(exponent),
    st.sampled_from([1, 2, 5, 25]),
    st.integers(-10, 3),
)
AMOUNTS = scaled(1, 10**18, 18)


@st.composite
def instruments(draw: st.DrawFn) -> Instrument:
    lot, tick = draw(STEPS), draw(STEPS)
    least = lot * draw(st.integers(1, 1000))
    most = draw(st.none() | st.integers(0, 10**9).map(lambda lots: least + lots * lot))
    lowest = draw(st.none() | st.integers(1, 100).map(lambda ticks: ticks * tick))
    return Instrument(
        symbol="XUSDT",
        venue_symbol="XUSDT",
        tradable=True,
        tick=tick,
        lot=lot,
        min_quantity=least,
        max_quantity=most,
        max_market_quantity=draw(
            st.none() | st.integers(0, 10**6).map(lambda lots: least + lots * lot)
        ),
        min_notional=draw(st.none() | scaled(1, 1000, 2)),
        min_price=lowest,
        max_price=draw(
            st.none() | st.integers(0, 10**9).map(lambda ticks: (lowest or tick) + ticks * tick)
        ),
        min_leverage=1,
        max_leverage=125,
    )


@st.composite
def requests(draw: st.DrawFn, actions: tuple[Action, ...]) -> TradeRequest:
    order_type = draw(st.sampled_from(OrderType))
    return TradeRequest(
        symbol="XUSDT",
        action=draw(st.sampled_from(actions)),
        quantity=draw(AMOUNTS),
        quantity_unit=draw(st.sampled_from(QuantityUnit)),
        order_type=order_type,
        price=draw(AMOUNTS) if order_type is OrderType.LIMIT else draw(st.none() | AMOUNTS),
        take_profit=draw(st.none() | AMOUNTS),
        stop_loss=draw(st.none() | AMOUNTS),
    )


def on_step(value: Decimal, step: Decimal) -> bool:
    return (Fraction(value) / Fraction(step)).denominator == 1


def passes_filters(
    quantity: Decimal, price: Decimal | None, order_type: OrderType, rules: Instrument
) -> bool:
    """The filters as an exchange writes them down, in exact fractions."""
    most = rules.max_quantity
    if order_type is OrderType.MARKET and rules.max_market_quantity is not None:
        most = rules.max_market_quantity
    good = (
        on_step(quantity, rules.lot)
        and quantity >= rules.min_quantity
        and (most is None or quantity <= most)
    )
    if price is None:
        return good
    return (
        good
        and on_step(price, rules.tick)
        and price > 0
        and (rules.min_price is None or price >= rules.min_price)
        and (rules.max_price is None or price <= rules.max_price)
    )


def asked_in_coins(wanted: TradeRequest, leverage: Decimal, mark: Decimal) -> Fraction:
    if wanted.quantity_unit is QuantityUnit.BASE:
        return Fraction(wanted.quantity)
    price = wanted.price if wanted.order_type is OrderType.LIMIT else mark
    assert price is not None
    return Fraction(wanted.quantity) * Fraction(leverage) / Fraction(price)


# Properties.


@given(
    requests((Action.LONG, Action.SHORT)),
    instruments(),
    st.sampled_from(Side),
    st.integers(1, 125).map(Decimal),
    AMOUNTS,
)
def test_an_opening_order_passes_every_filter_or_is_refused(
    wanted: TradeRequest, rules: Instrument, side: Side, leverage: Decimal, mark: Decimal
) -> None:
    try:
        sized = size_opening(wanted, rules, side, leverage=leverage, mark=mark)
    except RequestRefused:
        return
    event("sized")
    assert passes_filters(sized.quantity, sized.price, wanted.order_type, rules)
    assert Fraction(sized.quantity) <= asked_in_coins(wanted, leverage, mark)
    reference = sized.price if sized.price is not None else mark
    if rules.min_notional is not None:
        assert Fraction(sized.quantity) * Fraction(reference) >= Fraction(rules.min_notional)
    if sized.price is not None:
        assert wanted.price is not None
        assert sized.price <= wanted.price if side is Side.BUY else sized.price >= wanted.price
        assert abs(sized.price - wanted.price) < rules.tick
    for trigger in (sized.take_profit, sized.stop_loss):
        assert trigger is None or on_step(trigger, rules.tick)
    if sized.take_profit is not None and sized.stop_loss is not None:
        assert (sized.take_profit > sized.stop_loss) is (side is Side.BUY)


@given(
    requests((Action.CLOSE_LONG, Action.CLOSE_SHORT, Action.CLOSE)),
    instruments(),
    st.sampled_from(Side),
    AMOUNTS,
    AMOUNTS,
)
def test_a_close_is_never_more_than_asked_or_held(
    wanted: TradeRequest, rules: Instrument, side: Side, held: Decimal, mark: Decimal
) -> None:
    leverage = Decimal(7)
    try:
        sized = size_close(wanted, rules, side, held, leverage=leverage, mark=mark)
    except RequestRefused:
        return
    event("sized")
    assert passes_filters(sized.quantity, sized.price, wanted.order_type, rules)
    assert sized.quantity <= held
    assert Fraction(sized.quantity) <= asked_in_coins(wanted, leverage, mark)
    assert (sized.take_profit, sized.stop_loss) == (None, None)


@given(instruments(), st.integers(1, 10**9), st.sampled_from(Side))
def test_a_base_quantity_on_the_lot_is_kept_as_it_is(
    rules: Instrument, lots: int, side: Side
) -> None:
    quantity = rules.lot * lots
    wanted = TradeRequest("XUSDT", Action.LONG, quantity)
    try:
        sized = size_opening(wanted, rules, side)
    except RequestRefused as error:
        assert error.code in ("BELOW_MIN_QUANTITY", "ABOVE_MAX_QUANTITY")  # noqa: PT017 - a branch
        return
    assert sized.quantity == quantity


@given(AMOUNTS, st.integers(1, 6))
def test_the_callers_decimal_context_changes_nothing(quantity: Decimal, precision: int) -> None:
    rules = btc(max_quantity=None, max_market_quantity=None, min_notional=None)
    assume(quantity >= rules.min_quantity)
    wanted = request(quantity="1", order_type=OrderType.LIMIT, price=Decimal("12345.67"))
    wanted = replace(wanted, quantity=quantity)
    with localcontext() as context:
        context.prec = precision
        narrow = size_opening(wanted, rules, Side.BUY)
    assert narrow == size_opening(wanted, rules, Side.BUY)


def test_more_digits_than_the_default_context_holds_are_kept() -> None:
    assert getcontext().prec == 28
    quantity = "1234567890123456789012345.678901234567"
    rules = btc(max_market_quantity=None, max_quantity=None, lot=Decimal("0.000000000001"))
    assert plain(size_opening(request(quantity=quantity), rules, Side.BUY).quantity) == quantity


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_plain_writes_the_same_number_without_an_exponent(value: Decimal) -> None:
    assume(abs(value.adjusted()) < 100)
    text = plain(value)
    assert "e" not in text.lower()
    assert Decimal(text) == value
    if "." in text:
        assert not text.endswith(("0", "."))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5E+3", "5000"),
        ("0.0010", "0.001"),
        ("1E-9", "0.000000001"),
        ("-0", "0"),
        ("94321.50", "94321.5"),
    ],
)
def test_plain_examples(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


@pytest.mark.parametrize("value", ["NaN", "Infinity", "sNaN"])
def test_plain_refuses_what_is_no_number(value: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        plain(Decimal(value))


@given(st.integers(0, 10**12), scaled(1, 10**6))
def test_contracts_and_coins_convert_both_ways(count: int, size: Decimal) -> None:
    assert to_contracts(from_contracts(Decimal(count), size), size) == count


def test_a_part_of_a_contract_is_not_a_count() -> None:
    with pytest.raises(ValueError, match=r"0\.00015 is not a whole number of contracts of 0\.0001"):
        to_contracts(Decimal("0.00015"), Decimal("0.0001"))


# Refusals: the code, and the limit in the message.


@pytest.mark.parametrize(
    ("wanted", "rules", "code", "told"),
    [
        (request(quantity="0.0009"), BTC, "BELOW_MIN_QUANTITY", "the least is 0.001"),
        (request(quantity="500.001"), BTC, "ABOVE_MAX_QUANTITY", "500"),
        (
            request(quantity="1190.001", order_type=OrderType.LIMIT, price=Decimal(9)),
            BTC,
            "ABOVE_MAX_QUANTITY",
            "1190",
        ),
        (
            request(quantity="0.001", order_type=OrderType.LIMIT, price=Decimal(4999)),
            BTC,
            "BELOW_MIN_NOTIONAL",
            "is worth 4.999; the least is 5",
        ),
        (request(order_type=OrderType.LIMIT), BTC, "PRICE_REQUIRED", "needs a price"),
        (
            request(order_type=OrderType.LIMIT, price=Decimal("0.05")),
            BTC,
            "PRICE_OUT_OF_BOUNDS",
            "0.1",
        ),
        (
            request(order_type=OrderType.LIMIT, price=Decimal(2000000)),
            BTC,
            "PRICE_OUT_OF_BOUNDS",
            "1999999.8",
        ),
        (request(), btc(tradable=False), "NOT_TRADABLE", "BTCUSDT"),
        (request(quantity="0"), BTC, "INVALID_QUANTITY", "greater than zero"),
        (request(quantity="-1"), BTC, "INVALID_QUANTITY", "greater than zero"),
        (request(quantity="NaN"), BTC, "INVALID_QUANTITY", "NaN"),
        (request(quantity="1E+400"), BTC, "INVALID_QUANTITY", "40 digits"),
        (request(quantity="1E-400"), BTC, "INVALID_QUANTITY", "40 digits"),
        (
            request(quantity_unit=QuantityUnit.QUOTE, order_type=OrderType.LIMIT, price=Decimal(9)),
            BTC,
            "LEVERAGE_REQUIRED",
            "trade:default_leverage",
        ),
        (
            request(take_profit=Decimal(100), stop_loss=Decimal(200)),
            BTC,
            "INVALID_TAKE_PROFIT",
            "must be above 200",
        ),
        (
            request(order_type=OrderType.LIMIT, price=Decimal(20000), stop_loss=Decimal("20000.1")),
            BTC,
            "INVALID_STOP_LOSS",
            "must be below 20000",
        ),
        (request(take_profit=Decimal(9999999)), BTC, "INVALID_TAKE_PROFIT", "1999999.8"),
    ],
)
def test_refusals_name_the_rule_and_its_limit(
    wanted: TradeRequest, rules: Instrument, code: str, told: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        size_opening(wanted, rules, Side.BUY, mark=Decimal(20000))
    assert caught.value.code == code
    assert told in str(caught.value)


def test_a_market_order_without_a_known_price_leaves_its_notional_to_the_exchange() -> None:
    wanted = request(quantity="0.001")
    assert size_opening(wanted, BTC, Side.BUY).quantity == Decimal("0.001")
    with pytest.raises(RequestRefused, match="the least is 5"):
        size_opening(wanted, BTC, Side.BUY, mark=Decimal(4000))


def test_a_quote_quantity_is_margin_times_leverage_by_price() -> None:
    wanted = request(quantity="100", quantity_unit=QuantityUnit.QUOTE)
    sized = size_opening(wanted, BTC, Side.BUY, leverage=Decimal(10), mark=Decimal(30000))
    assert sized.quantity == Decimal("0.033")  # 1000 / 30000 = 0.0333…


def test_a_buyers_rounded_price_does_not_buy_more_coins() -> None:
    rules = btc(tick=Decimal(1000), min_price=None)
    wanted = request(
        quantity="1999",
        quantity_unit=QuantityUnit.QUOTE,
        order_type=OrderType.LIMIT,
        price=Decimal(1999),
    )
    sized = size_opening(wanted, rules, Side.BUY, leverage=Decimal(1))
    assert (sized.price, sized.quantity) == (Decimal(1000), Decimal(1))


def test_stops_and_targets_are_rounded_as_orders_of_the_other_side() -> None:
    wanted = request(take_profit=Decimal("30000.01"), stop_loss=Decimal("10000.01"))
    sized = size_opening(wanted, BTC, Side.BUY)
    assert (sized.take_profit, sized.stop_loss) == (Decimal("30000.1"), Decimal("10000.1"))
    wanted = request(take_profit=Decimal("10000.09"), stop_loss=Decimal("30000.09"))
    sized = size_opening(wanted, BTC, Side.SELL)
    assert (sized.take_profit, sized.stop_loss) == (Decimal(10000), Decimal(30000))


def test_a_close_ignores_the_smallest_notional_and_the_listing_state() -> None:
    rules = btc(tradable=False, min_notional=Decimal(1000))
    wanted = request(Action.CLOSE, quantity="0.001")
    assert size_close(wanted, rules, Side.SELL, Decimal(1), mark=Decimal(1)).quantity == Decimal(
        "0.001"
    )


def test_a_close_larger_than_one_order_may_be_closes_what_it_can() -> None:
    sized = size_close(request(Action.CLOSE, quantity="9999"), BTC, Side.SELL, Decimal(800))
    assert sized.quantity == Decimal(500)


def test_a_close_of_less_than_the_least_is_refused() -> None:
    with pytest.raises(RequestRefused) as caught:
        size_close(request(Action.CLOSE, quantity="0.0005"), BTC, Side.SELL, Decimal(1))
    assert caught.value.code == "BELOW_MIN_QUANTITY"


@pytest.mark.parametrize(
    ("leverage", "code"), [(101, "LEVERAGE_TOO_HIGH"), (1, "LEVERAGE_TOO_LOW")]
)
def test_leverage_is_held_to_what_the_instrument_offers(leverage: int, code: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        check_leverage(leverage, btc(min_leverage=2))
    assert caught.value.code == code
    check_leverage(2, btc(min_leverage=2))
    check_leverage(100, BTC)
