"""Reading Binance request parameters: every one is text; what cannot be read names itself.

Missing or malformed is -1102, empty where text is due -1105, not wanted here -1106, characters
that do not belong -1100, a value outside a list the list's own code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from providers.sandbox.binance.codes import BinanceError, Code
from providers.sandbox.binance.gate import malformed
from providers.sandbox.binance.instruments import PLACES
from providers.sandbox.checks import price_band
from providers.sandbox.instruments import Instrument, Listing
from providers.sandbox.values import Leg, OrderKind, PositionMode, Side, TimeInForce, TriggerPrice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.sandbox.account import Account
    from providers.sandbox.market import Market

_T = TypeVar("_T")

_DECIMAL: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
_CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]+", re.ASCII)
_CLIENT_ID_LONGEST: Final = 36
_DIGITS: Final = 19

SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
LEGS: Final = {"": Leg.NET, "BOTH": Leg.NET, "LONG": Leg.LONG, "SHORT": Leg.SHORT}
TIMES_IN_FORCE: Final = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "GTX": TimeInForce.POST_ONLY,
}
WORKING: Final = {
    "": TriggerPrice.LAST,
    "CONTRACT_PRICE": TriggerPrice.LAST,
    "MARK_PRICE": TriggerPrice.MARK,
}
PREVENTIONS: Final = ("", "NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
RESPONSES: Final = ("", "ACK", "RESULT")
_FLAGS: Final = {"true": True, "false": False}


def required(params: Mapping[str, str], name: str) -> str:
    """A text that must be there."""
    value = params.get(name, "")
    if not value:
        raise malformed(name, "it is required")
    return value


def choice(
    params: Mapping[str, str], name: str, table: Mapping[str, _T], code: Code = Code.PARAMETER
) -> _T:
    """One of the names in a table; the empty name in it is the default."""
    value = params.get(name, "")
    if value not in table:
        if not value:
            raise malformed(name, "it is required")
        raise BinanceError(
            code, f"{name} must be one of {', '.join(filter(None, table))}, not {value!r}"
        )
    return table[value]


def decimal(params: Mapping[str, str], name: str) -> Decimal | None:
    """A decimal in fixed-point form, None when absent."""
    value = params.get(name)
    if value is None:
        return None
    if not _DECIMAL.fullmatch(value):
        raise BinanceError(
            Code.ILLEGAL_CHARACTERS,
            text=f"Illegal characters found in parameter '{name}'; "
            "legal is a decimal without sign or exponent",
        )
    return Decimal(value)


def required_decimal(params: Mapping[str, str], name: str) -> Decimal:
    """A decimal that must be there."""
    required(params, name)
    value = decimal(params, name)
    if value is None:
        raise malformed(name, "it is required")
    return value


def flag(params: Mapping[str, str], name: str) -> bool:
    """True or false in words, false when absent."""
    value = params.get(name, "false").lower()
    if value not in _FLAGS:
        raise malformed(name, "true or false")
    return _FLAGS[value]


def number(
    params: Mapping[str, str],
    name: str,
    default: int | None,
    lowest: int = 0,
    highest: int = 10**_DIGITS,
) -> int:
    """A whole number; without a default it must be there."""
    value = params.get(name, "")
    if not value and default is not None:
        return default
    whole = value.isascii() and value.isdigit() and len(value) <= _DIGITS
    if not whole or not lowest <= int(value) <= highest:
        raise malformed(name, f"a whole number from {lowest} to {highest}")
    return int(value)


def client_id(params: Mapping[str, str], name: str) -> str:
    """A client id: at most 36 of letters, digits and `.:/_-`; empty when absent."""
    value = params.get(name)
    if value is None:
        return ""
    if not value:
        raise BinanceError(Code.PARAMETER_EMPTY, text=f"Parameter '{name}' was empty.")
    if len(value) > _CLIENT_ID_LONGEST:
        raise BinanceError(Code.CLIENT_ID_LENGTH)
    if not _CLIENT_ID.fullmatch(value):
        raise BinanceError(
            Code.ILLEGAL_CHARACTERS,
            text=f"Illegal characters found in parameter '{name}'; "
            "legal are letters, digits and . : / _ -",
        )
    return value


def unwanted(params: Mapping[str, str], *names: str) -> None:
    """Refuse parameters that the kind of request has no use for."""
    for name in names:
        if name in params:
            raise BinanceError(Code.NOT_WANTED, text=f"Parameter '{name}' sent when not required.")


def contract(market: Market, params: Mapping[str, str]) -> Instrument:
    """The contract a request names.

    Raises:
        BinanceError: -1102 without a symbol, -1121 for an unknown one.
    """
    item = market.instruments.get(required(params, "symbol"))
    if item is None:
        raise BinanceError(Code.SYMBOL)
    return item


def tradable(market: Market, params: Mapping[str, str]) -> Instrument:
    """The contract a request names, if it trades."""
    item = contract(market, params)
    if item.listing is Listing.CLOSED:
        raise BinanceError(Code.SYMBOL_CLOSED)
    if item.listing is not Listing.TRADING:
        raise BinanceError(Code.NOT_OPEN_YET)
    return item


@dataclass(frozen=True, slots=True)
class Direction:
    """Side, leg and whether a reduction was asked for in so many words."""

    side: Side
    leg: Leg
    reduce_only: bool

    @property
    def closes(self) -> bool:
        """Whether it can only reduce: by its flag, or by the leg it works on."""
        opposite = Leg.SHORT if self.side is Side.BUY else Leg.LONG
        return self.reduce_only or self.leg is opposite


def direction(params: Mapping[str, str], account: Account) -> Direction:
    """Which way an order trades, on which leg.

    Raises:
        BinanceError: -1117, -4060, -4061 when the position side does not fit the account's mode,
            -1106 for `reduceOnly` in hedge mode.
    """
    side = choice(params, "side", SIDES, Code.SIDE)
    leg = choice(params, "positionSide", LEGS, Code.POSITION_SIDE)
    hedge = account.position_mode is PositionMode.HEDGE
    if (leg is Leg.NET) is hedge:
        wanted = "LONG or SHORT" if hedge else "BOTH"
        raise BinanceError(Code.POSITION_SIDE_MISMATCH, f"positionSide must be {wanted}")
    if hedge:
        unwanted(params, "reduceOnly")
    return Direction(side, leg, flag(params, "reduceOnly"))


def check_qty(qty: Decimal, kind: OrderKind, item: Instrument) -> None:
    """Places, bounds and step of a quantity, closing or not.

    Raises:
        BinanceError: -1111, -4003, -4004, -4005 or -4023.
    """
    places = PLACES[item.symbol].qty
    if _places(qty) > places:
        raise BinanceError(Code.PRECISION, f"quantity {qty} has more than {places} decimal places")
    if not qty:
        raise BinanceError(Code.QTY_NOT_POSITIVE)
    if qty < item.min_qty:
        raise BinanceError(Code.QTY_BELOW_MIN, f"{qty} is below {item.min_qty}")
    largest = item.max_market_qty if kind is OrderKind.MARKET else item.max_qty
    if qty > largest:
        raise BinanceError(Code.QTY_ABOVE_MAX, f"{qty} is above {largest}")
    if (qty - item.min_qty) % item.step:
        raise BinanceError(Code.QTY_STEP, f"{qty} is not {item.min_qty} plus steps of {item.step}")


def check_price(name: str, price: Decimal, item: Instrument) -> None:
    """Places, bounds and tick of a price.

    Raises:
        BinanceError: -1111, -4001, -4002, -4013 or -4014.
    """
    places = PLACES[item.symbol].price
    if _places(price) > places:
        raise BinanceError(Code.PRECISION, f"{name} {price} has more than {places} decimal places")
    if not price:
        raise BinanceError(Code.PRICE_NOT_POSITIVE)
    if price > item.max_price:
        raise BinanceError(Code.PRICE_ABOVE_MAX, f"{price} is above {item.max_price}")
    if price < item.min_price:
        raise BinanceError(Code.PRICE_BELOW_MIN, f"{price} is below {item.min_price}")
    if (price - item.min_price) % item.tick:
        raise BinanceError(
            Code.PRICE_TICK, f"{price} is not {item.min_price} plus ticks of {item.tick}"
        )


def check_band(side: Side, price: Decimal, item: Instrument, last: Decimal) -> None:
    """The price band: a buy not above it, a sell not below it.

    Raises:
        BinanceError: -4016 or -4024.
    """
    lowest, highest = price_band(item, last)
    if side is Side.BUY and price > highest:
        raise BinanceError(Code.PRICE_ABOVE_BAND, f"{price} is above {highest}")
    if side is Side.SELL and price < lowest:
        raise BinanceError(Code.PRICE_BELOW_BAND, f"{price} is below {lowest}")


def span(params: Mapping[str, str], now_ms: int, longest_ms: int) -> tuple[int, int]:
    """The instants a listing covers, by default the latest `longest_ms`.

    Raises:
        BinanceError: -1023 or -4165.
    """
    start = number(params, "startTime", 0)
    end = number(params, "endTime", 0)
    if start and end and start > end:
        raise BinanceError(Code.START_AFTER_END)
    if start and end and end - start > longest_ms:
        days = longest_ms // 86_400_000
        raise BinanceError(Code.TIME_SPAN, f"at most {days} days")
    if not start:
        start = (end or now_ms) - longest_ms
    return start, end or start + longest_ms


def listed(rows: list[Any], limit: int, *, oldest: bool) -> list[Any]:
    """At most `limit` rows, the oldest or the latest of them, in their order."""
    return rows[:limit] if oldest else rows[-limit:]


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
