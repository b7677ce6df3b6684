"""Claiming: who may work on an order, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
import pytest

from storage.errors import ClaimLost
from storage.ledger import Busy, Claimed, Conflict, Settled
from storage.orders import get_events, get_order
from storage.states import FINAL, OrderState
from tests.support.ledgers import bring, change, claimed, intent, new_order, open_ledger
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from storage.orders import OrderRow
    from storage.postgres import Database
    from tests.conftest import NewDatabase

SHORT = timedelta(milliseconds=300)
AT_EXCHANGE = (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)


async def test_a_new_order_is_born_claimed(database: Database) -> None:
    ledger = open_ledger(database)

    claim = await ledger.claim(new_order("r1", price=Decimal("94000.5")))

    assert isinstance(claim, Claimed)
    row = claim.row
    assert (row.state, row.fence, row.attempts, row.sends) == (OrderState.RECEIVED, 1, 1, 0)
    assert row.price == Decimal("94000.5")
    assert row.payload == {"requestId": "r1"}
    assert row.lease_until is not None
    assert row.lease_until > claim.now
    (event,) = await get_events(database, "r1")
    assert (event.before, event.after, event.fence) == (None, OrderState.RECEIVED, 1)


@pytest.mark.parametrize("state", sorted({*FINAL, *AT_EXCHANGE}))
async def test_what_is_done_or_in_the_book_is_settled(
    database: Database, state: OrderState
) -> None:
    await bring(open_ledger(database), "r1", state)

    for ledger in (open_ledger(database), open_ledger(database)):
        claim = await ledger.claim(new_order("r1"))
        assert isinstance(claim, Settled)
        assert claim.row.state is state
        assert claim.row.fence == 1  # nobody took it over


@pytest.mark.parametrize(
    "state", [OrderState.RECEIVED, OrderState.DEFERRED, OrderState.UNKNOWN, OrderState.FILLED]
)
async def test_another_trade_under_the_same_id_is_a_conflict_in_every_state(
    database: Database, state: OrderState
) -> None:
    ledger = open_ledger(database)
    row = await bring(ledger, "r1", state)

    claim = await ledger.claim(new_order("r1", quantity=Decimal("0.006")))

    assert isinstance(claim, Conflict)
    assert claim.row.quantity == row.quantity
    after = await get_order(database, "r1")
    assert after is not None
    assert (after.fence, after.attempts, after.state) == (1, 1, state)


@pytest.mark.parametrize(
    "state", [OrderState.RECEIVED, OrderState.SENDING, OrderState.UNKNOWN, OrderState.DEFERRED]
)
async def test_an_order_under_a_lease_is_busy_for_others(
    database: Database, state: OrderState
) -> None:
    first = open_ledger(database)
    row = await bring(first, "r1", state)
    if state not in (OrderState.RECEIVED, OrderState.SENDING):
        again = await claimed(first, "r1")
        assert again.fence == row.fence + 1

    assert isinstance(await open_ledger(database).claim(new_order("r1")), Busy)


async def test_a_lease_that_ended_is_taken_over_with_a_higher_fence(database: Database) -> None:
    first, second = open_ledger(database, SHORT), open_ledger(database)
    old = await claimed(first, "r1")

    async def taken() -> OrderRow | None:
        claim = await second.claim(new_order("r1"))
        return claim.row if isinstance(claim, Claimed) else None

    new = await eventually(taken, within=5, what="the take-over")

    assert (new.fence, new.attempts) == (old.fence + 1, 2)
    with pytest.raises(ClaimLost):
        await first.begin_sending(intent(old))
    with pytest.raises(ClaimLost):
        await first.record(change(old, OrderState.RECEIVED, OrderState.DEFERRED))
    await second.begin_sending(intent(new))
    row = await get_order(database, "r1")
    assert row is not None
    assert (row.state, row.sends, row.fence) == (OrderState.SENDING, 1, new.fence)


async def test_an_owner_may_claim_again_at_once_and_then_the_old_claim_is_lost(
    database: Database,
) -> None:
    ledger = open_ledger(database)
    old = await claimed(ledger, "r1")
    new = await claimed(ledger, "r1")

    assert new.fence == old.fence + 1
    with pytest.raises(ClaimLost):
        await ledger.begin_sending(intent(old))
    await ledger.begin_sending(intent(new))


async def test_a_released_order_is_free_at_once(database: Database) -> None:
    first, second = open_ledger(database), open_ledger(database)
    row = await claimed(first, "r1")
    await first.record(change(row, OrderState.RECEIVED, OrderState.DEFERRED, code="WAIT"))

    taken = await claimed(second, "r1")

    assert (taken.state, taken.fence, taken.code) == (OrderState.DEFERRED, 2, "WAIT")


async def test_a_kept_lease_holds_others_off(database: Database) -> None:
    first, second = open_ledger(database), open_ledger(database)
    row = await claimed(first, "r1")
    await first.record(change(row, OrderState.RECEIVED, OrderState.DEFERRED, keep_lease=True))

    assert isinstance(await second.claim(new_order("r1")), Busy)


async def test_the_intent_renews_the_lease(database: Database) -> None:
    ledger = open_ledger(database)
    row = await claimed(ledger, "r1")
    await database.execute("UPDATE orders SET lease_until = now() - interval '1 s'")

    await ledger.begin_sending(intent(row))

    assert isinstance(await open_ledger(database).claim(new_order("r1")), Busy)


async def test_two_owners_that_want_the_same_orders_get_each_order_once(
    new_database: NewDatabase,
) -> None:
    pools = [await new_database() for _ in range(2)]
    for round_ in range(3):
        ids = [f"r{round_}-{number}" for number in range(200)]
        claims = await asyncio.gather(
            *(
                ledger.claim(new_order(one, symbol=one))
                for ledger in map(open_ledger, pools)
                for one in random.Random(round_).sample(ids, len(ids))  # noqa: S311 - no secret
            )
        )
        winners = Counter(claim.row.request_id for claim in claims if isinstance(claim, Claimed))
        losers = [claim for claim in claims if isinstance(claim, Busy)]
        assert winners == Counter(ids)
        assert len(losers) == len(ids)


async def test_take_overs_and_intents_in_any_order_never_deadlock(
    new_database: NewDatabase,
) -> None:
    pools = [await new_database() for _ in range(3)]
    ids = [f"r{number}" for number in range(60)]
    draw = random.Random(7)  # noqa: S311 - no secret
    sent: Counter[str] = Counter()

    async def work(pool: Database) -> None:
        ledger = open_ledger(pool, timedelta(milliseconds=1), alive_for=timedelta(seconds=60))

        async def one(request_id: str) -> None:
            claim = await ledger.claim(new_order(request_id, symbol=request_id))
            if not isinstance(claim, Claimed) or claim.row.state is OrderState.SENDING:
                return
            try:
                await ledger.begin_sending(intent(claim.row))
            except ClaimLost:
                return
            sent[request_id] += 1

        for _ in range(5):
            await asyncio.gather(*(one(two) for two in draw.sample(ids, len(ids))))

    await asyncio.gather(*(work(pool) for pool in pools))

    assert set(sent.values()) == {1}  # SENDING once, whoever won


async def test_one_order_that_cannot_be_written_leaves_its_group_alone(
    database: Database,
) -> None:
    ledger = open_ledger(database)
    good = [new_order(f"r{number}") for number in range(30)]
    poison = [
        new_order("nul", payload={"note": "a\x00b"}),  # refused by the server
        new_order("surrogate", symbol="\ud800"),  # can't even be encoded
        new_order("nothing", quantity=Decimal(0)),  # breaks a constraint
    ]

    results = await asyncio.gather(
        *(ledger.claim(one) for one in (*good[:10], *poison, *good[10:])), return_exceptions=True
    )

    by_id = dict(zip((one.request_id for one in (*good[:10], *poison, *good[10:])), results,
                     strict=True))  # fmt: skip
    assert all(isinstance(by_id[one.request_id], Claimed) for one in good), by_id
    assert isinstance(by_id["nul"], asyncpg.DataError)
    assert isinstance(by_id["surrogate"], asyncpg.DataError)
    assert isinstance(by_id["nothing"], asyncpg.CheckViolationError)
    rows = await database.fetch("SELECT count(*) AS n FROM orders")
    assert rows[0]["n"] == len(good)
