"""`make chaos`: real workers, broker, database and a sandbox of three exchanges, all of it failing.

Orders flow while workers are killed and frozen, wires cut, answers lost, servers restarted. Then
everything is well again, and once nothing moves any more each promise is checked against the
exchange's own book. Progress goes to standard error; the last line of standard output is one JSON
object with every count. Exit code 1: a promise was broken, or a kind of fault did not happen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiormq.exceptions

from deploy.local_processes import LocalServiceError
from storage.orders import OrderRow
from tests.chaos.checks import is_over, judge
from tests.chaos.evidence import gather
from tests.chaos.faults import Faults
from tests.chaos.report import result, table
from tests.chaos.scene import Scene, open_scene
from tests.chaos.traffic import Message, Prices, stream, wall_clock
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.evidence import Evidence
    from tests.support.worker import WorkerProcess

_PER_SECOND = 12  # intents; duplicates and poison come on top
_AHEAD = 150  # messages that may wait at the broker while things go wrong
_SLOWEST = 4  # times the duration, then the rest is published whatever lags
_EXTRA = 120.0  # seconds more, for kinds of faults that did not happen yet
_STALLED = 90.0  # seconds without anything coming to its end that count as never
_PROGRESS = 5.0


class Run:
    """One run."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._began = time.monotonic()
        self._intents = int(options.duration * _PER_SECOND)
        self._faults = Faults(options.seed, self._intents)
        self.published: list[Message] = []

    async def run(self) -> bool:
        """Do everything; returns whether it is a pass."""
        options = self._options
        async with open_scene(
            options.workers, options.seed, self._faults.decide, self._folder, self.say
        ) as scene:
            keeping = asyncio.create_task(scene.keep_alive(), name="keep-alive")
            try:
                await scene.running(options.workers)
                self.say(f"{options.workers} workers take messages")
                await self._storm(scene)
                settled = await self._settle(scene)
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
            exits = [await _stopped(place.process) for place in scene.places]
            evidence = await gather(
                scene, self.published, self._faults.pauses, self._faults.halts, exits
            )
            return self._tell(scene, evidence, settled=settled)

    async def _storm(self, scene: Scene) -> None:
        """Publish while things go wrong."""
        options = self._options
        prices = {
            symbol: price["last"]
            for symbol, price in scene.sandbox.sandbox.prices()["bybit"].items()
        }
        messages = stream(options.seed, self._intents, prices)
        going_wrong = asyncio.create_task(self._faults.run(scene), name="faults")
        telling = asyncio.create_task(self._progress(scene), name="progress")
        try:
            await self._publish(scene, messages, options.duration)
            deadline = time.monotonic() + _EXTRA
            while (missing := self._faults.missing(scene)) and time.monotonic() < deadline:
                if going_wrong.done():
                    break
                self.say(f"not yet injected: {', '.join(missing)}")
                await self._publish(scene, self._more(prices), 5.0)
        finally:
            going_wrong.cancel()
            ended = await asyncio.gather(going_wrong, return_exceptions=True)
            telling.cancel()
            self._faults.make_calm(scene)
        if isinstance(ended[0], Exception):
            raise ended[0]

    def _more(self, prices: Prices) -> list[Message]:
        seed = self._options.seed * 1_000_003 + len(self.published)
        more = stream(seed, 5 * _PER_SECOND, prices)
        for message in more:
            message.number += len(self.published)
            if message.again is not None:
                message.again += len(self.published)
        return more

    async def _publish(self, scene: Scene, messages: Sequence[Message], seconds: float) -> None:
        """Publish evenly over some seconds; what a dead broker holds up comes in a burst."""
        draw = random.Random(self._options.seed)  # noqa: S311 - reproducible, nothing secret
        began = time.monotonic()
        by_number: dict[int, Message] = {}
        for position, message in enumerate(messages):
            due = began + seconds * (position + draw.random()) / len(messages)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._not_ahead(scene)
            by_number[message.number] = message
            if message.again is not None:
                message.body = by_number[message.again].body
            body = message.made(wall_clock())
            while True:
                try:
                    await scene.amqp.publish(
                        body,
                        scene.topology.queue,
                        exchange=scene.topology.exchange,
                        message_id=str(message.number),
                    )
                    break
                except (OSError, TimeoutError, RuntimeError, aiormq.exceptions.AMQPError):
                    # Confirmed or not: a producer that is not told publishes again.
                    await scene.amqp.aclose()
                    await asyncio.sleep(0.5)
            self.published.append(message)

    async def _not_ahead(self, scene: Scene) -> None:
        """Hold back while a slow machine lags, so that the orders meet the faults; not for ever."""
        orders = scene.sandbox.sandbox.truth.orders
        # A third is meant to become no order: duplicates, poison, what comes too late.
        while (
            len(self.published) - len(orders) - self._faults.denied
            > _AHEAD + len(self.published) // 3
        ):
            if time.monotonic() > self._began + _SLOWEST * self._options.duration:
                return
            await asyncio.sleep(0.2)

    async def _settle(self, scene: Scene) -> bool:
        """Wait until nothing moves any more; false if it never does."""
        self.say("all is well again; waiting for what is open")
        await scene.running(len(scene.places))
        left, since = -1, time.monotonic()
        while True:
            rows = await self._open_orders(scene)
            queued = sum((await scene.depths()).values())
            if rows + queued == 0:
                return True
            if rows + queued != left:
                left, since = rows + queued, time.monotonic()
                self.say(f"{rows} orders open, {queued} messages queued")
            elif time.monotonic() - since > _STALLED:
                self.say("nothing moves any more, and something is still open")
                return False
            await asyncio.sleep(1.0)

    async def _open_orders(self, scene: Scene) -> int:
        rows = await scene.database.fetch("SELECT * FROM orders")
        return sum(
            not is_over(OrderRow.read(row)) or row["fills_check_at"] is not None for row in rows
        )

    async def _progress(self, scene: Scene) -> None:
        while True:
            await asyncio.sleep(_PROGRESS)
            self.say(
                f"{len(self.published)} published, "
                f"{len(scene.sandbox.sandbox.truth.orders)} orders at the exchanges"
            )

    def _tell(self, scene: Scene, evidence: Evidence, *, settled: bool) -> bool:
        verdicts = judge(evidence)
        counts = self._faults.counts(scene)
        print(table(verdicts, counts))
        told = result(
            evidence,
            verdicts,
            counts,
            seed=self._options.seed,
            seconds=time.monotonic() - self._began,
            workers=len(scene.places),
            settled=settled,
        )
        for verdict in verdicts:
            for fault in verdict.wrong[:20]:
                self.say(f"BROKEN: {verdict.promise}: {fault}")
        for kind in told["not_injected"]:
            self.say(f"NOT INJECTED: {kind}")
        print(json.dumps(told))
        return bool(told["pass"])

    def say(self, line: str) -> None:
        """Tell how it goes."""
        print(f"{time.monotonic() - self._began:6.1f} s  {line}", file=sys.stderr, flush=True)


