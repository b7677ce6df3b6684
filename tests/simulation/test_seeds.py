"""Runs in which everything goes wrong, by seed; and proof that a broken promise would be seen."""

from __future__ import annotations

import pytest

from consumer.execution import resolver
from consumer.execution.resolution import Verdict
from tests.simulation.__main__ import main
from tests.simulation.scenarios import FATES, again, by_seed, crash_at

SEEDS = 150  # `python -m tests.simulation --seeds 5000` tries more


def test_nothing_is_lost_or_doubled_whatever_a_seed_does() -> None:
    broken = {again(seed): by_seed(seed).broken for seed in range(SEEDS)}

    assert {command: faults for command, faults in broken.items() if faults} == {}


@pytest.mark.parametrize("seed", [1, 4, 9])
def test_a_seed_tells_every_step(seed: int) -> None:
    first, second = by_seed(seed, trace=True), by_seed(seed, trace=True)

    assert len(first.trace) > 10
    assert first.trace == second.trace


def test_a_resolver_that_sends_again_after_one_look_would_be_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hasty(found: object, *_: object, **__: object) -> Verdict:
        return Verdict.ABSENT if found is None else Verdict.ADOPT

    monkeypatch.setattr(resolver, "judge", hasty)

    broken = crash_at(None, FATES["mute and slow to show it"]).broken
    assert any(fault.startswith("one order at the exchange") for fault in broken)


def test_the_command_shows_a_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "-v"]) == 0
    trace = capsys.readouterr().out
    assert "all is well again" in trace

    assert main(["--fate", "mute", "--step", "9", "-v"]) == 0
    assert "ends at step 9" in capsys.readouterr().out
