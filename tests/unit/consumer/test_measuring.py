"""Metrics that are there before anything happened, and labels that no message can choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from consumer.watching import metrics
from consumer.watching.limited import WatchedLimiter
from consumer.watching.measuring import begin, call_observer, count_order
from consumer.watching.trail import Stage, Trail, followed
from providers.limits.limiter import Closed, OpenLimiter, Slot
from providers.limits.plan import Want
from providers.observing import CallRecord
from providers.outcomes import OutcomeClass
from storage.states import OrderState

WANT = Want("bybit", "bybit@host ip:here", (), urgent=False)


def value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"{metrics.PREFIX}_{name}", labels)


@dataclass
class Clock:
    seconds: float = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Scripted(OpenLimiter):
    """Answers as it is told."""

    clock: Clock
    answers: list[Slot | Closed]

    def __post_init__(self) -> None:
        super().__init__(self.clock)

    async def take(self, want: Want, patience: float) -> Slot | Closed:
        del want, patience
        self.clock.seconds += 0.25  # the database's answer
        return self.answers.pop(0)


def test_series_that_are_known_are_there_before_anything_happens() -> None:
    begin(["early"], 3)

    assert value("orders_total", exchange="early", state="FILLED") == 0
    assert value("orders_unresolved", exchange="early") == 0
    assert value("circuit_open", circuit="early") == 0
    assert value("retries_total", rung="3") is not None
    assert value("messages_settled_total", settlement="ack", outcome="placed") is not None
    assert value("outbox_backlog", kind="report") is not None
    assert value("stage_seconds_count", stage="sign") is not None


@pytest.mark.parametrize("name", ["", "nowhere", "BYBIT", "x" * 100, 'evil"} 1\n'])
def test_an_exchange_that_only_a_message_names_is_no_label(name: str) -> None:
    before = value("orders_total", exchange="other", state="DENIED") or 0

    count_order(name, OrderState.DENIED)

    assert value("orders_total", exchange="other", state="DENIED") == before + 1
    assert value("orders_total", exchange=name, state="DENIED") is None


async def test_a_wait_for_a_slot_lasts_until_the_slot() -> None:
    clock = Clock()
    limiter = WatchedLimiter(Scripted(clock, [Slot(101.0), Slot(100.1)]), clock)
    before = value("rate_limit_wait_seconds_sum", exchange="bybit") or 0

    await limiter.take(WANT, 5.0)  # asked at 100, may leave at 101
    await limiter.take(WANT, 5.0)  # might have left before the answer was there

    assert value("rate_limit_wait_seconds_sum", exchange="bybit") == pytest.approx(before + 1.25)


async def test_what_is_kept_back_is_counted_by_why() -> None:
    clock = Clock()
    limiter = WatchedLimiter(Scripted(clock, [Closed(3.0), Closed(9.0, cooling=True)]), clock)
    before = [
        value("rate_limit_refusals_total", exchange="bybit", why=why) or 0
        for why in ("full", "cooling")
    ]

    for _ in before:
        await limiter.take(WANT, 1.0)

    assert [
        value("rate_limit_refusals_total", exchange="bybit", why=why) for why in ("full", "cooling")
    ] == [before[0] + 1, before[1] + 1]


def test_an_exchange_is_away_until_its_longest_cool_down_ends() -> None:
    clock = Clock()
    limiter = WatchedLimiter(OpenLimiter(clock), clock)

    limiter.cool_down("bybit@host ip:here", 10.0, "banned")
    limiter.cool_down("bybit@host account", 2.0, "used up")

    assert limiter.away == {"bybit"}
    assert limiter.shut(WANT.scopes) == 10.0
    clock.seconds += 5
    assert limiter.away == {"bybit"}
    clock.seconds += 6
    assert limiter.away == set()


def test_the_signature_of_an_order_is_a_stage_and_of_a_look_up_is_none() -> None:
    called = call_observer()
    trail = Trail()

    record = CallRecord(
        "bybit", "read", "POST", "/v5/order/create", None, 200, OutcomeClass.ACCEPTED, None, "",
        0.02, signing=0.00004,
    )  # fmt: skip

    with followed(trail):
        called(record)
        called(replace(record, kind="place"))

    assert trail.seconds == {Stage.SIGN: 0.00004}
