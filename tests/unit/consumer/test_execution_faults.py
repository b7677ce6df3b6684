"""The ledger goes away, or somebody takes the order over, at every step of a message's way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from consumer.outcome import OutcomeKind
from providers.errors import (
    ExchangeUnavailable,
)
from providers.orders import OrderStatus, PreparedOrder
from providers.outcomes import OutcomeClass
from storage.errors import LedgerUnavailable
from storage.identity import client_order_id
from storage.states import OrderState
from tests.fakes.exchange import (
    FakeExchange,
    accept,
    answer,
    drop,
)
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import on_virtual_time

if TYPE_CHECKING:
    from tests.fakes.exchange import Behaviour

S = OrderState
K = OutcomeKind
OURS = client_order_id("r-1", "default")
AWAY = ExchangeUnavailable("fake", "no answer", outcome_class=OutcomeClass.UNKNOWN)


# The ledger goes away.


@pytest.mark.parametrize("committed", [True, False])
@on_virtual_time
async def test_the_ledger_goes_away_at_the_claim(
    committed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    stage = Stage()
    stage.ledger.fail_next("claim", committed=committed)
    with pytest.raises(LedgerUnavailable):
        await stage.deliver(message())
    assert stage.sends == 0
    assert (await stage.deliver(message())).kind is K.PLACED
    assert stage.sends == 1


@on_virtual_time
async def test_the_ledger_goes_away_before_the_intent_is_committed() -> None:
    stage = Stage()
    stage.ledger.fail_next("begin_sending")
    with pytest.raises(LedgerUnavailable):
        await stage.deliver(message())
    assert stage.row().state is S.RECEIVED
    assert stage.sends == 0
    assert (await stage.deliver(message())).kind is K.PLACED
    assert stage.sends == 1


@on_virtual_time
async def test_the_ledger_goes_away_when_the_intent_is_committed_but_nobody_knows() -> None:
    stage = Stage()
    stage.ledger.fail_next("begin_sending", committed=True)
    with pytest.raises(LedgerUnavailable):
        await stage.deliver(message())
    assert stage.row().state is S.SENDING
    assert stage.sends == 0
    waiting = await stage.deliver(message())
    assert (waiting.kind, waiting.reason) == (K.RETRY, "OUTCOME_UNKNOWN")
    assert stage.sends == 0
    stage.clock.advance(60)
    assert (await stage.deliver(message(), attempt=2)).kind is K.PLACED
    assert stage.sends == 1


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize(
    ("behaviour", "after"),
    [(accept, S.ACCEPTED), (drop(), S.UNKNOWN), (answer(OutcomeClass.MARGIN), S.REJECTED)],
)
@on_virtual_time
async def test_the_ledger_goes_away_after_the_send(
    behaviour: Behaviour,
    after: OrderState,
    committed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What happened at the exchange is kept until it can be written down."""
    stage = Stage()
    stage.exchange.plan.append(behaviour)
    stage.ledger.fail_next("record", committed=committed)
    outcome = await stage.deliver(message())
    assert outcome.state is stage.row().state is after
    assert stage.gate.is_open
    assert stage.sends == 1


@on_virtual_time
async def test_while_the_ledger_stays_away_the_record_waits() -> None:
    stage = Stage()

    async def accept_and_cut_the_line(exchange: FakeExchange, order: PreparedOrder) -> Any:  # noqa: ANN401 - a placement
        stage.ledger.away = True
        return await accept(exchange, order)

    stage.exchange.plan.append(accept_and_cut_the_line)
    delivering = asyncio.ensure_future(stage.deliver(message()))
    await asyncio.sleep(100)
    assert not delivering.done()
    assert not stage.gate.is_open
    stage.ledger.away = False
    outcome = await delivering
    assert (outcome.kind, stage.row().state) == (K.PLACED, S.ACCEPTED)
    assert stage.sends == 1


@pytest.mark.parametrize("state", [S.SENDING, S.UNKNOWN])
@on_virtual_time
async def test_the_ledger_goes_away_while_an_unknown_order_is_resolved(state: OrderState) -> None:
    stage = Stage()
    stage.past(message(), state)
    stage.taken(OrderStatus.FILLED)
    for _ in range(3):
        stage.ledger.fail_next("record")
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, stage.row().state) == (K.PLACED, S.FILLED)
    assert stage.sends == 0


# Somebody takes the order over.


def take_over(stage: Stage) -> None:
    row = stage.row()
    stage.rows.by_id["r-1"] = replace(row, fence=row.fence + 1)


@on_virtual_time
async def test_an_order_taken_over_before_the_intent_is_not_sent() -> None:
    stage = Stage()
    stage.preparation.meanwhile = lambda: take_over(stage)
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason) == (K.RETRY, "CLAIM_LOST")
    assert stage.row().state is S.RECEIVED
    assert stage.sends == 0


@on_virtual_time
async def test_an_order_taken_over_during_the_send_is_left_to_its_new_owner() -> None:
    stage = Stage()

    async def accept_meanwhile(exchange: FakeExchange, order: PreparedOrder) -> Any:  # noqa: ANN401 - a placement
        take_over(stage)
        return await accept(exchange, order)

    stage.exchange.plan.append(accept_meanwhile)
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason) == (K.RETRY, "CLAIM_LOST")
    assert stage.row().state is S.SENDING
    again = await stage.deliver(message(), attempt=2)
    assert again.kind is K.PLACED
    assert stage.sends == 1


@on_virtual_time
async def test_an_order_taken_over_while_it_is_asked_about_is_left_alone() -> None:
    stage = Stage()
    stage.past(message(), S.UNKNOWN)
    stage.clock.advance(60)
    asyncio.get_running_loop().call_later(0.1, take_over, stage)
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.reason) == (K.RETRY, "CLAIM_LOST")
    assert stage.row().state is S.UNKNOWN
    assert stage.sends == 0


@on_virtual_time
async def test_a_worker_that_is_stopped_during_the_send_leaves_an_intent_to_be_resolved() -> None:
    stage = Stage()
    sending = asyncio.Event()

    async def hang(exchange: FakeExchange, order: PreparedOrder) -> Any:  # noqa: ANN401 - none comes
        exchange.execute(order, status=OrderStatus.FILLED)
        sending.set()
        await asyncio.Event().wait()

    stage.exchange.plan.append(hang)
    delivering = asyncio.ensure_future(stage.deliver(message()))
    await sending.wait()
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    assert stage.row().state is S.SENDING
    stage.clock.advance(31)
    outcome = await Stage(beside=stage).deliver(message(), attempt=1)
    assert (outcome.kind, outcome.state) == (K.PLACED, S.FILLED)
    assert stage.sends == 1


@on_virtual_time
async def test_who_stood_still_before_the_signature_does_not_send_what_others_may_have_sent() -> (
    None
):
    """A process that is frozen there wakes when its request counts as over, and is sent again."""
    stage = Stage()
    stage.exchange.meanwhile = lambda: stage.clock.advance(60)

    outcome = await stage.deliver(message())

    assert (outcome.kind, outcome.reason, outcome.state) == (K.RETRY, "NOT_PERMITTED", S.DEFERRED)
    assert stage.sends == 0
    stage.exchange.meanwhile = lambda: None
    assert (await stage.deliver(message(), attempt=2)).kind is K.PLACED
