"""The state table: its shape, its twin in the database, and walks through it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from providers.orders import OrderStatus
from storage import migrate
from storage.postgres import statement
from storage.states import FINAL, FOLLOWS, STATE_OF_STATUS, OrderState, may_follow

if TYPE_CHECKING:
    from collections.abc import Iterator

STATES = st.sampled_from(OrderState)
NEVER_SENT = frozenset(
    {OrderState.RECEIVED, OrderState.DENIED, OrderState.EXPIRED, OrderState.DEFERRED}
)


def quoted(text: str) -> Iterator[str]:
    """The words between quotes that begin with a capital."""
    return iter(re.findall(r"'([A-Z][A-Z_>]+)'", text))


def last(pattern: str) -> str:
    """The last part of the migrations that matches; later ones replace earlier ones."""
    found = [
        match[1]
        for migration in migrate.known()
        for match in re.finditer(pattern, migration.sql, re.DOTALL)
    ]
    assert found, f"no migration has {pattern}"
    return found[-1]


def test_every_state_is_reached_from_received() -> None:
    reached = {OrderState.RECEIVED}
    while new := {after for state in reached for after in FOLLOWS[state]} - reached:
        reached |= new
    assert reached == set(OrderState)


def test_the_table_knows_every_state() -> None:
    assert set(FOLLOWS) == set(OrderState)


def test_a_final_state_is_left_by_nobody_but_a_person_who_cleared_a_quarantine() -> None:
    assert {state for state in FINAL if FOLLOWS[state]} == {OrderState.QUARANTINED}
    assert {state for state in OrderState if not FOLLOWS[state]} | {OrderState.QUARANTINED} == FINAL


def test_every_other_state_can_come_to_an_end() -> None:
    for state in set(OrderState) - FINAL:
        reached = {state}
        while new := {after for one in reached for after in FOLLOWS[one]} - reached:
            reached |= new
        assert reached & FINAL


def test_only_an_intent_leads_to_the_exchange() -> None:
    """Whatever an exchange may have seen was SENDING before."""
    into = {state: {one for one in OrderState if state in FOLLOWS[one]} for state in OrderState}
    assert into[OrderState.SENDING] == {OrderState.RECEIVED, OrderState.DEFERRED}
    assert into[OrderState.UNKNOWN] == {OrderState.SENDING}
    for state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED, OrderState.FILLED):
        assert not into[state] & NEVER_SENT
    assert not into[OrderState.REJECTED] & NEVER_SENT


def test_an_order_of_unknown_outcome_is_never_sent_without_being_deferred_first() -> None:
    assert OrderState.SENDING not in FOLLOWS[OrderState.UNKNOWN]


@given(STATES, STATES)
def test_staying_is_always_allowed_and_the_table_says_the_rest(
    before: OrderState, after: OrderState
) -> None:
    assert may_follow(before, after) == (before is after or after in FOLLOWS[before])
    assert may_follow(before, before)


def test_every_status_of_an_exchange_may_follow_an_unknown_outcome() -> None:
    assert set(STATE_OF_STATUS) == set(OrderStatus)
    for status, state in STATE_OF_STATUS.items():
        assert may_follow(OrderState.UNKNOWN, state)
        assert status.final == state.final


@pytest.mark.parametrize("state", OrderState)
def test_a_state_is_one_of_final_unresolved_at_the_exchange_or_not_sent(state: OrderState) -> None:
    waiting = state in (OrderState.RECEIVED, OrderState.DEFERRED)
    assert [state.final, state.unresolved, state.at_exchange, waiting].count(True) == 1


# The same in SQL.


def test_the_database_enforces_the_same_table() -> None:
    listed = set(quoted(last(r"CREATE TRIGGER orders_state_guard(.*?)EXECUTE FUNCTION")))
    assert listed == {
        f"{before}>{after}" for before, followers in FOLLOWS.items() for after in followers
    }


def test_the_database_knows_the_same_states() -> None:
    listed = last(r"state\s+text\s+NOT NULL DEFAULT 'RECEIVED' CHECK \(state IN \((.*?)\)\)")
    assert set(quoted(listed)) == set(OrderState)


def states_in(name: str, pattern: str) -> set[str]:
    found = re.search(pattern, statement(name), re.DOTALL)
    assert found is not None
    return set(quoted(found[1]))


def test_the_statements_mean_the_same_by_open_and_final() -> None:
    claimable = states_in("claim", r"excluded\.fingerprint\s+AND o\.state IN \((.*?)\)")
    assert claimable == {state for state in OrderState if not state.final and not state.at_exchange}
    finished = states_in("record", r"i\.after IN\s+\((.*?)\) THEN now\(\)")
    assert finished == FINAL
    orphans = states_in("orphans", r"state IN \((.*?)\)")
    assert orphans == {state for state in OrderState if state.unresolved or state.at_exchange}


# A life.


class Life(RuleBasedStateMachine):
    """Tries any step at any time; only allowed ones are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.state = OrderState.RECEIVED
        self.path = [OrderState.RECEIVED]
        self.intents = 0

    @rule(after=STATES)
    def try_a_step(self, after: OrderState) -> None:
        if may_follow(self.state, after) and after is not self.state:
            self.intents += after is OrderState.SENDING
            self.path.append(after)
            self.state = after

    @precondition(lambda self: bool(FOLLOWS[self.state]))
    @rule(data=st.data())
    def take_an_allowed_step(self, data: st.DataObject) -> None:
        self.try_a_step(data.draw(st.sampled_from(sorted(FOLLOWS[self.state]))))

    @invariant()
    def whatever_may_be_at_the_exchange_was_an_intent(self) -> None:
        if self.state.at_exchange or self.state.unresolved or self.state is OrderState.FILLED:
            assert self.intents > 0

    @invariant()
    def an_unknown_outcome_is_asked_about_before_the_next_intent(self) -> None:
        for before, after in zip(self.path, self.path[1:], strict=False):
            assert not (before is OrderState.UNKNOWN and after is OrderState.SENDING)

    @invariant()
    def what_is_done_stays_done(self) -> None:
        done = [state for state in self.path[:-1] if state in FINAL - {OrderState.QUARANTINED}]
        assert not done


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=50, stateful_step_count=20)
