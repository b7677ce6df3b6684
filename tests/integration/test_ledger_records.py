"""Recording: what became of an order, its events, and what the database itself refuses."""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
import pytest

from storage.errors import ClaimLost, IllegalTransition
from storage.ledger import Claimed
from storage.orders import get_events, get_order
from storage.retelling import faults
from storage.states import FINAL, FOLLOWS, OrderState, may_follow
from tests.support.ledgers import (
    bring,
    change,
    claimed,
    intent,
    new_order,
    open_ledger,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from storage.orders import OrderRow
    from storage.postgres import Database

S = OrderState
TOO_EXACT_FOR_FLOATS = [
    "0.1",
    "0.30000000000000004",
    "1E-20",
    "100000000000000000000",
    "123456789012345.678901234567891",  # 30 digits
    "99999999999999999999.000000000000000000000000000001",
    "1.10",
]


async def row_of(database: Database, request_id: str) -> OrderRow:
    row = await get_order(database, request_id)
    assert row is not None
    return row


async def test_a_record_writes_what_it_says_and_leaves_the_rest(database: Database) -> None:
    ledger = open_ledger(database)
    row = await claimed(ledger, "r1")
    await ledger.begin_sending(intent(row))
    sent_at = datetime(2026, 1, 31, 12, tzinfo=UTC)

    await ledger.record(
        change(row, S.SENDING, S.ACCEPTED, exchange_order_id="x-1", sent_at=sent_at,
               check_in=timedelta(0))
    )  # fmt: skip
    await ledger.record(
        change(row, S.ACCEPTED, S.FILLED, filled_quantity=Decimal("0.005"),
               average_price=Decimal("94000.1"), fee=Decimal("0.2585"), fee_currency="USDT")
    )  # fmt: skip

    after = await row_of(database, "r1")
    assert (after.state, after.exchange_order_id, after.sent_at) == (S.FILLED, "x-1", sent_at)
    assert (after.filled_quantity, after.average_price) == (Decimal("0.005"), Decimal("94000.1"))
    assert (after.fee, after.fee_currency) == (Decimal("0.2585"), "USDT")
    assert after.finished_at is not None
    assert after.lease_until is None
    assert after.check_at is None


async def test_a_record_under_an_old_fence_is_refused(database: Database) -> None:
    ledger = open_ledger(database)
    old = await claimed(ledger, "r1")
    new = await claimed(ledger, "r1")

    with pytest.raises(ClaimLost):
        await ledger.record(change(old, S.RECEIVED, S.DENIED))

    assert (await row_of(database, "r1")).state is S.RECEIVED
    await ledger.record(change(new, S.RECEIVED, S.DENIED))


async def test_a_record_from_a_state_the_order_has_left_is_refused(database: Database) -> None:
    ledger = open_ledger(database)
    row = await bring(ledger, "r1", S.ACCEPTED)

    with pytest.raises(ClaimLost):
        await ledger.record(change(row, S.SENDING, S.REJECTED))

    assert (await row_of(database, "r1")).state is S.ACCEPTED


async def test_a_record_whose_answer_got_lost_may_be_repeated(database: Database) -> None:
    ledger = open_ledger(database)
    row = await bring(ledger, "r1", S.SENDING)
    said = change(row, S.SENDING, S.ACCEPTED, exchange_order_id="x-1")

    await ledger.record(said)
    await ledger.record(said)

    events = await get_events(database, "r1")
    assert [event.after for event in events] == [S.RECEIVED, S.SENDING, S.ACCEPTED]


async def test_a_quiet_record_moves_the_next_look_and_writes_no_event(database: Database) -> None:
    ledger = open_ledger(database)
    row = await bring(ledger, "r1", S.ACCEPTED)
    before = await get_events(database, "r1")

    for _ in range(3):
        await ledger.record(
            change(row, S.ACCEPTED, S.ACCEPTED, quiet=True, check_in=timedelta(seconds=9))
        )

    after = await row_of(database, "r1")
    assert after.checks == 3
    assert after.check_at is not None
    assert await get_events(database, "r1") == before


async def test_what_an_exchange_says_is_kept_as_far_as_it_can_be(database: Database) -> None:
    ledger = open_ledger(database)
    row = await bring(ledger, "r1", S.SENDING)

    await ledger.record(
        change(row, S.SENDING, S.REJECTED, code="110007", message="a\x00b\ud800" + "x" * 9999)
    )

    message = (await row_of(database, "r1")).message
    assert message is not None
    assert message.startswith("ab?xxx")
    assert len(message) <= 500


@pytest.mark.parametrize("text", TOO_EXACT_FOR_FLOATS)
async def test_numbers_come_back_digit_for_digit(database: Database, text: str) -> None:
    ledger = open_ledger(database)
    number = Decimal(text)
    row = await claimed(ledger, "r1", quantity=number, price=number)
    await ledger.begin_sending(intent(row))
    await ledger.record(
        change(row, S.SENDING, S.ACCEPTED, filled_quantity=number, average_price=number, fee=number)
    )

    after = await row_of(database, "r1")

    for kept in (after.quantity, after.price, after.order_quantity, after.filled_quantity,
                 after.average_price, after.fee):  # fmt: skip
        assert isinstance(kept, Decimal)
        assert kept == number
        assert format(kept, "f") == format(number, "f")


async def test_a_step_that_the_table_does_not_allow_is_a_defect(database: Database) -> None:
    ledger = open_ledger(database)
    row = await bring(ledger, "r1", S.FILLED)

    with pytest.raises(IllegalTransition, match="SENDING may not follow FILLED"):
        await ledger.record(change(row, S.FILLED, S.SENDING))
    with pytest.raises(IllegalTransition, match="SENDING may not follow FILLED"):
        await ledger.begin_sending(intent(row, before=S.FILLED))


async def test_the_database_allows_the_same_steps_as_the_table(database: Database) -> None:
    ledger = open_ledger(database)
    for state in S:  # all in one lane, so one after the other
        await bring(ledger, state, state)
    answers = {}
    async with database.connection() as connection:
        for before, after in itertools.product(S, S):
            step = connection.transaction()
            await step.start()
            try:
                await connection.execute(
                    "UPDATE orders SET state = $2 WHERE request_id = $1", before, after
                )
                answers[before, after] = "allowed"
            except asyncpg.PostgresError as error:
                answers[before, after] = f"{error.sqlstate} {error}"
            finally:
                await step.rollback()

    assert answers == {
        (before, after): "allowed"
        if may_follow(before, after)
        else f"TW001 order {before}: {after} may not follow {before}"
        for before, after in itertools.product(S, S)
    }


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE order_events SET code = 'x'",
        "DELETE FROM order_events",
        "TRUNCATE order_events",
        "DELETE FROM order_events WHERE false",
    ],
)
async def test_events_are_never_changed(database: Database, statement: str) -> None:
    await bring(open_ledger(database), "r1", S.FILLED)
    before = await get_events(database, "r1")

    with pytest.raises(asyncpg.PostgresError, match="append-only") as refused:
        await database.execute(statement)

    assert refused.value.sqlstate == "TW002"
    assert await get_events(database, "r1") == before


