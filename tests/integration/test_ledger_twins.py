"""The ledger in memory does what the one in PostgreSQL does: the same calls, the same answers.

Simulations and unit tests are worth as much as this holds. Two owners do things at random, right
ones and wrong ones; after each, both ledgers say the same, and hold the same row.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from providers.clock import SystemClock
from storage.claims import IntentLimits
from storage.errors import ClaimLost, IllegalTransition, LimitExceeded
from storage.ledger import Claimed, Lane, Letter, Ready
from storage.orders import get_orders
from storage.states import OrderState
from tests.fakes.ledger import FakeLedger, Rows
from tests.support.ledgers import WANT, buy, change, intent, new_order, open_ledger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from storage.claims import ChangeDetails
    from storage.ledger import Ledger, NewOrder
    from storage.orders import OrderRow
    from storage.postgres import Database

HOUR = timedelta(hours=1)
NAMES = ("r-1", "r-2", "r-3", "r-4")
SYMBOLS = ("BTCUSDT", "ETHUSDT")
STEPS = 150
Said = tuple[object, ...]


class Twins:
    """Two owners of a real ledger and two of one in memory, and what each owner knows of orders."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.real = [open_ledger(database, HOUR) for _ in range(2)]
        self.rows = Rows()
        self.fake = [
            FakeLedger(SystemClock(), self.rows, lease=HOUR, alive_for=HOUR, send_within=HOUR / 10)
            for _ in range(2)
        ]
        self.known: dict[tuple[int, str], tuple[OrderRow, OrderRow]] = {}

    async def both(self, owner: int, call: Callable[[Ledger, int], Awaitable[Said]]) -> None:
        """Do something to both; they must answer alike."""
        answers = [
            await _said(call(ledger, twin))
            for twin, ledger in enumerate((self.real[owner], self.fake[owner]))
        ]
        assert answers[0] == answers[1]

    async def claim(self, draw: random.Random, owner: int, name: str) -> None:
        quantity = Decimal("0.005") if draw.random() < 0.9 else Decimal("0.006")
        symbol = SYMBOLS[NAMES.index(name) % 2]
        order = new_order(name, symbol=symbol, quantity=quantity)
        # That a free lane is kept for a second for whoever asked is not in the one in memory.
        await self.database.execute("UPDATE lanes SET wanted_by = NULL, wanted_until = NULL")
        rows: list[OrderRow] = []
        ready = _ready(draw, order) if draw.random() < 0.5 else None

        async def call(ledger: Ledger, _: int) -> Said:
            claim = await ledger.claim(order, ready)
            if not isinstance(claim, Claimed):
                return (type(claim).__name__, claim.row and (claim.row.state, claim.row.fence))
            rows.append(claim.row)
            exceeded = str(claim.exceeded) if claim.exceeded else None
            return (claim.row.state, claim.row.fence, claim.begun, exceeded, bool(claim.slot))

        await self.both(owner, call)
        if rows:
            self.known[owner, name] = (rows[0], rows[1])

    async def send(self, draw: random.Random, owner: int, name: str) -> None:
        known = self.known.get((owner, name))
        if known is None:
            return
        before = draw.choice([known[0].state, OrderState.RECEIVED, OrderState.DEFERRED])

        limits = _limits(draw)

        async def call(ledger: Ledger, twin: int) -> Said:
            await ledger.begin_sending(intent(known[twin], before=before, limits=limits))
            return ("sending",)

        await self.both(owner, call)

    async def record(self, draw: random.Random, owner: int, name: str) -> None:
        known = self.known.get((owner, name))
        if known is None:
            return
        now = self.rows.by_id[name].state
        before = now if draw.random() < 0.8 else draw.choice(list(OrderState))
        after = draw.choice(list(OrderState))
        details: ChangeDetails = {
            "keep_lease": draw.random() < 0.4,
            "code": draw.choice([None, "10001"]),
            "exchange_order_id": draw.choice([None, "e-1"]),
            "filled_quantity": draw.choice([None, Decimal("0.001")]),
            "check_in": draw.choice([None, timedelta(0), HOUR]),
            "may_land_for": draw.choice([None, HOUR]),
            "letter": draw.choice([None, None, None, Letter("EXCHANGE_REJECTED", "bybit: no")]),
        }

        async def call(ledger: Ledger, twin: int) -> Said:
            row = known[twin]
            if stale:
                row = replace(row, fence=row.fence - 1)
            await ledger.record(change(row, before, after, **details))
            return ("recorded",)

        stale = draw.random() < 0.1
        await self.both(owner, call)

    async def leave(self, draw: random.Random, owner: int, name: str) -> None:
        del draw
        lane = Lane("bybit", "default", SYMBOLS[NAMES.index(name) % 2])

        async def call(ledger: Ledger, _: int) -> Said:
            await ledger.leave_lane(lane)
            return ("left",)

        await self.both(owner, call)

    async def mark(self, draw: random.Random, owner: int, name: str) -> None:
        del draw

        async def call(ledger: Ledger, _: int) -> Said:
            await ledger.mark_dead_lettered(name)
            return ("marked",)

        await self.both(owner, call)

    async def look(self, draw: random.Random, owner: int, name: str) -> None:
        del name
        overdue = draw.choice([timedelta(0), HOUR])

        async def call(ledger: Ledger, _: int) -> Said:
            orphans = await ledger.adopt_orphans(timedelta(0))
            due = await ledger.due_checks(10, HOUR, overdue)
            unresolved = await ledger.unresolved()
            return (
                orphans,
                sorted(one.row.request_id for one in due),
                sorted((one.claim.row.request_id, one.in_work) for one in unresolved),
            )

        await self.both(owner, call)

    async def compare(self) -> None:
        """Row by row."""
        real = {row.request_id: row for row in await get_orders(self.database, NAMES)}
        assert {name: self.seen(0, row) for name, row in real.items()} == {
            name: self.seen(1, row) for name, row in self.rows.by_id.items()
        }
        buried = await self.database.fetch("SELECT count(DISTINCT identity) AS n FROM dead_letters")
        ends = {(row.request_id, row.fence) for row, _ in self.rows.letters}
        assert buried[0]["n"] == len(ends)

    def seen(self, twin: int, row: OrderRow) -> Said:
        """What must be the same of a row; instants only as being there or not."""
        owners = [ledger.owner for ledger in (self.real, self.fake)[twin]]
        return (
            row.state,
            row.fence,
            row.attempts,
            row.sends,
            row.code,
            row.exchange_order_id,
            row.filled_quantity,
            row.checks,
            row.order_quantity,
            owners.index(row.owner) if row.owner is not None else None,
            row.lease_until is not None,
            row.check_at is not None,
            row.may_land_until is not None,
            row.finished_at is not None,
            row.dead_lettered_at is not None,
        )


