"""MEXC's contracts: their rules in base coins, and both of their names. Pure.

MEXC counts in contracts of so many base coins each; everywhere else in this project quantities
are base coins. The lot is contract size times volume step, so what is on the lot is a whole number
of contracts. Source: MEXC contract API docs, "Get the contract information".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.errors import RequestRefused
from providers.fields import MalformedReply, Row, row, rows, text, whole
from providers.mexc.exact import optional_positive_number, positive_number
from providers.orders import Instrument, MarginMode
from providers.sizing import floor_to, from_contracts, multiply, plain, to_contracts

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTLE_COIN = "USDT"
_ENABLED = 0
_BOTH_MARGIN_MODES = 3
# The numbers under which margin modes go everywhere in this API.
OPEN_TYPES = MappingProxyType({MarginMode.ISOLATED: 1, MarginMode.CROSS: 2})
MARGIN_MODES = MappingProxyType({number: mode for mode, number in OPEN_TYPES.items()})


@dataclass(frozen=True, slots=True)
class Contract:
    """One USDT perpetual: its rules, and the margin modes it offers."""

    instrument: Instrument
    margin_modes: frozenset[MarginMode]

    @property
    def venue_symbol(self) -> str:
        """Its name on the wire, `BTC_USDT`."""
        return self.instrument.venue_symbol

    def volume(self, quantity: Decimal) -> int:
        """Count base coins in contracts.

        Raises:
            RequestRefused: `NOT_WHOLE_CONTRACTS`. Prepared orders are on the lot, so this means
                that the contract's size was changed since.
        """
        lot, size = self.instrument.lot, self.instrument.contract_size
        if quantity > 0 and (lot == size or floor_to(quantity, lot) == quantity):
            try:
                return to_contracts(quantity, size)
            except ValueError:
                pass  # where a lot is a contract, this is the one look
        raise RequestRefused(
            "NOT_WHOLE_CONTRACTS",
            f"{plain(quantity)} of {self.instrument.symbol} is not a whole number of "
            f"contracts; quantities go in steps of {plain(lot)}",
        )

    def coins(self, volume: Decimal) -> Decimal:
        """The base coins that a number of contracts, as MEXC says it, stands for."""
        return from_contracts(volume, self.instrument.contract_size)


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed, under our names (`BTCUSDT`) and MEXC's (`BTC_USDT`).

    `others` are MEXC's names of what it lists besides USDT perpetuals.
    """

    by_symbol: Mapping[str, Contract] = field(default_factory=dict)
    by_venue_symbol: Mapping[str, Contract] = field(default_factory=dict)
    others: frozenset[str] = frozenset()

    def knows(self, venue_symbol: str) -> bool:
        """True if the name is one of the exchange's."""
        return venue_symbol in self.by_venue_symbol or venue_symbol in self.others

    def contract_in(self, source: Row) -> Contract:
        """The contract that a row is about."""
        venue_symbol = text(source, "symbol")
        contract = self.by_venue_symbol.get(venue_symbol)
        if contract is None:
            raise MalformedReply(f"symbol is {venue_symbol!r:.40}, which is not listed")
        return contract


def read_listing(result: Row) -> tuple[Listing, list[str]]:
    """Everything listed, and what was wrong with contracts that can't be read.

    An unreadable contract is left out altogether, so that rows about it are not skipped as if
    they were none of ours.
    """
    contracts: dict[str, Contract] = {}
    others = set()
    unreadable = []
    for item in _items(result):
        try:
            if _is_usdt_perpetual(item):
                found = contract(item)
                contracts[found.venue_symbol] = found
            else:
                others.add(text(item, "symbol"))
        except MalformedReply as error:
            unreadable.append(f"{item.get('symbol')}: {error}")
    by_symbol = {found.instrument.symbol: found for found in contracts.values()}
    return Listing(by_symbol, contracts, frozenset(others)), unreadable


def contract(source: Row) -> Contract:
    """One USDT perpetual."""
    venue_symbol = text(source, "symbol")
    size = positive_number(source, "contractSize")
    step = positive_number(source, "volUnit")
    if step != step.to_integral_value():
        raise MalformedReply(f"volUnit is {step}, not a whole number of contracts")
    most = optional_positive_number(source, "maxVol")
    most_limit = optional_positive_number(source, "limitMaxVol") or most
    instrument = Instrument(
        symbol=our_name(venue_symbol, text(source, "quoteCoin")),
        venue_symbol=venue_symbol,
        # What `apiAllowed` says is not heeded: it is false in the documentation's own examples of
        # contracts that are traded through the API.
        tradable=whole(source, "state") == _ENABLED and source.get("isHidden") is not True,
        tick=positive_number(source, "priceUnit"),
        lot=multiply(size, step),
        min_quantity=multiply(positive_number(source, "minVol"), size),
        max_quantity=None if most_limit is None else multiply(most_limit, size),
        max_market_quantity=None if most is None else multiply(most, size),
        min_notional=None,
        min_price=None,
        max_price=None,
        min_leverage=int(positive_number(source, "minLeverage").to_integral_value(ROUND_CEILING)),
        max_leverage=int(positive_number(source, "maxLeverage").to_integral_value(ROUND_FLOOR)),
        contract_size=size,
    )
    return Contract(instrument, _margin_modes(source))


def our_name(venue_symbol: str, quote_coin: str) -> str:
    """`BTC_USDT` is `BTCUSDT` here.

    The name is MEXC's own without its separator, never put together from `baseCoin`: a coin can
    go under several names and multiples, and a trade must mean the contract it names.
    """
    base = venue_symbol.removesuffix(f"_{quote_coin}")
    if base in ("", venue_symbol) or "_" in base:
        raise MalformedReply(f"symbol is {venue_symbol!r:.40}, not one coin in {quote_coin:.20}")
    return f"{base}{quote_coin}"


def _items(result: Row) -> list[Row]:
    """All contracts come as a list, a single one as an object."""
    data = result.get("data")
    return [data] if isinstance(data, dict) else rows(result, "data")


def _is_usdt_perpetual(source: Row) -> bool:
    return source.get("settleCoin") == SETTLE_COIN and source.get("quoteCoin") == SETTLE_COIN


def _margin_modes(source: Row) -> frozenset[MarginMode]:
    allowed = source.get("positionOpenType", _BOTH_MARGIN_MODES)
    if allowed == _BOTH_MARGIN_MODES:
        return frozenset(MarginMode)
    return frozenset({margin_mode(source, "positionOpenType")})


def margin_mode(source: Row, name: str = "openType") -> MarginMode:
    """Take a field for a margin mode."""
    mode = MARGIN_MODES.get(whole(source, name))
    if mode is None:
        raise MalformedReply(f"{name} is {source[name]!r:.40}, which is not one we know")
    return mode


def data_rows(result: Row) -> list[Row]:
    """The rows in an answer: in `data`, or one level down in its `resultList`."""
    data = result.get("data")
    return rows(row(data, "data"), "resultList") if isinstance(data, dict) else rows(result, "data")
