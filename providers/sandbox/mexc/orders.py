"""MEXC's order endpoints that change something: create, batch, amend, cancels, position closes.

A success says that the request was taken, with ids and nothing else; cancels answer item by item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.mexc import desk as switches
from providers.sandbox.mexc import fields, placing, plans
from providers.sandbox.mexc.account import MexcAccount, direction_of
from providers.sandbox.mexc.codes import REFUSALS, Code, MexcError, text_of
from providers.sandbox.mexc.contracts import BY_SYMBOL
from providers.sandbox.mexc.desk import NO_DATA
from providers.sandbox.mexc.fields import bad, customer
from providers.sandbox.mexc.gate import wants_chinese
from providers.sandbox.values import Leg, Refused

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.account import Position
    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.values import Order
    from providers.sandbox.wire import Call

_MOST: Final = 50
_OPEN_TYPE_NUMBERS: Final = {mode: number for number, mode in placing.OPEN_TYPES.items()}


def create(desk: Desk, call: Call, now_ms: int) -> Any:  # noqa: ANN401 - depends on the variant
    """Place an order."""
    order = placing.place(desk, call, call.params, now_ms)
    match desk.variants[switches.CREATE_REPLY]:
        case "string":
            return order.order_id
        case "number":
            return int(order.order_id)
        case _:
            return {"orderId": order.order_id, "ts": now_ms + call.skew_ms}


def submit(desk: Desk, call: Call, now_ms: int) -> Any:  # noqa: ANN401 - depends on the variant
    """Place an order the older way: the answer is the bare id."""
    order = placing.place(desk, call, call.params, now_ms)
    as_number = desk.variants[switches.CREATE_REPLY] == "number"
    return int(order.order_id) if as_number else order.order_id


def submit_batch(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Place several orders; each has its own result, and a known id answers with its order."""
    rows: list[dict[str, Any]] = []
    for item in fields.items(call.params, _MOST, Code.TOO_MANY_IN_BATCH):
        if not isinstance(item, dict):
            raise bad("each item must be an order object")
        row: dict[str, Any] = {"externalOid": item.get("externalOid"), "orderId": None}
        try:
            order = placing.place(desk, call, item, now_ms, duplicates=switches.EXISTING)
            row |= {"orderId": order.order_id, "errorMsg": None, "errorCode": 0}
        except MexcError as error:
            row |= _failure(call, error.code)
        except Refused as refused:
            row |= _failure(call, REFUSALS[refused.reason])
        rows.append(row)
    return rows


def change(desk: Desk, call: Call, now_ms: int) -> str:
    """Change price and volume of an open limit order."""
    account = customer(call)
    desk.engine.book.advance(now_ms)
    order = account.orders.get(fields.order_id(call.params.get("orderId")))
    if order is None:
        raise MexcError(Code.ORDER_UNKNOWN)
    if order.state.final:
        raise MexcError(Code.NOT_CANCELLABLE, f"the order is {order.state}")
    vol = fields.number(call.params, "vol")
    price = fields.number(call.params, "price")
    if vol is not None and vol != vol.to_integral_value():
        raise MexcError(Code.ACCURACY, f"vol is a number of whole contracts, not {vol}")
    qty = None if vol is None else BY_SYMBOL[order.symbol].base(vol)
    if order.closing and qty is not None:
        free = abs(account.size(order.symbol, order.leg)) + order.leaves
        free -= account.frozen(order.symbol, order.leg)
        if qty - order.filled > free:
            raise MexcError(Code.CLOSABLE_RESERVED)
    try:
        desk.engine.amend(order, now_ms, qty=qty, price=price)
    except Refused as refused:
        raise placing.in_words(refused, order.side) from refused
    return order.order_id


