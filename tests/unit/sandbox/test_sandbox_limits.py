"""Rolling windows and bans against a plain count."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.sandbox.bybit.facade import BybitFacade
from providers.sandbox.limits import Cap, Guard, RollingWindow, Windows
from providers.sandbox.truth import Truth


def test_a_window_rolls() -> None:
    window = RollingWindow(Cap(2, 1000))
    assert [window.take(at).allowed for at in (0, 500, 999)] == [True, True, False]
    refused = window.take(999)
    assert (refused.remaining, refused.reset_ms) == (0, 1000)
    assert window.take(1000).allowed
    assert not window.take(1499).allowed
    assert window.take(1500).allowed


def test_what_is_allowed_counts_down() -> None:
    window = RollingWindow(Cap(3, 1000))
    verdicts = [window.take(10) for _ in range(3)]
    assert [(v.limit, v.remaining, v.reset_ms) for v in verdicts] == [
        (3, 2, 10),
        (3, 1, 10),
        (3, 0, 10),
    ]


def test_a_clock_set_back_starts_afresh() -> None:
    window = RollingWindow(Cap(1, 1000))
    assert window.take(10_000).allowed
    assert window.take(5_000).allowed


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.integers(1, 5),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 3)), max_size=60),
)
def test_never_more_than_the_cap_in_any_window(
    limit: int, width: int, steps: list[tuple[int, int]]
) -> None:
    window = RollingWindow(Cap(limit, width))
    now = 0
    let_through: list[tuple[int, int]] = []
    for pause, weight in steps:
        now += pause
        inside = sum(w for at, w in let_through if at > now - width)
        verdict = window.take(now, weight)
        assert verdict.allowed is (inside + weight <= limit)
        if verdict.allowed:
            let_through.append((now, weight))
            assert verdict.remaining == limit - inside - weight
        assert window.used(now) <= limit


def test_a_guard_bans_longer_each_time() -> None:
    guard = Guard(Cap(1, 10), (100, 1000), grace=1)
    assert guard.take(0).allowed
    assert not guard.take(1).allowed
    assert guard.banned_until(1) is None
    assert not guard.take(2).allowed
    assert guard.banned_until(2) == 102
    assert guard.banned_until(102) is None
    assert guard.take(200).allowed
    guard.take(201)
    guard.take(202)
    assert guard.banned_until(203) == 1202


def test_a_ban_keeps_its_length_when_the_clock_goes_back() -> None:
    guard = Guard(Cap(1, 10), (100,))
    guard.ban(5_100)
    guard.rewind(4_000)
    assert guard.banned_until(1_050) == 1_100


def test_callers_and_names_are_counted_apart() -> None:
    windows, cap = Windows(), Cap(1, 1000)
    assert windows.take("a", "create", cap, 0).allowed
    assert windows.take("b", "create", cap, 0).allowed
    assert windows.take("a", "cancel", cap, 0).allowed
    assert not windows.take("a", "create", cap, 1).allowed
    assert windows.take("a", "create", Cap(5, 1000), 2).allowed


@pytest.mark.parametrize("setting", [{"order/nothing": 3}, {"order/create": 0}])
def test_a_senseless_setting_is_refused(setting: dict[str, int]) -> None:
    facade = BybitFacade(Truth(), seed=0, fill_delay_ms=0, splits=1, limits="off")
    with pytest.raises(ValueError, match=r"limit named|cap must"):
        facade.set_limits(setting)
    assert facade.limits == "off"