async def test_one_record_that_cannot_be_written_leaves_its_group_alone(
    database: Database,
) -> None:
    ledger = open_ledger(database)
    rows = [await bring(ledger, f"r{number}", S.SENDING) for number in range(12)]
    changes = [
        change(row, S.SENDING, S.ACCEPTED, exchange_order_id="a\x00b" if number == 5 else "x")
        for number, row in enumerate(rows)
    ]

    results = await asyncio.gather(*map(ledger.record, changes), return_exceptions=True)

    assert isinstance(results.pop(5), asyncpg.DataError)
    assert results == [None] * 11
    assert (await row_of(database, "r5")).state is S.SENDING
    assert (await row_of(database, "r6")).state is S.ACCEPTED


async def test_every_order_can_be_told_again_from_its_events(database: Database) -> None:
    """Random legal lives, told again from their events."""
    ledger = open_ledger(database)

    async def live(seed: int) -> str:
        draw = random.Random(seed)  # noqa: S311 - no secret
        request_id = f"r{seed}"
        row = await claimed(ledger, request_id)
        state = row.state
        filled = Decimal(0)
        for _ in range(draw.randint(1, 9)):
            steps = sorted(FOLLOWS[state])
            if not steps:
                break
            after = draw.choice(steps)
            if after is S.SENDING:
                await ledger.begin_sending(intent(row, before=state))
            else:
                filled += Decimal(draw.randint(0, 9)).scaleb(-9)
                await ledger.record(
                    change(row, state, after, code=f"C{draw.randint(0, 9)}",
                           exchange_order_id="x" if after.at_exchange else None,
                           filled_quantity=filled, keep_lease=True)
                )  # fmt: skip
            state = after
            if draw.random() < 0.3 and state in (S.DEFERRED, S.SENDING, S.UNKNOWN):
                row = await claimed(ledger, request_id)
        return request_id

    ids = await asyncio.gather(*(live(seed) for seed in range(60)))

    finals = 0
    for request_id in ids:
        row, events = await row_of(database, request_id), await get_events(database, request_id)
        assert events[0].before is None
        assert faults(row, events) == []
        assert all(
            later.before is earlier.after and may_follow(earlier.after, later.after)
            for earlier, later in itertools.pairwise(events)
        )
        assert events[-1].after is row.state
        assert events[-1].code == row.code
        assert sum(event.after is S.SENDING for event in events) == row.sends
        assert row.attempts == row.fence >= events[-1].fence
        assert (row.finished_at is not None) is row.state.final
        finals += row.state in FINAL
    assert 0 < finals < len(ids)  # the walk saw both kinds


