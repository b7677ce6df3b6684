"""Bybit's JSON and our values, both ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from providers.bybit import wire
from providers.fields import MalformedReply
from providers.orders import (
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

MARKET = PreparedOrder(
    client_order_id="tw-0001",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.0010"),
    reduce_only=False,
    time_in_force=TimeInForce.IOC,
)
INSTRUMENT: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "settleCoin": "USDT",
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "minOrderQty": "0.001",
        "maxOrderQty": "1190.000",
        "maxMktOrderQty": "500.000",
        "qtyStep": "0.001",
        "minNotionalValue": "5",
    },
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "62.50", "leverageStep": "0.01"},
}
ORDER: dict[str, Any] = {
    "orderId": "5f1c0d3a",
    "orderLinkId": "tw-0001",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderStatus": "Filled",
    "rejectReason": "EC_NoError",
    "qty": "0.001",
    "avgPrice": "94321.5",
    "cumExecQty": "0.001",
    "cumFeeDetail": {"USDT": "0.05187683"},
    "updatedTime": "1700000000125",
}
FILL: dict[str, Any] = {
    "execId": "c0ffee",
    "orderId": "5f1c0d3a",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "execType": "Trade",
    "execPrice": "94321.5",
    "execQty": "0.001",
    "execFee": "-0.01",
    "feeCurrency": "",
    "isMaker": True,
    "execTime": "1700000000124",
    "seq": 7,
}


def position(index: int, side: str, size: str, leverage: str = "5") -> dict[str, Any]:
    return {
        "positionIdx": index,
        "symbol": "BTCUSDT",
        "side": side,
        "size": size,
        "avgPrice": "94321.5" if side else "0",
        "leverage": leverage,
    }


# Orders out.


def test_a_market_order_is_written_as_the_signed_example_is() -> None:
    assert wire.order_body(MARKET) == (
        b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.001",'
        b'"positionIdx":0,"reduceOnly":false,"orderLinkId":"tw-0001"}'
    )


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (
            replace(
                MARKET,
                order_type=OrderType.LIMIT,
                price=Decimal("94321.50"),
                time_in_force=TimeInForce.POST_ONLY,
                side=Side.SELL,
                position_side=PositionSide.SHORT,
            ),
            {
                "orderType": "Limit",
                "price": "94321.5",
                "timeInForce": "PostOnly",
                "side": "Sell",
                "positionIdx": 2,
            },
        ),
        (
            replace(MARKET, side=Side.SELL, position_side=PositionSide.LONG, reduce_only=True),
            {"side": "Sell", "positionIdx": 1, "reduceOnly": True},
        ),
        (
            replace(MARKET, take_profit=Decimal("1E+5"), stop_loss=Decimal("9E+4")),
            {"tpslMode": "Full", "takeProfit": "100000", "stopLoss": "90000"},
        ),
    ],
)
def test_what_an_order_body_holds(order: PreparedOrder, expected: dict[str, Any]) -> None:
    body = orjson.loads(wire.order_body(order))
    assert {name: body[name] for name in expected} == expected


def test_a_reducing_order_carries_no_target_or_stop() -> None:
    order = replace(MARKET, reduce_only=True, take_profit=Decimal(1), stop_loss=Decimal(2))
    body = orjson.loads(wire.order_body(order))
    assert not {"takeProfit", "stopLoss", "tpslMode"} & body.keys()


@pytest.mark.parametrize("quantity", ["1E+3", "0.00000001", "123456789.123456789"])
def test_quantities_are_plain_strings(quantity: str) -> None:
    body = orjson.loads(wire.order_body(replace(MARKET, quantity=Decimal(quantity))))
    assert isinstance(body["qty"], str)
    assert "E" not in body["qty"]
    assert Decimal(body["qty"]) == Decimal(quantity)


# Orders in.


def test_a_filled_order() -> None:
    view = wire.order_view(ORDER)
    assert view.status is OrderStatus.FILLED
    assert (view.client_order_id, view.exchange_order_id) == ("tw-0001", "5f1c0d3a")
    assert view.average_price == Decimal("94321.5")
    assert (view.fee, view.fee_currency) == (Decimal("0.05187683"), "USDT")
    assert view.reject_reason is None
    assert view.updated_at == datetime(2023, 11, 14, 22, 13, 20, 125000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "filled", "status"),
    [
        ("New", "0", OrderStatus.NEW),
        ("Untriggered", "0", OrderStatus.NEW),
        ("Triggered", "0", OrderStatus.NEW),
        ("PartiallyFilled", "0.0004", OrderStatus.PARTIALLY_FILLED),
        ("Cancelled", "0", OrderStatus.CANCELED),
        ("Cancelled", "0.0004", OrderStatus.CANCELED),
        ("Cancelled", "0.001", OrderStatus.FILLED),
        ("PartiallyFilledCanceled", "0.0004", OrderStatus.CANCELED),
        ("Deactivated", "0", OrderStatus.CANCELED),
        ("Rejected", "0", OrderStatus.REJECTED),
    ],
)
def test_statuses(text: str, filled: str, status: OrderStatus) -> None:
    view = wire.order_view({**ORDER, "orderStatus": text, "cumExecQty": filled})
    assert view.status is status
    assert view.filled_quantity == Decimal(filled)
    assert (view.average_price is None) is (Decimal(filled) == 0)


@pytest.mark.parametrize(
    "change",
    [
        {"orderStatus": "Sleeping"},
        {"side": "Hold"},
        {"qty": "lots"},
        {"qty": 0.001},
        {"qty": "NaN"},
        {"qty": None},
        {"cumExecQty": True},
        {"orderId": ""},
        {"orderId": 5},
        {"updatedTime": "soon"},
        {"updatedTime": "9" * 30},
    ],
)
def test_an_unreadable_order_is_refused_by_field_name(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedReply, match=next(iter(change))):
        wire.order_view({**ORDER, **change})


@pytest.mark.parametrize(
    "change",
    [{"avgPrice": ""}, {"avgPrice": "0"}, {"cumFeeDetail": {}}, {"cumFeeDetail": None}],
)
def test_what_an_order_does_not_say_is_none(change: dict[str, Any]) -> None:
    view = wire.order_view({**ORDER, **change})
    assert None in (view.average_price, view.fee)


def test_a_fee_in_several_coins_is_left_to_the_fills() -> None:
    view = wire.order_view({**ORDER, "cumFeeDetail": {"USDT": "0.1", "MNT": "0.2"}})
    assert (view.fee, view.fee_currency) == (None, None)


def test_a_reject_reason_is_told() -> None:
    view = wire.order_view({**ORDER, "rejectReason": "EC_PostOnlyWillTakeLiquidity"})
    assert view.reject_reason == "EC_PostOnlyWillTakeLiquidity"


# Fills.


def test_fills_are_trades_only_oldest_first_each_once() -> None:
    items = [
        {**FILL, "execId": "c", "execTime": "1700000000125", "seq": 9},
        {**FILL, "execId": "b", "execTime": "1700000000125", "seq": 8},
        {**FILL, "execId": "x", "execType": "Funding"},
        {**FILL, "execId": "a"},
        {**FILL, "execId": "b", "execTime": "1700000000125", "seq": 8},
    ]
    found = wire.fills(items)
    assert [fill.fill_id for fill in found] == ["a", "b", "c"]
    assert found[0].fee == Decimal("-0.01")
    assert (found[0].fee_currency, found[0].maker) == ("USDT", True)


# Positions.


def test_flat_legs_are_left_out_and_rows_come_in_any_order() -> None:
    assert wire.positions([position(2, "Sell", "0.3"), position(1, "", "0")]) == [
        Position("BTCUSDT", PositionSide.SHORT, Decimal("0.3"), Decimal("94321.5"), Decimal(5))
    ]


@pytest.mark.parametrize(
    ("indexes", "mode"),
    [((0,), PositionMode.ONE_WAY), ((1, 2), PositionMode.HEDGE), ((2, 1), PositionMode.HEDGE)],
)
def test_the_position_mode_is_read_from_the_rows(
    indexes: tuple[int, ...], mode: PositionMode
) -> None:
    items = [position(index, "", "0") for index in indexes]
    items.append({**position(0, "", "0"), "symbol": "ETHUSDT"})
    setup = wire.symbol_setup(items, "BTCUSDT", MarginMode.CROSS)
    assert (setup.position_mode, setup.leverage) == (mode, Decimal(5))
    assert setup.margin_mode is MarginMode.CROSS


@pytest.mark.parametrize("indexes", [(), (1,), (0, 1), (3,)])
def test_rows_that_fit_no_mode_are_no_answer(indexes: tuple[int, ...]) -> None:
    with pytest.raises(MalformedReply, match="position rows"):
        wire.symbol_setup([position(index, "", "0") for index in indexes], "BTCUSDT", None)


def test_legs_of_unequal_leverage_have_none_in_force() -> None:
    items = [position(1, "", "0", "5"), position(2, "", "0", "10")]
    assert wire.symbol_setup(items, "BTCUSDT", None).leverage is None


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("REGULAR_MARGIN", MarginMode.CROSS),
        ("ISOLATED_MARGIN", MarginMode.ISOLATED),
        ("PORTFOLIO_MARGIN", None),
    ],
)
def test_margin_modes(name: str, mode: MarginMode | None) -> None:
    assert wire.margin_mode({"marginMode": name}) is mode


# Instruments.


def test_an_instrument() -> None:
    found = wire.instrument(INSTRUMENT)
    assert found is not None
    assert (found.tick, found.lot, found.min_quantity) == (
        Decimal("0.10"),
        Decimal("0.001"),
        Decimal("0.001"),
    )
    assert (found.max_quantity, found.max_market_quantity) == (Decimal(1190), Decimal(500))
    assert (found.min_notional, found.min_price) == (Decimal(5), Decimal("0.10"))
    assert (found.min_leverage, found.max_leverage) == (1, 62)
    assert found.tradable


@pytest.mark.parametrize(
    "change", [{"settleCoin": "USDC"}, {"contractType": "LinearFutures"}, {"settleCoin": None}]
)
def test_what_is_no_usdt_perpetual_is_left_out(change: dict[str, Any]) -> None:
    assert wire.instrument({**INSTRUMENT, **change}) is None


@pytest.mark.parametrize("status", ["PreLaunch", "Delivering", "Closed", None])
def test_only_trading_instruments_are_tradable(status: str | None) -> None:
    found = wire.instrument({**INSTRUMENT, "status": status})
    assert found is not None
    assert not found.tradable


def test_one_unreadable_instrument_does_not_hide_the_others() -> None:
    odd = {**INSTRUMENT, "symbol": "ODDUSDT", "lotSizeFilter": {"qtyStep": "0"}}
    listed, unreadable = wire.instruments([odd, INSTRUMENT])
    assert list(listed) == ["BTCUSDT"]
    assert unreadable == ["ODDUSDT: qtyStep is 0, not above zero"]


# Balances.


def test_balances_free_is_what_is_not_in_use() -> None:
    coin = {
        "coin": "USDT",
        "walletBalance": "1000",
        "equity": "1000.1",
        "totalPositionIM": "18.9",
        "totalOrderIM": "1",
        "locked": "",
        "bonus": "10",
    }
    assert wire.balances({"list": [{"accountType": "UNIFIED", "coin": [coin]}]}) == [
        Balance("USDT", Decimal("1000.1"), Decimal("970.1"))
    ]


def test_a_balance_in_use_beyond_the_wallet_has_nothing_free() -> None:
    coin = {"coin": "USDT", "walletBalance": "1", "equity": "", "totalPositionIM": "2"}
    assert wire.balances({"list": [{"coin": [coin]}]}) == [Balance("USDT", Decimal(1), Decimal(0))]
