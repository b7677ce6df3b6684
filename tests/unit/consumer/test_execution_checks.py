"""What expired, took too long, is only a test, or can't be prepared: nothing of it is sent."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from consumer.outcome import OutcomeKind
from providers.errors import (
    BrokenProvider,
    ExchangeError,
    ExchangeRefusal,
    ExchangeUnavailable,
    NothingToClose,
    RequestRefused,
)
from providers.outcomes import OutcomeClass
from storage.identity import client_order_id
from storage.states import OrderState
from tests.fakes.exchange import (
    FakeExchange,
    drop,
)
from tests.fakes.messages import message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import START, on_virtual_time

if TYPE_CHECKING:
    from providers.orders import PreparedOrder

S = OrderState
K = OutcomeKind
OURS = client_order_id("r-1", "default")
AWAY = ExchangeUnavailable("fake", "no answer", outcome_class=OutcomeClass.UNKNOWN)


# What expired, or took too long, is not sent.


@pytest.mark.parametrize("late", [timedelta(0), timedelta(microseconds=1), timedelta(days=1)])
@pytest.mark.parametrize("state", [None, S.DEFERRED])
@on_virtual_time
async def test_an_expired_message_is_never_sent(late: timedelta, state: OrderState | None) -> None:
    stage = Stage()
    wanted = message(expiresAt=(START - late).isoformat())
    if state is not None:
        stage.past(wanted, state)
    outcome = await stage.deliver(wanted)
    assert (outcome.kind, outcome.reason, outcome.state) == (K.REFUSED, "EXPIRED", S.EXPIRED)
    assert stage.preparation.requests == [], "nothing is asked for it either"
    assert stage.sends == 0


@on_virtual_time
async def test_a_message_that_expires_between_intent_and_send_is_not_sent() -> None:
    stage = Stage()
    stage.ledger.slow_next("begin_sending", 2.0)
    outcome = await stage.deliver(message(expiresAt=(START + timedelta(seconds=2)).isoformat()))
    assert (outcome.kind, outcome.reason) == (K.REFUSED, "EXPIRED")
    assert stage.path() == [S.RECEIVED, S.SENDING, S.DEFERRED, S.EXPIRED]
    assert stage.sends == 0


@on_virtual_time
async def test_a_message_that_expires_during_its_preparation_is_not_sent() -> None:
    stage = Stage()
    stage.preparation.meanwhile = lambda: stage.clock.advance(3)
    outcome = await stage.deliver(message(expiresAt=(START + timedelta(seconds=2)).isoformat()))
    assert (outcome.kind, outcome.state) == (K.REFUSED, S.EXPIRED)
    assert stage.sends == 0


@pytest.mark.parametrize(("seconds", "sent"), [(4.999, True), (5.001, False), (29.0, False)])
@on_virtual_time
async def test_an_intent_that_took_too_long_is_not_sent(
    seconds: float,
    sent: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    stage = Stage()
    stage.ledger.slow_next("begin_sending", seconds)
    outcome = await stage.deliver(message())
    assert stage.sends == int(sent)
    if not sent:
        assert (outcome.kind, outcome.reason) == (K.RETRY, "TOO_SLOW")
        assert stage.path() == [S.RECEIVED, S.SENDING, S.DEFERRED]
        again = await stage.deliver(message(), attempt=2)
        assert again.kind is K.PLACED
    assert len(stage.exchange.executions[OURS]) == 1


@on_virtual_time
async def test_the_intent_covers_the_last_moment_in_which_it_may_be_accepted() -> None:
    """Commit, a slot, connect, send, a clock error, once more, and the exchange's own window."""
    stage = Stage()
    stage.exchange.plan.append(drop())
    landed: list[timedelta] = []

    def watch(_: PreparedOrder) -> None:
        until = stage.row().may_land_until
        assert until is not None
        landed.append(until - stage.ledger.now())

    stage.exchange.before_place = watch
    await stage.deliver(message())
    limit = stage.settings
    longest = limit.send_within + 2 * (
        limit.slot_wait + limit.exchange_connect_timeout + limit.exchange_request_timeout
    )
    assert landed == [timedelta(seconds=longest) + FakeExchange.acceptance_window]


@on_virtual_time
async def test_a_test_message_is_prepared_but_never_sent() -> None:
    stage = Stage()
    outcome = await stage.deliver(message(test=True))
    assert (outcome.kind, outcome.reason) == (K.NOTHING_TO_DO, "TEST")
    assert stage.path() == [S.RECEIVED, S.CANCELED]
    assert len(stage.preparation.requests) == 1
    assert stage.sends == 0
    again = await stage.deliver(message(test=True))
    assert again.kind is K.ALREADY_DONE
    assert stage.sends == 0


@on_virtual_time
async def test_a_test_message_that_could_not_be_traded_is_refused_like_any_other() -> None:
    stage = Stage()
    stage.preparation.fail_next(RequestRefused("BELOW_MIN_QUANTITY", "at least 0.001"))
    outcome = await stage.deliver(message(test=True))
    assert (outcome.kind, outcome.reason) == (K.REFUSED, "BELOW_MIN_QUANTITY")


# What can't be prepared.


