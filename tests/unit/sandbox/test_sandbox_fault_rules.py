"""Which requests a fault rule strikes, how rules add up, and which rules are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.sandbox.faults import (
    NO_FAULT,
    FaultKind,
    FaultRule,
    Faults,
    Target,
    combine,
    matches,
)

CREATE = Target(
    venue="bybit",
    method="POST",
    path="/v5/order/create",
    endpoint="order/create",
    symbol="BTCUSDT",
    client_order_id="tw-17",
)


def drop(**fields: Any) -> FaultRule:  # noqa: ANN401 - fields of FaultRule
    return FaultRule(kind=FaultKind.DROP_BEFORE, **fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"venue": "bybit"}, True),
        ({"venue": "binance"}, False),
        ({"method": "post"}, True),
        ({"method": "GET"}, False),
        ({"endpoint": "order/create"}, True),
        ({"endpoint": "/v5/order/create"}, True),
        ({"endpoint": "order/*"}, True),
        ({"endpoint": "order/cancel"}, False),
        ({"symbol": "BTCUSDT"}, True),
        ({"symbol": "ETHUSDT"}, False),
        ({"client_order_id_prefix": "tw-"}, True),
        ({"client_order_id_prefix": "x"}, False),
        ({"client_order_id_regex": r"-1[0-9]$"}, True),
        ({"client_order_id_regex": r"^1"}, False),
        ({"venue": "bybit", "symbol": "ETHUSDT"}, False),
    ],
)
def test_selectors(fields: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a table column
    assert matches(drop(**fields), CREATE) is expected


def test_a_regex_needs_a_client_order_id() -> None:
    nameless = Target(
        venue="bybit", method="GET", path="/", endpoint="", symbol="", client_order_id=""
    )
    assert not matches(drop(client_order_id_regex=".*"), nameless)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 5), st.integers(1, 5), st.integers(0, 15))
def test_after_and_count(after: int, count: int, requests: int) -> None:
    faults = Faults()
    faults.add(drop(after=after, count=count), 0)
    struck = [faults.plan(CREATE, 0).dropped for _ in range(requests)]
    expected = [after <= number < after + count for number in range(requests)]
    assert struck == expected
    assert faults.injected[FaultKind.DROP_BEFORE] == sum(expected)


def test_probability_follows_its_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = Faults()
        faults.add(drop(probability=0.3, seed=seed), 0)
        return [faults.plan(CREATE, 0).dropped for _ in range(500)]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)
    assert 100 < sum(strikes(1)) < 200


def test_a_rule_ends_after_its_time() -> None:
    faults = Faults()
    faults.add(drop(for_ms=100), 1_000)
    assert faults.plan(CREATE, 1_099).dropped
    assert faults.plan(CREATE, 1_100) is NO_FAULT


def test_rules_add_up_until_one_answers() -> None:
    faults = Faults()
    faults.add(FaultRule(kind=FaultKind.LATENCY, ms=100), 0)
    faults.add(FaultRule(kind=FaultKind.LATENCY, ms=50), 0)
    faults.add(FaultRule(kind=FaultKind.ANSWER, code="10016"), 0)
    behind = faults.add(FaultRule(kind=FaultKind.DROP_AFTER), 0)
    plan = faults.plan(CREATE, 0)
    assert (plan.latency_ms, plan.executes, plan.dropped) == (150, False, False)
    assert behind.injected == 0
    assert plan.kinds == (FaultKind.LATENCY, FaultKind.LATENCY, FaultKind.ANSWER)


def test_an_executing_answer_lets_others_follow() -> None:
    plan = combine(
        [
            FaultRule(kind=FaultKind.SERVER_ERROR, execute=True),
            FaultRule(kind=FaultKind.DELAY_REPLY, ms=10),
            FaultRule(kind=FaultKind.DROP_AFTER),
        ]
    )
    assert (plan.executes, plan.dropped, plan.reply_delay_ms) == (True, True, 10)
    assert plan.answer is not None


def test_treatment_of_an_order() -> None:
    plan = combine(
        [
            FaultRule(kind=FaultKind.HIDE, ms=300),
            FaultRule(kind=FaultKind.HIDE, ms=200),
            FaultRule(kind=FaultKind.PARTIAL_CANCEL, fraction=Decimal("0.25")),
            FaultRule(kind=FaultKind.SPLIT, parts=4),
            FaultRule(kind=FaultKind.REJECT_LATER, message="EC_Others"),
            FaultRule(kind=FaultKind.CLOCK_SKEW, ms=-1500),
        ]
    )
    treatment = plan.treatment
    assert (treatment.hide_ms, treatment.take_fraction, treatment.splits) == (
        300,
        Decimal("0.25"),
        4,
    )
    assert (treatment.reject_reason, plan.skew_ms) == ("EC_Others", -1500)


def test_removed_rules_no_longer_strike() -> None:
    faults = Faults()
    first, second = faults.add(drop(), 0), faults.add(drop(), 0)
    assert faults.remove(first.number)
    assert not faults.remove(first.number)
    assert faults.plan(CREATE, 0).dropped
    assert second.injected == 1
    faults.clear()
    assert faults.plan(CREATE, 0) is NO_FAULT
    assert faults.injected[FaultKind.DROP_BEFORE] == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": FaultKind.DELAY_REPLY}, "ms must be 1"),
        ({"kind": FaultKind.LATENCY, "ms": -1}, "ms must"),
        ({"kind": FaultKind.HIDE, "ms": 10**9}, "ms must"),
        ({"kind": FaultKind.DROP_BEFORE, "probability": 0.0}, "probability"),
        ({"kind": FaultKind.DROP_BEFORE, "probability": 1.5}, "probability"),
        ({"kind": FaultKind.DROP_BEFORE, "count": 0}, "count"),
        ({"kind": FaultKind.DROP_BEFORE, "after": -1}, "after"),
        ({"kind": FaultKind.DROP_BEFORE, "for_ms": 0}, "for_ms"),
        ({"kind": FaultKind.SERVER_ERROR, "status": 404}, "500"),
        ({"kind": FaultKind.ANSWER}, "code"),
        ({"kind": FaultKind.ANSWER, "status": 42}, "HTTP status"),
        ({"kind": FaultKind.PARTIAL_CANCEL}, "fraction"),
        ({"kind": FaultKind.PARTIAL_CANCEL, "fraction": Decimal(1)}, "fraction"),
        ({"kind": FaultKind.SPLIT, "parts": 1}, "parts"),
        ({"kind": FaultKind.DROP_BEFORE, "client_order_id_regex": "("}, "compile"),
    ],
)
def test_senseless_rules_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FaultRule(**fields)
