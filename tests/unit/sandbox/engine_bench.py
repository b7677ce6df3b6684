"""An engine with one account, a clock by hand and a held price, for the engine's tests."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.sandbox.account import Account
from providers.sandbox.engine import Engine
from providers.sandbox.instruments import LINEAR
from providers.sandbox.market import Market
from providers.sandbox.rules import DuplicateIds, VenueRules
from providers.sandbox.truth import Truth
from providers.sandbox.values import (
    Leg,
    NewOrder,
    Order,
    OrderKind,
    OrderState,
    PositionMode,
    Refusal,
    Refused,
    Side,
    Treatment,
)

if TYPE_CHECKING:
    from collections.abc import Callable


SYMBOL = "BTCUSDT"
NOW = 1_700_000_000_000
START = Decimal(1_000_000)


class Bench:
    """An engine with one account, a clock by hand and a held price."""

    def __init__(
        self,
        *,
        fill_delay_ms: int = 0,
        splits: int = 1,
        mode: PositionMode = PositionMode.ONE_WAY,
        balance: Decimal = START,
        **rules: Any,  # noqa: ANN401 - fields of VenueRules
    ) -> None:
        self.truth = Truth()
        self.market = Market(LINEAR, 3)
        values: dict[str, Any] = {
            "venue": "test",
            "order_id": lambda number: f"o{number}",
            "fill_id": lambda number: f"f{number}",
            "taker_fee": Decimal("0.00055"),
            "maker_fee": Decimal("0.0002"),
            "duplicate_ids": DuplicateIds.REFUSED_FOREVER,
        }
        self.engine = Engine(
            VenueRules(**{**values, **rules}),
            self.market,
            self.truth,
            fill_delay_ms=fill_delay_ms,
            splits=splits,
        )
        self.account = Account("main", "key", "secret", balance, mode)
        self.engine.add_account(self.account)
        self.now = NOW
        self.price("100000")

    def price(self, price: str | Decimal) -> None:
        self.market.hold(SYMBOL, Decimal(price))
        self.engine.book.look_at_prices(self.now)

    def place(self, side: Side, qty: str | Decimal, **fields: Any) -> Order:  # noqa: ANN401 - fields of NewOrder
        treatment = fields.pop("treatment", Treatment())
        kind = OrderKind.LIMIT if fields.get("price") is not None else OrderKind.MARKET
        new = NewOrder(
            **{"symbol": SYMBOL, "side": side, "kind": kind, "qty": Decimal(qty), **fields}
        )
        return self.engine.place(self.account, new, self.now, treatment=treatment)

    def buy(self, qty: str | Decimal, **fields: Any) -> Order:  # noqa: ANN401 - fields of NewOrder
        return self.place(Side.BUY, qty, **fields)

    def sell(self, qty: str | Decimal, **fields: Any) -> Order:  # noqa: ANN401 - fields of NewOrder
        return self.place(Side.SELL, qty, **fields)

    def wait(self, ms: int) -> None:
        self.now += ms
        self.engine.book.advance(self.now)

    def size(self, leg: Leg = Leg.NET) -> Decimal:
        return self.account.size(SYMBOL, leg)


def state(order: Order) -> OrderState:
    """The state now (a plain comparison would make mypy believe that it cannot change)."""
    return order.state


def refused(action: Callable[[], object]) -> Refusal:
    with pytest.raises(Refused) as caught:
        action()
    assert caught.value.detail
    return caught.value.reason
