"""One message's way, told as tables: what is there, what happens, what comes of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from consumer.outcome import OutcomeKind
from providers.errors import (
    ExchangeUnavailable,
)
from providers.outcomes import OutcomeClass
from storage.identity import client_order_id
from storage.states import OrderState
from tests.fakes.exchange import (
    accept,
    answer,
    blow_up,
    drop,
    lose_reply,
)
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import START, on_virtual_time, turns

if TYPE_CHECKING:
    from tests.fakes.exchange import Behaviour

S = OrderState
K = OutcomeKind
OURS = client_order_id("r-1", "default")
AWAY = ExchangeUnavailable("fake", "no answer", outcome_class=OutcomeClass.UNKNOWN)


# A new order.


@dataclass(frozen=True)
class Case:
    """What the exchange does with a new order, and what becomes of it."""

    name: str
    behaviour: Behaviour
    kind: OutcomeKind
    reason: str | None
    path: list[OrderState]
    action: str = "LONG"
    executed: int = 0


NEW = [
    Case("accepted", accept, K.PLACED, None, [S.RECEIVED, S.SENDING, S.ACCEPTED], executed=1),
    *(
        Case(
            f"{refusal} opening",
            answer(refusal),
            K.REFUSED,
            "EXCHANGE_REJECTED",
            [S.RECEIVED, S.SENDING, S.REJECTED],
        )
        for refusal in (
            OutcomeClass.AUTH,
            OutcomeClass.PARAMETER,
            OutcomeClass.FILTER,
            OutcomeClass.MARGIN,
            OutcomeClass.NOT_TRADABLE,
            OutcomeClass.REDUCE_ONLY,
            OutcomeClass.NO_POSITION,
        )
    ),
    *(
        Case(
            f"{refusal} closing",
            answer(refusal),
            K.RETRY,
            "NOTHING_TO_CLOSE",
            [S.RECEIVED, S.SENDING, S.DEFERRED],
            action="CLOSE_LONG",
        )
        for refusal in (OutcomeClass.REDUCE_ONLY, OutcomeClass.NO_POSITION)
    ),
    *(
        Case(str(wait), answer(wait), K.RETRY, reason, [S.RECEIVED, S.SENDING, S.DEFERRED])
        for wait, reason in (
            (OutcomeClass.RATE_ACCOUNT, "RATE_LIMITED"),
            (OutcomeClass.RATE_IP, "RATE_LIMITED"),
            (OutcomeClass.CLOCK, "CLOCK_SKEW"),
            (OutcomeClass.OVERLOAD, "EXCHANGE_OVERLOADED"),
            (OutcomeClass.NOT_SENT, "EXCHANGE_UNREACHABLE"),
        )
    ),
    *(
        Case(
            f"{executed} {name}",
            behaviour,
            K.RETRY,
            "OUTCOME_UNKNOWN",
            [S.RECEIVED, S.SENDING, S.UNKNOWN],
            executed=executed,
        )
        for name, behaviour, executed in (
            ("lost reply", lose_reply(), 1),
            ("dropped", drop(), 0),
            ("an unlisted code", answer(OutcomeClass.UNKNOWN, "99999"), 0),
            ("an unlisted code", answer(OutcomeClass.UNKNOWN, "99999", executed=True), 1),
            ("not found", answer(OutcomeClass.NOT_FOUND), 0),
            ("benign", answer(OutcomeClass.BENIGN), 0),
            ("raised", blow_up(ConnectionResetError("reset"), executed=True), 1),
            ("raised", blow_up(ConnectionResetError("reset"), executed=False), 0),
            ("raised a defect", blow_up(KeyError("result"), executed=True), 1),
            ("raised a time-out", blow_up(TimeoutError(), executed=True), 1),
        )
    ),
]


@pytest.mark.parametrize("case", NEW, ids=lambda case: case.name)
@on_virtual_time
async def test_a_new_order(case: Case) -> None:
    stage = Stage()
    stage.exchange.plan.append(case.behaviour)
    outcome = await stage.deliver(message(action=case.action))
    assert (outcome.kind, outcome.reason) == (case.kind, case.reason)
    assert outcome.request_id == "r-1"
    assert outcome.exchange == "fake"
    assert outcome.state is case.path[-1]
    assert stage.path() == case.path
    assert stage.sends == 1
    assert len(stage.exchange.executions.get(OURS, [])) == case.executed


@pytest.mark.parametrize("case", NEW, ids=lambda case: case.name)
@on_virtual_time
async def test_a_deferred_order_goes_the_same_way(case: Case) -> None:
    stage = Stage()
    wanted = message(action=case.action)
    stage.past(wanted, S.DEFERRED, code="RATE_LIMITED")
    stage.exchange.plan.append(case.behaviour)
    outcome = await stage.deliver(wanted, attempt=2)
    assert (outcome.kind, outcome.reason) == (case.kind, case.reason)
    assert stage.path() == [S.DEFERRED, *case.path[1:]]
    assert stage.sends == 1


@pytest.mark.parametrize("case", NEW, ids=lambda case: case.name)
@on_virtual_time
async def test_an_order_delivered_again_at_once_is_not_placed_again(case: Case) -> None:
    """Whatever happened to the first, the second sends only if the first surely never was."""
    stage = Stage()
    wanted = message(action=case.action)
    stage.exchange.plan.append(case.behaviour)
    await stage.deliver(wanted)
    await stage.deliver(wanted, attempt=2)
    never_was = case.path[-1] is S.DEFERRED
    assert stage.sends == (2 if never_was else 1)
    assert len(stage.exchange.executions.get(OURS, [])) <= 1


@on_virtual_time
async def test_what_is_recorded_of_an_accepted_order() -> None:
    stage = Stage()
    await stage.deliver(message())
    row = stage.row()
    assert row.exchange_order_id == f"{OURS}-1"
    assert row.sent_at == START
    assert row.check_at is not None
    assert row.lease_until is None
    assert (row.side, row.order_quantity, row.sends) == ("BUY", Decimal("0.005"), 1)
    assert (row.code, row.message) == (None, None)


@on_virtual_time
async def test_what_is_recorded_of_a_refused_order() -> None:
    stage = Stage()
    stage.exchange.plan.append(answer(OutcomeClass.MARGIN, "110007", "balance is not enough"))
    outcome = await stage.deliver(message())
    assert outcome.error == "fake 110007: balance is not enough. Add margin, or trade less."
    row = stage.row()
    assert (row.code, row.message) == (
        "110007",
        "balance is not enough. Add margin, or trade less.",
    )
    assert row.finished_at is not None
    assert row.check_at is None


@pytest.mark.parametrize(
    ("outcome_class", "forgotten"),
    [
        (OutcomeClass.FILTER, True),
        (OutcomeClass.PARAMETER, True),
        (OutcomeClass.NOT_TRADABLE, True),
        (OutcomeClass.MARGIN, False),
        (OutcomeClass.RATE_IP, False),
    ],
)
@on_virtual_time
async def test_a_refusal_may_put_what_is_cached_in_doubt(
    outcome_class: OutcomeClass,
    forgotten: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    stage = Stage()
    stage.exchange.plan.append(answer(outcome_class))
    await stage.deliver(message())
    expected = [("BTCUSDT", outcome_class)] if forgotten else []
    assert stage.preparation.forgotten == expected


# Orders that are done, taken, or somebody else's.


@pytest.mark.parametrize("state", [state for state in S if state.final or state.at_exchange])
@pytest.mark.parametrize("buried", [True, False])
@on_virtual_time
async def test_an_order_that_is_done_is_never_sent_again(
    state: OrderState,
    buried: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    stage = Stage()
    dead_lettered_at = stage.ledger.now() if buried else None
    before = stage.past(message(), state, dead_lettered_at=dead_lettered_at, code="WHY")
    outcome = await stage.deliver(message(), attempt=2)
    refused = state in (S.DENIED, S.EXPIRED, S.REJECTED, S.QUARANTINED) and not buried
    assert outcome.kind is (K.REFUSED if refused else K.ALREADY_DONE)
    assert outcome.state is state
    assert outcome.request_id == "r-1"
    assert stage.row() == before, "nothing was changed"
    assert (stage.sends, stage.exchange.looks) == (0, [])


@pytest.mark.parametrize("state", S)
@on_virtual_time
async def test_the_same_request_id_for_another_trade_is_refused(state: OrderState) -> None:
    stage = Stage()
    before = stage.past(message(), state)
    outcome = await stage.deliver(message(quantity=0.006))
    assert (outcome.kind, outcome.reason) == (K.REFUSED, "DUPLICATE_REQUEST")
    assert outcome.error is not None
    assert "requestId r-1 was used for another trade" in outcome.error
    assert "a new trade needs a new requestId" in outcome.error
    assert outcome.state is None, "its dead letter says nothing about the first order"
    assert stage.row() == before
    assert stage.sends == 0


@pytest.mark.parametrize("state", [S.RECEIVED, S.DEFERRED, S.SENDING, S.UNKNOWN])
@on_virtual_time
async def test_an_order_another_worker_is_on_is_left_alone(state: OrderState) -> None:
    stage = Stage()
    other = Stage(beside=stage)
    lease = stage.ledger.now() + timedelta(seconds=30)
    stage.past(message(), state, owner=other.ledger.owner, lease_until=lease)
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason) == (K.RETRY, "BUSY")
    assert set(stage.ledger.calls) == {"claim", "leave_lane"}
    assert (stage.sends, stage.exchange.looks) == (0, [])


@on_virtual_time
async def test_an_order_another_worker_finishes_meanwhile_is_answered_from_the_ledger() -> None:
    stage = Stage()
    other = Stage(beside=stage)
    lease = stage.ledger.now() + timedelta(seconds=30)
    row = stage.past(message(), S.ACCEPTED, owner=other.ledger.owner, lease_until=lease)
    stage.rows.by_id["r-1"] = replace(row, state=S.SENDING)
    waiting = asyncio.ensure_future(stage.deliver(message()))
    await turns()
    stage.rows.by_id["r-1"] = replace(row, lease_until=None)
    outcome = await waiting
    assert (outcome.kind, outcome.state) == (K.ALREADY_DONE, S.ACCEPTED)


@pytest.mark.parametrize("state", [S.RECEIVED, S.DEFERRED])
@on_virtual_time
async def test_an_order_whose_lease_ran_out_is_taken_over(state: OrderState) -> None:
    stage = Stage()
    lease = stage.ledger.now() - timedelta(seconds=1)
    before = stage.past(message(), state, owner=Stage(beside=stage).ledger.owner, lease_until=lease)
    outcome = await stage.deliver(message())
    assert outcome.kind is K.PLACED
    assert stage.row().fence == before.fence + 1
    assert stage.row().attempts == before.attempts + 1


@on_virtual_time
async def test_two_workers_at_once_place_one_order() -> None:
    stage = Stage()
    other = Stage(beside=stage)
    outcomes = await asyncio.gather(*(one.deliver(message()) for one in (stage, other)))
    assert {outcome.kind for outcome in outcomes} == {K.PLACED, K.ALREADY_DONE}
    assert stage.sends == 1