async def test_looks_that_are_due_are_lent_to_one_caller_each(database: Database) -> None:
    ledger = open_ledger(database)
    ids = [f"r{number}" for number in range(40)]
    for request_id in ids:
        row = await bring(ledger, request_id, S.ACCEPTED)
        await ledger.record(change(row, S.ACCEPTED, S.ACCEPTED, check_in=timedelta(0)))

    lent = await asyncio.gather(*(ledger.due_checks(7, timedelta(seconds=30)) for _ in range(8)))

    got = [claim.row.request_id for part in lent for claim in part]
    assert sorted(got) == sorted(ids)
    assert await ledger.due_checks(50, timedelta(seconds=30)) == []


async def test_a_borrowed_look_is_due_again_when_the_borrower_says_nothing(
    database: Database,
) -> None:
    ledger = open_ledger(database)
    row = await bring(ledger, "r1", S.ACCEPTED)
    await ledger.record(change(row, S.ACCEPTED, S.ACCEPTED, check_in=timedelta(0)))
    assert len(await ledger.due_checks(5, timedelta(milliseconds=200))) == 1

    assert await ledger.due_checks(5, timedelta(milliseconds=200)) == []
    await eventually(lambda: ledger.due_checks(5, timedelta(seconds=9)), within=3, what="the look")


async def test_what_only_has_to_be_followed_can_be_left_for_a_while(database: Database) -> None:
    """Not one whose outcome is unknown, nor one whose position may have to be protected."""
    ledger = open_ledger(database)
    for name, state in {"followed": S.ACCEPTED, "unknown": S.UNKNOWN, "naked": S.ACCEPTED}.items():
        row = await bring(ledger, name, state)
        await ledger.record(change(row, state, state, check_in=timedelta(0)))
    await database.execute("UPDATE orders SET stop_loss = 9 WHERE request_id = 'naked'")
    hour, lease = timedelta(hours=1), timedelta(seconds=9)

    at_once = await ledger.due_checks(50, lease, hour)
    assert {claim.row.request_id for claim in at_once} == {"unknown", "naked"}

    await database.execute(
        "UPDATE orders SET check_at = now() - interval '61 min' WHERE request_id = 'followed'"
    )
    late = await ledger.due_checks(50, lease, hour)
    assert [claim.row.request_id for claim in late] == ["followed"]


async def test_a_claim_takes_an_order_off_the_list_of_looks(database: Database) -> None:
    ledger = open_ledger(database)
    row = await bring(ledger, "r1", S.UNKNOWN)
    await ledger.record(change(row, S.UNKNOWN, S.UNKNOWN, check_in=timedelta(0)))

    assert isinstance(await ledger.claim(new_order("r1")), Claimed)

    assert await ledger.due_checks(5, timedelta(seconds=9)) == []


async def test_orders_whose_owner_vanished_are_adopted(database: Database) -> None:
    ledger = open_ledger(database)
    for state in S:
        await bring(ledger, state, state)
    await bring(ledger, "alive", S.SENDING)
    await database.execute(
        "UPDATE orders SET check_at = NULL, lease_until = now() - interval '10 s' "
        "WHERE request_id <> 'alive'"
    )

    assert await ledger.adopt_orphans(timedelta(seconds=60)) == 0  # not long enough gone
    adopted = await ledger.adopt_orphans(timedelta(seconds=5))

    due = {claim.row.state for claim in await ledger.due_checks(50, timedelta(seconds=9))}
    assert due == {S.SENDING, S.UNKNOWN, S.ACCEPTED, S.PARTIALLY_FILLED}
    assert adopted == len(due)
    assert await ledger.adopt_orphans(timedelta(seconds=5)) == 0


async def test_an_order_is_marked_as_dead_lettered_until_it_is_claimed_again(
    database: Database,
) -> None:
    ledger = open_ledger(database)
    row = await claimed(ledger, "r1")
    await ledger.record(change(row, S.RECEIVED, S.DEFERRED))
    await ledger.mark_dead_lettered("r1")
    assert (await row_of(database, "r1")).dead_lettered_at is not None

    await claimed(ledger, "r1")

    assert (await row_of(database, "r1")).dead_lettered_at is None
