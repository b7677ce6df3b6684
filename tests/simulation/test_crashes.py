"""A worker ends at every point at which it waits; what it leaves behind comes to one good end."""

from __future__ import annotations

import pytest

from tests.simulation.scenarios import FATES, every_crash


@pytest.mark.parametrize("fate", FATES)
def test_a_crash_at_any_await_point_loses_and_doubles_nothing(fate: str) -> None:
    results = list(every_crash([fate], ids=[True]))

    assert {str(crash): result.broken for crash, result in results if result.broken} == {}
    assert len(results) > 20, "the way of one message has more await points than that"
