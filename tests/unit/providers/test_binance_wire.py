"""Binance's queries and JSON and our values, both ways."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.binance import listing, protection, wire
from providers.errors import RequestRefused
from providers.fields import MalformedReply
from providers.orders import (
    Action,
    Balance,
    MarginMode,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    PreparedOrder,
    Side,
    TimeInForce,
)
from providers.sizing import size_opening
from tests.unit.providers import binance_stub as sample
from tests.unit.providers.helpers import request

MARKET = PreparedOrder(
    client_order_id="tw-0001",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.0010"),
    reduce_only=False,
    time_in_force=TimeInForce.IOC,
)
LIMIT = replace(
    MARKET,
    order_type=OrderType.LIMIT,
    price=Decimal("94321.50"),
    time_in_force=TimeInForce.POST_ONLY,
)
PLAIN = re.compile(r"[0-9]+(\.[0-9]*[1-9])?")


def query(order: PreparedOrder) -> dict[str, str]:
    return dict(parse_qsl(wire.order_query(order)))


# Orders out.


def test_a_market_order() -> None:
    assert wire.order_query(MARKET) == (
        "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001"
        "&newClientOrderId=tw-0001&newOrderRespType=ACK"
    )


def test_a_post_only_limit_order_in_hedge_mode() -> None:
    order = replace(LIMIT, side=Side.SELL, position_side=PositionSide.SHORT)
    assert wire.order_query(order) == (
        "symbol=BTCUSDT&side=SELL&positionSide=SHORT&type=LIMIT&quantity=0.001&price=94321.5"
        "&timeInForce=GTX&newClientOrderId=tw-0001&newOrderRespType=ACK"
    )


@pytest.mark.parametrize(
    ("position_side", "expected"),
    [
        (None, {"reduceOnly": "true"}),
        (PositionSide.LONG, {"positionSide": "LONG"}),
    ],
)
def test_a_close_is_reduce_only_or_named_by_its_leg_never_both(
    position_side: PositionSide | None, expected: dict[str, str]
) -> None:
    order = replace(MARKET, side=Side.SELL, reduce_only=True, position_side=position_side)
    sent = query(order)
    assert {name: sent[name] for name in ("reduceOnly", "positionSide") if name in sent} == expected


@pytest.mark.parametrize(
    ("time_in_force", "text"),
    [
        (TimeInForce.GTC, "GTC"),
        (TimeInForce.IOC, "IOC"),
        (TimeInForce.FOK, "FOK"),
        (TimeInForce.POST_ONLY, "GTX"),
    ],
)
def test_times_in_force(time_in_force: TimeInForce, text: str) -> None:
    assert query(replace(LIMIT, time_in_force=time_in_force))["timeInForce"] == text


def test_an_id_with_unusual_characters_is_encoded() -> None:
    assert "newClientOrderId=a%3Ab%2Fc.d_e-f&" in wire.order_query(
        replace(MARKET, client_order_id="a:b/c.d_e-f")
    )


@given(
    quantity=st.decimals("1E-12", "1E+12", allow_nan=False, allow_infinity=False),
    price=st.decimals("1E-12", "1E+12", allow_nan=False, allow_infinity=False),
)
def test_numbers_are_sent_exactly_and_never_with_an_exponent(
    quantity: Decimal, price: Decimal
) -> None:
    sent = query(replace(LIMIT, quantity=quantity, price=price))
    for text, value in ((sent["quantity"], quantity), (sent["price"], price)):
        assert PLAIN.fullmatch(text), text
        assert Decimal(text) == value


# Orders in.


def test_a_filled_order() -> None:
    view = wire.order_view(sample.ORDER)
    assert view.status is OrderStatus.FILLED
    assert (view.client_order_id, view.exchange_order_id) == ("tw-0001", "8886774001")
    assert (view.symbol, view.side) == ("BTCUSDT", Side.BUY)
    assert (view.quantity, view.filled_quantity) == (Decimal("0.001"), Decimal("0.001"))
    assert view.average_price == Decimal("94321.50")
    assert (view.fee, view.fee_currency, view.reject_reason) == (None, None, None)
    assert view.updated_at == datetime(2023, 11, 14, 22, 13, 20, 125000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "filled", "status"),
    [
        ("NEW", "0.000", OrderStatus.NEW),
        ("PARTIALLY_FILLED", "0.0004", OrderStatus.PARTIALLY_FILLED),
        ("FILLED", "0.001", OrderStatus.FILLED),
        ("CANCELED", "0", OrderStatus.CANCELED),
        ("CANCELED", "0.0004", OrderStatus.CANCELED),
        ("CANCELED", "0.001", OrderStatus.FILLED),
        ("EXPIRED", "0", OrderStatus.CANCELED),
        ("EXPIRED", "0.0004", OrderStatus.CANCELED),
        ("EXPIRED_IN_MATCH", "0.0004", OrderStatus.CANCELED),
        ("REJECTED", "0", OrderStatus.REJECTED),
    ],
)
def test_statuses(text: str, filled: str, status: OrderStatus) -> None:
    view = wire.order_view({**sample.ORDER, "status": text, "executedQty": filled})
    assert view.status is status
    assert view.filled_quantity == Decimal(filled)
    assert (view.average_price is None) is (Decimal(filled) == 0)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "SLEEPING"},
        {"status": None},
        {"side": "HOLD"},
        {"origQty": "lots"},
        {"origQty": 0.001},
        {"origQty": "NaN"},
        {"origQty": None},
        {"executedQty": True},
        {"clientOrderId": ""},
        {"orderId": None},
        {"orderId": "x"},
        {"updateTime": "soon"},
        {"updateTime": 10**30},
    ],
)
def test_an_unreadable_order_is_refused_by_field_name(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedReply, match=next(iter(change))):
        wire.order_view({**sample.ORDER, **change})


@pytest.mark.parametrize("price", ["", "0", "0.00000", None])
def test_a_price_that_is_not_told_is_none(price: str | None) -> None:
    assert wire.order_view({**sample.ORDER, "avgPrice": price}).average_price is None


@pytest.mark.parametrize(
    ("result", "order_id"),
    [
        ({"orderId": 8886774001, "clientOrderId": "tw-0001"}, "8886774001"),
        ({"orderId": "17", "clientOrderId": "tw-0001"}, "17"),
        ({"algoId": 2146760, "clientAlgoId": "tw-0001"}, "2146760"),
    ],
)
def test_an_acceptance_names_the_order(result: dict[str, Any], order_id: str) -> None:
    assert wire.accepted_id(result, "tw-0001") == order_id


# Fills.


def test_fills_are_of_the_order_oldest_first_each_once() -> None:
    items = [
        {**sample.TRADE, "id": 12, "commission": "-0.01", "maker": True},
        {**sample.TRADE, "id": 3},
        {**sample.TRADE, "id": 5, "orderId": 1},
        {**sample.TRADE, "id": 12},
    ]
    found = wire.fills(items, "8886774001")
    assert [fill.fill_id for fill in found] == ["BTCUSDT-3", "BTCUSDT-12"]
    assert (found[0].fee, found[0].fee_currency, found[0].maker) == (
        Decimal("0.04716075"),
        "USDT",
        False,
    )
    assert (found[1].fee, found[1].maker) == (Decimal("-0.01"), True)
    assert found[0].executed_at == datetime(2023, 11, 14, 22, 13, 20, 124000, tzinfo=UTC)


def test_the_fee_is_the_sum_where_it_was_paid_in_one_currency() -> None:
    items = [{**sample.TRADE, "id": number, "commission": "0.1"} for number in range(3)]
    assert wire.total_fee(wire.fills(items, "8886774001")) == (Decimal("0.3"), "USDT")


def test_a_fee_in_several_currencies_is_left_to_the_fills() -> None:
    items = [sample.TRADE, {**sample.TRADE, "id": 2, "commissionAsset": "BNB"}]
    found = wire.fills(items, "8886774001")
    assert wire.total_fee(found) == (None, None)
    assert {fill.fee_currency for fill in found} == {"USDT", "BNB"}


def test_no_fills_have_no_fee() -> None:
    assert wire.total_fee([]) == (None, None)


@pytest.mark.parametrize(
    "change",
    [{"qty": "0"}, {"price": None}, {"commissionAsset": ""}, {"time": None}, {"side": "x"}],
)
def test_an_unreadable_fill_is_refused_by_field_name(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedReply, match=next(iter(change))):
        wire.fills([{**sample.TRADE, **change}], "8886774001")


# Positions and the account.


@pytest.mark.parametrize(
    ("leg", "amount", "side"),
    [
        ("BOTH", "0.3", PositionSide.LONG),
        ("BOTH", "-0.3", PositionSide.SHORT),
        ("LONG", "0.3", PositionSide.LONG),
        ("SHORT", "-0.3", PositionSide.SHORT),
        ("SHORT", "0.3", PositionSide.SHORT),
    ],
)
def test_the_side_of_a_position(leg: str, amount: str, side: PositionSide) -> None:
    row = {**sample.POSITION, "positionSide": leg, "positionAmt": amount}
    assert wire.positions([row]) == [
        Position("BTCUSDT", side, Decimal("0.3"), Decimal("94321.5"), None)
    ]


def test_rows_without_a_position_or_in_another_coin_are_left_out() -> None:
    bare = {name: value for name, value in sample.POSITION.items() if name != "marginAsset"}
    rows = [
        {**sample.POSITION, "positionAmt": "0.000"},
        {**sample.POSITION, "symbol": "BTCUSDC", "marginAsset": "USDC"},
        bare,
    ]
    assert [one.symbol for one in wire.positions(rows)] == ["BTCUSDT"]


@pytest.mark.parametrize(
    "change", [{"positionAmt": None}, {"positionAmt": "x"}, {"positionSide": "UP"}, {"symbol": ""}]
)
def test_an_unreadable_position_is_refused_by_field_name(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedReply, match=next(iter(change))):
        wire.positions([{**sample.POSITION, **change}])


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (True, PositionMode.HEDGE),
        (False, PositionMode.ONE_WAY),
        ("true", PositionMode.HEDGE),
        ("false", PositionMode.ONE_WAY),
    ],
)
def test_the_position_mode(value: object, mode: PositionMode) -> None:
    assert wire.position_mode({"dualSidePosition": value}) is mode


@pytest.mark.parametrize("value", [None, 1, 0, "yes", [True]])
def test_an_unreadable_position_mode_is_no_answer(value: object) -> None:
    with pytest.raises(MalformedReply, match="dualSidePosition"):
        wire.position_mode({"dualSidePosition": value})


@pytest.mark.parametrize(
    ("text", "mode"), [("CROSSED", MarginMode.CROSS), ("ISOLATED", MarginMode.ISOLATED)]
)
def test_the_configuration_of_a_symbol(text: str, mode: MarginMode) -> None:
    rows = [
        {**sample.CONFIGURED, "symbol": "ETHUSDT", "leverage": 3},
        {**sample.CONFIGURED, "marginType": text},
    ]
    assert wire.symbol_config(rows, "BTCUSDT") == (Decimal(21), mode)


@pytest.mark.parametrize("change", [{"symbol": "x"}, {"leverage": 0}, {"marginType": "SHARED"}])
def test_a_configuration_that_can_not_be_read_is_no_answer(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedReply):
        wire.symbol_config([{**sample.CONFIGURED, **change}], "BTCUSDT")


def test_balances() -> None:
    empty = {**sample.ASSET, "balance": "0.0", "crossUnPnl": "0", "availableBalance": "0"}
    bnb = {"asset": "BNB", "balance": "2", "availableBalance": "-0.5"}
    assert wire.balances([sample.ASSET, {**empty, "asset": "USDC"}, bnb]) == [
        Balance("USDT", Decimal("1000.0085"), Decimal("980.0")),
        Balance("BNB", Decimal(2), Decimal(0)),
    ]


# Instruments.


def filters(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The filters of the sample, with changes by filter type."""
    return [{**item, **changes.get(item["filterType"], {})} for item in sample.SYMBOL["filters"]]


