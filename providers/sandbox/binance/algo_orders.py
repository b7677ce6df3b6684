"""Binance's endpoints for conditional orders: place, look up, list, cancel.

They are invisible to the ordinary look-ups and untouched by cancelling all ordinary orders. The
order that one becomes carries its `clientAlgoId` as client order id, as users report; Binance does
not say so. Trailing stops are not provided and are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.binance import fields, shapes
from providers.sandbox.binance.algo import MAX_OPEN, Algo, AlgoType
from providers.sandbox.binance.codes import BinanceError, Code
from providers.sandbox.binance.desk import customer
from providers.sandbox.binance.gate import malformed
from providers.sandbox.binance.orders import KEPT_MS, UNFILLED_KEPT_MS, WEEK_MS
from providers.sandbox.values import (
    ZERO,
    Leg,
    OrderKind,
    Side,
    TimeInForce,
    Trigger,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from providers.sandbox.account import Account
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.binance.fields import Direction
    from providers.sandbox.instruments import Instrument
    from providers.sandbox.wire import Call

_TYPES: Final = {str(one): one for one in AlgoType}
_FORCES: Final = {"": TimeInForce.GTC, "GTE_GTC": TimeInForce.GTC, **fields.TIMES_IN_FORCE}
_PREVENTIONS: Final = {name: name for name in fields.PREVENTIONS}
_KINDS: Final = {"CONDITIONAL": "CONDITIONAL"}
_PAGE: Final = 500
_PAGE_LARGEST: Final = 1000


def place(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Take in a conditional order."""
    params, account = call.params, customer(call)
    desk.engine.book.advance(now_ms)
    fields.choice(params, "algoType", _KINDS)
    item = fields.tradable(desk.engine.market, params)
    if params.get("type") == "TRAILING_STOP_MARKET":
        raise BinanceError(Code.UNSUPPORTED, "the sandbox has no trailing stops")
    kind = fields.choice(params, "type", _TYPES, Code.ORDER_TYPE)
    way = fields.direction(params, account)
    fields.choice(params, "selfTradePreventionMode", _PREVENTIONS)
    if params.get("priceMatch", "NONE") != "NONE":
        raise malformed("priceMatch", "the sandbox provides NONE only", Code.PARAMETER)
    fields.unwanted(params, "activatePrice", "callbackRate", "goodTillDate")
    force = fields.choice(params, "timeInForce", _FORCES, Code.TIME_IN_FORCE)
    client_id = fields.client_id(params, "clientAlgoId")
    whole = fields.flag(params, "closePosition")
    price = None
    if kind.kind is OrderKind.LIMIT:
        price = fields.required_decimal(params, "price")
        fields.check_price("price", price, item)
    else:
        fields.unwanted(params, "price")
    qty = _qty(desk, params, item, kind, way, now_ms, price=price, whole=whole)
    trigger = _trigger(desk, params, item, kind, way.side, now_ms)
    _check_book(desk, account, item, kind, way, client_id=client_id, whole=whole)
    algo = Algo(
        algo_id=desk.algos.next_id(),
        client_id=client_id or desk.new_client_id(),
        account=account.name,
        symbol=item.symbol,
        side=way.side,
        leg=way.leg,
        type=kind,
        trigger=trigger,
        qty=qty,
        price=price,
        time_in_force=force,
        reduce_only=way.reduce_only,
        close_position=whole,
        price_protect=fields.flag(params, "priceProtect"),
        treatment=call.treatment,
        arrived_ms=call.inbound.arrived_ms,
        arrived_ns=call.inbound.arrived_ns,
        created_ms=now_ms,
        updated_ms=now_ms,
        visible_ms=now_ms + call.treatment.hide_ms,
    )
    desk.algos.add(algo)
    return _row(algo, item, placed=True)


