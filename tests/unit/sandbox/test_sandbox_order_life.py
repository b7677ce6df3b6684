"""What happens to an accepted order: delays, fills, triggers, protection, cancels, ids."""

from __future__ import annotations

from decimal import Decimal

import pytest

from providers.sandbox.rules import DuplicateIds
from providers.sandbox.values import (
    EndCause,
    Leg,
    OrderState,
    Origin,
    Protection,
    Refusal,
    Refused,
    TimeInForce,
    Treatment,
    Trigger,
)
from tests.unit.sandbox.engine_bench import NOW, SYMBOL, Bench, refused, state

# -- order life ----------------------------------------------------------------------------------


def test_an_order_moves_on_after_the_delay() -> None:
    bench = Bench(fill_delay_ms=20)
    order = bench.buy("0.001")
    bench.wait(19)
    assert state(order) is OrderState.NEW
    bench.wait(1)
    assert state(order) is OrderState.FILLED
    assert bench.truth.fills[0].at_ms == NOW + 20


def test_splits_show_a_partial_fill_on_the_way_and_worsen_by_a_tick() -> None:
    bench = Bench(fill_delay_ms=10, splits=3)
    order = bench.buy("0.010")
    bench.wait(10)
    assert (order.state, order.filled) == (OrderState.PARTIALLY_FILLED, Decimal("0.003"))
    bench.wait(20)
    assert state(order) is OrderState.FILLED
    assert [fill.qty for fill in order.fills] == [
        Decimal("0.003"),
        Decimal("0.003"),
        Decimal("0.004"),
    ]
    assert [fill.price for fill in order.fills] == [
        Decimal("100000.0"),
        Decimal("100000.1"),
        Decimal("100000.2"),
    ]
    assert [fill.leaves for fill in order.fills] == [
        Decimal("0.007"),
        Decimal("0.004"),
        Decimal(0),
    ]


def test_a_market_order_beyond_its_band_is_cancelled() -> None:
    bench = Bench(fill_delay_ms=10)
    order = bench.buy("0.001")
    bench.price("105001")
    bench.wait(10)
    assert (order.state, order.end_cause) == (OrderState.CANCELED, EndCause.NO_LIQUIDITY)


def test_partial_fill_then_cancel() -> None:
    bench = Bench()
    order = bench.buy("0.009", treatment=Treatment(take_fraction=Decimal("0.5")))
    assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.004"))
    assert bench.size() == Decimal("0.004")


def test_fill_or_kill_takes_all_or_nothing() -> None:
    bench = Bench()
    order = bench.buy(
        "0.009",
        price=Decimal(100_100),
        time_in_force=TimeInForce.FOK,
        treatment=Treatment(take_fraction=Decimal("0.5")),
    )
    assert (order.state, order.filled) == (OrderState.CANCELED, Decimal(0))


@pytest.mark.parametrize(
    ("time_in_force", "price", "state", "cause"),
    [
        (TimeInForce.GTC, "100000", OrderState.FILLED, EndCause.NONE),
        (TimeInForce.GTC, "99999", OrderState.NEW, EndCause.NONE),
        (TimeInForce.IOC, "99999", OrderState.CANCELED, EndCause.NO_LIQUIDITY),
        (TimeInForce.FOK, "99999", OrderState.CANCELED, EndCause.NO_LIQUIDITY),
        (TimeInForce.FOK, "100000", OrderState.FILLED, EndCause.NONE),
        (TimeInForce.POST_ONLY, "100000", OrderState.CANCELED, EndCause.POST_ONLY_WOULD_TAKE),
        (TimeInForce.POST_ONLY, "99999", OrderState.NEW, EndCause.NONE),
    ],
)
def test_times_in_force(
    time_in_force: TimeInForce, price: str, state: OrderState, cause: EndCause
) -> None:
    bench = Bench()
    order = bench.buy("0.001", price=Decimal(price), time_in_force=time_in_force)
    assert (order.state, order.end_cause) == (state, cause)


