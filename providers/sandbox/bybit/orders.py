"""Bybit's order endpoints: create, amend, cancel, look-ups, executions.

Open orders and the latest 500 closed ones are in `realtime`; all closed ones are in `history`,
where those that ended without a fill stay for 24 hours. An unknown id is an empty list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.bybit import fields, shapes
from providers.sandbox.bybit.fields import bad, customer, number, text
from providers.sandbox.values import Order, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

    from providers.sandbox.account import Account
    from providers.sandbox.engine import Engine
    from providers.sandbox.wire import Call

_DAY_MS: Final = 86_400_000
_FILTERS: Final = {"": None, "Order": False, "StopOrder": True, "tpslOrder": True}


def create(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Accept an order; the answer has its ids and nothing else."""
    new = fields.new_order(call.params)
    order = engine.place(
        customer(call),
        new,
        now_ms,
        treatment=call.treatment,
        arrived_ms=call.inbound.arrived_ms,
        arrived_ns=call.inbound.arrived_ns,
    )
    return _ids(order)


def pre_check(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Validate an order without placing it."""
    new = fields.new_order(call.params)
    account = customer(call)
    engine.book.advance(now_ms)
    accepted = engine.check(account, new, now_ms)
    equity = account.equity(engine.market, now_ms)
    before = account.margin_in_use() + account.order_margin
    after = before + engine.book.margin(account, new.symbol, new.leg, accepted.value)
    return {
        "orderId": "",
        "orderLinkId": new.client_order_id,
        "preImrE4": _e4(before, equity),
        "preMmrE4": 0,
        "postImrE4": _e4(after, equity),
        "postMmrE4": 0,
    }


def amend(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Change an open order."""
    params = call.params
    order = _named_order(engine, call, now_ms)
    guards = {"takeProfit", "stopLoss"} & params.keys()
    engine.amend(
        order,
        now_ms,
        qty=fields.decimal(params, "qty"),
        price=fields.decimal(params, "price"),
        protection=fields.protection(params, order.protection) if guards else None,
    )
    return _ids(order)


def cancel(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Ask for an open order to be cancelled."""
    order = _named_order(engine, call, now_ms)
    engine.cancel(order, now_ms)
    return _ids(order)


def cancel_all(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Ask for all open orders of a symbol or coin to be cancelled."""
    fields.check_category(call.params)
    wanted = _scope(call)
    engine.book.advance(now_ms)
    kind = _kind(call)
    orders = [
        order
        for order in customer(call).open.values()
        if wanted(engine, order.symbol) and kind(order)
    ]
    for order in orders:
        engine.cancel(order, now_ms)
    return {"list": [_ids(order) for order in orders], "success": "1"}


def realtime(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Open orders, or (by id, or with openOnly=1) the latest closed ones too."""
    fields.check_category(call.params)
    wanted = _scope(call)
    account = customer(call)
    engine.book.advance(now_ms)
    limit = number(call.params, "limit", 20, 1, 50)
    if _named(call):
        order = _find(engine, call, account, now_ms)
        known = order is not None and (not order.state.final or order.order_id in account.recent)
        return _page(engine, call, [order] if order is not None and known else [], limit)
    closed = number(call.params, "openOnly", 0, 0, 2)
    source = sorted(
        (account.recent if closed else account.open).values(), key=lambda order: order.sequence
    )
    kind = _kind(call)
    rows = (
        order
        for order in reversed(source)
        if order.visible_ms <= now_ms and wanted(engine, order.symbol) and kind(order)
    )
    return _page(engine, call, rows, limit)


def history(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Closed orders, latest first."""
    fields.check_category(call.params)
    account = customer(call)
    engine.book.advance(now_ms)
    limit = number(call.params, "limit", 20, 1, 50)
    if _named(call):
        order = _find(engine, call, account, now_ms)
        kept = order is not None and order.state.final and _kept(order, now_ms)
        return _page(engine, call, [order] if order is not None and kept else [], limit)
    first, last = fields.span(call.params, now_ms, bound=not _named(call))
    wanted = _scope(call, needed=False)
    kind = _kind(call)
    status = text(call.params, "orderStatus")
    rows = (
        order
        for order in reversed(account.orders.values())
        if order.state.final
        and first <= order.accepted_ms <= last
        and order.visible_ms <= now_ms
        and _kept(order, now_ms)
        and wanted(engine, order.symbol)
        and kind(order)
        and status in ("", shapes.STATES[order.state])
    )
    return _page(engine, call, rows, limit)


def executions(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Fills, latest first."""
    fields.check_category(call.params)
    account = customer(call)
    engine.book.advance(now_ms)
    limit = number(call.params, "limit", 50, 1, 100)
    below = _cursor(call)
    if _named(call):
        order = _find(engine, call, account, now_ms)
        source = order.fills if order is not None else []
    else:
        source = account.fills
    if text(call.params, "execType") not in ("", "Trade"):
        source = []  # there is no funding and no liquidation here
    first, last = fields.span(call.params, now_ms, bound=not _named(call))
    wanted = _scope(call, needed=False)
    rows: list[dict[str, Any]] = []
    cursor = ""
    for fill in reversed(source):
        parent = account.orders[fill.order_id]
        hidden = parent.visible_ms > now_ms or call.treatment.hide_ms
        if hidden or fill.sequence >= below or not first <= fill.at_ms <= last:
            continue
        if not wanted(engine, fill.symbol):
            continue
        rows.append(shapes.execution(fill, parent, engine.market.instruments[fill.symbol]))
        if len(rows) == limit:
            cursor = f"{fill.sequence}%3A{fill.at_ms}"
            break
    return {"category": "linear", "list": rows, "nextPageCursor": cursor}


class _Scope:
    """Which symbols a look-up is about: one, those of a base coin, or all."""

    def __init__(self, symbol: str, base: str) -> None:
        self._symbol = symbol
        self._base = base

    def __call__(self, engine: Engine, symbol: str) -> bool:
        if self._symbol:
            return symbol == self._symbol
        return not self._base or engine.market.instruments[symbol].base == self._base


def _scope(call: Call, *, needed: bool = True) -> _Scope:
    symbol, base = text(call.params, "symbol"), text(call.params, "baseCoin")
    if needed and not (symbol or base or text(call.params, "settleCoin")):
        raise bad("one of symbol, baseCoin and settleCoin is required")
    return _Scope(symbol, base)


def _kind(call: Call) -> Callable[[Order], bool]:
    """Which kind of order a look-up is about: plain, conditional, or (by default) both."""
    wanted = fields.choice(call.params, "orderFilter", _FILTERS)
    return lambda order: wanted is None or (order.trigger is not None) is wanted


def _ids(order: Order) -> dict[str, Any]:
    return {"orderId": order.order_id, "orderLinkId": order.client_order_id}


def _e4(margin: Decimal, equity: Decimal) -> int:
    """A margin rate in ten-thousandths; an account without equity is at its limit."""
    return int(margin * 10_000 / equity) if equity > 0 else 10_000


def _named(call: Call) -> bool:
    return bool(text(call.params, "orderId") or text(call.params, "orderLinkId"))


def _named_order(engine: Engine, call: Call, now_ms: int) -> Order:
    """The open order that an amend or cancel names."""
    fields.check_category(call.params)
    symbol = fields.required(call.params, "symbol")
    if not _named(call):
        raise bad("one of orderId and orderLinkId is required")
    order = engine.open_order(
        customer(call),
        now_ms,
        order_id=text(call.params, "orderId"),
        client_order_id=text(call.params, "orderLinkId"),
    )
    if order.symbol != symbol:
        raise Refused(Refusal.ORDER_UNKNOWN, f"no order on {symbol} has that id")
    return order


def _find(engine: Engine, call: Call, account: Account, now_ms: int) -> Order | None:
    if call.treatment.hide_ms:
        return None
    return engine.find(
        account,
        now_ms,
        order_id=text(call.params, "orderId"),
        client_order_id=text(call.params, "orderLinkId"),
    )


def _kept(order: Order, now_ms: int) -> bool:
    """Whether history still has an order: without a fill it goes after a day."""
    return bool(order.filled) or now_ms - order.updated_ms < _DAY_MS


def _cursor(call: Call) -> int:
    """The sequence number to continue below."""
    cursor = text(call.params, "cursor")
    if not cursor:
        return fields.FAR
    head = cursor.partition(":")[0]
    if not (head.isascii() and head.isdigit()):
        raise bad("cursor must be the nextPageCursor of an earlier answer, unchanged")
    return int(head)


def _page(engine: Engine, call: Call, orders: Iterable[Order], limit: int) -> dict[str, Any]:
    below = _cursor(call)
    rows: list[dict[str, Any]] = []
    cursor = ""
    for order in () if call.treatment.hide_ms else orders:
        if order.sequence >= below:
            continue
        rows.append(shapes.order(order, engine.market.instruments[order.symbol]))
        if len(rows) == limit:
            cursor = f"{order.sequence}%3A{order.accepted_ms}"
            break
    return {"category": "linear", "list": rows, "nextPageCursor": cursor}
