"""Reading Binance's parameters: numbers, ids, filters, directions."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.sandbox.account import Account
from providers.sandbox.binance import fields, instruments
from providers.sandbox.binance.codes import BinanceError
from providers.sandbox.values import Leg, OrderKind, PositionMode, Side

if TYPE_CHECKING:
    from collections.abc import Callable

BTC = next(item for item in instruments.CONTRACTS if item.symbol == "BTCUSDT")
SUI = next(item for item in instruments.CONTRACTS if item.symbol == "SUIUSDT")
DAY = 86_400_000


def code_of(check: Callable[[], object]) -> int:
    """The code it is refused with, 0 when it is not."""
    try:
        check()
    except BinanceError as error:
        return error.code
    return 0


@pytest.mark.parametrize(
    ("qty", "kind", "symbol", "code"),
    [
        ("0.001", OrderKind.LIMIT, "BTCUSDT", 0),
        ("0.0010000", OrderKind.LIMIT, "BTCUSDT", 0),
        ("0.0001", OrderKind.LIMIT, "BTCUSDT", -1111),
        ("0", OrderKind.LIMIT, "BTCUSDT", -4003),
        ("120.001", OrderKind.LIMIT, "BTCUSDT", 0),
        ("120.001", OrderKind.MARKET, "BTCUSDT", -4005),
        ("1000.001", OrderKind.LIMIT, "BTCUSDT", -4005),
        ("9", OrderKind.LIMIT, "SUIUSDT", -4004),
        ("15", OrderKind.LIMIT, "SUIUSDT", -4023),
        ("20", OrderKind.LIMIT, "SUIUSDT", 0),
        ("20.5", OrderKind.LIMIT, "SUIUSDT", -1111),
    ],
)
def test_quantity(qty: str, kind: OrderKind, symbol: str, code: int) -> None:
    item = SUI if symbol == "SUIUSDT" else BTC
    assert code_of(lambda: fields.check_qty(Decimal(qty), kind, item)) == code


@pytest.mark.parametrize(
    ("price", "code"),
    [
        ("90000", 0),
        ("90000.1", 0),
        ("90000.10", 0),
        ("90000.05", -4014),
        ("90000.005", -1111),
        ("0", -4001),
        ("261.1", 0),
        ("261", -4013),
        ("809484.1", -4002),
    ],
)
def test_price(price: str, code: int) -> None:
    assert code_of(lambda: fields.check_price("price", Decimal(price), BTC)) == code


def test_the_band() -> None:
    last = Decimal(100_000)
    fields.check_band(Side.BUY, Decimal(105_000), BTC, last)
    fields.check_band(Side.BUY, Decimal(300), BTC, last)
    fields.check_band(Side.SELL, Decimal(95_000), BTC, last)
    with pytest.raises(BinanceError, match="-4016"):
        fields.check_band(Side.BUY, Decimal("105000.1"), BTC, last)
    with pytest.raises(BinanceError, match="-4024"):
        fields.check_band(Side.SELL, Decimal("94999.9"), BTC, last)


@pytest.mark.parametrize("value", ["1e-3", "-1", "+1", "1.", ".5", " 1", "1_0", "٣", "0x1", "NaN"])
def test_a_decimal_is_digits_and_a_point(value: str) -> None:
    with pytest.raises(BinanceError, match="-1100"):
        fields.decimal({"quantity": value}, "quantity")


@given(st.decimals(0, 10**19, places=12, allow_nan=False, allow_infinity=False))
def test_a_decimal_is_read_exactly(value: Decimal) -> None:
    assert fields.decimal({"quantity": f"{value:f}"}, "quantity") == value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("tw-0001", 0),
        ("a:b/c.d_e-F9", 0),
        ("x" * 36, 0),
        ("x" * 37, -4015),
        ("", -1105),
        ("a b", -1100),
        ("é", -1100),
    ],
)
def test_client_ids(value: str, code: int) -> None:
    params = {"newClientOrderId": value}
    assert code_of(lambda: fields.client_id(params, "newClientOrderId")) == code
    if not code:
        assert fields.client_id(params, "newClientOrderId") == value


def account(mode: PositionMode) -> Account:
    return Account("main", "key", "secret", Decimal(1000), mode)


@pytest.mark.parametrize(
    ("mode", "params", "code"),
    [
        (PositionMode.ONE_WAY, {"side": "BUY"}, 0),
        (PositionMode.ONE_WAY, {"side": "SELL", "positionSide": "BOTH", "reduceOnly": "true"}, 0),
        (PositionMode.ONE_WAY, {"side": "BUY", "positionSide": "LONG"}, -4061),
        (PositionMode.ONE_WAY, {"side": "BUY", "positionSide": "UP"}, -4060),
        (PositionMode.ONE_WAY, {"side": "Buy"}, -1117),
        (PositionMode.ONE_WAY, {}, -1102),
        (PositionMode.ONE_WAY, {"side": "BUY", "reduceOnly": "yes"}, -1102),
        (PositionMode.HEDGE, {"side": "BUY", "positionSide": "LONG"}, 0),
        (PositionMode.HEDGE, {"side": "BUY"}, -4061),
        (PositionMode.HEDGE, {"side": "BUY", "positionSide": "BOTH"}, -4061),
        (
            PositionMode.HEDGE,
            {"side": "SELL", "positionSide": "LONG", "reduceOnly": "false"},
            -1106,
        ),
    ],
)
def test_direction(mode: PositionMode, params: dict[str, str], code: int) -> None:
    assert code_of(lambda: fields.direction(params, account(mode))) == code


def test_what_closes() -> None:
    assert not fields.Direction(Side.BUY, Leg.NET, reduce_only=False).closes
    assert fields.Direction(Side.BUY, Leg.NET, reduce_only=True).closes
    assert fields.Direction(Side.BUY, Leg.SHORT, reduce_only=False).closes
    assert not fields.Direction(Side.BUY, Leg.LONG, reduce_only=False).closes
    assert fields.Direction(Side.SELL, Leg.LONG, reduce_only=False).closes


def test_a_span_is_a_week_at_most() -> None:
    now, week = 100 * DAY, 7 * DAY
    assert fields.span({}, now, week) == (now - week, now)
    assert fields.span({"startTime": str(DAY)}, now, week) == (DAY, 8 * DAY)
    assert fields.span({"endTime": str(50 * DAY)}, now, week) == (43 * DAY, 50 * DAY)
    with pytest.raises(BinanceError, match="-4165"):
        fields.span({"startTime": str(DAY), "endTime": str(9 * DAY)}, now, week)
    with pytest.raises(BinanceError, match="-1023"):
        fields.span({"startTime": str(9 * DAY), "endTime": str(DAY)}, now, week)


def test_brackets_allow_less_leverage_to_larger_positions() -> None:
    for symbol, rows in instruments.BRACKETS.items():
        assert [row.number for row in rows] == list(range(1, len(rows) + 1)), symbol
        for before, after in pairwise(rows):
            assert before.cap == after.floor < after.cap
            assert before.leverage > after.leverage
            edge = after.floor
            assert edge * before.ratio - before.deducted == edge * after.ratio - after.deducted


def test_the_largest_position_of_a_leverage() -> None:
    assert instruments.largest_notional("BTCUSDT", Decimal(125)) == 300_000
    assert instruments.largest_notional("BTCUSDT", Decimal(51)) == 300_000
    assert instruments.largest_notional("BTCUSDT", Decimal(50)) == 3_000_000
    assert instruments.maintenance("BTCUSDT", Decimal(-100_000)) == 400
