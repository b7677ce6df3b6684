"""Orders whose intent is committed with their claim, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
import pytest

from providers.limits import windows
from providers.limits.pacing import Pace
from providers.limits.plan import Need, Want
from providers.limits.quota import Published
from providers.limits.windows import Bucket, Demand
from providers.orders import OrderType, PositionSide
from storage.claims import IntentLimits
from storage.ledger import Busy, Claimed, Conflict, Lane
from storage.orders import get_events, get_order
from storage.postgres import statement
from storage.states import OrderState
from tests.support.databases import waiting_for_locks
from tests.support.ledgers import (
    bring,
    buy,
    change,
    claimed,
    new_order,
    open_ledger,
    ready,
    slots,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from storage.ledger import Claim, Ledger, NewOrder
    from storage.postgres import Database
    from tests.conftest import NewDatabase

HOUR = timedelta(hours=1)
SYMBOLS = ("BTCUSDT", *(f"S{number}USDT" for number in range(6)))
NEW, FREE, OURS = "the lane is new", "the lane is free", "the lane is ours"


@pytest.fixture(params=[NEW, FREE, OURS])
async def ledger(database: Database, request: pytest.FixtureRequest) -> Ledger:
    """A ledger whose ready orders take the long way, or the short one."""
    ledger = open_ledger(database)
    if request.param != NEW:
        for symbol in SYMBOLS:
            await claimed(ledger, f"before {symbol}", symbol=symbol)
        if request.param == FREE:
            for symbol in SYMBOLS:
                await ledger.leave_lane(Lane("bybit", "default", symbol))
    return ledger


async def _claim(ledger: Ledger, new: NewOrder, **fields: object) -> Claimed:
    claim = await ledger.claim(new, ready(new, **fields))
    assert isinstance(claim, Claimed), claim
    return claim


async def _workers(database: Database, want: Want) -> list[Ledger]:
    """Workers with a lane each, S0 to S3, which have all taken a slot before."""
    ledgers = [open_ledger(database) for _ in range(4)]
    for number, ledger in enumerate(ledgers):
        await _claim(ledger, new_order(f"before {number}", symbol=f"S{number}"), want=want)
    return ledgers


def _note_statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the statements by which orders are claimed, from now on."""
    names = {statement(name): name for name in ("begin_ready", "claim")}
    asked = Counter[str]()
    fetch = database.fetch

    async def noting(query: str, *args: object) -> list[asyncpg.Record]:
        asked[names.get(query, query)] += 1
        return await fetch(query, *args)

    monkeypatch.setattr(database, "fetch", noting)
    return asked


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


async def test_a_ready_order_is_born_as_about_to_be_sent(
    database: Database, ledger: Ledger
) -> None:
    claim = await _claim(ledger, new_order("r1"), detail={"weighed": {"mark": "9"}})

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
    assert await get_order(database, "r1") == row, "what is told is what is kept"


async def test_all_that_an_order_says_is_kept_to_the_digit(ledger: Ledger) -> None:
    order = new_order(
        "r1 'quoted', \\ and {braced} \u00fc",
        quantity=Decimal("0.0050"),
        price=Decimal("1E+5"),
        queued_at=datetime.now(timezone(timedelta(hours=3))),
        payload={"requestId": "r1", "note": "\u00e9 \U0001f680 'x' \\n {}", "n": [1, None, True]},
    )
    sent = replace(
        buy(order),
        order_type=OrderType.LIMIT,
        price=Decimal("99999.90"),
        position_side=PositionSide.LONG,
        take_profit=Decimal("123456789.000000001"),
        stop_loss=Decimal("1E-7"),
    )
    may_land_for = timedelta(days=1, microseconds=1)

    claim = await _claim(ledger, order, order=sent, may_land_for=may_land_for)

    assert claim.begun
    row = await get_order(ledger.database, order.request_id)
    assert row == claim.row
    assert (row.quantity.as_tuple(), row.payload) == (order.quantity.as_tuple(), order.payload)
    assert (row.take_profit, row.stop_loss) == (sent.take_profit, sent.stop_loss)
    assert row.may_land_until == claim.now + may_land_for


async def test_a_lane_changes_hands_with_a_number_of_its_own(database: Database) -> None:
    first, second = open_ledger(database), open_ledger(database)
    for ledger in (first, second):  # that both count as alive
        await claimed(ledger, f"{ledger.owner}", symbol=f"S{ledger.owner}")
    fences = []
    for number, ledger in enumerate((first, second, second, first)):
        claim = await _claim(ledger, new_order(f"r{number}"))
        assert claim.begun
        assert claim.lane is not None
        rows = await database.fetch("SELECT fence, owner FROM lanes WHERE symbol = 'BTCUSDT'")
        assert rows[0]["owner"] == ledger.owner
        fences.append(rows[0]["fence"])
        if number != 1:
            await ledger.leave_lane(claim.lane)
    assert fences == [1, 2, 2, 3]


