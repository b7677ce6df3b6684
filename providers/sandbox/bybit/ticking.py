"""What Bybit's public stream says as prices move: tickers, trades, books, candles.

All of it is said again when the price grid has moved on, and only if it is another than before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from providers.sandbox import tape
from providers.sandbox.bybit import charts, shapes
from providers.sandbox.market import GRID_MS
from providers.sandbox.streams import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.sandbox.market import Market

_DEPTHS: Final = ("1", "50", "200", "500", "1000")
_LEVELS: Final = 50


class Topic(NamedTuple):
    """A topic taken apart."""

    kind: str
    detail: str
    symbol: str


def read(topic: str, market: Market) -> Topic | None:
    """A topic taken apart, None if there is none such."""
    kind, *rest = topic.split(".")
    symbol = rest[-1] if rest else ""
    detail = rest[0] if len(rest) > 1 else ""
    if symbol not in market.instruments:
        return None
    known = {
        "tickers": detail == "",
        "publicTrade": detail == "",
        "orderbook": detail in _DEPTHS,
        "kline": detail in charts.INTERVALS,
        "liquidation": detail == "",
        "allLiquidation": detail == "",
    }
    return Topic(kind, detail, symbol) if known.get(kind) else None


@dataclass(slots=True)
class Ticker:
    """What one connection has been told.

    Args:
        market: the prices.
    """

    market: Market
    _grid: int = 0
    _number: int = 1
    _said: dict[str, Any] = field(default_factory=dict)

    def first(self, topics: Iterable[str], now_ms: int) -> list[Frame]:
        """The state of what was just subscribed to."""
        for topic in topics:
            self._said.pop(topic, None)
        return self._news(topics, now_ms)

    def next(self, topics: Iterable[str], now_ms: int) -> list[Frame]:
        """What is new since the last time."""
        grid = now_ms // GRID_MS
        if grid == self._grid:
            return []
        self._grid = grid
        return self._news(topics, now_ms)

    def _news(self, topics: Iterable[str], now_ms: int) -> list[Frame]:
        frames = []
        for name in topics:
            topic = read(name, self.market)
            if topic is None:
                continue
            kind, data = self._data(name, topic, now_ms)
            before = self._said.get(name)
            if data is None or data == before:
                continue
            self._said[name] = data
            self._number += 1
            if topic.kind == "tickers" and before is not None:
                changed = {key: value for key, value in data.items() if before[key] != value}
                kind, data = "delta", {"symbol": topic.symbol, **changed}
            if topic.kind == "orderbook":
                data = {**data, "u": self._number, "seq": self._number}
            body = {"topic": name, "type": kind, "ts": now_ms, "cs": self._number, "data": data}
            frames.append(Frame(orjson.dumps(body), topic.kind, topic.symbol))
        return frames

    def _data(self, name: str, topic: Topic, now_ms: int) -> tuple[str, Any]:
        market, item = self.market, self.market.instruments[topic.symbol]
        prices = market.prices(topic.symbol, now_ms)
        match topic.kind:
            case "tickers":
                day = tape.day(market, topic.symbol, now_ms)
                row = shapes.ticker(item, prices, day, now_ms)
                return "snapshot", row
            case "orderbook":
                levels = min(int(topic.detail), _LEVELS)
                sides = zip("ba", tape.book(item, prices.last, levels), strict=True)
                rows = {
                    side: [[f"{level.price:f}", f"{level.qty:f}"] for level in listed]
                    for side, listed in sides
                }
                return "snapshot", {"s": topic.symbol, **rows}
            case "kline":
                return "snapshot", [self._candle(topic, now_ms)]
            case "publicTrade":
                shown = tape.prints(market, topic.symbol, 1, now_ms)
                return "snapshot", [self._print(topic.symbol, one) for one in shown]
            case _:
                del name
                return "snapshot", None

    def _candle(self, topic: Topic, now_ms: int) -> dict[str, Any]:
        length_ms = charts.INTERVALS[topic.detail]
        start_ms = now_ms // length_ms * length_ms
        row = tape.candle(self.market, topic.symbol, start_ms, length_ms, now_ms)
        return {
            "start": row.start_ms,
            "end": row.end_ms - 1,
            "interval": topic.detail,
            "open": f"{row.open:f}",
            "close": f"{row.close:f}",
            "high": f"{row.high:f}",
            "low": f"{row.low:f}",
            "volume": f"{row.volume:f}",
            "turnover": shapes.plain(row.turnover),
            "confirm": False,
            "timestamp": now_ms // GRID_MS * GRID_MS,
        }

    def _print(self, symbol: str, row: tape.Print) -> dict[str, Any]:
        return {
            "T": row.at_ms,
            "s": symbol,
            "S": "Buy" if row.buy else "Sell",
            "v": f"{row.qty:f}",
            "p": f"{row.price:f}",
            "L": "PlusTick",
            "i": f"{symbol}-{row.number}",
            "BT": False,
            "RPI": False,
        }
