"""What an opening order may be worth. Pure; all numbers are decimals. Closes are never asked about.

The position and the number of orders are judged in the commit of the intent (`storage.claims.
IntentLimits`), where two replicas can't both take the last of them; here is the rest.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from consumer.controls import registry as keys
from consumer.controls.permission import Denial
from consumer.controls.values import plain
from providers.orders import OrderType, PositionSide, Side

if TYPE_CHECKING:
    from collections.abc import Iterable

    from consumer.controls.snapshot import Limits, Snapshot
    from providers.orders import Position, PreparedOrder
    from storage.errors import LimitExceeded

_HUNDRED = Decimal(100)
_CODES = {
    keys.MAX_LEVERAGE: "MAX_LEVERAGE",
    keys.MAX_ORDER_QUANTITY: "MAX_ORDER_QUANTITY",
    keys.MAX_ORDER_NOTIONAL: "MAX_ORDER_NOTIONAL",
    keys.MAX_POSITION_SIZE: "MAX_POSITION_SIZE",
    keys.PRICE_BAND: "PRICE_BAND",
    keys.MAX_ORDERS: "MAX_ORDERS_PER_SYMBOL",
}


def needs_mark(snapshot: Snapshot, limits: Limits, order: PreparedOrder) -> bool:
    """Say whether a limit that is set can only be judged with a mark price."""
    if limits.max_position_size is not None:
        return True
    if order.order_type is OrderType.MARKET:
        return limits.max_order_notional is not None or snapshot.max_mark_age is not None
    if limits.max_order_notional is not None and order.side is Side.SELL:
        return True
    return limits.price_band_percent is not None


def leverage_denial(limits: Limits, leverage: int | None) -> Denial | None:
    """Say why an order with this leverage is refused; None as leverage means: not known."""
    if limits.max_leverage is None:
        return None
    if leverage is not None and leverage <= limits.max_leverage:
        return None
    value = "not known" if leverage is None else str(leverage)
    return _denial(keys.MAX_LEVERAGE, str(limits.max_leverage), value)


def order_denial(limits: Limits, order: PreparedOrder, mark: Decimal | None) -> Denial | None:
    """Say why an order of this size and price is refused.

    Args:
        limits: of its symbol.
        order: ready to be sent.
        mark: the mark price; there where `needs_mark` says so.
    """
    if limits.max_order_quantity is not None and order.quantity > limits.max_order_quantity:
        return _denial(
            keys.MAX_ORDER_QUANTITY, plain(limits.max_order_quantity), plain(order.quantity)
        )
    price = _valued_at(order, mark)
    if limits.max_order_notional is not None and price is not None:
        notional = order.quantity * price
        if notional > limits.max_order_notional:
            return _denial(
                keys.MAX_ORDER_NOTIONAL, plain(limits.max_order_notional), plain(notional)
            )
    if limits.price_band_percent is not None and order.price is not None and mark is not None:
        distance = abs(order.price - mark) / mark * _HUNDRED
        if distance > limits.price_band_percent:
            return _denial(
                keys.PRICE_BAND,
                plain(limits.price_band_percent),
                f"{distance:.4f}",
                f"the price {plain(order.price)} is that far from the mark price {plain(mark)}",
            )
    return None


def _valued_at(order: PreparedOrder, mark: Decimal | None) -> Decimal | None:
    """Say by which price an order is valued: a low limit to sell is met at the market's price."""
    if order.price is None or mark is None:
        return mark if order.price is None else order.price
    return max(order.price, mark) if order.side is Side.SELL else order.price


def held_on_side(positions: Iterable[Position], order: PreparedOrder) -> Decimal:
    """Say how much is held in the order's direction, in base coins; less than 0 if against it.

    In hedge mode a leg stands alone; in one-way mode a short counts against a long.
    """
    held = {PositionSide.LONG: Decimal(0), PositionSide.SHORT: Decimal(0)}
    for one in positions:
        if one.symbol == order.symbol:
            held[one.side] += one.quantity
    mine = PositionSide.LONG if order.side is Side.BUY else PositionSide.SHORT
    other = PositionSide.SHORT if order.side is Side.BUY else PositionSide.LONG
    return held[mine] if order.position_side is not None else held[mine] - held[other]


def exceeded(found: LimitExceeded) -> Denial:
    """Say what a limit means that was reached in the commit of the intent."""
    return _denial(found.control, found.limit, found.value)


def _denial(control: str, limit: str, value: str, more: str | None = None) -> Denial:
    says = f"{control} is {limit}, this order makes it {value}"
    return Denial(_CODES[control], control, limit, value, f"{says}: {more}" if more else says)