def cancel(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Ask for orders to be cancelled, by their ids."""
    account = customer(call)
    ids = [fields.order_id(i) for i in fields.items(call.params, _MOST, Code.TOO_MANY_CANCELS)]
    desk.engine.book.advance(now_ms)
    return [
        {"orderId": int(one), **_cancel_one(desk, call, account.orders.get(one), now_ms)}
        for one in ids
    ]


def cancel_external(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Ask for orders to be cancelled, by client order ids; one may come without a list."""
    account = customer(call)
    params = call.params
    if fields.ITEMS not in params:
        params = {fields.ITEMS: [params]}
    named = [fields.named(i) for i in fields.items(params, _MOST, Code.TOO_MANY_CANCELS)]
    desk.engine.book.advance(now_ms)
    rows: list[dict[str, Any]] = []
    for symbol, external in named:
        order = account.by_client.get(external)
        if order is not None and order.symbol != symbol:
            order = None
        rows.append(
            {
                "symbol": BY_SYMBOL[symbol].name,
                "externalOid": external,
                "orderId": None if order is None else int(order.order_id),
                **_cancel_one(desk, call, order, now_ms),
            }
        )
    return rows


def cancel_all(desk: Desk, call: Call, now_ms: int) -> object:
    """Ask for all open orders of a contract to be cancelled, or of all without one."""
    wanted = fields.text(call.params, "symbol")
    symbol = fields.contract_named(wanted).instrument.symbol if wanted else ""
    desk.engine.book.advance(now_ms)
    for order in list(customer(call).open.values()):
        if symbol in ("", order.symbol) and not plans.waits(order):
            desk.engine.cancel(order, now_ms)
    return NO_DATA


def close_all(desk: Desk, call: Call, now_ms: int) -> object:
    """Close every position at market, as far as no open close order has reserved it."""
    account = customer(call)
    desk.engine.book.advance(now_ms)
    for held in account.held():
        free = abs(held.size) - account.frozen(held.symbol, held.leg)
        if free > 0:
            _market(desk, call, held, free, now_ms, opens=False)
    return NO_DATA


def reverse(desk: Desk, call: Call, now_ms: int) -> object:
    """Close a position at market and open as much (or `vol`) the other way."""
    account = customer(call)
    symbol = fields.contract(call.params).instrument.symbol
    wanted = fields.whole(call.params, "positionId", None, (1, 10**18))
    desk.engine.book.advance(now_ms)
    holding = account.holdings.by_id(account, wanted)
    if holding is None or holding.symbol != symbol:
        raise MexcError(Code.NO_POSITION, f"no open position {wanted}")
    held = account.position(symbol, holding.leg)
    qty = abs(held.size)
    vol = fields.number(call.params, "vol")
    other = qty if vol is None else BY_SYMBOL[symbol].base(vol)
    short = held.size < 0
    _market(desk, call, held, qty, now_ms, opens=False)
    leg = held.leg
    if leg is not Leg.NET:
        leg = Leg.LONG if short else Leg.SHORT
    _market(desk, call, account.position(symbol, leg), other, now_ms, opens=True, buys=short)
    return NO_DATA


def _market(
    desk: Desk,
    call: Call,
    held: Position,
    qty: Decimal,
    now_ms: int,
    *,
    opens: bool,
    buys: bool | None = None,
) -> None:
    """A market order of the venue's own making on a position."""
    account = customer(call)
    if buys is None:
        buys = held.size < 0
    if opens:
        side = placing.OPEN_LONG if buys else placing.OPEN_SHORT
        direction = Leg.LONG if buys else Leg.SHORT
    else:
        side = placing.CLOSE_SHORT if buys else placing.CLOSE_LONG
        direction = direction_of(held.leg, held.size)
    hedge = held.leg is not Leg.NET
    body = {
        "symbol": BY_SYMBOL[held.symbol].name,
        "vol": BY_SYMBOL[held.symbol].vol(qty),
        "price": 0,
        "side": side,
        "type": placing.MARKET,
        "openType": _OPEN_TYPE_NUMBERS[account.open_type(held.symbol, direction)],
        "leverage": int(_leverage(account, held.symbol, direction)),
        "positionMode": 1 if hedge else 2,
        "reduceOnly": not hedge and not opens,
    }
    placing.place(desk, call, body, now_ms)


def _leverage(account: MexcAccount, symbol: str, direction: Leg) -> Decimal:
    return account.leverages.get((symbol, direction), account.default_leverage)


def _cancel_one(desk: Desk, call: Call, order: Order | None, now_ms: int) -> dict[str, Any]:
    if order is None:
        return _failure(call, Code.ORDER_UNKNOWN)
    if order.state.final:
        return _failure(call, Code.NOT_CANCELLABLE)
    desk.engine.cancel(order, now_ms)
    return {"errorCode": 0, "errorMsg": "success"}


def _failure(call: Call, code: int) -> dict[str, Any]:
    text = text_of(code, chinese=wants_chinese(call.inbound))
    return {"errorCode": int(code), "errorMsg": text}
