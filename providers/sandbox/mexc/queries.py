"""MEXC's order look-ups: by id, by client id, open orders, history, deals.

An order that is not there is a success without `data` (or 2040, by the variant); lists are empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.mexc import desk as switches
from providers.sandbox.mexc import fields, plans, shapes
from providers.sandbox.mexc.codes import Code, MexcError
from providers.sandbox.mexc.desk import NO_DATA
from providers.sandbox.mexc.fields import bad, customer, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.sandbox.mexc.account import MexcAccount
    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.values import Fill, Order
    from providers.sandbox.wire import Call

_MOST: Final = 50
_DAY_MS: Final = 86_400_000
_DEFAULT_SPAN_MS: Final = 7 * _DAY_MS
_LONGEST_SPAN_MS: Final = 90 * _DAY_MS
_FAR: Final = 2**53
_STATES: Final = frozenset({1, 2, 3, 4, 5})
_FINAL_STATES: Final = frozenset({3, 4, 5})
_DEALS_LARGEST_PAGE: Final = 1000

_Rows = list[dict[str, Any]]


def by_external(desk: Desk, call: Call, now_ms: int) -> object:
    """The order of a client order id, open or finished."""
    account = customer(call)
    symbol = fields.contract(call.params).instrument.symbol
    external = fields.text(call.params, "externalOid")
    order = desk.engine.find(account, now_ms, client_order_id=external)
    if order is not None and order.symbol != symbol:
        order = None
    return _one(desk, call, order)


def by_id(desk: Desk, call: Call, now_ms: int) -> object:
    """The order of an id, open or finished."""
    wanted = fields.order_id(call.params.get("orderId"))
    return _one(desk, call, desk.engine.find(customer(call), now_ms, order_id=wanted))


def many(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """Orders by ids, those that are known."""
    account = customer(call)
    ids = [one for one in fields.text(call.params, "order_ids").split(",") if one]
    if not ids:
        raise bad("order_ids is required")
    if len(ids) > _MOST:
        raise MexcError(Code.TOO_MANY_QUERIED, f"at most {_MOST}, not {len(ids)}")
    found = [
        desk.engine.find(account, now_ms, order_id=fields.order_id(one.strip())) for one in ids
    ]
    return _shown(call, account, (order for order in found if order is not None))


def many_external(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """Orders by client order ids, those that are known."""
    account = customer(call)
    rows: list[Order] = []
    for item in fields.items(call.params, _MOST, Code.TOO_MANY_QUERIED):
        symbol, external = fields.named(item)
        order = desk.engine.find(account, now_ms, client_order_id=external)
        if order is not None and order.symbol == symbol:
            rows.append(order)
    return _shown(call, account, rows)


def open_orders(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """Open orders of the account or of one contract, latest first."""
    account = customer(call)
    symbol = _symbol(call)
    page = fields.page(call.params)
    desk.engine.book.advance(now_ms)
    orders = sorted(account.open.values(), key=lambda order: -order.sequence)
    rows = [
        order
        for order in orders
        if symbol in ("", order.symbol) and order.visible_ms <= now_ms and not plans.waits(order)
    ]
    return _shown(call, account, rows[page])


def history(desk: Desk, call: Call, now_ms: int) -> object:
    """Orders of a span of time by state, latest first; finished ones unless states are named."""
    account = customer(call)
    symbol = _symbol(call)
    page = fields.page(call.params)
    states = _states(fields.text(call.params, "states"))
    side = whole(call.params, "side", 0, (0, 4))
    first, last = _span(call, now_ms)
    desk.engine.book.advance(now_ms)
    rows = [
        order
        for order in reversed(account.orders.values())
        if shapes.state(order) in states
        and not plans.waits(order)
        and symbol in ("", order.symbol)
        and first <= order.accepted_ms <= last
        and order.visible_ms <= now_ms
        and (not side or _side(account, order) == side)
    ]
    shown = _shown(call, account, rows[page])
    if desk.variants[switches.HISTORY_ROWS] == "list":
        return shown
    size = page.stop - page.start
    return {
        "pageSize": size,
        "totalCount": len(rows),
        "totalPage": -(-len(rows) // size),
        "currentPage": page.stop // size,
        "resultList": shown,
    }


def deal_details(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """The deals of one order, oldest first."""
    account = customer(call)
    wanted = fields.order_id(call.params.get("orderId"))
    order = desk.engine.find(account, now_ms, order_id=wanted)
    if order is None or call.treatment.hide_ms:
        return []
    return [shapes.deal(fill, order, account, taker_name="isTaker") for fill in order.fills]


def deals(desk: Desk, call: Call, now_ms: int) -> _Rows:
    """The deals of one contract, latest first."""
    account = customer(call)
    symbol = fields.contract(call.params).instrument.symbol
    page = fields.page(call.params, _DEALS_LARGEST_PAGE)
    first, last = _span(call, now_ms)
    desk.engine.book.advance(now_ms)

    def visible(fill: Fill) -> bool:
        return account.orders[fill.order_id].visible_ms <= now_ms and not call.treatment.hide_ms

    rows = [
        fill
        for fill in reversed(account.fills)
        if fill.symbol == symbol and first <= fill.at_ms <= last and visible(fill)
    ]
    return [
        shapes.deal(fill, account.orders[fill.order_id], account, taker_name="taker")
        for fill in rows[page]
    ]


def _one(desk: Desk, call: Call, order: Order | None) -> object:
    if order is not None and not call.treatment.hide_ms:
        return shapes.order(order, customer(call))
    if desk.variants[switches.NOT_FOUND] == "2040":
        raise MexcError(Code.ORDER_UNKNOWN)
    return NO_DATA


def _shown(call: Call, account: MexcAccount, orders: Iterable[Order]) -> _Rows:
    if call.treatment.hide_ms:
        return []
    return [shapes.order(order, account) for order in orders]


def _symbol(call: Call) -> str:
    wanted = fields.text(call.params, "symbol")
    return fields.contract_named(wanted).instrument.symbol if wanted else ""


def _side(account: MexcAccount, order: Order) -> int:
    asked = account.asked.get(order.order_id)
    return asked.side if asked is not None else 0


def _states(text: str) -> frozenset[int]:
    """The states a list like `3,4` names."""
    if not text:
        return _FINAL_STATES
    named = text.split(",")
    if not all(one in {"1", "2", "3", "4", "5"} for one in named):
        raise bad(f"states must be numbers of {min(_STATES)}..{max(_STATES)} joined by commas")
    return frozenset(map(int, named))


def _span(call: Call, now_ms: int) -> tuple[int, int]:
    """The instants a listing covers: seven days to now by default, ninety at most."""
    params = call.params
    first = whole(params, "start_time", whole(params, "startTime", 0, (0, _FAR)), (0, _FAR))
    last = whole(params, "end_time", whole(params, "endTime", 0, (0, _FAR)), (0, _FAR))
    if not last:
        last = _FAR if not first else max(now_ms, first)
    if not first:
        first = min(last, now_ms) - _DEFAULT_SPAN_MS
    if not first <= last:
        raise bad("the end must not be before the start")
    if last != _FAR and last - first > _LONGEST_SPAN_MS:
        raise bad("a span may not be longer than 90 days")
    return first, last
