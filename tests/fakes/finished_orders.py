"""Orders that came to an end, as the ledger has them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from storage.orders import OrderEvent, OrderRow
from storage.states import OrderState

FINISHED = datetime(2026, 1, 31, 12, 0, 0, 123999, tzinfo=UTC)

FILLED = OrderRow(
    request_id="r-1",
    client_order_id="tw-abc",
    fingerprint=b"\x01",
    payload={"requestId": "r-1", "action": "LONG", "quantity": "0.0050", "leverage": 10},
    exchange="bybit",
    account="default",
    symbol="BTCUSDT",
    action="LONG",
    quantity=Decimal("0.0050"),
    price=None,
    queued_at=FINISHED - timedelta(seconds=2),
    received_at=FINISHED - timedelta(seconds=1.9),
    state=OrderState.FILLED,
    code=None,
    message=None,
    attempts=2,
    sends=1,
    updated_at=FINISHED,
    owner=None,
    fence=2,
    lease_until=None,
    side="BUY",
    order_type="MARKET",
    order_quantity=Decimal("0.005"),
    order_price=None,
    reduce_only=False,
    intended_at=FINISHED - timedelta(seconds=1),
    sent_at=FINISHED - timedelta(seconds=0.75),
    may_land_until=None,
    exchange_order_id="e-1",
    filled_quantity=Decimal("0.005"),
    average_price=Decimal("12345678901234567890.123456789012345678901234567890"),
    fee=Decimal("1E+1"),
    fee_currency="USDT",
    finished_at=FINISHED,
    dead_lettered_at=None,
    check_at=None,
    checks=0,
)
DENIED = replace(
    FILLED,
    state=OrderState.DENIED,
    code="BELOW_MIN_QUANTITY",
    message="0.0001 is below 0.001",
    sends=0,
    side=None,
    order_type=None,
    order_quantity=None,
    reduce_only=None,
    intended_at=None,
    sent_at=None,
    exchange_order_id=None,
    filled_quantity=Decimal(0),
    average_price=None,
    fee=None,
    fee_currency=None,
)
EVENTS = [
    OrderEvent(FINISHED, None, OrderState.RECEIVED, 1, 1, None, None, {}),
    OrderEvent(
        FINISHED,
        OrderState.RECEIVED,
        OrderState.SENDING,
        2,
        2,
        None,
        None,
        {"order_type": "MARKET", "quantity": Decimal("0.0050"), "reduce_only": False},
    ),
]
