"""Last and mark prices: a function of the seed, the symbol and the clock, or what control has set.

Two bands of interpolated noise, slow and fast, drawn from a hash: the same seed and instant give
the same price on every run and machine, with no state to replay. Integer arithmetic up to the last
step, then `Decimal` on the instrument's tick. It is no model of a real market and has no depth:
whatever trades, trades at last.
"""

from __future__ import annotations

import hashlib
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.sandbox.instruments import Instrument

GRID_MS: Final = 100
"""Prices change at multiples of this; between two grid instants they stand still."""

_MILLION: Final = 1_000_000
_SLOW_KNOT_MS: Final = 600_000
_SLOW_PPM: Final = 10_000
_FAST_KNOT_MS: Final = 5_000
_FAST_PPM: Final = 500


class Prices(NamedTuple):
    """One instant's prices of one symbol."""

    last: Decimal
    mark: Decimal


@lru_cache(maxsize=8192)
def _knot(seed: int, symbol: str, knot_ms: int, amplitude: int, index: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{symbol}:{knot_ms}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % (2 * amplitude + 1) - amplitude


def _wave(seed: int, symbol: str, knot_ms: int, amplitude: int, at_ms: int) -> int:
    index, inside = divmod(at_ms, knot_ms)
    left = _knot(seed, symbol, knot_ms, amplitude, index)
    right = _knot(seed, symbol, knot_ms, amplitude, index + 1)
    return left + (right - left) * inside // knot_ms


class Market:
    """The instruments of one venue and their prices.

    Args:
        instruments: what the venue lists.
        seed: two markets with one seed show the same prices (up to the venues' ticks).
    """

    def __init__(self, instruments: Iterable[Instrument], seed: int) -> None:
        self.instruments: dict[str, Instrument] = {item.symbol: item for item in instruments}
        self._seed = seed
        self._held: dict[str, Prices] = {}
        self._shift: dict[str, Decimal] = {}
        self._cache: dict[str, tuple[int, Prices]] = {}

    def prices(self, symbol: str, now_ms: int) -> Prices:
        """Last and mark price of a listed symbol."""
        held = self._held.get(symbol)
        if held is not None:
            return held
        grid = now_ms // GRID_MS
        cached = self._cache.get(symbol)
        if cached is not None and cached[0] == grid:
            return cached[1]
        prices = self._path(symbol, grid * GRID_MS)
        self._cache[symbol] = (grid, prices)
        return prices

    def last(self, symbol: str, now_ms: int) -> Decimal:
        """Last traded price."""
        return self.prices(symbol, now_ms).last

    def mark(self, symbol: str, now_ms: int) -> Decimal:
        """Mark price, the one positions are valued at."""
        return self.prices(symbol, now_ms).mark

    def hold(self, symbol: str, price: Decimal) -> None:
        """Keep last and mark at `price` (rounded to the tick) until released."""
        rounded = self._on_tick(symbol, price)
        self._held[symbol] = Prices(rounded, rounded)

    def move(self, symbol: str, price: Decimal, now_ms: int) -> None:
        """Make the path pass through `price` now, and go on moving from there."""
        self.release(symbol)
        self._shift[symbol] = price - self._path(symbol, now_ms // GRID_MS * GRID_MS).last

    def release(self, symbol: str) -> None:
        """Back to the seed's own path."""
        self._held.pop(symbol, None)
        self._shift.pop(symbol, None)
        self._cache.pop(symbol, None)

    def reset(self) -> None:
        """Every symbol back to the seed's own path."""
        self._held.clear()
        self._shift.clear()
        self._cache.clear()

    def _path(self, symbol: str, at_ms: int) -> Prices:
        start = self.instruments[symbol].start_price
        slow = _wave(self._seed, symbol, _SLOW_KNOT_MS, _SLOW_PPM, at_ms)
        fast = _wave(self._seed, symbol, _FAST_KNOT_MS, _FAST_PPM, at_ms)
        shift = self._shift.get(symbol, Decimal(0))
        return Prices(
            self._on_tick(symbol, start * (_MILLION + slow + fast) / _MILLION + shift),
            self._on_tick(symbol, start * (_MILLION + slow) / _MILLION + shift),
        )

    def _on_tick(self, symbol: str, price: Decimal) -> Decimal:
        tick = self.instruments[symbol].tick
        steps = (price / tick).to_integral_value(rounding=ROUND_HALF_EVEN)
        return max((steps * tick).quantize(tick), tick)
