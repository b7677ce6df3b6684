"""Fills and positions in the ledger, against a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from providers.orders import Fill, Position, PositionSide, Side
from storage.fills import Fills, get_fills, list_positions
from storage.orders import get_events, get_order
from storage.states import OrderState
from tests.support.ledgers import change, claimed, intent, open_ledger

if TYPE_CHECKING:
    from storage.orders import OrderRow
    from storage.postgres import Database

S = OrderState
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = timedelta(minutes=1)


def fill(number: int, quantity: str, price: str = "20000", fee: str = "0.01") -> Fill:
    return Fill(
        fill_id=f"f{number}",
        exchange_order_id="x-1",
        symbol="BTCUSDT",
        side=Side.BUY,
        price=Decimal(price),
        quantity=Decimal(quantity),
        fee=Decimal(fee),
        fee_currency="USDT",
        maker=False,
        executed_at=NOW + timedelta(seconds=number),
    )


async def finished(database: Database, state: OrderState, filled: str) -> OrderRow:
    ledger = open_ledger(database)
    row = await claimed(ledger, "r1")
    await ledger.begin_sending(intent(row))
    accepted = change(row, S.SENDING, S.ACCEPTED, exchange_order_id="x-1", keep_lease=True)
    await ledger.record(accepted)
    await ledger.record(change(row, S.ACCEPTED, state, filled_quantity=Decimal(filled)))
    found = await get_order(database, "r1")
    assert found is not None
    return found


async def test_fills_are_read_until_they_add_up(database: Database) -> None:
    row = await finished(database, S.FILLED, "0.005")
    fills = Fills(database)
    assert await fills.due(10, LATER, LATER) == []  # not for so long
    assert [one.request_id for one in await fills.due(10, LATER)] == ["r1"]
    assert await fills.due(10, LATER) == []  # lent

    first, second = fill(1, "0.002"), fill(2, "0.003", "20010", "0.02")
    assert not await fills.record(row, [first], timedelta(0))
    assert await fills.due(10, LATER) != []
    assert await fills.record(row, [first, second], LATER)
    assert await fills.record(row, [first, second], LATER)  # as after a lost answer

    assert await get_fills(database, "r1") == [first, second]
    after = await get_order(database, "r1")
    assert after is not None
    assert (after.average_price, after.fee, after.fee_currency) == (
        Decimal(20006),
        Decimal("0.03"),
        "USDT",
    )
    *_, last = await get_events(database, "r1")
    assert (last.before, last.after, last.detail["fee"]) == (S.FILLED, S.FILLED, Decimal("0.03"))
    await database.execute("UPDATE orders SET fills_check_at = now() WHERE fills_check_at < now()")
    assert await fills.due(10, LATER) == []


async def test_a_fill_that_came_after_the_cancel_counts(database: Database) -> None:
    row = await finished(database, S.CANCELED, "0")
    assert await Fills(database).due(10, LATER) == []  # only a little later
    rows = await database.fetch("SELECT fills_check_at > now() AS soon FROM orders")
    assert rows[0]["soon"]

    await Fills(database).record(row, [fill(1, "0.001")], LATER)

    after = await get_order(database, "r1")
    assert after is not None
    assert (after.state, after.filled_quantity) == (S.CANCELED, Decimal("0.001"))
    assert after.average_price == 20000


async def test_nothing_that_was_read_leaves_the_order_as_it_is(database: Database) -> None:
    row = await finished(database, S.FILLED, "0.005")
    events = await get_events(database, "r1")
    assert not await Fills(database).record(row, [], LATER)
    after = await get_order(database, "r1")
    assert after is not None
    assert (after.fee, after.average_price, after.filled_quantity) == (None, None, Decimal("0.005"))
    assert await get_events(database, "r1") == events


async def test_positions_are_kept_as_they_were_read_last(database: Database) -> None:
    fills = Fills(database)
    long = Position("BTCUSDT", PositionSide.LONG, Decimal("0.1"), Decimal(20000), Decimal(10))
    short = Position("ETHUSDT", PositionSide.SHORT, Decimal(2), Decimal(1000), None)
    await fills.put_positions("bybit", "default", [long, short], NOW)
    await fills.put_positions("binance", "default", [long], NOW)
    await fills.put_positions("bybit", "default", [short], NOW + LATER)

    kept = await list_positions(database)

    assert [(one.exchange, one.position) for one in kept] == [
        ("binance", long),
        ("bybit", short),
    ]
