"""Order life after acceptance: reaching the book, triggers, fills, ends, protective closes. No I/O.

Time is an argument. Nothing happens between calls: `advance` brings the book up to an instant.
Steps that take time (an execution, a cancel) wait in a heap; prices are looked at on the market's
grid while some order or protection waits for them. Whether an order may be accepted at all is
decided before, in `engine.py`.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from providers.sandbox import checks
from providers.sandbox.account import FEE, MONEY, Account
from providers.sandbox.guards import Guards
from providers.sandbox.journal import Journal, What
from providers.sandbox.market import GRID_MS, Market
from providers.sandbox.matching import Match, Rest, crosses, meet
from providers.sandbox.values import (
    ORDINARY,
    ZERO,
    EndCause,
    Fill,
    Leg,
    NewOrder,
    Order,
    OrderKind,
    OrderState,
    Side,
    TimeInForce,
    Treatment,
    TriggerPrice,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.rules import VenueRules, Watcher
    from providers.sandbox.truth import Truth

_MAX_GRID_STEPS: Final = 600
"""After a jump of the clock at most this many grid instants are looked at, the latest ones."""


class _Step(StrEnum):
    WORK = "work"
    CANCEL = "cancel"


class Book:
    """The orders of one venue that are on their way.

    Args:
        rules: where this venue differs.
        market: its instruments and prices.
        truth: the ledger orders and fills are written to.
        fill_delay_ms: how long acceptance, each execution and a cancel take; 0 settles at once.
        splits: executions a fill is made of.
    """

    def __init__(
        self, rules: VenueRules, market: Market, truth: Truth, *, fill_delay_ms: int, splits: int
    ) -> None:
        self.rules = rules
        self.market = market
        self.truth = truth
        self.accounts: dict[str, Account] = {}
        self.fill_delay_ms = fill_delay_ms
        self.splits = splits
        self.watcher: Watcher | None = None
        self.journal: Journal | None = None
        self._due: list[tuple[int, int, _Step, Order]] = []
        self._ticket = 0
        self._grid = 0
        self._waiting: defaultdict[str, dict[str, Order]] = defaultdict(dict)
        self.guards = Guards(self)

    # -- in ----------------------------------------------------------------------------------

    def accept(
        self,
        account: Account,
        new: NewOrder,
        accepted: checks.Accepted,
        now_ms: int,
        *,
        treatment: Treatment = ORDINARY,
        arrived_ms: int,
        arrived_ns: int = 0,
    ) -> Order:
        """Take in a checked order; it moves on after the fill delay."""
        sequence = len(self.truth.orders) + 1
        market_order = new.kind is OrderKind.MARKET
        order = Order(
            sequence=sequence,
            order_id=self.rules.order_id(sequence),
            client_order_id=new.client_order_id,
            venue=self.rules.venue,
            account=account.name,
            symbol=new.symbol,
            side=new.side,
            leg=new.leg,
            kind=new.kind,
            time_in_force=TimeInForce.IOC if market_order else new.time_in_force,
            asked_qty=new.qty,
            qty=accepted.qty,
            price=new.price,
            limit=accepted.limit,
            reduce_only=new.reduce_only or new.close_whole,
            closing=accepted.closing,
            protection=new.protection,
            trigger=new.trigger,
            origin=new.origin,
            treatment=treatment,
            arrived_ms=arrived_ms,
            arrived_ns=arrived_ns,
            accepted_ms=now_ms,
            updated_ms=now_ms,
            visible_ms=now_ms + treatment.hide_ms,
        )
        self.truth.orders.append(order)
        account.orders[order.order_id] = order
        account.open[order.order_id] = order
        if order.client_order_id:
            account.by_client[order.client_order_id] = order
        self.note(What.NEW, order, now_ms)
        if order.trigger is not None:
            order.state = OrderState.UNTRIGGERED
            self._waiting[order.symbol][order.order_id] = order
        elif self.fill_delay_ms:
            self.reserve(account, order, accepted.value)
            self._later(_Step.WORK, order, now_ms)
        else:
            self.work(order, now_ms)
            if order.in_book:
                self.reserve(account, order, accepted.value * order.leaves / order.qty)
        return order

    def cancel(self, order: Order, now_ms: int) -> None:
        """Ask for an open order to be cancelled; it may still fill before that happens."""
        if self.fill_delay_ms and not self.rules.cancels_at_once:
            self._later(_Step.CANCEL, order, now_ms)
        else:
            self.end(order, OrderState.CANCELED, EndCause.BY_USER, now_ms)

    def margin(
        self, account: Account, symbol: str, leg: Leg, value: Decimal, *, side: Side = Side.BUY
    ) -> Decimal:
        """Initial margin and taker fee that opening `value` of notional needs."""
        leverage = account.opening_leverage(symbol, leg, side)
        needed = value / leverage + value * self.rules.taker_fee
        return needed.quantize(MONEY)

    def reserve(self, account: Account, order: Order, value: Decimal) -> None:
        """Hold the margin for `value` of notional still open, instead of what is held now."""
        needed = ZERO
        if value:
            needed = self.margin(account, order.symbol, order.leg, value, side=order.side)
        account.order_margin += needed - order.reserved
        order.reserved = needed

    def note(self, what: What, order: Order, now_ms: int) -> None:
        """Note a change of an order for the streams, if any are open."""
        if self.journal is not None:
            self.journal.note(what, self.accounts[order.account], order, now_ms)

    # -- time --------------------------------------------------------------------------------

    def advance(self, now_ms: int) -> None:
        """Bring order life up to `now_ms`: steps that are due, then prices on the grid."""
        due = self._due
        while due and due[0][0] <= now_ms:
            at_ms, _, step, order = heapq.heappop(due)
            if step is _Step.WORK:
                self.work(order, at_ms)
            elif not order.state.final:
                self.end(order, OrderState.CANCELED, EndCause.BY_USER, at_ms)
        grid = now_ms // GRID_MS
        if grid <= self._grid:
            return
        first = max(self._grid + 1, grid - _MAX_GRID_STEPS)
        self._grid = grid
        watched = self.watcher is not None and self.watcher.busy
        if watched or self.guards.busy or any(self._waiting.values()):
            for instant in range(first, grid + 1):
                self.look_at_prices(instant * GRID_MS)

    def look_at_prices(self, now_ms: int) -> None:
        """Trigger and fill what the prices of one instant allow."""
        for symbol in [symbol for symbol, orders in self._waiting.items() if orders]:
            for order in list(self._waiting[symbol].values()):
                self._look_at_order(order, now_ms)
        self.guards.look(now_ms)
        if self.watcher is not None:
            self.watcher.look(now_ms)

    def rewind(self, by_ms: int, now_ms: int) -> None:
        """Keep waiting steps due although the clock was set back by `by_ms` to `now_ms`."""
        self._due = [(due - by_ms, ticket, step, order) for due, ticket, step, order in self._due]
        self._grid = now_ms // GRID_MS
        for account in self.accounts.values():
            for order in account.orders.values():
                order.visible_ms -= by_ms

    def forget_recent(self) -> None:
        """Drop the recently closed orders, as a restart of the venue's order service does."""
        for account in self.accounts.values():
            account.recent.clear()

    def reset(self, accounts: list[Account]) -> None:
        """Start again with these accounts and nothing else."""
        self.accounts = {account.name: account for account in accounts}
        self._due.clear()
        self._waiting.clear()
        self.guards.clear()
        self._grid = 0

    # -- inside ------------------------------------------------------------------------------

    def work(self, order: Order, now_ms: int) -> None:
        """Let an order meet the price: one execution, or (without a delay) until it is done."""
        while not order.state.final:
            if order.treatment.reject_reason is not None:
                order.reject_reason = order.treatment.reject_reason
                self.end(order, OrderState.REJECTED, EndCause.REJECTED, now_ms)
                return
            if order.closing and not self._still_reduces(order, now_ms):
                return
            match = self._meet(order, now_ms)
            if match.parts:
                part = match.parts[0]
                if self._fill(order, part.qty, part.price, now_ms, maker=match.maker):
                    return
                if len(match.parts) > 1:
                    if self.fill_delay_ms:
                        self._later(_Step.WORK, order, now_ms)
                        return
                    continue
            if match.rest is Rest.RESTS:
                order.in_book = True
                self._waiting[order.symbol][order.order_id] = order
            else:
                self.end(order, OrderState.CANCELED, match.cause, now_ms)
            return

    def _meet(self, order: Order, now_ms: int) -> Match:
        splits = self.splits if order.treatment.splits is None else order.treatment.splits
        return meet(
            order,
            self.market.instruments[order.symbol],
            self.market.last(order.symbol, now_ms),
            splits=splits - len(order.fills),
        )

    def _still_reduces(self, order: Order, now_ms: int) -> bool:
        """Cut a reducing order to what the position holds by now; end it when nothing is left."""
        held = -self.accounts[order.account].size(order.symbol, order.leg) * order.side.sign
        if held <= 0:
            self.end(order, OrderState.CANCELED, EndCause.NOTHING_TO_REDUCE, now_ms)
            return False
        order.qty = min(order.qty, order.filled + held)
        return True

    def _fill(
        self, order: Order, qty: Decimal, price: Decimal, now_ms: int, *, maker: bool
    ) -> bool:
        """Book one execution; whether it completed the order."""
        account = self.accounts[order.account]
        position = account.position(order.symbol, order.leg)
        settled = position.apply(qty * order.side.sign, price, now_ms)
        value = qty * price
        rate = self.rules.maker_fee if maker else self.rules.taker_fee
        fee = (value * rate).quantize(FEE)
        account.wallet += settled.realised - fee
        left_before = order.leaves
        order.filled += qty
        order.value += value
        order.fee += fee
        order.updated_ms = now_ms
        whole = order.filled >= order.qty
        order.state = OrderState.FILLED if whole else OrderState.PARTIALLY_FILLED
        sequence = len(self.truth.fills) + 1
        fill = Fill(
            sequence=sequence,
            fill_id=self.rules.fill_id(sequence),
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            venue=order.venue,
            account=order.account,
            symbol=order.symbol,
            side=order.side,
            leg=order.leg,
            price=price,
            qty=qty,
            value=value,
            fee=fee,
            fee_rate=rate,
            maker=maker,
            closed_qty=settled.closed_qty,
            realised=settled.realised,
            leaves=order.qty - order.filled,
            at_ms=now_ms,
        )
        self.truth.fills.append(fill)
        order.fills.append(fill)
        account.fills.append(fill)
        if order.reserved:
            kept = (order.reserved * order.leaves / left_before).quantize(MONEY)
            account.order_margin += kept - order.reserved
            order.reserved = kept
        self.guards.filled(order, position, now_ms)
        if whole:
            self._close(account, order)
        if self.journal is not None:
            self.journal.note(What.FILL, account, order, now_ms, fill=fill, position=position)
        self.guards.opened(order, position, qty - settled.closed_qty, now_ms)
        return whole

    def end(self, order: Order, state: OrderState, cause: EndCause, now_ms: int) -> None:
        """End an order that is not filled whole."""
        if state is OrderState.CANCELED and order.state is OrderState.UNTRIGGERED:
            state = OrderState.DEACTIVATED
        order.state, order.end_cause, order.updated_ms = state, cause, now_ms
        self._close(self.accounts[order.account], order)
        self.note(What.END, order, now_ms)

    def _close(self, account: Account, order: Order) -> None:
        account.order_margin -= order.reserved
        order.reserved = ZERO
        order.in_book = False
        waiting = self._waiting.get(order.symbol)
        if waiting:
            waiting.pop(order.order_id, None)
        account.open.pop(order.order_id, None)
        account.recent[order.order_id] = order
        if len(account.recent) > self.rules.recent_closed:
            del account.recent[next(iter(account.recent))]

    def _later(self, step: _Step, order: Order, now_ms: int) -> None:
        self._ticket += 1
        heapq.heappush(self._due, (now_ms + self.fill_delay_ms, self._ticket, step, order))

    def _look_at_order(self, order: Order, now_ms: int) -> None:
        prices = self.market.prices(order.symbol, now_ms)
        if order.state is OrderState.UNTRIGGERED and order.trigger is not None:
            price = prices.last if order.trigger.by is TriggerPrice.LAST else prices.mark
            if order.trigger.met(price):
                del self._waiting[order.symbol][order.order_id]
                order.state, order.updated_ms = OrderState.NEW, now_ms
                self.note(What.TRIGGER, order, now_ms)
                self.guards.triggered(order, now_ms)
                if order.kind is OrderKind.MARKET:
                    order.limit = self.market_limit(order.symbol, order.side, prices.last)
                self.work(order, now_ms)
        elif order.in_book and crosses(order.side, order.limit, prices.last):
            self.work(order, now_ms)

    def market_limit(self, symbol: str, side: Side, last: Decimal) -> Decimal:
        """The worst price a market order may trade at."""
        lowest, highest = checks.price_band(self.market.instruments[symbol], last)
        return highest if side is Side.BUY else lowest
