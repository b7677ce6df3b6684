"""Orders whose intent is committed with their claim, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from storage.claims import IntentLimits
from storage.ledger import Busy, Claimed, Conflict
from storage.orders import get_events, get_order
from storage.states import OrderState
from tests.support.ledgers import (
    bring,
    change,
    claimed,
    new_order,
    open_ledger,
    ready,
    slots,
)

if TYPE_CHECKING:
    from storage.ledger import Claim, Ledger, NewOrder
    from storage.postgres import Database
    from tests.conftest import NewDatabase

HOUR = timedelta(hours=1)


async def _claim(ledger: Ledger, order: NewOrder, **fields: object) -> Claimed:
    claim = await ledger.claim(order, ready(order, **fields))
    assert isinstance(claim, Claimed), claim
    return claim


def _at_most(orders: int) -> IntentLimits:
    return IntentLimits(
        position_control="trade:max_position_size",
        max_position=None,
        price=None,
        held=None,
        held_at=None,
        orders_control="trade:max_orders_per_symbol",
        max_orders=orders,
        window=HOUR,
    )


async def test_a_ready_order_is_born_as_about_to_be_sent(database: Database) -> None:
    claim = await _claim(open_ledger(database), new_order("r1"), detail={"weighed": {"mark": "9"}})

    row = claim.row
    assert claim.begun
    assert (row.state, row.fence, row.attempts, row.sends) == (OrderState.SENDING, 1, 1, 1)
    assert (row.side, row.order_type, row.order_quantity) == ("BUY", "MARKET", Decimal("0.005"))
    assert row.reduce_only is False
    assert row.intended_at == claim.now
    assert row.may_land_until == claim.now + timedelta(seconds=5)
    first, second = await get_events(database, "r1")
    assert (first.before, first.after) == (None, OrderState.RECEIVED)
    assert (second.before, second.after) == (OrderState.RECEIVED, OrderState.SENDING)
    assert second.detail["quantity"] == Decimal("0.005")
    assert second.detail["weighed"] == {"mark": "9"}


async def test_it_is_on_the_disk_when_the_claim_returns(database: Database) -> None:
    """A request slot may be forgotten in a crash of the server; an intent never."""
    ledger = open_ledger(database)
    for number in range(5):
        claim = await _claim(ledger, new_order(f"r{number}"), want=slots(400))
        # Written before it was said: nothing is left that would only be written some time.
        rows = await database.fetch(
            "SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn() AS kept"
        )
        assert claim.begun
        assert rows[0]["kept"]


async def test_its_slot_counts_and_without_one_it_is_claimed_only(database: Database) -> None:
    ledger = open_ledger(database)
    want = slots(2)

    claims = [await _claim(ledger, new_order(f"r{number}"), want=want) for number in range(3)]

    assert [claim.begun for claim in claims] == [True, True, False]
    first, second, third = claims
    assert first.slot is not None
    assert second.slot is not None
    assert (first.slot.used, second.slot.used) == ((1,), (2,))
    assert abs(second.slot.at_s - second.now.timestamp()) < 5
    assert third.slot is None
    assert (third.row.state, third.row.sends, third.row.side) == (OrderState.RECEIVED, 0, None)
    rows = await database.fetch("SELECT general FROM rate_buckets")
    assert [sum(slot > 0 for slot in row["general"]) for row in rows] == [2], "none was lost"


async def test_a_cool_down_lets_none_begin(database: Database) -> None:
    ledger = open_ledger(database)
    await database.execute(
        "INSERT INTO rate_cooldowns (scope, until, why) "
        "VALUES ('bybit@here ip:default', now() + interval '1 min', 'banned')"
    )

    claim = await _claim(ledger, new_order("r1"), want=slots(400))

    assert not claim.begun
    assert claim.slot is None


async def test_orders_that_come_together_get_one_slot_each(database: Database) -> None:
    ledger = open_ledger(database)
    want = slots(3)
    orders = [new_order(f"r{number}", symbol=f"S{number}USDT") for number in range(6)]

    claims = await asyncio.gather(*(ledger.claim(one, ready(one, want=want)) for one in orders))

    assert sum(isinstance(claim, Claimed) and claim.begun for claim in claims) == 3
    assert all(isinstance(claim, Claimed) for claim in claims)


async def test_of_one_lane_only_one_begins_at_a_time(database: Database) -> None:
    """Limits count what was committed before; two in one statement would not see each other."""
    ledger = open_ledger(database)
    orders = [new_order(f"r{number}") for number in range(4)]
    limits = _at_most(2)

    claims = await asyncio.gather(*(ledger.claim(one, ready(one, limits=limits)) for one in orders))

    begun = [isinstance(claim, Claimed) and claim.begun for claim in claims]
    assert 1 <= sum(begun) <= 2
    rows = await database.fetch("SELECT count(*) AS n FROM orders WHERE sends > 0")
    assert rows[0]["n"] == sum(begun)


async def test_one_that_breaks_a_limit_is_claimed_and_told(database: Database) -> None:
    ledger = open_ledger(database)
    limits = _at_most(1)
    await _claim(ledger, new_order("r1"), limits=limits)

    claim = await _claim(ledger, new_order("r2"), limits=limits)

    assert not claim.begun
    assert claim.exceeded is not None
    found = claim.exceeded
    assert (found.control, found.limit, found.value) == (
        "trade:max_orders_per_symbol",
        "1/3600s",
        "2",
    )
    assert claim.row.state is OrderState.RECEIVED


@pytest.mark.parametrize("state", [OrderState.DEFERRED, OrderState.SENDING, OrderState.UNKNOWN])
async def test_an_order_that_is_known_goes_step_by_step(
    database: Database, state: OrderState
) -> None:
    """Whether it may be sent depends on what became of it before."""
    ledger = open_ledger(database)
    before = await bring(ledger, "r1", state)
    want = slots(400)

    claim = await _claim(ledger, new_order("r1"), want=want)

    assert not claim.begun
    assert claim.slot is None
    assert (claim.row.state, claim.row.fence) == (state, before.fence + 1)
    assert await database.fetch("SELECT FROM rate_buckets") == []


async def test_another_trade_under_the_same_id_begins_nothing(database: Database) -> None:
    ledger = open_ledger(database)
    await bring(ledger, "r1", OrderState.FILLED)
    order = new_order("r1", quantity=Decimal("0.006"))

    assert isinstance(await ledger.claim(order, ready(order)), Conflict)
    row = await get_order(database, "r1")
    assert row is not None
    assert (row.state, row.sends) == (OrderState.FILLED, 1)


async def test_in_a_lane_of_another_owner_nothing_begins(database: Database) -> None:
    first, second = open_ledger(database), open_ledger(database)
    await claimed(first, "r1")
    order = new_order("r2")

    claim = await second.claim(order, ready(order, want=slots(400)))

    assert isinstance(claim, Busy)
    assert await get_order(database, "r2") is None
    assert await database.fetch("SELECT FROM rate_buckets") == []


async def test_owners_that_take_the_same_slots_never_stand_in_each_others_way(
    new_database: NewDatabase,
) -> None:
    """Lanes, then slots, then orders: whoever took them in another order would meet a deadlock."""
    database = await new_database()
    ledgers = [open_ledger(database) for _ in range(4)]
    wants = [slots(400, bucket="one"), slots(400, bucket="two")]

    async def work(number: int, ledger: Ledger) -> list[Claim]:
        found: list[Claim] = []
        for turn in range(12):
            orders = [
                new_order(f"r{number}-{turn}-{symbol}", symbol=f"S{symbol}USDT")
                for symbol in range(6)
            ]
            claims = await asyncio.gather(
                *(
                    ledger.claim(one, ready(one, want=wants[(place + number) % 2]))
                    for place, one in enumerate(orders)
                )
            )
            found.extend(claims)
            for claim in claims:
                if isinstance(claim, Claimed) and claim.begun:
                    await ledger.record(change(claim.row, OrderState.SENDING, OrderState.ACCEPTED))
        return found

    everything = await asyncio.gather(*(work(number, one) for number, one in enumerate(ledgers)))

    begun = [one for claims in everything for one in claims if isinstance(one, Claimed)]
    assert all(claim.begun for claim in begun)
    assert len({claim.row.request_id for claim in begun}) == len(begun) > 12
    rows = await database.fetch("SELECT general FROM rate_buckets")
    assert sum(slot > 0 for row in rows for slot in row["general"]) == len(begun)