def test_a_resting_order_fills_as_maker_at_its_price() -> None:
    bench = Bench()
    order = bench.buy("0.001", price=Decimal(99_000))
    bench.price("99001")
    assert state(order) is OrderState.NEW
    bench.price("98500")
    assert state(order) is OrderState.FILLED
    fill = order.fills[0]
    assert (fill.maker, fill.price, fill.fee) == (True, Decimal(99_000), Decimal("0.0198"))


def test_a_moving_price_fills_a_resting_order() -> None:
    bench = Bench()
    bench.market.release(SYMBOL)
    last = bench.market.last(SYMBOL, bench.now)
    order = bench.buy("0.001", price=last - bench.market.instruments[SYMBOL].tick)
    for _ in range(600):
        bench.wait(1000)
    assert state(order) is OrderState.FILLED


def test_rejected_after_acceptance() -> None:
    bench = Bench(fill_delay_ms=10)
    order = bench.buy("0.001", treatment=Treatment(reject_reason="EC_Others"))
    assert state(order) is OrderState.NEW
    bench.wait(10)
    assert (order.state, order.reject_reason, order.filled) == (
        OrderState.REJECTED,
        "EC_Others",
        Decimal(0),
    )
    assert bench.account.order_margin == 0


def test_hidden_orders_are_found_later() -> None:
    bench = Bench()
    bench.buy("0.001", client_order_id="a", treatment=Treatment(hide_ms=500))
    find = bench.engine.find
    assert find(bench.account, NOW + 499, client_order_id="a") is None
    found = find(bench.account, NOW + 500, client_order_id="a")
    assert found is not None
    assert found.state is OrderState.FILLED


def test_cancel_and_amend_only_while_open() -> None:
    bench = Bench()
    order = bench.buy("0.002", price=Decimal(99_000), client_order_id="a")
    engine, account = bench.engine, bench.account
    engine.amend(order, NOW, qty=Decimal("0.003"), price=Decimal(99_500))
    assert (order.qty, order.limit) == (Decimal("0.003"), Decimal(99_500))
    assert refused(lambda: engine.amend(order, NOW)) is Refusal.AMEND_UNCHANGED
    assert refused(lambda: engine.amend(order, NOW, qty=Decimal("0.0001"))) is Refusal.QTY_STEP
    engine.amend(order, NOW, price=Decimal(100_500))
    assert state(order) is OrderState.FILLED
    assert (
        refused(lambda: engine.open_order(account, NOW, client_order_id="a"))
        is Refusal.ORDER_UNKNOWN
    )
    assert (
        refused(lambda: engine.open_order(account, NOW, order_id="none")) is Refusal.ORDER_UNKNOWN
    )


def test_a_cancel_takes_its_time_and_may_lose() -> None:
    bench = Bench(fill_delay_ms=10)
    order = bench.buy("0.002", price=Decimal(99_000))
    bench.wait(10)
    bench.engine.cancel(order, bench.now)
    bench.wait(5)
    assert state(order) is OrderState.NEW
    bench.price("98000")
    bench.wait(5)
    assert state(order) is OrderState.FILLED


def test_steps_stay_due_when_the_clock_is_set_back() -> None:
    bench = Bench(fill_delay_ms=10)
    order = bench.buy("0.001", client_order_id="a", treatment=Treatment(hide_ms=15))
    bench.now -= 3_600_000
    bench.engine.book.rewind(3_600_000, bench.now)
    bench.wait(10)
    assert state(order) is OrderState.FILLED
    assert bench.engine.find(bench.account, bench.now, client_order_id="a") is None
    assert bench.engine.find(bench.account, bench.now + 5, client_order_id="a") is order


def test_conditional_orders_wake_at_their_trigger() -> None:
    bench = Bench()
    order = bench.buy("0.001", trigger=Trigger(Decimal(101_000), rising=True))
    assert state(order) is OrderState.UNTRIGGERED
    bench.price("100999")
    assert state(order) is OrderState.UNTRIGGERED
    bench.price("101000")
    assert state(order) is OrderState.FILLED
    other = bench.sell("0.001", trigger=Trigger(Decimal(90_000), rising=False))
    bench.engine.cancel(other, NOW)
    assert other.state is OrderState.DEACTIVATED


