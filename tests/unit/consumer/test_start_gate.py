"""The start gate: an account with orders of unknown outcome is not opened on before a look."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from consumer.execution.reconciler import Reconciler
from consumer.execution.start_gate import StartGate
from consumer.outcome import OutcomeKind
from providers.errors import ExchangeUnavailable
from providers.outcomes import OutcomeClass
from storage.states import OrderState
from tests.fakes.exchange import NAME
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import on_virtual_time, turns

S = OrderState
AWAY = ExchangeUnavailable("fake", "no answer", outcome_class=OutcomeClass.UNKNOWN)


def gate_of(stage: Stage) -> StartGate:
    looks = Reconciler(
        stage.ledger, stage.router, stage.settings, stage.gate, stage.clock, stage.controls
    )
    gate = StartGate(stage.ledger, looks, stage.gate)
    stage.executor._start_gate = gate
    return gate


@on_virtual_time
async def test_without_such_orders_it_opens_at_once() -> None:
    gate = gate_of(Stage())
    assert not gate.is_open(NAME, "default")
    await gate.run()
    assert gate.is_open(NAME, "default")
    assert gate.shut == {}


@pytest.mark.parametrize("state", [S.SENDING, S.UNKNOWN])
@on_virtual_time
async def test_it_opens_when_each_order_was_looked_at_even_if_it_may_still_land(
    state: OrderState,
) -> None:
    stage = Stage()
    until = stage.ledger.now() + timedelta(seconds=60)
    stage.past(message(), state, may_land_until=until)
    gate = gate_of(stage)
    await gate.run()
    assert gate.is_open(NAME, "default")
    assert stage.row().state is S.UNKNOWN
    assert stage.exchange.looks


@on_virtual_time
async def test_an_exchange_that_cannot_be_asked_shuts_only_its_own_account_for_opening() -> None:
    stage = Stage()
    stage.past(message(requestId="old"), S.UNKNOWN)
    stage.exchange.look_faults.extend([AWAY] * 20)
    gate = gate_of(stage)
    running = asyncio.ensure_future(gate.run())
    await turns()
    assert gate.is_open("bybit", "default")
    assert not gate.is_open(NAME, "default")
    assert gate.shut == {"fake/default": "fake could not be asked about old"}

    closing = await stage.deliver(message(requestId="c-1", action="CLOSE_LONG"))
    assert closing.kind is OutcomeKind.PLACED
    opening = await stage.deliver(message())
    assert (opening.kind, opening.reason) == (OutcomeKind.RETRY, "ACCOUNT_GATED")
    assert "r-1" not in stage.rows.by_id

    stage.exchange.look_faults.clear()
    await running
    assert (await stage.deliver(message())).kind is OutcomeKind.PLACED


@on_virtual_time
async def test_an_order_that_a_live_worker_is_sending_is_waited_for_and_left_alone() -> None:
    stage = Stage()
    other = Stage(beside=stage)
    lease = stage.ledger.now() + timedelta(seconds=30)
    stage.past(message(), S.SENDING, owner=other.ledger.owner, lease_until=lease)
    gate = gate_of(stage)
    running = asyncio.ensure_future(gate.run())
    await asyncio.sleep(3)
    assert stage.row().state is S.SENDING
    assert "another worker" in gate.shut["fake/default"]
    await asyncio.sleep(30)
    await running
    assert stage.row().state is S.UNKNOWN
