"""Reading fills keeps out of the way of orders while the exchange's request limit is in use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from consumer.execution.fills import FillReader
from consumer.gate import LedgerGate
from providers.errors import ExchangeUnavailable
from providers.exchange import TellsLoad
from providers.outcomes import OutcomeClass
from storage.states import OrderState
from tests.fakes.exchange import FakeExchange, FakeRouter
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import on_virtual_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from providers.orders import Fill, OrderView, Position
    from storage.fills import Fills
    from storage.orders import OrderRow


class Busy(FakeExchange):
    """Says what it is told to say of its limits, and remembers what it was asked."""

    busy = True

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        self.asked = [*getattr(self, "asked", []), "fills"]
        del symbol, order
        return cast("Sequence[Fill]", ["a fill"])

    async def positions(self, symbol: str | None = None) -> Sequence[Position]:
        self.asked = [*getattr(self, "asked", []), "positions"]
        del symbol
        return []


class Away(FakeExchange):
    """Can't be asked."""

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        del symbol, order
        raise ExchangeUnavailable("fake", "away", outcome_class=OutcomeClass.NOT_SENT)


class Due:
    """One order whose fills are to be read, for ever."""

    def __init__(self, row: OrderRow) -> None:
        self.row = row
        self.recorded: list[Sequence[Fill]] = []

    async def due(self, most: int, lease: timedelta, overdue: timedelta) -> Sequence[OrderRow]:
        del most, lease, overdue
        return [self.row]

    async def record(self, row: OrderRow, fills: Sequence[Fill], wait: timedelta) -> bool:
        del row, wait
        self.recorded.append(fills)
        return bool(fills)

    async def put_positions(self, *_: object) -> None: ...


@on_virtual_time
async def test_nothing_is_read_that_can_wait_while_half_of_a_limit_is_in_use() -> None:
    stage = Stage()
    exchange = Busy(stage.clock)
    assert isinstance(exchange, TellsLoad)
    due = Due(stage.past(message(), OrderState.FILLED))
    reader = FillReader(
        cast("Fills", due), FakeRouter(exchange), LedgerGate(stage.ledger.probe), stage.clock
    )

    await reader.read_some()
    assert not hasattr(exchange, "asked")
    assert due.recorded == []  # not asked is not "there are none"

    exchange.busy = False
    await reader.read_some()
    assert exchange.asked == ["fills", "positions"]


@on_virtual_time
async def test_an_exchange_that_stays_busy_is_asked_in_the_end() -> None:
    stage = Stage()
    exchange = Busy(stage.clock)
    due = Due(stage.past(message(), OrderState.FILLED, updated_at=stage.clock.now()))
    reader = FillReader(
        cast("Fills", due), FakeRouter(exchange), LedgerGate(stage.ledger.probe), stage.clock
    )

    await asyncio.sleep(59)
    await reader.read_some()
    assert not hasattr(exchange, "asked")
    await asyncio.sleep(2)
    await reader.read_some()
    assert exchange.asked == ["fills"]
    await asyncio.sleep(61)
    await reader.read_some()
    assert exchange.asked == ["fills", "fills", "positions"]


@on_virtual_time
async def test_an_answer_that_does_not_come_says_nothing_of_an_orders_fills() -> None:
    stage = Stage()
    exchange = Away(stage.clock)
    due = Due(stage.past(message(), OrderState.CANCELED))
    reader = FillReader(
        cast("Fills", due), FakeRouter(exchange), LedgerGate(stage.ledger.probe), stage.clock
    )

    await reader.read_some()
    assert due.recorded == []
