"""Whose an order is that an account shows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from consumer.execution.audit import intent_behind, strangers
from providers.orders import OrderStatus, OrderView, Side
from storage.foreign import Intended, Kind
from storage.identity import client_order_id

OURS = client_order_id("r-1", "default")
VIEW = OrderView(
    OURS, "x-1", "BTCUSDT", Side.BUY, OrderStatus.NEW, Decimal(1), Decimal(0),
    None, None, None, None, None,
)  # fmt: skip
SENT = {OURS: Intended(1, "x-1")}


@pytest.mark.parametrize("known", [SENT, {OURS: Intended(1, None)}, {OURS: Intended(3, "x-1")}])
def test_an_order_that_was_intended_is_no_stranger(known: dict[str, Intended]) -> None:
    assert strangers([VIEW, VIEW], known) == []  # shown twice is one order
    protective = replace(VIEW, client_order_id=f"{OURS}-sl", exchange_order_id="x-2")
    assert strangers([VIEW, protective], known) == []


@pytest.mark.parametrize("name", ["", "web-1", "tw-short", f"x{OURS}", OURS.upper()])
def test_an_order_under_another_kind_of_id_is_foreign(name: str) -> None:
    (found,) = strangers([VIEW, replace(VIEW, client_order_id=name, exchange_order_id="y")], SENT)
    assert (found.kind, found.view.exchange_order_id) == (Kind.FOREIGN, "y")
    assert intent_behind(name) is None


@pytest.mark.parametrize("known", [{}, {OURS: Intended(0, None)}, {OURS: Intended(1, "x-0")}])
def test_an_order_of_ours_that_was_not_intended_is_extra(known: dict[str, Intended]) -> None:
    (found,) = strangers([VIEW], known)
    assert found.kind is Kind.EXTRA


def test_several_orders_under_one_id_are_extra() -> None:
    second = replace(VIEW, exchange_order_id="x-2")
    found = strangers([VIEW, second], {OURS: Intended(1, None)})
    assert [one.kind for one in found] == [Kind.EXTRA, Kind.EXTRA]
    assert strangers([replace(VIEW, client_order_id="")] * 2, {})[0].kind is Kind.FOREIGN


def test_an_order_that_was_rejected_has_traded_nothing() -> None:
    """A refused repetition that an exchange keeps, or what a replay left behind."""
    spent = replace(VIEW, exchange_order_id="x-0", status=OrderStatus.REJECTED)
    assert strangers([VIEW, spent], SENT) == []
    assert strangers([spent], {}) == []
    filled = replace(spent, filled_quantity=Decimal("0.1"))
    assert {one.kind for one in strangers([VIEW, filled], SENT)} == {Kind.EXTRA}