async def _said(call: Awaitable[Said]) -> Said:
    try:
        return await call
    except (ClaimLost, IllegalTransition) as error:
        return (type(error).__name__,)
    except LimitExceeded as error:
        return (error.control, error.limit, error.value)


def _limits(draw: random.Random) -> IntentLimits | None:
    """Limits, mostly near enough to be met; the position was read long ago, or is just being."""
    if draw.random() < 0.4:
        return None
    orders = draw.choice([None, 1, 2])
    position = draw.choice([None, Decimal("1.2"), Decimal("1.6"), Decimal(50)])
    read = datetime.now(UTC) + draw.choice([-1, 1]) * 24 * HOUR
    return IntentLimits(
        position_control="trade:max_position_size",
        max_position=position,
        price=None if position is None else Decimal(100),
        held=None if position is None else draw.choice([Decimal(0), Decimal("0.003")]),
        held_at=None if position is None else read,
        orders_control="trade:max_orders_per_symbol",
        max_orders=orders,
        window=None if orders is None else HOUR,
    )


def _ready(draw: random.Random, order: NewOrder) -> Ready:
    """What a new order may come with; a limit on the position is not of it."""
    limits = _limits(draw)
    return Ready(
        order=buy(order),
        may_land_for=HOUR,
        want=WANT if draw.random() < 0.5 else None,
        limits=None if limits is None else replace(limits, max_position=None),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_the_ledger_in_memory_answers_as_the_one_in_postgresql(
    database: Database, seed: int
) -> None:
    draw = random.Random(seed)  # noqa: S311 - reproducible, nothing secret
    twins = Twins(database)
    calls = (twins.claim, twins.send, twins.record, twins.leave, twins.mark, twins.look)

    for _ in range(STEPS):
        (call,) = draw.choices(calls, [30, 25, 35, 3, 2, 5])
        await call(draw, draw.randrange(2), draw.choice(NAMES))
        await twins.compare()

    states = {row.state for row in twins.rows.by_id.values()}
    assert states - {OrderState.RECEIVED}, "they got somewhere"
