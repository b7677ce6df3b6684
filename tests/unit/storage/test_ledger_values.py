"""The pure parts of the ledger: why a claim fails, which errors are one item's own, texts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.claims import Busy, Conflict, NewOrder, Settled, why_not
from storage.ledger import _text
from storage.postgres import own_fault
from storage.states import OrderState
from tests.fakes.ledger import born

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ORDER = NewOrder(
    request_id="r-1",
    client_order_id="tw-1",
    fingerprint=b"1",
    payload={},
    exchange="bybit",
    account="default",
    symbol="BTCUSDT",
    action="LONG",
    quantity=Decimal("0.005"),
    price=None,
    queued_at=None,
    received_at=NOW,
)


@pytest.mark.parametrize("state", OrderState)
def test_why_a_row_could_not_be_claimed(state: OrderState) -> None:
    row = replace(born(ORDER, None, NOW, None), state=state)
    done = state.final or state.at_exchange
    assert why_not(row, ORDER) == (Settled(row) if done else Busy(row))
    assert why_not(row, replace(ORDER, fingerprint=b"2")) == Conflict(row)


@pytest.mark.parametrize(
    ("sqlstate", "alone"),
    [
        ("22021", True),  # a NUL in a text
        ("22P02", True),  # not readable as the column's type
        ("23505", True),  # another order has the client order id
        ("23514", True),  # a CHECK
        ("P0001", True),  # a plain RAISE EXCEPTION
        ("TW001", True),  # the state guard
        ("TW002", True),  # the event guard
        ("42P01", False),  # the table is missing: everybody's
        ("42501", False),  # no permission: everybody's
    ],
)
def test_which_errors_may_be_one_items_own(sqlstate: str, alone: bool) -> None:  # noqa: FBT001 - a parameter of the test
    error = asyncpg.PostgresError.new({"C": sqlstate, "M": "no", "S": "ERROR"})
    assert own_fault(error) == alone


def test_an_argument_that_the_driver_refuses_is_one_items_own() -> None:
    assert own_fault(asyncpg.DataError("invalid input for query argument $1"))


@given(st.text(st.characters(exclude_categories=[]), max_size=600) | st.none())
def test_what_an_exchange_says_can_always_be_kept(said: str | None) -> None:
    kept = _text(said)
    if not said:
        assert kept is None
        return
    assert kept is not None
    assert "\x00" not in kept
    assert kept.encode().decode() == kept
    assert len(kept) <= 500


def test_a_plain_text_is_kept_as_it_is() -> None:
    assert _text("Qty not in range: ≥ 0.001") == "Qty not in range: ≥ 0.001"
