"""Binance's public endpoints: ping, time, contracts, mark and last prices, best bid and ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.sandbox.binance import fields, shapes
from providers.sandbox.instruments import Instrument, Listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.market import Prices
    from providers.sandbox.wire import Call


def ping(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Nothing."""
    del desk, call, now_ms
    return {}


def server_time(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """The venue's clock."""
    del desk
    return {"serverTime": now_ms + call.skew_ms}


def contracts(desk: Desk) -> list[dict[str, Any]]:
    """The contracts of exchangeInfo, whatever their status; there is no filter by symbol."""
    return [shapes.contract(item) for item in desk.engine.market.instruments.values()]


def premium_index(desk: Desk, call: Call, now_ms: int) -> Any:  # noqa: ANN401 - object or list
    """Mark price of a symbol, or of all."""
    return _each(desk, call, now_ms, lambda item, now: shapes.premium(item, now, now_ms))


def ticker_price(desk: Desk, call: Call, now_ms: int) -> Any:  # noqa: ANN401 - object or list
    """Last price of a symbol, or of all."""
    return _each(
        desk,
        call,
        now_ms,
        lambda item, now: {"symbol": item.symbol, "price": f"{now.last:f}", "time": now_ms},
    )


def book_ticker(desk: Desk, call: Call, now_ms: int) -> Any:  # noqa: ANN401 - object or list
    """Best bid and ask of a symbol, or of all."""
    return _each(desk, call, now_ms, lambda item, now: shapes.book_ticker(item, now, now_ms))


def _each(
    desk: Desk,
    call: Call,
    now_ms: int,
    row: Callable[[Instrument, Prices], dict[str, Any]],
) -> Any:  # noqa: ANN401 - one row, or the rows of all contracts that trade
    market = desk.engine.market
    if "symbol" in call.params:
        item = fields.contract(market, call.params)
        return row(item, market.prices(item.symbol, now_ms))
    return [
        row(item, market.prices(item.symbol, now_ms))
        for item in market.instruments.values()
        if item.listing is Listing.TRADING
    ]
