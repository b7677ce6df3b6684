"""Orders a second, from a filled quorum queue to outcomes that are durable, contestants in turn.

Each run finds its queue filled. Counted is from the moment when the first tenth of the orders is
durable, so that nobody's start counts, to the moment when all are; by the database's clock. That
all were acknowledged is seen afterwards: nothing comes back to the queue.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Spread, rate, ratios, rounded
from tests.bench.lineup import FASTSTREAM, FLOOR, OURS, TASKIQ, trades

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.arena import Arena
    from tests.bench.lineup import Contestant

CONTESTANTS = (FLOOR, OURS, FASTSTREAM, TASKIQ)
_WITHIN = 300  # seconds for one run, on the worst of machines


async def measure(
    arena: Arena,
    *,
    rounds: int,
    orders: int,
    say: Callable[[str], None],
    contestants: Sequence[Contestant] = CONTESTANTS,
) -> dict[str, Any]:
    """Let all run `rounds` times, each round beginning with another; gives the results."""
    taken: list[dict[str, dict[str, float]]] = []
    for number in range(rounds):
        turn = number % len(contestants)
        found = {}
        for one in (*contestants[turn:], *contestants[:turn]):
            found[one.key] = await once(arena, one, orders)
            say(f"throughput {number + 1}/{rounds}: {one.name} {found[one.key]['rate']:.0f}/s")
        taken.append(found)
    return summary(taken, orders)


async def once(arena: Arena, contestant: Contestant, orders: int) -> dict[str, float]:
    """One contestant, one queue; gives orders a second, and µs of its processor time an order."""
    warm = max(2, orders // 10)
    async with arena.run(contestant) as run:
        await run.publish(trades(orders))
        run.start()
        await run.at_exchange(warm, within=_WITHIN)
        already = (await arena.exchange.count())["orders"]
        before = (time.monotonic(), run.cpu_seconds, arena.exchange.cpu_seconds)
        done_at = await run.settled(orders, within=_WITHIN)
        after = (time.monotonic(), run.cpu_seconds, arena.exchange.cpu_seconds)
        seconds, cpu, exchange_cpu = (new - old for new, old in zip(after, before, strict=True))
        requests = (await arena.exchange.count())["requests"] / orders
        await run.all_acked()
    return {
        "rate": rate(done_at, warm),
        "cpu_us": cpu / max(1, orders - already) * 1e6,
        "requests": requests,
        "exchange_busy_percent": exchange_cpu / seconds * 100,
    }


def summary(taken: Sequence[dict[str, dict[str, float]]], orders: int) -> dict[str, Any]:
    """Medians, spreads and ratios of all rounds. Pure."""
    by_name: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for found in taken:
        for name, figures in found.items():
            for figure, value in figures.items():
                by_name[name][figure].append(value)
    document: dict[str, Any] = {"orders": orders}
    ours = by_name.get(OURS.key)
    if ours is not None:
        for name in by_name.keys() - {OURS.key}:
            spread = ratios(ours["rate"], by_name[name]["rate"])
            document[f"ratio_to_{name}"] = rounded(spread.median)
            document[f"ratio_to_{name}_spread"] = spread.document
    document["orders_per_second"] = _spreads(by_name, "rate")
    document["cpu_us_per_order"] = _spreads(by_name, "cpu_us")
    document["requests_per_order"] = _spreads(by_name, "requests")
    # Of one core: the exchange is no one's bottleneck as long as it is far from 100.
    document["exchange_busy_percent"] = _spreads(by_name, "exchange_busy_percent")
    document["rounds"] = [
        {name: {key: rounded(value) for key, value in one.items()} for name, one in found.items()}
        for found in taken
    ]
    return document


def _spreads(by_name: dict[str, dict[str, list[float]]], figure: str) -> dict[str, Any]:
    return {name: Spread.of(figures[figure]).document for name, figures in by_name.items()}
