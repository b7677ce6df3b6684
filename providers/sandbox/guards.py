"""Take profit and stop loss: of whole positions, and of parts of them. No I/O.

One of a whole position is a pair of prices the position carries; when one is reached, the venue
closes what is held then. One of a part is a pair of conditional orders that can be looked up and
cancelled; when one triggers, the other goes, and both go when the position is flat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.sandbox import checks
from providers.sandbox.values import (
    NO_PROTECTION,
    ZERO,
    EndCause,
    Leg,
    NewOrder,
    Order,
    OrderKind,
    OrderState,
    Origin,
    Side,
    Trigger,
    TriggerPrice,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.account import Account, Position, Trail
    from providers.sandbox.book import Book
    from providers.sandbox.market import Market
    from providers.sandbox.values import Protection


class Guards:
    """Everything that waits to close positions of one venue.

    Args:
        book: where the closing orders go.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._whole: dict[tuple[str, str, Leg], None] = {}

    @property
    def busy(self) -> bool:
        """Whether the price has to be looked at."""
        return bool(self._whole)

    def clear(self) -> None:
        """Forget all."""
        self._whole.clear()

    def set(
        self, account: Account, position: Position, protection: Protection, now_ms: int
    ) -> None:
        """Give a position its take profit and stop loss."""
        position.protection = protection
        position.updated_ms = now_ms
        key = (account.name, position.symbol, position.leg)
        if protection or position.trail:
            self._whole[key] = None
        else:
            self._whole.pop(key, None)

    def trail(self, account: Account, position: Position, trail: Trail | None, now_ms: int) -> None:
        """Give a position a stop that follows the price, or take it away."""
        position.trail = trail
        position.updated_ms = now_ms
        if trail is not None:
            self._whole[account.name, position.symbol, position.leg] = None

    def filled(self, order: Order, position: Position, now_ms: int) -> None:
        """Let what an order brought for the whole position take hold after a fill."""
        protection = order.protection
        if protection and not protection.partial and position.size * order.side.sign > 0:
            self.set(self._book.accounts[order.account], position, protection, now_ms)
        elif not (position.protection or position.trail):
            self._whole.pop((order.account, position.symbol, position.leg), None)

    def opened(self, order: Order, position: Position, qty: Decimal, now_ms: int) -> None:
        """Guard what a fill opened, where the order asks for that; flat positions need no guard."""
        account = self._book.accounts[order.account]
        if order.protection.partial and qty:
            self.split(account, position, order.protection, (qty, qty), now_ms)
        if not position.size:
            self._drop_parts(account, position, now_ms)

    def split(
        self,
        account: Account,
        position: Position,
        protection: Protection,
        quantities: tuple[Decimal, Decimal],
        now_ms: int,
    ) -> list[Order]:
        """Guard parts of a position by conditional orders: take profit and stop loss, as given."""
        made = []
        long = position.size > 0
        for stop, qty in zip(protection.stops(), quantities, strict=True):
            if stop.price is not None:
                rising = long is (stop.origin is Origin.TAKE_PROFIT)
                trigger = Trigger(stop.price, rising, stop.by)
                made.append(
                    self._close(account, position, qty, stop.origin, now_ms, trigger, stop.limit)
                )
        if len(made) > 1:
            made[0].pair, made[1].pair = made[1], made[0]
        return made

    def look(self, now_ms: int) -> None:
        """Close the positions whose price is there, with orders of the venue's own."""
        for name, symbol, leg in list(self._whole):
            account = self._book.accounts[name]
            position = account.position(symbol, leg)
            origin = _reached(position, self._book.market, now_ms)
            if origin is not None:
                position.trail = None
                self.set(account, position, NO_PROTECTION, now_ms)
                self._close(account, position, abs(position.size), origin, now_ms)

    def triggered(self, order: Order, now_ms: int) -> None:
        """Drop the other of a pair."""
        if order.pair is not None and not order.pair.state.final:
            self._book.end(order.pair, OrderState.CANCELED, EndCause.PAIR_TRIGGERED, now_ms)

    def _close(
        self,
        account: Account,
        position: Position,
        qty: Decimal,
        origin: Origin,
        now_ms: int,
        trigger: Trigger | None = None,
        limit: Decimal | None = None,
    ) -> Order:
        new = NewOrder(
            symbol=position.symbol,
            side=Side.SELL if position.size > 0 else Side.BUY,
            kind=OrderKind.MARKET if limit is None else OrderKind.LIMIT,
            qty=qty,
            price=limit,
            leg=position.leg,
            reduce_only=True,
            trigger=trigger,
            origin=origin,
        )
        worst = limit
        if worst is None:
            last = self._book.market.last(position.symbol, now_ms)
            worst = self._book.market_limit(position.symbol, new.side, last)
        accepted = checks.Accepted(qty, worst, closing=True, opening_qty=ZERO, value=ZERO)
        return self._book.accept(account, new, accepted, now_ms, arrived_ms=now_ms)

    def _drop_parts(self, account: Account, position: Position, now_ms: int) -> None:
        for order in list(account.open.values()):
            if (
                order.state is OrderState.UNTRIGGERED
                and order.origin is not Origin.CLIENT
                and (order.symbol, order.leg) == (position.symbol, position.leg)
            ):
                self._book.end(order, OrderState.CANCELED, EndCause.NOTHING_TO_REDUCE, now_ms)


def _reached(position: Position, market: Market, now_ms: int) -> Origin | None:
    """Which protection the price has reached, if any."""
    if not position.size:
        return None
    prices = market.prices(position.symbol, now_ms)
    up = position.size > 0
    for stop in position.protection.stops():
        price = prices.last if stop.by is TriggerPrice.LAST else prices.mark
        rising = up is (stop.origin is Origin.TAKE_PROFIT)
        if stop.price is not None and Trigger(stop.price, rising).met(price):
            return stop.origin
    if position.trail is not None and position.trail.follow(prices.last, long=up):
        return Origin.TRAILING_STOP
    return None
