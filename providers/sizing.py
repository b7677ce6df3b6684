"""Order maths: quantities on the lot, prices on the tick, within the limits, or refused.

Pure functions over `Decimal`. A quantity is only ever rounded down; a price is rounded to the
side that is not worse for the user (a buyer never pays more, a seller never gets less). What is
below a minimum is refused, never rounded up. All arithmetic is exact: it runs in a context of
its own that is wide enough for every number let in, so the 28 digits of the default context
never round anything.
"""

from __future__ import annotations

from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import TYPE_CHECKING

from providers.errors import RequestRefused
from providers.orders import OrderType, QuantityUnit, Side
from providers.values import value

if TYPE_CHECKING:
    from providers.orders import Instrument, TradeRequest

# Numbers let in have at most this many digits on each side of the point, so that a product of
# three of them and its quotient by a lot still fit `_EXACT` without rounding.
_MOST_DIGITS = 40
_EXACT = Context(prec=8 * _MOST_DIGITS, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])


@value(frozen=True, slots=True)
class Sized:
    """What the order maths decides: base coins on the lot, prices on the tick."""

    quantity: Decimal
    price: Decimal | None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None


def plain(value: Decimal) -> str:
    """Write a number as exchanges read it: no exponent, no trailing zeros after the point.

    Raises:
        ValueError: for a value that is not finite.
    """
    if not value.is_finite():
        raise ValueError(f"{value} is not a number an exchange could read")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Round a value that is not negative down to a multiple of `step`."""
    return _EXACT.multiply(_EXACT.divide_int(value, step), step)


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Round a value that is not negative up to a multiple of `step`."""
    floor = floor_to(value, step)
    return floor if floor == value else _EXACT.add(floor, step)


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """The exact product, whatever the caller's decimal context."""
    return _EXACT.multiply(left, right)


def to_contracts(quantity: Decimal, contract_size: Decimal) -> int:
    """Count a quantity of base coins in contracts, for venues that trade contracts.

    Raises:
        ValueError: if the quantity is not a whole number of contracts; round to the lot first.
    """
    contracts = _EXACT.divide_int(quantity, contract_size)
    if _EXACT.multiply(contracts, contract_size) != quantity:
        raise ValueError(
            f"{plain(quantity)} is not a whole number of contracts of {plain(contract_size)}"
        )
    return int(contracts)


def from_contracts(contracts: Decimal, contract_size: Decimal) -> Decimal:
    """The base coins that a number of contracts stands for."""
    return _EXACT.multiply(contracts, contract_size)


def check_leverage(leverage: int, instrument: Instrument) -> None:
    """Refuse a leverage that the instrument does not offer.

    Raises:
        RequestRefused: `LEVERAGE_TOO_HIGH` or `LEVERAGE_TOO_LOW`.
    """
    if leverage > instrument.max_leverage:
        raise RequestRefused(
            "LEVERAGE_TOO_HIGH",
            f"leverage {leverage} is above the most {instrument.symbol} allows, "
            f"{instrument.max_leverage}",
        )
    if leverage < instrument.min_leverage:
        raise RequestRefused(
            "LEVERAGE_TOO_LOW",
            f"leverage {leverage} is below the least {instrument.symbol} allows, "
            f"{instrument.min_leverage}",
        )


def size_opening(
    request: TradeRequest,
    instrument: Instrument,
    side: Side,
    *,
    leverage: Decimal | None = None,
    mark: Decimal | None = None,
) -> Sized:
    """Work out quantity and prices of an order that may enlarge a position.

    Args:
        request: what was asked for.
        instrument: the rules of its symbol.
        side: the side of the book the order goes to.
        leverage: the leverage that will be in force; needed for a quantity in quote currency.
        mark: a recent mark price. Needed for a market order in quote currency; where it is
            None, a market order's notional is left to the exchange to check.

    Raises:
        RequestRefused: which rule was broken, by what, and what would be right.
    """
    if not instrument.tradable:
        raise RequestRefused(
            "NOT_TRADABLE", f"{instrument.symbol} can't be traded at present, only closed"
        )
    price = _limit_price(request, instrument, side)
    quantity = _quantity_on_lot(request, instrument, price, leverage, mark)
    _refuse_below_minimum(request, instrument, quantity)
    most = _most(request.order_type, instrument)
    if most is not None and quantity > most:
        raise RequestRefused(
            "ABOVE_MAX_QUANTITY",
            f"quantity {plain(quantity)} is above the most one {request.order_type} order on "
            f"{instrument.symbol} may have, {plain(most)}",
        )
    _refuse_small_notional(instrument, quantity, price if price is not None else mark)
    take_profit, stop_loss = _protection(request, instrument, side, price)
    return Sized(quantity, price, take_profit, stop_loss)


