"""Accounts and positions: cash, what a fill does to them, and how much margin is free.

The arithmetic is exact. A position keeps its signed size and its signed cost (what the size was
bought for); a reduction moves a share of the cost into realised profit. Whatever is rounded off one
is in the other, so cash + size x price - cost always equals the start balance plus every fill's
own result less its fee.

Not modelled: liquidation, funding, maintenance margin, risk tiers, fee discounts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from providers.sandbox.values import (
    NO_PROTECTION,
    ZERO,
    Fill,
    Leg,
    MarginMode,
    Order,
    PositionMode,
    Protection,
    Side,
)

if TYPE_CHECKING:
    from providers.sandbox.market import Market

MONEY: Final = Decimal("0.000000000001")
"""Released cost is rounded to this; the rest stays in the position's cost."""

FEE: Final = Decimal("0.00000001")
"""Fees are rounded to this, as venues report them."""

DEFAULT_LEVERAGE: Final = Decimal(10)


class Settled(NamedTuple):
    """What one fill did: quantity that reduced a position, and the profit that booked."""

    closed_qty: Decimal
    realised: Decimal


@dataclass(slots=True)
class Trail:
    """A stop that follows the price at a distance.

    Attributes:
        active_at: it begins to follow when last gets there; None: at once.
        best: the best price since it began, None before.
    """

    distance: Decimal
    active_at: Decimal | None = None
    best: Decimal | None = None

    def follow(self, last: Decimal, *, long: bool) -> bool:
        """Look at a price; whether it has come back so far that the position is to be closed."""
        sign = 1 if long else -1
        if self.best is None:
            if self.active_at is not None and sign * (last - self.active_at) < 0:
                return False
            self.best = last
        if sign * (last - self.best) > 0:
            self.best = last
        return sign * (self.best - last) >= self.distance


@dataclass(slots=True, eq=False)
class Position:
    """One leg of one symbol; `size` is negative for a short.

    Attributes:
        cost: signed entry value; entry price is cost / size.
        added: isolated margin put in beside the initial one, until the position is flat.
        realised: profit booked since the position was last flat, fees left out.
        sequence: grows with every change.
    """

    symbol: str
    leg: Leg
    size: Decimal = ZERO
    cost: Decimal = ZERO
    added: Decimal = ZERO
    realised: Decimal = ZERO
    realised_ever: Decimal = ZERO
    protection: Protection = NO_PROTECTION
    trail: Trail | None = None
    created_ms: int = 0
    updated_ms: int = 0
    sequence: int = 0

    @property
    def side(self) -> Side | None:
        """The side it was opened with, None when flat."""
        if not self.size:
            return None
        return Side.BUY if self.size > 0 else Side.SELL

    @property
    def entry(self) -> Decimal:
        """Average entry price, zero when flat."""
        return self.cost / self.size if self.size else ZERO

    def profit(self, price: Decimal) -> Decimal:
        """Unrealised profit at `price`."""
        return self.size * price - self.cost

    def apply(self, signed_qty: Decimal, price: Decimal, now_ms: int) -> Settled:
        """Trade `signed_qty` (negative sells) at `price`; crossing zero closes, then opens."""
        if not self.size:
            self.created_ms = now_ms
            self.realised = ZERO
        opposite = self.size * signed_qty < 0
        closing = min(abs(signed_qty), abs(self.size)) if opposite else ZERO
        realised = ZERO
        if closing:
            signed_close = closing if signed_qty > 0 else -closing
            if closing == abs(self.size):
                released = self.cost
            else:
                released = (self.cost * closing / abs(self.size)).quantize(
                    MONEY, rounding=ROUND_HALF_EVEN
                )
            realised = -signed_close * price - released
            self.size += signed_close
            self.cost -= released
        opening = signed_qty + closing if signed_qty < 0 else signed_qty - closing
        if opening:
            self.size += opening
            self.cost += opening * price
        self.realised += realised
        self.realised_ever += realised
        if not self.size or (closing and opening):
            self.protection = NO_PROTECTION
            self.trail = None
            self.added = ZERO
        self.updated_ms = now_ms
        self.sequence += 1
        return Settled(closing, realised)