async def test_whoever_may_count_as_gone_begins_nothing_before_a_sign_of_life(
    database: Database,
) -> None:
    ledger = open_ledger(database)
    await claimed(ledger, "before")
    await database.execute("UPDATE workers SET alive_until = now() + interval '1 ms'")

    claim = await _claim(ledger, new_order("r1"))

    assert claim.begun
    rows = await database.fetch("SELECT alive_until > now() + interval '5 s' AS alive FROM workers")
    assert rows[0]["alive"], "it came the long way, with a sign of life"


async def test_what_others_asked_for_is_left_to_them(database: Database) -> None:
    first, second = open_ledger(database), open_ledger(database)
    await claimed(first, "r1")
    order = new_order("r2")
    assert isinstance(await second.claim(order, ready(order)), Busy)  # which asks for the lane
    await first.leave_lane(Lane("bybit", "default", "BTCUSDT"))

    third = new_order("r3")
    assert isinstance(await first.claim(third, ready(third)), Busy)
    assert (await _claim(second, order)).begun


@pytest.mark.parametrize("as_ready", [True, False])
async def test_one_that_cannot_be_kept_keeps_no_other_from_it(
    ledger: Ledger, *, as_ready: bool
) -> None:
    bad = new_order("r0", payload={"note": "\x00"}, symbol="S0USDT")
    good = new_order("r1", symbol="S1USDT")

    failed, claim = await asyncio.gather(
        ledger.claim(bad, ready(bad) if as_ready else None),
        ledger.claim(good, ready(good)),
        return_exceptions=True,
    )

    assert isinstance(failed, asyncpg.DataError)
    assert isinstance(claim, Claimed)
    assert claim.begun


async def test_it_is_on_the_disk_when_the_claim_returns(database: Database, ledger: Ledger) -> None:
    """A request slot may be forgotten in a crash of the server; an intent never."""
    kept = []
    for number in range(7):
        claim = await _claim(ledger, new_order(f"r{number}"), want=slots(400))
        # Written before it was said: nothing is left that would only be written some time.
        rows = await database.fetch(
            "SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn() AS kept"
        )
        assert claim.begun
        kept.append(rows[0]["kept"])
    assert sum(kept) > len(kept) / 2, "the server itself writes something now and then"


async def test_its_slot_counts_and_without_one_it_is_claimed_only(
    database: Database, ledger: Ledger
) -> None:
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


async def test_one_of_whose_request_nothing_is_counted_begins(database: Database) -> None:
    ledger = open_ledger(database)
    await claimed(ledger, "before")
    want = Want("bybit", "bybit@here", (), urgent=False)

    claim = await _claim(ledger, new_order("r1"), want=want)

    assert claim.begun
    assert claim.slot is not None
    assert claim.slot.used == ()


async def test_slots_are_taken_as_the_rule_says(database: Database) -> None:
    """Whichever way an order takes, the rings are as `providers.limits.windows` leaves them."""
    ledger = open_ledger(database)
    draw = random.Random(8)  # noqa: S311 - no secret
    await claimed(ledger, "before")
    period_ms, hour_ms = 600_000, 3_600_000
    begun = []
    for number in range(80):
        pace = Pace(draw.randint(1, 4), draw.randint(0, 2), period_ms, draw.choice((0, hour_ms)))
        units = draw.randint(1, 3)
        limit = Published("orders", pace.general, period_ms)
        want = Want("bybit", "bybit@here", (Need("b", limit, units, pace, 0),), urgent=False)
        now = time.time_ns() // 1_000_000
        # Some of a ring of another size, some that are only booked, some of a clock set back.
        ages = (0, 0.5, 0.5, 0.9, 1.1, 1.1, 2, 5, -0.03, -0.5)
        general, reserved = (
            sorted(now - int(draw.choice(ages) * period_ms) for _ in range(size + draw.choice(off)))
            for size, off in ((pace.general, (0, 0, 0, 1)), (pace.reserved, (0, 0, 1)))
        )
        await database.execute(
            "INSERT INTO rate_buckets (bucket, units, period_ms, general, reserved) "
            "VALUES ('b', 0, 0, $1, $2) ON CONFLICT (bucket) "
            "DO UPDATE SET general = $1, reserved = $2, lent = 0",
            general,
            reserved,
        )

        claim = await _claim(ledger, new_order(f"r{number}"), want=want)

        rows = await database.fetch("SELECT general, reserved FROM rate_buckets")
        at = now if claim.slot is None else int(claim.slot.at_s * 1000)
        model = Bucket(general, reserved)
        demand = Demand(model, units, pace)
        _, taken = windows.take([demand], urgent=False, now=at, patience=0)
        assert claim.begun == taken, (number, pace, units, general, reserved, at)
        for kept, ring in zip(rows[0], (model.general, model.reserved), strict=True):
            assert kept == pytest.approx(ring, abs=1000), (number, pace, units, general, reserved)
        if claim.slot is not None:
            assert claim.slot.used == (model.within(pace, at),)
        begun.append(claim.begun)
        assert claim.lane is not None
        await ledger.leave_lane(claim.lane)
    assert 20 < sum(begun) < 60, "both ways were taken"


