"""The arithmetic of the bench: medians, spreads, ratios round by round, goals. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure that was taken several times."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum some values up."""
        return cls(statistics.median(values), min(values), max(values))

    @property
    def document(self) -> dict[str, float]:
        """As it stands in the results."""
        return {name: rounded(getattr(self, name)) for name in ("median", "low", "high")}


def rounded(value: float) -> float:
    """Four significant digits, which is more than any of this is worth."""
    return float(f"{value:.4g}")


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours to theirs, round by round: a machine that was busy was so for both."""
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is at least as large as so many percent of all."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def rate(done_at: Sequence[float], warm: int) -> float:
    """Orders a second, of sorted moments in seconds; the first `warm` orders are not counted."""
    counted = done_at[warm - 1 :]
    return (len(counted) - 1) / (counted[-1] - counted[0])


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should be.

    Attributes:
        key: the figure's place in the results, with dots.
        about: what it is, for people.
        unit: behind the number.
        least: it should be no less.
        most: it should be no more.
    """

    key: str
    about: str
    unit: str = ""
    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        """Tell whether a value is good enough."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    @property
    def wanted(self) -> str:
        """The goal in words."""
        if self.least is not None:
            return f"≥ {self.least:g}{self.unit}"
        return f"≤ {self.most:g}{self.unit}"


GOALS = (
    Goal("throughput.ratio_to_floor", "throughput, to the floor's", " ×", least=0.7),
    Goal("throughput.ratio_to_faststream", "throughput, to FastStream's", " ×", least=5),
    Goal("latency.p50_ms", "delivery to wire, idle, p50", " ms", most=5),
    Goal("latency.p50_ratio_to_floor", "the same, to the floor's", " ×", most=2),
    Goal("latency.p99_ms", "delivery to wire at half load, p99", " ms", most=15),
    Goal(
        "signing.ratio_to_ccxt",
        "build and sign an order, slowest of three exchanges, speed to ccxt's",
        " ×",
        least=5,
    ),
    Goal("memory.rss_mb", "resident memory after all orders", " MB", most=150),
    Goal("memory.growth_mb", "its growth after the first of them", " MB", most=5),
    Goal("startup.seconds", "start to first consume", " s", most=2),
    Goal(
        "ledger.claim_ratio_1m_rows",
        "a claim with many rows in the ledger, to one with few",
        " ×",
        most=1.2,
    ),
)


def value_at(document: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - a number or a spread
    """What stands at a place of the results, or None."""
    found: Any = document
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def missed(document: Mapping[str, Any]) -> list[Goal]:
    """The goals that were measured and not met."""
    taken = [(goal, value_at(document, goal.key)) for goal in GOALS]
    return [goal for goal, value in taken if value is not None and not goal.met(value)]
