"""The estimate of an exchange's clock: never ahead of it, and deaf to local clock steps."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.clock import ServerClock, SystemClock
from tests.unit.providers.helpers import START, FakeClock

SERVER_MS = 1_700_000_000_000.0

delays = st.floats(0, 0.4)


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(delays, delays, st.floats(0, 30)), min_size=1, max_size=12),
    st.floats(0, 60),
)
def test_it_is_never_ahead_and_not_far_behind(
    offset: float, trips: list[tuple[float, float, float]], later: float
) -> None:
    clock = FakeClock()
    server = ServerClock(clock)

    def true_ms() -> float:
        return SERVER_MS + (offset + clock.seconds) * 1000

    for out, back, pause in trips:
        sent = clock.monotonic()
        clock.advance(out)
        read = true_ms()
        clock.advance(back)
        server.add(sent, clock.monotonic(), read)
        clock.advance(pause)
    clock.advance(later)
    behind = true_ms() - server.timestamp_ms()
    best = min(out + back for out, back, _ in trips[-8:])
    drift = sum(pause for _, _, pause in trips[-8:]) + later + sum(o + b for o, b, _ in trips[-8:])
    assert -1 <= behind <= best * 1000 + drift * 0.4 + 2


def test_the_tightest_reading_wins() -> None:
    clock = FakeClock()
    server = ServerClock(clock)
    clock.advance(0.01)
    server.add(clock.seconds - 0.01, clock.seconds, SERVER_MS)
    exact = server.timestamp_ms()
    clock.advance(0.4)
    server.add(clock.seconds - 0.4, clock.seconds, SERVER_MS + 99_999)
    assert server.timestamp_ms() == pytest.approx(exact + 400, abs=2)


def test_an_old_reading_gives_way_to_a_wider_fresh_one() -> None:
    clock = FakeClock()
    server = ServerClock(clock)
    server.add(clock.seconds, clock.seconds, SERVER_MS)
    clock.advance(601)
    server.add(clock.seconds - 0.2, clock.seconds, SERVER_MS + 999_000)
    assert server.timestamp_ms() == pytest.approx(SERVER_MS + 999_000, abs=1)


def test_a_step_of_the_local_clock_moves_nothing() -> None:
    clock = FakeClock()
    server = ServerClock(clock)
    server.add(clock.seconds, clock.seconds, SERVER_MS)
    before = server.now()
    clock.wall += timedelta(hours=5)
    assert server.now() == before


def test_before_a_reading_and_after_forgetting_it_is_the_local_clock() -> None:
    clock = FakeClock()
    server = ServerClock(clock)
    assert server.now() == START
    server.add(clock.seconds, clock.seconds, 0.0)
    assert server.now() != START
    server.forget()
    assert server.now() == START


def test_a_very_slow_reading_does_not_set_a_signature_back_out_of_its_window() -> None:
    clock = FakeClock()
    server = ServerClock(clock)
    clock.advance(20)
    server.add(clock.seconds - 20, clock.seconds, SERVER_MS)
    assert server.timestamp_ms() == int(SERVER_MS + 10_000 - 500)


def test_the_system_clock_is_aware_and_runs_on() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()
