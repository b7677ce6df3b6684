"""How an order meets the price: which parts trade now, and what becomes of the rest. Pure.

The market has one price and no depth. An order trades whole when its limit allows the last price,
unless a fault takes only a share. A fill split into several executions worsens by one tick each,
never beyond the order's limit.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from providers.sandbox.values import ZERO, EndCause, Order, Side, TimeInForce

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.instruments import Instrument


class Part(NamedTuple):
    """One execution to be booked."""

    qty: Decimal
    price: Decimal


class Rest(StrEnum):
    """What becomes of the quantity that no part takes."""

    NONE = "none"
    RESTS = "rests"
    CANCELED = "canceled"


class Match(NamedTuple):
    """The outcome of one meeting."""

    parts: tuple[Part, ...]
    maker: bool
    rest: Rest
    cause: EndCause = EndCause.NONE


def crosses(side: Side, limit: Decimal, last: Decimal) -> bool:
    """Whether an order with this limit can trade at `last`."""
    return last <= limit if side is Side.BUY else last >= limit


def meet(order: Order, instrument: Instrument, last: Decimal, *, splits: int) -> Match:
    """Match an order that arrives, or one that rests, with the last price.

    Args:
        order: what is left of it counts; `in_book` says that it rests.
        instrument: its tick and step.
        last: the price of the moment.
        splits: number of executions to make of what trades, at least one.
    """
    leaves = order.qty - order.filled
    if not crosses(order.side, order.limit, last):
        if order.in_book or order.time_in_force in (TimeInForce.GTC, TimeInForce.POST_ONLY):
            return Match((), False, Rest.RESTS)
        return Match((), False, Rest.CANCELED, EndCause.NO_LIQUIDITY)
    if order.in_book:
        return Match((Part(leaves, order.limit),), True, Rest.NONE)
    if order.time_in_force is TimeInForce.POST_ONLY:
        return Match((), False, Rest.CANCELED, EndCause.POST_ONLY_WOULD_TAKE)
    share = order.treatment.take_fraction
    taken = leaves if share is None else _floor(order.qty * share, instrument.step) - order.filled
    if taken < leaves and order.time_in_force is TimeInForce.FOK:
        taken = ZERO
    parts = _split(order, max(taken, ZERO), instrument, last, splits)
    if taken < leaves:
        return Match(parts, False, Rest.CANCELED, EndCause.NO_LIQUIDITY)
    return Match(parts, False, Rest.NONE)


def _split(
    order: Order, qty: Decimal, instrument: Instrument, last: Decimal, splits: int
) -> tuple[Part, ...]:
    if not qty:
        return ()
    done = len(order.fills)
    each = _floor(qty / splits, instrument.step) if splits > 1 else ZERO
    if not each:
        return (Part(qty, _worse(order, last, instrument.tick * done)),)
    sizes = [each] * (splits - 1)
    sizes.append(qty - each * (splits - 1))
    return tuple(
        Part(size, _worse(order, last, instrument.tick * (done + index)))
        for index, size in enumerate(sizes)
    )


def _worse(order: Order, last: Decimal, distance: Decimal) -> Decimal:
    if order.side is Side.BUY:
        return min(last + distance, order.limit)
    return max(last - distance, order.limit)


def _floor(value: Decimal, step: Decimal) -> Decimal:
    return value // step * step
