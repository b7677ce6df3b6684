"""How much memory a worker takes after many orders, and how long it takes to start."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Spread, rounded
from tests.bench.lineup import OURS, trades
from tests.support import databases

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.arena import Arena, Run

_WITHIN = 600
_AT_MOST = 420  # seconds for the orders after the first; on a slow machine they are fewer then
_LOOKS, _BETWEEN = 10, 0.3  # the memory is the median of so many looks, seconds apart
_BEHIND = """
    SELECT (SELECT count(*) FROM orders WHERE state <> 'FILLED') AS orders,
           (SELECT count(*) FROM outbox) AS outbox
"""


async def memory(
    arena: Arena, *, first: int, orders: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Let one worker place `orders` orders; gives its size after the first ones and after all.

    On a slow machine it is looked at before all are placed; the results say after how many.
    """
    async with arena.run(OURS) as run:
        run.start()
        await run.publish(trades(first))
        await run.at_exchange(first, within=_WITHIN)
        before = await _size(run)
        say(f"memory: {before:.0f} MB after {first:,} orders")
        began = time.monotonic()
        beside = [
            asyncio.create_task(run.publish(trades(orders - first))),
            asyncio.create_task(_tell(arena, orders, say)),
        ]
        try:
            placed = await run.placed(orders, within=_AT_MOST)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        seconds = time.monotonic() - began
        after = await _size(run)
        say(f"memory: {after:.0f} MB after {placed:,} orders")
        async with databases.connected(run.database_url) as connection:
            behind = await connection.fetchrow(_BEHIND)
    assert behind is not None
    return {
        "rss_mb": rounded(after),
        "growth_mb": rounded(after - before),
        "rss_mb_first": rounded(before),
        "orders_first": first,
        "orders": placed,
        "seconds": rounded(seconds),
        "not_followed_to_their_end_yet": behind["orders"],
        "reports_not_written_yet": behind["outbox"],
    }


async def _tell(arena: Arena, orders: int, say: Callable[[str], None]) -> None:
    """Say now and then how far it is."""
    while True:
        await asyncio.sleep(15)
        say(f"memory: {(await arena.exchange.count())['orders']:,} of {orders:,} orders")


async def _size(run: Run) -> float:
    found = []
    for _ in range(_LOOKS):
        await asyncio.sleep(_BETWEEN)
        found.append(run.rss_mb)
    return median(found)


async def startup(arena: Arena, *, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Start a worker so often; gives seconds until it consumes, and until an order is out."""
    consuming, placed = [], []
    for _ in range(rounds):
        async with arena.run(OURS) as run:
            await run.publish(trades(1))
            began, began_ns = time.time(), time.monotonic_ns()
            run.start()
            await run.settled(1, within=60)
            (line, *_) = run.lines("consuming")
            consuming.append(datetime.fromisoformat(line["timestamp"]).timestamp() - began)
            (arrived,) = (await arena.exchange.seen())["arrived"].values()
            placed.append((arrived - began_ns) / 1e9)
    say(f"startup: consuming after {median(consuming):.2f} s")
    spread = Spread.of(consuming)
    return {
        "seconds": rounded(spread.median),
        "seconds_spread": spread.document,
        "first_order_seconds": Spread.of(placed).document,
    }
