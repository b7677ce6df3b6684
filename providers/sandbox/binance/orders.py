"""Binance's order endpoints: place, dry run, look-ups, cancels, trades, the dead-man switch.

An id that was used again names the latest order of that id: Binance does not say which one it
would be. Orders that ended without a fill vanish three days after they were placed, all others
after ninety.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.binance import fields, shapes
from providers.sandbox.binance.codes import BinanceError, Code
from providers.sandbox.binance.desk import customer
from providers.sandbox.binance.gate import malformed
from providers.sandbox.binance.instruments import largest_notional
from providers.sandbox.matching import crosses
from providers.sandbox.values import (
    ZERO,
    Leg,
    NewOrder,
    Order,
    OrderKind,
    OrderState,
    Refused,
    TimeInForce,
    Treatment,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from providers.sandbox.account import Account
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.binance.fields import Direction
    from providers.sandbox.instruments import Instrument
    from providers.sandbox.values import Fill
    from providers.sandbox.wire import Call

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
UNFILLED_KEPT_MS: Final = 3 * DAY_MS
KEPT_MS: Final = 90 * DAY_MS
_PAGE: Final = 500
_PAGE_LARGEST: Final = 1000
_LONGEST_TIMER_MS: Final = DAY_MS

ALGO_TYPES: Final = (
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
)
_KINDS: Final = {"MARKET": OrderKind.MARKET, "LIMIT": OrderKind.LIMIT}
_RESPONSES: Final = {name: name for name in fields.RESPONSES}
_PREVENTIONS: Final = {name: name for name in fields.PREVENTIONS}
_SETTLED_BY_REPLY: Final = (TimeInForce.IOC, TimeInForce.FOK)


def place(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Accept an order. The answer is an acknowledgement: NEW, nothing executed.

    With the variant `place_reply` set to `settled`, a request for `RESULT` is shown what became of
    an order that settles at once, as before the engine merge of 2026.
    """
    engine, account = desk.engine, customer(call)
    engine.book.advance(now_ms)
    item = fields.tradable(engine.market, call.params)
    new = _new_order(desk, account, item, call.params, now_ms)
    _check_at_once(desk, account, new, now_ms, call.treatment)
    order = engine.place(
        account,
        new,
        now_ms,
        treatment=call.treatment,
        arrived_ms=call.inbound.arrived_ms,
        arrived_ns=call.inbound.arrived_ns,
    )
    settled = (
        desk.variants["place_reply"] == "settled"
        and call.params.get("newOrderRespType") == "RESULT"
    )
    if settled and order.time_in_force in _SETTLED_BY_REPLY:
        while not order.state.final:
            engine.book.work(order, now_ms)
    return shapes.placed(order, item.step, settled=settled)


