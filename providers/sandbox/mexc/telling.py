"""What MEXC's private pushes say of a change: order, deal, position, asset, trigger order.

Rows are those of the HTTP API. A deal carries the client order id here, which it does not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.journal import Entry
from providers.sandbox.mexc import plans, shapes, stops
from providers.sandbox.mexc.account import MexcAccount

if TYPE_CHECKING:
    from providers.sandbox.account import Position
    from providers.sandbox.journal import Told
    from providers.sandbox.mexc.desk import Desk

ORDER, DEAL, POSITION, ASSET = "order", "order.deal", "position", "asset"
PLAN, STOP = "plan.order", "stop.planorder"
CHANNELS: Final = (ORDER, DEAL, POSITION, ASSET, PLAN, STOP)

_Push = tuple[str, dict[str, Any], str, str]
"""Channel, data, symbol, client order id."""


def tell(desk: Desk, entry: Entry | Told, now_ms: int) -> list[_Push]:
    """The pushes of a change."""
    if not isinstance(entry, Entry) or not isinstance(entry.account, MexcAccount):
        return []
    order, account = entry.order, entry.account
    pushes: list[tuple[str, dict[str, Any]]] = []
    if stops.guards(order):
        pushes.append((STOP, stops.row(order, account)))
    elif order.trigger is not None:
        pushes.append((PLAN, plans.row(order, order.trigger, account)))
    if not plans.waits(order):
        pushes.append((ORDER, shapes.order(order, account)))
    if entry.fill is not None and entry.position is not None:
        deal = shapes.deal(entry.fill, order, account, taker_name="isTaker")
        deal["externalOid"] = order.client_order_id
        pushes.append((DEAL, deal))
        row = _position(entry.order.order_id, entry.position, account)
        pushes.extend([(POSITION, row)] if row is not None else [])
    pushes.append((ASSET, shapes.asset(account, desk.engine.market, now_ms, "USDT")))
    return [(channel, data, order.symbol, order.client_order_id) for channel, data in pushes]


def _position(order_id: str, after: Position, account: MexcAccount) -> dict[str, Any] | None:
    """The position as it stands, or as it was closed."""
    if account.size(after.symbol, after.leg):
        return shapes.position(account.position(after.symbol, after.leg), account)
    closed = account.holdings.closed_by(account, order_id)
    return None if closed is None else shapes.closed_position(closed)
