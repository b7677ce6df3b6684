"""Orders for which nothing has to be asked first: one commit, and all the same promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consumer.outcome import OutcomeKind
from providers.errors import RequestRefused
from providers.orders import OrderStatus
from storage.errors import LedgerUnavailable
from storage.states import OrderState
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import on_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.ledger import Claim, NewOrder, Ready

S = OrderState
K = OutcomeKind
KILL = "trade:kill_switch"


def stage_with_ready_orders() -> Stage:
    stage = Stage()
    stage.exchange.ready = True
    return stage


def while_claimed(stage: Stage, do: Callable[[], None]) -> None:
    """Do something between the commit of a claim and its answer."""
    claim = stage.ledger.claim

    async def late(order: NewOrder, ready: Ready | None = None) -> Claim:
        found = await claim(order, ready)
        do()
        return found

    stage.ledger.claim = late  # type: ignore[method-assign]  # a spy


@on_virtual_time
async def test_it_needs_one_commit_before_it_is_sent() -> None:
    stage = stage_with_ready_orders()
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.state) == (K.PLACED, S.ACCEPTED)
    assert stage.ledger.calls[:2] == ["claim", "record"]
    assert stage.path() == [S.RECEIVED, S.SENDING, S.ACCEPTED]
    assert stage.sends == 1
    assert stage.exchange.kept == stage.exchange.sends
    assert stage.exchange.reserved == [], "its slot was taken with the commit"


@pytest.mark.parametrize("fields", [{"action": "CLOSE_LONG"}, {"test": True}])
@on_virtual_time
async def test_closes_and_tests_go_step_by_step(fields: dict[str, object]) -> None:
    stage = stage_with_ready_orders()
    await stage.deliver(message(**fields))
    assert stage.exchange.kept == []
    assert stage.preparation.requests != []


@pytest.mark.parametrize(
    "limits", [{"trade:max_position_size": "1000000"}, {"trade:max_order_notional": "1000000"}]
)
@on_virtual_time
async def test_one_that_has_to_be_weighed_goes_step_by_step(limits: dict[str, str | None]) -> None:
    """By a position, or a mark price that is not known."""
    stage = stage_with_ready_orders()
    stage.controls.put(limits)
    outcome = await stage.deliver(message())
    assert outcome.state is S.ACCEPTED
    assert stage.exchange.kept == []
    assert "begin_sending" in stage.ledger.calls


@pytest.mark.parametrize("key", [KILL, f"{KILL}:fake", f"{KILL}:BTCUSDT"])
@on_virtual_time
async def test_a_kill_switch_denies_it_before_it_is_claimed(key: str) -> None:
    stage = stage_with_ready_orders()
    stage.controls.put({key: "on"})
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason, outcome.state) == (
        K.REFUSED,
        "KILL_SWITCH_ACTIVE",
        S.DENIED,
    )
    assert stage.path() == [S.RECEIVED, S.DENIED]
    assert stage.sends == 0


@on_virtual_time
async def test_a_kill_switch_reaches_it_while_its_commit_is_under_way() -> None:
    stage = stage_with_ready_orders()
    while_claimed(stage, lambda: stage.controls.put({KILL: "reduce_only"}))
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.state) == (K.REFUSED, S.DENIED)
    assert stage.path() == [S.RECEIVED, S.SENDING, S.DEFERRED, S.DENIED]
    assert stage.sends == 0


@on_virtual_time
async def test_one_that_breaks_a_limit_is_denied() -> None:
    stage = stage_with_ready_orders()
    stage.controls.put({"trade:max_orders_per_symbol": "1/60s"})
    assert (await stage.deliver(message())).state is S.ACCEPTED
    outcome = await stage.deliver(message(requestId="r-2"))
    assert (outcome.kind, outcome.state) == (K.REFUSED, S.DENIED)
    assert "trade:max_orders_per_symbol" in (outcome.error or "")
    assert stage.sends == 1


@on_virtual_time
async def test_a_commit_that_takes_too_long_sends_nothing() -> None:
    stage = stage_with_ready_orders()
    stage.ledger.slow_next("claim", stage.settings.send_within + 0.1)
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason, outcome.state) == (K.RETRY, "TOO_SLOW", S.DEFERRED)
    assert stage.sends == 0


@on_virtual_time
async def test_if_the_answer_is_lost_the_exchange_is_asked_before_it_is_sent() -> None:
    """The intent may be committed, so its outcome is unknown, though nobody sent it."""
    stage = stage_with_ready_orders()
    stage.ledger.fail_next("claim", committed=True)
    with pytest.raises(LedgerUnavailable):
        await stage.deliver(message())
    assert stage.sends == 0
    assert stage.row().state is S.SENDING

    await stage.deliver(message())

    assert stage.sends == 0
    assert stage.exchange.looks != []
    assert stage.row().state is S.UNKNOWN


@on_virtual_time
async def test_one_that_is_refused_is_claimed_and_says_why() -> None:
    stage = stage_with_ready_orders()

    async def refuse(*_: object, **__: object) -> None:
        raise RequestRefused("BELOW_MINIMUM", "the minimum is 0.01")

    stage.preparation.prepare = refuse  # type: ignore[assignment,method-assign]  # a spy
    outcome = await stage.deliver(message())
    assert (outcome.reason, outcome.state) == ("BELOW_MINIMUM", S.DENIED)


@on_virtual_time
async def test_the_same_message_again_is_not_sent_again() -> None:
    stage = stage_with_ready_orders()
    await stage.deliver(message())
    outcome = await stage.deliver(message())
    assert outcome.kind is K.ALREADY_DONE
    assert stage.sends == 1
    assert len(stage.exchange.kept) == 1


@on_virtual_time
async def test_one_that_was_sent_before_is_looked_up_and_not_begun() -> None:
    stage = stage_with_ready_orders()
    stage.past(message(), S.UNKNOWN)
    stage.taken(OrderStatus.FILLED)
    outcome = await stage.deliver(message())
    assert outcome.state is S.FILLED
    assert stage.sends == 0
