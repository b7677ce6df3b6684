"""Many dead letters: how fast they are listed, and whether a replay is steady and stays small.

    python -m tests.bench.dead_letters --count 10000 --rate 200

Trades are published while the kill switch is on, so a real worker refuses each, and collects it as
a dead letter. Then the switch is lifted, the worker stops, and `trade-worker dlq` runs as its users
run it, a process for each command. The times are those of the whole command, start of Python
included. Exits with 1 if listing all takes a second more than listing one, if a whole
second of the replay is more than 10 % off the asked rate, if its memory grows by more than 10 %
after the first quarter, or if a letter is lost or published twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy import local_services
from storage.dead_letters import LetterFilter, LetterState, count_letters, list_letters
from tests.bench.scale import SETTINGS, stream
from tests.support import databases
from tests.support.waiting import eventually
from tests.support.worker import environment_of
from tests.support.world import Place, World, open_world

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIST_WITHIN = 1.0  # seconds
_OFF = 0.1  # of the asked rate, or of the memory
_WHY = ("--why", "the switch is off again", "--by", "bench")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen. Times in seconds, memory in MB.

    Attributes:
        one: listing one, which is what any command takes at least.
        slowest, fastest: letters published in a whole second of the replay.
        early, most: memory of the replay after a quarter of it, and the most there was.
        queued: messages in the queue afterwards.
    """

    count: int
    collected: float
    one: float
    listed: float
    grouped: float
    counted: float
    rate: float
    replayed: float
    slowest: int
    fastest: int
    early: float
    most: float
    queued: int

    @property
    def faults(self) -> list[str]:
        """What is not as it should be."""
        off = self.rate * _OFF
        checks = {
            "listing takes too long": self.listed - self.one >= _LIST_WITHIN,
            "the replay is not steady": self.slowest < self.rate - off
            or self.fastest > self.rate + off,
            "the replay's memory grows": self.most > self.early * (1 + _OFF),
            "letters were lost or published twice": self.queued != self.count,
        }
        return [fault for fault, is_so in checks.items() if is_so]


class Command:
    """One `trade-worker` command under way, as its users start it."""

    def __init__(self, world: World, *arguments: str) -> None:
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "consumer", *arguments],
            env=environment_of(world.settings),
            cwd=world.folder,
            stdout=subprocess.PIPE,
        )
        self.memory: list[float] = []

    async def end(self, every: float = 0.2) -> tuple[float, str]:
        """Watch its memory until it ends; returns the seconds it took, and what it said."""
        saying = asyncio.create_task(asyncio.to_thread(self._process.communicate))
        while not saying.done():
            self.memory.append(_resident(self._process.pid) or 0.0)
            await asyncio.wait((saying,), timeout=every)
        took = time.monotonic() - self._began
        said, _ = await saying
        assert self._process.returncode == 0, said
        return took, said.decode()


def _resident(pid: int) -> float | None:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(found[0]) / 1024 if found else None


async def bury(world: World, messages: Sequence[dict[str, object]]) -> float:
    """Have a worker refuse every message, and collect it; returns the seconds that took."""
    await Command(world, "kill-switch", "on", *_WHY[:2]).end()
    worker = await world.start_worker()
    began = time.monotonic()
    await asyncio.gather(*(world.publish(one) for one in messages))

    async def all_there() -> bool:
        counts = await count_letters(world.database, LetterFilter())
        return sum(one.count for one in counts) == len(messages)

    await eventually(all_there, within=600, every=0.5, what="dead letters")
    took = time.monotonic() - began
    await worker.stop()
    await Command(world, "kill-switch", "off", *_WHY[:2]).end()
    return took


async def measure(world: World, messages: Sequence[dict[str, object]], rate: int) -> Seen:
    """Bury messages, look at them, replay them."""
    count = len(messages)
    collected = await bury(world, messages)
    one, _ = await Command(world, "dlq", "list", "--limit", "1", "--json").end()
    listed, said = await Command(world, "dlq", "list", "--limit", str(count), "--json").end()
    assert len(json.loads(said)) == count
    grouped, _ = await Command(world, "dlq", "groups").end()
    counted, _ = await Command(world, "dlq", "stats").end()
    replay = Command(world, "dlq", "replay", "--all", "--rate", str(rate), *_WHY, "--json")
    replayed, said = await replay.end()
    assert json.loads(said)["published"] == count, said
    assert not await list_letters(
        world.database, LetterFilter(states=[LetterState.WAITING, LetterState.REPLAYING]), 1
    )
    # A page's letters are settled together, so they are spread over the time since the last page.
    rows = await world.database.fetch(
        "SELECT extract(epoch FROM changed_at)::float8 AS at, count(*) AS n "
        "FROM dead_letters GROUP BY 1 ORDER BY 1"
    )
    seconds = per_second([(row["at"], row["n"]) for row in rows])
    early = replay.memory[len(replay.memory) // 4]
    return Seen(
        count, collected, one, listed, grouped, counted, rate, replayed,
        min(seconds), max(seconds), early, max(replay.memory),
        await world.amqp.depth(world.topology.queue),
    )  # fmt: skip


def per_second(pages: Sequence[tuple[float, int]]) -> list[int]:
    """Say how many letters each whole second has, of pages that ended then with so many. Pure."""
    begin = pages[0][0]
    found = [0.0] * int(pages[-1][0] - begin)
    for (before, _), (at, count) in pairwise(pages):
        for second in range(len(found)):
            low, high = max(before, begin + second), min(at, begin + second + 1)
            if high > low:
                found[second] += count * (high - low) / (at - before)
    return [round(one) for one in found]


async def bench(arguments: argparse.Namespace) -> Seen:
    """Start everything, measure, take everything away."""
    name = f"letters{os.getpid()}"
    with local_services.start(name, environ={}) as services, tempfile.TemporaryDirectory() as kept:
        url = await databases.create_migrated(services.database_url, name)
        place = Place(name=name, amqp_url=services.amqp_url, database_url=url, folder=Path(kept))
        settings: dict[str, Any] = {
            **SETTINGS, "collect_dead_letters": True, "concurrent_batches": 4, "system_logs": False,
        }  # fmt: skip
        async with open_world(place, **settings) as world:
            messages = [{**one, "exchange": "bybit"} for one in stream(arguments.count, None)]
            return await measure(world, messages, arguments.rate)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dead_letters", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="dead letters")
    parser.add_argument("--rate", type=int, default=200, help="letters a second of the replay")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    seen = asyncio.run(bench(arguments))
    if arguments.json:
        print(json.dumps({**asdict(seen), "faults": seen.faults}, indent=2))
    else:
        print(
            f"{seen.count:,} dead letters, refused and collected in {seen.collected:.1f} s\n"
            f"list one {seen.one:.2f} s, list all {seen.listed:.2f} s, "
            f"groups {seen.grouped:.2f} s, stats {seen.counted:.2f} s\n"
            f"replay at {seen.rate:g}/s: {seen.replayed:.1f} s, {seen.slowest} to {seen.fastest} "
            f"in any second, {seen.early:.0f} MB early, {seen.most:.0f} MB at most\n"
            f"{seen.queued:,} messages in the queue"
        )
        for fault in seen.faults:
            print(f"not good: {fault}")
    return bool(seen.faults)


if __name__ == "__main__":
    sys.exit(main())
