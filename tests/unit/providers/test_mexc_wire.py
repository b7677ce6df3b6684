"""MEXC's JSON and our values, both ways."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import RequestRefused
from providers.fields import MalformedReply
from providers.mexc import wire
from providers.mexc.contracts import Contract, read_listing
from providers.mexc.exact import loads
from providers.orders import (
    Balance,
    Fill,
    MarginMode,
    OrderStatus,
    OrderType,
    Position,
    PositionSide,
    PreparedOrder,
    Side,
    TimeInForce,
)
from providers.outcomes import OutcomeClass
from tests.unit.providers.mexc_stub import (
    ASSET_ROW,
    BTC_CONTRACT,
    CONTRACT,
    FILL_ROW,
    LISTING,
    ORDER,
    ORDER_ID,
    ORDER_ROW,
    POSITION_ROW,
    parsed,
)

MARKET = replace(ORDER, position_side=None)
VIEW = wire.order_view(ORDER_ROW, BTC_CONTRACT)
# What the wire may carry in any field: the values every reader must survive.
ODD_VALUES: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.just([])
    | st.just({})
)


def body_of(order: PreparedOrder, found: Contract = BTC_CONTRACT) -> dict[str, Any]:
    body = loads(wire.order_body(order, found))
    assert isinstance(body, dict)
    return body


# Orders out.


@pytest.mark.parametrize(
    ("side", "position_side", "reduce_only", "expected"),
    [
        (Side.BUY, None, False, {"side": 1, "positionMode": 2}),
        (Side.SELL, None, False, {"side": 3, "positionMode": 2}),
        (Side.SELL, None, True, {"side": 4, "positionMode": 2, "reduceOnly": True}),
        (Side.BUY, None, True, {"side": 2, "positionMode": 2, "reduceOnly": True}),
        (Side.BUY, PositionSide.LONG, False, {"side": 1, "positionMode": 1}),
        (Side.SELL, PositionSide.SHORT, False, {"side": 3, "positionMode": 1}),
        (Side.SELL, PositionSide.LONG, True, {"side": 4, "positionMode": 1}),
        (Side.BUY, PositionSide.SHORT, True, {"side": 2, "positionMode": 1}),
    ],
)
def test_side_and_position_mode(
    side: Side,
    position_side: PositionSide | None,
    reduce_only: bool,  # noqa: FBT001 - a column of the table
    expected: dict[str, Any],
) -> None:
    order = replace(MARKET, side=side, position_side=position_side, reduce_only=reduce_only)
    body = body_of(order)
    told = {name: body[name] for name in ("side", "positionMode", "reduceOnly") if name in body}
    assert told == expected
    # A close names no leverage: it can't change the position's.
    assert ("leverage" in body) is not reduce_only


@pytest.mark.parametrize(
    ("order_type", "time_in_force", "code"),
    [
        (OrderType.LIMIT, TimeInForce.GTC, 1),
        (OrderType.LIMIT, TimeInForce.POST_ONLY, 2),
        (OrderType.LIMIT, TimeInForce.IOC, 3),
        (OrderType.LIMIT, TimeInForce.FOK, 4),
        (OrderType.MARKET, TimeInForce.IOC, 5),
        (OrderType.MARKET, TimeInForce.GTC, 5),
    ],
)
def test_order_types(order_type: OrderType, time_in_force: TimeInForce, code: int) -> None:
    price = Decimal("94400.10") if order_type is OrderType.LIMIT else None
    body = body_of(replace(MARKET, order_type=order_type, time_in_force=time_in_force, price=price))
    assert (body["type"], body["price"]) == (code, price or 0)


@pytest.mark.parametrize(("mode", "code"), [(MarginMode.ISOLATED, 1), (MarginMode.CROSS, 2)])
def test_margin_modes_of_orders(mode: MarginMode, code: int) -> None:
    assert body_of(replace(MARKET, margin_mode=mode))["openType"] == code


def test_targets_and_stops_go_with_an_opening_order_only() -> None:
    order = replace(MARKET, take_profit=Decimal("1E+5"), stop_loss=Decimal("90000.50"))
    raw = wire.order_body(order, BTC_CONTRACT)
    assert b'"takeProfitPrice":100000,"stopLossPrice":90000.5}' in raw
    assert (
        not {"takeProfitPrice", "stopLossPrice"} & body_of(replace(order, reduce_only=True)).keys()
    )


def test_a_price_is_written_with_all_its_digits() -> None:
    order = replace(MARKET, order_type=OrderType.LIMIT, price=Decimal("0.1") + Decimal("0.2"))
    assert b'"price":0.3,' in wire.order_body(order, BTC_CONTRACT)
    tiny = replace(order, price=Decimal("1.234E-12"))
    assert b'"price":0.000000000001234,' in wire.order_body(tiny, BTC_CONTRACT)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quantity": Decimal("0.00015")}, "NOT_WHOLE_CONTRACTS"),
        ({"quantity": Decimal("0.00009")}, "NOT_WHOLE_CONTRACTS"),
        ({"margin_mode": None}, "MARGIN_MODE_REQUIRED"),
        ({"leverage": None}, "LEVERAGE_REQUIRED"),
        ({"client_order_id": "x" * 33}, "INVALID_CLIENT_ORDER_ID"),
        ({"client_order_id": ""}, "INVALID_CLIENT_ORDER_ID"),
        ({"client_order_id": "a/b"}, "INVALID_CLIENT_ORDER_ID"),
        ({"client_order_id": "tw-\u0661"}, "INVALID_CLIENT_ORDER_ID"),
    ],
)
def test_what_can_not_be_written_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        wire.order_body(replace(MARKET, **changes), BTC_CONTRACT)
    assert caught.value.code == code


def test_a_close_needs_neither_leverage_nor_a_known_margin_mode() -> None:
    order = replace(MARKET, reduce_only=True, leverage=None, margin_mode=None)
    assert not {"openType", "leverage"} & body_of(order).keys()


def test_a_cancel_is_a_list_of_one() -> None:
    assert wire.cancel_body(BTC_CONTRACT, "tw-0001") == (
        b'[{"symbol":"BTC_USDT","externalOid":"tw-0001"}]'
    )


# The answer to a placement.


@pytest.mark.parametrize(
    "data",
    [{"orderId": ORDER_ID, "ts": 1}, {"orderId": int(ORDER_ID)}, ORDER_ID, int(ORDER_ID)],
)
def test_the_order_id_comes_in_any_of_its_forms(data: object) -> None:
    assert wire.placed_order_id({"data": data}) == ORDER_ID


@pytest.mark.parametrize(
    "data", [None, "", {}, {"orderId": ""}, [], True, Decimal("8.1E+17"), {"orderId": None}]
)
def test_an_answer_without_an_order_id_is_malformed(data: object) -> None:
    with pytest.raises(MalformedReply):
        wire.placed_order_id({"data": data})


# Orders in.


def test_a_filled_order() -> None:
    view = wire.order_view(parsed(ORDER_ROW), BTC_CONTRACT)
    assert view == VIEW
    assert view.status is OrderStatus.FILLED
    assert (view.symbol, view.side) == ("BTCUSDT", Side.BUY)
    assert (view.client_order_id, view.exchange_order_id) == ("tw-0001", ORDER_ID)
    assert (view.quantity, view.filled_quantity) == (Decimal("0.001"), Decimal("0.001"))
    assert view.average_price == Decimal("94321.5")
    assert (view.fee, view.fee_currency) == (Decimal("0.0754572"), "USDT")
    assert view.reject_reason is None
    assert view.updated_at == datetime(2023, 11, 14, 22, 13, 20, 125000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "filled", "error_code", "status", "reason"),
    [
        (1, 0, 0, OrderStatus.NEW, None),
        (2, 0, 0, OrderStatus.NEW, None),
        (2, 4, 0, OrderStatus.PARTIALLY_FILLED, None),
        (3, 10, 0, OrderStatus.FILLED, None),
        (4, 0, 15, OrderStatus.CANCELED, "cancelled by the user (errorCode 15)"),
        (4, 4, 21, OrderStatus.CANCELED, "market order: the rest was cancelled (errorCode 21)"),
        (4, 4, 0, OrderStatus.CANCELED, None),
        (4, 10, 0, OrderStatus.FILLED, None),
        (5, 0, 2, OrderStatus.REJECTED, "balance too low (errorCode 2)"),
        (5, 0, 4711, OrderStatus.REJECTED, "other reason (errorCode 4711)"),
        # What was filled before is a position, whatever ended the order.
        (5, 4, 13, OrderStatus.CANCELED, "cancelled by liquidation (errorCode 13)"),
    ],
)
def test_states(
    state: int, filled: int, error_code: int, status: OrderStatus, reason: str | None
) -> None:
    view = wire.order_view(
        {**ORDER_ROW, "state": state, "dealVol": filled, "errorCode": error_code}, BTC_CONTRACT
    )
    assert (view.status, view.reject_reason) == (status, reason)
    assert view.filled_quantity == Decimal("0.0001") * filled
    assert (view.average_price is None) is (filled == 0)


@pytest.mark.parametrize(
    ("change", "fee"),
    [
        ({"totalFee": Decimal("0.08")}, Decimal("0.08")),
        ({"makerFee": Decimal("-0.01")}, Decimal("0.0654572")),
        ({"takerFee": None}, None),
    ],
)
def test_the_fee_is_the_total_or_the_sum_or_left_to_the_fills(
    change: dict[str, Any], fee: Decimal | None
) -> None:
    assert wire.order_view({**ORDER_ROW, **change}, BTC_CONTRACT).fee == fee


@pytest.mark.parametrize(
    "change",
    [
        {"state": 6},
        {"state": None},
        {"side": 5},
        {"vol": "lots"},
        {"vol": 0.001},
        {"vol": None},
        {"vol": Decimal("1E+300")},
        {"dealVol": True},
        {"orderId": ""},
        {"orderId": Decimal("8.1E+17")},
        {"updateTime": "soon"},
        {"updateTime": 10**30},
    ],
)
def test_an_unreadable_order_is_refused_by_field_name(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedReply, match=next(iter(change))):
        wire.order_view({**ORDER_ROW, **change}, BTC_CONTRACT)


def test_a_look_up_finds_one_order_or_none() -> None:
    assert wire.looked_up({"data": ORDER_ROW}, LISTING) == [VIEW]
    assert wire.looked_up({"success": True, "code": 0}, LISTING) == []
    odd: list[object] = [[], "", {}, 0, {**ORDER_ROW, "symbol": "NEW_USDT"}]
    for data in odd:
        with pytest.raises(MalformedReply):
            wire.looked_up({"data": data}, LISTING)


def test_orders_of_other_contracts_are_not_ours() -> None:
    coin_margined = {**ORDER_ROW, "symbol": "BTC_USD"}
    assert wire.order_views([coin_margined, ORDER_ROW], LISTING, None) == [VIEW]
    assert wire.order_views([{**ORDER_ROW, "symbol": "X_USDT"}], LISTING, "BTC_USDT") == []
    with pytest.raises(MalformedReply, match="X_USDT"):
        wire.order_views([{**ORDER_ROW, "symbol": "X_USDT"}], LISTING, None)


# Fills.


def test_a_fill() -> None:
    assert wire.fills({"data": [parsed(FILL_ROW)]}, BTC_CONTRACT, VIEW) == [
        Fill(
            fill_id="998877",
            exchange_order_id=ORDER_ID,
            symbol="BTCUSDT",
            side=Side.BUY,
            price=Decimal("94321.5"),
            quantity=Decimal("0.001"),
            fee=Decimal("0.0754572"),
            fee_currency="USDT",
            maker=False,
            executed_at=datetime(2023, 11, 14, 22, 13, 20, 124000, tzinfo=UTC),
        )
    ]


def test_fills_come_oldest_first_each_once_and_of_the_order_only() -> None:
    items = [
        {**FILL_ROW, "id": 10, "timestamp": 1700000000125},
        {**FILL_ROW, "id": 9, "timestamp": 1700000000125, "isTaker": False},
        {**FILL_ROW, "id": 7, "orderId": "1"},
        {**FILL_ROW, "id": 11},
        {**FILL_ROW, "id": 9, "timestamp": 1700000000125},
    ]
    found = wire.fills({"data": items}, BTC_CONTRACT, VIEW)
    assert [fill.fill_id for fill in found] == ["11", "9", "10"]
    assert [fill.maker for fill in found] == [False, True, False]


@pytest.mark.parametrize(
    ("side", "expected"), [(1, Side.BUY), (2, Side.BUY), (3, Side.SELL), (4, Side.SELL)]
)
def test_sides_back(side: int, expected: Side) -> None:
    (fill,) = wire.fills({"data": [{**FILL_ROW, "side": side}]}, BTC_CONTRACT, VIEW)
    assert fill.side is expected


def test_the_other_name_of_the_taker_flag_is_read() -> None:
    item = {name: value for name, value in FILL_ROW.items() if name != "isTaker"}
    (fill,) = wire.fills({"data": [{**item, "taker": False}]}, BTC_CONTRACT, VIEW)
    assert fill.maker


def test_no_data_means_no_fills_only_where_nothing_was_filled() -> None:
    assert wire.fills({}, BTC_CONTRACT, replace(VIEW, filled_quantity=Decimal(0))) == []
    with pytest.raises(MalformedReply):
        wire.fills({}, BTC_CONTRACT, VIEW)


# Positions.


def test_positions_say_what_may_still_be_closed() -> None:
    items = [
        parsed({**POSITION_ROW, "frozenVol": 4}),
        {**POSITION_ROW, "positionType": 2, "openType": 2, "frozenVol": 12},
        {**POSITION_ROW, "holdVol": 0},
        {**POSITION_ROW, "state": 3},
        {**POSITION_ROW, "symbol": "BTC_USD"},
    ]
    long, short = wire.positions(items, LISTING, None)
    assert long == Position(
        "BTCUSDT",
        PositionSide.LONG,
        Decimal("0.001"),
        Decimal("94321.5"),
        Decimal(5),
        closable=Decimal("0.0006"),
        margin_mode=MarginMode.ISOLATED,
    )
    assert (short.side, short.closable) == (PositionSide.SHORT, Decimal(0))
    assert short.margin_mode is MarginMode.CROSS


@pytest.mark.parametrize(
    "change", [{"positionType": 3}, {"openType": 0}, {"holdVol": None}, {"symbol": "NEW_USDT"}]
)
def test_a_position_that_can_not_be_read_is_not_left_out(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedReply):
        wire.positions([{**POSITION_ROW, **change}], LISTING, None)


# Balances, prices, cancels.


def test_balances() -> None:
    assert wire.balances({"data": [parsed(ASSET_ROW)]}) == [
        Balance("USDT", Decimal(1000), Decimal("980.1"))
    ]
    item = {**ASSET_ROW, "availableOpen": Decimal(900)}
    assert wire.balances({"data": [item]})[0].available == Decimal(900)
    del item["availableOpen"]
    assert wire.balances({"data": [item]})[0].available == Decimal("980.1")


def test_the_mark_price_is_of_the_contract() -> None:
    data = {"symbol": "BTC_USDT", "fairPrice": Decimal("94330.1"), "timestamp": 1}
    assert wire.mark_price({"data": data}, BTC_CONTRACT) == Decimal("94330.1")
    for change in ({"symbol": "ETH_USDT"}, {"fairPrice": 0}, {"fairPrice": None}):
        with pytest.raises(MalformedReply):
            wire.mark_price({"data": {**data, **change}}, BTC_CONTRACT)


@pytest.mark.parametrize(
    ("code", "failures"),
    [
        (0, []),
        (200, []),
        (2040, []),
        (2041, []),
        (602, [(OutcomeClass.AUTH, "602", "said so")]),
        (510, [(OutcomeClass.RATE_ACCOUNT, "510", "said so")]),
        (4711, [(OutcomeClass.UNKNOWN, "4711", "said so")]),
    ],
)
def test_a_cancel_is_judged_item_by_item(
    code: int, failures: list[tuple[OutcomeClass, str, str]]
) -> None:
    item = {"orderId": ORDER_ID, "errorCode": code, "errorMsg": "said so"}
    assert wire.cancel_failures({"data": [item]}) == failures


# Nothing an exchange sends makes a reader fail in another way than `MalformedReply`.

READERS = [
    (ORDER_ROW, lambda item: wire.order_views([item], LISTING, None)),
    (ORDER_ROW, lambda item: wire.looked_up({"data": item}, LISTING)),
    (FILL_ROW, lambda item: wire.fills({"data": [item]}, BTC_CONTRACT, VIEW)),
    (POSITION_ROW, lambda item: wire.positions([item], LISTING, None)),
    (ASSET_ROW, lambda item: wire.balances({"data": [item]})),
    (CONTRACT, lambda item: read_listing({"data": [item]})),
]


@given(st.data())
def test_odd_values_are_refused_as_malformed_or_read(data: st.DataObject) -> None:
    row, read = data.draw(st.sampled_from(READERS))
    name = data.draw(st.sampled_from(sorted(row)))
    with contextlib.suppress(MalformedReply):
        read({**row, name: data.draw(ODD_VALUES)})
