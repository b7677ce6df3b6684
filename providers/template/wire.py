"""Translation between our values and the exchange's JSON. Pure; decimals are strings."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import orjson

from providers.fields import Row, decimal, instant, optional_decimal, positive, text, whole
from providers.orders import (
    Balance,
    Fill,
    Instrument,
    OrderStatus,
    OrderView,
    Position,
    PositionSide,
    Side,
)
from providers.sizing import plain

if TYPE_CHECKING:
    from providers.orders import PreparedOrder


def order_body(order: PreparedOrder) -> bytes:
    """The body that places an order: exactly these bytes are signed and sent."""
    return orjson.dumps(
        {
            "clientId": order.client_order_id,
            "symbol": order.symbol,
            "side": order.side.value,
            "type": order.order_type.value,
            "timeInForce": order.time_in_force.value,
            "quantity": plain(order.quantity),
            "price": None if order.price is None else plain(order.price),
            "reduceOnly": order.reduce_only,
        }
    )


def instrument(item: Row) -> Instrument:
    """The rules of one symbol, in base coins and quote currency."""
    return Instrument(
        symbol=text(item, "symbol"),
        venue_symbol=text(item, "symbol"),
        tradable=item.get("open") is True,
        tick=positive(item, "tick"),
        lot=positive(item, "lot"),
        min_quantity=positive(item, "least"),
        max_quantity=positive(item, "most"),
        max_market_quantity=None,
        min_notional=None,
        min_price=None,
        max_price=None,
        min_leverage=1,
        max_leverage=whole(item, "leverage"),
    )


def order_view(item: Row) -> OrderView:
    """One order as the exchange shows it."""
    filled = decimal(item, "filled")
    return OrderView(
        client_order_id=text(item, "clientId"),
        exchange_order_id=text(item, "id"),
        symbol=text(item, "symbol"),
        side=Side(text(item, "side")),
        status=OrderStatus(text(item, "status")),
        quantity=decimal(item, "quantity"),
        filled_quantity=filled,
        average_price=positive(item, "average") if filled else None,
        fee=optional_decimal(item, "fee"),
        fee_currency="USDT",
        reject_reason=None,
        updated_at=instant(item, "time"),
    )


def fill(item: Row) -> Fill:
    """One execution."""
    return Fill(
        fill_id=text(item, "fillId"),
        exchange_order_id=text(item, "id"),
        symbol=text(item, "symbol"),
        side=Side(text(item, "side")),
        price=positive(item, "price"),
        quantity=positive(item, "quantity"),
        fee=decimal(item, "fee"),
        fee_currency="USDT",
        maker=False,
        executed_at=instant(item, "time"),
    )


def position(item: Row) -> Position:
    """The net position of a symbol; the exchange signs its size."""
    size = decimal(item, "size")
    return Position(
        symbol=text(item, "symbol"),
        side=PositionSide.LONG if size > 0 else PositionSide.SHORT,
        quantity=abs(size),
        entry_price=positive(item, "entry"),
        leverage=Decimal(whole(item, "leverage")),
    )


def balance(item: Row) -> Balance:
    """What there is of one currency."""
    return Balance(text(item, "currency"), decimal(item, "total"), decimal(item, "available"))
