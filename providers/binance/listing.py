"""Binance's listing: from `exchangeInfo` and `leverageBracket` to instruments. Pure.

Source: Binance API docs, USDⓈ-M futures, pages "Exchange Information", "Notional and Leverage
Brackets" and the filters in "Common Definition".
"""

from __future__ import annotations

from decimal import Decimal
from math import lcm
from typing import TYPE_CHECKING

from providers.binance.wire import SETTLE_COIN
from providers.fields import (
    MalformedReply,
    Row,
    decimal,
    optional_decimal,
    optional_positive,
    positive,
    rows,
    text,
    whole,
)
from providers.orders import Instrument
from providers.sizing import floor_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Where the brackets can't be read; Binance offers no more on any symbol and refuses what is too
# much for one.
MOST_LEVERAGE = 125
_MOST_DECIMALS = 30  # far beyond any step; keeps a nonsensical one from becoming a huge number


def instruments(
    items: Iterable[Row], leverages: Mapping[str, int]
) -> tuple[dict[str, Instrument], list[str]]:
    """The USDT perpetuals among symbols, and what was wrong with unreadable ones.

    Args:
        items: the symbols of `exchangeInfo`.
        leverages: the most leverage by symbol, as far as it is known.
    """
    listed: dict[str, Instrument] = {}
    unreadable = []
    for item in items:
        try:
            found = instrument(item, leverages)
        except MalformedReply as error:
            unreadable.append(f"{item.get('symbol')}: {error}")
            continue
        if found is not None:
            listed[found.symbol] = found
    return listed, unreadable


def instrument(source: Row, leverages: Mapping[str, int]) -> Instrument | None:
    """One instrument; None for anything but a USDT perpetual.

    Prices are multiples of the tick counted from the least price. Market orders have filters of
    their own: where their step or least quantity differs, the instrument has what satisfies both
    (a step of zero means that there is none). How far a price may be from the mark price is left
    to the exchange.
    """
    quote = source.get("quoteAsset")
    if source.get("contractType") != "PERPETUAL" or quote != SETTLE_COIN:
        return None
    if source.get("marginAsset", quote) != SETTLE_COIN:
        return None
    symbol = text(source, "symbol")
    filters = {item.get("filterType"): item for item in rows(source, "filters")}
    prices = _filter(filters, "PRICE_FILTER")
    lots = _filter(filters, "LOT_SIZE")
    market_lots = filters.get("MARKET_LOT_SIZE", lots)
    notional = filters.get("MIN_NOTIONAL", {})
    tick = positive(prices, "tickSize")
    least_price = optional_decimal(prices, "minPrice") or Decimal(0)
    if least_price < 0:
        raise MalformedReply(f"minPrice is {least_price}, below zero")
    lot = positive(lots, "stepSize")
    market_lot = optional_positive(market_lots, "stepSize")
    return Instrument(
        symbol=symbol,
        venue_symbol=symbol,
        tradable=source.get("status") == "TRADING",
        tick=tick,
        lot=lot if market_lot is None else _common_multiple(lot, market_lot),
        min_quantity=max(decimal(lots, "minQty"), decimal(market_lots, "minQty")),
        max_quantity=optional_positive(lots, "maxQty"),
        max_market_quantity=optional_positive(market_lots, "maxQty"),
        min_notional=optional_positive(notional, "notional"),
        min_price=least_price or None,
        max_price=optional_positive(prices, "maxPrice"),
        min_leverage=1,
        max_leverage=leverages.get(symbol, MOST_LEVERAGE),
        price_offset=least_price - floor_to(least_price, tick),
    )


def most_leverages(items: Iterable[Row]) -> dict[str, int]:
    """The most leverage of each symbol, from its brackets; what can't be read is left out."""
    found = {}
    for item in items:
        try:
            brackets = rows(item, "brackets")
            most = max((whole(one, "initialLeverage") for one in brackets), default=0)
            if most >= 1:
                found[text(item, "symbol")] = most
        except MalformedReply:
            continue
    return found


def _filter(filters: Mapping[object, Row], name: str) -> Row:
    found = filters.get(name)
    if found is None:
        raise MalformedReply(f"the filter {name} is missing")
    return found


def _common_multiple(left: Decimal, right: Decimal) -> Decimal:
    """The least step that is a multiple of both."""
    if left == right:
        return left
    scale = 0
    for step in (left, right):
        exponent = step.as_tuple().exponent
        if not isinstance(exponent, int) or abs(exponent) > _MOST_DECIMALS:
            raise MalformedReply(f"stepSize is {step:.3E}, which is no sane step")
        scale = max(scale, -exponent)
    whole_left, whole_right = (int(step.scaleb(scale)) for step in (left, right))
    return Decimal(lcm(whole_left, whole_right)).scaleb(-scale)