def dry_run(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Validate an order without placing it."""
    engine, account = desk.engine, customer(call)
    engine.book.advance(now_ms)
    item = fields.tradable(engine.market, call.params)
    new = _new_order(desk, account, item, call.params, now_ms)
    engine.check(account, new, now_ms)
    price = shapes.plain(new.price) if new.price is not None else "0.00"
    kind = shapes.KINDS[new.kind]
    return {
        "orderId": 0,
        "symbol": item.symbol,
        "status": "NEW",
        "clientOrderId": new.client_order_id,
        "price": price,
        "avgPrice": "0.00",
        "origQty": shapes.on_step(new.qty, item.step),
        "executedQty": shapes.on_step(ZERO, item.step),
        "cumQty": shapes.on_step(ZERO, item.step),
        "cumQuote": "0.00",
        "timeInForce": shapes.TIMES_IN_FORCE[new.time_in_force],
        "type": kind,
        "reduceOnly": new.reduce_only,
        "closePosition": False,
        "side": shapes.SIDES[new.side],
        "positionSide": shapes.LEGS[new.leg],
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": now_ms,
    }


def query(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """One order, open or finished."""
    item = fields.contract(desk.engine.market, call.params)
    order = _find(desk, call, now_ms)
    if order is None or order.symbol != item.symbol:
        raise BinanceError(Code.NO_SUCH_ORDER)
    return shapes.order(order, item.step)


def query_open(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """One order while it is open."""
    item = fields.contract(desk.engine.market, call.params)
    order = _find(desk, call, now_ms)
    if order is None or order.symbol != item.symbol or order.state.final:
        raise BinanceError(Code.NO_SUCH_ORDER)
    return shapes.order(order, item.step)


def open_orders(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """All open orders of a symbol, or of all; conditional orders are not among them."""
    return _rows(desk, call, customer(call).open.values(), now_ms)


def all_orders(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Orders of any state: from an id on, or of a time of at most a week."""
    first = fields.number(call.params, "orderId", 0)
    limit = fields.number(call.params, "limit", _PAGE, 1, _PAGE_LARGEST)
    timed = "startTime" in call.params or "endTime" in call.params
    begin, end = fields.span(call.params, now_ms, WEEK_MS)
    found = (
        order
        for order in customer(call).orders.values()
        if kept(order, now_ms)
        and int(order.order_id) >= first
        and ((first and not timed) or begin <= order.accepted_ms <= end)
    )
    rows = _rows(desk, call, found, now_ms)
    return fields.listed(rows, limit, oldest=bool(first) or "startTime" in call.params)


def cancel(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Cancel an open order; the answer has its final state."""
    item = fields.contract(desk.engine.market, call.params)
    try:
        order = desk.engine.open_order(customer(call), now_ms, **named(call.params))
    except Refused as refused:
        raise BinanceError(Code.CANCEL_REJECTED) from refused
    if order.symbol != item.symbol:
        raise BinanceError(Code.CANCEL_REJECTED)
    desk.engine.cancel(order, now_ms)
    return shapes.placed(order, item.step, settled=True)


def cancel_all(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Cancel all open orders of a symbol; conditional orders stay."""
    item = fields.contract(desk.engine.market, call.params)
    desk.engine.book.advance(now_ms)
    for order in list(customer(call).open.values()):
        if order.symbol == item.symbol:
            desk.engine.cancel(order, now_ms)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def countdown(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Start, renew or (with 0) stop the dead-man switch of a symbol."""
    item = fields.contract(desk.engine.market, call.params)
    length = fields.number(call.params, "countdownTime", None, 0, _LONGEST_TIMER_MS)
    desk.timers.start(customer(call), item.symbol, now_ms + length if length else None)
    return {"symbol": item.symbol, "countdownTime": str(length)}


def trades(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Fills of a symbol or of one order, oldest first."""
    params, account = call.params, customer(call)
    item = fields.contract(desk.engine.market, params)
    limit = fields.number(params, "limit", _PAGE, 1, _PAGE_LARGEST)
    named = fields.number(params, "orderId", 0)
    first = fields.number(params, "fromId", 0)
    timed = "startTime" in params or "endTime" in params
    if first and timed:
        raise BinanceError(
            Code.PARAMETERS_DO_NOT_COMBINE, text="fromId cannot be sent with startTime or endTime"
        )
    begin, end = fields.span(params, now_ms, WEEK_MS)
    if (named or first) and not timed:
        begin = 0
    begin = max(begin, now_ms - KEPT_MS)
    desk.engine.book.advance(now_ms)
    parent = account.orders.get(str(named)) if named else None
    source: Iterable[Fill] = account.fills
    if named:
        source = parent.fills if parent is not None else ()
    found = [
        fill
        for fill in source
        if fill.symbol == item.symbol
        and begin <= fill.at_ms <= end
        and int(fill.fill_id) >= first
        and account.orders[fill.order_id].visible_ms <= now_ms
        and not call.treatment.hide_ms
    ]
    chosen = fields.listed(found, limit, oldest=bool(first) or "startTime" in params)
    return [shapes.trade(fill, item.step, commission(desk, fill)) for fill in chosen]


def kept(order: Order, now_ms: int) -> bool:
    """Whether look-ups still know an order."""
    unfilled = order.state.final and not order.filled
    return now_ms - order.accepted_ms <= (UNFILLED_KEPT_MS if unfilled else KEPT_MS)


def check_closing(desk: Desk, account: Account, new: NewOrder, *, leg_closes: bool) -> None:
    """Refuse what would close more than there is, where Binance does not cut it.

    Raises:
        BinanceError: -2022: always in hedge mode; in one-way mode by the variant
            `reduce_only_excess`.
    """
    if new.leg is Leg.NET and desk.variants["reduce_only_excess"] == "trimmed":
        return
    if not (leg_closes or new.reduce_only) or new.close_whole:
        return
    held = abs(account.size(new.symbol, new.leg))
    if new.qty > held:
        raise BinanceError(Code.REDUCE_ONLY, f"quantity {new.qty} is more than the {held} held")


def check_position(
    account: Account, item: Instrument, way: Direction, qty: Decimal, price: Decimal
) -> None:
    """Refuse a position larger than its leverage allows.

    Raises:
        BinanceError: -2027.
    """
    size = account.size(item.symbol, way.leg) + qty * way.side.sign
    allowed = largest_notional(item.symbol, account.leverage(item.symbol, way.leg))
    if abs(size) * price > allowed:
        raise BinanceError(Code.MAX_POSITION, f"{abs(size) * price:f} is more than {allowed:f}")


def _new_order(
    desk: Desk, account: Account, item: Instrument, params: Mapping[str, str], now_ms: int
) -> NewOrder:
    """The order that a request asks for, with every rule applied that the engine does not have."""
    if params.get("type", "") in ALGO_TYPES:
        raise BinanceError(Code.USE_ALGO_ENDPOINT)
    kind = fields.choice(params, "type", _KINDS, Code.ORDER_TYPE)
    way = fields.direction(params, account)
    fields.choice(params, "newOrderRespType", _RESPONSES, Code.RESPONSE_TYPE)
    fields.choice(params, "selfTradePreventionMode", _PREVENTIONS)
    fields.choice(params, "workingType", fields.WORKING)
    if fields.flag(params, "closePosition"):
        raise BinanceError(Code.STRATEGY, "closePosition is for conditional market orders")
    if params.get("priceMatch", "NONE") != "NONE":
        raise malformed("priceMatch", "the sandbox provides NONE only", Code.PARAMETER)
    fields.unwanted(params, "stopPrice", "activationPrice", "callbackRate", "goodTillDate")
    if kind is OrderKind.MARKET:
        fields.unwanted(params, "price", "timeInForce")
    client_id = fields.client_id(params, "newClientOrderId")
    qty = fields.required_decimal(params, "quantity")
    price, force = None, TimeInForce.GTC
    if kind is OrderKind.LIMIT:
        force = fields.choice(params, "timeInForce", fields.TIMES_IN_FORCE, Code.TIME_IN_FORCE)
        price = fields.required_decimal(params, "price")
        fields.check_price("price", price, item)
    fields.check_qty(qty, kind, item)
    last = desk.engine.market.last(item.symbol, now_ms)
    if price is not None:
        fields.check_band(way.side, price, item, last)
    new = NewOrder(
        symbol=item.symbol,
        side=way.side,
        kind=kind,
        qty=qty,
        price=price,
        time_in_force=force,
        leg=way.leg,
        reduce_only=way.reduce_only,
        client_order_id=client_id or desk.new_client_id(),
    )
    if way.closes:
        _check_hedge_notional(desk, item, new, last)
        check_closing(desk, account, new, leg_closes=way.closes)
    else:
        check_position(account, item, way, qty, last if price is None else price)
    return new


def _check_hedge_notional(desk: Desk, item: Instrument, new: NewOrder, last: Decimal) -> None:
    """Binance exempts reduce-only; whether a hedge leg's close counts as that is not said."""
    if new.reduce_only or desk.variants["hedge_close_notional"] == "exempt":
        return
    if new.qty * (last if new.price is None else new.price) < item.min_notional:
        raise BinanceError(Code.MIN_NOTIONAL, f"the smallest is {item.min_notional}")


def _check_at_once(
    desk: Desk, account: Account, new: NewOrder, now_ms: int, treatment: Treatment
) -> None:
    """Refuse a FOK that cannot fill whole and a post-only that would trade; neither is recorded."""
    if new.time_in_force not in (TimeInForce.FOK, TimeInForce.POST_ONLY):
        return
    accepted = desk.engine.check(account, new, now_ms)
    trades_now = crosses(new.side, accepted.limit, desk.engine.market.last(new.symbol, now_ms))
    if new.time_in_force is TimeInForce.POST_ONLY and trades_now:
        raise BinanceError(Code.POST_ONLY_WOULD_TAKE)
    whole = trades_now and treatment.take_fraction is None
    if new.time_in_force is TimeInForce.FOK and not whole:
        raise BinanceError(Code.FOK_UNFILLED)


def named(params: Mapping[str, str]) -> dict[str, str]:
    """The ids a look-up names; an order id wins over a client order id."""
    number = fields.number(params, "orderId", 0)
    client_id = params.get("origClientOrderId", "")
    if not number and not client_id:
        raise malformed("origClientOrderId", "it or orderId must be sent")
    return {"order_id": str(number) if number else "", "client_order_id": client_id}


def _find(desk: Desk, call: Call, now_ms: int) -> Order | None:
    order = desk.engine.find(customer(call), now_ms, **named(call.params))
    if order is None or call.treatment.hide_ms or not kept(order, now_ms):
        return None
    return order


def _rows(desk: Desk, call: Call, orders: Iterable[Order], now_ms: int) -> list[dict[str, Any]]:
    """Rows of the orders a listing is about, in order of acceptance."""
    desk.engine.book.advance(now_ms)
    market = desk.engine.market
    symbol = fields.contract(market, call.params).symbol if "symbol" in call.params else ""
    found = [
        order
        for order in orders
        if symbol in ("", order.symbol)
        and order.visible_ms <= now_ms
        and not call.treatment.hide_ms
        and order.state is not OrderState.UNTRIGGERED
    ]
    found.sort(key=lambda order: order.sequence)
    return [shapes.order(order, market.instruments[order.symbol].step) for order in found]


def commission(desk: Desk, fill: Fill) -> tuple[Decimal, str]:
    """A fill's fee as shown: in USDT, in BNB at a fixed price, or by turns."""
    asset = desk.variants["commission_asset"]
    if asset == "USDT" or (asset == "mixed" and fill.sequence % 2):
        return fill.fee, "USDT"
    return fill.fee / desk.engine.market.instruments["BNBUSDT"].start_price, "BNB"
