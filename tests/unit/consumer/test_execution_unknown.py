"""Orders of unknown outcome: asked about, adopted, waited for, sent again only when absent."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from consumer.outcome import OutcomeKind
from providers.errors import (
    ExchangeRefusal,
    ExchangeUnavailable,
    ProviderError,
)
from providers.orders import OrderStatus, Side
from providers.outcomes import OutcomeClass
from storage.identity import client_order_id
from storage.states import OrderState
from tests.fakes.exchange import (
    answer,
)
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import START, on_virtual_time

S = OrderState
K = OutcomeKind
OURS = client_order_id("r-1", "default")
AWAY = ExchangeUnavailable("fake", "no answer", outcome_class=OutcomeClass.UNKNOWN)


# An order whose outcome is not known, or whose worker ended in the middle.


@pytest.mark.parametrize("before", [S.SENDING, S.UNKNOWN])
@pytest.mark.parametrize(
    ("status", "kind", "after"),
    [
        (OrderStatus.NEW, K.PLACED, S.ACCEPTED),
        (OrderStatus.PARTIALLY_FILLED, K.PLACED, S.PARTIALLY_FILLED),
        (OrderStatus.FILLED, K.PLACED, S.FILLED),
        (OrderStatus.CANCELED, K.REFUSED, S.CANCELED),
        (OrderStatus.REJECTED, K.REFUSED, S.REJECTED),
    ],
)
@on_virtual_time
async def test_an_order_that_is_found_is_adopted(
    before: OrderState, status: OrderStatus, kind: OutcomeKind, after: OrderState
) -> None:
    stage = Stage()
    stage.past(message(), before)
    stage.taken(status)
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.state) == (kind, after)
    assert stage.path()[-1] is after
    assert stage.sends == 0
    row = stage.row()
    assert row.exchange_order_id == f"{OURS}-1"
    assert (row.check_at is None) == after.final
    if after is S.REJECTED:
        assert (outcome.reason, outcome.error) == ("EXCHANGE_REJECTED", "too fast")


@pytest.mark.parametrize("before", [S.SENDING, S.UNKNOWN])
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"symbol": "ETHUSDT"}, "symbol is ETHUSDT, sent was BTCUSDT"),
        ({"side": Side.SELL}, "side is SELL, sent was BUY"),
        ({"quantity": Decimal(5)}, "quantity is 5, sent was 0.005"),
        ({"quantity": Decimal("0.004")}, "quantity is 0.004, sent was 0.005"),
    ],
)
@on_virtual_time
async def test_an_order_that_is_not_ours_is_quarantined(
    before: OrderState, changes: dict[str, Any], says: str
) -> None:
    stage = Stage()
    stage.past(message(), before)
    stage.taken(**changes)
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.reason) == (K.REFUSED, "QUARANTINED")
    assert outcome.error is not None
    assert says in outcome.error
    assert outcome.state is stage.row().state is S.QUARANTINED
    assert stage.sends == 0


@on_virtual_time
async def test_a_reduce_only_order_that_was_trimmed_is_ours() -> None:
    stage = Stage()
    wanted = message(action="CLOSE_LONG")
    stage.past(wanted, S.UNKNOWN)
    stage.taken(OrderStatus.FILLED, reduce_only=True, quantity=Decimal("0.001"))
    outcome = await stage.deliver(wanted, attempt=2)
    assert (outcome.kind, outcome.state) == (K.PLACED, S.FILLED)


@pytest.mark.parametrize("before", [S.SENDING, S.UNKNOWN])
@pytest.mark.parametrize(
    "margin_left",
    [timedelta(microseconds=1), timedelta(seconds=4), timedelta(hours=1), None],
)
@on_virtual_time
async def test_an_order_that_may_still_land_is_waited_for(
    before: OrderState, margin_left: timedelta | None
) -> None:
    stage = Stage()
    until = None if margin_left is None else stage.ledger.now() - timedelta(seconds=5) + margin_left
    stage.past(message(), before, may_land_until=until)
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.reason) == (K.RETRY, "OUTCOME_UNKNOWN")
    assert stage.row().state is S.UNKNOWN
    assert stage.row().check_at is not None
    assert stage.row().lease_until is None
    assert len(stage.exchange.looks) == 1
    assert stage.sends == 0


@pytest.mark.parametrize("before", [S.SENDING, S.UNKNOWN])
@on_virtual_time
async def test_an_order_that_is_certainly_absent_is_sent_again_with_the_same_id(
    before: OrderState,
) -> None:
    stage = Stage()
    stage.past(message(), before)
    stage.clock.advance(5.001)
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.state) == (K.PLACED, S.ACCEPTED)
    assert stage.path()[-4:] == [S.UNKNOWN, S.DEFERRED, S.SENDING, S.ACCEPTED]
    assert stage.exchange.looks == [("BTCUSDT", OURS)] * 2, "one look is not enough"
    assert [order.client_order_id for order in stage.exchange.sends] == [OURS]
    assert stage.row().sends == 2


@on_virtual_time
async def test_an_order_that_shows_up_at_the_second_look_is_adopted() -> None:
    stage = Stage()
    stage.past(message(), S.UNKNOWN)
    stage.clock.advance(6)
    asyncio.get_running_loop().call_later(0.1, stage.taken)
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.state) == (K.PLACED, S.ACCEPTED)
    assert len(stage.exchange.looks) == 2
    assert stage.sends == 0


@pytest.mark.parametrize("before", [S.SENDING, S.UNKNOWN])
@pytest.mark.parametrize("failing_look", [0, 1])
@pytest.mark.parametrize(
    "error",
    [
        AWAY,
        ExchangeRefusal("fake", "key expired", outcome_class=OutcomeClass.AUTH, code="10003"),
        ProviderError("anything"),
    ],
)
@on_virtual_time
async def test_a_look_that_fails_is_never_read_as_absent(
    before: OrderState, failing_look: int, error: Exception
) -> None:
    stage = Stage()
    stage.past(message(), before)
    stage.clock.advance(3600)
    stage.exchange.look_faults = deque([None] * failing_look + [error])
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.reason) == (K.RETRY, "OUTCOME_UNKNOWN")
    assert outcome.error is not None
    assert "could not ask" in outcome.error
    assert stage.row().state is S.UNKNOWN
    assert stage.sends == 0


@on_virtual_time
async def test_it_is_looked_for_where_it_was_sent_and_not_where_it_would_go_now() -> None:
    stage = Stage(default_exchange="fake")
    wanted = message(exchange=None)
    stage.past(wanted, S.UNKNOWN, exchange="locked")
    outcome = await stage.deliver(wanted, attempt=2)
    assert (outcome.kind, outcome.reason) == (K.RETRY, "OUTCOME_UNKNOWN")
    assert stage.exchange.looks == []
    assert stage.sends == 0


@on_virtual_time
async def test_an_unknown_order_that_is_absent_but_expired_is_not_sent_again() -> None:
    stage = Stage()
    wanted = message(expiresAt=(START + timedelta(seconds=5)).isoformat())
    stage.past(wanted, S.UNKNOWN)
    stage.clock.advance(6)
    outcome = await stage.deliver(wanted, attempt=2)
    assert (outcome.kind, outcome.reason) == (K.REFUSED, "EXPIRED")
    assert stage.path() == [S.UNKNOWN, S.DEFERRED, S.EXPIRED]
    assert stage.sends == 0


@on_virtual_time
async def test_an_unknown_order_is_asked_about_even_when_it_is_expired() -> None:
    """That nobody may send it any more does not tell what became of it."""
    stage = Stage()
    wanted = message(expiresAt=(START - timedelta(seconds=60)).isoformat())
    stage.past(wanted, S.UNKNOWN)
    stage.taken(OrderStatus.FILLED)
    outcome = await stage.deliver(wanted, attempt=2)
    assert (outcome.kind, outcome.state) == (K.PLACED, S.FILLED)


# A duplicate id.


@on_virtual_time
async def test_a_duplicate_id_is_proof_of_an_earlier_send() -> None:
    stage = Stage()
    stage.past(message(), S.DEFERRED)
    stage.taken(OrderStatus.FILLED)
    stage.exchange.plan.append(answer(OutcomeClass.DUPLICATE_ID, "110072"))
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.state) == (K.PLACED, S.FILLED)
    assert stage.path() == [S.DEFERRED, S.SENDING, S.UNKNOWN, S.FILLED]
    assert stage.sends == 1


@on_virtual_time
async def test_a_duplicate_id_of_another_order_is_quarantined() -> None:
    stage = Stage()
    stage.taken(quantity=Decimal(7))
    stage.exchange.plan.append(answer(OutcomeClass.DUPLICATE_ID))
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason) == (K.REFUSED, "QUARANTINED")
    assert stage.row().state is S.QUARANTINED


@pytest.mark.parametrize("look_fault", [None, AWAY])
@on_virtual_time
async def test_a_duplicate_id_that_is_not_shown_yet_is_waited_for(
    look_fault: Exception | None,
) -> None:
    """However long ago the first send was: the id is taken, so the order is somewhere."""
    stage = Stage()
    stage.past(message(), S.DEFERRED, may_land_until=stage.ledger.now() - timedelta(hours=1))
    stage.exchange.plan.append(answer(OutcomeClass.DUPLICATE_ID))
    stage.exchange.look_faults.append(look_fault)
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.reason) == (K.RETRY, "OUTCOME_UNKNOWN")
    row = stage.row()
    assert row.state is S.UNKNOWN
    assert row.may_land_until is not None
    assert row.may_land_until > stage.ledger.now()
    assert stage.sends == 1
