"""The default ladder's first rung, waited for in earnest while the other tests ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import RealDelay
    from tests.support.background import Background

pytestmark = pytest.mark.late


async def test_a_rate_limited_order_comes_back_after_30_seconds_and_is_filled(
    real_delay: Background[RealDelay],
) -> None:
    flow = await real_delay.result()

    passed_on = [(exchange.rpartition(".")[2], key, at) for exchange, key, at in flow.seen]
    assert [exchange for exchange, _, _ in passed_on] == ["trade", "retry", "trade"], passed_on
    (published, nacked, back) = flow.seen
    queue = published[1]
    assert (nacked[1], back[1]) == (queue, "retry.1")
    assert 29.9 <= back[2] - nacked[2] < 33  # seen by a third party, a little after each
    (first_at, first), (second_at, second) = flow.creates
    assert (first, second) == ("200/10006", "200/0")
    assert 30_000 <= second_at - first_at < 33_000
    assert (flow.row.attempts, flow.row.sends, flow.placed) == (2, 2, 1)
