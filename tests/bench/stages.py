"""Where the time of one order goes, step by step, so that a regression has a name. Pure.

Every step's figure is the median over orders of what the step took of that order; so they add up to
about the whole, and `other` is what is left. `wait` is the wait for the order's lane and for the
event loop, `limiter` getting a request slot and `slot` the wait until it has come, `answer` reading
what the exchange said.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMED_HERE = ("parse", "route", "risk", "slot", "sign", "http", "settle")
ORDER = (
    "parse",
    "wait",
    "route",
    "claim",
    "risk",
    "prepare",
    "limiter",
    "intent",
    "slot",
    "sign",
    "http",
    "answer",
    "record",
    "settle",
    "other",
    "total",
)


def steps_of(record: dict[str, Any]) -> dict[str, float]:
    """One order's steps, in µs, of what `tests.bench.stamped` noted about it."""
    steps, stages = record["steps"], record["stages"]
    found = {name: steps.get(name, 0.0) for name in TIMED_HERE}
    found |= {
        name: stages.get(name, 0.0) for name in ("claim", "prepare", "limiter", "intent", "record")
    }
    found["wait"] = max(0.0, stages.get("queue", 0.0) - found["parse"])
    inner = found["slot"] + found["sign"] + found["http"]
    found["answer"] = max(0.0, stages.get("wire", 0.0) - inner)
    found["other"] = max(0.0, record["total"] - sum(found.values()))
    found["total"] = record["total"]
    return {name: found[name] * 1e6 for name in ORDER}


def budget(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Each step's median over the orders, in µs."""
    orders = [steps_of(record) for record in records]
    return {name: median(one[name] for one in orders) for name in ORDER}
