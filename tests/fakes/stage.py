"""An executor with everything around it in memory, and a watch on what must never happen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from consumer.execution.claimed import new_order
from consumer.execution.executor import Executor
from consumer.gate import LedgerGate
from providers.orders import OrderStatus, OrderType, PreparedOrder, Side
from storage.identity import client_order_id
from storage.states import OrderState
from tests.fakes.controls import FakeControls
from tests.fakes.exchange import FakeExchange, FakeRouter
from tests.fakes.ledger import FakeLedger, Rows, born
from tests.fakes.messages import settings as make_settings
from tests.fakes.virtual_time import VirtualClock

if TYPE_CHECKING:
    from consumer.contract.message import TradeMessage
    from consumer.outcome import Outcome
    from consumer.settings import Settings
    from storage.orders import OrderRow


class PromiseBroken(BaseException):
    """What must never happen did. Not an `Exception`, which a worker survives."""


def promise(kept: bool, what: str) -> None:  # noqa: FBT001 - reads like an assert
    """Assert where an assertion would be taken for an exchange's fault."""
    if not kept:
        raise PromiseBroken(what)


class Stage:
    """One worker's executor; several stages may share an exchange and the ledger's rows."""

    def __init__(
        self,
        *,
        beside: Stage | None = None,
        exchange: FakeExchange | None = None,
        settings: Settings | None = None,
        **changed: Any,  # noqa: ANN401 - any setting
    ) -> None:
        self.clock: VirtualClock = beside.clock if beside else VirtualClock()
        self.rows: Rows = beside.rows if beside else Rows()
        self.ledger = FakeLedger(self.clock, self.rows)
        self.exchange: FakeExchange = (
            beside.exchange if beside else exchange or FakeExchange(self.clock)
        )
        self.router = FakeRouter(self.exchange)
        self.preparation = self.router.fake_preparation
        self.gate = LedgerGate(self.ledger.probe)
        shared: Settings | None = settings or (beside.settings if beside and not changed else None)
        self.settings: Settings = shared or make_settings(**changed)
        self.controls = FakeControls(self.settings, self.clock, self.ledger.now)
        self.executor = Executor(
            self.ledger, self.router, self.settings, self.gate, self.clock, self.controls
        )
        self.exchange.before_place = self._watch

    async def deliver(self, message: TradeMessage, *, attempt: int = 1) -> Outcome:
        return await self.executor.execute(message, attempt=attempt, received_at=self.clock.now())

    def past(
        self,
        message: TradeMessage,
        state: OrderState,
        **changes: Any,  # noqa: ANN401 - any column
    ) -> OrderRow:
        """Have the order in the ledger from before, in some state; nobody holds it."""
        order = new_order(message, self.controls.route(message), self.clock.now())
        row = born(order, None, self.ledger.now(), None)
        if state.unresolved or state.at_exchange or state is OrderState.FILLED:
            changes = {
                "sends": 1,
                "side": "BUY" if message.action.opens else "SELL",
                "order_type": "MARKET",
                "order_quantity": message.quantity,
                "reduce_only": not message.action.opens,
                "may_land_until": self.ledger.now(),
                **changes,
            }
        row = replace(row, state=state, **changes)
        self.ledger.put(row)
        return row

    def taken(
        self,
        status: OrderStatus = OrderStatus.NEW,
        *,
        reduce_only: bool = False,
        **changes: Any,  # noqa: ANN401 - any field of the order
    ) -> None:
        """Have the exchange know the order `r-1` from an earlier send."""
        order = PreparedOrder(
            client_order_id=client_order_id("r-1", "default"),
            symbol="BTCUSDT",
            side=Side.SELL if reduce_only else Side.BUY,
            order_type=OrderType.MARKET,
            quantity=Decimal("0.005"),
            reduce_only=reduce_only,
        )
        self.exchange.execute(replace(order, **changes), status=status)

    def row(self, request_id: str = "r-1") -> OrderRow:
        return self.ledger.row(request_id)

    def path(self, request_id: str = "r-1") -> list[OrderState]:
        return self.rows.path(request_id)

    @property
    def sends(self) -> int:
        return len(self.exchange.sends)

    def _watch(self, order: PreparedOrder) -> None:
        """At the moment of a send there is a committed intent, and it covers what is sent.

        Its row may have been taken over while the commit's answer was on its way; then it is
        UNKNOWN, and nobody counts it as absent before the request is certainly over.
        """
        intents = [
            row for row in self.rows.by_id.values() if row.client_order_id == order.client_order_id
        ]
        promise(len(intents) == 1, "sent without a row")
        (row,) = intents
        promise(row.state.unresolved, f"sent while {row.state}")
        promise(row.intended_at is not None, "sent without an intent")
        promise((row.side, row.order_quantity) == (order.side, order.quantity), "another order")
        over = self.ledger.now() + FakeExchange.acceptance_window
        over += 2 * timedelta(
            seconds=self.settings.exchange_connect_timeout + self.settings.exchange_request_timeout
        )
        promise(
            row.may_land_until is not None and row.may_land_until >= over,
            "may still land when it counts as absent",
        )
