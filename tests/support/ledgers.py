"""Orders as the ledger takes them, for tests of the ledger itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Unpack
from uuid import uuid4

from providers.limits.pacing import Pace
from providers.limits.plan import Need, Want
from providers.limits.quota import Published
from providers.orders import OrderType, PreparedOrder, Side
from storage.identity import client_order_id, fingerprint
from storage.ledger import Change, Claimed, Intent, Lane, Ledger, NewOrder, Ready
from storage.states import OrderState

if TYPE_CHECKING:
    from storage.ledger import ChangeDetails
    from storage.orders import OrderRow
    from storage.postgres import Database

LEASE = timedelta(seconds=60)


def open_ledger(
    database: Database, lease: timedelta = LEASE, alive_for: timedelta | None = None
) -> Ledger:
    """The ledger as a new owner sees it, who counts as alive for as long as a claim holds."""
    alive = lease if alive_for is None else alive_for
    return Ledger(database, uuid4(), lease, alive_for=alive, send_within=alive / 10)


def new_order(request_id: str, **fields: Any) -> NewOrder:  # noqa: ANN401 - fields of any type
    """A market LONG of 0.005 BTC; the fingerprint follows from the quantity."""
    quantity = fields.get("quantity", Decimal("0.005"))
    values: dict[str, Any] = {
        "client_order_id": client_order_id(request_id, "default"),
        "fingerprint": fingerprint({"quantity": quantity}),
        "payload": {"requestId": request_id},
        "exchange": "bybit",
        "account": "default",
        "symbol": "BTCUSDT",
        "action": "LONG",
        "quantity": quantity,
        "price": None,
        "queued_at": None,
        "received_at": datetime.now(UTC),
        **fields,
    }
    return NewOrder(request_id=request_id, **values)


async def claimed(ledger: Ledger, request_id: str, **fields: Any) -> OrderRow:  # noqa: ANN401 - as above
    """Claim an order that must be free."""
    claim = await ledger.claim(new_order(request_id, **fields))
    assert isinstance(claim, Claimed), claim
    return claim.row


def buy(order: OrderRow | NewOrder) -> PreparedOrder:
    """The market order that is sent for what was asked for."""
    return PreparedOrder(
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=order.quantity,
        reduce_only=False,
    )


def slots(general: int, *, bucket: str = "bybit@here default orders") -> Want:
    """Ask for one slot of a limit, of which there are so many in an hour."""
    hour_ms = 3_600_000
    limit = Published("orders", general, hour_ms)
    need = Need(bucket, limit, 1, Pace(general, 0, hour_ms), 0)
    return Want("bybit", "bybit@here ip:default", (need,), urgent=False)


WANT = slots(400)  # more than a test takes


def ready(new: NewOrder, **fields: Any) -> Ready:  # noqa: ANN401 - as above
    """What the intent needs of an order to which nothing is to be asked first."""
    return Ready(**{"order": buy(new), "may_land_for": timedelta(seconds=5), **fields})


def intent(row: OrderRow, **fields: Any) -> Intent:  # noqa: ANN401 - as above
    """The intent to send what was asked for."""
    values: dict[str, Any] = {
        "request_id": row.request_id,
        "fence": row.fence,
        "before": row.state,
        "lane": Lane(row.exchange, row.account, row.symbol),
        "order": buy(row),
        "may_land_for": timedelta(seconds=5),
        **fields,
    }
    return Intent(**values)


def change(
    row: OrderRow, before: OrderState, after: OrderState, **details: Unpack[ChangeDetails]
) -> Change:
    """What became of a claimed order; with its lease its lane is given up."""
    lane = None if details.get("keep_lease") else Lane(row.exchange, row.account, row.symbol)
    return Change(
        request_id=row.request_id,
        fence=row.fence,
        before=before,
        after=after,
        lane=lane,
        **details,
    )


# A way from a claim to each state, over steps that the table allows; RECEIVED is the claim itself.
WAY_TO: dict[OrderState, tuple[OrderState, ...]] = {
    OrderState.RECEIVED: (),
    OrderState.DENIED: (OrderState.DENIED,),
    OrderState.EXPIRED: (OrderState.EXPIRED,),
    OrderState.DEFERRED: (OrderState.DEFERRED,),
    OrderState.SENDING: (OrderState.SENDING,),
    OrderState.UNKNOWN: (OrderState.SENDING, OrderState.UNKNOWN),
    OrderState.ACCEPTED: (OrderState.SENDING, OrderState.ACCEPTED),
    OrderState.PARTIALLY_FILLED: (
        OrderState.SENDING,
        OrderState.ACCEPTED,
        OrderState.PARTIALLY_FILLED,
    ),
    OrderState.FILLED: (OrderState.SENDING, OrderState.ACCEPTED, OrderState.FILLED),
    OrderState.CANCELED: (OrderState.CANCELED,),
    OrderState.REJECTED: (OrderState.SENDING, OrderState.REJECTED),
    OrderState.QUARANTINED: (OrderState.SENDING, OrderState.UNKNOWN, OrderState.QUARANTINED),
}


async def bring(ledger: Ledger, request_id: str, state: OrderState) -> OrderRow:
    """Claim a new order and bring it to a state; the last record releases the lease."""
    row = await claimed(ledger, request_id)
    before = row.state
    for after in WAY_TO[state]:
        if after is OrderState.SENDING:
            await ledger.begin_sending(intent(row, before=before))
        else:
            await ledger.record(change(row, before, after, keep_lease=after is not state))
        before = after
    return row
