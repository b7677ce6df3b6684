"""A MEXC account: margin mode and leverage by direction, what each order asked for, its holdings.

MEXC has no margin mode of an account or symbol: `openType` comes with each order and each leverage
call, and holds for one direction of one contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from providers.sandbox.account import Account, Position
from providers.sandbox.mexc.holdings import Holdings
from providers.sandbox.values import ZERO, Leg, MarginMode, Order, OrderState, Side

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.market import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What MEXC shows of an order and the engine does not keep.

    Attributes:
        side: 1 open long, 2 close short, 3 open short, 4 close long.
        kind: MEXC's order type, 1..6.
        hedge: position mode the order was placed in.
    """

    side: int
    kind: int
    open_type: MarginMode
    leverage: Decimal
    hedge: bool
    reduce_only: bool


@dataclass(slots=True, eq=False)
class MexcAccount(Account):
    """One MEXC customer.

    Attributes:
        open_types: margin mode of each direction that has been used or set.
        asked: what each order asked for, by order id.
        holdings: positions as MEXC numbers them, derived from fills.
    """

    open_types: dict[tuple[str, Leg], MarginMode] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    holdings: Holdings = field(default_factory=Holdings)

    def leverage(self, symbol: str, leg: Leg) -> Decimal:
        """Leverage of a leg; the net position uses that of the direction it has."""
        direction = direction_of(leg, self.size(symbol, leg))
        return self.leverages.get((symbol, direction), self.default_leverage)

    def opening_leverage(self, symbol: str, leg: Leg, side: Side) -> Decimal:
        """Leverage of the direction an order opens."""
        direction = leg
        if leg is Leg.NET:
            direction = Leg.LONG if side is Side.BUY else Leg.SHORT
        return self.leverages.get((symbol, direction), self.default_leverage)

    def open_type(self, symbol: str, direction: Leg) -> MarginMode:
        """Margin mode of a direction."""
        return self.open_types.get((symbol, direction), self.margin_mode)

    def available(self, market: Market, now_ms: int) -> Decimal:
        """What new orders may use; unrealised profit of cross positions counts."""
        counted = sum(
            (p.profit(market.mark(p.symbol, now_ms)) for p in self.held() if self._is_cross(p)),
            ZERO,
        )
        return self.wallet + counted - self.margin_in_use() - self.order_margin

    def held(self) -> list[Position]:
        """The positions that are not flat."""
        return [position for position in self.positions.values() if position.size]

    def frozen(self, symbol: str, leg: Leg) -> Decimal:
        """Base asset of a position that open close orders have reserved."""
        against = Side.SELL if self.size(symbol, leg) > 0 else Side.BUY
        return sum(
            (
                order.leaves
                for order in self.open.values()
                if order.closing
                and order.state is not OrderState.UNTRIGGERED
                and (order.symbol, order.leg, order.side) == (symbol, leg, against)
            ),
            ZERO,
        )

    def opening_orders(self, symbol: str, direction: Leg) -> list[Order]:
        """Open orders that would open or enlarge a position in that direction."""
        side = Side.BUY if direction is Leg.LONG else Side.SELL
        return [
            order
            for order in self.open.values()
            if order.symbol == symbol
            and order.side is side
            and not order.closing
            and order.leg in (Leg.NET, direction)
        ]

    def _is_cross(self, position: Position) -> bool:
        direction = direction_of(position.leg, position.size)
        return self.open_type(position.symbol, direction) is MarginMode.CROSS


def direction_of(leg: Leg, size: Decimal) -> Leg:
    """The direction of a position: its leg, or the sign of the net size (flat counts as long)."""
    if leg is not Leg.NET:
        return leg
    return Leg.SHORT if size < 0 else Leg.LONG
