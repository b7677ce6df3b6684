"""The demo's last line is counted, not claimed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from deploy.demo_report import DeadLetter, count
from storage.orders import OrderRow
from storage.states import OrderState


def _row(request_id: str, state: OrderState, *, filled: str = "0", attempts: int = 1) -> OrderRow:
    values: dict[str, Any] = dict.fromkeys(OrderRow.__dataclass_fields__)
    values |= {
        "request_id": request_id,
        "client_order_id": f"tw-{request_id}",
        "state": state,
        "attempts": attempts,
        "filled_quantity": Decimal(filled),
        "received_at": datetime.now(UTC),
    }
    return OrderRow(**values)


def _order(request_id: str, filled: str = "1") -> dict[str, str]:
    return {"client_order_id": f"tw-{request_id}", "filled": filled}


FILLED = _row("a", OrderState.FILLED, filled="1", attempts=2)


def test_a_good_run_has_two_zeros() -> None:
    report = count(["a", "a", "m"], [FILLED], [DeadLetter("m", "NOT_JSON", "")], [_order("a")], 0)
    assert report.line == (
        "demo: 3 published, 1 filled, 0 rejected, 1 dead-lettered, 1 retried, 0 lost, 0 doubled"
    )


@pytest.mark.parametrize(
    ("rows", "left"),
    [([], 0), ([_row("a", OrderState.DEFERRED)], 0), ([FILLED], 1)],
    ids=["in no ledger", "not final", "still queued"],
)
def test_a_message_without_an_end_is_lost(rows: list[OrderRow], left: int) -> None:
    assert len(count(["a"], rows, [], [], left).lost) == 1


@pytest.mark.parametrize(
    "book",
    [[_order("a"), _order("a")], [_order("a"), _order("b")], [_order("a", "2")]],
    ids=["twice", "unknown to the ledger", "more than the ledger has"],
)
def test_an_order_too_many_is_doubled(book: list[dict[str, str]]) -> None:
    assert len(count(["a"], [FILLED], [], book, 0).doubled) == 1


def test_orders_of_other_people_do_not_count() -> None:
    stranger = {"client_order_id": "by-hand", "filled": "1"}
    assert not count(["a"], [FILLED], [], [_order("a"), stranger], 0).doubled
