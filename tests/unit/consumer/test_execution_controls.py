"""Controls that act while an order waits, wherever it waits: nothing of it is sent then."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from consumer.outcome import OutcomeKind
from providers.orders import OrderStatus
from storage.states import OrderState
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import START, on_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.ledger import Change

S = OrderState
K = OutcomeKind
KILL = "trade:kill_switch"
AGE = "trade:max_signal_age_seconds"

# Where an order waits, and how a test does something meanwhile.
WAITS: dict[str, Callable[[Stage, Callable[[], None]], None]] = {
    "for what it is prepared by": lambda stage, do: setattr(stage.preparation, "meanwhile", do),
    "for its request slot": lambda stage, do: setattr(stage.exchange, "while_reserving", do),
    "for a connection": lambda stage, do: setattr(stage.exchange, "meanwhile", do),
}


def verdicts(stage: Stage) -> list[object]:
    """What the events of denials will say, filled as they are recorded."""
    found: list[object] = []
    record = stage.ledger.record

    async def note(change: Change) -> None:
        await record(change)
        if change.detail is not None:
            found.append(change.detail["denied"])

    stage.ledger.record = note  # type: ignore[method-assign]  # a spy
    return found


@pytest.mark.parametrize("wait", list(WAITS))
@pytest.mark.parametrize(
    ("key", "value"),
    [
        (KILL, "on"),
        (KILL, "reduce_only"),
        (f"{KILL}:fake", "on"),
        (f"{KILL}:BTCUSDT", "reduce_only"),
    ],
)
@on_virtual_time
async def test_a_kill_switch_reaches_an_order_that_waits(wait: str, key: str, value: str) -> None:
    stage = Stage()
    said = verdicts(stage)
    WAITS[wait](stage, lambda: stage.controls.put({key: value}))
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason, outcome.state) == (
        K.REFUSED,
        "KILL_SWITCH_ACTIVE",
        S.DENIED,
    )
    assert stage.sends == 0
    assert said == [{"control": key, "limit": value, "value": "opens"}]


@pytest.mark.parametrize("wait", list(WAITS))
@pytest.mark.parametrize(("value", "sent"), [("on", False), ("reduce_only", True)])
@on_virtual_time
async def test_only_a_whole_stop_reaches_a_close_that_waits(
    wait: str,
    value: str,
    sent: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    stage = Stage()
    WAITS[wait](stage, lambda: stage.controls.put({KILL: value}))
    outcome = await stage.deliver(message(action="CLOSE_LONG"))
    assert stage.sends == sent
    assert (outcome.reason == "KILL_SWITCH_ACTIVE") is not sent


@pytest.mark.parametrize("wait", list(WAITS))
@on_virtual_time
async def test_a_signal_that_grows_old_while_it_waits_is_not_sent(wait: str) -> None:
    stage = Stage()
    said = verdicts(stage)
    stage.controls.put({AGE: "30"})
    WAITS[wait](stage, lambda: stage.clock.advance(3))
    outcome = await stage.deliver(message(queuedAt=(START - timedelta(seconds=28)).isoformat()))
    assert (outcome.kind, outcome.reason, outcome.state) == (K.REFUSED, "EXPIRED", S.EXPIRED)
    assert stage.sends == 0
    assert said == [{"control": AGE, "limit": "30", "value": "31.000"}]


@on_virtual_time
async def test_a_signal_is_looked_at_once_more_after_its_time_on_a_rung() -> None:
    stage = Stage()
    stage.controls.put({AGE: "30"})
    wanted = message(queuedAt=START.isoformat())
    stage.past(wanted, S.DEFERRED)
    stage.clock.advance(30)
    assert (await stage.deliver(wanted, attempt=2)).kind is K.PLACED

    late = Stage()
    late.controls.put({AGE: "30"})
    late.past(wanted, S.DEFERRED)
    late.clock.advance(30.001)
    assert (await late.deliver(wanted, attempt=2)).reason == "EXPIRED"
    assert late.sends == 0


@pytest.mark.parametrize(
    ("there", "state", "reason"),
    [(True, S.ACCEPTED, None), (False, S.DENIED, "KILL_SWITCH_ACTIVE")],
)
@on_virtual_time
async def test_an_unknown_order_is_asked_about_behind_a_switch_and_not_sent_again(
    there: bool,  # noqa: FBT001 - a parameter of the test
    state: OrderState,
    reason: str | None,
) -> None:
    stage = Stage()
    wanted = message()
    stage.past(wanted, S.UNKNOWN, may_land_until=stage.ledger.now() - timedelta(seconds=60))
    if there:
        stage.taken(OrderStatus.NEW)
    stage.controls.put({KILL: "on"})
    outcome = await stage.deliver(wanted, attempt=2)
    assert (outcome.state, outcome.reason) == (state, reason)
    assert stage.exchange.looks
    assert stage.sends == 0


@pytest.mark.parametrize("state", [S.RECEIVED, S.DEFERRED, S.UNKNOWN])
@on_virtual_time
async def test_nothing_executes_by_itself_once_a_switch_is_lifted(state: OrderState) -> None:
    stage = Stage()
    wanted = message()
    stage.past(wanted, state, may_land_until=stage.ledger.now())
    stage.clock.advance(60)
    stage.controls.put({KILL: "on"})
    stage.clock.advance(1)
    stage.controls.put({KILL: "off"})
    outcome = await stage.deliver(wanted, attempt=2)
    assert (outcome.reason, outcome.state) == ("KILL_SWITCH_ACTIVE", S.DENIED)
    assert stage.sends == 0
    assert (await stage.deliver(message(requestId="r-2"))).kind is K.PLACED


@pytest.mark.parametrize("wait", list(WAITS))
@on_virtual_time
async def test_a_config_that_goes_stale_while_an_order_waits_holds_it(wait: str) -> None:
    stage = Stage()
    stage.controls.live._stale_after = 3.0
    WAITS[wait](stage, lambda: stage.clock.advance(4))
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason, outcome.state) == (K.RETRY, "CONFIG_STALE", S.DEFERRED)
    assert stage.sends == 0
