"""The reconciler: every order that is not final is looked at until it is, and nothing is sent."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from consumer.execution.reconciler import Reconciler
from consumer.outcome import OutcomeKind
from providers.errors import ExchangeUnavailable, ProviderError
from providers.orders import OrderStatus, OrderType, PreparedOrder, Side
from providers.outcomes import OutcomeClass
from storage.identity import client_order_id
from storage.ledger import Claimed
from storage.states import STATE_OF_STATUS, OrderState
from tests.fakes.exchange import drop
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import on_virtual_time

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from tests.fakes.exchange import Execution

S = OrderState
AWAY = ExchangeUnavailable("fake", "no answer", outcome_class=OutcomeClass.UNKNOWN)


def reconciler(stage: Stage) -> Reconciler:
    return Reconciler(
        stage.ledger, stage.router, stage.settings, stage.gate, stage.clock, stage.controls
    )


def at_exchange(
    stage: Stage, status: OrderStatus = OrderStatus.NEW, request_id: str = "r-1"
) -> Execution:
    """Have the exchange know the order."""
    order = PreparedOrder(
        client_order_id=client_order_id(request_id, "default"),
        symbol="BTCUSDT",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal("0.005"),
        reduce_only=False,
    )
    return stage.exchange.execute(order, status=status)


@on_virtual_time
async def test_orders_that_are_only_followed_are_left_while_messages_wait() -> None:
    stage = Stage()
    for name, state in (("followed", S.ACCEPTED), ("unknown", S.UNKNOWN)):
        stage.past(message(requestId=name), state, check_at=stage.ledger.now())
        at_exchange(stage, request_id=name)
    left = timedelta(seconds=10)
    looks = Reconciler(
        stage.ledger,
        stage.router,
        stage.settings,
        stage.gate,
        stage.clock,
        stage.controls,
        lambda: left,
    )
    following = asyncio.create_task(looks.run())

    await asyncio.sleep(9)
    assert {name for _, name in stage.exchange.looks} == {client_order_id("unknown", "default")}
    await asyncio.sleep(2)
    following.cancel()
    assert client_order_id("followed", "default") in {name for _, name in stage.exchange.looks}


async def look(stage: Stage, request_id: str = "r-1") -> None:
    await reconciler(stage).look(Claimed(stage.row(request_id), stage.ledger.now()))


class Running:
    """A reconciler that runs beside a test."""

    def __init__(self, stage: Stage) -> None:
        self.task = asyncio.ensure_future(reconciler(stage).run())

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.mark.parametrize("before", [S.ACCEPTED, S.PARTIALLY_FILLED])
@pytest.mark.parametrize("status", [OrderStatus.FILLED, OrderStatus.CANCELED])
@on_virtual_time
async def test_an_order_is_followed_to_its_end(before: OrderState, status: OrderStatus) -> None:
    stage = Stage()
    stage.past(message(), before, check_at=stage.ledger.now())
    at_exchange(stage, status)
    await look(stage)
    row = stage.row()
    assert row.state is STATE_OF_STATUS[status]
    assert row.check_at is None
    assert row.finished_at is not None
    assert row.filled_quantity == (Decimal("0.005") if status is OrderStatus.FILLED else 0)


@on_virtual_time
async def test_an_order_that_is_rejected_later_becomes_a_dead_letter_with_its_last_state() -> None:
    stage = Stage()
    stage.past(message(), S.ACCEPTED, check_at=stage.ledger.now())
    at_exchange(stage, OrderStatus.REJECTED)
    await look(stage)
    await look(stage)
    assert stage.row().state is S.REJECTED
    ((row, letter),) = stage.rows.letters
    assert (row.request_id, letter.reason) == ("r-1", "EXCHANGE_REJECTED")
    assert stage.row().dead_lettered_at is not None
    # its message, if it comes once more, has nothing to add
    assert (await stage.deliver(message())).kind is OutcomeKind.ALREADY_DONE


@pytest.mark.parametrize("fault", [None, AWAY, ProviderError("anything")])
@on_virtual_time
async def test_a_look_that_shows_nothing_changes_nothing_and_comes_again(
    fault: Exception | None,
) -> None:
    """Not shown is not cancelled, and not readable is not flat."""
    stage = Stage()
    before = stage.past(message(), S.ACCEPTED, checks=3)
    stage.exchange.look_faults.append(fault)
    await look(stage)
    row = stage.row()
    assert row.state is S.ACCEPTED
    assert row.checks == before.checks + 1
    assert row.check_at is not None
    assert row.check_at > stage.ledger.now()


@on_virtual_time
async def test_a_view_that_lags_behind_does_not_take_a_fill_back() -> None:
    stage = Stage()
    stage.past(message(), S.PARTIALLY_FILLED, filled_quantity=Decimal("0.002"))
    at_exchange(stage, OrderStatus.NEW)
    await look(stage)
    assert stage.row().state is S.PARTIALLY_FILLED
    assert stage.row().filled_quantity == Decimal("0.002")


@pytest.mark.parametrize("before", [S.SENDING, S.UNKNOWN])
@on_virtual_time
async def test_an_unknown_order_that_is_found_is_adopted(before: OrderState) -> None:
    stage = Stage()
    stage.past(message(), before)
    at_exchange(stage, OrderStatus.FILLED)
    await look(stage)
    assert stage.row().state is S.FILLED
    assert stage.sends == 0


@pytest.mark.parametrize("before", [S.SENDING, S.UNKNOWN])
@on_virtual_time
async def test_an_absent_order_whose_message_comes_back_is_left_to_it(before: OrderState) -> None:
    stage = Stage()
    stage.past(message(), before)
    stage.clock.advance(60)
    await look(stage)
    row = stage.row()
    assert row.state is S.UNKNOWN
    assert row.message == "absent; its message will come back"
    assert row.check_at is not None
    assert stage.sends == 0


@on_virtual_time
async def test_an_absent_order_whose_message_is_among_the_dead_is_released() -> None:
    stage = Stage()
    stage.past(message(), S.UNKNOWN, dead_lettered_at=stage.ledger.now())
    stage.clock.advance(60)
    await look(stage)
    row = stage.row()
    assert (row.state, row.code) == (S.DEFERRED, "ABSENT")
    assert row.lease_until is None
    assert row.check_at is None
    assert stage.sends == 0


@on_virtual_time
async def test_an_order_that_may_still_land_is_waited_for() -> None:
    stage = Stage()
    stage.past(message(), S.UNKNOWN, dead_lettered_at=stage.ledger.now())
    await look(stage)
    assert stage.row().state is S.UNKNOWN
    assert stage.row().check_at is not None


@pytest.mark.parametrize(
    "state", [state for state in S if not (state.unresolved or state.at_exchange)]
)
@on_virtual_time
async def test_any_other_order_is_not_looked_at(state: OrderState) -> None:
    stage = Stage()
    before = stage.past(message(), state)
    await look(stage)
    assert stage.row() == before
    assert stage.exchange.looks == []


@on_virtual_time
async def test_an_order_that_somebody_took_over_is_left_to_them(
    logs: list[MutableMapping[str, Any]],
) -> None:
    stage = Stage()
    row = stage.past(message(), S.ACCEPTED)
    at_exchange(stage, OrderStatus.FILLED)
    stage.rows.by_id["r-1"] = replace(row, fence=row.fence + 1)
    await reconciler(stage).look(Claimed(row, stage.ledger.now()))
    assert stage.row().state is S.ACCEPTED
    assert not [line for line in logs if line["log_level"] == "error"]


@on_virtual_time
async def test_it_runs_until_every_order_is_final() -> None:
    stage = Stage()
    for number in range(60):
        request_id = f"r-{number}"
        stage.past(message(requestId=request_id), S.ACCEPTED, check_at=stage.ledger.now())
        at_exchange(stage, OrderStatus.FILLED, request_id)
    async with Running(stage):
        await asyncio.sleep(0.1)  # more than one helping, without waiting in between
    assert {row.state for row in stage.rows.by_id.values()} == {S.FILLED}
    assert len(stage.exchange.looks) == 60


@on_virtual_time
async def test_one_order_that_fails_does_not_keep_the_others_from_their_look(
    logs: list[MutableMapping[str, Any]],
) -> None:
    stage = Stage()
    for request_id in ("r-1", "r-2", "r-3"):
        stage.past(message(requestId=request_id), S.ACCEPTED, check_at=stage.ledger.now())
        at_exchange(stage, OrderStatus.FILLED, request_id)
    stage.exchange.look_faults = deque([RuntimeError("a defect")])
    async with Running(stage):
        await asyncio.sleep(1)
        states = sorted(row.state for row in stage.rows.by_id.values())
        assert states == [S.ACCEPTED, S.FILLED, S.FILLED]
        await asyncio.sleep(60)
    assert {row.state for row in stage.rows.by_id.values()} == {S.FILLED}
    assert [line for line in logs if line["event"] == "look at an order failed"]


@on_virtual_time
async def test_an_order_left_behind_by_a_worker_that_ended_is_found() -> None:
    stage = Stage()
    vanished = Stage(beside=stage).ledger.owner
    lease = stage.ledger.now() + timedelta(seconds=30)
    stage.past(message(), S.SENDING, owner=vanished, lease_until=lease, check_at=None)
    at_exchange(stage, OrderStatus.FILLED)
    async with Running(stage):
        await asyncio.sleep(29)
        assert stage.row().state is S.SENDING, "not before its lease is over"
        await asyncio.sleep(30)
    assert stage.row().state is S.FILLED
    assert stage.sends == 0


@pytest.mark.parametrize("call", ["due_checks", "adopt_orphans"])
@on_virtual_time
async def test_it_pauses_while_the_ledger_is_away_and_goes_on(call: str) -> None:
    stage = Stage()
    stage.past(message(), S.ACCEPTED, check_at=stage.ledger.now())
    at_exchange(stage, OrderStatus.FILLED)
    stage.ledger.fail_next(call)
    stage.ledger.away = True
    async with Running(stage):
        await asyncio.sleep(60)
        assert not stage.gate.is_open
        assert stage.exchange.looks == []
        stage.ledger.away = False
        await stage.gate.wait_open()
        await asyncio.sleep(10)
    assert stage.row().state is S.FILLED


@pytest.mark.parametrize("call", ["due_checks", "adopt_orphans"])
@on_virtual_time
async def test_an_error_that_nobody_thought_of_does_not_end_it(
    call: str, logs: list[MutableMapping[str, Any]]
) -> None:
    stage = Stage()
    stage.past(message(), S.ACCEPTED, check_at=stage.ledger.now())
    at_exchange(stage, OrderStatus.FILLED)
    stage.ledger.fail_next(call, RuntimeError("a defect"))
    async with Running(stage):
        await asyncio.sleep(30)
    assert stage.row().state is S.FILLED
    assert [line for line in logs if line["event"] == "reconciling failed, going on"]


@on_virtual_time
async def test_an_unknown_outcome_is_found_out_before_the_message_comes_back() -> None:
    stage = Stage()
    stage.exchange.plan.append(drop())
    await stage.deliver(message())
    assert stage.row().state is S.UNKNOWN
    at_exchange(stage, OrderStatus.FILLED)
    async with Running(stage):
        await asyncio.sleep(3)
    assert stage.row().state is S.FILLED
    assert stage.sends == 1


@on_virtual_time
async def test_a_taken_order_that_is_not_shown_for_long_is_left_to_a_person() -> None:
    stage = Stage(missing_after=100)
    stage.past(message(), S.ACCEPTED)
    await look(stage)
    since = stage.row().message
    assert (stage.row().code, stage.row().state) == ("NOT_SHOWN", S.ACCEPTED)
    stage.clock.advance(60)
    stage.exchange.look_faults.append(AWAY)
    await look(stage)  # not to be read is not to be missing; what is known of it is kept
    stage.clock.advance(30)
    await look(stage)
    assert stage.row().message == since
    stage.clock.advance(20)
    await look(stage)
    row = stage.row()
    assert (row.state, row.code, row.message) == (S.QUARANTINED, "NOT_SHOWN", since)
    ((_, letter),) = stage.rows.letters
    assert (letter.reason, letter.error) == ("QUARANTINED", since)
    assert stage.sends == 0


@on_virtual_time
async def test_a_taken_order_that_is_shown_in_between_is_not_missing() -> None:
    stage = Stage(missing_after=100)
    stage.past(message(), S.ACCEPTED)
    await look(stage)
    taken = at_exchange(stage)
    await look(stage)
    assert stage.row().code is None
    stage.exchange.executions.clear()
    stage.clock.advance(99)
    await look(stage)
    stage.clock.advance(99)
    await look(stage)
    assert stage.row().state is S.ACCEPTED
    stage.exchange.executions[taken.view.client_order_id] = [taken]
    taken.view = replace(taken.view, status=OrderStatus.FILLED, filled_quantity=Decimal("0.005"))
    await look(stage)
    assert stage.row().state is S.FILLED


@pytest.mark.parametrize(
    ("ours", "changes", "says"),
    [
        ("x-1", {"exchange_order_id": "x-9"}, "it is order x-9, ours was x-1"),
        (None, {"side": Side.SELL}, "side is SELL, sent was BUY"),
        (None, {"quantity": Decimal(7)}, "quantity is 7, sent was 0.005"),
    ],
)
@on_virtual_time
async def test_another_order_under_the_id_of_a_taken_one_is_quarantined(
    ours: str | None, changes: dict[str, Any], says: str
) -> None:
    stage = Stage()
    stage.past(message(), S.ACCEPTED, exchange_order_id=ours)
    there = at_exchange(stage, OrderStatus.FILLED)
    there.view = replace(there.view, **{"exchange_order_id": "x-1", **changes})
    await look(stage)
    row = stage.row()
    assert (row.state, row.code) == (S.QUARANTINED, "MISMATCH")
    assert says in (row.message or "")
    assert row.filled_quantity == 0


@on_virtual_time
async def test_an_order_of_ours_that_a_person_has_amended_is_followed() -> None:
    stage = Stage()
    stage.past(message(), S.ACCEPTED, exchange_order_id="x-1")
    there = at_exchange(stage, OrderStatus.FILLED)
    there.view = replace(
        there.view, exchange_order_id="x-1", quantity=Decimal(7), filled_quantity=Decimal(7)
    )
    await look(stage)
    assert (stage.row().state, stage.row().filled_quantity) == (S.FILLED, Decimal(7))
