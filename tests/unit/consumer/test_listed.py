"""Many orders, or the fills of many, are read with one request; what a list lacks is read alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pytest

from consumer.execution.fills import FillReader, view_of
from consumer.execution.listed import listed_fills, listed_orders
from consumer.execution.reconciler import Reconciler
from consumer.gate import LedgerGate
from providers.errors import ExchangeUnavailable
from providers.exchange import ReadsMany
from providers.many import plainly_shown
from providers.orders import Fill, OrderStatus, OrderType, OrderView, PreparedOrder, Side
from providers.outcomes import OutcomeClass
from storage.identity import client_order_id
from storage.states import OrderState
from tests.fakes.exchange import FakeExchange, FakeRouter
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import on_virtual_time
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.fills import Fills
    from storage.orders import OrderRow

S = OrderState
AWAY = ExchangeUnavailable("fake", "away", outcome_class=OutcomeClass.NOT_SENT)


class Listing(FakeExchange):
    """Lists what it has taken, and remembers what it was asked for in lists and alone."""

    worth_listing = 3

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.clock)
        self.lists: list[tuple[set[str], datetime]] = []
        self.fills_alone: list[str] = []
        self.fault: Exception | None = None
        self.hides: set[str] = set()
        self.busy = False

    async def find_orders(
        self, wanted: Mapping[str, str], since: datetime
    ) -> Mapping[str, OrderView]:
        self.lists.append((set(wanted), since))
        if self.fault is not None:
            raise self.fault
        views = [one.view for taken in self.executions.values() for one in taken]
        return plainly_shown(
            [one for one in views if one.client_order_id not in self.hides], wanted
        )

    async def fills_of_many(
        self, orders: Sequence[OrderView], since: datetime
    ) -> Mapping[str, Sequence[Fill]]:
        self.lists.append(({one.client_order_id for one in orders}, since))
        if self.fault is not None:
            raise self.fault
        return {
            one.client_order_id: [_fill(one)]
            for one in orders
            if one.client_order_id not in self.hides
        }

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        del symbol
        self.fills_alone.append(order.client_order_id)
        return [_fill(order)]

    @property
    def alone(self) -> set[str]:
        """Client order ids that were looked up one by one."""
        return {name for _, name in self.looks}


def _fill(order: OrderView) -> Fill:
    return Fill(
        fill_id=f"f-{order.client_order_id}",
        exchange_order_id=order.exchange_order_id,
        symbol=order.symbol,
        side=order.side,
        price=Decimal(20000),
        quantity=order.filled_quantity,
        fee=Decimal("0.01"),
        fee_currency="USDT",
        maker=False,
        executed_at=datetime.now().astimezone(),
    )


def on_stage() -> tuple[Stage, Listing]:
    stage = Stage()
    exchange = Listing(stage)
    stage.exchange = exchange
    stage.router = FakeRouter(exchange)
    return stage, exchange


def name_of(number: int) -> str:
    return client_order_id(f"r-{number}", "default")


def sent(
    stage: Stage, number: int, state: OrderState = S.ACCEPTED, *, ago: float = 1.0
) -> OrderRow:
    """Have an order in the ledger and filled at the exchange, sent so many seconds ago."""
    order = PreparedOrder(
        client_order_id=name_of(number),
        symbol="BTCUSDT",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal("0.005"),
        reduce_only=False,
    )
    view = stage.exchange.execute(order, status=OrderStatus.FILLED).view
    return stage.past(
        message(requestId=f"r-{number}"),
        state,
        check_at=stage.ledger.now(),
        sent_at=stage.ledger.now() - timedelta(seconds=ago),
        exchange_order_id=view.exchange_order_id,
        filled_quantity=Decimal("0.005") if state is S.FILLED else Decimal(0),
    )


async def followed(stage: Stage, *numbers: int) -> None:
    """Let a reconciler run until some orders are filled."""
    reconciler = Reconciler(
        stage.ledger, stage.router, stage.settings, stage.gate, stage.clock, stage.controls
    )
    running = asyncio.ensure_future(reconciler.run())
    await eventually(
        lambda: all(stage.row(f"r-{one}").state is S.FILLED for one in numbers), within=60
    )
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@on_virtual_time
async def test_many_orders_that_are_due_are_looked_up_in_one_list() -> None:
    stage, exchange = on_stage()
    assert isinstance(exchange, ReadsMany)
    for number in range(5):
        sent(stage, number)
    await followed(stage, *range(5))
    assert [names for names, _ in exchange.lists] == [{name_of(one) for one in range(5)}]
    assert exchange.lists[0][1] <= min(
        row.sent_at for row in stage.rows.by_id.values() if row.sent_at is not None
    )
    assert exchange.looks == []


@on_virtual_time
async def test_what_a_list_does_not_show_is_looked_up_alone() -> None:
    stage, exchange = on_stage()
    for number in range(4):
        sent(stage, number)
    exchange.hides.add(name_of(2))
    await followed(stage, *range(4))
    assert exchange.alone == {name_of(2)}


@on_virtual_time
async def test_an_order_shown_under_another_exchange_id_is_not_taken_from_a_list_as_ours() -> None:
    stage, _ = on_stage()
    for number in range(3):
        sent(stage, number)
    stage.ledger.put(replace(stage.row("r-1"), exchange_order_id="another"))
    await followed(stage, 0, 2)
    assert (stage.row("r-1").state, stage.row("r-1").code) == (S.QUARANTINED, "MISMATCH")


@on_virtual_time
async def test_a_list_that_cannot_be_read_leaves_each_to_be_looked_up_alone() -> None:
    stage, exchange = on_stage()
    for number in range(3):
        sent(stage, number)
    exchange.fault = AWAY
    await followed(stage, *range(3))
    assert exchange.alone == {name_of(one) for one in range(3)}


@on_virtual_time
async def test_a_defect_of_a_client_keeps_no_order_from_being_looked_up_alone() -> None:
    stage, exchange = on_stage()
    for number in range(3):
        sent(stage, number)
    exchange.fault = ZeroDivisionError()
    await followed(stage, *range(3))
    assert exchange.alone == {name_of(one) for one in range(3)}


@on_virtual_time
async def test_few_orders_are_looked_up_alone() -> None:
    stage, exchange = on_stage()
    for number in range(2):
        sent(stage, number)
    await followed(stage, 0, 1)
    assert exchange.lists == []


@on_virtual_time
async def test_a_list_is_not_read_back_to_an_order_that_rests_for_long() -> None:
    stage, exchange = on_stage()
    for number in range(3):
        sent(stage, number)
    sent(stage, 3, ago=3600)
    await followed(stage, *range(4))
    ((names, since),) = exchange.lists
    assert names == {name_of(one) for one in range(3)}
    assert stage.ledger.now() - since < timedelta(minutes=2)
    assert exchange.alone == {name_of(3)}


@pytest.mark.parametrize("state", [S.UNKNOWN, S.SENDING])
@on_virtual_time
async def test_an_order_of_unknown_outcome_is_never_looked_up_in_a_list(state: OrderState) -> None:
    stage, exchange = on_stage()
    rows = [sent(stage, number, state) for number in range(3)]
    assert await listed_orders(stage.router, rows) == {}
    assert exchange.lists == []


@on_virtual_time
async def test_fills_of_many_are_read_from_one_list_and_the_rest_alone() -> None:
    stage, exchange = on_stage()
    rows = [sent(stage, number, S.FILLED) for number in range(4)]
    exchange.hides.add(name_of(3))
    due = Due(rows)
    await reader(stage, due).read_some()
    assert len(exchange.lists) == 1
    assert exchange.fills_alone == [name_of(3)]
    assert due.recorded == {f"r-{one}": [f"f-{name_of(one)}"] for one in range(4)}


@on_virtual_time
async def test_no_list_of_fills_is_read_from_an_exchange_that_is_busy() -> None:
    stage, exchange = on_stage()
    rows = [sent(stage, number, S.FILLED) for number in range(4)]
    rows = [replace(row, updated_at=stage.clock.now()) for row in rows]
    exchange.busy = True
    due = Due(rows)
    await reader(stage, due).read_some()
    assert (exchange.lists, exchange.fills_alone, due.recorded) == ([], [], {})


@on_virtual_time
async def test_an_exchange_that_is_not_set_up_any_more_holds_up_no_fills_of_another() -> None:
    stage, _ = on_stage()
    rows = [sent(stage, number, S.FILLED) for number in range(4)]
    due = Due([replace(rows[0], exchange="locked"), *rows[1:]])
    await reader(stage, due).read_some()
    assert set(due.recorded) == {"r-1", "r-2", "r-3"}


@on_virtual_time
async def test_an_order_without_a_fill_is_not_asked_for_in_a_list() -> None:
    stage, exchange = on_stage()
    rows = [sent(stage, number, S.FILLED) for number in range(3)]
    rows = [replace(row, filled_quantity=Decimal(0)) for row in rows]
    assert await listed_fills(stage.router, rows, view_of) == {}
    assert exchange.lists == []


class Due:
    """Orders whose fills are to be read."""

    def __init__(self, rows: Sequence[OrderRow]) -> None:
        self.rows = rows
        self.recorded: dict[str, list[str]] = {}

    async def due(self, most: int, lease: timedelta, overdue: timedelta) -> Sequence[OrderRow]:
        del most, lease, overdue
        return self.rows

    async def record(self, row: OrderRow, fills: Sequence[Fill], wait: timedelta) -> bool:
        del wait
        self.recorded[row.request_id] = [one.fill_id for one in fills]
        return True

    async def put_positions(self, *_: object) -> None: ...


def reader(stage: Stage, due: Due) -> FillReader:
    return FillReader(cast("Fills", due), stage.router, LedgerGate(stage.ledger.probe), stage.clock)
