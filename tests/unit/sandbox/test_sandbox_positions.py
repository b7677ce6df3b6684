"""Netting, flips, legs, reduce-only, filters, margin and settings of the engine."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from providers.sandbox import settings
from providers.sandbox.values import (
    EndCause,
    Leg,
    MarginMode,
    OrderKind,
    OrderState,
    PositionMode,
    Protection,
    Refusal,
    Side,
)
from tests.unit.sandbox.engine_bench import NOW, SYMBOL, Bench, refused, state

# -- netting, flips, legs ------------------------------------------------------------------------


def test_opposite_orders_net_and_flip() -> None:
    bench = Bench()
    bench.buy("0.005")
    bench.price("110000")
    bench.sell("0.002")
    position = bench.account.position(SYMBOL, Leg.NET)
    assert (position.size, position.entry) == (Decimal("0.003"), Decimal(100_000))
    assert position.realised == Decimal(20)
    flip = bench.sell("0.010")
    assert position.size == Decimal("-0.007")
    assert position.entry == Decimal(110_000)
    assert flip.fills[0].closed_qty == Decimal("0.003")
    assert flip.fills[0].realised == Decimal(30)
    assert position.side is Side.SELL


def test_average_entry_over_two_prices() -> None:
    bench = Bench()
    bench.buy("0.001")
    bench.price("100300")
    bench.buy("0.002")
    assert bench.account.position(SYMBOL, Leg.NET).entry == Decimal(100_200)


def test_hedge_legs_stand_side_by_side() -> None:
    bench = Bench(mode=PositionMode.HEDGE)
    bench.buy("0.003", leg=Leg.LONG)
    bench.sell("0.002", leg=Leg.SHORT)
    assert (bench.size(Leg.LONG), bench.size(Leg.SHORT)) == (Decimal("0.003"), Decimal("-0.002"))
    bench.sell("0.009", leg=Leg.LONG)
    assert (bench.size(Leg.LONG), bench.size(Leg.SHORT)) == (Decimal(0), Decimal("-0.002"))


@pytest.mark.parametrize(
    ("mode", "leg"),
    [
        (PositionMode.ONE_WAY, Leg.LONG),
        (PositionMode.ONE_WAY, Leg.SHORT),
        (PositionMode.HEDGE, Leg.NET),
    ],
)
def test_leg_must_fit_the_mode(mode: PositionMode, leg: Leg) -> None:
    bench = Bench(mode=mode)
    assert refused(lambda: bench.buy("0.001", leg=leg)) is Refusal.LEG_MISMATCH


def test_hedge_close_without_a_leg_is_refused() -> None:
    bench = Bench(mode=PositionMode.HEDGE)
    bench.sell("0.002", leg=Leg.SHORT)
    assert refused(lambda: bench.sell("0.001", leg=Leg.LONG)) is Refusal.NOTHING_TO_REDUCE


# -- reduce-only ---------------------------------------------------------------------------------


def test_reduce_only_is_trimmed_to_the_position() -> None:
    bench = Bench()
    bench.buy("0.003")
    order = bench.sell("0.010", reduce_only=True)
    assert (order.asked_qty, order.qty, order.filled) == (
        Decimal("0.010"),
        Decimal("0.003"),
        Decimal("0.003"),
    )
    assert state(order) is OrderState.FILLED
    assert bench.size() == 0


def test_reduce_only_above_the_position_is_refused_where_the_venue_says_so() -> None:
    bench = Bench(trims_closes=False)
    bench.buy("0.003")
    assert refused(lambda: bench.sell("0.004", reduce_only=True)) is Refusal.CLOSE_TOO_LARGE


@pytest.mark.parametrize("held", ["0", "0.002"])
def test_reduce_only_with_nothing_to_reduce(held: str) -> None:
    bench = Bench()
    if held != "0":
        bench.buy(held)
    assert refused(lambda: bench.buy("0.001", reduce_only=True)) is Refusal.NOTHING_TO_REDUCE


def test_reduce_only_needs_no_minimum_notional() -> None:
    bench = Bench()
    bench.market.hold("XRPUSDT", Decimal("2.5"))
    bench.buy("10", symbol="XRPUSDT")
    assert refused(lambda: bench.sell("0.1", symbol="XRPUSDT")) is Refusal.NOTIONAL_BELOW_MIN
    assert bench.sell("0.1", symbol="XRPUSDT", reduce_only=True).state is OrderState.FILLED


def test_close_whole_takes_what_is_there() -> None:
    bench = Bench()
    bench.sell("0.004")
    order = bench.buy("0", reduce_only=True, close_whole=True)
    assert order.filled == Decimal("0.004")
    assert bench.size() == 0


def test_a_waiting_reduce_only_order_ends_when_the_position_goes() -> None:
    bench = Bench(fill_delay_ms=10)
    bench.buy("0.002")
    bench.wait(10)
    first = bench.sell("0.002", reduce_only=True)
    second = bench.sell("0.002", reduce_only=True)
    bench.wait(10)
    assert first.state is OrderState.FILLED
    assert (second.state, second.end_cause) == (OrderState.CANCELED, EndCause.NOTHING_TO_REDUCE)
    assert bench.size() == 0


def test_trimming_happens_on_acceptance_and_again_on_the_fill() -> None:
    bench = Bench(fill_delay_ms=10)
    bench.buy("0.003")
    bench.wait(10)
    first = bench.sell("0.002", reduce_only=True)
    second = bench.sell("0.009", reduce_only=True)
    assert second.qty == Decimal("0.003")
    bench.wait(10)
    assert (first.filled, second.filled) == (Decimal("0.002"), Decimal("0.001"))
    assert (second.qty, state(second)) == (Decimal("0.001"), OrderState.FILLED)


# -- filters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"qty": "0"}, Refusal.QTY_ZERO),
        ({"qty": "0.0015"}, Refusal.QTY_STEP),
        ({"qty": "501"}, Refusal.QTY_ABOVE_MAX),
        ({"qty": "1190.001", "price": Decimal(99_000)}, Refusal.QTY_ABOVE_MAX),
        ({"qty": "0.001", "price": Decimal("99000.05")}, Refusal.PRICE_TICK),
        ({"qty": "0.001", "price": Decimal(0)}, Refusal.PRICE_TICK),
        ({"qty": "0.001", "price": Decimal(9_999_999)}, Refusal.PRICE_BOUNDS),
        ({"qty": "0.001", "price": Decimal(106_000)}, Refusal.PRICE_BAND),
        ({"qty": "0.001", "price": None, "kind": OrderKind.LIMIT}, Refusal.PRICE_MISSING),
        ({"qty": "1", "symbol": "NOSUCHUSDT"}, Refusal.UNKNOWN_SYMBOL),
        ({"qty": "10", "symbol": "EOSUSDT"}, Refusal.NOT_TRADING),
        ({"qty": "1", "symbol": "DOGEUSDT"}, Refusal.NOTIONAL_BELOW_MIN),
        (
            {"qty": "0.001", "protection": Protection(take_profit=Decimal(99_000))},
            Refusal.PROTECTION_ILLEGAL,
        ),
        (
            {"qty": "0.001", "protection": Protection(stop_loss=Decimal(100_001))},
            Refusal.PROTECTION_ILLEGAL,
        ),
    ],
)
def test_filters(fields: dict[str, Any], reason: Refusal) -> None:
    bench = Bench()
    assert refused(lambda: bench.buy(**fields)) is reason
    assert bench.truth.orders == []


def test_a_sell_may_not_be_far_below() -> None:
    bench = Bench()
    assert refused(lambda: bench.sell("0.001", price=Decimal(94_000))) is Refusal.PRICE_BAND


def test_limit_orders_may_be_larger_than_market_orders() -> None:
    bench = Bench(balance=Decimal(10) ** 9)
    assert refused(lambda: bench.buy("600")) is Refusal.QTY_ABOVE_MAX
    assert bench.buy("600", price=Decimal(99_000)).state is OrderState.NEW


# -- margin --------------------------------------------------------------------------------------


def test_an_order_needs_margin_and_fee() -> None:
    bench = Bench(balance=Decimal(1000))
    # 0.1 x 100,000 at 10x is 1,000 of margin; the taker fee of 5.5 no longer fits.
    assert refused(lambda: bench.buy("0.1")) is Refusal.INSUFFICIENT_MARGIN
    assert bench.buy("0.099").state is OrderState.FILLED


def test_higher_leverage_makes_room() -> None:
    bench = Bench(balance=Decimal(1000))
    settings.set_leverage(
        bench.account,
        bench.market.instruments[SYMBOL],
        long=Decimal(20),
        short=Decimal(20),
        market=bench.market,
        now_ms=NOW,
    )
    assert bench.buy("0.19").state is OrderState.FILLED


def test_closing_needs_no_margin() -> None:
    bench = Bench(balance=Decimal(1000))
    bench.buy("0.099")
    assert bench.sell("0.099").state is OrderState.FILLED
    assert bench.size() == 0


def test_resting_orders_hold_margin_until_they_end() -> None:
    bench = Bench(balance=Decimal(1000))
    order = bench.buy("0.06", price=Decimal(99_000))
    assert bench.account.order_margin > 500
    assert refused(lambda: bench.buy("0.06", price=Decimal(99_000))) is Refusal.INSUFFICIENT_MARGIN
    bench.engine.cancel(order, bench.now)
    assert bench.account.order_margin == 0


def test_margin_is_released_fill_by_fill_and_follows_an_amendment() -> None:
    bench = Bench(fill_delay_ms=10, splits=2)
    bench.buy("0.002")
    whole = bench.account.order_margin
    bench.wait(10)
    assert bench.account.order_margin == whole / 2
    bench.wait(10)
    assert bench.account.order_margin == 0
    resting = bench.buy("0.002", price=Decimal(99_000))
    bench.wait(10)
    before = bench.account.order_margin
    bench.engine.amend(resting, bench.now, qty=Decimal("0.004"))
    assert bench.account.order_margin == 2 * before


def test_unrealised_profit_backs_orders_in_cross_margin_only() -> None:
    bench = Bench(balance=Decimal(1000))
    bench.buy("0.05")
    bench.price("104000")
    free = bench.account.available(bench.market, NOW)
    bench.account.margin_mode = MarginMode.ISOLATED
    assert free - bench.account.available(bench.market, NOW) == Decimal(200)


# -- settings ------------------------------------------------------------------------------------


def leverage(bench: Bench, long: str, short: str | None = None) -> None:
    settings.set_leverage(
        bench.account,
        bench.market.instruments[SYMBOL],
        long=Decimal(long),
        short=Decimal(short or long),
        market=bench.market,
        now_ms=NOW,
    )


def test_leverage_rules() -> None:
    bench = Bench(balance=Decimal(1000))
    leverage(bench, "20")
    assert refused(lambda: leverage(bench, "20.0")) is Refusal.LEVERAGE_UNCHANGED
    assert refused(lambda: leverage(bench, "101")) is Refusal.LEVERAGE_ABOVE_MAX
    assert refused(lambda: leverage(bench, "0.5")) is Refusal.LEVERAGE_STEP
    assert refused(lambda: leverage(bench, "5.005")) is Refusal.LEVERAGE_STEP
    assert refused(lambda: leverage(bench, "5", "6")) is Refusal.LEVERAGE_LEGS_DIFFER
    bench.buy("0.15")
    assert refused(lambda: leverage(bench, "2")) is Refusal.INSUFFICIENT_MARGIN
    assert bench.account.leverage(SYMBOL, Leg.NET) == 20


def test_legs_may_differ_in_hedge_with_isolated_margin() -> None:
    bench = Bench(mode=PositionMode.HEDGE)
    settings.set_margin_mode(bench.account, MarginMode.ISOLATED)
    leverage(bench, "5", "7")
    assert bench.account.leverage(SYMBOL, Leg.SHORT) == 7


def test_position_mode_waits_for_positions_and_orders() -> None:
    bench = Bench()
    account = bench.account

    def switch(mode: PositionMode, symbols: list[str] | None) -> None:
        settings.set_position_mode(account, symbols, mode)

    assert (
        refused(lambda: switch(PositionMode.ONE_WAY, [SYMBOL])) is Refusal.POSITION_MODE_UNCHANGED
    )
    bench.buy("0.001")
    assert (
        refused(lambda: switch(PositionMode.HEDGE, [SYMBOL])) is Refusal.POSITION_MODE_HAS_POSITION
    )
    assert refused(lambda: switch(PositionMode.HEDGE, None)) is Refusal.POSITION_MODE_HAS_POSITION
    switch(PositionMode.HEDGE, ["ETHUSDT"])
    assert account.mode("ETHUSDT") is PositionMode.HEDGE
    bench.sell("0.001")
    order = bench.buy("0.001", price=Decimal(99_000))
    assert refused(lambda: switch(PositionMode.HEDGE, [SYMBOL])) is Refusal.POSITION_MODE_HAS_ORDERS
    bench.engine.cancel(order, NOW)
    switch(PositionMode.HEDGE, None)
    assert {account.mode(s) for s in (SYMBOL, "ETHUSDT", "SOLUSDT")} == {PositionMode.HEDGE}


def test_margin_mode_waits_for_positions() -> None:
    bench = Bench()
    mode = MarginMode.ISOLATED
    bench.buy("0.001")
    assert (
        refused(lambda: settings.set_margin_mode(bench.account, mode))
        is Refusal.MARGIN_MODE_BLOCKED
    )
    bench.sell("0.001")
    settings.set_margin_mode(bench.account, mode)
    assert (
        refused(lambda: settings.set_margin_mode(bench.account, mode))
        is Refusal.MARGIN_MODE_UNCHANGED
    )
