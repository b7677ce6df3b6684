"""MEXC's trigger ("plan") orders: they wait beside the book until a price is reached.

One becomes an ordinary order when it triggers; here it keeps its number then. Until that they are
in a list of their own, and the ordinary look-ups and cancels of open orders leave them alone.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.mexc import fields, placing, shapes
from providers.sandbox.mexc.codes import Code, MexcError
from providers.sandbox.mexc.contracts import BY_SYMBOL
from providers.sandbox.mexc.desk import NO_DATA
from providers.sandbox.mexc.fields import bad, customer, whole
from providers.sandbox.values import Order, OrderState, Origin, Trigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.sandbox.mexc.account import MexcAccount
    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.wire import Call

_DECIMAL: Final = re.compile(r"\d{1,16}(?:\.\d{1,18})?", re.ASCII)
_RISING: Final = 1
_MOST: Final = 50
_WAITING, _CANCELLED, _EXECUTED, _INVALID = 1, 2, 3, 4
_STATES: Final = {
    OrderState.UNTRIGGERED: _WAITING,
    OrderState.DEACTIVATED: _CANCELLED,
    OrderState.REJECTED: _INVALID,
}


def place(desk: Desk, call: Call, now_ms: int) -> int:
    """Take a trigger order in; the answer is its bare number."""
    params = dict(call.params)
    params["type"] = whole(params, "orderType", None, (1, placing.MARKET), code=Code.ORDER_TYPE)
    whole(params, "executeCycle", None, (1, 2))
    rising = whole(params, "triggerType", None, (1, 2)) == _RISING
    by = placing.TRENDS[whole(params, "trend", 1, (1, 3))]
    trigger = Trigger(_price(params), rising, by)
    return int(placing.place(desk, call, params, now_ms, trigger=trigger).order_id)


def listed(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Trigger orders, latest first; by state (1 waiting, 2 cancelled, 3 executed, 4 invalid)."""
    account = customer(call)
    wanted = fields.text(call.params, "symbol")
    symbol = fields.contract_named(wanted).instrument.symbol if wanted else ""
    states = fields.text(call.params, "states")
    page = fields.page(call.params)
    desk.engine.book.advance(now_ms)
    rows = [
        order
        for order in reversed(account.orders.values())
        if order.trigger is not None
        and order.origin is Origin.CLIENT
        and symbol in ("", order.symbol)
        and (not states or str(_state(order)) in states.split(","))
        and order.visible_ms <= now_ms
        and not call.treatment.hide_ms
    ]
    return [row(order, order.trigger, account) for order in rows[page] if order.trigger]


def cancel(desk: Desk, call: Call, now_ms: int) -> object:
    """Cancel trigger orders, named by symbol and number."""
    account = customer(call)
    desk.engine.book.advance(now_ms)
    for item in fields.items(call.params, _MOST, Code.TOO_MANY_CANCELS):
        if not isinstance(item, dict):
            raise bad("each item must be an object with symbol and orderId")
        order = account.orders.get(fields.order_id(item.get("orderId")))
        if order is None or not waits(order):
            raise MexcError(Code.ORDER_UNKNOWN)
        desk.engine.cancel(order, now_ms)
    return NO_DATA


def cancel_all(desk: Desk, call: Call, now_ms: int) -> object:
    """Cancel the trigger orders of a contract, or of all without one."""
    wanted = fields.text(call.params, "symbol")
    symbol = fields.contract_named(wanted).instrument.symbol if wanted else ""
    desk.engine.book.advance(now_ms)
    for order in list(customer(call).open.values()):
        if waits(order) and order.origin is Origin.CLIENT and symbol in ("", order.symbol):
            desk.engine.cancel(order, now_ms)
    return NO_DATA


def waits(order: Order) -> bool:
    """Whether an order is a trigger order that has not triggered."""
    return order.state is OrderState.UNTRIGGERED


def _price(params: Mapping[str, Any]) -> Decimal:
    """The trigger price, which clients send as a number or as text."""
    value = params.get("triggerPrice")
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = Decimal(value)
    price = fields.number({"triggerPrice": value}, "triggerPrice")
    if price is None or price <= 0:
        raise MexcError(Code.TRIGGER_PRICE, f"triggerPrice must be above zero, not {price}")
    return price


def _state(order: Order) -> int:
    return _STATES.get(order.state, _EXECUTED)


def row(order: Order, trigger: Trigger, account: MexcAccount) -> dict[str, Any]:
    """One trigger order as lists and pushes show it."""
    contract, asked = BY_SYMBOL[order.symbol], account.asked[order.order_id]
    executed = _state(order) == _EXECUTED
    return {
        "id": order.order_id,
        "symbol": contract.name,
        "leverage": asked.leverage,
        "side": asked.side,
        "triggerPrice": trigger.price,
        "price": order.price if order.price is not None else 0,
        "vol": contract.vol(order.qty),
        "openType": shapes.OPEN_TYPES[asked.open_type],
        "triggerType": _RISING if trigger.rising else 2,
        "state": _state(order),
        "executeCycle": 2,
        "trend": next(number for number, by in placing.TRENDS.items() if by is trigger.by),
        "orderType": asked.kind,
        "orderId": order.order_id if executed else None,
        "errorCode": 0,
        "positionMode": 1 if asked.hedge else 2,
        "createTime": order.accepted_ms,
        "updateTime": order.updated_ms,
    }
