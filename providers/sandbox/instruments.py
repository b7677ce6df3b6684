"""Which contracts a venue lists and their trading rules. Values only; prices live in `market.py`.

The figures have the size and shape of the public instrument lists, but they are the sandbox's own:
a client must read them from the venue's instrument endpoint, never from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final


class Listing(StrEnum):
    """Whether a contract can be traded."""

    TRADING = "trading"
    PRE_LAUNCH = "pre_launch"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One USDT-settled perpetual.

    Attributes:
        symbol: neutral name, base then quote (`BTCUSDT`).
        step: quantity step, base asset.
        band: widest distance of a limit price from last, as a share (0.05 is 5 %).
    """

    symbol: str
    base: str
    tick: Decimal
    min_price: Decimal
    max_price: Decimal
    step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    max_market_qty: Decimal
    min_notional: Decimal
    max_leverage: Decimal
    start_price: Decimal
    listing: Listing = Listing.TRADING
    quote: str = "USDT"
    leverage_step: Decimal = Decimal("0.01")
    band: Decimal = Decimal("0.05")


# base, quote prefix of the symbol, tick, step, max limit, max market, leverage, start price
_LINEAR: Final = (
    ("BTC", "BTC", "0.10", "0.001", "1190", "500", "100", "94321.5"),
    ("ETH", "ETH", "0.01", "0.01", "7240", "3000", "100", "3254.80"),
    ("SOL", "SOL", "0.010", "0.1", "79770", "15950", "100", "182.350"),
    ("XRP", "XRP", "0.0001", "0.1", "4500000", "1500000", "75", "2.3140"),
    ("DOGE", "DOGE", "0.00001", "1", "32000000", "8000000", "75", "0.21415"),
    ("ADA", "ADA", "0.0001", "1", "9000000", "2200000", "75", "0.7218"),
    ("BNB", "BNB", "0.10", "0.01", "9900", "2000", "50", "871.40"),
    ("AVAX", "AVAX", "0.001", "0.1", "240000", "60000", "50", "28.415"),
    ("LINK", "LINK", "0.001", "0.1", "420000", "80000", "50", "17.562"),
    ("LTC", "LTC", "0.01", "0.1", "33000", "6700", "50", "96.12"),
    ("DOT", "DOT", "0.0001", "0.1", "1200000", "250000", "50", "4.9035"),
    ("TRX", "TRX", "0.00001", "1", "18000000", "4000000", "50", "0.28904"),
    ("BCH", "BCH", "0.10", "0.01", "6000", "1000", "50", "521.60"),
    ("NEAR", "NEAR", "0.001", "0.1", "1300000", "250000", "50", "3.118"),
    ("SUI", "SUI", "0.00010", "10", "1950000", "495000", "50", "2.90420"),
    ("APT", "APT", "0.0005", "0.01", "480000", "90000", "50", "6.2135"),
    ("ARB", "ARB", "0.0001", "0.1", "5500000", "1100000", "50", "0.4236"),
    ("OP", "OP", "0.0001", "0.1", "3500000", "700000", "50", "0.6627"),
    ("PEPE", "1000PEPE", "0.0000001", "100", "340000000", "65000000", "50", "0.0098421"),
)


def _linear(row: tuple[str, ...], listing: Listing = Listing.TRADING) -> Instrument:
    base, name, tick, step, largest, largest_market, leverage, start = row
    return Instrument(
        symbol=f"{name}USDT",
        base=base if name == base else name,
        tick=Decimal(tick),
        min_price=Decimal(tick),
        max_price=(Decimal(start) * 20).quantize(Decimal(tick)),
        step=Decimal(step),
        min_qty=Decimal(step),
        max_qty=Decimal(largest),
        max_market_qty=Decimal(largest_market),
        min_notional=Decimal(5),
        max_leverage=Decimal(leverage),
        start_price=Decimal(start),
        listing=listing,
    )


LINEAR: Final[tuple[Instrument, ...]] = (
    *(_linear(row) for row in _LINEAR),
    _linear(("EOS", "EOS", "0.001", "0.1", "900000", "180000", "25", "0.512"), Listing.CLOSED),
    _linear(("NOVA", "NOVA", "0.0001", "1", "500000", "90000", "25", "1.0400"), Listing.PRE_LAUNCH),
)
