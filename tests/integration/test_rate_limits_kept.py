"""Four workers on the exchange's real limit: none of their requests is refused for it.

The short form of `tests.bench.rate_limits`, with a margin that a busy machine needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.rate_limits import ALLOWED, SETTINGS, measure

if TYPE_CHECKING:
    from tests.conftest import NewWorld

ORDERS = 50
MARGIN_MS = 700


async def test_four_workers_exceed_no_limit_and_use_it_well(new_world: NewWorld) -> None:
    world = await new_world(
        limits="published", **{**SETTINGS, "rate_limit_margin_ms": MARGIN_MS, "claim_lease": 10.0}
    )

    (seen,) = await measure(world, ORDERS, 4, ["bybit"], within=60)

    assert seen.refused == 0
    assert seen.placed >= ORDERS * 0.8, "closes that found nothing to close are no orders"
    assert seen.closes > 0
    kept = ALLOWED["bybit"].limit / (1000 + MARGIN_MS)  # orders a ms
    most = kept * (seen.seconds * 1000 + 1000 + MARGIN_MS)
    assert seen.placed / most > 0.4, f"the limit was hardly used: {seen}"
    assert {worker.exit_code for worker in world.workers} == {None}
