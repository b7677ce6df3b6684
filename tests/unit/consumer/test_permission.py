"""What the config lets out, as a table and as an executor obeys it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.controls.permission import forbidden
from consumer.controls.registry import Registry
from consumer.controls.routing import route
from consumer.controls.snapshot import Snapshot, parse
from consumer.controls.values import Switch
from consumer.outcome import OutcomeKind
from storage.config import Stored
from storage.errors import LedgerUnavailable
from storage.states import OrderState
from tests.fakes.controls import NAMES, FakeControls
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import START, on_virtual_time

if TYPE_CHECKING:
    from consumer.controls.permission import Denial

S = OrderState
K = OutcomeKind
REGISTRY = Registry(NAMES)
KILL = "trade:kill_switch"


def seen(**values: str) -> Snapshot:
    """A snapshot; the names are the keys, with __ for each colon."""
    return parse(Stored(1, {key.replace("__", ":"): v for key, v in values.items()}), REGISTRY)


def asked(snapshot: Snapshot, *, opens: bool = True) -> Denial | None:
    return forbidden(snapshot, "fake", "BTCUSDT", opens=opens, wanted_at=START)


# Routing.


@given(
    st.sampled_from([None, "mexc"]),
    st.sampled_from([None, "bybit", "mexc"]),
    st.sampled_from([None, "binance"]),
)
def test_a_redirect_wins_over_the_message_and_the_message_over_the_default(
    redirect: str | None, named: str | None, default: str | None
) -> None:
    table = {"exchanges:routing:BTCUSDT": redirect, "exchanges:default_routing": default}
    snapshot = parse(Stored(1, {k: v for k, v in table.items() if v is not None}), REGISTRY)

    assert route(message(exchange=named), snapshot, "locked") == (
        redirect or named or default or "locked"
    )
    assert route(message(exchange=named, symbol="ETHUSDT"), snapshot, "locked") == (
        named or default or "locked"
    )


# The kill switch.


@given(
    everything=st.sampled_from(Switch),
    exchange=st.sampled_from(Switch),
    symbol=st.sampled_from(Switch),
    opens=st.booleans(),
)
def test_the_strictest_switch_that_applies_counts(
    everything: Switch, exchange: Switch, symbol: Switch, *, opens: bool
) -> None:
    snapshot = parse(
        Stored(1, {KILL: everything, f"{KILL}:fake": exchange, f"{KILL}:BTCUSDT": symbol}), REGISTRY
    )
    thrown = {everything, exchange, symbol}

    denial = asked(snapshot, opens=opens)

    barred = Switch.ON in thrown or (opens and Switch.REDUCE_ONLY in thrown)
    assert (denial is not None) == barred
    if denial is not None:
        assert denial.code == "KILL_SWITCH_ACTIVE"
        assert denial.then is S.DENIED


def test_switches_of_others_do_not_count() -> None:
    assert asked(seen(**{f"{KILL}:other": "on", f"{KILL}:ETHUSDT": "on"})) is None


@pytest.mark.parametrize(
    ("key", "value", "code", "then"),
    [
        ("exchanges:fake:enabled", "false", "EXCHANGE_DISABLED", S.DENIED),
        ("trade:symbols", "ETHUSDT,SOLUSDT", "SYMBOL_NOT_ALLOWED", S.DENIED),
        ("trade:max_leverage", "lots", "CONFIG_FAULT", S.DEFERRED),
        ("trade:max_levrage", "5", "CONFIG_FAULT", S.DEFERRED),
        ("exchanges:fake:enabled", "yes", "CONFIG_FAULT", S.DEFERRED),
    ],
)
def test_what_bars_opening_lets_closes_pass(
    key: str, value: str, code: str, then: OrderState
) -> None:
    snapshot = parse(Stored(1, {key: value}), REGISTRY)

    denial = asked(snapshot)

    assert denial is not None
    assert (denial.code, denial.then) == (code, then)
    assert asked(snapshot, opens=False) is None
    assert forbidden(snapshot, "other", "ETHUSDT", opens=True, wanted_at=START) is None or (
        denial.code == "CONFIG_FAULT" and key.startswith("trade:")
    )


# As an executor obeys it.


@on_virtual_time
async def test_a_killed_order_is_denied_for_good_and_lifting_sends_nothing() -> None:
    stage = Stage()
    stage.controls.put({KILL: "on"})

    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason, outcome.state) == (
        K.REFUSED,
        "KILL_SWITCH_ACTIVE",
        S.DENIED,
    )
    assert stage.preparation.requests == []
    stage.controls.put({KILL: None})
    again = await stage.deliver(message(), attempt=2)

    assert again.kind is K.REFUSED  # its dead letter was never confirmed: refused once more
    assert stage.sends == 0
    assert (await stage.deliver(message(requestId="r-2"))).kind is K.PLACED


@pytest.mark.parametrize("state", [S.DEFERRED, S.UNKNOWN, S.SENDING])
@on_virtual_time
async def test_an_order_that_waited_while_the_switch_was_on_is_not_sent_afterwards(
    state: OrderState,
) -> None:
    stage = Stage()
    stage.past(message(), state)
    stage.clock.advance(1)
    stage.controls.put({KILL: "on"})
    stage.clock.advance(1)
    stage.controls.put({KILL: "off"})
    stage.clock.advance(60)  # on its rung; the exchange never got it

    outcome = await stage.deliver(message(), attempt=2)
    if state is S.SENDING:  # asked about twice, for nobody knows when the request was over
        outcome = await stage.deliver(message(), attempt=3)

    assert (outcome.kind, outcome.reason) == (K.REFUSED, "KILL_SWITCH_ACTIVE")
    assert "replay" in (outcome.error or "")
    assert stage.sends == 0
    assert stage.path()[-1] is S.DENIED


@on_virtual_time
async def test_closes_pass_reduce_only_but_not_on() -> None:
    stage = Stage()
    stage.controls.put({f"{KILL}:fake": "reduce_only"})
    assert (await stage.deliver(message())).kind is K.REFUSED
    assert (await stage.deliver(message(requestId="r-2", action="CLOSE_LONG"))).kind is K.PLACED
    stage.controls.put({f"{KILL}:fake": "on"})
    assert (await stage.deliver(message(requestId="r-3", action="CLOSE_LONG"))).kind is K.REFUSED
    # From `on` to `reduce_only`: a close that was barred stays barred, a new one passes.
    stage.past(message(requestId="r-4", action="CLOSE_LONG"), S.DEFERRED)
    stage.clock.advance(1)
    stage.controls.put({f"{KILL}:fake": "reduce_only"})
    assert (await stage.deliver(message(requestId="r-4", action="CLOSE_LONG"))).kind is K.REFUSED
    stage.clock.advance(1)
    assert (await stage.deliver(message(requestId="r-5", action="CLOSE_LONG"))).kind is K.PLACED


@on_virtual_time
async def test_the_last_look_stops_an_order_whose_intent_is_committed() -> None:
    stage = Stage()
    stage.exchange.meanwhile = lambda: stage.controls.put({KILL: "on"})

    outcome = await stage.deliver(message())

    assert (outcome.kind, outcome.reason, outcome.state) == (
        K.REFUSED,
        "KILL_SWITCH_ACTIVE",
        S.DENIED,
    )
    assert stage.sends == 0
    assert stage.path() == [S.RECEIVED, S.SENDING, S.DEFERRED, S.DENIED]


@on_virtual_time
async def test_a_config_that_is_not_fresh_lets_nothing_out() -> None:
    stage = Stage()
    stage.controls.live._stale_after = 3.0

    def freeze() -> None:
        stage.clock.advance(3.5)

    stage.exchange.meanwhile = freeze
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason, outcome.state) == (K.RETRY, "CONFIG_STALE", S.DEFERRED)
    with pytest.raises(LedgerUnavailable, match="config store"):
        await stage.deliver(message(), attempt=2)
    assert stage.sends == 0

    stage.exchange.meanwhile = lambda: None
    stage.controls.put()
    assert (await stage.deliver(message(), attempt=3)).kind is K.PLACED


@on_virtual_time
async def test_a_redirect_counts_for_the_next_send_and_never_while_the_first_is_open() -> None:
    stage = Stage()
    stage.past(message(), S.UNKNOWN, may_land_until=stage.ledger.now() + timedelta(seconds=60))
    stage.controls.put({"exchanges:routing:BTCUSDT": "other"})

    outcome = await stage.deliver(message(), attempt=2)

    assert (outcome.kind, outcome.state) == (K.RETRY, S.UNKNOWN)
    assert stage.exchange.looks, "asked where it was sent"
    assert stage.sends == 0
    assert stage.row().exchange == "fake"


@pytest.mark.parametrize(
    ("fields", "late"),
    [
        ({"queuedAt": (START - timedelta(seconds=31)).isoformat()}, True),
        ({"queuedAt": (START - timedelta(seconds=30)).isoformat()}, False),
        ({"queuedAt": (START + timedelta(days=1)).isoformat()}, False),
        ({}, False),
        ({"queuedAt": (START - timedelta(days=1)).isoformat(), "action": "CLOSE_LONG"}, False),
    ],
)
@on_virtual_time
async def test_a_signal_that_is_too_old_is_not_sent(fields: dict[str, str], *, late: bool) -> None:
    stage = Stage()
    stage.controls.put({"trade:max_signal_age_seconds": "30"})

    outcome = await stage.deliver(message(**fields))

    assert outcome.kind is (K.REFUSED if late else K.PLACED)
    if late:
        assert outcome.state is S.EXPIRED
        assert "trade:max_signal_age_seconds is 30; the signal is 31.000 s old" in str(
            outcome.error
        )


@on_virtual_time
async def test_without_a_time_of_its_own_a_signal_ages_from_its_arrival() -> None:
    stage = Stage()
    stage.controls.put({"trade:max_signal_age_seconds": "30"})
    wanted = message(queuedAt=(START + timedelta(days=1)).isoformat())  # a producer's clock is off
    stage.past(wanted, S.DEFERRED)
    stage.clock.advance(31)

    assert (await stage.deliver(wanted, attempt=2)).state is S.EXPIRED


@on_virtual_time
async def test_controls_begin_with_what_the_settings_say() -> None:
    stage = Stage(default_leverage=7)
    assert stage.controls.default_leverage == 7
    stage.controls.put({"trade:default_leverage": "3"})
    assert stage.controls.default_leverage == 3
    assert isinstance(stage.controls, FakeControls)
