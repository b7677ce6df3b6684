"""MEXC's take profits and stop losses on a position: placed after the fact, for so many contracts.

One has a stop loss, a take profit or both, and one number. Inside, each price is a conditional
order of the engine's; when one triggers, the other goes, and both go when the position is flat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.mexc import fields, placing
from providers.sandbox.mexc.codes import REFUSALS, Code, MexcError
from providers.sandbox.mexc.contracts import BY_SYMBOL
from providers.sandbox.mexc.desk import NO_DATA
from providers.sandbox.mexc.fields import bad, customer, whole
from providers.sandbox.values import (
    Order,
    OrderState,
    Origin,
    Protection,
    Refused,
    Side,
    Trigger,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from providers.sandbox.mexc.account import MexcAccount
    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.wire import Call

_FAR: Final = 10**18
_MOST: Final = 50
_WAITING, _CANCELLED, _EXECUTED = 1, 2, 3
_PROFIT, _LOSS = 1, 2


def place(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Guard so many contracts of a position (all without `vol`)."""
    account, params = customer(call), call.params
    desk.engine.book.advance(now_ms)
    holding = account.holdings.by_id(account, whole(params, "positionId", None, (1, _FAR)))
    if holding is None:
        raise MexcError(Code.NO_POSITION)
    vol = fields.number(params, "vol")
    qty = BY_SYMBOL[holding.symbol].base(vol) if vol else None
    wanted = Protection(
        take_profit=fields.number(params, "takeProfitPrice") or None,
        stop_loss=fields.number(params, "stopLossPrice") or None,
        take_profit_by=placing.TRENDS[whole(params, "profitTrend", 1, (1, 3))],
        stop_loss_by=placing.TRENDS[whole(params, "lossTrend", 1, (1, 3))],
        partial=True,
    )
    if not wanted:
        raise bad("one of takeProfitPrice and stopLossPrice is required")
    try:
        made = desk.engine.protect_part(
            account, holding.symbol, holding.leg, wanted, (qty, qty), now_ms
        )
    except Refused as refused:
        raise MexcError(REFUSALS[refused.reason], refused.detail) from refused
    return {"id": int(made[0].order_id), "ts": now_ms + call.skew_ms}


def listed(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """All of them, latest first; `is_finished` 0 or 1 picks the waiting or the ended ones."""
    finished = whole(call.params, "is_finished", -1, (0, 1))
    rows = _rows(desk, call, now_ms)
    found = [row for row in rows if finished in (-1, row["isFinished"])]
    return found[fields.page(call.params)]


def open_ones(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Those that wait."""
    return [row for row in _rows(desk, call, now_ms) if not row["isFinished"]]


def cancel(desk: Desk, call: Call, now_ms: int) -> object:
    """Cancel some, by their numbers."""
    account = customer(call)
    desk.engine.book.advance(now_ms)
    for item in fields.items(call.params, _MOST, Code.TOO_MANY_CANCELS):
        if not isinstance(item, dict):
            raise bad("each item must be an object with stopPlanOrderId")
        _end(desk, _find(account, item), now_ms)
    return NO_DATA


def cancel_all(desk: Desk, call: Call, now_ms: int) -> object:
    """Cancel those of a contract, of a position, or all."""
    account = customer(call)
    desk.engine.book.advance(now_ms)
    position_id = whole(call.params, "positionId", 0, (0, _FAR))
    holding = account.holdings.by_id(account, position_id) if position_id else None
    symbol = _symbol(call.params)
    for order in list(account.open.values()):
        mine = holding is None or (order.symbol, order.leg) == (holding.symbol, holding.leg)
        if guards(order) and symbol in ("", order.symbol) and mine:
            _end(desk, order, now_ms)
    return NO_DATA


def change(desk: Desk, call: Call, now_ms: int) -> object:
    """Change the prices of one that waits; a price left out stays."""
    account, params = customer(call), call.params
    desk.engine.book.advance(now_ms)
    order = _find(account, params)
    for one in (order, order.pair):
        if one is None or one.trigger is None:
            continue
        gains = one.origin is Origin.TAKE_PROFIT
        price = fields.number(params, "takeProfitPrice" if gains else "stopLossPrice")
        if price:
            one.trigger = Trigger(price, one.trigger.rising, one.trigger.by)
            one.updated_ms = now_ms
    return NO_DATA


def guards(order: Order) -> bool:
    """Whether an order is one of these, or half of one."""
    return order.trigger is not None and order.origin is not Origin.CLIENT


def row(order: Order, account: MexcAccount) -> dict[str, Any]:
    """One of them as lists and pushes show it, made of either half."""
    halves = {one.origin: one for one in (order, order.pair) if one is not None}
    first = min(halves.values(), key=lambda one: one.sequence)
    states = {one.state for one in halves.values()}
    struck = next((one for one in halves.values() if _triggered(one)), None)
    waits = OrderState.UNTRIGGERED in states
    contract = BY_SYMBOL[order.symbol]
    holding = account.holdings.current(account, order.symbol, order.leg)
    long = order.side is Side.SELL
    return {
        "id": int(first.order_id),
        "orderId": "0",
        "symbol": contract.name,
        "positionId": holding.position_id if holding is not None else 0,
        "takeProfitPrice": _price(halves.get(Origin.TAKE_PROFIT)),
        "stopLossPrice": _price(halves.get(Origin.STOP_LOSS)),
        "state": _WAITING if waits else _CANCELLED if struck is None else _EXECUTED,
        "triggerSide": 0 if struck is None else _side(struck),
        "positionType": 1 if long else 2,
        "vol": contract.vol(order.qty),
        "realityVol": 0 if struck is None else contract.vol(struck.filled),
        "placeOrderId": "" if struck is None else struck.order_id,
        "errorCode": 0,
        "isFinished": int(not waits),
        "version": 1 + int(not waits),
        "createTime": first.accepted_ms,
        "updateTime": max(one.updated_ms for one in halves.values()),
    }


def _rows(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    account, symbol = customer(call), _symbol(call.params)
    desk.engine.book.advance(now_ms)
    return [
        row(order, account)
        for order in reversed(account.orders.values())
        if guards(order)
        and symbol in ("", order.symbol)
        and (order.pair is None or order.sequence < order.pair.sequence)
    ]


def _find(account: MexcAccount, params: Mapping[str, Any]) -> Order:
    number = params.get("stopPlanOrderId") or params.get("orderId")
    order = account.orders.get(fields.order_id(number))
    if order is None or not guards(order) or order.state is not OrderState.UNTRIGGERED:
        raise MexcError(Code.ORDER_UNKNOWN)
    return order


def _end(desk: Desk, order: Order, now_ms: int) -> None:
    for one in (order, order.pair):
        if one is not None and not one.state.final:
            desk.engine.cancel(one, now_ms)


def _triggered(order: Order) -> bool:
    waited = (OrderState.UNTRIGGERED, OrderState.DEACTIVATED)
    return order.state not in waited


def _side(order: Order) -> int:
    return _PROFIT if order.origin is Origin.TAKE_PROFIT else _LOSS


def _price(order: Order | None) -> Decimal | None:
    return None if order is None or order.trigger is None else order.trigger.price


def _symbol(params: Mapping[str, Any]) -> str:
    wanted = fields.text(params, "symbol")
    return fields.contract_named(wanted).instrument.symbol if wanted else ""
