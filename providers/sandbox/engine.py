"""One venue's matching engine seen from a facade: place, look up, amend, cancel, protect. No I/O.

It speaks no venue's words: reasons for a no are `Refusal` values, states are `OrderState`. Time is
an argument. Each call first brings the book up to `now_ms`, so that a look-up sees what the clock
says it must see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from providers.sandbox import checks
from providers.sandbox.book import Book
from providers.sandbox.journal import What
from providers.sandbox.rules import DuplicateIds, VenueRules
from providers.sandbox.values import (
    ORDINARY,
    ZERO,
    Leg,
    NewOrder,
    Order,
    OrderState,
    Protection,
    Refusal,
    Refused,
    Treatment,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.account import Account
    from providers.sandbox.market import Market
    from providers.sandbox.truth import Truth


class Engine:
    """The accounts and orders of one venue.

    Args:
        rules: where this venue differs.
        market: its instruments and prices.
        truth: the ledger orders and fills are written to, shared by all venues of a sandbox.
        fill_delay_ms: how long acceptance, each execution and a cancel take; 0 settles at once.
        splits: executions a fill is made of.
    """

    def __init__(
        self,
        rules: VenueRules,
        market: Market,
        truth: Truth,
        *,
        fill_delay_ms: int = 5,
        splits: int = 1,
    ) -> None:
        self.rules = rules
        self.market = market
        self.book = Book(rules, market, truth, fill_delay_ms=fill_delay_ms, splits=splits)
        self._truth = truth
        self._keys: dict[str, Account] = {}

    # -- accounts ----------------------------------------------------------------------------

    def add_account(self, account: Account) -> None:
        """Open an account.

        Raises:
            ValueError: its name or key is taken.
        """
        if account.name in self.book.accounts or account.key in self._keys:
            raise ValueError(
                f"{self.rules.venue}: an account named {account.name!r} or with key "
                f"{account.key!r} exists; choose another name and key"
            )
        self.book.accounts[account.name] = account
        self._keys[account.key] = account

    def account_of(self, key: str) -> Account | None:
        """The account an API key belongs to."""
        return self._keys.get(key)

    def accounts(self) -> list[Account]:
        """All accounts, in the order they were opened."""
        return list(self.book.accounts.values())

    def reset(self, accounts: list[Account]) -> None:
        """Start again with these accounts, without orders."""
        self.book.reset(accounts)
        self._keys = {account.key: account for account in accounts}

    # -- orders ------------------------------------------------------------------------------

    def check(self, account: Account, new: NewOrder, now_ms: int) -> checks.Accepted:
        """Every rule of acceptance, without accepting.

        Raises:
            Refused: with the rule that says no.
        """
        self._check_duplicate(account, new)
        instrument = checks.find_instrument(self.market.instruments, new.symbol)
        accepted = checks.check_order(
            new,
            instrument,
            mode=account.mode(new.symbol),
            size=account.size(new.symbol, new.leg),
            last=self.market.last(new.symbol, now_ms),
            trims_closes=self.rules.trims_closes,
        )
        self._check_counts(account, new)
        if accepted.opening_qty:
            needed = self.book.margin(account, new.symbol, new.leg, accepted.value, side=new.side)
            self._check_margin(account, needed, now_ms)
        return accepted

    def place(
        self,
        account: Account,
        new: NewOrder,
        now_ms: int,
        *,
        treatment: Treatment = ORDINARY,
        arrived_ms: int | None = None,
        arrived_ns: int = 0,
    ) -> Order:
        """Accept an order.

        Raises:
            Refused: with the rule that says no. Nothing was accepted.
        """
        self.book.advance(now_ms)
        if self.rules.duplicate_ids is DuplicateIds.RETURNS_EXISTING and new.client_order_id:
            twin = account.by_client.get(new.client_order_id)
            if twin is not None:
                return twin
        accepted = self.check(account, new, now_ms)
        return self.book.accept(
            account,
            new,
            accepted,
            now_ms,
            treatment=treatment,
            arrived_ms=now_ms if arrived_ms is None else arrived_ms,
            arrived_ns=arrived_ns,
        )

    def find(
        self, account: Account, now_ms: int, *, order_id: str = "", client_order_id: str = ""
    ) -> Order | None:
        """The order of that id (`order_id` wins), None when unknown or not yet visible."""
        self.book.advance(now_ms)
        order = _look_up(account, order_id, client_order_id)
        return order if order is not None and order.visible_ms <= now_ms else None

    def open_order(
        self, account: Account, now_ms: int, *, order_id: str = "", client_order_id: str = ""
    ) -> Order:
        """The order of that id while it can still change.

        Raises:
            Refused: `ORDER_UNKNOWN` for one never seen, and for one that is final.
        """
        self.book.advance(now_ms)
        order = _look_up(account, order_id, client_order_id)
        if order is None:
            raise Refused(Refusal.ORDER_UNKNOWN, "no order has that id")
        if order.state.final:
            raise Refused(Refusal.ORDER_UNKNOWN, f"the order is {order.state} already")
        return order

    def amend(
        self,
        order: Order,
        now_ms: int,
        *,
        qty: Decimal | None = None,
        price: Decimal | None = None,
        protection: Protection | None = None,
    ) -> None:
        """Change quantity, price or protection of an open order; None keeps a value.

        Raises:
            Refused: nothing would change, or the new values are illegal.
        """
        qty = order.qty if qty is None else qty
        price = order.price if price is None else price
        protection = order.protection if protection is None else protection
        if (qty, price, protection) == (order.qty, order.price, order.protection):
            raise Refused(Refusal.AMEND_UNCHANGED, "the order already has these values")
        account = self.book.accounts[order.account]
        value = self._check_amend(account, order, qty, price, now_ms)
        order.qty, order.protection, order.updated_ms = qty, protection, now_ms
        if price is not None:
            order.price = order.limit = price
        self.book.reserve(account, order, value)
        self.book.note(What.AMEND, order, now_ms)
        if order.in_book:
            self.book.work(order, now_ms)

    def cancel(self, order: Order, now_ms: int) -> None:
        """Ask for an open order to be cancelled; it may still fill before that happens."""
        self.book.cancel(order, now_ms)

    def protect(
        self, account: Account, symbol: str, leg: Leg, protection: Protection, now_ms: int
    ) -> None:
        """Set take profit and stop loss of a position.

        Raises:
            Refused: no position, illegal values, or nothing changes.
        """
        self.book.advance(now_ms)
        if not account.size(symbol, leg):
            raise Refused(Refusal.NO_POSITION, f"there is no position on {symbol}")
        position = account.position(symbol, leg)
        if protection == position.protection:
            raise Refused(Refusal.PROTECTION_UNCHANGED, "the position already has these values")
        last = self.market.last(symbol, now_ms)
        checks.check_protection(protection, long=position.size > 0, base=last)
        self.book.guards.set(account, position, protection, now_ms)

    def protect_part(
        self,
        account: Account,
        symbol: str,
        leg: Leg,
        protection: Protection,
        quantities: tuple[Decimal | None, Decimal | None],
        now_ms: int,
    ) -> list[Order]:
        """Guard parts of a position by conditional orders; a quantity of None is all of it.

        Raises:
            Refused: no position, illegal values, or more than it holds.
        """
        self.book.advance(now_ms)
        held = abs(account.size(symbol, leg))
        if not held:
            raise Refused(Refusal.NO_POSITION, f"there is no position on {symbol}")
        gain, loss = (held if qty is None else qty for qty in quantities)
        for qty in (gain, loss):
            if not 0 < qty <= held or qty % self.market.instruments[symbol].step:
                raise Refused(Refusal.QTY_STEP, f"{qty} is no part of the {held} held")
        position = account.position(symbol, leg)
        last = self.market.last(symbol, now_ms)
        checks.check_protection(protection, long=position.size > 0, base=last)
        return self.book.guards.split(account, position, protection, (gain, loss), now_ms)

    def refuse_duplicate(self, client_order_id: str) -> NoReturn:
        """Count and refuse a repeated client order id, for a venue that decides it by itself.

        Raises:
            Refused: always.
        """
        self._truth.duplicates_refused[self.rules.venue] += 1
        raise Refused(Refusal.DUPLICATE_CLIENT_ID, f"client order id {client_order_id!r} is taken")

    # -- inside ------------------------------------------------------------------------------

    def _check_amend(
        self, account: Account, order: Order, qty: Decimal, price: Decimal | None, now_ms: int
    ) -> Decimal:
        """The notional to hold margin for after the change."""
        instrument = self.market.instruments[order.symbol]
        checks.check_qty(qty, order.kind, instrument)
        if qty <= order.filled:
            raise Refused(Refusal.AMEND_ILLEGAL, f"qty {qty} is not above {order.filled}, filled")
        if price is None:
            return ZERO
        if order.price is None:
            raise Refused(Refusal.AMEND_ILLEGAL, "a market order has no price to amend")
        last = self.market.last(order.symbol, now_ms)
        checks.check_price(price, order.side, instrument, last)
        if not order.reserved:
            return ZERO
        value = (qty - order.filled) * price
        needed = self.book.margin(account, order.symbol, order.leg, value, side=order.side)
        self._check_margin(account, needed - order.reserved, now_ms)
        return value

    def _check_margin(self, account: Account, needed: Decimal, now_ms: int) -> None:
        free = account.available(self.market, now_ms)
        if needed > free:
            raise Refused(
                Refusal.INSUFFICIENT_MARGIN,
                f"{needed:f} USDT of margin are needed, {free:f} are available",
            )

    def _check_duplicate(self, account: Account, new: NewOrder) -> None:
        twin = account.by_client.get(new.client_order_id) if new.client_order_id else None
        if twin is None or self.rules.duplicate_ids is DuplicateIds.ACCEPTED:
            return
        if self.rules.duplicate_ids is DuplicateIds.REFUSED_WHILE_OPEN and twin.state.final:
            return
        self.refuse_duplicate(new.client_order_id)

    def _check_counts(self, account: Account, new: NewOrder) -> None:
        same = [order for order in account.open.values() if order.symbol == new.symbol]
        waiting = sum(order.state is OrderState.UNTRIGGERED for order in same)
        if new.trigger is not None:
            if waiting >= self.rules.max_conditional:
                raise Refused(
                    Refusal.TOO_MANY_CONDITIONAL, f"{waiting} conditional orders are open already"
                )
        elif len(same) - waiting >= self.rules.max_open_orders:
            raise Refused(Refusal.TOO_MANY_ORDERS, f"{len(same) - waiting} orders are open already")


def _look_up(account: Account, order_id: str, client_order_id: str) -> Order | None:
    if order_id:
        return account.orders.get(order_id)
    return account.by_client.get(client_order_id) if client_order_id else None