def test_an_instrument() -> None:
    found = listing.instrument(sample.SYMBOL, {"BTCUSDT": 100})
    assert found is not None
    assert (found.tick, found.lot, found.min_quantity) == (
        Decimal("0.10"),
        Decimal("0.001"),
        Decimal("0.001"),
    )
    assert (found.max_quantity, found.max_market_quantity) == (Decimal(1000), Decimal(120))
    assert (found.min_notional, found.min_price) == (Decimal(50), Decimal("261.10"))
    assert (found.max_price, found.price_offset) == (Decimal(809484), Decimal(0))
    assert (found.min_leverage, found.max_leverage) == (1, 100)
    assert found.tradable


def test_without_brackets_the_leverage_is_left_to_the_exchange() -> None:
    found = listing.instrument(sample.SYMBOL, {})
    assert found is not None
    assert found.max_leverage == 125


@pytest.mark.parametrize(
    ("limit", "market", "lot", "least"),
    [
        ("0.001", "0.001", "0.001", "0.001"),
        ("0.001", "0.01", "0.01", "0.01"),
        ("0.01", "0.001", "0.01", "0.01"),
        ("0.002", "0.003", "0.006", "0.003"),
        ("0.001", "0", "0.001", "0.001"),
        ("1", "10", "10", "10"),
        ("1E+1", "15", "30", "15"),
    ],
)
def test_the_lot_suits_limit_and_market_orders_alike(
    limit: str, market: str, lot: str, least: str
) -> None:
    changed = filters(
        LOT_SIZE={"stepSize": limit, "minQty": limit},
        MARKET_LOT_SIZE={"stepSize": market, "minQty": market},
    )
    found = listing.instrument({**sample.SYMBOL, "filters": changed}, {})
    assert found is not None
    assert (found.lot, found.min_quantity) == (Decimal(lot), Decimal(least))