def size_close(
    request: TradeRequest,
    instrument: Instrument,
    side: Side,
    held: Decimal,
    *,
    leverage: Decimal | None = None,
    mark: Decimal | None = None,
) -> Sized:
    """Work out quantity and price of an order that only reduces a position.

    The request's quantity is the most that may be closed, so the result is the least of it, the
    quantity held, and what one order may carry. The smallest notional is not asked of an order
    that reduces, and neither is a tradable instrument: leaving must stay possible where the
    exchange allows it. Take-profit and stop-loss mean nothing here and are left out.

    Args:
        request: what was asked for.
        instrument: the rules of its symbol.
        side: the side of the book the order goes to (SELL closes a long).
        held: base coins in the position now, above zero.
        leverage: the position's leverage; needed for a quantity in quote currency.
        mark: a mark price; needed for a market order with a quantity in quote currency.

    Raises:
        RequestRefused: which rule was broken, by what, and what would be right.
    """
    price = _limit_price(request, instrument, side)
    asked = _quantity_on_lot(request, instrument, price, leverage, mark)
    quantity = min(asked, floor_to(held, instrument.lot))
    most = _most(request.order_type, instrument)
    if most is not None:
        quantity = min(quantity, floor_to(most, instrument.lot))
    _refuse_below_minimum(request, instrument, quantity)
    return Sized(quantity, price)


def _quantity_on_lot(
    request: TradeRequest,
    instrument: Instrument,
    price: Decimal | None,
    leverage: Decimal | None,
    mark: Decimal | None,
) -> Decimal:
    asked = _readable(request.quantity, "QUANTITY", "quantity")
    if request.quantity_unit is QuantityUnit.BASE:
        return floor_to(asked, instrument.lot)
    if leverage is None:
        raise RequestRefused(
            "LEVERAGE_REQUIRED",
            f"a quantity in quote currency on {instrument.symbol} needs a leverage: give one in "
            "the message, or set trade:default_leverage",
        )
    if price is not None and request.price is not None:
        # The higher of both, so that rounding a buyer's price down never buys more coins.
        reference = max(price, request.price)
    elif mark is not None:
        reference = _readable(mark, "PRICE", "mark price")
    else:
        raise RequestRefused(
            "PRICE_REQUIRED",
            f"a quantity in quote currency on {instrument.symbol} needs a price to be worked out",
        )
    margin = _EXACT.multiply(asked, _readable(leverage, "LEVERAGE", "leverage"))
    lots = _EXACT.divide_int(margin, _EXACT.multiply(reference, instrument.lot))
    return _EXACT.multiply(lots, instrument.lot)


def _limit_price(request: TradeRequest, instrument: Instrument, side: Side) -> Decimal | None:
    if request.order_type is not OrderType.LIMIT:
        return None
    if request.price is None:
        raise RequestRefused(
            "PRICE_REQUIRED", f"a LIMIT order on {instrument.symbol} needs a price"
        )
    asked = _readable(request.price, "PRICE", "price")
    price = _on_tick(asked, instrument, side)
    _refuse_out_of_bounds(price, instrument, "PRICE_OUT_OF_BOUNDS", "price")
    return price


def _on_tick(price: Decimal, instrument: Instrument, side: Side) -> Decimal:
    rounded = floor_to if side is Side.BUY else ceil_to
    offset = instrument.price_offset
    if not offset:
        return rounded(price, instrument.tick)
    if price < offset:
        return price  # below the least price in any case, and refused for it
    return _EXACT.add(rounded(_EXACT.subtract(price, offset), instrument.tick), offset)


