"""Whether an order may be accepted: filters, legs, reduce-only, margin. Pure rules over values.

Each rule raises `Refused` with its reason. The order of the rules is the order in which the answers
would matter to a customer: the contract, the numbers, the position, then the money.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from providers.sandbox.instruments import Instrument, Listing
from providers.sandbox.values import (
    ZERO,
    Leg,
    NewOrder,
    OrderKind,
    PositionMode,
    Protection,
    Refusal,
    Refused,
    Side,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_ONE: Final = Decimal(1)


class Accepted(NamedTuple):
    """What acceptance settled.

    Attributes:
        qty: quantity in force, after reduce-only trimming.
        limit: the worst price the order may trade at.
        closing: whether it can only reduce a position.
        opening_qty: the part that would enlarge or open a position.
        value: notional of `opening_qty` at the price used for margin.
    """

    qty: Decimal
    limit: Decimal
    closing: bool
    opening_qty: Decimal
    value: Decimal


def find_instrument(instruments: Mapping[str, Instrument], symbol: str) -> Instrument:
    """The listed and tradable contract of that name.

    Raises:
        Refused: `UNKNOWN_SYMBOL` or `NOT_TRADING`.
    """
    instrument = instruments.get(symbol)
    if instrument is None:
        raise Refused(Refusal.UNKNOWN_SYMBOL, f"no contract named {symbol!r} is listed here")
    if instrument.listing is not Listing.TRADING:
        raise Refused(Refusal.NOT_TRADING, f"{symbol} is {instrument.listing}, not trading")
    return instrument


def check_order(
    new: NewOrder,
    instrument: Instrument,
    *,
    mode: PositionMode,
    size: Decimal,
    last: Decimal,
    trims_closes: bool,
) -> Accepted:
    """Apply every rule but margin and duplicate ids.

    Args:
        new: the order asked for.
        instrument: its contract, already known to trade.
        mode: position mode in force for the symbol.
        size: signed size of the order's leg.
        last: last price.
        trims_closes: a reduce-only order larger than the position is cut to it (else refused).

    Raises:
        Refused: with the first rule that says no.
    """
    if (new.leg is Leg.NET) is not (mode is PositionMode.ONE_WAY):
        raise Refused(
            Refusal.LEG_MISMATCH, f"the position mode is {mode}, the order names leg {new.leg}"
        )
    limit = limit_price(new, instrument, last)
    _check_protection_side(new, last)
    opens = new.leg is Leg.NET or (new.leg is Leg.LONG) is (new.side is Side.BUY)
    closing = new.reduce_only or new.close_whole or not opens
    qty = new.qty
    if closing:
        qty = _closing_qty(new, instrument, size, trims_closes=trims_closes)
    else:
        check_qty(new.qty, new.kind, instrument)
        reference = new.price if new.price is not None else last
        if qty * reference < instrument.min_notional:
            raise Refused(
                Refusal.NOTIONAL_BELOW_MIN,
                f"{qty} x {reference} is below the smallest order value {instrument.min_notional}",
            )
    opening = ZERO if closing else _opening_qty(qty, new.side, size)
    reference = new.price if new.price is not None else last
    return Accepted(qty, limit, closing, opening, opening * reference)


def check_qty(qty: Decimal, kind: OrderKind, instrument: Instrument) -> None:
    """Step, minimum and maximum of a quantity that opens.

    Raises:
        Refused: with the rule that says no.
    """
    _check_step(qty, instrument)
    if qty < instrument.min_qty:
        raise Refused(Refusal.QTY_BELOW_MIN, f"qty {qty} is below the minimum {instrument.min_qty}")
    largest = instrument.max_market_qty if kind is OrderKind.MARKET else instrument.max_qty
    if qty > largest:
        raise Refused(
            Refusal.QTY_ABOVE_MAX, f"qty {qty} is above the {kind} order maximum {largest}"
        )


def limit_price(new: NewOrder, instrument: Instrument, last: Decimal) -> Decimal:
    """The worst price an order may trade at; a market order gets its protection band.

    Raises:
        Refused: for a limit price off the tick, out of bounds or outside the band.
    """
    if new.kind is OrderKind.MARKET:
        edge = last * (_ONE + instrument.band * new.side.sign)
        return _on_tick(edge, instrument.tick)
    price = new.price
    if price is None:
        raise Refused(Refusal.PRICE_MISSING, "a limit order needs a price")
    check_price(price, new.side, instrument, last)
    return price


def check_price(price: Decimal, side: Side, instrument: Instrument, last: Decimal) -> None:
    """Tick, bounds and band of a limit price.

    Raises:
        Refused: with the rule that says no.
    """
    if price <= 0 or price % instrument.tick:
        raise Refused(
            Refusal.PRICE_TICK, f"price {price} is no positive multiple of tick {instrument.tick}"
        )
    if not instrument.min_price <= price <= instrument.max_price:
        raise Refused(
            Refusal.PRICE_BOUNDS,
            f"price {price} is outside {instrument.min_price}..{instrument.max_price}",
        )
    lowest, highest = price_band(instrument, last)
    if (side is Side.BUY and price > highest) or (side is Side.SELL and price < lowest):
        raise Refused(
            Refusal.PRICE_BAND,
            f"price {price}: a buy may not be above {highest}, a sell not below {lowest}",
        )


def price_band(instrument: Instrument, last: Decimal) -> tuple[Decimal, Decimal]:
    """Lowest price of a sell and highest price of a buy at the moment."""
    return (
        _on_tick(last * (_ONE - instrument.band), instrument.tick),
        _on_tick(last * (_ONE + instrument.band), instrument.tick),
    )


def check_protection(protection: Protection, *, long: bool, base: Decimal) -> None:
    """Take profit beyond `base` and stop loss before it, as seen from the position's side.

    Raises:
        Refused: `PROTECTION_ILLEGAL`.
    """
    gain, loss = protection.take_profit, protection.stop_loss
    if gain is not None and (gain <= base if long else gain >= base):
        raise Refused(
            Refusal.PROTECTION_ILLEGAL,
            f"take profit {gain} must be {'above' if long else 'below'} the base price {base}",
        )
    if loss is not None and (loss >= base if long else loss <= base):
        raise Refused(
            Refusal.PROTECTION_ILLEGAL,
            f"stop loss {loss} must be {'below' if long else 'above'} the base price {base}",
        )


def _check_protection_side(new: NewOrder, last: Decimal) -> None:
    if not new.protection:
        return
    if new.reduce_only or new.close_whole:
        raise Refused(
            Refusal.PROTECTION_ILLEGAL, "a reduce-only order takes no take profit or stop loss"
        )
    base = new.price if new.price is not None else last
    check_protection(new.protection, long=new.side is Side.BUY, base=base)


def _closing_qty(
    new: NewOrder, instrument: Instrument, size: Decimal, *, trims_closes: bool
) -> Decimal:
    """The quantity a reducing order keeps.

    Minimum notional does not bind it, and neither does the largest order size: a venue splits it.
    """
    held = abs(size)
    against = size > 0 if new.side is Side.SELL else size < 0
    if not against:
        raise Refused(
            Refusal.NOTHING_TO_REDUCE,
            f"the position on {instrument.symbol} is {size}: a {new.side} reduces nothing",
        )
    if new.close_whole and not new.qty:
        return min(held, instrument.max_market_qty)
    _check_step(new.qty, instrument)
    if new.qty > held and not trims_closes:
        raise Refused(
            Refusal.CLOSE_TOO_LARGE, f"qty {new.qty} is more than the position {held} holds"
        )
    return min(new.qty, held)


def _check_step(qty: Decimal, instrument: Instrument) -> None:
    if qty <= 0:
        raise Refused(Refusal.QTY_ZERO, f"qty {qty} must be above zero")
    if qty % instrument.step:
        raise Refused(
            Refusal.QTY_STEP, f"qty {qty} is no multiple of the quantity step {instrument.step}"
        )


def _opening_qty(qty: Decimal, side: Side, size: Decimal) -> Decimal:
    if size * side.sign >= 0:
        return qty
    return max(qty - abs(size), ZERO)


def _on_tick(price: Decimal, tick: Decimal) -> Decimal:
    steps = (price / tick).to_integral_value(rounding=ROUND_DOWN)
    return max((steps * tick).quantize(tick), tick)
