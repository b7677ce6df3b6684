"""What a whole run of the bench comes to: keys, stage budget, tables, pages. Times nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

import consumer.worker
from consumer.watching import trail
from tests.bench import latency, page, signing, stages, tables, throughput
from tests.bench.figures import GOALS, missed, value_at
from tests.bench.lineup import FLOOR, OURS
from tests.bench.stamped import STEPS

RECORD: dict[str, Any] = {
    "message_id": "m-1",
    "total": 0.010,
    "steps": {"parse": 0.0001, "sign": 0.00002, "http": 0.001, "slot": 0.0002, "settle": 0.0003},
    "stages": {"queue": 0.0004, "claim": 0.002, "intent": 0.003, "wire": 0.00132},
}


def _round(ours_ms: float, floor_ms: float) -> dict[str, Any]:
    def one(milliseconds: float) -> dict[str, Any]:
        return {
            latency.IDLE: [milliseconds] * 10,
            latency.HALF: [milliseconds] * 98 + [milliseconds * 10] * 2,
            "stages": {latency.IDLE: [RECORD], latency.HALF: [RECORD, RECORD]},
        }

    return {OURS.key: one(ours_ms), FLOOR.key: one(floor_ms)}


def _document() -> dict[str, Any]:
    taken = [_round(4, 2), _round(6, 4), _round(5, 2.5)]
    speeds = {
        name: {"rate": rate, "cpu_us": 100.0, "requests": 1.5, "exchange_busy_percent": 5.0}
        for name, rate in (("floor", 1000), ("trade_worker", 700), ("faststream", 100))
    }
    spread = {"median": 1.0, "low": 0.5, "high": 1.5}
    return {
        "quick": False,
        "machine": {
            "at": "2026-01-31T12:00:00+00:00",
            "commit": "abc1234567",
            "cpus": 2,
            "cpu": "a processor",
            "memory_gb": 8.0,
            "load_before": 0.1,
            "load_after": 2.0,
            "python": "3.11.7",
            "postgresql": {"server_version": "15.18 (Debian)", "fsync": "on"},
            "rabbitmq": "3.10.8",
        },
        "sizes": {"rounds": 3},
        "throughput": throughput.summary([speeds], 300),
        "latency": latency.summary(taken, 350),
        "stages": latency.stage_summary(taken),
        "signing": signing.summary({"bybit": [(10, 100)], "mexc": [(20, 80), (10, 50)]}),
        "memory": {
            "rss_mb": 90.0,
            "growth_mb": 2.0,
            "rss_mb_first": 88.0,
            "orders_first": 10,
            "orders": 100,
            "seconds": 1.0,
            "not_followed_to_their_end_yet": 0,
            "reports_not_written_yet": 3,
        },
        "startup": {"seconds": 1.0, "seconds_spread": spread, "first_order_seconds": spread},
        "ledger": {
            "claim_ratio_1m_rows": 1.0,
            "claim_ratio_1m_rows_spread": spread,
            "rows": [10, 1000],
            "claim_ms_few": spread,
            "claim_ms_many": spread,
        },
    }


def test_every_goal_has_its_figure_at_its_place() -> None:
    document = json.loads(json.dumps(_document()))
    assert all(isinstance(value_at(document, goal.key), float | int) for goal in GOALS)


def test_latencies_are_summed_up_round_by_round() -> None:
    found = _document()["latency"]
    assert found["p50_ms"] == 5
    assert found["p50_ratio_to_floor"] == 2
    assert found["p50_ratio_to_floor_spread"] == {"median": 2, "low": 1.5, "high": 2}
    assert found["p99_ms"] == 50  # at half load: two of a hundred took ten times as long


def test_the_slowest_exchange_is_what_signing_is_judged_by() -> None:
    found = _document()["signing"]
    assert found["ratio_to_ccxt"] == 4.5
    assert found["bybit"]["ratio_to_ccxt"]["median"] == 10


def test_the_steps_of_an_order_add_up_to_the_whole() -> None:
    steps = stages.steps_of(RECORD)
    assert list(steps) == list(stages.ORDER)
    assert sum(steps.values()) - steps["total"] == pytest.approx(steps["total"])
    assert steps["wait"] == pytest.approx(300)  # in the queue, but for the parsing
    assert steps["answer"] == pytest.approx(100)  # on the wire, but for slot, signature and HTTP


def test_what_the_stopwatch_wraps_is_there() -> None:
    places = [(owner, name) for places in STEPS.values() for owner, name in places]
    assert places
    assert all(callable(getattr(owner, name)) for owner, name in places)
    assert set(STEPS) == set(stages.TIMED_HERE)
    assert callable(consumer.worker.Worker.arrived)
    assert callable(consumer.worker.Worker._begin)
    assert callable(vars(consumer.worker)["count_settled"])
    assert trail._current.get() is None


def test_every_table_has_rows_of_one_width() -> None:
    drawn = list(tables.tables(_document()))
    assert len(drawn) == 6
    for table in drawn:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.head)}
        assert all(line == line.rstrip() for line in table.text().splitlines())


def test_the_readme_gets_the_figures_between_its_marks() -> None:
    document = _document()
    marks = "before\n<!-- measured: bench -->\nold\n<!-- end: measured -->\nafter\n"
    text = page.in_readme(marks, document)
    assert text.startswith(
        "before\n<!-- measured: bench -->\nSeen on 2026-01-31 at commit abc1234567"
    )
    assert text.endswith("\n<!-- end: measured -->\nafter\n")
    assert "old" not in text
    assert page.in_readme(text, document) == text
    (late,) = [goal for goal in missed(document) if goal.key == "latency.p99_ms"]
    assert f"| {late.about} | 50.0 ms (40.0–60.0) | ≤ 15 ms | missed |" in text


def test_a_readme_without_a_place_is_told() -> None:
    with pytest.raises(ValueError, match="measured: bench"):
        page.in_readme("nothing here", _document())


def test_the_page_has_all_tables() -> None:
    text = page.page(_document())
    assert text.count("| --- |") == 6
    assert "| claim | 2,000 (2,000–2,000) |" in text


def test_a_quick_look_says_so() -> None:
    document = _document()
    assert "quick" not in page.taken_on(document)
    quick = page.taken_on({**document, "quick": True})
    assert "A quick look" in quick.replace("\n", " ")


def test_a_machine_that_was_busy_is_told() -> None:
    document = _document()
    assert "busy" not in page.taken_on(document)
    document["machine"]["load_before"] = 2.1
    assert "kept the machine busy" in page.taken_on(document).replace("\n", " ")


def test_the_readme_has_a_place_for_the_figures() -> None:
    assert page.README.read_text(encoding="utf-8").count("<!-- measured: bench -->") == 1
