"""Market data that clients read beside prices: candles, public trades, order book, a day's figures.

All of it follows from the price path of `market.py` and from hashes, so the same seed and instant
give the same answers, and none of it is kept. It is there so that a client that loads a chart or a
book finds one; the sandbox itself trades at last and looks at none of it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.instruments import Instrument
    from providers.sandbox.market import Market

DAY_MS: Final = 86_400_000
FUNDING_MS: Final = 8 * 3_600_000
PRINT_MS: Final = 250
"""One public trade is shown in every such span."""

_SAMPLES: Final = 8
_LOTS: Final = 200


class Candle(NamedTuple):
    """One candle: `end_ms` is the first instant after it, volume is base asset, turnover quote."""

    start_ms: int
    end_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal
    trades: int


class Print(NamedTuple):
    """One public trade."""

    number: int
    at_ms: int
    price: Decimal
    qty: Decimal
    buy: bool


class Level(NamedTuple):
    """One row of the book."""

    price: Decimal
    qty: Decimal


def candle(
    market: Market, symbol: str, start_ms: int, length_ms: int, now_ms: int, *, mark: bool = False
) -> Candle:
    """The candle that begins at `start_ms`, as far as it has come; of mark prices if `mark`."""
    end_ms = start_ms + length_ms
    last_ms = max(start_ms, min(end_ms - 1, now_ms))
    run_ms = last_ms - start_ms
    instants = [start_ms + run_ms * index // _SAMPLES for index in range(_SAMPLES + 1)]
    shown = [market.prices(symbol, instant) for instant in instants]
    prices = [both.mark if mark else both.last for both in shown]
    trades = max(1, (last_ms - start_ms) // PRINT_MS)
    volume = market.instruments[symbol].step * (_drawn(symbol, start_ms) % _LOTS + 1) * trades
    return Candle(
        start_ms=start_ms,
        end_ms=end_ms,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=volume,
        turnover=volume * prices[-1],
        trades=trades,
    )


def candles(
    market: Market,
    symbol: str,
    length_ms: int,
    span: tuple[int, int],
    most: int,
    now_ms: int,
    *,
    mark: bool = False,
) -> list[Candle]:
    """Candles that begin within a span, oldest first: the oldest `most` of them.

    A span is its first and last instant. Without a first (0) the latest `most` are meant, without a
    last up to now.
    """
    first, last = span
    last = min(last or now_ms, now_ms) // length_ms * length_ms
    first = -(-first // length_ms) * length_ms if first else last - (most - 1) * length_ms
    starts = range(first, last + 1, length_ms)[:most]
    return [candle(market, symbol, start, length_ms, now_ms, mark=mark) for start in starts]


def day(market: Market, symbol: str, now_ms: int) -> Candle:
    """The figures of the last 24 hours."""
    return candle(market, symbol, now_ms - DAY_MS, DAY_MS, now_ms)


def prints(market: Market, symbol: str, most: int, now_ms: int) -> list[Print]:
    """The latest public trades, latest first."""
    step = market.instruments[symbol].step
    newest = now_ms // PRINT_MS
    rows = []
    for number in range(newest, newest - most, -1):
        drawn = _drawn(symbol, number)
        rows.append(
            Print(
                number=number,
                at_ms=number * PRINT_MS,
                price=market.last(symbol, number * PRINT_MS),
                qty=step * (drawn % _LOTS + 1),
                buy=bool(drawn & 1),
            )
        )
    return rows


def book(item: Instrument, last: Decimal, levels: int) -> tuple[list[Level], list[Level]]:
    """Bids and asks, best first, a tick apart, beginning one tick from last."""

    def level(ticks: int) -> Level:
        qty = item.step * (_drawn(item.symbol, ticks) % _LOTS + 1) * (1 + abs(ticks))
        return Level(last + item.tick * ticks, qty)

    bids = [level(-ticks) for ticks in range(1, levels + 1) if last > item.tick * ticks]
    return bids, [level(ticks) for ticks in range(1, levels + 1)]


def fundings(span: tuple[int, int], most: int, now_ms: int) -> list[int]:
    """When funding was settled within a span (0 for not given), latest first, `most` of them."""
    first, last = span
    newest = min(last or now_ms, now_ms) // FUNDING_MS
    return [
        number * FUNDING_MS
        for number in range(newest, newest - most, -1)
        if number * FUNDING_MS >= first
    ]


def next_funding(now_ms: int) -> int:
    """When funding is settled next."""
    return (now_ms // FUNDING_MS + 1) * FUNDING_MS


def _drawn(symbol: str, number: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{symbol}:{number}".encode(), digest_size=4).digest())