def test_prices_are_counted_from_the_least_price() -> None:
    changed = filters(PRICE_FILTER={"minPrice": "0.03", "tickSize": "0.05"})
    found = listing.instrument({**sample.SYMBOL, "filters": changed}, {})
    assert found is not None
    assert found.price_offset == Decimal("0.03")
    found = replace(found, min_notional=None)
    for asked, buy, sell in (
        ("100", "99.98", "100.03"),
        ("99.98", "99.98", "99.98"),
        ("0.03", "0.03", "0.03"),
        ("0.031", "0.03", "0.08"),
    ):
        for side, action, price in ((Side.BUY, Action.LONG, buy), (Side.SELL, Action.SHORT, sell)):
            wanted = request(action, "1", order_type=OrderType.LIMIT, price=Decimal(asked))
            assert size_opening(wanted, found, side).price == Decimal(price)
    below = request(Action.LONG, "1", order_type=OrderType.LIMIT, price=Decimal("0.029"))
    with pytest.raises(RequestRefused) as caught:
        size_opening(below, found, Side.BUY)
    assert caught.value.code == "PRICE_OUT_OF_BOUNDS"


@pytest.mark.parametrize("name", ["MARKET_LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE"])
def test_a_filter_that_may_be_missing(name: str) -> None:
    left = [item for item in sample.SYMBOL["filters"] if item["filterType"] != name]
    assert listing.instrument({**sample.SYMBOL, "filters": left}, {}) is not None


