"""The bench's arithmetic: what a figure is made of, and when a goal is met. Times nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import __main__ as bench
from tests.bench.figures import (
    GOALS,
    Goal,
    Spread,
    missed,
    percentile,
    rate,
    ratios,
    rounded,
    value_at,
)
from tests.bench.lineup import FASTSTREAM, FLOOR, OURS, TASKIQ, trades
from tests.bench.tables import number, tables
from tests.bench.throughput import summary

values = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50)


@given(values)
def test_a_spread_has_its_median_between_its_ends(found: list[float]) -> None:
    spread = Spread.of(found)
    assert spread.low <= spread.median <= spread.high


@given(values, st.floats(0, 100))
def test_a_percentile_is_a_value_with_so_many_below(found: list[float], percent: float) -> None:
    value = percentile(found, percent)
    assert value in found
    assert sum(one <= value for one in found) >= len(found) * percent / 100


def test_percentiles_of_a_hundred_values() -> None:
    found = [float(one) for one in range(1, 101)]
    assert [percentile(found, percent) for percent in (0, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]


def test_a_ratio_is_taken_round_by_round() -> None:
    # The machine was ten times slower in the second round: the ratios know nothing of it.
    assert ratios([200, 20, 300], [100, 10, 100]) == Spread(2, 2, 3)


def test_a_rate_leaves_out_the_start() -> None:
    done_at = [0.0, 5.0, 5.1, 5.2, 5.3]
    assert rate(done_at, warm=2) == pytest.approx(10)


def test_figures_are_rounded_to_what_they_are_worth() -> None:
    assert [rounded(one) for one in (1234.56, 0.012346, 7.0)] == [1235, 0.01235, 7]
    assert [number(one) for one in (12345.6, 123.4, 12.34, 1.234)] == [
        "12,346",
        "123",
        "12.3",
        "1.23",
    ]


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal("a", "", least=0.7), 0.7, True),
        (Goal("a", "", least=0.7), 0.69, False),
        (Goal("a", "", most=15), 15, True),
        (Goal("a", "", most=15), 15.1, False),
    ],
)
def test_a_goal_is_met_at_its_limit_and_not_beyond(goal: Goal, value: float, met: bool) -> None:  # noqa: FBT001 - a parameter
    assert goal.met(value) is met


def test_the_goals_have_the_names_that_readers_of_the_results_know() -> None:
    assert [goal.key for goal in GOALS] == [
        "throughput.ratio_to_floor",
        "throughput.ratio_to_faststream",
        "latency.p50_ms",
        "latency.p50_ratio_to_floor",
        "latency.p99_ms",
        "signing.ratio_to_ccxt",
        "memory.rss_mb",
        "memory.growth_mb",
        "startup.seconds",
        "ledger.claim_ratio_1m_rows",
    ]


def _round(floor: float, ours: float) -> dict[str, dict[str, float]]:
    speeds = {FLOOR.key: floor, OURS.key: ours, FASTSTREAM.key: 100, TASKIQ.key: 100}
    return {
        name: {"rate": speed, "cpu_us": 1e6 / speed, "requests": 1.0, "exchange_busy_percent": 5.0}
        for name, speed in speeds.items()
    }


def _document(ours: float = 800) -> dict[str, Any]:
    return {"throughput": summary([_round(1000, ours), _round(500, ours / 2)], orders=300)}


def test_the_throughput_is_summed_up_under_the_names_of_the_results() -> None:
    document = _document()
    assert value_at(document, "throughput.ratio_to_floor") == 0.8
    assert value_at(document, "throughput.ratio_to_faststream") == 6
    assert value_at(document, "throughput.orders_per_second.trade_worker") == {
        "median": 600,
        "low": 400,
        "high": 800,
    }
    assert len(document["throughput"]["rounds"]) == 2
    assert json.loads(json.dumps(document)) == document


def test_a_goal_that_is_missed_is_named() -> None:
    assert missed(_document()) == []
    assert [goal.key for goal in missed(_document(ours=600))] == [
        "throughput.ratio_to_floor",
        "throughput.ratio_to_faststream",
    ]


def test_tables_say_what_was_seen_and_what_was_missed() -> None:
    *_, goals = tables(_document(ours=600))
    text = goals.text()
    assert "0.6 × (0.6–0.6)" in text
    assert text.count("missed") == 2
    assert "latency" not in text  # not measured, so nothing is said about it
    assert all(line.count("|") == 5 for line in goals.markdown().splitlines())


def test_contestants_stand_by_speed() -> None:
    first, *_ = tables(_document())
    names = [row[0] for row in first.rows]
    assert names[:2] == ["floor", "trade-worker"]
    assert len({len(row) for row in (first.head, *first.rows)}) == 1


def test_trades_are_spread_over_all_symbols_and_none_is_like_another() -> None:
    made = trades(120)
    assert len({one["requestId"] for one in made}) == 120
    assert len({one["symbol"] for one in made}) == 50


def test_the_command_line() -> None:
    asked = bench.parsed(["--quick", "--contestants", "floor,trade-worker", "--orders", "700"])
    assert asked.sizes == replace(bench.QUICK, orders=700)
    assert asked.contestants == [FLOOR, OURS]
    assert bench.parsed([]).sizes == bench.Sizes()
    assert bench.parsed(["--only", "latency,memory"]).only == ("latency", "memory")
    for wrong in (
        ["--only", "speed"],
        ["--contestants", "celery"],
        ["--orders", "3"],
        ["--memory-orders", "10"],
    ):
        with pytest.raises(SystemExit) as ended:
            bench.parsed(wrong)
        assert ended.value.code == 2