def _protection(
    request: TradeRequest, instrument: Instrument, side: Side, reference: Decimal | None
) -> tuple[Decimal | None, Decimal | None]:
    """Take-profit and stop-loss on the tick, each on its side of the limit price and the other.

    Both leave the position, so they are orders of the other side and rounded as such. A market
    order has no price of its own: whether they fit the market is for the exchange to say, which
    knows the price of that moment.
    """
    leaving = Side.SELL if side is Side.BUY else Side.BUY
    values: list[Decimal | None] = []
    for wanted, code, name in (
        (request.take_profit, "INVALID_TAKE_PROFIT", "take-profit"),
        (request.stop_loss, "INVALID_STOP_LOSS", "stop-loss"),
    ):
        if wanted is None:
            values.append(None)
            continue
        trigger = _on_tick(_readable(wanted, code, name), instrument, leaving)
        _refuse_out_of_bounds(trigger, instrument, code, name)
        values.append(trigger)
    take_profit, stop_loss = values
    if take_profit is not None:
        _refuse_wrong_side(take_profit, reference, "INVALID_TAKE_PROFIT", above=side is Side.BUY)
        _refuse_wrong_side(take_profit, stop_loss, "INVALID_TAKE_PROFIT", above=side is Side.BUY)
    if stop_loss is not None:
        _refuse_wrong_side(stop_loss, reference, "INVALID_STOP_LOSS", above=side is Side.SELL)
    return take_profit, stop_loss


def _refuse_wrong_side(trigger: Decimal, other: Decimal | None, code: str, *, above: bool) -> None:
    if other is None or (trigger > other if above else trigger < other):
        return
    name = "take-profit" if code == "INVALID_TAKE_PROFIT" else "stop-loss"
    raise RequestRefused(
        code,
        f"{name} {plain(trigger)} must be {'above' if above else 'below'} {plain(other)} "
        "for this direction",
    )


def _refuse_out_of_bounds(price: Decimal, instrument: Instrument, code: str, name: str) -> None:
    least = instrument.tick if instrument.min_price is None else instrument.min_price
    if price < least:
        raise RequestRefused(
            code,
            f"{name} {plain(price)} is below the least {instrument.symbol} takes, {plain(least)}",
        )
    if instrument.max_price is not None and price > instrument.max_price:
        raise RequestRefused(
            code,
            f"{name} {plain(price)} is above the most {instrument.symbol} takes, "
            f"{plain(instrument.max_price)}",
        )


def _refuse_below_minimum(request: TradeRequest, instrument: Instrument, quantity: Decimal) -> None:
    if quantity >= instrument.min_quantity and quantity > 0:
        return
    raise RequestRefused(
        "BELOW_MIN_QUANTITY",
        f"quantity {plain(request.quantity)} ({request.quantity_unit}) makes "
        f"{plain(quantity)} on {instrument.symbol}; the least is "
        f"{plain(instrument.min_quantity)}, in steps of {plain(instrument.lot)}",
    )


def _refuse_small_notional(
    instrument: Instrument, quantity: Decimal, price: Decimal | None
) -> None:
    if instrument.min_notional is None or price is None:
        return
    notional = _EXACT.multiply(quantity, price)
    if notional < instrument.min_notional:
        raise RequestRefused(
            "BELOW_MIN_NOTIONAL",
            f"{plain(quantity)} {instrument.symbol} at {plain(price)} is worth "
            f"{plain(notional)}; the least is {plain(instrument.min_notional)}",
        )


def _most(order_type: OrderType, instrument: Instrument) -> Decimal | None:
    if order_type is OrderType.MARKET and instrument.max_market_quantity is not None:
        return instrument.max_market_quantity
    return instrument.max_quantity


def _readable(value: Decimal, subject: str, name: str) -> Decimal:
    """Let in only what the exact context can carry: finite, above zero, of sane length."""
    code = subject if subject.startswith("INVALID_") else f"INVALID_{subject}"
    if not value.is_finite() or value <= 0:
        raise RequestRefused(code, f"{name} {value} must be a number greater than zero")
    exponent = value.as_tuple().exponent
    if (
        value.adjusted() >= _MOST_DIGITS
        or not isinstance(exponent, int)
        or (exponent < -_MOST_DIGITS)
    ):
        raise RequestRefused(
            code, f"{name} {value} has more than {_MOST_DIGITS} digits on one side of its point"
        )
    return value