async def _stopped(process: WorkerProcess) -> int | None:
    process.send(signal.SIGTERM)
    with contextlib.suppress(AssertionError):
        await eventually(lambda: process.exit_code is not None, within=60)
    return process.exit_code


def main() -> int:
    """Parse the arguments, run, and keep the workers' logs if it was no pass."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: make chaos DURATION=60 SEED=7",
    )
    parser.add_argument(
        "--duration", type=float, default=180, help="seconds in which orders flow (default 180)"
    )
    parser.add_argument("--seed", type=int, default=None, help="default: a new one")
    parser.add_argument("--workers", type=int, default=3, help="processes, at least 3 (default 3)")
    options = parser.parse_args()
    if options.workers < 3 or options.duration <= 0:
        parser.error("--workers must be 3 or more, --duration above 0")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10_000)
    for name in ("aiormq", "asyncpg"):  # servers are away on purpose
        logging.getLogger(name).setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    run = Run(options, folder)
    run.say(
        f"seed {options.seed}; again with: make chaos DURATION={options.duration:g} "
        f"SEED={options.seed}"
    )
    passed = False
    try:
        passed = asyncio.run(run.run())
    except LocalServiceError as error:
        run.say(str(error))
    except KeyboardInterrupt:
        return 130
    finally:
        if passed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            run.say(f"the workers' logs are in {folder}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