@pytest.mark.parametrize("name", ["PRICE_FILTER", "LOT_SIZE"])
def test_a_filter_that_may_not_be_missing(name: str) -> None:
    left = [item for item in sample.SYMBOL["filters"] if item["filterType"] != name]
    with pytest.raises(MalformedReply, match=name):
        listing.instrument({**sample.SYMBOL, "filters": left}, {})


@pytest.mark.parametrize(
    "change",
    [
        {"quoteAsset": "USDC", "marginAsset": "USDC"},
        {"marginAsset": "BTC"},
        {"contractType": "CURRENT_QUARTER"},
        {"contractType": ""},
        {"quoteAsset": None},
    ],
)
def test_what_is_no_usdt_perpetual_is_left_out(change: dict[str, Any]) -> None:
    assert listing.instrument({**sample.SYMBOL, **change}, {}) is None


@pytest.mark.parametrize("status", ["PENDING_TRADING", "SETTLING", "CLOSE", None])
def test_only_trading_instruments_are_tradable(status: str | None) -> None:
    found = listing.instrument({**sample.SYMBOL, "status": status}, {})
    assert found is not None
    assert not found.tradable


@pytest.mark.parametrize(
    ("filter_type", "change", "said"),
    [
        ("LOT_SIZE", {"stepSize": "0"}, "stepSize is 0, not above zero"),
        ("PRICE_FILTER", {"tickSize": None}, "tickSize is missing"),
        ("PRICE_FILTER", {"minPrice": "-1"}, "minPrice is -1, below zero"),
        ("MARKET_LOT_SIZE", {"stepSize": "1E-99"}, "no sane step"),
    ],
)
def test_one_unreadable_instrument_does_not_hide_the_others(
    filter_type: str, change: dict[str, Any], said: str
) -> None:
    odd = {**sample.SYMBOL, "symbol": "ODDUSDT", "filters": filters(**{filter_type: change})}
    listed, unreadable = listing.instruments([odd, sample.SYMBOL], {})
    assert list(listed) == ["BTCUSDT"]
    assert len(unreadable) == 1
    assert "ODDUSDT" in unreadable[0]
    assert said in unreadable[0]