@pytest.mark.parametrize("attempt", [1, 2, 6])
@pytest.mark.parametrize(
    ("error", "kind", "reason", "state"),
    [
        (
            RequestRefused("LEVERAGE_TOO_HIGH", "at most 50"),
            K.REFUSED,
            "LEVERAGE_TOO_HIGH",
            S.DENIED,
        ),
        (
            ExchangeUnavailable("fake", "slow down", outcome_class=OutcomeClass.RATE_IP),
            K.RETRY,
            "RATE_LIMITED",
            S.DEFERRED,
        ),
        (
            ExchangeUnavailable("fake", "gone", outcome_class=OutcomeClass.UNKNOWN),
            K.RETRY,
            "EXCHANGE_UNREACHABLE",
            S.DEFERRED,
        ),
        (
            ExchangeRefusal("fake", "bad key", outcome_class=OutcomeClass.AUTH, code="10003"),
            K.REFUSED,
            "EXCHANGE_REFUSED",
            S.DENIED,
        ),
        (
            ExchangeError("fake", "what?", outcome_class=OutcomeClass.UNKNOWN),
            K.REFUSED,
            "EXCHANGE_REFUSED",
            S.DENIED,
        ),
        (BrokenProvider("fake", "no"), K.RETRY, "PREPARATION_FAILED", S.DEFERRED),
    ],
)
@on_virtual_time
async def test_what_can_not_be_prepared_is_not_sent(
    attempt: int, error: Exception, kind: OutcomeKind, reason: str, state: OrderState
) -> None:
    stage = Stage()
    stage.preparation.fail_next(error)
    outcome = await stage.deliver(message(), attempt=attempt)
    assert (outcome.kind, outcome.reason, outcome.state) == (kind, reason, state)
    assert outcome.error == str(error)
    assert stage.path() == [S.RECEIVED, state]
    assert "begin_sending" not in stage.ledger.calls
    assert stage.sends == 0


@on_virtual_time
async def test_nothing_to_close_is_believed_the_second_time() -> None:
    stage = Stage()
    wanted = message(action="CLOSE")
    stage.preparation.fail_next(NothingToClose("CLOSE of BTCUSDT: no position is open"))
    first = await stage.deliver(wanted, attempt=1)
    assert (first.kind, first.reason, first.state) == (K.RETRY, "NOTHING_TO_CLOSE", S.DEFERRED)
    stage.preparation.fail_next(NothingToClose("CLOSE of BTCUSDT: no position is open"))
    second = await stage.deliver(wanted, attempt=2)
    assert (second.kind, second.reason) == (K.NOTHING_TO_DO, "NOTHING_TO_CLOSE")
    assert second.state is S.CANCELED
    assert stage.sends == 0


@pytest.mark.parametrize(
    ("exchange", "reason", "says"),
    [
        ("nowhere", "UNKNOWN_EXCHANGE", "known here: fake, locked"),
        ("locked", "NOT_CONFIGURED", "not configured for locked"),
    ],
)
@on_virtual_time
async def test_an_exchange_that_is_not_there_is_denied(
    exchange: str, reason: str, says: str
) -> None:
    stage = Stage()
    outcome = await stage.deliver(message(exchange=exchange))
    assert (outcome.kind, outcome.reason, outcome.state) == (K.REFUSED, reason, S.DENIED)
    assert outcome.error is not None
    assert says in outcome.error


@on_virtual_time
async def test_a_defect_in_the_preparation_is_not_swallowed_and_nothing_is_sent() -> None:
    stage = Stage()
    stage.preparation.fail_next(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await stage.deliver(message())
    assert stage.sends == 0
    assert (await stage.deliver(message())).kind is K.PLACED


# The request slot is waited for before the intent.


@on_virtual_time
async def test_an_order_without_a_request_slot_goes_back_and_nothing_was_sent() -> None:
    stage = Stage()
    far = ExchangeUnavailable(
        "fake", "the next slot is far", outcome_class=OutcomeClass.RATE_ACCOUNT, retry_after=9.0
    )
    stage.exchange.slots.append(far)
    outcome = await stage.deliver(message())
    assert (outcome.kind, outcome.reason, outcome.state) == (K.RETRY, "RATE_LIMITED", S.DEFERRED)
    assert stage.path() == [S.RECEIVED, S.DEFERRED], "no intent was committed"
    assert stage.sends == 0

    outcome = await stage.deliver(message(), attempt=2)
    assert outcome.kind is K.PLACED
    assert len(stage.exchange.reserved) == 2


@on_virtual_time
async def test_a_message_that_expires_while_it_waits_for_its_slot_is_not_sent() -> None:
    stage = Stage()
    stage.exchange.while_reserving = lambda: stage.clock.advance(3)
    outcome = await stage.deliver(message(expiresAt=(START + timedelta(seconds=2)).isoformat()))
    assert (outcome.kind, outcome.state) == (K.REFUSED, S.EXPIRED)
    assert stage.sends == 0


@on_virtual_time
async def test_a_test_message_takes_no_request_slot() -> None:
    stage = Stage()
    await stage.deliver(message(test=True))
    assert stage.exchange.reserved == []


@pytest.mark.parametrize(("waited", "sent"), [(4.9, True), (5.1, False)])
@on_virtual_time
async def test_a_mark_price_that_grows_too_old_at_the_limiter_is_read_again(
    waited: float,
    sent: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """0.005 coins are worth 100 while the order is prepared, and more when its slot has come."""
    stage = Stage()
    stage.controls.put({"trade:max_order_notional": "100"})

    def wait() -> None:
        stage.clock.advance(waited)
        stage.exchange.mark = Decimal(20001)

    stage.exchange.while_reserving = wait
    outcome = await stage.deliver(message())
    assert stage.sends == sent
    if not sent:
        assert outcome.reason == "MAX_ORDER_NOTIONAL"
        assert "makes it 100.005" in str(outcome.error)
