"""What Bybit's private stream says of a change: order, execution, position, wallet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from providers.sandbox.bybit import shapes
from providers.sandbox.journal import Entry
from providers.sandbox.streams import Frame
from providers.sandbox.values import ZERO

if TYPE_CHECKING:
    from collections.abc import Container

    from providers.sandbox.engine import Engine
    from providers.sandbox.journal import Told

_KINDS: Final = ("order", "execution", "execution.fast", "position")
PRIVATE_TOPICS: Final = frozenset({"wallet", *_KINDS, *(f"{kind}.linear" for kind in _KINDS)})
_FAST: Final = ("symbol", "orderId", "execId", "execPrice", "execQty", "side", "isMaker", "seq")


def tell(
    engine: Engine, entry: Entry | Told, subscribed: Container[str], now_ms: int
) -> list[Frame]:
    """The frames of a change, of those topics that are subscribed to."""
    if not isinstance(entry, Entry):
        return []
    rows = _rows(engine, entry, now_ms)
    return [
        _frame(topic, kind, row, entry, now_ms)
        for kind, row in rows.items()
        for topic in (kind, f"{kind}.linear")
        if topic in subscribed
    ]


def _rows(engine: Engine, entry: Entry, now_ms: int) -> dict[str, dict[str, Any]]:
    order, contract = entry.order, engine.market.instruments[entry.order.symbol]
    rows: dict[str, dict[str, Any]] = {}
    if entry.fill is not None and entry.position is not None:
        position = shapes.position(entry.position, entry.account, engine.market, now_ms)
        position["entryPrice"] = position.pop("avgPrice")
        profit = shapes.money(entry.fill.realised)
        execution = shapes.execution(entry.fill, order, contract)
        rows["execution"] = {**execution, "category": "linear", "execPnl": profit}
        rows["execution.fast"] = {
            "category": "linear",
            **{name: execution[name] for name in (*_FAST, "execTime")},
            "orderLinkId": "" if entry.fill.maker else order.client_order_id,
        }
        rows["position"] = {**position, "category": "linear"}
    closed = shapes.money(sum((fill.realised - fill.fee for fill in order.fills), ZERO))
    more = {"category": "linear", "feeCurrency": contract.quote, "closedPnl": closed}
    rows["order"] = {**shapes.order(order, contract), **more}
    rows["wallet"] = shapes.wallet(entry.account, engine.market, now_ms, contract.quote)
    return rows


def _frame(topic: str, kind: str, row: dict[str, Any], entry: Entry, now_ms: int) -> Frame:
    order = entry.order
    body = {
        "id": f"{order.order_id}_{entry.what}_{len(order.fills)}_{kind}",
        "topic": topic,
        "creationTime": now_ms,
        "data": [row],
    }
    return Frame(orjson.dumps(body), kind, order.symbol, order.client_order_id)