@pytest.mark.parametrize("counted_before", [True, False])
async def test_a_cool_down_lets_none_begin(
    database: Database, ledger: Ledger, *, counted_before: bool
) -> None:
    if counted_before:
        claim = await _claim(ledger, new_order("before"), want=slots(400))
        await ledger.record(change(claim.row, OrderState.SENDING, OrderState.ACCEPTED))
    await database.execute(
        "INSERT INTO rate_cooldowns (scope, until, why) "
        "VALUES ('bybit@here ip:default', now() + interval '1 min', 'banned')"
    )

    claim = await _claim(ledger, new_order("r1"), want=slots(400))

    assert not claim.begun
    assert claim.slot is None


async def test_orders_that_come_together_get_one_slot_each(ledger: Ledger) -> None:
    want = slots(3)
    orders = [new_order(f"r{number}", symbol=f"S{number}USDT") for number in range(6)]

    claims = await asyncio.gather(*(ledger.claim(one, ready(one, want=want)) for one in orders))

    assert sum(isinstance(claim, Claimed) and claim.begun for claim in claims) == 3
    assert all(isinstance(claim, Claimed) for claim in claims)


async def test_workers_that_come_together_get_no_more_slots_than_there_are(
    new_database: NewDatabase,
) -> None:
    database = await new_database()
    want = slots(4)
    ledgers = await _workers(database, want)
    orders = [new_order(f"r{number}", symbol=f"S{number}") for number in range(4)]

    async def four_wait() -> bool:
        return await waiting_for_locks(database) == 4

    await database.execute("UPDATE rate_buckets SET general[1] = 0")  # one is free again
    async with database.connection() as other, other.transaction():
        await other.execute("SELECT FROM rate_buckets FOR UPDATE")
        claiming = asyncio.gather(
            *(_claim(*one, want=want) for one in zip(ledgers, orders, strict=True))
        )
        await eventually(four_wait, what="all wait for the slots")

    assert sum(claim.begun for claim in await claiming) == 1


async def test_a_cool_down_that_begins_while_slots_are_waited_for_lets_none_begin(
    new_database: NewDatabase,
) -> None:
    database = await new_database()
    want = slots(400)
    ledger, *_ = await _workers(database, want)
    async with database.connection() as other, other.transaction():
        await other.execute("SELECT FROM rate_buckets FOR UPDATE")
        claiming = asyncio.create_task(_claim(ledger, new_order("r1", symbol="S0"), want=want))
        await eventually(lambda: waiting_for_locks(database), what="the slots are waited for")
        await database.execute(
            "INSERT INTO rate_cooldowns (scope, until, why) "
            "VALUES ('bybit@here ip:default', now() + interval '1 min', 'banned')"
        )

    assert not (await claiming).begun


async def test_to_wait_for_anothers_commit_is_no_reason_to_take_the_long_way(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await new_database()
    want = slots(400)
    ledgers = await _workers(database, want)
    asked = _note_statements(database, monkeypatch)

    async def work(number: int, ledger: Ledger) -> None:
        for turn in range(12):
            await _claim(ledger, new_order(f"r{number} {turn}", symbol=f"S{number}"), want=want)

    await asyncio.gather(*(work(*one) for one in enumerate(ledgers)))

    assert asked == {"begin_ready": 48}


async def test_one_id_for_two_trades_at_once_begins_once(ledger: Ledger) -> None:
    orders = [
        new_order("r1", symbol=f"S{number}USDT", quantity=Decimal(number + 1))
        for number in range(3)
    ]

    claims = await asyncio.gather(*(ledger.claim(one, ready(one)) for one in orders))

    begun = [claim for claim in claims if isinstance(claim, Claimed) and claim.begun]
    assert len(begun) == 1
    assert sum(isinstance(claim, Conflict | Busy) for claim in claims) == 2
    events = await get_events(ledger.database, "r1")
    assert [event.after for event in events] == ["RECEIVED", "SENDING"]


async def test_of_one_lane_only_one_begins_at_a_time(database: Database, ledger: Ledger) -> None:
    """Limits count what was committed before; two in one statement would not see each other."""
    orders = [new_order(f"r{number}") for number in range(4)]
    limits = _at_most(2)

    claims = await asyncio.gather(*(ledger.claim(one, ready(one, limits=limits)) for one in orders))

    begun = [isinstance(claim, Claimed) and claim.begun for claim in claims]
    assert 1 <= sum(begun) <= 2
    rows = await database.fetch("SELECT count(*) AS n FROM orders WHERE sends > 0")
    assert rows[0]["n"] == sum(begun)


async def test_one_that_breaks_a_limit_is_claimed_and_told(ledger: Ledger) -> None:
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
