"""What a client asks before it signs, and what answers do to the shared count."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import httpx
import pytest

from providers.admission import Usage
from providers.bybit.client import BybitClient
from providers.errors import ExchangeUnavailable
from providers.http import Http, Timeouts
from providers.limits.limiter import Closed, LocalLimiter, OpenLimiter, Slot
from providers.limits.plan import Rules, parse_overrides
from providers.orders import OrderType, PreparedOrder, Side
from providers.outcomes import OutcomeClass, PlacementKind
from providers.settings import QUOTAS, ExchangeSettings
from tests.unit.providers.bybit_stub import (
    CREATE,
    KEY,
    SECRET,
    TIME,
    BybitStub,
    accepted,
    business,
    ok,
)
from tests.unit.providers.helpers import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.limits.plan import Need, Want

from decimal import Decimal

RULES = Rules(margin_ms=80)
ORDER = PreparedOrder(
    client_order_id="tw-0001",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.005"),
    reduce_only=False,
)


class ScriptedLimiter(OpenLimiter):
    """Answers from a list, then with a slot now; writes everything down."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.answers: deque[Slot | Closed] = deque()
        self.asked: list[Want] = []
        self.charged: list[tuple[str, int]] = []
        self.cooled: list[tuple[str, float]] = []

    @property
    def rules(self) -> Rules | None:
        return RULES

    async def take(self, want: Want, patience: float) -> Slot | Closed:
        del patience
        self.asked.append(want)
        if self.answers:
            return self.answers.popleft()
        return Slot(self.clock.monotonic(), (1,) * len(want.needs))

    def cool_down(self, scope: str, seconds: float, why: str) -> None:
        self.cooled.append((scope, round(seconds, 3)))
        super().cool_down(scope, seconds, why)

    def charge(self, need: Need, units: int) -> None:
        self.charged.append((need.limit.name, units))


