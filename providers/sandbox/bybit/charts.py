"""Bybit's public endpoints for charts: candles, order book, public trades, funding, open interest.

What they show follows from the price path (see `tape.py`). Other categories than linear are known
to Bybit but not listed here: where a list is asked for, it is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox import tape
from providers.sandbox.bybit import fields, shapes
from providers.sandbox.bybit.fields import number, required, text
from providers.sandbox.bybit.public import listed

if TYPE_CHECKING:
    from providers.sandbox.engine import Engine
    from providers.sandbox.wire import Call

_FAR: Final = 2**53
_MINUTE_MS: Final = 60_000
INTERVALS: Final = {
    **{str(minutes): minutes * _MINUTE_MS for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": tape.DAY_MS,
    "W": 7 * tape.DAY_MS,
    "M": 30 * tape.DAY_MS,
}
_OPEN_INTEREST_MS: Final = {
    "5min": 5 * _MINUTE_MS,
    "15min": 15 * _MINUTE_MS,
    "30min": 30 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
    "4h": 240 * _MINUTE_MS,
    "1d": tape.DAY_MS,
}


def kline(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Candles of last prices, latest first: start, open, high, low, close, volume, turnover."""
    return _candles(engine, call, now_ms, mark=False)


def mark_kline(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Candles of mark prices, which have no volume; the index is the mark here."""
    return _candles(engine, call, now_ms, mark=True)


def orderbook(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """The book: bids and asks, best first."""
    fields.check_category(call.params)
    item = listed(engine, required(call.params, "symbol"))
    levels = number(call.params, "limit", 25, 1, 1000)
    bids, asks = tape.book(item, engine.market.last(item.symbol, now_ms), levels)
    update = now_ms // tape.PRINT_MS
    return {
        "s": item.symbol,
        "b": [[f"{row.price:f}", f"{row.qty:f}"] for row in bids],
        "a": [[f"{row.price:f}", f"{row.qty:f}"] for row in asks],
        "ts": now_ms,
        "u": update,
        "seq": update,
        "cts": now_ms,
    }


def recent_trade(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Public trades, latest first."""
    fields.check_category(call.params)
    item = listed(engine, required(call.params, "symbol"))
    most = number(call.params, "limit", 500, 1, 1000)
    return {
        "category": "linear",
        "list": [
            {
                "execId": f"{item.symbol}-{row.number}",
                "symbol": item.symbol,
                "price": f"{row.price:f}",
                "size": f"{row.qty:f}",
                "side": "Buy" if row.buy else "Sell",
                "time": str(row.at_ms),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(row.number),
            }
            for row in tape.prints(engine.market, item.symbol, most, now_ms)
        ],
    }


def funding_history(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Funding rates that were settled, latest first."""
    fields.check_category(call.params)
    item = listed(engine, required(call.params, "symbol"))
    most = number(call.params, "limit", 200, 1, 200)
    return {
        "category": "linear",
        "list": [
            {
                "symbol": item.symbol,
                "fundingRate": shapes.FUNDING_RATE,
                "fundingRateTimestamp": str(instant),
            }
            for instant in tape.fundings(_span(call, "startTime", "endTime"), most, now_ms)
        ],
    }


def open_interest(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Open interest, latest first; it stands still here."""
    fields.check_category(call.params)
    item = listed(engine, required(call.params, "symbol"))
    length = fields.choice(call.params, "intervalTime", _OPEN_INTEREST_MS)
    most = number(call.params, "limit", 50, 1, 200)
    newest = now_ms // length
    return {
        "symbol": item.symbol,
        "category": "linear",
        "list": [
            {"openInterest": shapes.open_interest(item), "timestamp": str(step * length)}
            for step in range(newest, newest - most, -1)
        ],
        "nextPageCursor": "",
    }


def risk_limit(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Risk limits: one tier a contract."""
    del now_ms
    fields.check_category(call.params)
    symbol = text(call.params, "symbol")
    rows = [listed(engine, symbol)] if symbol else engine.market.instruments.values()
    return {
        "category": "linear",
        "list": [
            {
                "id": 1,
                "symbol": item.symbol,
                "riskLimitValue": "2000000",
                "maintenanceMargin": "0.005",
                "initialMargin": shapes.plain(1 / item.max_leverage),
                "isLowestRisk": 1,
                "maxLeverage": f"{item.max_leverage:.2f}",
                "mmDeduction": "",
            }
            for item in rows
        ],
        "nextPageCursor": "",
    }


def _candles(engine: Engine, call: Call, now_ms: int, *, mark: bool) -> dict[str, Any]:
    fields.check_category(call.params)
    item = listed(engine, required(call.params, "symbol"))
    rows = tape.candles(
        engine.market,
        item.symbol,
        fields.choice(call.params, "interval", INTERVALS),
        _span(call, "start", "end"),
        number(call.params, "limit", 200, 1, 1000),
        now_ms,
        mark=mark,
    )
    figures = []
    for row in reversed(rows):
        shown = [str(row.start_ms), *(f"{price:f}" for price in row[2:6])]
        figures.append(shown if mark else [*shown, f"{row.volume:f}", shapes.plain(row.turnover)])
    return {"category": "linear", "symbol": item.symbol, "list": figures}


def _span(call: Call, first: str, last: str) -> tuple[int, int]:
    return number(call.params, first, 0, 0, _FAR), number(call.params, last, 0, 0, _FAR)
