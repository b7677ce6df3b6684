"""The values an order is made of, the same for every exchange.

Money and quantities are `Decimal`, in base coins and quote currency; a venue that counts
otherwise (contracts, strings, integers) translates at its own edge. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from providers.values import value

if TYPE_CHECKING:
    from datetime import datetime


class Action(StrEnum):
    """What the producer wants done with a position."""

    LONG = "LONG"
    SHORT = "SHORT"
    CLOSE_LONG = "CLOSE_LONG"
    CLOSE_SHORT = "CLOSE_SHORT"
    CLOSE = "CLOSE"

    @property
    def opens(self) -> bool:
        """True if the action may enlarge a position; closes never do."""
        return self in (Action.LONG, Action.SHORT)


class OrderType(StrEnum):
    """How the order is priced."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"


class TimeInForce(StrEnum):
    """How long a limit order stays; market orders are always IOC."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "POST_ONLY"


class MarginMode(StrEnum):
    """How margin is shared between positions."""

    CROSS = "CROSS"
    ISOLATED = "ISOLATED"


class PositionMode(StrEnum):
    """One net position a symbol, or a long and a short leg side by side."""

    ONE_WAY = "ONE_WAY"
    HEDGE = "HEDGE"


class QuantityUnit(StrEnum):
    """What a requested quantity counts: base coins, or margin in quote currency."""

    BASE = "base"
    QUOTE = "quote"


class Side(StrEnum):
    """The side of the book."""

    BUY = "BUY"
    SELL = "SELL"


class PositionSide(StrEnum):
    """Which leg of a position."""

    LONG = "LONG"
    SHORT = "SHORT"


class OrderStatus(StrEnum):
    """What the exchange says an order is. The ledger's own states are in `storage.states`."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"

    @property
    def final(self) -> bool:
        """True if the exchange will never change this order again."""
        return self not in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


@value(frozen=True, slots=True)
class TradeRequest:
    """What a producer asked for, normalised, before any exchange was looked at.

    `symbol` is written without separators (`BTCUSDT`). `quantity` is in base coins, or in quote
    currency where `quantity_unit` is QUOTE. For CLOSE* it is the most that may be closed.
    """

    symbol: str
    action: Action
    quantity: Decimal
    quantity_unit: QuantityUnit = QuantityUnit.BASE
    order_type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    leverage: int | None = None
    time_in_force: TimeInForce | None = None
    margin_mode: MarginMode | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None


@value(frozen=True, slots=True)
class PreparedOrder:
    """An order that is ready to be signed: sized, rounded, with its leg worked out.

    `quantity` is in base coins on the instrument's lot, `price` on its tick (None for market
    orders). `position_side` is set on accounts in hedge mode only. `leverage` and `margin_mode`
    are what the account is expected to have in force; some venues repeat them on the order.
    """

    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    reduce_only: bool
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    position_side: PositionSide | None = None
    leverage: int | None = None
    margin_mode: MarginMode | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Instrument:
    """The trading rules of one symbol, in base coins and quote currency.

    `contract_size` is 1 where the venue counts base coins. Limits that a venue does not have
    are None. Prices are `price_offset` and a multiple of `tick`; almost everywhere it is zero.
    """

    symbol: str
    venue_symbol: str
    tradable: bool
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    max_quantity: Decimal | None
    max_market_quantity: Decimal | None
    min_notional: Decimal | None
    min_price: Decimal | None
    max_price: Decimal | None
    min_leverage: int
    max_leverage: int
    contract_size: Decimal = Decimal(1)
    price_offset: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order as the exchange shows it.

    `average_price` is None before the first fill. `fee` is positive when paid, None where the
    venue does not say it on the order (then it comes from the fills).
    """

    client_order_id: str
    exchange_order_id: str
    symbol: str
    side: Side
    status: OrderStatus
    quantity: Decimal
    filled_quantity: Decimal
    average_price: Decimal | None
    fee: Decimal | None
    fee_currency: str | None
    reject_reason: str | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of an order. `fill_id` is unique on the exchange; `fee` positive when paid."""

    fill_id: str
    exchange_order_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    executed_at: datetime


@dataclass(frozen=True, slots=True)
class Position:
    """One leg of an account's position. `quantity` is never negative; flat legs are left out.

    `closable` is what of it no closing order in the book has reserved; None where the venue
    reserves nothing. `margin_mode` is None where the venue does not keep it for each position.
    """

    symbol: str
    side: PositionSide
    quantity: Decimal
    entry_price: Decimal | None
    leverage: Decimal | None
    closable: Decimal | None = None
    margin_mode: MarginMode | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account holds of one currency: in total, and free for new margin."""

    currency: str
    total: Decimal
    available: Decimal
