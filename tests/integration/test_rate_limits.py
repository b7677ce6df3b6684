"""Request limits in the database: the rule for all replicas, cool-downs, and life without it."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from providers.clock import SystemClock
from providers.limits import bybit
from providers.limits.limiter import Closed, Joined, Slot
from providers.limits.pacing import Pace
from providers.limits.plan import Need, Plan, Rules, Want
from providers.limits.quota import Published
from providers.limits.windows import Bucket, Demand, charge, take
from storage.postgres import statement
from storage.rate_limits import (
    SharedLimiter,
    clear_cool_downs,
    show_buckets,
    show_cool_downs,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from storage.postgres import Database
    from tests.conftest import NewDatabase

START = 1_700_000_000_000
RULES = Rules(margin_ms=50)
PLAN = Plan(bybit.QUOTA, "api.example", "default", RULES)
CREATE = PLAN.want("POST", "/v5/order/create", of_all=True, urgent=False)
CLOSE = PLAN.want("POST", "/v5/order/create", of_all=True, urgent=True)
CLOCK = PLAN.want("GET", "/v5/market/time", of_all=True, urgent=False)


def need(bucket: str, units: int, pace: Pace) -> Need:
    return Need(bucket, Published(bucket, 1, 1000), units, pace, 50)


def want(*needs: Need, urgent: bool = False) -> Want:
    return Want("x", "x@host ip:default", needs, urgent)


@asynccontextmanager
async def limiter(database: Database, *, within: float = 5.0) -> AsyncIterator[SharedLimiter]:
    made = SharedLimiter(database, RULES, SystemClock(), uuid4(), replicas=4, timeout=within)
    try:
        yield made
    finally:
        await made.aclose()


async def ask(
    database: Database, wants: Sequence[tuple[Want, int]], now: int
) -> list[tuple[int, bool, list[int]]]:
    """Take slots at a moment of our choice."""
    needs = [(number, one) for number, (asked, _) in enumerate(wants, 1) for one in asked.needs]
    rows = await database.fetch(
        "SELECT wait_ms, taken, used FROM take_slots($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        [number for number, _ in needs],
        [one.bucket for _, one in needs],
        [one.units for _, one in needs],
        [one.pace.general for _, one in needs],
        [one.pace.reserved for _, one in needs],
        [one.pace.period_ms for _, one in needs],
        [one.pace.lent_ms for _, one in needs],
        [asked.address for asked, _ in wants],
        [asked.urgent for asked, _ in wants],
        [patience for _, patience in wants],
        now,
    )
    return [(row["wait_ms"], row["taken"], list(row["used"])) for row in rows]


def draw_pace(chance: random.Random, *, fewest: int) -> Pace:
    lent_ms = chance.choice((0, 1700))
    return Pace(chance.randint(fewest, 9), chance.randint(0, 3), 1000, lent_ms)


async def test_workers_of_the_version_before_get_slots_as_before(database: Database) -> None:
    rows = await database.fetch(
        "SELECT taken FROM take_slots(ARRAY[1, 2], ARRAY['a', 'a'], ARRAY[1, 1], ARRAY[1, 1], "
        "ARRAY[1, 1], ARRAY[1000, 1000], ARRAY['x', 'x'], ARRAY[false, false], ARRAY[0, 0])"
    )
    assert [row["taken"] for row in rows] == [True, False], "the reserved slot is not lent"


@pytest.mark.parametrize("seed", range(4))
async def test_the_database_keeps_the_same_rule_as_the_model(database: Database, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    paces = {name: draw_pace(chance, fewest=1) for name in "abc"}
    buckets = {name: Bucket() for name in paces}
    now = START
    for _ in range(60):
        now += chance.choice((0, 1, 40, 700, 3000, -5000))
        wants: list[tuple[Want, int]] = []
        expected: list[tuple[int, bool, list[int]]] = []
        for _ in range(chance.randint(1, 6)):
            names = chance.sample(sorted(paces), chance.randint(1, 3))
            units = {name: chance.randint(1, min(3, paces[name].general)) for name in names}
            urgent, patience = chance.random() < 0.3, chance.choice((0, 900, 5000))
            asked = want(*(need(name, units[name], paces[name]) for name in names), urgent=urgent)
            wants.append((asked, patience))
            demands = [Demand(buckets[name], units[name], paces[name]) for name in names]
            at, taken = take(demands, urgent=urgent, now=now, patience=patience)
            used = [bucket.within(pace, at) for bucket, _, pace in demands] if taken else []
            expected.append((at - now, taken, used))
        assert await ask(database, wants, now) == expected
        if chance.random() < 0.1:  # a replica with other settings
            name = chance.choice("abc")
            paces[name] = draw_pace(chance, fewest=3)


async def test_others_use_is_charged_as_in_the_model(database: Database) -> None:
    pace = Pace(4, 1, 1000)
    now = int((await database.fetch("SELECT extract(epoch FROM clock_timestamp())"))[0][0] * 1000)
    await ask(database, [(want(need("a", 1, pace)), 9000)] * 6, now)
    await database.execute("SELECT charge_slots('a', 2, 4, 1, 1000)")
    await database.execute("SELECT charge_slots('new', 9, 4, 1, 1000)")
    rings = {
        row["bucket"]: list(row["general"])
        for row in await database.fetch("SELECT bucket, general FROM rate_buckets")
    }
    bucket = Bucket([now, now, now + 1000, now + 1000])
    charge(bucket, 2, pace, rings["a"][1])
    assert rings["a"] == bucket.general
    assert len(set(rings["new"])) == 1
    assert len(rings["new"]) == 4


async def test_replicas_that_ask_at_once_never_share_a_slot(
    database: Database, new_database: NewDatabase
) -> None:
    pools = [await new_database() for _ in range(3)]
    tight = want(need("tight", 1, Pace(5, 0, 1000)), need("wide", 1, Pace(40, 10, 1000)))

    async def replica(pool: Database) -> list[float]:
        taken: list[float] = []
        async with limiter(pool) as own:
            asked_at = time.monotonic()
            answers = await asyncio.gather(*(own.take(tight, 30.0) for _ in range(20)))
        for answer in answers:
            assert isinstance(answer, Slot)
            taken.append(answer.at - asked_at)
        return taken

    began = time.monotonic()
    waits = [wait for found in await asyncio.gather(*map(replica, pools)) for wait in found]
    took = time.monotonic() - began
    assert len(waits) == 60
    # 60 slots, 5 a second: the last is 11 s after the first.
    assert 10.9 - took <= max(waits) <= 11.1 + took
    rings = await database.fetch("SELECT general FROM rate_buckets WHERE bucket = 'tight'")
    assert len(rings[0]["general"]) == 5
    assert sum(wait <= 1 for wait in waits) <= 5 * (2 + int(took + 1))


async def test_a_close_finds_a_slot_where_openings_have_used_up_theirs(database: Database) -> None:
    async with limiter(database) as own:
        openings = [await own.take(CREATE, 60.0) for _ in range(30)]
        close = await own.take(CLOSE, 60.0)
    assert all(isinstance(one, Slot) for one in openings)
    assert isinstance(close, Slot)
    assert close.at <= time.monotonic()


async def test_a_wait_beyond_patience_is_refused_with_its_length(database: Database) -> None:
    async with limiter(database) as own:
        answers = [await own.take(CREATE, 0.0) for _ in range(12)]
    refused = [one for one in answers if isinstance(one, Closed)]
    assert refused
    assert all(0 < one.seconds <= 1.06 and not one.cooling for one in refused)


async def test_a_cool_down_shuts_its_scope_for_all_replicas_and_outlives_them(
    database: Database, new_database: NewDatabase
) -> None:
    other = await new_database()
    async with limiter(database) as first, limiter(other) as second:
        assert isinstance(await second.take(CLOCK, 0.0), Slot)
        first.cool_down(PLAN.address, 30.0, "http-403")
        here = await first.take(CLOCK, 0.0)
        assert isinstance(here, Closed), "before it is stored, too"

        async def shut() -> bool:
            return isinstance(await second.take(CLOCK, 0.0), Closed)

        await eventually(shut, within=5, what="the other replica to stay away")
        left = await second.cooling(CREATE.scopes)
        assert left is not None
        assert 25 < left <= 30
        first.cool_down(PLAN.address, 1.0, "a shorter one")
    async with limiter(other) as later:
        answer = await later.take(CLOSE, 0.0)
        assert isinstance(answer, Closed)
        assert answer.cooling
        assert 25 < answer.seconds <= 30
        (row,) = await show_cool_downs(database)
        assert (row.scope, row.why) == (PLAN.address, "http-403")
        assert await clear_cool_downs(database, "binance", "no") == []
        assert await clear_cool_downs(database, "bybit", "a test") == [PLAN.address]
        assert isinstance(await later.take(CLOSE, 0.0), Slot)
        assert await later.cooling(CLOSE.scopes) is None
    assert await show_cool_downs(database) == []


async def test_a_cool_down_of_one_limit_leaves_the_others_open(database: Database) -> None:
    async with limiter(database) as own:
        own.cool_down(CREATE.needs[0].bucket, 30.0, "10006")
        assert isinstance(await own.take(CREATE, 5.0), Closed)
        assert isinstance(await own.take(CLOCK, 5.0), Slot)


@pytest.mark.parametrize("with_the_commit", [True, False])
async def test_a_cool_down_that_begins_before_a_slot_is_answered_stays_in_force(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, with_the_commit: bool
) -> None:
    """Whoever answers has not seen it, be it the ledger with a commit."""
    fetch = database.fetch

    async def cool_down_meanwhile() -> None:
        monkeypatch.undo()
        own.cool_down(PLAN.address, 30.0, "http-403")
        await eventually(lambda: not own._storing.ends(CREATE.scopes), what="it to be stored")

    async def fetch_slowly(query: str, *args: object) -> list[asyncpg.Record]:
        rows = await fetch(query, *args)
        if query == statement("take_slots"):
            await cool_down_meanwhile()
        return rows

    async with limiter(database) as own:
        if with_the_commit:
            want = own.joins(CREATE)
            assert want is not None
            await cool_down_meanwhile()
            own.joined(want, Joined(asked_at=0.0, answered_at=1.0, at_s=0.5))
        else:
            monkeypatch.setattr(database, "fetch", fetch_slowly)
            assert isinstance(await own.take(CREATE, 0.0), Slot)
        assert own.shut(CREATE.scopes) is not None


async def test_without_the_database_a_share_is_kept_and_it_is_gone_back_to(
    database: Database,
) -> None:
    await database.execute(
        "INSERT INTO rate_replicas SELECT gen_random_uuid(), now() FROM generate_series(1, 3)"
    )
    async with limiter(database, within=0.2) as own:
        assert isinstance(await own.take(CREATE, 0.0), Slot)
        await eventually(lambda: own._replicas == 4, within=5, what="the replicas to be counted")
        own.cool_down("elsewhere", 60.0, "a test")
        await eventually(
            lambda: own.shut(["elsewhere"]) is not None, within=5, what="a known cool-down"
        )
        async with database.connection() as blocker, blocker.transaction():
            await blocker.execute("LOCK TABLE rate_buckets")
            asked_at = time.monotonic()
            answers = [await own.take(CREATE, 60.0) for _ in range(5)]
            assert own.degraded
        waits = [one.at - asked_at for one in answers if isinstance(one, Slot)]
        assert len(waits) == 5
        # A quarter of 10 a second, and nothing of the period in which the others may have used it.
        assert waits[0] > 0.5
        assert sum(wait < waits[0] + 1.0 for wait in waits) <= 3

        async def back() -> bool:
            await own.take(CLOCK, 0.0)
            return not own.degraded

        await eventually(back, within=10, what="the way back to the shared limits")
    rows = {row.bucket: row for row in await show_buckets(database)}
    assert rows[CREATE.needs[0].bucket].units == 10


async def test_asking_is_fast(database: Database) -> None:
    async with limiter(database) as own:
        await own.take(CLOCK, 60.0)
        times = []
        for _ in range(100):
            began = time.perf_counter()
            await own.take(CREATE, 60.0)
            times.append(time.perf_counter() - began)
    assert sorted(times)[50] < 0.05, "a median far above 0.5 ms is no one-statement step"
