"""MEXC's public endpoints: clock, contracts, prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.sandbox import tape
from providers.sandbox.instruments import Listing
from providers.sandbox.mexc import fields, shapes
from providers.sandbox.mexc.contracts import CONTRACTS, Contract

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.wire import Call

_Row = dict[str, Any]


def ping(desk: Desk, call: Call, now_ms: int) -> int:
    """The venue's clock."""
    del desk
    return now_ms + call.skew_ms


def detail(desk: Desk, call: Call, now_ms: int) -> _Row | list[_Row]:
    """Contracts and their rules: all, or one as an object of its own."""
    del desk, now_ms
    if fields.text(call.params, "symbol"):
        return shapes.contract(fields.contract(call.params))
    return [shapes.contract(item) for item in CONTRACTS]


def ticker(desk: Desk, call: Call, now_ms: int) -> _Row | list[_Row]:
    """Prices of one contract as an object, or of all that trade."""
    market = desk.engine.market

    def row(item: Contract) -> _Row:
        return shapes.ticker(
            item,
            market.prices(item.instrument.symbol, now_ms),
            tape.day(market, item.instrument.symbol, now_ms),
            now_ms,
        )

    if fields.text(call.params, "symbol"):
        return row(fields.contract(call.params))
    return [row(item) for item in CONTRACTS if item.instrument.listing is Listing.TRADING]


def currencies(desk: Desk, call: Call, now_ms: int) -> list[str]:
    """The coins that contracts settle in."""
    del desk, call, now_ms
    return ["USDT"]


def fair_price(desk: Desk, call: Call, now_ms: int) -> _Row:
    """The mark price."""
    name, price = _mark(desk, call, now_ms)
    return {"symbol": name, "fairPrice": price, "timestamp": now_ms}


def index_price(desk: Desk, call: Call, now_ms: int) -> _Row:
    """The index price, the same as the mark here."""
    name, price = _mark(desk, call, now_ms)
    return {"symbol": name, "indexPrice": price, "timestamp": now_ms}


def _mark(desk: Desk, call: Call, now_ms: int) -> tuple[str, Decimal]:
    item = fields.contract(call.params)
    return item.name, desk.engine.market.mark(item.instrument.symbol, now_ms)
