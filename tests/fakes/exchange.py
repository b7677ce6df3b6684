"""An exchange in memory that misbehaves on demand, with its preparation and its router.

It executes every order it is told to, duplicates too: whether nothing is placed twice must be
the caller's doing.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from providers.errors import NotConfigured, UnknownExchange
from providers.exchange import MarkPrice, SymbolSetup
from providers.limits.plan import Want
from providers.orders import (
    Balance,
    Fill,
    Instrument,
    MarginMode,
    OrderStatus,
    OrderView,
    Position,
    PositionMode,
    PreparedOrder,
    Side,
)
from providers.outcomes import (
    PLACEMENT_OF_CLASS,
    OutcomeClass,
    Placement,
    PlacementKind,
    permitted,
)
from providers.preparation import LEGS, Preparation
from providers.router import ExchangeRouter
from providers.settings import ExchangeSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from providers.clock import Clock
    from providers.limits.limiter import Joined
    from providers.orders import TradeRequest
    from providers.outcomes import Permit

    Behaviour = Callable[["FakeExchange", PreparedOrder], Awaitable[Placement]]

NAME = "fake"


@dataclass
class Execution:
    """An order that the exchange took; look-ups show it from `visible_at` on."""

    view: OrderView
    visible_at: float


class FakeExchange:
    """An `ExchangeClient`.

    Attributes:
        plan: what the next calls of `place` do; `accept` when it is empty.
        look_faults: what the next look-ups raise; None lets one pass.
        sends: every order that `place` was called with.
        executions: every order that was taken, by client order id.
        slots: what the next calls of `reserve` raise; None lets one pass.
        reserved: every order that `reserve` was called with.
        ready: whether opening orders need nothing to be asked first.
        kept: every order whose slot the ledger took.
        mark: the mark price of everything.
        while_reserving: called while an order waits for its slot.
        before_place: called at the very moment of a send.
        meanwhile: called when `place` is called, before the permit is asked.
    """

    name = NAME
    acceptance_window = timedelta(seconds=6)

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plan: deque[Behaviour] = deque()
        self.look_faults: deque[Exception | None] = deque()
        self.sends: list[PreparedOrder] = []
        self.looks: list[tuple[str, str]] = []
        self.executions: dict[str, list[Execution]] = {}
        self.slots: deque[Exception | None] = deque()
        self.reserved: list[PreparedOrder] = []
        self.ready = False
        self.kept: list[PreparedOrder] = []
        self.mark = Decimal(20000)
        self.while_reserving: Callable[[], None] = lambda: None
        self.before_place: Callable[[PreparedOrder], None] = lambda _: None
        self.meanwhile: Callable[[], None] = lambda: None

    def execute(
        self,
        order: PreparedOrder,
        *,
        status: OrderStatus = OrderStatus.NEW,
        lag: float = 0.0,
    ) -> Execution:
        """Take an order; it is shown `lag` seconds later."""
        taken = self.executions.setdefault(order.client_order_id, [])
        filled = order.quantity if status is OrderStatus.FILLED else Decimal(0)
        view = OrderView(
            client_order_id=order.client_order_id,
            exchange_order_id=f"{order.client_order_id}-{len(taken) + 1}",
            symbol=order.symbol,
            side=order.side,
            status=status,
            quantity=order.quantity,
            filled_quantity=filled,
            average_price=Decimal(20000) if filled else None,
            fee=Decimal("0.01") if filled else None,
            fee_currency="USDT" if filled else None,
            reject_reason="too fast" if status is OrderStatus.REJECTED else None,
            updated_at=self.clock.now(),
        )
        execution = Execution(view, self.clock.monotonic() + lag)
        taken.append(execution)
        return execution

    async def reserve(self, order: PreparedOrder) -> None:
        self.reserved.append(order)
        self.while_reserving()
        fault = self.slots.popleft() if self.slots else None
        if fault is not None:
            raise fault

    def slot_to_take(self, order: PreparedOrder) -> Want | None:
        return Want(NAME, f"{NAME}@here ip", (), order.reduce_only) if self.ready else None

    def slot_taken(self, order: PreparedOrder, taken: Joined) -> None:
        assert taken.asked_at <= taken.answered_at
        self.kept.append(order)

    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        await asyncio.sleep(0)
        self.meanwhile()
        refused = permit()
        if refused is not None:
            return Placement(PlacementKind.DEFERRED, OutcomeClass.NOT_PERMITTED, message=refused)
        self.before_place(order)
        self.sends.append(order)
        behaviour = self.plan.popleft() if self.plan else accept
        return await behaviour(self, order)

    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        self.looks.append((symbol, client_order_id))
        await asyncio.sleep(0)
        fault = self.look_faults.popleft() if self.look_faults else None
        if fault is not None:
            raise fault
        now = self.clock.monotonic()
        for execution in self.executions.get(client_order_id, []):
            if execution.visible_at <= now:
                return execution.view
        return None

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    async def server_time(self) -> datetime:
        return self.clock.now()

    async def instrument(self, symbol: str) -> Instrument:
        raise NotImplementedError(symbol)

    async def refresh_instruments(self) -> None: ...

    async def mark_price(self, symbol: str) -> MarkPrice:
        del symbol
        return MarkPrice(self.mark, self.clock.now())

    async def symbol_setup(self, symbol: str) -> SymbolSetup:
        del symbol
        return SymbolSetup(PositionMode.ONE_WAY, None, None)

    async def set_leverage(
        self, symbol: str, leverage: int, margin_mode: MarginMode | None
    ) -> None: ...

    async def set_margin_mode(
        self, symbol: str, mode: MarginMode, leverage: int | None
    ) -> None: ...

    async def positions(self, symbol: str | None = None) -> Sequence[Position]:
        del symbol
        return []

    async def balances(self) -> Sequence[Balance]:
        return []

    async def open_orders(self, symbol: str | None = None) -> Sequence[OrderView]:
        del symbol
        return []

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        del symbol, order
        return []

    async def cancel(self, symbol: str, client_order_id: str) -> None: ...


async def accept(exchange: FakeExchange, order: PreparedOrder) -> Placement:
    """The order is taken, and the answer comes."""
    await asyncio.sleep(0)
    sent_at = exchange.clock.now()
    execution = exchange.execute(order)
    return Placement(
        PlacementKind.ACCEPTED,
        OutcomeClass.ACCEPTED,
        "0",
        "OK",
        execution.view.exchange_order_id,
        sent_at,
        sent_at,
    )


def lose_reply(lag: float = 0.0, status: OrderStatus = OrderStatus.FILLED) -> Behaviour:
    """The order is taken, but the answer gets lost."""

    async def behave(exchange: FakeExchange, order: PreparedOrder) -> Placement:
        exchange.execute(order, status=status, lag=lag)
        await asyncio.sleep(0)
        return _unknown(exchange)

    return behave


def drop() -> Behaviour:
    """The order gets lost on the way; nobody says so."""

    async def behave(exchange: FakeExchange, order: PreparedOrder) -> Placement:
        del order
        await asyncio.sleep(0)
        return _unknown(exchange)

    return behave


def land_late(seconds: float, lag: float = 0.0) -> Behaviour:
    """The order is taken only some seconds later; until then nobody knows of it."""

    async def behave(exchange: FakeExchange, order: PreparedOrder) -> Placement:
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, lambda: exchange.execute(order, lag=lag))
        await asyncio.sleep(0)
        return _unknown(exchange)

    return behave


def blow_up(error: BaseException, *, executed: bool) -> Behaviour:
    """The client raises, with the order taken or not."""

    async def behave(exchange: FakeExchange, order: PreparedOrder) -> Placement:
        if executed:
            exchange.execute(order, status=OrderStatus.FILLED)
        await asyncio.sleep(0)
        raise error

    return behave


def answer(
    outcome_class: OutcomeClass, code: str = "10001", message: str = "no", *, executed: bool = False
) -> Behaviour:
    """The exchange answers with a code of some class."""

    async def behave(exchange: FakeExchange, order: PreparedOrder) -> Placement:
        if executed:
            exchange.execute(order)
        await asyncio.sleep(0)
        return Placement(
            PLACEMENT_OF_CLASS[outcome_class],
            outcome_class,
            code,
            message,
            sent_at=exchange.clock.now(),
        )

    return behave


def _unknown(exchange: FakeExchange) -> Placement:
    return Placement(
        PlacementKind.UNKNOWN,
        OutcomeClass.UNKNOWN,
        "ReadTimeout",
        "no answer in time",
        sent_at=exchange.clock.now(),
    )


@dataclass
class _Prepared:
    """What happens to the next preparation."""

    error: Exception | None = None
    changes: dict[str, object] = field(default_factory=dict)


class FakePreparation(Preparation):
    """Prepares what is asked for as it is; or does what the plan says."""

    def __init__(self, client: FakeExchange) -> None:
        super().__init__(client, 300.0, client.clock)
        self.exchange = client
        self.plan: deque[_Prepared] = deque()
        self.requests: list[TradeRequest] = []
        self.forgotten: list[tuple[str, OutcomeClass | None]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def fail_next(self, error: Exception) -> None:
        self.plan.append(_Prepared(error))

    def at_hand(self, request: TradeRequest, *, default_leverage: int | None = None) -> bool:
        del default_leverage
        return self.exchange.ready and not self.plan and request.action.opens

    async def prepare(
        self,
        request: TradeRequest,
        client_order_id: str,
        *,
        default_leverage: int | None = None,
        default_margin_mode: MarginMode | None = None,
    ) -> PreparedOrder:
        del default_leverage, default_margin_mode
        self.requests.append(request)
        await asyncio.sleep(0)
        self.meanwhile()
        step = self.plan.popleft() if self.plan else _Prepared()
        if step.error is not None:
            raise step.error
        leg = LEGS.get(request.action)
        order = PreparedOrder(
            client_order_id=client_order_id,
            symbol=request.symbol,
            side=leg.side if leg is not None else Side.SELL,
            order_type=request.order_type,
            quantity=request.quantity,
            reduce_only=not request.action.opens,
            price=request.price,
        )
        return replace(order, **step.changes)  # type: ignore[arg-type]  # fields by name

    def forget(self, symbol: str, outcome_class: OutcomeClass | None = None) -> None:
        self.forgotten.append((symbol, outcome_class))


@functools.cache
def _settings() -> ExchangeSettings:
    """Read once: a simulation makes thousands of routers."""
    return ExchangeSettings()


class FakeRouter(ExchangeRouter):
    """Knows `fake`, and `locked`, which has no credentials."""

    def __init__(self, exchange: FakeExchange) -> None:
        super().__init__({}, _settings())
        self.exchange = exchange
        self.fake_preparation = FakePreparation(exchange)

    def client(self, name: str) -> FakeExchange:
        if name == NAME:
            return self.exchange
        if name == "locked":
            raise NotConfigured(name)
        raise UnknownExchange(name, (NAME, "locked"))

    def preparation(self, name: str) -> FakePreparation:
        self.client(name)
        return self.fake_preparation
