"""What is taken from a list of orders or executions: only what leaves no doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from providers.many import complete_fills, plainly_shown
from providers.orders import Fill, OrderStatus, OrderView, Side

NAMES = st.sampled_from(["tw-1", "tw-2", "tw-3", "by-hand", ""])
SYMBOLS = st.sampled_from(["BTCUSDT", "ETHUSDT"])
FILLED = Decimal("0.005")


def view(name: str, symbol: str = "BTCUSDT", status: OrderStatus = OrderStatus.FILLED) -> OrderView:
    return OrderView(
        client_order_id=name,
        exchange_order_id=f"x-{name}",
        symbol=symbol,
        side=Side.BUY,
        status=status,
        quantity=FILLED,
        filled_quantity=FILLED,
        average_price=Decimal(100),
        fee=None,
        fee_currency=None,
        reject_reason=None,
        updated_at=None,
    )


def fill(order: OrderView, quantity: Decimal, number: int = 0) -> Fill:
    return Fill(
        fill_id=f"{order.exchange_order_id}-{number}",
        exchange_order_id=order.exchange_order_id,
        symbol=order.symbol,
        side=order.side,
        price=Decimal(100),
        quantity=quantity,
        fee=Decimal("0.01"),
        fee_currency="USDT",
        maker=False,
        executed_at=datetime(2026, 1, 31, tzinfo=UTC),
    )


VIEWS = st.lists(st.builds(view, NAMES, SYMBOLS, st.sampled_from(OrderStatus)), max_size=8)


@given(VIEWS, st.dictionaries(NAMES, SYMBOLS))
def test_an_order_is_taken_if_it_is_the_only_one_under_its_id_and_as_it_was_wanted(
    views: list[OrderView], wanted: dict[str, str]
) -> None:
    found = plainly_shown(views, wanted)
    for name, symbol in wanted.items():
        shown = [one for one in views if one.client_order_id == name]
        plain = (
            len(shown) == 1
            and shown[0].symbol == symbol
            and shown[0].status is not OrderStatus.REJECTED
        )
        assert (found.get(name) in shown) is plain
    assert found.keys() <= wanted.keys()


PARTS = st.lists(st.sampled_from([Decimal("0.001"), Decimal("0.002"), FILLED]), max_size=4)


@given(PARTS, PARTS)
def test_fills_are_taken_if_they_add_up(mine: list[Decimal], others: list[Decimal]) -> None:
    one, other = view("tw-1"), view("tw-2")
    fills = [fill(one, part, number) for number, part in enumerate(mine)]
    shown = [*fills, *(fill(other, part, number) for number, part in enumerate(others))]
    found = complete_fills(shown, [one])
    assert found == ({"tw-1": fills} if sum(mine) == FILLED else {})


def test_fills_of_another_symbol_are_not_an_orders_own() -> None:
    order = view("tw-1")
    stray = replace(fill(order, FILLED), symbol="ETHUSDT")
    assert complete_fills([stray], [order]) == {}
