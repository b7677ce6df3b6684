"""Which contracts Binance's side lists: rules, decimal places, leverage brackets.

The figures have the size and shape of Binance's public lists, but they are the sandbox's own: a
client must read them from `exchangeInfo` and `leverageBracket`, never from here. Prices start
where those of the other venues do, so that the same seed shows the same market.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Final, NamedTuple

from providers.sandbox.instruments import LINEAR, Instrument, Listing
from providers.sandbox.values import ZERO

_START: Final = {item.symbol: item.start_price for item in LINEAR}

# symbol, tick, step, largest limit, largest market, min notional, leverage, price and qty places
_ROWS: Final = (
    ("BTCUSDT", "0.10", "0.001", "1000", "120", "50", "125", 2, 3),
    ("ETHUSDT", "0.01", "0.001", "10000", "2000", "20", "125", 2, 3),
    ("SOLUSDT", "0.0100", "0.01", "1000000", "5000", "5", "100", 4, 2),
    ("XRPUSDT", "0.0001", "0.1", "10000000", "2000000", "5", "100", 4, 1),
    ("DOGEUSDT", "0.000010", "1", "50000000", "30000000", "5", "75", 6, 0),
    ("ADAUSDT", "0.00010", "1", "2000000", "300000", "5", "75", 5, 0),
    ("BNBUSDT", "0.010", "0.01", "100000", "2000", "5", "75", 3, 2),
    ("AVAXUSDT", "0.0010", "1", "100000", "20000", "5", "50", 4, 0),
    ("LINKUSDT", "0.001", "0.01", "200000", "20000", "20", "75", 3, 2),
    ("LTCUSDT", "0.01", "0.001", "10000", "5000", "20", "75", 2, 3),
    ("DOTUSDT", "0.001", "0.1", "1000000", "50000", "5", "75", 3, 1),
    ("TRXUSDT", "0.00001", "1", "10000000", "5000000", "5", "75", 5, 0),
    ("BCHUSDT", "0.01", "0.001", "10000", "850", "20", "75", 2, 3),
    ("NEARUSDT", "0.001", "1", "1000000", "100000", "5", "75", 3, 0),
    ("SUIUSDT", "0.000100", "10", "15000000", "1500000", "5", "75", 6, 0),
    ("APTUSDT", "0.00100", "0.1", "2000000", "50000", "5", "50", 5, 1),
    ("ARBUSDT", "0.0001", "0.1", "20000000", "900000", "5", "50", 6, 1),
    ("OPUSDT", "0.0001", "0.1", "10000000", "600000", "5", "50", 7, 1),
    ("1000PEPEUSDT", "0.0000001", "1", "700000000", "300000000", "5", "50", 7, 0),
    ("EOSUSDT", "0.001", "0.1", "1000000", "100000", "5", "25", 3, 1),
    ("NOVAUSDT", "0.0001", "1", "500000", "90000", "5", "25", 5, 0),
)
_LISTINGS: Final = {"EOSUSDT": Listing.CLOSED, "NOVAUSDT": Listing.PRE_LAUNCH}
_PRICES: Final = {"BTCUSDT": ("261.10", "809484")}


class Places(NamedTuple):
    """Decimal places a price and a quantity may have; no tick and no step."""

    price: int
    qty: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """Up to `cap` of notional, this leverage is allowed and this share is maintenance margin."""

    number: int
    leverage: int
    floor: Decimal
    cap: Decimal
    ratio: Decimal
    deducted: Decimal


def _instrument(row: tuple[str, str, str, str, str, str, str, int, int]) -> Instrument:
    symbol, tick, step, largest, largest_market, notional, leverage, _, _ = row
    start = _START[symbol]
    lowest, highest = _PRICES.get(symbol, (tick, f"{(start * 20).quantize(Decimal(tick))}"))
    return Instrument(
        symbol=symbol,
        base=symbol.removesuffix("USDT"),
        tick=Decimal(tick),
        min_price=Decimal(lowest),
        max_price=Decimal(highest),
        step=Decimal(step),
        min_qty=Decimal(step),
        max_qty=Decimal(largest),
        max_market_qty=Decimal(largest_market),
        min_notional=Decimal(notional),
        max_leverage=Decimal(leverage),
        start_price=start,
        listing=_LISTINGS.get(symbol, Listing.TRADING),
        leverage_step=Decimal(1),
    )


CONTRACTS: Final = tuple(_instrument(row) for row in _ROWS)
PLACES: Final = {row[0]: Places(row[7], row[8]) for row in _ROWS}

_LEVERAGES: Final = (50, 25, 20, 10, 5, 4, 3, 2, 1)
_CAPS: Final = tuple(
    Decimal(cap)
    for cap in (
        300_000,
        3_000_000,
        12_000_000,
        70_000_000,
        100_000_000,
        230_000_000,
        480_000_000,
        600_000_000,
        800_000_000,
        1_200_000_000,
    )
)
_RATIO_STEP: Final = Decimal("0.0001")


def _brackets(item: Instrument) -> tuple[Bracket, ...]:
    largest = int(item.max_leverage)
    leverages = (largest, *(leverage for leverage in _LEVERAGES if leverage < largest))
    rows: list[Bracket] = []
    floor, deducted, before = ZERO, ZERO, ZERO
    for number, (leverage, cap) in enumerate(zip(leverages, _CAPS, strict=False), start=1):
        ratio = (Decimal(1) / (2 * leverage)).quantize(_RATIO_STEP)
        deducted += floor * (ratio - before)
        rows.append(
            Bracket(
                number=number,
                leverage=leverage,
                floor=floor,
                cap=cap,
                ratio=ratio,
                deducted=deducted,
            )
        )
        floor, before = cap, ratio
    return tuple(rows)


BRACKETS: Final = {item.symbol: _brackets(item) for item in CONTRACTS}


@cache
def largest_notional(symbol: str, leverage: Decimal) -> Decimal:
    """The largest position a leverage allows."""
    return max(row.cap for row in BRACKETS[symbol] if row.leverage >= leverage)


def maintenance(symbol: str, notional: Decimal) -> Decimal:
    """The maintenance margin of a position of that size."""
    rows = BRACKETS[symbol]
    row = next((row for row in rows if abs(notional) <= row.cap), rows[-1])
    return abs(notional) * row.ratio - row.deducted
