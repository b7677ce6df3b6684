"""Our counters and histograms show what the client library's would show."""

from __future__ import annotations

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from consumer.watching.tallies import Counter, Histogram
from storage.states import OrderState

BOUNDS = (0.00005, 0.001, 0.25, 1, 10, 3600)
LABELS = st.sampled_from(["bybit", 'with "quotes"', "back\\slash", OrderState.FILLED])
VALUES = st.floats(0, 10_000) | st.sampled_from(BOUNDS)


def shown(registry: CollectorRegistry) -> list[str]:
    """What a scrape shows, but for when a series was made, which only the library says."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@given(st.lists(st.tuples(LABELS, LABELS, VALUES), max_size=30))
def test_with_labels(moves: list[tuple[str, str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    count = Counter("c", "About it.", ("a", "b"), ours)
    spread = Histogram("h", "About it.", ("a", "b"), BOUNDS, ours)
    their_count = prometheus_client.Counter("c", "About it.", ("a", "b"), registry=theirs)
    their_spread = prometheus_client.Histogram(
        "h", "About it.", ("a", "b"), buckets=BOUNDS, registry=theirs
    )
    for a, b, value in moves:
        count.labels(a, b).inc()
        spread.labels(a, b).observe(value)
        their_count.labels(a, b).inc()
        their_spread.labels(a, b).observe(value)

    assert shown(ours) == shown(theirs)


@given(st.lists(VALUES, max_size=30))
def test_without_labels(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    count = Counter("c", "About it.", (), ours)
    spread = Histogram("h", "About it.", (), BOUNDS, ours)
    their_count = prometheus_client.Counter("c", "About it.", registry=theirs)
    their_spread = prometheus_client.Histogram("h", "About it.", buckets=BOUNDS, registry=theirs)
    for value in values:
        count.inc()
        spread.observe(value)
        their_count.inc()
        their_spread.observe(value)

    assert shown(ours) == shown(theirs)


def test_other_labels_than_there_are_names_for_are_refused() -> None:
    registry = CollectorRegistry()
    with pytest.raises(ValueError, match="expected values"):
        Counter("c", "About it.", ("a", "b"), registry).labels("one")
    with pytest.raises(ValueError, match="expected values"):
        Histogram("h", "About it.", (), BOUNDS, registry).labels("one")
