"""Looks at accounts: many workers ask an exchange no more often than one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from storage.audits import SHOWN_LATE, Look, Turn, seen, take_turn

if TYPE_CHECKING:
    from storage.postgres import Database

HOUR = timedelta(hours=1)


async def take(
    database: Database, look: Look = Look.RECENT, every: timedelta = HOUR
) -> Turn | None:
    return await take_turn(database, "bybit", "default", look, every)


async def test_of_many_workers_one_has_the_turn(database: Database) -> None:
    turns = await asyncio.gather(*(take(database) for _ in range(8)))

    assert len([turn for turn in turns if turn is not None]) == 1
    assert await take(database, Look.OPEN) is not None, "another look has turns of its own"
    assert await take_turn(database, "mexc", "default", Look.RECENT, HOUR) is not None


async def test_a_look_that_failed_is_taken_over_from_where_it_was(database: Database) -> None:
    first = await take(database, every=timedelta(0))
    again = await take(database, every=timedelta(0))
    assert first is not None
    assert again is not None
    assert again.since == first.since, "nothing was seen yet"

    await seen(database, again)
    third = await take(database, every=timedelta(0))
    assert third is not None
    assert third.since == again.began - SHOWN_LATE

    await seen(database, first)  # one that was slow takes nothing back
    fourth = await take(database, every=timedelta(0))
    assert fourth is not None
    assert fourth.since == third.since


async def test_what_was_ordered_before_the_ledger_was_made_is_not_its_business(
    database: Database,
) -> None:
    turn = await take(database)
    (made,) = await database.fetch("SELECT min(applied_at) AS at FROM schema_migrations")
    assert turn is not None
    assert turn.since >= made["at"]
