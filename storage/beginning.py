"""Orders that are ready when they are claimed: how they are told to the database, and read back.

Pure. What the database does with them is in `storage/sql/begin_ready.sql`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import orjson

from storage.claims import Claimed, Lane, SlotTaken
from storage.orders import OrderRow
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    import asyncpg

    from providers.limits.plan import Need
    from storage.claims import NewOrder, Ready

_NOTHING = Decimal(0)


def arguments(some: Sequence[tuple[NewOrder, Ready]]) -> tuple[object, ...]:
    """Give what `begin_ready` takes of some orders, after owner, lease and time to send."""
    wants = [ready.want for _, ready in some if ready.want is not None]
    needs: dict[str, Need] = {}
    units: dict[str, int] = {}
    for want in wants:
        for need in want.needs:
            needs[need.bucket] = need
            units[need.bucket] = units.get(need.bucket, 0) + need.units
    paces = [need.pace for need in needs.values()]
    return (
        orjson.dumps([_document(*one) for one in some]).decode(),
        len(some),
        list(needs),
        list(units.values()),
        [pace.general for pace in paces],
        [pace.reserved for pace in paces],
        [pace.period_ms for pace in paces],
        list({scope for want in wants for scope in want.scopes}),
    )


def claimed(
    new: NewOrder, ready: Ready, record: asyncpg.Record, *, owner: UUID, lease: timedelta
) -> Claimed:
    """Make the claim of an order that has begun: the row is what we have just written."""
    order, now = ready.order, record["begun_at"]
    row = OrderRow(
        request_id=new.request_id,
        client_order_id=new.client_order_id,
        fingerprint=new.fingerprint,
        payload=new.payload,
        exchange=new.exchange,
        account=new.account,
        symbol=new.symbol,
        action=new.action,
        quantity=new.quantity,
        price=new.price,
        queued_at=new.queued_at,
        received_at=new.received_at,
        state=OrderState.SENDING,
        code=None,
        message=None,
        attempts=1,
        sends=1,
        updated_at=now,
        owner=owner,
        fence=1,
        lease_until=now + lease,
        side=order.side,
        order_type=order.order_type,
        order_quantity=order.quantity,
        order_price=order.price,
        reduce_only=order.reduce_only,
        intended_at=now,
        sent_at=None,
        may_land_until=now + ready.may_land_for,
        exchange_order_id=None,
        filled_quantity=_NOTHING,
        average_price=None,
        fee=None,
        fee_currency=None,
        finished_at=None,
        dead_lettered_at=None,
        check_at=None,
        checks=0,
        position_side=order.position_side,
        take_profit=order.take_profit,
        stop_loss=order.stop_loss,
        wanted_at=now,
    )
    slot = None
    if ready.want is not None:
        used = orjson.loads(record["slots_used"] or "{}")  # nothing is counted of some requests
        counts = tuple(used[need.bucket] for need in ready.want.needs)
        slot = SlotTaken(record["slot_at_s"], counts)
    return Claimed(row, now, Lane(new.exchange, new.account, new.symbol), slot)


def _document(new: NewOrder, ready: Ready) -> Mapping[str, object]:
    """Give an order as `begin_ready` reads it: numbers as text, so that none is ever a float."""
    order = ready.order
    return {
        "request_id": new.request_id,
        "client_order_id": new.client_order_id,
        "fingerprint": "\\x" + new.fingerprint.hex(),
        "payload": new.payload,
        "exchange": new.exchange,
        "account": new.account,
        "symbol": new.symbol,
        "action": new.action,
        "quantity": str(new.quantity),
        "price": _text(new.price),
        "queued_at": new.queued_at,
        "received_at": new.received_at,
        "side": order.side,
        "order_type": order.order_type,
        "order_quantity": str(order.quantity),
        "order_price": _text(order.price),
        "reduce_only": order.reduce_only,
        "position_side": order.position_side,
        "take_profit": _text(order.take_profit),
        "stop_loss": _text(order.stop_loss),
        "may_land_for": str(ready.may_land_for),
        "checked": None if ready.detail is None else orjson.Fragment(_json(ready.detail)),
    }


def _json(detail: Mapping[str, object]) -> bytes:
    return orjson.dumps(detail, default=str)


def _text(number: Decimal | None) -> str | None:
    return None if number is None else str(number)
