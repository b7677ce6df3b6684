"""Conditional orders: a book of their own, apart from the engine's, as Binance has had since 2025.

A conditional order waits for a price. Once it is there, an ordinary order is placed in its name:
from then on that order has an id of its own (`actualOrderId`) and the conditional one only tells
about it. Nothing is checked against position or margin before. Time is an argument; no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from providers.sandbox.binance.algo_event import event
from providers.sandbox.journal import Told
from providers.sandbox.values import (
    Leg,
    NewOrder,
    Order,
    OrderKind,
    Origin,
    Refusal,
    Refused,
    Side,
    TimeInForce,
    Treatment,
    Trigger,
    TriggerPrice,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.account import Account
    from providers.sandbox.engine import Engine

MAX_OPEN: Final = 200
"""Open conditional orders an account may have."""

_FIRST_ID: Final = 1_000_001_522_000_000


class AlgoStatus(StrEnum):
    """Where a conditional order stands."""

    NEW = "NEW"
    CANCELED = "CANCELED"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class AlgoType(StrEnum):
    """What it becomes, and which way it waits."""

    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"

    @property
    def stops(self) -> bool:
        """Whether it waits for the price to run away; a take profit waits for it to come back."""
        return self in (AlgoType.STOP, AlgoType.STOP_MARKET)

    @property
    def kind(self) -> OrderKind:
        """The kind of order it becomes."""
        by_market = (AlgoType.STOP_MARKET, AlgoType.TAKE_PROFIT_MARKET)
        return OrderKind.MARKET if self in by_market else OrderKind.LIMIT

    def rising(self, side: Side) -> bool:
        """Whether the price has to rise to the trigger."""
        return self.stops is (side is Side.BUY)


@dataclass(slots=True, kw_only=True, eq=False)
class Algo:
    """One conditional order.

    Attributes:
        qty: zero with `close_position`.
        order: what it became, once triggered and accepted.
        ended: how it ended without an order, None while it waits or has one; `refusal` is why.
    """

    algo_id: int
    client_id: str
    account: str
    symbol: str
    side: Side
    leg: Leg
    type: AlgoType
    trigger: Trigger
    qty: Decimal
    price: Decimal | None
    time_in_force: TimeInForce
    reduce_only: bool
    close_position: bool
    price_protect: bool
    treatment: Treatment
    arrived_ms: int
    arrived_ns: int
    created_ms: int
    updated_ms: int
    visible_ms: int
    triggered_ms: int = 0
    order: Order | None = None
    ended: AlgoStatus | None = None
    refusal: str = ""

    @property
    def waits(self) -> bool:
        """Whether it is open: neither triggered nor ended."""
        return self.order is None and self.ended is None

    @property
    def status(self) -> AlgoStatus:
        """Where it stands now."""
        if self.ended is not None:
            return self.ended
        if self.order is None:
            return AlgoStatus.NEW
        return AlgoStatus.FINISHED if self.order.state.final else AlgoStatus.TRIGGERED

    def new_order(self, held: Decimal) -> NewOrder:
        """The order it becomes.

        Args:
            held: what the position holds now, for one that closes it whole.
        """
        return NewOrder(
            symbol=self.symbol,
            side=self.side,
            kind=self.type.kind,
            qty=held if self.close_position else self.qty,
            price=self.price,
            time_in_force=self.time_in_force,
            leg=self.leg,
            reduce_only=self.reduce_only or self.close_position,
            client_order_id=self.client_id,
            origin=Origin.STOP_LOSS if self.type.stops else Origin.TAKE_PROFIT,
        )


@dataclass(slots=True)
class AlgoBook:
    """All conditional orders of the venue, by id; triggered and ended ones too.

    Args:
        engine: where the orders they become are placed.
    """

    engine: Engine
    _all: dict[str, dict[int, Algo]] = field(default_factory=dict)
    _waiting: dict[int, Algo] = field(default_factory=dict)
    _count: int = 0

    @property
    def busy(self) -> bool:
        """Whether any waits for a price."""
        return bool(self._waiting)

    def next_id(self) -> int:
        """An id for the next one."""
        self._count += 1
        return _FIRST_ID + self._count

    def add(self, algo: Algo) -> None:
        """Take one in."""
        self._all.setdefault(algo.account, {})[algo.algo_id] = algo
        self._waiting[algo.algo_id] = algo
        self.note(algo, algo.created_ms)

    def of(self, account: Account) -> list[Algo]:
        """Every one of an account, oldest first."""
        return list(self._all.get(account.name, {}).values())

    def open_of(self, account: Account, symbol: str = "") -> list[Algo]:
        """The ones of an account that wait, of one symbol or of all."""
        return [
            algo
            for algo in self._waiting.values()
            if algo.account == account.name and symbol in ("", algo.symbol)
        ]

    def find(self, account: Account, algo_id: int, client_id: str) -> Algo | None:
        """The one of that id (`algo_id` wins), the latest of those with that client id."""
        mine = self._all.get(account.name, {})
        if algo_id:
            return mine.get(algo_id)
        return next((a for a in reversed(mine.values()) if a.client_id == client_id), None)

    def cancel(self, algo: Algo, now_ms: int) -> None:
        """End one that waits."""
        algo.ended, algo.updated_ms = AlgoStatus.CANCELED, now_ms
        self._waiting.pop(algo.algo_id, None)
        self.note(algo, now_ms)

    def of_order(self, account: Account, order_id: str) -> Algo | None:
        """The one that became that order."""
        mine = self.of(account)
        return next((a for a in mine if a.order and a.order.order_id == order_id), None)

    def note(self, algo: Algo, now_ms: int) -> None:
        """Note a change of one for the streams, if any are open."""
        journal = self.engine.book.journal
        if journal is not None:
            account = self.engine.book.accounts[algo.account]
            step = self.engine.market.instruments[algo.symbol].step
            journal.tell(
                Told(
                    account=account,
                    symbol=algo.symbol,
                    client_order_id=algo.client_id,
                    body=event(algo, step, now_ms),
                    at_ms=now_ms,
                )
            )

    def price_of(self, symbol: str, trigger: Trigger, now_ms: int) -> Decimal:
        """The price a trigger goes by."""
        prices = self.engine.market.prices(symbol, now_ms)
        return prices.last if trigger.by is TriggerPrice.LAST else prices.mark

    def look(self, now_ms: int) -> None:
        """Trigger what the prices of one instant allow."""
        for algo in list(self._waiting.values()):
            if algo.trigger.met(self.price_of(algo.symbol, algo.trigger, now_ms)):
                self._trigger(algo, now_ms)

    def rewind(self, by_ms: int) -> None:
        """Keep what is hidden hidden as long although the clock was set back by `by_ms`."""
        for mine in self._all.values():
            for algo in mine.values():
                algo.visible_ms -= by_ms

    def clear(self) -> None:
        """Forget all."""
        self._all.clear()
        self._waiting.clear()
        self._count = 0

    def _trigger(self, algo: Algo, now_ms: int) -> None:
        del self._waiting[algo.algo_id]
        algo.triggered_ms = algo.updated_ms = now_ms
        account = self.engine.book.accounts[algo.account]
        held = abs(account.size(algo.symbol, algo.leg))
        if algo.close_position and not held:
            algo.ended = AlgoStatus.EXPIRED
            self.note(algo, now_ms)
            return
        try:
            algo.order = self.engine.place(
                account,
                algo.new_order(held),
                now_ms,
                treatment=algo.treatment,
                arrived_ms=algo.arrived_ms,
                arrived_ns=algo.arrived_ns,
            )
        except Refused as refused:
            nothing = refused.reason is Refusal.NOTHING_TO_REDUCE
            algo.ended = AlgoStatus.EXPIRED if nothing else AlgoStatus.REJECTED
            algo.refusal = str(refused)
        self.note(algo, now_ms)
