"""What is written down for people to be told, in a real database: with the state, if wanted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from storage.errors import ClaimLost
from storage.notifications import Notifications, PendingNotice, Topic, tell_people
from storage.outbox import Outbox, PutBack
from storage.states import OrderState as S
from tests.support.ledgers import bring, change, open_ledger
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.postgres import Database

NO_PAUSE = timedelta(0)
FAR = timedelta(hours=1)


async def written(database: Database) -> list[tuple[str, str | None]]:
    rows = await database.fetch(
        "SELECT topic, request_id FROM outbox WHERE kind = 'notification' ORDER BY id"
    )
    return [(row["topic"], row["request_id"]) for row in rows]


async def take(notices: Notifications, most: int = 100) -> Sequence[PendingNotice]:
    return await notices.take(most, pause=NO_PAUSE, lease=FAR)


async def test_nothing_is_written_down_while_nobody_wants_it(database: Database) -> None:
    ledger = open_ledger(database)
    for state in (S.FILLED, S.DENIED, S.QUARANTINED):
        await bring(ledger, state, state)
    await tell_people(database, Topic.BAN, detail={"exchange": "bybit"})
    assert await written(database) == []

    # Nor when whoever wanted it has been gone for long.
    await Notifications(database).want(Topic)
    await database.execute("UPDATE notification_topics SET wanted_until = now()")
    await bring(ledger, "late", S.FILLED)
    await tell_people(database, Topic.BAN)
    assert await written(database) == []


@pytest.mark.parametrize(
    ("state", "topics"),
    [
        (S.DENIED, ["failed"]),
        (S.EXPIRED, ["failed"]),
        (S.REJECTED, ["failed"]),
        (S.QUARANTINED, ["quarantined"]),
        (S.CANCELED, []),  # never sent: there was nothing to do
        (S.ACCEPTED, []),
        (S.UNKNOWN, []),
    ],
)
async def test_an_order_is_told_by_its_end(database: Database, state: S, topics: list[str]) -> None:
    await Notifications(database).want(Topic)
    ledger = open_ledger(database)

    row = await bring(ledger, "r-1", state)

    assert await written(database) == [(topic, "r-1") for topic in topics]
    await ledger.record(change(row, state, state))  # said again: no news
    assert len(await written(database)) == len(topics)


@pytest.mark.parametrize(
    ("end", "filled", "topic"),
    [
        (S.FILLED, "1", "executed"),
        (S.CANCELED, "0.5", "executed"),  # in part
        (S.CANCELED, "0", "failed"),  # sent for nothing
    ],
)
async def test_an_order_that_was_sent_is_told_by_its_fills(
    database: Database, end: S, filled: str, topic: str
) -> None:
    await Notifications(database).want(Topic)
    ledger = open_ledger(database)
    row = await bring(ledger, "r-1", S.ACCEPTED)

    with pytest.raises(ClaimLost):
        await ledger.record(change(replace(row, fence=99), S.ACCEPTED, end))
    assert await written(database) == []
    await ledger.record(change(row, S.ACCEPTED, end, filled_quantity=Decimal(filled)))

    assert await written(database) == [(topic, "r-1")]


async def test_only_wanted_topics_are_written_down(database: Database) -> None:
    await Notifications(database).want([Topic.FAILED])
    ledger = open_ledger(database)

    await bring(ledger, "r-1", S.QUARANTINED)
    await bring(ledger, "r-2", S.DENIED)

    assert await written(database) == [("failed", "r-2")]


async def test_what_is_asked_for_in_a_transaction_goes_with_it(database: Database) -> None:
    notices = Notifications(database)
    await notices.want(Topic)
    detail = {"key": "trade:kill_switch", "after": "on", "by": "an operator"}
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await tell_people(connection, Topic.KILL_SWITCH, detail=detail)
        await transaction.rollback()
        async with connection.transaction():
            await tell_people(connection, Topic.KILL_SWITCH, detail=detail)

    (notice,) = await take(notices)

    assert (notice.topic, notice.request_id, notice.detail) == (Topic.KILL_SWITCH, None, detail)


async def test_one_turn_at_a_time_from_all_workers_together(database: Database) -> None:
    notices = Notifications(database)
    await notices.want(Topic)
    pause = timedelta(milliseconds=300)
    assert await notices.take(10, pause=FAR, lease=FAR) == []  # nothing to tell uses up no turn

    await tell_people(database, Topic.BAN)
    turns = await asyncio.gather(*(notices.take(10, pause=pause, lease=FAR) for _ in range(5)))
    assert sorted(len(turn) for turn in turns) == [0, 0, 0, 0, 1]

    for number in range(3):
        await tell_people(database, Topic.BAN, detail={"number": number})
    assert await notices.take(10, pause=pause, lease=FAR) == []
    later = await eventually(lambda: notices.take(10, pause=FAR, lease=FAR))
    assert [notice.detail["number"] for notice in later] == [0, 1, 2]


async def test_what_was_not_told_comes_back_and_old_news_is_deleted(database: Database) -> None:
    notices = Notifications(database)
    outbox = Outbox(database)
    await notices.want(Topic)
    for _ in range(2):
        await tell_people(database, Topic.BAN)
    first, second = await take(notices)
    await outbox.done([first.entry])
    await outbox.put_back([PutBack(second.entry, timedelta(0), "away")])

    (again,) = await take(notices)

    assert (again.id, again.attempts) == (second.id, 2)
    assert await notices.forget_old() == 0
    await database.execute("UPDATE outbox SET created_at = now() - interval '25 h'")
    assert await notices.forget_old() == 1
