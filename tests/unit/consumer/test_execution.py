"""One message's way, told as tables: what is there, what happens, what comes of it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from consumer.outcome import OutcomeKind
from providers.errors import (
    BrokenProvider,
    ExchangeError,
    ExchangeRefusal,
    ExchangeUnavailable,
    NothingToClose,
    ProviderError,
    RequestRefused,
)
from providers.orders import OrderStatus, OrderType, PreparedOrder, Side
from providers.outcomes import OutcomeClass
from storage.errors import LedgerUnavailable
from storage.identity import client_order_id
from storage.states import OrderState
from tests.fakes.exchange import (
    FakeExchange,
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


def taken(
    stage: Stage,
    status: OrderStatus = OrderStatus.NEW,
    *,
    reduce_only: bool = False,
    **changes: Any,  # noqa: ANN401 - any field of the order
) -> None:
    """Have the exchange know the order from an earlier send."""
    order = PreparedOrder(
        client_order_id=OURS,
        symbol="BTCUSDT",
        side=Side.SELL if reduce_only else Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal("0.005"),
        reduce_only=reduce_only,
    )
    stage.exchange.execute(replace(order, **changes), status=status)


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
    assert outcome.error == "fake 110007: balance is not enough"
    row = stage.row()
    assert (row.code, row.message) == ("110007", "balance is not enough")
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


# An order whose outcome is not known, or whose worker ended in the middle.


@pytest.mark.parametrize("before", [S.SENDING, S.UNKNOWN])
@pytest.mark.parametrize(
    ("status", "kind", "after"),
    [
        (OrderStatus.NEW, K.PLACED, S.ACCEPTED),
        (OrderStatus.PARTIALLY_FILLED, K.PLACED, S.PARTIALLY_FILLED),
        (OrderStatus.FILLED, K.PLACED, S.FILLED),
        (OrderStatus.CANCELED, K.PLACED, S.CANCELED),
        (OrderStatus.REJECTED, K.REFUSED, S.REJECTED),
    ],
)
@on_virtual_time
async def test_an_order_that_is_found_is_adopted(
    before: OrderState, status: OrderStatus, kind: OutcomeKind, after: OrderState
) -> None:
    stage = Stage()
    stage.past(message(), before)
    taken(stage, status)
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
    taken(stage, **changes)
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
    taken(stage, OrderStatus.FILLED, reduce_only=True, quantity=Decimal("0.001"))
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
    asyncio.get_running_loop().call_later(0.1, taken, stage)
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
    taken(stage, OrderStatus.FILLED)
    outcome = await stage.deliver(wanted, attempt=2)
    assert (outcome.kind, outcome.state) == (K.PLACED, S.FILLED)


# A duplicate id.


@on_virtual_time
async def test_a_duplicate_id_is_proof_of_an_earlier_send() -> None:
    stage = Stage()
    stage.past(message(), S.DEFERRED)
    taken(stage, OrderStatus.FILLED)
    stage.exchange.plan.append(answer(OutcomeClass.DUPLICATE_ID, "110072"))
    outcome = await stage.deliver(message(), attempt=2)
    assert (outcome.kind, outcome.state) == (K.PLACED, S.FILLED)
    assert stage.path() == [S.DEFERRED, S.SENDING, S.UNKNOWN, S.FILLED]
    assert stage.sends == 1


@on_virtual_time
async def test_a_duplicate_id_of_another_order_is_quarantined() -> None:
    stage = Stage()
    taken(stage, quantity=Decimal(7))
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
    assert stage.ledger.calls == ["claim", "claim"]
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
    """Commit, connect, send, a clock error, once more, and the exchange's own window."""
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
        limit.exchange_connect_timeout + limit.exchange_request_timeout
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
    taken(stage, OrderStatus.FILLED)
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
