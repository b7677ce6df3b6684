"""Resolving an order of unknown outcome, as a state machine: looks at any moments, in any order.

The model knows what became of the request: when it landed, if it did, and from when look-ups show
it. The decision must never call an order absent that is there or can still come, and must come to
an end once nothing can change any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from consumer.execution.resolution import ABSENT_LOOKS, Expected, Verdict, judge
from providers.orders import OrderStatus, OrderView, Side
from tests.fakes.virtual_time import START

MARGIN = 5.0
WANTED = Expected("BTCUSDT", Side.BUY, Decimal("0.005"), reduce_only=False)
MOMENTS = st.floats(0, 30, allow_nan=False)


def shown(*, ours: bool) -> OrderView:
    return OrderView(
        client_order_id="tw-1",
        exchange_order_id="1",
        symbol="BTCUSDT",
        side=Side.BUY if ours else Side.SELL,
        status=OrderStatus.NEW,
        quantity=Decimal("0.005"),
        filled_quantity=Decimal(0),
        average_price=None,
        fee=None,
        fee_currency=None,
        reject_reason=None,
        updated_at=START,
    )


@dataclass
class Truth:
    """What became of the request; seconds from the send."""

    may_land_until: float
    lands_at: float | None
    lag: float
    ours: bool

    def seen_at(self, moment: float) -> OrderView | None:
        if self.lands_at is None or moment < self.lands_at + self.lag:
            return None
        return shown(ours=self.ours)


class Resolving(RuleBasedStateMachine):
    verdict: Verdict | None = None
    now = 0.0
    absent = 0

    @initialize(
        window=MOMENTS,
        lands=st.none() | st.floats(0, 1),
        lag=st.floats(0, MARGIN),
        ours=st.integers(0, 4),
    )
    def send(self, window: float, lands: float | None, lag: float, ours: int) -> None:
        landed = None if lands is None else lands * window
        self.truth = Truth(window, landed, lag, ours > 0)

    @precondition(lambda self: self.verdict is None)
    @rule(seconds=MOMENTS, took=st.floats(0, 10))
    def look(self, seconds: float, took: float) -> None:
        """Ask at `now`; the exchange reads its book at some moment until the answer is there."""
        self.now += seconds
        found = self.truth.seen_at(self.now + took)
        verdict = self.judged(found)
        self.now += took
        match verdict:
            case Verdict.ADOPT | Verdict.QUARANTINE:
                assert found is not None
                assert (verdict is Verdict.ADOPT) is self.truth.ours
                self.verdict = verdict
            case Verdict.ABSENT:
                assert self.truth.lands_at is None, "it is there, or will be"
                self.verdict = verdict
            case Verdict.LOOK_AGAIN:
                self.absent += 1
                assert self.absent < ABSENT_LOOKS
            case Verdict.WAIT:
                assert self.absent == 0
                assert self.now - took <= self.truth.may_land_until + MARGIN + 0.001

    @rule()
    def worker_ends(self) -> None:
        """Another one takes the order over, and begins to count anew."""
        self.absent = 0

    def teardown(self) -> None:
        """Once nothing can change any more, as many looks as have to agree are enough."""
        if not hasattr(self, "truth") or self.verdict is not None:
            return
        self.now = max(self.now, self.truth.may_land_until + MARGIN) + 1
        for _ in range(ABSENT_LOOKS):
            verdict = self.judged(self.truth.seen_at(self.now))
            if verdict is not Verdict.LOOK_AGAIN:
                break
            self.absent += 1
        there = self.truth.lands_at is not None
        assert verdict in ((Verdict.ADOPT, Verdict.QUARANTINE) if there else (Verdict.ABSENT,))

    def judged(self, found: OrderView | None) -> Verdict:
        return judge(
            found,
            WANTED,
            now=START + timedelta(seconds=self.now),
            may_land_until=START + timedelta(seconds=self.truth.may_land_until),
            margin=timedelta(seconds=MARGIN),
            absent_before=self.absent,
        )


TestResolving = Resolving.TestCase
TestResolving.settings = settings(max_examples=150, stateful_step_count=12, deadline=None)
