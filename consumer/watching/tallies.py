"""Counters and histograms as plain numbers, for Prometheus to read.

The client library's guard every number with a lock: a histogram takes 2.6 µs, and one order moves a
dozen. These are moved by the event loop's thread alone, and take a tenth of that. To the registry
they are collectors like any other.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import CollectorRegistry, Metric

_INFINITY = "+Inf"


class Count:
    """One number that only rises."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self) -> None:
        """Add one."""
        self.value += 1


class Spread:
    """How often each range of values was seen, and their sum.

    Args:
        bounds: the upper end of each range, which belongs to it; a last range has none.
    """

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Counter(Collector):
    """A count for each set of label values; `inc` is for one without labels.

    Args:
        name: without the `_total` that a scrape shows.
        about: its help.
        labels: their names.
        registry: that it is read through.
    """

    def __init__(
        self, name: str, about: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._name, self._about, self._labels = name, about, tuple(labels)
        self._children: dict[tuple[str, ...], Count] = {}
        if not self._labels:
            self.inc = self.labels().inc
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """Give the count of these label values, which is shown from now on."""
        found = self._children.get(values)
        if found is None:
            found = self._children[_checked(self._labels, values)] = Count()
        return found

    def collect(self) -> Iterable[Metric]:
        """Give what a scrape shows."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for values, count in self._children.items():
            family.add_metric(values, count.value)
        return [family]


class Histogram(Collector):
    """A spread for each set of label values; `observe` is for one without labels.

    Args:
        name: of the family.
        about: its help.
        labels: their names.
        bounds: rising; upper ends of the buckets but for the last.
        registry: that it is read through.
    """

    def __init__(
        self,
        name: str,
        about: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._about, self._labels = name, about, tuple(labels)
        self._bounds = tuple(float(bound) for bound in bounds)
        self._children: dict[tuple[str, ...], Spread] = {}
        if not self._labels:
            self.observe = self.labels().observe
        registry.register(self)

    def labels(self, *values: str) -> Spread:
        """Give the spread of these label values, which is shown from now on."""
        found = self._children.get(values)
        if found is None:
            found = self._children[_checked(self._labels, values)] = Spread(self._bounds)
        return found

    def collect(self) -> Iterable[Metric]:
        """Give what a scrape shows."""
        family = HistogramMetricFamily(self._name, self._about, labels=self._labels)
        ends = [*(str(bound) for bound in self._bounds), _INFINITY]
        for values, spread in self._children.items():
            counts = accumulate(spread.counts)
            family.add_metric(values, list(zip(ends, counts, strict=True)), spread.sum)
        return [family]


def _checked(names: tuple[str, ...], values: tuple[str, ...]) -> tuple[str, ...]:
    """Give label values as they are shown; one that is a member of an enum, too, by its value."""
    if len(values) != len(names):
        raise ValueError(f"expected values of {names}, got {values}")
    return tuple(str(value) for value in values)