class Bench:
    """A client over a stub, a limiter that does as it is told, and a clock that sleeping moves."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stub = BybitStub()
        self.stub.answers[TIME] = [ok({"timeNano": "1700000000000000000"})]
        self.stub.answers[CREATE] = [accepted()]
        self.limiter = ScriptedLimiter(self.clock)
        self.slept: list[float] = []
        self.client = BybitClient(
            "https://bybit.test/",
            KEY,
            SECRET,
            Http(Timeouts(1.0, 1.0), httpx.MockTransport(self.stub)),
            self.clock,
            recv_window_ms=5000,
            instruments_ttl=3600.0,
            sleep=self.sleep,
        )
        self.client.limit_with(self.limiter, 5.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def slot(self, wait: float, used: Iterable[int] = (1, 1)) -> None:
        self.limiter.answers.append(Slot(self.clock.monotonic() + wait, tuple(used)))

    @property
    def create_bucket(self) -> str:
        return "bybit@bybit.test default order/create"


async def test_the_slot_is_waited_for_before_and_the_signature_is_made_after() -> None:
    bench = Bench()
    bench.slot(2.0)

    await bench.client.reserve(ORDER)
    assert bench.slept == [2.0]
    assert bench.stub.requests == []
    placement = await bench.client.place(ORDER)

    assert placement.kind is PlacementKind.ACCEPTED
    assert len(bench.limiter.asked) == 1, "the slot that was reserved serves the placement"
    (request,) = bench.stub.seen(CREATE)
    assert request.headers["X-BAPI-TIMESTAMP"] == str(1_700_000_000_000 + 2000)


async def test_an_address_is_busy_while_half_of_its_limit_is_in_use_and_a_moment_longer() -> None:
    bench = Bench()
    bench.slot(0.0, (1, 301))  # of 600 in five seconds

    await bench.client.reserve(ORDER)

    assert bench.client.busy
    bench.clock.advance(4.9)
    assert bench.client.busy
    bench.clock.advance(0.2)  # nothing was asked since: nobody knows any more
    assert not bench.client.busy


async def test_a_wait_that_is_too_long_sends_nothing_and_says_how_long() -> None:
    bench = Bench()
    bench.limiter.answers.append(Closed(7.5))

    with pytest.raises(ExchangeUnavailable, match=r"7\.5 s away; nothing was sent") as caught:
        await bench.client.reserve(ORDER)

    assert caught.value.outcome_class is OutcomeClass.RATE_ACCOUNT
    assert caught.value.retry_after == 7.5
    assert bench.stub.requests == []


async def test_a_slot_that_was_missed_is_taken_anew_before_signing() -> None:
    bench = Bench()
    await bench.client.reserve(ORDER)
    bench.clock.advance(0.049)  # the part of the margin that is ours, and a little more
    bench.slot(0.5)

    await bench.client.place(ORDER)

    assert len(bench.limiter.asked) == 2
    assert bench.slept == [0.5]


async def test_the_time_that_the_intent_takes_is_part_of_the_wait() -> None:
    bench = Bench()
    await bench.client.reserve(ORDER)
    bench.clock.advance(0.03)  # the intent is committed
    await bench.client.place(ORDER)

    bench.slot(2.0)
    await bench.client.reserve(ORDER)
    assert bench.slept == [pytest.approx(1.97)]
    bench.clock.advance(0.01)  # faster this time
    await bench.client.place(ORDER)

    assert bench.slept == [pytest.approx(1.97), pytest.approx(0.02)]
    assert len(bench.limiter.asked) == 2, "the slot was not missed"


async def test_an_order_whose_slot_never_comes_again_is_deferred_and_not_sent() -> None:
    bench = Bench()
    await bench.client.reserve(ORDER)
    bench.clock.advance(1.0)
    bench.limiter.answers.append(Closed(9.0))

    placement = await bench.client.place(ORDER)

    assert (placement.kind, placement.retry_after) == (PlacementKind.DEFERRED, 9.0)
    assert placement.sent_at is None
    assert bench.stub.requests == []


async def test_a_cool_down_that_begins_during_the_wait_holds() -> None:
    bench = Bench()
    bench.slot(1.0)
    bench.limiter.cool_down("bybit@bybit.test ip:default", 60.0, "somebody was banned")

    with pytest.raises(ExchangeUnavailable, match="stay away") as caught:
        await bench.client.reserve(ORDER)

    assert bench.slept == [1.0]
    assert caught.value.outcome_class is OutcomeClass.RATE_IP


async def test_a_cool_down_that_begins_after_the_wait_holds_too() -> None:
    bench = Bench()
    await bench.client.reserve(ORDER)
    bench.limiter.cool_down("bybit@bybit.test ip:default", 60.0, "somebody was banned")

    placement = await bench.client.place(ORDER)

    assert placement.outcome_class is OutcomeClass.RATE_IP
    assert bench.stub.requests == []


async def test_during_a_ban_not_even_the_clock_is_read() -> None:
    bench = Bench()
    bench.stub.answers[TIME] = [httpx.Response(403, text="403 Forbidden: access too frequent")]

    with pytest.raises(ExchangeUnavailable):
        await bench.client.server_time()
    assert bench.limiter.cooled == [("bybit@bybit.test ip:default", 600.0)]

    sent = len(bench.stub.requests)
    for call in (bench.client.server_time, bench.client.balances):
        with pytest.raises(ExchangeUnavailable, match="stay away"):
            await call()
    assert (await bench.client.place(ORDER)).kind is PlacementKind.DEFERRED
    assert len(bench.stub.requests) == sent


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7200", 7200.0),  # a ban lasts as long as it lasts: to come back early deepens it
        ("259200", 259200.0),
        ("9" * 30, 259200.0),
        ("Fri, 17 Nov 2023 22:13:20 GMT", 259200.0),
        ("0", 600.0),  # says nothing
        ("Mon, 13 Nov 2023 22:13:20 GMT", 600.0),
        ("-5", 600.0),
        ("soon", 600.0),
        ("", 600.0),
    ],
)
async def test_a_ban_is_kept_for_as_long_as_the_exchange_says(said: str, seconds: float) -> None:
    bench = Bench()
    banned = httpx.Response(403, headers={"Retry-After": said}, text="access too frequent")
    bench.stub.answers[CREATE] = [banned]

    await bench.client.place(ORDER)

    assert bench.limiter.cooled == [("bybit@bybit.test ip:default", seconds)]


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(429, {}, 10.0), (429, {"Retry-After": "30"}, 30.0), (418, {}, 600.0)],
)
async def test_what_is_told_to_stay_away_does_though_its_outcome_is_not_known(
    status: int, headers: dict[str, str], seconds: float
) -> None:
    """Bybit documents no such answer to an order, so the order may be there; ask, but later."""
    bench = Bench()
    bench.stub.answers[CREATE] = [httpx.Response(status, headers=headers)]

    placement = await bench.client.place(ORDER)

    assert placement.kind is PlacementKind.UNKNOWN
    assert bench.limiter.cooled == [("bybit@bybit.test ip:default", seconds)]
    sent = len(bench.stub.requests)
    with pytest.raises(ExchangeUnavailable, match="stay away"):
        await bench.client.find_order("BTCUSDT", ORDER.client_order_id)
    assert len(bench.stub.requests) == sent


async def test_a_broken_limit_shuts_its_endpoint_until_the_time_that_was_told() -> None:
    bench = Bench()
    headers = {"X-Bapi-Limit-Reset-Timestamp": "1700000000800"}
    bench.stub.answers[CREATE] = [business(10006, "Too many visits!", headers=headers)]

    placement = await bench.client.place(ORDER)

    assert placement.kind is PlacementKind.DEFERRED
    assert bench.limiter.cooled == [(bench.create_bucket, 0.8)]


@pytest.mark.parametrize(
    ("left", "charged"),
    [("9", []), ("8", []), ("5", [("order/create", 3)]), ("0", [("order/create", 8)])],
)
async def test_what_others_use_of_the_account_is_seen_in_the_headers(
    left: str, charged: list[tuple[str, int]]
) -> None:
    bench = Bench()
    answer = accepted()
    answer.headers.update({"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": left})
    bench.stub.answers[CREATE] = [answer]
    bench.slot(0.0, used=(1, 1))

    await bench.client.reserve(ORDER)
    await bench.client.place(ORDER)

    assert bench.limiter.charged == charged


async def test_a_long_window_that_is_almost_used_up_is_left_alone_until_it_ends() -> None:
    bench = Bench()
    await bench.client.reserve(ORDER)
    admission = bench.client._admission
    ticket, _ = admission._held["tw-0001"]

    admission.counted(ticket, [Usage("ip", 590, 3.0)])
    assert bench.limiter.cooled == []
    admission.counted(ticket, [Usage("ip", 596, 3.0)])
    assert bench.limiter.cooled == [("bybit@bybit.test ip:default ip", 3.0)]


async def test_a_close_and_a_look_up_are_urgent_and_an_opening_is_not() -> None:
    bench = Bench()
    await bench.client.reserve(ORDER)
    closing = PreparedOrder(
        client_order_id="tw-0002",
        symbol="BTCUSDT",
        side=Side.SELL,
        order_type=OrderType.MARKET,
        quantity=Decimal("0.005"),
        reduce_only=True,
    )
    await bench.client.reserve(closing)
    bench.stub.answers["/v5/order/realtime"] = [ok({"list": []})]
    bench.stub.answers["/v5/order/history"] = [ok({"list": []})]
    bench.stub.answers["/v5/execution/list"] = [ok({"list": []})]
    await bench.client.find_order("BTCUSDT", "tw-0001")

    # The last asks whether there are executions at least, of which fills are read as well.
    assert [want.urgent for want in bench.limiter.asked] == [False, True, True, True, False]


async def test_a_local_limiter_keeps_to_its_share() -> None:
    bench = Bench()
    limiter = LocalLimiter(bench.clock, RULES, replicas=5)
    bench.client.limit_with(limiter, 60.0)

    for number in range(5):
        await bench.client.reserve(
            PreparedOrder(
                client_order_id=f"tw-{number}",
                symbol="BTCUSDT",
                side=Side.BUY,
                order_type=OrderType.MARKET,
                quantity=Decimal("0.005"),
                reduce_only=False,
            )
        )

    # A fifth of ten in 1.08 s.
    assert [round(one, 2) for one in bench.slept] == [1.08, 1.08]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bybit", "EXCHANGE:LIMIT=REQUESTS"),
        (
            "kraken:order=3",
            "no limits of 'kraken' are known; there are those of binance, bybit, mexc",
        ),
        ("bybit:orders=3", "bybit has no limit 'orders'; there are account/fee-rate"),
        ("bybit:order/create=0", "at least 1 request"),
        ("bybit:ip=5,bybit:ip=6", "given twice"),
    ],
)
def test_overrides_that_are_wrong_are_refused_with_what_would_be_right(
    text: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        parse_overrides(text, QUOTAS)
    with pytest.raises(ValueError, match=says):
        ExchangeSettings(rate_limit_overrides=text)


def test_overrides_are_read() -> None:
    settings = ExchangeSettings(rate_limit_overrides="bybit:order/create=20, binance:ip=6000")
    assert settings.rate_rules.overrides == {"bybit": {"order/create": 20}, "binance": {"ip": 6000}}
