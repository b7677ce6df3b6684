"""What Binance's public streams say as prices move: mark price, tickers, book, trades, candles.

All of it is said again when the price grid has moved on, and only if it is another than before;
mark prices every three seconds, or every second where the stream's name asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from providers.sandbox import tape
from providers.sandbox.binance import charts, shapes
from providers.sandbox.instruments import Instrument, Listing
from providers.sandbox.market import GRID_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.sandbox.binance.desk import Desk

_DEPTH: Final = 20
_FAST_MS: Final = 1000
_SLOW_MS: Final = 3000
_KINDS: Final = ("markPrice", "bookTicker", "ticker", "miniTicker", "aggTrade", "trade")


class _Name(NamedTuple):
    kind: str
    symbols: tuple[str, ...]
    detail: str
    listed: bool


@dataclass(slots=True)
class Ticker:
    """What one connection has been told.

    Args:
        desk: the market behind it.
    """

    desk: Desk
    _grid: int = 0
    _said: dict[str, Any] = field(default_factory=dict)
    _next_ms: dict[str, int] = field(default_factory=dict)

    def next(self, names: Iterable[str], now_ms: int) -> list[tuple[str, Any, str]]:
        """What is new since the last time: stream, event, symbol."""
        grid = now_ms // GRID_MS
        if grid == self._grid:
            return []
        self._grid = grid
        news = []
        for stream in names:
            name = self._read(stream)
            if name is None or now_ms < self._next_ms.get(stream, 0):
                continue
            rows = [self._row(name, symbol, now_ms) for symbol in name.symbols]
            if self._said.get(stream) == rows:
                continue
            self._said[stream] = rows
            if name.kind == "markPrice":
                self._next_ms[stream] = now_ms + (_FAST_MS if stream.endswith("@1s") else _SLOW_MS)
            told = [{"e": row["e"], "E": now_ms, **row} for row in rows]
            news.append((stream, told if name.listed else told[0], rows[0]["s"]))
        return news

    def _read(self, stream: str) -> _Name | None:
        head, _, tail = stream.partition("@")
        kind, _, detail = tail.partition("_") if tail.startswith("kline") else (tail, "", "")
        kind = kind.partition("@")[0]
        instruments = self.desk.engine.market.instruments
        if head.startswith("!"):
            trading = (i for i in instruments.values() if i.listing is Listing.TRADING)
            every = tuple(item.symbol for item in trading)
            return _Name(head[1:], every, "", True) if head[1:] in _KINDS else None
        symbol = head.upper()
        if symbol not in instruments:
            return None
        if kind == "kline":
            return _Name(kind, (symbol,), detail, False) if detail in charts.INTERVALS else None
        known = kind in _KINDS or kind.startswith("depth")
        return _Name(kind, (symbol,), "", False) if known else None

    def _row(self, name: _Name, symbol: str, now_ms: int) -> dict[str, Any]:
        item = self.desk.engine.market.instruments[symbol]
        match name.kind:
            case "markPrice":
                return self._mark(item, now_ms)
            case "bookTicker":
                return self._book_ticker(item, now_ms)
            case "ticker" | "miniTicker":
                return self._day(item, now_ms, whole=name.kind == "ticker")
            case "aggTrade" | "trade":
                return self._trade(item, now_ms, joined=name.kind == "aggTrade")
            case "kline":
                return self._candle(item, name.detail, now_ms)
            case _:
                return self._depth(item, now_ms)

    def _mark(self, item: Instrument, now_ms: int) -> dict[str, Any]:
        prices = self.desk.engine.market.prices(item.symbol, now_ms)
        row = shapes.premium(item, prices, now_ms)
        return {
            "e": "markPriceUpdate",
            "s": item.symbol,
            "p": row["markPrice"],
            "i": row["indexPrice"],
            "P": row["estimatedSettlePrice"],
            "r": row["lastFundingRate"],
            "T": row["nextFundingTime"],
        }

    def _book_ticker(self, item: Instrument, now_ms: int) -> dict[str, Any]:
        prices = self.desk.engine.market.prices(item.symbol, now_ms)
        row = shapes.book_ticker(item, prices, now_ms)
        at_ms = now_ms // GRID_MS * GRID_MS
        shown = {"b": row["bidPrice"], "B": row["bidQty"], "a": row["askPrice"], "A": row["askQty"]}
        return {"e": "bookTicker", "u": now_ms // GRID_MS, "s": item.symbol, **shown, "T": at_ms}

    def _day(self, item: Instrument, now_ms: int, *, whole: bool) -> dict[str, Any]:
        last = self.desk.engine.market.last(item.symbol, now_ms)
        day = tape.day(self.desk.engine.market, item.symbol, now_ms)
        row: dict[str, Any] = {
            "e": "24hrTicker" if whole else "24hrMiniTicker",
            "s": item.symbol,
            "c": f"{last:f}",
            "o": f"{day.open:f}",
            "h": f"{max(day.high, last):f}",
            "l": f"{min(day.low, last):f}",
            "v": f"{day.volume:f}",
            "q": shapes.plain(day.turnover),
        }
        if whole:
            row |= {
                "p": f"{last - day.open:f}",
                "P": f"{(last - day.open) / day.open * 100:.3f}",
                "w": f"{last:f}",
                "Q": f"{item.step:f}",
                "O": day.start_ms,
                "C": day.end_ms,
                "F": day.start_ms // tape.PRINT_MS,
                "L": day.end_ms // tape.PRINT_MS,
                "n": day.trades,
            }
        return row

    def _trade(self, item: Instrument, now_ms: int, *, joined: bool) -> dict[str, Any]:
        row = tape.prints(self.desk.engine.market, item.symbol, 1, now_ms)[0]
        ids = {"a": row.number, "f": row.number, "l": row.number} if joined else {"t": row.number}
        return {
            "e": "aggTrade" if joined else "trade",
            "s": item.symbol,
            **ids,
            "p": f"{row.price:f}",
            "q": f"{row.qty:f}",
            "T": row.at_ms,
            "m": not row.buy,
            **({} if joined else {"X": "MARKET"}),
        }

    def _candle(self, item: Instrument, interval: str, now_ms: int) -> dict[str, Any]:
        length_ms = charts.INTERVALS[interval]
        start_ms = now_ms // length_ms * length_ms
        row = tape.candle(self.desk.engine.market, item.symbol, start_ms, length_ms, now_ms)
        half = shapes.plain(row.volume / 2)
        shown = {
            "t": row.start_ms,
            "T": row.end_ms - 1,
            "s": item.symbol,
            "i": interval,
            "f": row.start_ms // tape.PRINT_MS,
            "L": row.start_ms // tape.PRINT_MS + row.trades,
            "o": f"{row.open:f}",
            "c": f"{row.close:f}",
            "h": f"{row.high:f}",
            "l": f"{row.low:f}",
            "v": shapes.plain(row.volume),
            "n": row.trades,
            "x": False,
            "q": shapes.plain(row.turnover),
            "V": half,
            "Q": shapes.plain(row.turnover / 2),
            "B": "0",
        }
        return {"e": "kline", "s": item.symbol, "k": shown}

    def _depth(self, item: Instrument, now_ms: int) -> dict[str, Any]:
        last = self.desk.engine.market.last(item.symbol, now_ms)
        number = now_ms // GRID_MS
        bids, asks = (
            [[f"{level.price:f}", f"{level.qty:f}"] for level in side]
            for side in tape.book(item, last, _DEPTH)
        )
        at_ms = number * GRID_MS
        numbers = {"U": number, "u": number, "pu": number - 1}
        return {"e": "depthUpdate", "T": at_ms, "s": item.symbol, **numbers, "b": bids, "a": asks}
