"""The rule that limits are kept by: whatever happens on the way, no window holds too much."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.limits import binance, bybit, mexc
from providers.limits.pacing import LONGEST_MS, MOST_SLOTS, Pace, pace
from providers.limits.plan import Plan, Rules
from providers.limits.quota import Published
from providers.limits.windows import FAR_AHEAD_MS, Bucket, Demand, charge, take

QUOTAS = (bybit.QUOTA, binance.QUOTA, mexc.QUOTA)
LIMITS = [limit for quota in QUOTAS for limit in quota.limits.values()]
START = 1_700_000_000_000

published = st.builds(
    Published,
    name=st.just("some"),
    units=st.integers(1, 40),
    window_ms=st.sampled_from([500, 1000, 2000, 5000, 10_000, 60_000]),
)


@st.composite
def traffic(draw: st.DrawFn) -> list[tuple[int, bool, int, int]]:
    """Requests: ms since the one before, whether urgent, units, ms on the way (a part of 1000)."""
    return draw(
        st.lists(
            st.tuples(
                st.one_of(st.just(0), st.integers(0, 50), st.integers(0, 5000)),
                st.booleans(),
                st.integers(1, 3),
                st.integers(0, 1000),
            ),
            max_size=120,
        )
    )


def most_in_any(arrivals: list[tuple[int, int]], window_ms: int) -> int:
    """The most units that arrive in any window; `arrivals` are times and units."""
    ordered = sorted(arrivals)
    most = used = begin = 0
    for at, units in ordered:
        used += units
        while ordered[begin][0] <= at - window_ms:
            used -= ordered[begin][1]
            begin += 1
        most = max(most, used)
    return most


@given(published, st.integers(0, 300), st.sampled_from([0.0, 0.1, 0.3]), traffic())
def test_no_window_of_the_exchange_ever_holds_more_than_the_limit(
    limit: Published, margin_ms: int, reserve: float, requests: list[tuple[int, bool, int, int]]
) -> None:
    rule = pace(limit, margin_ms=margin_ms, reserve=reserve)
    bucket = Bucket()
    now = START
    arrivals: list[tuple[int, int]] = []
    for gap, urgent, wanted, delay in requests:
        now += gap
        units = min(wanted, rule.general)
        at, taken = take([Demand(bucket, units, rule)], urgent=urgent, now=now, patience=10_000)
        assert at >= now
        if taken:
            arrivals.append((at + delay * margin_ms // 1000, units))
    assert most_in_any(arrivals, limit.window_ms) <= limit.units
    # Windows that the exchange's clock starts are some of those windows, whatever it shows.
    by_clock: defaultdict[int, int] = defaultdict(int)
    for at, units in arrivals:
        by_clock[(at + 777) // limit.window_ms] += units
    assert max(by_clock.values(), default=0) <= limit.units


@given(traffic(), st.integers(1, 6))
def test_several_limits_are_kept_at_once_and_nobody_waits_for_another_limit(
    requests: list[tuple[int, bool, int, int]], per_second: int
) -> None:
    own = Pace(per_second, 0, 1000)
    common = Pace(8, 2, 1000)
    buckets = {"own": Bucket(), "common": Bucket()}
    now = START
    slots: dict[str, list[tuple[int, int]]] = {"own": [], "common": []}
    for gap, urgent, _, choice in requests:
        now += gap
        names = ["own", "common"] if choice % 2 else ["common"]
        demands = [Demand(buckets[one], 1, own if one == "own" else common) for one in names]
        at, taken = take(demands, urgent=urgent, now=now, patience=3000)
        if taken:
            for one in names:
                slots[one].append((at, 1))
    assert most_in_any(slots["own"], 1000) <= per_second
    assert most_in_any(slots["common"], 1000) <= 10


def test_a_full_rate_is_used_and_what_is_urgent_goes_ahead() -> None:
    rule = pace(bybit.QUOTA.limits["order/create"], margin_ms=50, reserve=0.1)
    assert rule == Pace(9, 1, 1050)
    bucket = Bucket()
    waits = [
        take([Demand(bucket, 1, rule)], urgent=False, now=START, patience=10_000)[0] - START
        for _ in range(20)
    ]
    assert waits == [0] * 9 + [1050] * 9 + [2100] * 2
    urgent = [
        take([Demand(bucket, 1, rule)], urgent=True, now=START + 1, patience=10_000)[0] - START
        for _ in range(3)
    ]
    assert urgent == [1, 1051, 2100], "the reserved slot, the next reserved one, then any other"


def test_of_a_small_limit_the_kept_slot_is_lent_when_nothing_urgent_came() -> None:
    rule = pace(mexc.QUOTA.limits["order/create"], margin_ms=80, reserve=0.1)
    assert (rule.general, rule.reserved, rule.period_ms) == (3, 1, 2080)
    assert rule.lent_ms == 3467, "0.4 of a slot in each period was to be kept"
    bucket = Bucket()

    def wait(now: int, *, urgent: bool = False) -> int:
        at, _ = take([Demand(bucket, 1, rule)], urgent=urgent, now=now, patience=9000)
        return at - now

    assert [wait(START) for _ in range(5)] == [0, 0, 0, 0, 2080], "lent once, and not again"
    assert wait(START + 1, urgent=True) == 2079
    assert [wait(START + 3466) for _ in range(2)] == [0, 694], "not lent yet, nor booked ahead"
    assert wait(START + 3466, urgent=True) == 0
    assert [wait(START + 3466 + 3467 + ms) for ms in (-1, 0)] == [0, 0]
    assert bucket.reserved == [START + 3466], "others were free"


def test_what_is_urgent_does_not_put_off_that_the_kept_slot_is_lent() -> None:
    rule = pace(mexc.QUOTA.limits["order/create"], margin_ms=80, reserve=0.1)
    bucket = Bucket()

    def wait(now: int, *, urgent: bool = False) -> int:
        at, _ = take([Demand(bucket, 1, rule)], urgent=urgent, now=now, patience=9000)
        return at - now

    assert [wait(START) for _ in range(3)] == [0, 0, 0]
    assert wait(START, urgent=True) == 0
    assert [wait(START + 2079) for _ in range(3)] == [1, 1, 1]
    assert wait(START + 2080) == 0, "it is free, and none was lent before"
    assert wait(START + 4160, urgent=True) == 0, "as if it had been urgent itself"


@pytest.mark.parametrize(("reserve", "lent"), [(0.25, 0), (0.3, 0), (0.0, 0), (0.01, 2084)])
def test_what_was_asked_to_be_kept_is_kept(reserve: float, lent: int) -> None:
    limit = Published("some", 4, 2000)
    assert pace(limit, margin_ms=0, reserve=reserve).lent_ms == lent


def test_what_is_read_and_set_up_in_bursts_has_a_wider_margin_than_orders() -> None:
    plan = Plan(mexc.QUOTA, "api.example", "default", Rules(margin_ms=70))

    def margins(method: str, name: str) -> list[int]:
        path = f"/api/v1/private/{name}"
        return [one.margin_ms for one in plan.want(method, path, of_all=False, urgent=False).needs]

    assert margins("POST", "order/create") == [70]
    assert margins("GET", "position/leverage") == [210]
    assert margins("POST", "position/change_leverage") == [210], "a fiftieth of 10 s is less"


def test_a_wait_that_is_too_long_takes_nothing() -> None:
    rule = Pace(1, 0, 1000)
    bucket = Bucket()
    assert take([Demand(bucket, 1, rule)], urgent=False, now=START, patience=0) == (START, True)
    before = list(bucket.general)
    assert take([Demand(bucket, 1, rule)], urgent=False, now=START + 1, patience=998) == (
        START + 1000,
        False,
    )
    assert bucket.general == before


def test_a_clock_that_is_set_back_delays_by_a_period_and_no_more() -> None:
    rule = Pace(2, 0, 1000)
    bucket = Bucket([START, START])
    earlier = START - FAR_AHEAD_MS - 3_600_000
    at, taken = take([Demand(bucket, 1, rule)], urgent=False, now=earlier, patience=10_000)
    assert (at - earlier, taken) == (1000, True)


def test_what_others_have_used_counts_and_takes_no_slot_from_those_who_wait() -> None:
    rule = Pace(4, 0, 1000)
    bucket = Bucket()
    for _ in range(6):
        take([Demand(bucket, 1, rule)], urgent=False, now=START, patience=10_000)
    assert bucket.general == [START, START, START + 1000, START + 1000]
    charge(bucket, 1, rule, START + 5)
    assert bucket.general == [START, START + 5, START + 1000, START + 1000]
    charge(bucket, 9, rule, START + 900)
    assert bucket.general == [START + 900, START + 900, START + 1000, START + 1000]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_the_pace_of_a_published_limit_wastes_little_and_makes_nobody_wait_long(
    limit: Published,
) -> None:
    rule = pace(limit, margin_ms=50, reserve=0.1)
    used = (rule.general + rule.reserved) / rule.period_ms / (limit.units / limit.window_ms)
    assert 0.95 <= used <= 1
    assert rule.period_ms <= LONGEST_MS[limit.scope] + 50 or limit.units < 20
    assert rule.general + rule.reserved <= MOST_SLOTS


@given(published, st.integers(1, 50))
def test_shares_together_are_never_more_than_the_whole(limit: Published, replicas: int) -> None:
    rule = pace(limit, margin_ms=0, reserve=0.1)
    share = rule.share(replicas)
    assert share.general >= 1
    rate = replicas * (share.general + share.reserved) / share.period_ms
    assert rate <= (rule.general + rule.reserved) / rule.period_ms * (1 + 1e-9)


@pytest.mark.parametrize("quota", QUOTAS, ids=lambda quota: quota.venue)
def test_every_cost_names_a_limit_and_fits_into_it(quota: object) -> None:
    assert quota in QUOTAS
    for found in QUOTAS:
        plan = Plan(found, "host", "default", Rules())
        for method, path in found.endpoints:
            for of_all in (True, False):
                for need in plan.want(method, path, of_all=of_all, urgent=False).needs:
                    assert need.units <= need.pace.general, (path, need)


def test_an_overridden_limit_keeps_its_window() -> None:
    rules = replace(Rules(), overrides={"bybit": {"order/create": 20}})
    plan = Plan(bybit.QUOTA, "api.example", "default", rules)
    (create, ip) = plan.want("POST", "/v5/order/create", of_all=True, urgent=False).needs
    assert (create.limit.units, create.limit.window_ms) == (20, 1000)
    assert create.bucket == "bybit@api.example default order/create"
    assert ip.bucket == "bybit@api.example ip:default ip"
