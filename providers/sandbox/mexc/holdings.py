"""Positions as MEXC numbers them: one from the first opening fill until it is flat, then history.

The engine has one position a leg for good. MEXC gives every new position an id and keeps the closed
ones. Both follow from the fills, so they are read off those, when somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from providers.sandbox.values import ZERO, Fill, Leg, MarginMode, Side

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.mexc.account import MexcAccount

_FIRST_ID = 1_394_000


@dataclass(slots=True, kw_only=True, eq=False)
class Holding:
    """One position from opening to flat.

    Attributes:
        direction: long or short, in one-way mode too.
        opened: base asset bought into it, `closed` taken out of it; values in USDT.
        profit: booked by closing, before fees.
        leverage: in force when it was opened, or closed at the end.
    """

    position_id: int
    symbol: str
    leg: Leg
    direction: Leg
    open_type: MarginMode
    leverage: Decimal
    created_ms: int
    updated_ms: int
    opened: Decimal = ZERO
    opened_value: Decimal = ZERO
    closed: Decimal = ZERO
    closed_value: Decimal = ZERO
    profit: Decimal = ZERO
    fee: Decimal = ZERO
    version: int = 0

    @property
    def open(self) -> bool:
        """Whether anything is left of it."""
        return self.opened != self.closed


@dataclass(slots=True, eq=False)
class Holdings:
    """All holdings of one account.

    Attributes:
        of_order: the position each order worked on, by order id.
        history: closed ones, oldest first.
    """

    of_order: dict[str, int] = field(default_factory=dict)
    history: list[Holding] = field(default_factory=list)
    _current: dict[tuple[str, Leg], Holding] = field(default_factory=dict)
    _read: int = 0

    def current(self, account: MexcAccount, symbol: str, leg: Leg) -> Holding | None:
        """The open holding of a leg."""
        self.catch_up(account)
        return self._current.get((symbol, leg))

    def by_id(self, account: MexcAccount, position_id: int) -> Holding | None:
        """An open holding by its id."""
        self.catch_up(account)
        return next(
            (item for item in self._current.values() if item.position_id == position_id), None
        )

    def closed_by(self, account: MexcAccount, order_id: str) -> Holding | None:
        """The closed holding that an order worked on last."""
        self.catch_up(account)
        number = self.of_order.get(order_id)
        return next((item for item in reversed(self.history) if item.position_id == number), None)

    def catch_up(self, account: MexcAccount) -> None:
        """Read the fills that came since the last time."""
        fills = account.fills
        while self._read < len(fills):
            self._book(account, fills[self._read])
            self._read += 1

    def _book(self, account: MexcAccount, fill: Fill) -> None:
        key = (fill.symbol, fill.leg)
        holding = self._current.get(key)
        opened = fill.qty - fill.closed_qty
        closing_fee = fill.fee * fill.closed_qty / fill.qty
        if fill.closed_qty and holding is not None:
            holding.closed += fill.closed_qty
            holding.closed_value += fill.closed_qty * fill.price
            holding.profit += fill.realised
            _touch(holding, fill, closing_fee)
            self.of_order.setdefault(fill.order_id, holding.position_id)
            if not holding.open:
                holding.leverage = account.leverages.get(
                    (fill.symbol, holding.direction), holding.leverage
                )
                self.history.append(holding)
                del self._current[key]
                holding = None
        if not opened:
            return
        if holding is None:
            holding = self._current[key] = _new(account, fill)
        holding.opened += opened
        holding.opened_value += opened * fill.price
        _touch(holding, fill, fill.fee - closing_fee)
        self.of_order[fill.order_id] = holding.position_id


def _new(account: MexcAccount, fill: Fill) -> Holding:
    direction = Leg.LONG if fill.side is Side.BUY else Leg.SHORT
    asked = account.asked.get(fill.order_id)
    return Holding(
        position_id=_FIRST_ID + fill.sequence,
        symbol=fill.symbol,
        leg=fill.leg,
        direction=direction,
        open_type=asked.open_type if asked else account.open_type(fill.symbol, direction),
        leverage=asked.leverage if asked else account.default_leverage,
        created_ms=fill.at_ms,
        updated_ms=fill.at_ms,
    )


def _touch(holding: Holding, fill: Fill, fee: Decimal) -> None:
    holding.fee += fee
    holding.updated_ms = fill.at_ms
    holding.version += 1
