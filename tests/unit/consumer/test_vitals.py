"""When a worker counts as started, ready and alive."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.watching.vitals import Patience, Vitals, faults_of_life, faults_of_readiness

PATIENCE = Patience(silence=60.0, lag=5.0)


def consuming(**values: object) -> Vitals:
    vitals = Vitals(most_in_flight=40, started=True, consuming=True, consuming_since=100.0)
    for name, value in values.items():
        setattr(vitals, name, value)
    return vitals


def test_a_backlog_and_no_delivery_is_a_fault_that_says_so() -> None:
    vitals = consuming()
    vitals.saw_backlog(7, 110.0)

    assert faults_of_life(vitals, 170.0, PATIENCE) == ()
    assert faults_of_life(vitals, 171.0, PATIENCE) == (
        "7 messages wait in the queue and none was delivered for 61 s",
    )


def test_it_does_not_matter_whether_a_consumer_is_believed_to_be_there() -> None:
    vitals = consuming(consuming=False)
    vitals.saw_backlog(7, 110.0)

    assert faults_of_life(vitals, 171.0, PATIENCE)


@pytest.mark.parametrize(
    ("in_flight", "most", "seconds"),
    [(0, 40, 0), (10, 40, 0), (11, 40, 10), (40, 40, 10), (5, 0, 0)],
)
def test_what_follows_an_order_is_left_while_many_messages_are_under_way(
    in_flight: int, most: int, seconds: int
) -> None:
    vitals = Vitals(most, in_flight=in_flight)
    assert vitals.left_for == timedelta(seconds=seconds)


@pytest.mark.parametrize(("busy", "seconds"), [(0.0, 0), (0.4, 0), (0.41, 10), (1.0, 10)])
def test_what_follows_an_order_is_left_while_the_event_loop_is_busy(
    busy: float, seconds: int
) -> None:
    assert Vitals(40, busy=busy).left_for == timedelta(seconds=seconds)


def test_a_delivery_starts_the_clock_anew() -> None:
    vitals = consuming()
    vitals.saw_backlog(7, 110.0)
    vitals.took(150.0)
    vitals.in_flight -= 1

    assert faults_of_life(vitals, 209.0, PATIENCE) == ()
    assert faults_of_life(vitals, 211.0, PATIENCE)


def test_an_empty_queue_is_no_fault_however_long() -> None:
    vitals = consuming()
    vitals.saw_backlog(3, 110.0)
    vitals.saw_backlog(0, 120.0)

    assert faults_of_life(vitals, 10_000.0, PATIENCE) == ()


def test_silence_that_is_wanted_is_no_fault() -> None:
    for wanted in (
        consuming(paused="the ledger can't be reached"),
        consuming(draining=True),
        consuming(in_flight=40),
        consuming(started=False),
    ):
        wanted.saw_backlog(7, 110.0)
        assert faults_of_life(wanted, 1_000.0, PATIENCE) == ()


def test_a_loop_that_runs_late_is_a_fault() -> None:
    assert faults_of_life(consuming(loop_lag=5.5), 0.0, PATIENCE) == (
        "the event loop runs 5.5 s late",
    )


def test_readiness_gives_every_reason() -> None:
    assert faults_of_readiness(consuming()) == ()
    assert faults_of_readiness(Vitals(most_in_flight=1)) == (
        "still starting",
        "not connected to RabbitMQ",
    )
    assert faults_of_readiness(consuming(consuming=False)) == ("not connected to RabbitMQ",)
    assert faults_of_readiness(consuming(draining=True, paused="the ledger is away")) == (
        "draining",
        "the ledger is away",
    )


@given(
    looks=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30),
    silence=st.integers(1, 20),
)
def test_a_worker_is_never_called_dead_within_its_patience(
    looks: list[tuple[int, bool]], silence: int
) -> None:
    """Whatever is seen, a fault needs `silence` seconds of backlog without a delivery."""
    vitals = consuming(consuming_since=0.0)
    quiet_since = 0
    for now, (backlog, delivered) in enumerate(looks):
        if delivered:
            vitals.took(float(now))
            vitals.in_flight -= 1
        vitals.saw_backlog(backlog, float(now))
        if delivered or backlog == 0:
            quiet_since = now
        dead = bool(faults_of_life(vitals, float(now), Patience(float(silence), 5.0)))
        assert not dead or now - quiet_since > silence
