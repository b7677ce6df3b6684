"""Replaying dead letters: executed this time, in order, never twice, stopped and gone on with."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from consumer.contract.decoding import decode
from consumer.letters.collecting import letter_of
from consumer.letters.replay import Replay, Summary, Wanted
from consumer.queue import broker, declare
from consumer.queue.publisher import Publisher
from providers.clock import SystemClock
from providers.sandbox.faults import FaultKind
from storage.dead_letters import (
    LetterFilter,
    LetterState,
    collect,
    drop_letters,
    group_letters,
    list_letters,
)
from storage.identity import fingerprint
from storage.orders import get_events
from storage.replays import Mandate, ReplayLetter
from storage.states import OrderState
from tests.support.ledgers import bring, open_ledger
from tests.support.messages import encode, trade
from tests.support.together import Together
from tests.support.waiting import eventually
from tests.support.world import PATIENT_LADDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.dead_letters import LetterRow
    from tests.conftest import NewWorld
    from tests.support.together import UnderWay
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
together = Together()
WE = Mandate("ann", "margin added")
ALL = LetterFilter()


async def died(world: World, message: Mapping[str, object] | bytes, **headers: Any) -> int:  # noqa: ANN401 - of any type
    """Have a dead letter of a message; returns its id."""
    letter = letter_of(
        message if isinstance(message, bytes) else encode(message),
        {"trade-failed-at": datetime.now(UTC).isoformat(), "trade-reason": "TRIED", **headers},
        message_id=str(uuid4()),
        content_type="application/json",
        routing_key=world.topology.queue,
        topology=world.topology,
        max_bytes=world.settings.message_max_bytes,
        now=datetime.now(UTC),
    )
    await collect(world.database, [letter])
    return (await list_letters(world.database, ALL, 1))[0].id


async def replay(
    world: World,
    letters: LetterFilter = ALL,
    *,
    rate: float = 1000,
    **options: Any,  # noqa: ANN401 - as above
) -> Summary:
    """Replay as the command does."""
    stop = options.pop("stop", asyncio.Event())
    progress = options.pop("progress", lambda _: None)
    publisher = Publisher(world.settings)
    try:
        return await Replay(
            world.settings, world.topology, world.database, publisher, SystemClock()
        ).run(Wanted(letters, WE, rate, **options), stop, progress)
    finally:
        await publisher.aclose()


async def letters_of(world: World, count: int) -> list[LetterRow]:
    """Wait until so many dead letters are kept; newest first."""

    async def there() -> list[LetterRow] | None:
        rows = list(await list_letters(world.database, ALL, 100))
        return rows if len(rows) >= count else None

    return await eventually(there, within=20, what=f"{count} dead letters")


async def applied(world: World) -> None:
    """Give the world's broker its topology, without a worker."""
    async with broker.connection(world.settings, "test") as connection:
        await declare.apply(connection, world.topology)
    world.amqp.used = True


@together
async def what_was_rejected_is_asked_about_and_then_executed_once(new_world: NewWorld) -> None:
    # An answer that came late would be an unknown outcome, and the next try meets no fault.
    world = await new_world(
        collect_dead_letters=True, retry_delays=PATIENT_LADDER, exchange_request_timeout=2.0
    )
    await world.start_worker()
    message = trade()
    world.fault(
        FaultKind.ANSWER, request_id=message["requestId"], endpoint="order/create", code="110007",
        count=1,
    )  # fmt: skip
    await world.publish(message)
    (letter,) = await letters_of(world, 1)
    before = await world.order(message["requestId"])
    assert (letter.reason, before.state) == ("EXCHANGE_REJECTED", OrderState.REJECTED)

    summary = await replay(world)

    assert (summary.published, summary.reopened) == (1, 1)
    (after,) = await world.reached([message["requestId"]], "FILLED", within=20)
    assert after.client_order_id == before.client_order_id
    assert len(world.placed(message["requestId"])) == 1
    path = [event.after for event in await get_events(world.database, after.request_id)]
    assert path[:5] == ["RECEIVED", "SENDING", "REJECTED", "UNKNOWN", "DEFERRED"]
    (reopened,) = [
        event
        for event in await get_events(world.database, after.request_id)
        if event.code == "REPLAYED"
    ]
    assert reopened.message == "replayed by ann: margin added"
    (row,) = await list_letters(world.database, ALL, 10)
    assert (row.state, row.changed_by, row.changed_why, row.result) == (
        LetterState.REPLAYED, "ann", "margin added", "REOPENED",
    )  # fmt: skip
    assert row.replay_message_id not in (None, row.message_id)

    again = await replay(world, replace(ALL, ids=[row.id]))
    assert again.total == 0


