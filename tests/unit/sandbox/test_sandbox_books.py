"""What must always hold: the books balance, and the same steps give the same fills."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import settings as tuning
from hypothesis import strategies as st

from providers.sandbox.values import (
    Leg,
    OrderState,
    PositionMode,
    Refused,
    Side,
)
from tests.unit.sandbox.engine_bench import START, SYMBOL, Bench

qtys = st.integers(1, 40).map(lambda steps: Decimal(steps) * Decimal("0.001"))
offsets = st.integers(-400, 400).map(lambda ticks: Decimal(ticks) * Decimal("0.1"))
actions = st.lists(
    st.one_of(
        st.tuples(st.just("market"), st.sampled_from(Side), qtys, offsets),
        st.tuples(st.just("limit"), st.sampled_from(Side), qtys, offsets),
        st.tuples(st.just("reduce"), st.sampled_from(Side), qtys, offsets),
        st.tuples(st.just("move"), st.sampled_from(Side), qtys, offsets),
        st.tuples(st.just("cancel"), st.sampled_from(Side), qtys, offsets),
        st.tuples(st.just("wait"), st.sampled_from(Side), qtys, offsets),
    ),
    max_size=40,
)


def act(bench: Bench, action: tuple[str, Side, Decimal, Decimal], leg: Leg) -> None:
    kind, side, qty, offset = action
    last = bench.market.last(SYMBOL, bench.now)
    try:
        match kind:
            case "market":
                bench.place(side, qty, leg=leg)
            case "limit":
                bench.place(side, qty, price=last + offset, leg=leg)
            case "reduce":
                bench.place(side, qty, reduce_only=True, leg=leg)
            case "move":
                bench.price(last + offset * 10)
            case "cancel":
                for order in list(bench.account.open.values())[:1]:
                    bench.engine.cancel(order, bench.now)
            case _:
                bench.wait(7)
    except Refused:
        pass


def check_invariants(bench: Bench) -> None:
    account, truth = bench.account, bench.truth
    for (symbol, leg), position in account.positions.items():
        fills = [f for f in truth.fills if (f.symbol, f.leg) == (symbol, leg)]
        assert position.size == sum((f.qty * f.side.sign for f in fills), Decimal(0))
        assert bool(position.cost) == bool(position.size)
        if leg is Leg.LONG:
            assert position.size >= 0
        if leg is Leg.SHORT:
            assert position.size <= 0
    # Cash less the cost of what is held is the start balance less what was spent, exactly.
    spent = sum((f.qty * f.side.sign * f.price + f.fee for f in truth.fills), Decimal(0))
    held = sum((p.cost for p in account.positions.values()), Decimal(0))
    assert account.wallet - held == START - spent
    assert account.order_margin == sum((o.reserved for o in account.open.values()), Decimal(0))
    for order in truth.orders:
        assert order.filled == sum((f.qty for f in order.fills), Decimal(0))
        assert order.filled <= order.qty <= order.asked_qty
        assert (order.order_id in account.open) is not order.state.final
        assert (order.state is OrderState.FILLED) is (order.filled == order.qty)
        if order.closing:
            assert all(fill.closed_qty == fill.qty for fill in order.fills)


@tuning(deadline=None)  # a busy machine is no failure
@given(actions, st.sampled_from([0, 5]), st.integers(1, 3))
def test_books_balance_one_way(
    steps: list[tuple[str, Side, Decimal, Decimal]], delay: int, splits: int
) -> None:
    bench = Bench(fill_delay_ms=delay, splits=splits)
    for step in steps:
        act(bench, step, Leg.NET)
        check_invariants(bench)


@tuning(deadline=None)  # a busy machine is no failure
@given(
    st.lists(st.tuples(actions.map(lambda steps: steps[:6]), st.booleans()), max_size=6),
    st.sampled_from([0, 5]),
)
def test_books_balance_in_hedge_mode(
    rounds: list[tuple[list[tuple[str, Side, Decimal, Decimal]], bool]], delay: int
) -> None:
    bench = Bench(fill_delay_ms=delay, mode=PositionMode.HEDGE)
    for steps, long in rounds:
        for step in steps:
            act(bench, step, Leg.LONG if long else Leg.SHORT)
        check_invariants(bench)


@tuning(deadline=None)  # a busy machine is no failure
@given(actions)
def test_the_same_steps_give_the_same_fills(
    steps: list[tuple[str, Side, Decimal, Decimal]],
) -> None:
    def run() -> list[tuple[str, Decimal, Decimal]]:
        bench = Bench(fill_delay_ms=5)
        for step in steps:
            act(bench, step, Leg.NET)
        return [(f.order_id, f.price, f.qty) for f in bench.truth.fills]

    assert run() == run()
