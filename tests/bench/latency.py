"""From delivery to the first byte on the exchange's socket, on one machine and by one clock.

The delivery is stamped in the process that gets it, in the broker's callback; the first byte in the
exchange's process. Idle means that one message comes after the other, with a pause between; half
load is half of the orders a second that trade-worker was measured to do, at random moments, and the
floor gets as many. Each round is a fresh process that has warmed up with an order of each symbol.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import orjson

from storage.identity import client_order_id
from tests.bench import load
from tests.bench.contestants.identity import client_id
from tests.bench.exchange import SYMBOLS
from tests.bench.figures import Spread, percentile, ratios, rounded
from tests.bench.lineup import FLOOR, OURS, STAMPED, trades
from tests.bench.stages import ORDER, budget
from tests.support.messages import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.arena import Arena, Run
    from tests.bench.lineup import Contestant

PERCENTS = (50, 95, 99)
_WARM = len(SYMBOLS)
_PAUSE = 0.05  # seconds that an idle worker has for its record and its ack, and to be idle again
_WITHIN = 120
IDLE, HALF = "idle", "half_load"


async def measure(
    arena: Arena,
    *,
    rounds: int,
    messages: int,
    seconds: float,
    orders_per_second: float,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Let trade-worker and the floor take turns; gives what each round saw.

    Args:
        messages: to an idle worker, in each round.
        seconds: of half load, in each round.
        orders_per_second: what trade-worker does at full load.
    """
    draw = random.Random(1)  # noqa: S311 - no secret
    taken: list[dict[str, Any]] = []
    for number in range(rounds):
        found = {}
        for one in (FLOOR, STAMPED) if number % 2 else (STAMPED, FLOOR):
            found[one.key] = await _once(arena, one, messages, seconds, orders_per_second / 2, draw)
            p50, p99 = percentile(found[one.key][IDLE], 50), percentile(found[one.key][HALF], 99)
            say(
                f"latency {number + 1}/{rounds}: {one.name} "
                f"idle p50 {p50:.2f} ms, half load p99 {p99:.1f} ms"
            )
        taken.append(found)
    return taken


async def _once(
    arena: Arena,
    contestant: Contestant,
    messages: int,
    seconds: float,
    rate: float,
    draw: random.Random,
) -> dict[str, Any]:
    async with arena.run(contestant) as run:
        run.start()
        await run.publish(trades(_WARM))
        await run.settled(_WARM, within=_WITHIN)
        await run.quiet(within=_WITHIN)
        idle = trades(messages)
        for number, one in enumerate(idle, _WARM + 1):
            await run.publish_one(one)
            await run.at_exchange(number, within=_WITHIN)
            await asyncio.sleep(_PAUSE)
        loaded = await _load(run, rate, seconds, draw)
        await run.settled(_WARM + messages + len(loaded), within=_WITHIN)
        arrived = (await arena.exchange.seen())["arrived"]
        await run.all_acked()
        seen = orjson.loads(run.stamps.read_bytes())
    return {
        IDLE: _latencies(idle, seen["arrived"], arrived, ours=contestant.ours),
        HALF: _latencies(loaded, seen["arrived"], arrived, ours=contestant.ours),
        "stages": {
            name: _records(of, seen.get("records", ()))
            for name, of in ((IDLE, idle), (HALF, loaded))
        },
    }


async def _load(
    run: Run, rate: float, seconds: float, draw: random.Random
) -> list[dict[str, object]]:
    """Publish at random moments, so many a second."""
    made = trades(max(20, round(rate * seconds)))
    messages = [(str(one["requestId"]), encode(one)) for one in made]
    await load.publish(run.arena.amqp, run.name, messages, rate, draw)
    return made


def _latencies(
    made: Sequence[dict[str, object]],
    delivered: dict[str, int],
    arrived: dict[str, int],
    *,
    ours: bool,
) -> list[float]:
    """Milliseconds from delivery to wire of each."""
    found = []
    for one in made:
        name = str(one["requestId"])
        order = client_order_id(name, "default") if ours else client_id(name)
        found.append((arrived[order] - delivered[name]) / 1e6)
    return found


def _records(
    made: Sequence[dict[str, object]], records: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    names = {one["requestId"] for one in made}
    return [record for record in records if record["message_id"] in names]


def summary(taken: Sequence[dict[str, Any]], rate: float) -> dict[str, Any]:
    """Medians, spreads and ratios of all rounds. Pure."""
    by_round = {
        name: {
            when: {
                percent: [percentile(one[name][when], percent) for one in taken]
                for percent in PERCENTS
            }
            for when in (IDLE, HALF)
        }
        for name in (OURS.key, FLOOR.key)
    }
    ours = by_round[OURS.key]
    document: dict[str, Any] = {"half_load_orders_per_second": rounded(rate)}
    for key, spread in {
        "p50_ms": Spread.of(ours[IDLE][50]),
        "p50_ratio_to_floor": ratios(ours[IDLE][50], by_round[FLOOR.key][IDLE][50]),
        "p99_ms": Spread.of(ours[HALF][99]),
    }.items():
        document[key] = rounded(spread.median)
        document[f"{key}_spread"] = spread.document
    for when in (IDLE, HALF):
        document[when] = {
            name: {
                f"p{percent}_ms": Spread.of(found[when][percent]).document for percent in PERCENTS
            }
            for name, found in by_round.items()
        }
    return document


def stage_summary(taken: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The stage budget of all rounds, in µs. Pure."""
    found: dict[str, Any] = {}
    for when in (IDLE, HALF):
        budgets = [budget(one[OURS.key]["stages"][when]) for one in taken]
        found[when] = {name: Spread.of([one[name] for one in budgets]).document for name in ORDER}
    return found