def test_too_many_orders() -> None:
    bench = Bench(max_open_orders=2, max_conditional=1)
    for _ in range(2):
        bench.buy("0.001", price=Decimal(99_000))
    assert refused(lambda: bench.buy("0.001")) is Refusal.TOO_MANY_ORDERS
    wake = Trigger(Decimal(101_000), rising=True)
    bench.buy("0.001", trigger=wake)
    assert refused(lambda: bench.buy("0.001", trigger=wake)) is Refusal.TOO_MANY_CONDITIONAL


def test_protection_closes_the_position() -> None:
    bench = Bench()
    guard = Protection(take_profit=Decimal(102_000), stop_loss=Decimal(98_000))
    bench.buy("0.002", protection=guard)
    assert bench.account.position(SYMBOL, Leg.NET).protection == guard
    bench.price("102000")
    closing = bench.truth.orders[-1]
    assert (closing.origin, closing.state) == (Origin.TAKE_PROFIT, OrderState.FILLED)
    assert bench.size() == 0
    bench.price("97000")
    assert len(bench.truth.orders) == 2


def test_protection_of_a_short_and_its_removal() -> None:
    bench = Bench()
    engine, account = bench.engine, bench.account
    guard = Protection(stop_loss=Decimal(103_000))
    assert (
        refused(lambda: engine.protect(account, SYMBOL, Leg.NET, guard, NOW)) is Refusal.NO_POSITION
    )
    bench.sell("0.002")
    engine.protect(account, SYMBOL, Leg.NET, guard, NOW)
    assert (
        refused(lambda: engine.protect(account, SYMBOL, Leg.NET, guard, NOW))
        is Refusal.PROTECTION_UNCHANGED
    )
    engine.protect(account, SYMBOL, Leg.NET, Protection(), NOW)
    bench.price("104000")
    assert bench.size() == Decimal("-0.002")


def test_a_protection_places_one_closing_order_only() -> None:
    bench = Bench(fill_delay_ms=10)
    bench.buy("0.002", protection=Protection(take_profit=Decimal(102_000)))
    bench.wait(10)
    bench.price("102500")
    bench.price("102600")
    assert len(bench.truth.orders) == 2
    bench.wait(10)
    assert bench.size() == 0


def test_a_flip_drops_the_old_positions_protection() -> None:
    bench = Bench()
    bench.buy("0.002", protection=Protection(stop_loss=Decimal(95_000)))
    bench.sell("0.005")
    assert not bench.account.position(SYMBOL, Leg.NET).protection
    bench.price("94000")
    assert bench.size() == Decimal("-0.003")


def test_an_order_that_only_reduces_gives_no_protection() -> None:
    bench = Bench()
    bench.buy("0.003")
    bench.sell("0.001", protection=Protection(take_profit=Decimal(90_000)))
    assert not bench.account.position(SYMBOL, Leg.NET).protection


# -- client order ids ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "while_open", "after_fill"),
    [
        (DuplicateIds.REFUSED_FOREVER, None, None),
        (DuplicateIds.REFUSED_WHILE_OPEN, None, "o2"),
        (DuplicateIds.RETURNS_EXISTING, "o1", "o1"),
        (DuplicateIds.ACCEPTED, "o2", "o3"),
    ],
)
def test_repeated_client_order_ids(
    rule: DuplicateIds, while_open: str | None, after_fill: str | None
) -> None:
    bench = Bench(duplicate_ids=rule)

    def again() -> str | None:
        try:
            return bench.buy("0.001", price=Decimal(99_000), client_order_id="a").order_id
        except Refused as no:
            return None if no.reason is Refusal.DUPLICATE_CLIENT_ID else str(no)

    bench.buy("0.001", price=Decimal(99_000), client_order_id="a")
    assert again() == while_open
    bench.price("98000")
    assert again() == after_fill


def test_recently_closed_orders_are_kept_up_to_a_number() -> None:
    bench = Bench(recent_closed=3)
    orders = [bench.buy("0.001") for _ in range(5)]
    assert list(bench.account.recent) == [order.order_id for order in orders[2:]]
    bench.engine.book.forget_recent()
    assert not bench.account.recent
