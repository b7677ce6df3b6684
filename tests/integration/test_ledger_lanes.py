"""Lanes: two replicas never work on one (exchange, account, symbol) at once. A real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from consumer.settings import Settings
from storage import workers
from storage.errors import ClaimLost
from storage.ledger import Busy, Claimed, Lane, Ledger
from storage.orders import get_order
from storage.states import OrderState
from tests.support.ledgers import LEASE, change, claimed, intent, new_order, open_ledger
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.orders import OrderRow
    from storage.postgres import Database
    from tests.conftest import NewDatabase

S = OrderState
BTC = Lane("bybit", "default", "BTCUSDT")
SHORT = timedelta(milliseconds=300)


async def free(ledger: Ledger, request_id: str) -> OrderRow | None:
    claim = await ledger.claim(new_order(request_id))
    return claim.row if isinstance(claim, Claimed) else None


async def done(ledger: Ledger, row: OrderRow) -> None:
    await ledger.begin_sending(intent(row, before=row.state))
    await ledger.record(change(row, S.SENDING, S.ACCEPTED))


async def test_a_lane_is_one_owners_until_the_work_on_it_is_recorded(database: Database) -> None:
    first, second = open_ledger(database), open_ledger(database)
    row = await claimed(first, "r1")

    assert await second.claim(new_order("r2")) == Busy(None)
    assert await get_order(database, "r2") is None  # nothing was begun
    assert isinstance(await second.claim(new_order("e1", symbol="ETHUSDT")), Claimed)
    assert isinstance(await second.claim(new_order("b1", exchange="binance")), Claimed)

    await first.begin_sending(intent(row))
    assert await second.claim(new_order("r2")) == Busy(None)
    await first.record(change(row, S.SENDING, S.ACCEPTED))
    await done(second, await claimed(second, "r2"))


async def test_a_lane_with_more_work_is_kept_until_somebody_waited_for_it(
    database: Database,
) -> None:
    first, second = open_ledger(database), open_ledger(database)
    numbers = iter(range(1000))

    async def one_more() -> None:
        row = await claimed(first, f"r{next(numbers)}")
        await first.begin_sending(intent(row))
        kept = change(row, S.SENDING, S.ACCEPTED)
        await first.record(replace(kept, more=True))

    await one_more()
    assert await second.claim(new_order("other")) == Busy(None)
    await one_more()  # our turn is not over: kept, though it was asked for
    taken = await database.fetch("SELECT fence FROM lanes")

    assert [row["fence"] for row in taken] == [1]

    async def handed_over() -> bool:
        if isinstance(await second.claim(new_order("other")), Claimed):
            return True
        await one_more()
        return False

    await eventually(handed_over, within=10, what="the lane")


async def test_a_lane_is_kept_for_who_asked_for_it(database: Database) -> None:
    first, second, third = (open_ledger(database) for _ in range(3))
    row = await claimed(first, "r1")
    assert await second.claim(new_order("r2")) == Busy(None)
    await done(first, row)

    assert await third.claim(new_order("r3")) == Busy(None)
    assert await first.claim(new_order("r4")) == Busy(None)
    assert await free(second, "r2") is not None


async def test_a_lane_that_is_not_used_is_left(database: Database) -> None:
    first, second = open_ledger(database), open_ledger(database)
    await done(first, await claimed(first, "r1"))
    assert await free(first, "r1") is None  # done: nothing to claim, but the lane came with it
    assert await second.claim(new_order("r2")) == Busy(None)

    await first.leave_lane(BTC)

    assert await free(second, "r2") is not None


async def test_a_worker_that_woke_up_late_sends_nothing(database: Database) -> None:
    """Its order is untouched, and another order of the lane is under way."""
    frozen = open_ledger(database, LEASE, alive_for=SHORT)
    frozen._send_within = SHORT / 4
    row = await claimed(frozen, "r1")
    heir = open_ledger(database)
    other = await eventually(lambda: free(heir, "r2"), within=5, what="the lane")
    await heir.begin_sending(intent(other))

    with pytest.raises(ClaimLost):
        await frozen.begin_sending(intent(row))
    assert await frozen.claim(new_order("r3")) == Busy(None)  # alive again, but without the lane
    with pytest.raises(ClaimLost):
        await frozen.begin_sending(intent(row))


async def test_an_intent_needs_time_enough_to_send(database: Database) -> None:
    ledger = Ledger(database, uuid4(), LEASE, send_within=timedelta(seconds=1))
    row = await claimed(ledger, "r1")
    await database.execute("UPDATE workers SET alive_until = now() + interval '0.9 s'")

    with pytest.raises(ClaimLost):
        await ledger.begin_sending(intent(row))


@asynccontextmanager
async def present(url: str, owner: object) -> AsyncIterator[None]:
    settings = Settings(database_url=url)
    async with workers.session(settings, owner, LEASE, lambda: None) as ours:  # type: ignore[arg-type]  # a UUID
        await ours.beat({})
        yield


async def test_a_killed_worker_is_gone_with_its_connection(
    database: Database, database_url: str
) -> None:
    owner = uuid4()
    dead, heir = Ledger(database, owner, LEASE), open_ledger(database)
    async with present(database_url, owner):
        row = await claimed(dead, "r1")
        assert await heir.claim(new_order("r2")) == Busy(None)
        assert isinstance(await heir.claim(new_order("r1")), Busy)

    other = await eventually(lambda: free(heir, "r2"), within=5, what="the lane")
    await done(heir, other)
    again = await claimed(heir, "r1")  # its lease is long, but nobody is there to use it
    assert again.fence == row.fence + 1
    with pytest.raises(ClaimLost):
        await dead.begin_sending(intent(row))


async def test_a_killed_worker_that_may_be_about_to_send_keeps_its_lane_for_so_long(
    database: Database, database_url: str
) -> None:
    owner = uuid4()
    dead, heir = Ledger(database, owner, LEASE), open_ledger(database)
    heir._send_within = timedelta(seconds=1)
    async with present(database_url, owner):
        row = await claimed(dead, "r1")
        await dead.begin_sending(intent(row))

    assert await heir.claim(new_order("r2")) == Busy(None)
    await eventually(lambda: free(heir, "r2"), within=5, what="the lane")
    began = await get_order(database, "r1")
    waited = await database.fetch("SELECT now() - intended_at AS w FROM orders WHERE sends = 1")
    assert began is not None
    assert waited[0]["w"] >= timedelta(seconds=1)


async def test_replicas_that_share_a_few_lanes_overlap_nowhere_and_all_get_their_turn(
    new_database: NewDatabase,
) -> None:
    pools = [await new_database() for _ in range(3)]
    symbols = ("BTCUSDT", "ETHUSDT")
    inside: Counter[str] = Counter()
    turns: Counter[int] = Counter()

    async def work(number: int, symbol: str) -> None:
        ledger = open_ledger(pools[number])
        for n in range(15):
            while True:
                claim = await ledger.claim(new_order(f"{number}-{symbol}-{n}", symbol=symbol))
                if isinstance(claim, Claimed):
                    break
                await asyncio.sleep(0.01)
            await ledger.begin_sending(intent(claim.row))
            inside[symbol] += 1
            assert inside[symbol] == 1
            await asyncio.sleep(0.001)
            inside[symbol] -= 1
            await ledger.record(change(claim.row, S.SENDING, S.ACCEPTED))
            turns[number] += 1

    await asyncio.gather(*(work(n, symbol) for n in range(3) for symbol in symbols))
    assert turns == {0: 30, 1: 30, 2: 30}


async def test_workers_that_ended_long_ago_are_cleared_away(database: Database) -> None:
    old = open_ledger(database)
    await claimed(old, "r1")
    await database.execute("UPDATE workers SET alive_until = now() - interval '2 days'")

    await workers.forget_the_gone(database)

    assert await database.fetch("SELECT 1 FROM workers") == []
    assert await free(open_ledger(database), "r2") is not None