@dataclass(slots=True, eq=False)
class Account:
    """One customer of one venue.

    Attributes:
        wallet: cash in USDT: the start balance plus realised profit less fees.
        symbol_modes: position mode of symbols that differ from `position_mode`.
        margin_modes: margin mode of symbols that differ from `margin_mode`.
        default_leverage: in force for a leg until another is set.
        orders: every order ever accepted, by order id; `by_client` keeps the latest of each id.
        recent: the latest closed orders, oldest first (venues keep only so many at hand).
        fills: every execution, oldest first.
    """

    name: str
    key: str
    secret: str = field(repr=False)
    start_balance: Decimal
    position_mode: PositionMode = PositionMode.ONE_WAY
    margin_mode: MarginMode = MarginMode.CROSS
    wallet: Decimal = ZERO
    order_margin: Decimal = ZERO
    symbol_modes: dict[str, PositionMode] = field(default_factory=dict)
    margin_modes: dict[str, MarginMode] = field(default_factory=dict)
    leverages: dict[tuple[str, Leg], Decimal] = field(default_factory=dict)
    default_leverage: Decimal = DEFAULT_LEVERAGE
    positions: dict[tuple[str, Leg], Position] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    by_client: dict[str, Order] = field(default_factory=dict)
    open: dict[str, Order] = field(default_factory=dict)
    recent: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wallet = self.start_balance

    def mode(self, symbol: str) -> PositionMode:
        """Position mode in force for a symbol."""
        return self.symbol_modes.get(symbol, self.position_mode)

    def margin(self, symbol: str) -> MarginMode:
        """Margin mode in force for a symbol."""
        return self.margin_modes.get(symbol, self.margin_mode)

    def position(self, symbol: str, leg: Leg) -> Position:
        """The position of a leg, created flat on first use."""
        found = self.positions.get((symbol, leg))
        if found is None:
            found = self.positions[(symbol, leg)] = Position(symbol, leg)
        return found

    def size(self, symbol: str, leg: Leg) -> Decimal:
        """Signed size of a leg, without creating it."""
        found = self.positions.get((symbol, leg))
        return found.size if found is not None else ZERO

    def leverage(self, symbol: str, leg: Leg) -> Decimal:
        """Leverage of a leg; the net position uses the long one."""
        key = (symbol, Leg.LONG if leg is Leg.NET else leg)
        return self.leverages.get(key, self.default_leverage)

    def opening_leverage(self, symbol: str, leg: Leg, side: Side) -> Decimal:
        """Leverage of an order that opens; where legs have it apart, a net order's side tells."""
        del side
        return self.leverage(symbol, leg)

    def position_margin(self, position: Position) -> Decimal:
        """Margin a position holds: entry value over leverage, and what was added."""
        return abs(position.cost) / self.leverage(position.symbol, position.leg) + position.added

    def margin_in_use(self) -> Decimal:
        """Initial margin of all positions."""
        return sum((self.position_margin(p) for p in self.positions.values() if p.size), ZERO)

    def unrealised(self, market: Market, now_ms: int) -> Decimal:
        """Unrealised profit of all positions at the mark."""
        return sum(
            (p.profit(market.mark(p.symbol, now_ms)) for p in self.positions.values() if p.size),
            ZERO,
        )

    def equity(self, market: Market, now_ms: int) -> Decimal:
        """Cash plus unrealised profit."""
        return self.wallet + self.unrealised(market, now_ms)

    def available(self, market: Market, now_ms: int) -> Decimal:
        """What new orders may use; unrealised profit counts in cross margin only."""
        counted = sum(
            (
                p.profit(market.mark(p.symbol, now_ms))
                for p in self.positions.values()
                if p.size and self.margin(p.symbol) is MarginMode.CROSS
            ),
            ZERO,
        )
        return self.wallet + counted - self.margin_in_use() - self.order_margin
