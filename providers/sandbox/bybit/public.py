"""Bybit's public endpoints: time, instruments, tickers, price limit, system status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.sandbox import tape
from providers.sandbox.bybit import fields, shapes
from providers.sandbox.bybit.fields import bad, number, required, text
from providers.sandbox.checks import price_band
from providers.sandbox.instruments import Instrument, Listing
from providers.sandbox.values import Refusal, Refused

if TYPE_CHECKING:
    from providers.sandbox.engine import Engine
    from providers.sandbox.wire import Call

_LISTINGS = {
    "Trading": Listing.TRADING,
    "PreLaunch": Listing.PRE_LAUNCH,
    "Closed": Listing.CLOSED,
    "Delivering": None,
}


def server_time(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """The venue's clock."""
    del engine
    shown = now_ms + call.skew_ms
    return {"timeSecond": str(shown // 1000), "timeNano": str(shown * 1_000_000)}


def instruments(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Contracts and their rules; without symbol and status, those that trade."""
    del now_ms
    fields.check_category(call.params)
    symbol, status = text(call.params, "symbol"), text(call.params, "status")
    base = text(call.params, "baseCoin")
    limit = number(call.params, "limit", 500, 1, 1000)
    start = number(call.params, "cursor", 0, 0, 100_000)
    if status and status not in _LISTINGS:
        raise bad(f"status must be one of {', '.join(_LISTINGS)}")
    if symbol:
        rows = [listed(engine, symbol)]
    else:
        wanted = _LISTINGS[status or "Trading"]
        rows = [
            item
            for item in engine.market.instruments.values()
            if item.listing is wanted and base in ("", item.base)
        ]
    more = start + limit < len(rows)
    return {
        "category": "linear",
        "list": [shapes.instrument(item) for item in rows[start : start + limit]],
        "nextPageCursor": str(start + limit) if more else "",
    }


def tickers(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Prices of one contract, or of all that trade."""
    fields.check_category(call.params)
    symbol = text(call.params, "symbol")
    rows = (
        [listed(engine, symbol)]
        if symbol
        else [i for i in engine.market.instruments.values() if i.listing is Listing.TRADING]
    )
    return {
        "category": "linear",
        "list": [
            shapes.ticker(
                item,
                engine.market.prices(item.symbol, now_ms),
                tape.day(engine.market, item.symbol, now_ms),
                now_ms,
            )
            for item in rows
        ],
    }


def price_limit(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """The highest price a buy and the lowest price a sell may name."""
    symbol = required(call.params, "symbol")
    item = listed(engine, symbol)
    lowest, highest = price_band(item, engine.market.last(symbol, now_ms))
    return {
        "symbol": symbol,
        "buyLmt": f"{highest:f}",
        "sellLmt": f"{lowest:f}",
        "ts": str(now_ms),
    }


def listed(engine: Engine, symbol: str) -> Instrument:
    """The contract of that name, whether it trades or not."""
    item = engine.market.instruments.get(symbol)
    if item is None:
        raise Refused(Refusal.UNKNOWN_SYMBOL, f"no contract named {symbol!r} is listed here")
    return item