@together
async def a_fresh_id_for_what_the_exchange_had_taken_and_leave_for_what_is_too_old(
    new_world: NewWorld,
) -> None:
    world = await new_world()
    await world.start_worker()
    message = trade()
    world.fault(FaultKind.REJECT_LATER, request_id=message["requestId"], count=1)
    await world.publish(message)
    (before,) = await world.reached([message["requestId"]], "REJECTED")
    assert before.exchange_order_id is not None  # its dead letter is of the ledger's making

    summary = await replay(world)

    assert (summary.published, summary.reopened) == (1, 1)
    (after,) = await world.reached([message["requestId"]], "FILLED")
    assert after.client_order_id != before.client_order_id
    assert after.exchange_order_id != before.exchange_order_id
    assert len(world.truth) == 2

    # And what is too old is refused, unless it is allowed in so many words.
    old = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    expired, unseen = trade(expiresAt=old), trade(expiresAt=old)
    await world.publish(expired)
    await world.reached([expired["requestId"]], "EXPIRED")
    await died(world, expired)
    await died(world, unseen)

    refused = await replay(world)
    assert dict(refused.refused) == {"STALE": 2}
    assert "--allow-stale" in refused.examples[0][2]
    allowed = await replay(world, allow_stale=True)

    assert (allowed.published, allowed.reopened) == (2, 1)
    await world.reached([expired["requestId"], unseen["requestId"]], "FILLED")


@together
async def a_batch_is_replayed_in_its_own_order(new_world: NewWorld) -> None:
    world = await new_world()
    await applied(world)
    at = datetime.now(UTC)
    messages = [trade() for _ in range(12)]
    for place in (7, 3, 11, 0, 9, 1, 4, 10, 2, 8, 6, 5):  # as they happened to die
        await died(
            world,
            messages[place],
            **{"trade-batch-id": "b", "trade-batch-at": at.isoformat(), "trade-batch-order": place},
        )
    await died(world, trade(), **{"trade-batch-id": "other"})

    summary = await replay(world, LetterFilter(batch_id="b"), rate=20)

    assert summary.published == 12
    sent = await world.amqp.take(world.topology.queue, 12)
    assert [one.body for one in sent] == [encode(message) for message in messages]
    assert len({one.message_id for one in sent}) == 12
    assert all("trade-reason" not in one.headers for one in sent)


@together
async def what_the_ledger_knows_decides(new_world: NewWorld) -> None:
    world = await new_world()
    await applied(world)
    states = ("SENDING", "UNKNOWN", "QUARANTINED", "FILLED", "CANCELED", "DENIED", "DEFERRED")
    messages = {state: trade() for state in states}
    ledger = open_ledger(world.database)
    for state, message in messages.items():
        await bring(ledger, str(message["requestId"]), OrderState(state))
        await world.database.execute(
            "UPDATE orders SET fingerprint = $2 WHERE request_id = $1",
            message["requestId"],
            fingerprint(decode(encode(message), 65536).terms),
        )
    ids = {state: await died(world, message) for state, message in messages.items()}
    ids["conflict"] = await died(world, messages["DENIED"] | {"quantity": "0.006"})
    ids["malformed"] = await died(world, b"{}")

    rehearsed = await replay(world, dry_run=True)
    assert await world.amqp.depth(world.topology.queue) == 0
    summary = await replay(world)

    assert (rehearsed.published, rehearsed.refused) == (2, summary.refused)
    assert dict(summary.refused) == {
        "OUTCOME_UNKNOWN": 3, "DUPLICATE_REQUEST": 1, "VALIDATION_ERROR": 1,
    }  # fmt: skip
    assert (summary.published, summary.reopened, summary.done_already) == (2, 1, 2)
    rows = {row.id: row for row in await list_letters(world.database, ALL, 100)}
    waiting = {name for name, number in ids.items() if rows[number].state == "waiting"}
    assert waiting == {"SENDING", "UNKNOWN", "QUARANTINED", "conflict", "malformed"}
    assert rows[ids["FILLED"]].result == "ALREADY_DONE: its order is FILLED"
    taken = await world.amqp.take(world.topology.queue, 2)
    assert {one.body for one in taken} == {encode(messages["DENIED"]), encode(messages["DEFERRED"])}


