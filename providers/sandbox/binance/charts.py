"""Binance's public endpoints for charts: candles, order book, trades, a day's figures, funding.

What they show follows from the price path (see `tape.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox import tape
from providers.sandbox.binance import fields, shapes
from providers.sandbox.binance.codes import BinanceError, Code
from providers.sandbox.instruments import Instrument, Listing

if TYPE_CHECKING:
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.wire import Call

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
INTERVALS: Final = {
    **{f"{minutes}m": minutes * _MINUTE_MS for minutes in (1, 3, 5, 15, 30)},
    **{f"{hours}h": hours * _HOUR_MS for hours in (1, 2, 4, 6, 8, 12)},
    "1d": tape.DAY_MS,
    "3d": 3 * tape.DAY_MS,
    "1w": 7 * tape.DAY_MS,
    "1M": 30 * tape.DAY_MS,
}
_LEVELS: Final = (5, 10, 20, 50, 100, 500, 1000)
_Rows = list[Any]


def depth(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """The book: bids and asks, best first."""
    item = fields.contract(desk.engine.market, call.params)
    levels = fields.number(call.params, "limit", 500, 1, _LEVELS[-1])
    if levels not in _LEVELS:
        raise BinanceError(Code.DEPTH, text=f"{levels} is not valid depth limit.")
    bids, asks = tape.book(item, desk.engine.market.last(item.symbol, now_ms), levels)
    return {
        "lastUpdateId": now_ms // tape.PRINT_MS,
        "E": now_ms,
        "T": now_ms,
        "bids": [[f"{row.price:f}", f"{row.qty:f}"] for row in bids],
        "asks": [[f"{row.price:f}", f"{row.qty:f}"] for row in asks],
    }


def trades(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """Public trades, oldest first."""
    return [
        {
            "id": row.number,
            "price": f"{row.price:f}",
            "qty": f"{row.qty:f}",
            "quoteQty": shapes.plain(row.price * row.qty),
            "time": row.at_ms,
            "isBuyerMaker": not row.buy,
            "isRPITrade": False,
        }
        for row in _prints(desk, call, now_ms)
    ]


def aggregated(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """Public trades joined by taker order, which is one trade each here; oldest first."""
    return [
        {
            "a": row.number,
            "p": f"{row.price:f}",
            "q": f"{row.qty:f}",
            "nq": f"{row.qty:f}",
            "f": row.number,
            "l": row.number,
            "T": row.at_ms,
            "m": not row.buy,
        }
        for row in _prints(desk, call, now_ms)
    ]


def klines(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """Candles of last prices, oldest first."""
    return _candles(desk, call, now_ms, mark=False)


def mark_klines(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """Candles of mark prices, whose volumes are zero; the index is the mark here."""
    return _candles(desk, call, now_ms, mark=True)


def day(desk: Desk, call: Call, now_ms: int) -> Any:  # noqa: ANN401 - object or list
    """The figures of the last 24 hours of a symbol, or of all that trade."""
    market = desk.engine.market
    if "symbol" in call.params:
        return _day(desk, fields.contract(market, call.params), now_ms)
    rows = market.instruments.values()
    return [_day(desk, item, now_ms) for item in rows if item.listing is Listing.TRADING]


def funding_rate(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """Funding rates that were settled, oldest first."""
    market = desk.engine.market
    most = fields.number(call.params, "limit", 100, 1, 1000)
    named = "symbol" in call.params
    items = [fields.contract(market, call.params)] if named else market.instruments.values()
    span = (fields.number(call.params, "startTime", 0), fields.number(call.params, "endTime", 0))
    return [
        {
            "symbol": item.symbol,
            "fundingTime": instant,
            "fundingRate": shapes.FUNDING_RATE,
            "markPrice": shapes.money(market.mark(item.symbol, instant)),
        }
        for item in items
        for instant in reversed(tape.fundings(span, most if named else 1, now_ms))
    ]


def funding_info(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """The contracts whose funding differs from the rule: none."""
    del desk, call, now_ms
    return []


def open_interest(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Open interest; made up, and it stands still."""
    item = fields.contract(desk.engine.market, call.params)
    return {"openInterest": f"{item.max_qty:f}", "symbol": item.symbol, "time": now_ms}


def _prints(desk: Desk, call: Call, now_ms: int) -> list[tape.Print]:
    symbol = fields.contract(desk.engine.market, call.params).symbol
    most = fields.number(call.params, "limit", 500, 1, 1000)
    return tape.prints(desk.engine.market, symbol, most, now_ms)[::-1]


def _candles(desk: Desk, call: Call, now_ms: int, *, mark: bool) -> _Rows:
    params = dict(call.params)
    if "pair" in params:
        params["symbol"] = params["pair"]
    item = fields.contract(desk.engine.market, params)
    rows = tape.candles(
        desk.engine.market,
        item.symbol,
        fields.choice(params, "interval", INTERVALS, Code.INTERVAL),
        (fields.number(params, "startTime", 0), fields.number(params, "endTime", 0)),
        fields.number(params, "limit", 500, 1, 1500),
        now_ms,
        mark=mark,
    )
    figures: _Rows = []
    for row in rows:
        volume, turnover = ("0", "0") if mark else (f"{row.volume:f}", shapes.plain(row.turnover))
        figures.append(
            [
                row.start_ms,
                *(f"{price:f}" for price in row[2:6]),
                volume,
                row.end_ms - 1,
                turnover,
                row.trades,
                volume,
                turnover,
                "0",
            ]
        )
    return figures


def _day(desk: Desk, item: Instrument, now_ms: int) -> dict[str, Any]:
    row = tape.day(desk.engine.market, item.symbol, now_ms)
    last = tape.prints(desk.engine.market, item.symbol, 1, now_ms)[0]
    change = row.close - row.open
    return {
        "symbol": item.symbol,
        "priceChange": f"{change:f}",
        "priceChangePercent": f"{change / row.open * 100:.3f}",
        "weightedAvgPrice": f"{row.turnover / row.volume:f}",
        "lastPrice": f"{row.close:f}",
        "lastQty": f"{last.qty:f}",
        "openPrice": f"{row.open:f}",
        "highPrice": f"{row.high:f}",
        "lowPrice": f"{row.low:f}",
        "volume": f"{row.volume:f}",
        "quoteVolume": shapes.plain(row.turnover),
        "openTime": row.start_ms,
        "closeTime": row.end_ms,
        "firstId": last.number - row.trades,
        "lastId": last.number,
        "count": row.trades,
    }