def test_the_most_leverage_is_that_of_the_best_bracket() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"symbol": "A", "brackets": []},
        {"symbol": "B", "brackets": [{"initialLeverage": None}]},
        {"symbol": 5, "brackets": [{"initialLeverage": 20}]},
        {"symbol": "C", "brackets": [{"initialLeverage": 0}]},
    ]
    assert listing.most_leverages([*odd, sample.BRACKET]) == {"BTCUSDT": 125}


# Take-profit and stop-loss.

FILLED = wire.order_view(sample.ORDER)


def test_a_long_is_protected_by_sells_the_stop_loss_first() -> None:
    order = replace(MARKET, take_profit=Decimal("1E+5"), stop_loss=Decimal("90000.50"))
    stop, target = protection.protective_orders(order, FILLED)
    assert protection.placing_query(stop) == (
        "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET&triggerPrice=90000.5"
        "&workingType=CONTRACT_PRICE&closePosition=true&clientAlgoId=tw-0001-sl"
    )
    assert protection.placing_query(target) == (
        "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=TAKE_PROFIT_MARKET&triggerPrice=100000"
        "&workingType=CONTRACT_PRICE&closePosition=true&clientAlgoId=tw-0001-tp"
    )
    assert protection.lookup_query(stop) == "clientAlgoId=tw-0001-sl"


def test_in_hedge_mode_the_leg_is_named() -> None:
    order = replace(
        MARKET, side=Side.SELL, position_side=PositionSide.SHORT, stop_loss=Decimal(100000)
    )
    (stop,) = protection.protective_orders(order, FILLED)
    sent = dict(parse_qsl(protection.placing_query(stop)))
    assert (sent["side"], sent["positionSide"]) == ("BUY", "SHORT")


@pytest.mark.parametrize(
    "order",
    [
        MARKET,
        replace(MARKET, reduce_only=True, take_profit=Decimal(1), stop_loss=Decimal(2)),
    ],
)
def test_what_has_no_levels_or_only_reduces_is_not_protected(order: PreparedOrder) -> None:
    assert protection.protective_orders(order, FILLED) == ()


def test_nothing_filled_needs_no_protection() -> None:
    order = replace(MARKET, stop_loss=Decimal(90000))
    unfilled = replace(FILLED, filled_quantity=Decimal(0))
    assert protection.protective_orders(order, unfilled) == ()


def test_the_longest_id_of_ours_leaves_room_for_the_suffix() -> None:
    order = replace(MARKET, client_order_id="x" * 32, stop_loss=Decimal(1))
    (stop,) = protection.protective_orders(order, FILLED)
    assert re.fullmatch(r"[.A-Z:/a-z0-9_-]{1,36}", stop.client_algo_id)