def query(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """One conditional order, open or not."""
    algo = _find(desk, call, now_ms)
    if algo is None or not _seen(algo, call, now_ms):
        raise BinanceError(Code.NO_SUCH_ORDER)
    return _row(algo, desk.engine.market.instruments[algo.symbol])


def cancel(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """End a conditional order that has not triggered."""
    algo = _find(desk, call, now_ms)
    if algo is None or not algo.waits:
        raise BinanceError(Code.CANCEL_REJECTED)
    desk.algos.cancel(algo, now_ms)
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "code": "200",
        "msg": "success",
    }


def cancel_all(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """End all conditional orders of a symbol that have not triggered."""
    item = fields.contract(desk.engine.market, call.params)
    desk.engine.book.advance(now_ms)
    for algo in desk.algos.open_of(customer(call), item.symbol):
        desk.algos.cancel(algo, now_ms)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def open_algos(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """The conditional orders that wait, of a symbol or of all."""
    desk.engine.book.advance(now_ms)
    symbol = ""
    if "symbol" in call.params:
        symbol = fields.contract(desk.engine.market, call.params).symbol
    wanted = fields.number(call.params, "algoId", 0)
    return _rows(
        desk,
        call,
        (a for a in desk.algos.open_of(customer(call), symbol) if wanted in (0, a.algo_id)),
        now_ms,
    )


def all_algos(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Conditional orders of a symbol in any state: from an id on, or of at most a week."""
    desk.engine.book.advance(now_ms)
    item = fields.contract(desk.engine.market, call.params)
    first = fields.number(call.params, "algoId", 0)
    limit = fields.number(call.params, "limit", _PAGE, 1, _PAGE_LARGEST)
    timed = "startTime" in call.params or "endTime" in call.params
    begin, end = fields.span(call.params, now_ms, WEEK_MS)
    found = (
        algo
        for algo in desk.algos.of(customer(call))
        if algo.symbol == item.symbol
        and algo.algo_id >= first
        and ((first and not timed) or begin <= algo.created_ms <= end)
    )
    rows = _rows(desk, call, found, now_ms)
    return fields.listed(rows, limit, oldest=bool(first) or "startTime" in call.params)


def _qty(
    desk: Desk,
    params: Mapping[str, str],
    item: Instrument,
    kind: AlgoType,
    way: Direction,
    now_ms: int,
    *,
    price: Decimal | None,
    whole: bool,
) -> Decimal:
    """The quantity, zero where the position is to be closed whole."""
    if not whole:
        qty = fields.required_decimal(params, "quantity")
        fields.check_qty(qty, kind.kind, item)
        value = qty * (desk.engine.market.last(item.symbol, now_ms) if price is None else price)
        if not way.closes and value < item.min_notional:
            raise BinanceError(Code.MIN_NOTIONAL, f"the smallest is {item.min_notional}")
        return qty
    if kind.kind is not OrderKind.MARKET:
        raise BinanceError(Code.STRATEGY, "closePosition is for STOP_MARKET, TAKE_PROFIT_MARKET")
    if fields.decimal(params, "quantity"):
        raise BinanceError(Code.CLOSE_POSITION_WITH_QTY)
    fields.unwanted(params, "reduceOnly")
    if way.leg is not Leg.NET and not way.closes:
        raise BinanceError(Code.STRATEGY, "that side opens the leg, closePosition closes it")
    return ZERO


def _trigger(
    desk: Desk,
    params: Mapping[str, str],
    item: Instrument,
    kind: AlgoType,
    side: Side,
    now_ms: int,
) -> Trigger:
    """When it wakes; not at once."""
    price = fields.required_decimal(params, "triggerPrice")
    fields.check_price("triggerPrice", price, item)
    by = fields.choice(params, "workingType", fields.WORKING)
    trigger = Trigger(price, kind.rising(side), by)
    now_at = desk.algos.price_of(item.symbol, trigger, now_ms)
    if trigger.met(now_at):
        beyond = "above" if trigger.rising else "below"
        raise BinanceError(Code.WOULD_TRIGGER, f"triggerPrice must be {beyond} {now_at}")
    return trigger


def _check_book(
    desk: Desk,
    account: Account,
    item: Instrument,
    kind: AlgoType,
    way: Direction,
    *,
    client_id: str,
    whole: bool,
) -> None:
    """What the conditional orders that wait already rule out."""
    waiting = desk.algos.open_of(account)
    if client_id and any(algo.client_id == client_id for algo in waiting):
        desk.truth.duplicates_refused[desk.engine.rules.venue] += 1
        raise BinanceError(Code.DUPLICATE_CLIENT_ID, f"{client_id!r} is open")
    if len(waiting) >= MAX_OPEN:
        raise BinanceError(Code.MAX_STOP_ORDERS, f"{len(waiting)} are open")
    if whole and any(
        algo.close_position
        and (algo.symbol, algo.leg, algo.side) == (item.symbol, way.leg, way.side)
        and algo.type.stops is kind.stops
        for algo in waiting
    ):
        raise BinanceError(Code.CLOSE_POSITION_EXISTS)


def _find(desk: Desk, call: Call, now_ms: int) -> Algo | None:
    algo_id = fields.number(call.params, "algoId", 0)
    client_id = call.params.get("clientAlgoId", "")
    if not algo_id and not client_id:
        raise malformed("algoId", "it or clientAlgoId must be sent")
    desk.engine.book.advance(now_ms)
    return desk.algos.find(customer(call), algo_id, client_id)


def _seen(algo: Algo, call: Call, now_ms: int) -> bool:
    """Whether look-ups show it: not hidden by a fault, and not too old."""
    unfilled = algo.order is None and not algo.waits
    age = now_ms - algo.created_ms
    return (
        algo.visible_ms <= now_ms
        and not call.treatment.hide_ms
        and age <= (UNFILLED_KEPT_MS if unfilled else KEPT_MS)
    )


def _rows(desk: Desk, call: Call, algos: Iterable[Algo], now_ms: int) -> list[dict[str, Any]]:
    instruments = desk.engine.market.instruments
    return [_row(a, instruments[a.symbol]) for a in algos if _seen(a, call, now_ms)]


def _row(algo: Algo, item: Instrument, *, placed: bool = False) -> dict[str, Any]:
    """A conditional order; what it became is left out of the answer to placing it."""
    step = item.step
    row = {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": str(algo.type),
        "symbol": algo.symbol,
        "side": shapes.SIDES[algo.side],
        "positionSide": shapes.LEGS[algo.leg],
        "timeInForce": shapes.TIMES_IN_FORCE[algo.time_in_force],
        "quantity": shapes.on_step(algo.qty, step),
        "algoStatus": str(algo.status),
        "triggerPrice": shapes.plain(algo.trigger.price),
        "price": shapes.plain(algo.price) if algo.price is not None else "0.00",
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": shapes.WORKING[algo.trigger.by],
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
        "createTime": algo.created_ms,
        "updateTime": algo.updated_ms,
        "triggerTime": algo.triggered_ms,
        "goodTillDate": 0,
    }
    if placed:
        return row
    order = algo.order
    average = order.average if order is not None else None
    row |= {
        "actualOrderId": order.order_id if order is not None else "",
        "actualPrice": shapes.money(average) if average is not None else "0.00000",
        "tpTriggerPrice": "0.00",
        "tpPrice": "0.00",
        "slTriggerPrice": "0.00",
        "slPrice": "0.00",
        "tpOrderType": "",
    }
    if order is not None:
        row["actualType"] = shapes.KINDS[order.kind]
        row["actualQty"] = shapes.on_step(order.filled, step)
    return row
