"""The contracts MEXC's side lists: size of one contract, volume unit, margin modes.

MEXC counts in whole contracts, the engine in base asset; `Contract` converts, exactly. The figures
have the size and shape of the public list, but they are the sandbox's own: a client must read them
from `contract/detail`, never from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from providers.sandbox.instruments import Instrument, Listing

ISOLATED_ONLY: Final = 1
CROSS_ONLY: Final = 2
BOTH: Final = 3

_LIMIT_TO_MARKET: Final = 2
"""How much larger a limit order may be than a market order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One perpetual as MEXC counts it.

    Attributes:
        name: MEXC's own symbol (`BTC_USDT`); the engine's is in `instrument`.
        size: base asset in one contract.
        unit: volume step in contracts.
        max_vol: largest market order in contracts; `max_limit_vol` the largest limit order.
        margin_modes: 1 isolated, 2 cross, 3 both.
        display_id: number of the contract.
    """

    name: str
    size: Decimal
    unit: int
    max_vol: int
    margin_modes: int
    display_id: int
    instrument: Instrument

    @property
    def max_limit_vol(self) -> int:
        """Largest limit order in contracts."""
        return self.max_vol * _LIMIT_TO_MARKET

    def base(self, vol: Decimal) -> Decimal:
        """Base asset in `vol` contracts."""
        return vol * self.size

    def vol(self, qty: Decimal) -> Decimal:
        """Contracts that `qty` of base asset makes."""
        return qty / self.size


# base, contract size, tick, volume unit, max market volume, leverage, start price, margin modes
_ROWS: Final = (
    ("BTC", "0.0001", "0.1", 1, 400_000, 500, "94321.5", BOTH),
    ("ETH", "0.01", "0.01", 1, 120_000, 300, "3254.80", BOTH),
    ("SOL", "0.1", "0.01", 1, 160_000, 200, "182.350", BOTH),
    ("XRP", "1", "0.0001", 1, 1_500_000, 200, "2.3140", BOTH),
    ("DOGE", "100", "0.00001", 1, 80_000, 200, "0.21415", BOTH),
    ("ADA", "1", "0.0001", 1, 2_200_000, 100, "0.7218", BOTH),
    ("BNB", "0.01", "0.1", 1, 200_000, 100, "871.40", BOTH),
    ("AVAX", "0.1", "0.001", 1, 600_000, 100, "28.415", BOTH),
    ("LINK", "0.1", "0.001", 1, 800_000, 100, "17.562", BOTH),
    ("LTC", "0.01", "0.01", 1, 670_000, 100, "96.12", BOTH),
    ("DOT", "0.1", "0.0001", 1, 2_500_000, 100, "4.9035", BOTH),
    ("TRX", "10", "0.00001", 1, 400_000, 100, "0.28904", BOTH),
    ("BCH", "0.01", "0.1", 1, 100_000, 100, "521.60", BOTH),
    ("NEAR", "1", "0.001", 1, 250_000, 75, "3.118", BOTH),
    ("SUI", "1", "0.0001", 10, 495_000, 75, "2.90420", BOTH),
    ("APT", "0.1", "0.0005", 1, 900_000, 75, "6.2135", BOTH),
    ("ARB", "1", "0.0001", 1, 1_100_000, 75, "0.4236", BOTH),
    ("OP", "1", "0.0001", 1, 700_000, 75, "0.6627", CROSS_ONLY),
    ("PEPE", "100000", "0.0000000001", 1, 650_000, 75, "0.0000098421", ISOLATED_ONLY),
)


def _contract(
    row: tuple[str, str, str, int, int, int, str, int],
    number: int,
    listing: Listing = Listing.TRADING,
) -> Contract:
    base, size_text, tick_text, unit, max_vol, leverage, start, modes = row
    size, tick = Decimal(size_text), Decimal(tick_text)
    return Contract(
        name=f"{base}_USDT",
        size=size,
        unit=unit,
        max_vol=max_vol,
        margin_modes=modes,
        display_id=number,
        instrument=Instrument(
            symbol=f"{base}USDT",
            base=base,
            tick=tick,
            min_price=tick,
            max_price=(Decimal(start) * 20).quantize(tick),
            step=size * unit,
            min_qty=size * unit,
            max_qty=size * max_vol * _LIMIT_TO_MARKET,
            max_market_qty=size * max_vol,
            min_notional=Decimal(0),  # the list names none; the variant `least_value` sets one
            max_leverage=Decimal(leverage),
            start_price=Decimal(start),
            listing=listing,
            leverage_step=Decimal(1),
            band=Decimal("0.1"),
        ),
    )


CONTRACTS: Final[tuple[Contract, ...]] = (
    *(_contract(row, 10 + index) for index, row in enumerate(_ROWS)),
    _contract(("EOS", "1", "0.001", 1, 180_000, 50, "0.512", BOTH), 50, Listing.CLOSED),
    _contract(("NOVA", "1", "0.0001", 1, 90_000, 50, "1.0400", BOTH), 51, Listing.PRE_LAUNCH),
)

BY_NAME: Final = {item.name: item for item in CONTRACTS}
BY_SYMBOL: Final = {item.instrument.symbol: item for item in CONTRACTS}
