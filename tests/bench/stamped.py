"""The real worker with a stopwatch: when each message came, and how long each step took with it.

    BENCH_STAMPS=stamps.json python -m tests.bench.stamped run

The worker times its slower steps itself (`consumer.watching.trail`); the quick ones, which it does
not, are wrapped here, so that timing them costs nothing where nobody looks. What the reconciler
does beside the messages is not counted.
"""

# ruff: noqa: ANN401 - it wraps functions of any kind

from __future__ import annotations

import functools
import inspect
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

import consumer.worker
from consumer.cli.app import main
from consumer.controls.controls import Controls
from consumer.queue.delivery import Delivery
from consumer.watching import trail
from providers.admission import Admission
from providers.bybit.client import BybitClient
from providers.http import Http

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.watching.trail import Trail

# The steps that are timed here, and what is wrapped: an owner and the name of a function of it.
STEPS: dict[str, tuple[tuple[Any, str], ...]] = {
    "parse": ((consumer.worker, "decode"),),
    "route": ((Controls, "route"),),
    "risk": ((Controls, "leverage_denial"), (Controls, "denial")),
    "slot": ((Admission, "admit"),),
    "sign": ((BybitClient, "_order_call"), (BybitClient, "_sign")),
    "http": ((Http, "send"),),
    "settle": ((Delivery, "settle"),),
}
_Steps = dict[str, float]


class Stopwatch:
    """What was timed so far.

    Attributes:
        arrived: when each message came, by message id, ns of the machine's monotonic clock.
        records: what is known of each message that was settled; seconds.
    """

    def __init__(self) -> None:
        self.arrived: dict[str, int] = {}
        self.records: list[dict[str, Any]] = []
        self._steps: defaultdict[int, _Steps] = defaultdict(lambda: defaultdict(float))
        self._beginning: Trail | None = None  # of the message that is being taken just now

    def install(self) -> None:
        """Wrap everything."""
        for step, places in STEPS.items():
            for owner, name in places:
                setattr(owner, name, self._timed(step, getattr(owner, name)))
        worker: Any = consumer.worker.Worker
        worker.arrived = self._arriving(worker.arrived)
        worker._begin = self._begin(worker._begin)
        module: Any = consumer.worker
        module.count_settled = self._settled(module.count_settled)

    def _timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waited(*args: Any, **kwargs: Any) -> Any:
                began = time.perf_counter()
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._add(step, time.perf_counter() - began)

            return waited

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._add(step, time.perf_counter() - began)

        return called

    def _add(self, step: str, seconds: float) -> None:
        current = trail._current.get() or self._beginning
        if current is not None:
            self._steps[id(current)][step] += seconds

    def _arriving(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def arrived(worker: Any, message: Any, acknowledger: Any) -> None:
            self.arrived[message.message_id] = time.monotonic_ns()
            function(worker, message, acknowledger)

        return arrived

    def _begin(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def begin(worker: Any, delivery: Delivery) -> None:
            self._beginning = delivery.trail
            try:
                function(worker, delivery)
            finally:
                self._beginning = None

        return begin

    def _settled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def settled(delivery: Delivery, *args: Any) -> None:
            function(delivery, *args)
            steps = self._steps.pop(id(delivery.trail), {})
            self.records.append(
                {
                    "message_id": delivery.message_id,
                    "total": time.monotonic() - delivery.trail.arrived,
                    "steps": dict(steps),
                    "stages": {str(stage): took for stage, took in delivery.trail.seconds.items()},
                }
            )

        return settled


def run() -> None:
    """Run the worker as from the command line; what was seen is written when it has ended."""
    stopwatch = Stopwatch()
    stopwatch.install()
    try:
        main()
    finally:
        seen = {"arrived": stopwatch.arrived, "records": stopwatch.records}
        Path(os.environ["BENCH_STAMPS"]).write_bytes(orjson.dumps(seen))


if __name__ == "__main__":
    run()
