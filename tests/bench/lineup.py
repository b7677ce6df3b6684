"""Who is measured: programs that turn messages into orders, and how each is started and read."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from tests.bench.exchange import KEY, SECRET, SYMBOLS
from tests.support.messages import encode, trade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ROOT / ".run" / "bench-venv" / "bin"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that turns messages into orders.

    Attributes:
        name: as tables show it.
        command: how it is started.
        durable: asks when each order's outcome became durable, by the database's clock.
        message: makes a message's body and headers of a trade; None for the trade as it is.
        ours: needs our topology and our schema.
    """

    name: str
    command: Sequence[str]
    durable: str = "SELECT finished_at FROM plain_orders WHERE state = 'ACCEPTED'"
    message: Callable[[dict[str, object]], tuple[bytes, dict[str, Any]]] | None = None
    ours: bool = False

    @property
    def key(self) -> str:
        """The name as a key of the results."""
        return self.name.lower().replace("-", "_")


def _task(asked: dict[str, object]) -> tuple[bytes, dict[str, Any]]:
    """A trade as a taskiq task's call."""
    names = {"request_id": "requestId", "symbol": "symbol", "action": "action"}
    task_id = str(asked["requestId"])
    kwargs = {name: asked[key] for name, key in names.items()}
    kwargs |= {"quantity": asked["quantity"], "payload": encode(asked).decode()}
    call = {"task_id": task_id, "task_name": "place", "labels": {}, "args": [], "kwargs": kwargs}
    return orjson.dumps(call), {"task_id": task_id, "task_name": "place"}


# The event of the answer, not the row: the reconciler goes on writing to the row.
_ANSWERED = """
    SELECT min(at) FROM order_events
    WHERE after_state IN ('ACCEPTED', 'PARTIALLY_FILLED', 'FILLED') GROUP BY request_id
"""
OURS = Contestant(
    "trade-worker", (sys.executable, "-m", "consumer", "run"), durable=_ANSWERED, ours=True
)
STAMPED = replace(OURS, command=(sys.executable, "-m", "tests.bench.stamped", "run"))
FLOOR = Contestant("floor", (sys.executable, "-m", "tests.bench.contestants.floor"))
FASTSTREAM = Contestant(
    "FastStream",
    (str(OTHERS / "faststream"), "run", "tests.bench.contestants.faststream_app:app"),
)
TASKIQ = Contestant(
    "taskiq",
    (
        str(OTHERS / "taskiq"),
        *("worker", "tests.bench.contestants.taskiq_app:broker"),
        *("--workers", "1", "--ack-type", "when_executed", "--max-async-tasks", "40"),
    ),
    message=_task,
)

# What is on is what is on by default: reconciler, fills, audit, reports, system log, shared limits,
# metrics, one log line an order. Changed is only what leads to the bench's own places, and the
# exchange's limits: as if they were so high that no order waits, but each takes its slot.
SETTINGS: dict[str, Any] = {
    "bybit_api_key": KEY,
    "bybit_api_secret": SECRET,
    "log_format": "json",
    "rate_limit_overrides": ",".join(
        f"bybit:{name}={units}"
        for name, units in {
            "ip": 50000,
            "order/create": 5000,
            "order/realtime": 5000,
            "execution/list": 5000,
            "position/list": 5000,
        }.items()
    ),
}


def trades(count: int, symbols: Sequence[str] = SYMBOLS) -> list[dict[str, object]]:
    """So many market orders, over all symbols in turn."""
    return [
        trade(requestId=uuid4().hex, symbol=symbols[number % len(symbols)], quantity="0.005")
        for number in range(count)
    ]