@together
async def the_database_reopens_nothing_but_as_a_counted_replay(new_world: NewWorld) -> None:
    world = await new_world()
    await bring(open_ledger(world.database), "r", OrderState.DENIED)
    for change in (
        "state = 'DEFERRED'",
        "state = 'DEFERRED', fence = fence + 1",
        "state = 'DEFERRED', replays = replays + 1",
        "state = 'DEFERRED', replays = replays + 2, fence = fence + 1",
        "state = 'SENDING', replays = replays + 1, fence = fence + 1",
        "state = 'FILLED', replays = replays + 1, fence = fence + 1",
    ):
        with pytest.raises(asyncpg.PostgresError, match="may not follow DENIED"):
            await world.database.execute(f"UPDATE orders SET {change}")  # noqa: S608 - ours


@together
async def interrupted_it_goes_on_where_it_stopped(new_world: NewWorld) -> None:
    world = await new_world()
    await applied(world)
    messages = [trade() for _ in range(30)]
    for message in messages:
        await died(world, message)
    stop = asyncio.Event()

    def look(summary: Summary) -> None:
        if summary.published >= 7:
            stop.set()

    first = await replay(world, rate=50, stop=stop, progress=look)
    assert first.stopped
    assert 7 <= first.published < 30
    rows = await list_letters(world.database, ALL, 100)
    assert {row.state for row in rows} == {LetterState.WAITING, LetterState.REPLAYED}
    # One that was killed in the middle has taken a letter up and not published it.
    victim = next(row for row in rows if row.state is LetterState.WAITING)
    await world.database.execute(
        "UPDATE dead_letters SET state = 'replaying', replay_message_id = 'mine' WHERE id = $1",
        victim.id,
    )
    rest = await replay(world)

    assert (rest.total, rest.published) == (30 - first.published, 30 - first.published)
    sent = await world.amqp.take(world.topology.queue, 30)
    assert sorted(one.body for one in sent) == sorted(encode(message) for message in messages)
    assert "mine" in {one.message_id for one in sent}


@together
async def ten_thousand_are_listed_and_replayed_without_growing(new_world: NewWorld) -> None:
    world = await new_world(database_timeout=20.0)
    await applied(world)
    body = encode(trade(note="x" * 400))  # refused when it is read, so no broker is needed
    await world.database.execute(
        "INSERT INTO dead_letters (identity, body, headers, routing_key, reason, error, "
        "error_group, attempts, batch_id, batch_at, batch_order, failed_at) "
        "SELECT sha256(n::text::bytea), $1, '{}', 'q', 'R' || n % 7, 'e', 'e', 1, 'b' || n / 10, "
        "now(), n % 10, now() - n * interval '1 s' FROM generate_series(1, 10000) AS n",
        body,
    )
    began = monotonic()
    rows = await list_letters(world.database, LetterFilter(reason="R3"), 10_000)
    assert monotonic() - began < 1
    assert len(rows) == 10_000 // 7 + 1
    assert sum(group.count for group in await group_letters(world.database, ALL, 50)) == 10_000
    del rows
    alive: list[int] = []

    def look(summary: Summary) -> None:
        if summary.seen % 2000 == 0:
            alive.append(sum(isinstance(one, ReplayLetter) for one in gc.get_objects()))

    summary = await replay(world, dry_run=True, progress=look)
    assert sum(summary.refused.values()) == summary.total == 10_000
    assert 0 < max(alive) <= 3 * 50  # a page, the one before, and what is left of a third
    assert await drop_letters(world.database, ALL, "ann", "a test") == 10_000


@together
async def it_keeps_the_rate_it_was_asked_for(new_world: NewWorld) -> None:
    world = await new_world()
    await applied(world)
    for _ in range(60):
        await died(world, trade())
    began = monotonic()
    summary = await replay(world, rate=40)
    took = monotonic() - began
    assert summary.published == 60
    assert took >= 60 / 40 - 0.3  # never faster; slower only where the machine is


under_way = together.fixture()


@pytest.mark.parametrize("flow", together.names)
async def test_together(under_way: UnderWay, flow: str) -> None:
    await under_way[flow]
