"""The words of a notice: what must be acted upon first, everything counted, facts of the ledger."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.telling.notices import Mood, compose
from storage.notifications import PendingNotice, Topic
from storage.states import OrderState
from tests.fakes.finished_orders import DENIED, FILLED, FINISHED

ORDERS = {
    "r-1": replace(FILLED, average_price=Decimal("60123.40"), fee=Decimal("0.0330")),
    "r-2": replace(DENIED, request_id="r-2"),
    "r-4": replace(DENIED, request_id="r-4"),
    "r-3": replace(
        DENIED, request_id="r-3", state=OrderState.QUARANTINED, code="MISMATCH", message="side"
    ),
}


BELOW = (
    "LONG BTCUSDT on bybit: 0.005 asked for, DENIED: BELOW_MIN_QUANTITY: 0.0001 is below 0.001 "
    "(request r-2)"
)


def event(topic: Topic, request_id: str | None = None, **detail: Any) -> PendingNotice:  # noqa: ANN401 - facts
    return PendingNotice(
        id=1, topic=topic, request_id=request_id, detail=detail, created_at=FINISHED, attempts=1
    )


def test_one_event_is_told_with_its_figures() -> None:
    notice = compose([event(Topic.EXECUTED, "r-1")], ORDERS)

    assert notice.title == "trade-worker: 1 executed"
    assert notice.body == (
        "Executed:\n"
        "- LONG BTCUSDT on bybit: 0.005 filled at 60123.4, fee 0.033 USDT, FILLED (request r-1)"
    )
    assert notice.mood is Mood.SUCCESS


def test_what_must_be_acted_upon_comes_first() -> None:
    notice = compose(
        [
            event(Topic.EXECUTED, "r-1"),
            event(Topic.FAILED, "r-2"),
            event(Topic.DEAD_LETTERED, "r-4", reason="DENIED", error="too\nsmall"),
            event(Topic.DEAD_LETTERED, None, reason="NOT_JSON", error="no JSON"),
            event(Topic.BAN, exchange="mexc", until="2026-01-31T12:10:00Z", reason="510"),
            event(Topic.QUARANTINED, "r-3"),
            event(
                Topic.KILL_SWITCH, key="trade:kill_switch", before="off", after="on", by="ann",
                why="news",
            ),
        ],
        ORDERS,
    )  # fmt: skip

    assert notice.title == (
        "trade-worker: 1 kill switch, 1 quarantined, 1 banned, 2 dead-lettered, 1 failed, "
        "1 executed"
    )
    assert notice.body.splitlines() == [
        "Kill switch:",
        "- trade:kill_switch is on, was off, by ann: news",
        "",
        "Quarantined:",
        "- LONG BTCUSDT on bybit: 0.005 asked for, QUARANTINED: MISMATCH: side (request r-3)",
        "",
        "Banned:",
        "- mexc until 2026-01-31T12:10:00Z: 510",
        "",
        "Dead-lettered:",
        "- LONG 0.005 BTCUSDT on bybit: DENIED: too small (request r-4)",
        "- a message: NOT_JSON: no JSON",
        "",
        "Failed:",
        f"- {BELOW}",
        "",
        "Executed:",
        "- LONG BTCUSDT on bybit: 0.005 filled at 60123.4, fee 0.033 USDT, FILLED (request r-1)",
    ]
    assert notice.mood is Mood.FAILURE


def test_an_order_that_failed_and_died_of_it_is_told_once() -> None:
    notice = compose(
        [
            event(Topic.FAILED, "r-2"),
            event(Topic.DEAD_LETTERED, "r-2", reason="DENIED", error="too small"),
            event(Topic.FAILED, "r-4"),
        ],
        ORDERS,
    )
    assert notice.title == "trade-worker: 1 dead-lettered, 1 failed"
    assert notice.body.count("r-2") == 1


def test_a_switch_that_is_taken_away_is_told_so() -> None:
    notice = compose([event(Topic.KILL_SWITCH, key="trade:kill_switch:mexc", before="on")], {})
    assert notice.body.endswith("- trade:kill_switch:mexc is no longer set, was on")
    assert notice.mood is Mood.WARNING


def test_an_order_that_somebody_removed_is_still_told_of() -> None:
    notice = compose([event(Topic.FAILED, "gone")], {})
    assert notice.body.endswith("- no longer in the ledger (request gone)")


@given(
    st.lists(
        st.tuples(st.sampled_from(Topic), st.sampled_from(["r-1", "r-2", "gone", None])),
        min_size=1,
        max_size=60,
    ),
    st.text(max_size=2000),
)
def test_any_events_are_all_counted_in_a_text_of_bounded_length(
    events: list[tuple[Topic, str | None]], said: str
) -> None:
    pending = [event(topic, one, reason=said, exchange=said, why=said) for topic, one in events]
    notice = compose(pending, ORDERS)

    counted = sum(int(part.split(" ", 1)[0]) for part in notice.title.split(": ")[1].split(", "))
    died = {one for topic, one in events if topic is Topic.DEAD_LETTERED and one is not None}
    twice = sum(topic is Topic.FAILED and one in died for topic, one in events)
    assert counted == len(events) - twice
    assert len(notice.body) < len(Topic) * (11 * 310 + 30)
    assert "\n\n\n" not in notice.body


@pytest.mark.parametrize("count", [10, 11, 500])
def test_of_many_some_are_told_and_the_others_counted(count: int) -> None:
    lines = compose([event(Topic.EXECUTED, "r-1")] * count, ORDERS).body.splitlines()
    assert len(lines) == 1 + 10 + (count > 10)
    assert (lines[-1] == f"- … and {count - 10} more") is (count > 10)
