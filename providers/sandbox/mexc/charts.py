"""MEXC's public endpoints for charts: candles, order book, deals, funding.

What they show follows from the price path (see `tape.py`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox import tape
from providers.sandbox.mexc import fields, shapes
from providers.sandbox.mexc.fields import bad, whole

if TYPE_CHECKING:
    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.wire import Call

_SECOND_MS: Final = 1000
_MINUTE_MS: Final = 60 * _SECOND_MS
_FAR: Final = 2**43
_MOST: Final = 2000
INTERVALS: Final = {
    **{f"Min{minutes}": minutes * _MINUTE_MS for minutes in (1, 5, 15, 30, 60)},
    "Hour4": 240 * _MINUTE_MS,
    "Hour8": 480 * _MINUTE_MS,
    "Day1": tape.DAY_MS,
    "Week1": 7 * tape.DAY_MS,
    "Month1": 30 * tape.DAY_MS,
}
_MAKER: Final = 2
_ISOLATED_FILL: Final = 3


def depth(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """The book: price, contracts and number of orders a row, best first."""
    item = fields.contract(call.params)
    levels = whole(call.params, "limit", 20, (1, 1000))
    instrument = item.instrument
    last = desk.engine.market.last(instrument.symbol, now_ms)
    bids, asks = tape.book(instrument, last, levels)
    return {
        "asks": [[row.price, item.vol(row.qty), 1] for row in asks],
        "bids": [[row.price, item.vol(row.qty), 1] for row in bids],
        "version": now_ms // tape.PRINT_MS,
        "timestamp": now_ms,
    }


def deals(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Public trades, latest first."""
    item = fields.contract(call.params)
    most = whole(call.params, "limit", 100, (1, 100))
    return [
        {
            "p": row.price,
            "v": item.vol(row.qty),
            "T": 1 if row.buy else 2,
            "O": _ISOLATED_FILL,
            "M": _MAKER,
            "t": row.at_ms,
        }
        for row in tape.prints(desk.engine.market, item.instrument.symbol, most, now_ms)
    ]


def kline(desk: Desk, call: Call, now_ms: int) -> dict[str, list[Any]]:
    """Candles of last prices, oldest first, a list a figure; instants in seconds."""
    return _candles(desk, call, now_ms, mark=False)


def mark_kline(desk: Desk, call: Call, now_ms: int) -> dict[str, list[Any]]:
    """Candles of fair prices, which have no volume; the index is the fair price here."""
    return _candles(desk, call, now_ms, mark=True)


def funding_rate(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """The present funding rate."""
    del desk
    return {
        "symbol": fields.contract(call.params).name,
        "fundingRate": shapes.FUNDING_RATE,
        "maxFundingRate": Decimal("0.003"),
        "minFundingRate": Decimal("-0.003"),
        "collectCycle": tape.FUNDING_MS // 3_600_000,
        "nextSettleTime": tape.next_funding(now_ms),
        "timestamp": now_ms,
    }


def funding_history(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Funding rates that were settled, latest first, page by page."""
    del desk
    item = fields.contract(call.params)
    page = fields.page(call.params)
    size = page.stop - page.start
    total = 1000
    instants = tape.fundings((0, 0), min(page.stop, total), now_ms)[page]
    return {
        "pageSize": size,
        "totalCount": total,
        "totalPage": -(-total // size),
        "currentPage": page.stop // size,
        "resultList": [
            {
                "symbol": item.name,
                "fundingRate": shapes.FUNDING_RATE,
                "settleTime": instant,
                "collectCycle": tape.FUNDING_MS // 3_600_000,
            }
            for instant in instants
        ],
    }


def _candles(desk: Desk, call: Call, now_ms: int, *, mark: bool) -> dict[str, list[Any]]:
    item = fields.contract(call.params)
    name = fields.text(call.params, "interval") or "Min1"
    length = INTERVALS.get(name)
    if length is None:
        raise bad(f"interval must be one of {', '.join(INTERVALS)}, not {name!r}")
    span = (
        whole(call.params, "start", 0, (0, _FAR)) * _SECOND_MS,
        whole(call.params, "end", 0, (0, _FAR)) * _SECOND_MS,
    )
    symbol = item.instrument.symbol
    rows = tape.candles(desk.engine.market, symbol, length, span, _MOST, now_ms, mark=mark)
    zero = Decimal(0)
    opens, highs = [row.open for row in rows], [row.high for row in rows]
    lows, closes = [row.low for row in rows], [row.close for row in rows]
    return {
        "time": [row.start_ms // _SECOND_MS for row in rows],
        "open": opens,
        "close": closes,
        "high": highs,
        "low": lows,
        "vol": [zero if mark else item.vol(row.volume) for row in rows],
        "amount": [zero if mark else row.turnover for row in rows],
        "realOpen": opens,
        "realClose": closes,
        "realHigh": highs,
        "realLow": lows,
    }
