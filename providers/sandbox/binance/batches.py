"""Binance's modify and batch endpoints; each order of a batch is answered on its own."""

from __future__ import annotations

import json
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.binance import fields, orders, shapes
from providers.sandbox.binance.codes import REFUSALS, BinanceError, Code
from providers.sandbox.binance.desk import customer
from providers.sandbox.binance.gate import malformed
from providers.sandbox.values import ZERO, OrderKind, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

    from providers.sandbox.account import Account
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.values import Order
    from providers.sandbox.wire import Call

_MOST: Final = 5
_MOST_CANCELLED: Final = 10
_AMENDMENTS: Final = 50
_LISTS: Final = (
    ("orderIdList", "orderId"),
    ("orderidlist", "orderId"),
    ("origClientOrderIdList", "origClientOrderId"),
    ("origclientorderidlist", "origClientOrderId"),
)
"""Parameters that list orders, and what they list; clients have long written them in lower case."""


def modify(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Change price and quantity of an open limit order."""
    params, account = call.params, customer(call)
    item = fields.tradable(desk.engine.market, params)
    side = fields.choice(params, "side", fields.SIDES, Code.SIDE)
    qty = fields.required_decimal(params, "quantity")
    price = fields.required_decimal(params, "price")
    fields.check_qty(qty, OrderKind.LIMIT, item)
    fields.check_price("price", price, item)
    try:
        order = desk.engine.open_order(account, now_ms, **orders.named(params))
    except Refused as refused:
        raise BinanceError(Code.NO_SUCH_ORDER) from refused
    if order.symbol != item.symbol or order.side is not side:
        raise BinanceError(Code.NO_SUCH_ORDER)
    before = order.price, order.qty
    desk.engine.amend(order, now_ms, qty=qty, price=price, protection=None)
    _remember(desk, account, order, before, now_ms)
    return shapes.placed(order, item.step, settled=True)


def amendments(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """What was changed about a contract's orders, or about one, latest first."""
    del now_ms
    params = call.params
    item = fields.contract(desk.engine.market, params)
    limit = fields.number(params, "limit", _AMENDMENTS, 1, 100)
    number = fields.number(params, "orderId", 0)
    client_id = params.get("origClientOrderId", "")
    rows = [
        row
        for row in reversed(desk.amendments.get(customer(call).name, ()))
        if row["symbol"] == item.symbol
        and number in (0, row["orderId"])
        and client_id in ("", row["clientOrderId"])
    ]
    return rows[:limit]


def place_all(desk: Desk, call: Call, now_ms: int) -> list[Any]:
    """Accept orders."""
    return _each(desk, call, now_ms, orders.place, _listed(call, "batchOrders", _MOST))


def modify_all(desk: Desk, call: Call, now_ms: int) -> list[Any]:
    """Change open orders."""
    return _each(desk, call, now_ms, modify, _listed(call, "batchOrders", _MOST))


def cancel_all(desk: Desk, call: Call, now_ms: int) -> list[Any]:
    """Cancel open orders by a list of ids, of either kind."""
    for listed, name in _LISTS:
        if listed in call.params:
            ids = _listed(call, listed, _MOST_CANCELLED)
            symbol = call.params.get("symbol", "")
            return _each(
                desk, call, now_ms, orders.cancel, ({"symbol": symbol, name: one} for one in ids)
            )
    raise malformed("orderIdList", "it or origClientOrderIdList must be sent")


def _remember(
    desk: Desk,
    account: Account,
    order: Order,
    before: tuple[Decimal | None, Decimal],
    now_ms: int,
) -> None:
    rows = desk.amendments.setdefault(account.name, [])
    after = order.price, order.qty
    price, qty = (
        {"before": shapes.plain(old or ZERO), "after": shapes.plain(new or ZERO)}
        for old, new in zip(before, after, strict=True)
    )
    count = sum(row["orderId"] == int(order.order_id) for row in rows) + 1
    rows.append(
        {
            "amendmentId": len(rows) + 1,
            "symbol": order.symbol,
            "pair": order.symbol,
            "orderId": int(order.order_id),
            "clientOrderId": order.client_order_id,
            "time": now_ms,
            "amendment": {"price": price, "origQty": qty, "count": count},
        }
    )


def _listed(call: Call, name: str, most: int) -> list[Any]:
    try:
        value = json.loads(call.params.get(name, ""))
    except ValueError:
        value = None
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise malformed(name, f"a JSON list of 1 to {most}")
    return value


def _each(
    desk: Desk,
    call: Call,
    now_ms: int,
    handle: Callable[[Desk, Call, int], dict[str, Any]],
    items: Iterable[Any],
) -> list[Any]:
    rows: list[Any] = []
    for item in items:
        if not isinstance(item, dict):
            raise malformed("batchOrders", "a list of objects")
        one = copy(call)
        one.params = {name: _text(value) for name, value in item.items()}
        try:
            rows.append(handle(desk, one, now_ms))
        except Refused as refused:
            rows.append(_failed(BinanceError(REFUSALS[refused.reason], refused.detail)))
        except BinanceError as error:
            rows.append(_failed(error))
    return rows


def _text(value: object) -> str:
    """A JSON value as the parameter it stands for."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _failed(error: BinanceError) -> dict[str, Any]:
    return {"code": error.code, "msg": error.text}
