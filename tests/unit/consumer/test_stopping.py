"""The phases of stopping: every way out of the table, and that there is always one."""

from __future__ import annotations

import itertools

import pytest

from consumer.stopping import AFTER, Phase, Sign, Stopping

ENDS = {Phase.STOPPED, Phase.ENDED}


class Ended(Exception):  # noqa: N818 - stands for the end of the process
    """The process would have ended here."""


@pytest.fixture(autouse=True)
def codes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes that the process would have ended with at once."""
    seen: list[int] = []

    def end(code: int) -> None:
        seen.append(code)
        raise Ended

    monkeypatch.setattr("os._exit", end)
    return seen


def follow(*signs: Sign) -> Stopping:
    stopping = Stopping()
    for sign in signs:
        stopping.see(sign)
    return stopping


async def test_in_order() -> None:
    assert follow().phase is Phase.WORKING
    assert follow(Sign.SIGNAL).phase is Phase.DRAINING
    assert follow(Sign.SIGNAL, Sign.IDLE).phase is Phase.CLOSING
    assert follow(Sign.SIGNAL, Sign.IDLE, Sign.CLOSED).phase is Phase.STOPPED


async def test_cut_off() -> None:
    assert follow(Sign.SIGNAL, Sign.TIMED_OUT).phase is Phase.CLOSING


@pytest.mark.parametrize("before", [(), (Sign.IDLE,), (Sign.TIMED_OUT,)])
async def test_a_second_signal_ends_it_at_once(before: tuple[Sign, ...], codes: list[int]) -> None:
    stopping = follow(Sign.SIGNAL, *before)

    with pytest.raises(Ended):
        stopping.see(Sign.SIGNAL)

    assert codes == [130]


async def test_nothing_but_a_signal_stops_a_worker_and_nothing_starts_it_again() -> None:
    for signs in itertools.product(Sign, repeat=4):
        stopping = Stopping()
        for sign in signs:
            try:
                stopping.see(sign)
            except Ended:
                break
        assert stopping.wanted.is_set() == (stopping.phase is not Phase.WORKING)
        assert (Sign.SIGNAL in signs) == stopping.wanted.is_set()


def test_every_phase_leads_to_an_end() -> None:
    ahead = {phase: {after for (before, _), after in AFTER.items() if before is phase}
             for phase in Phase}  # fmt: skip
    reached = set(ENDS)
    for _ in Phase:
        reached |= {phase for phase, after in ahead.items() if after & reached}

    assert reached == set(Phase)
    assert all(not ahead[end] for end in ENDS)
