"""What Binance's user data stream says of a change: the order, the account, the lighter trade.

Field names follow Binance's public USDⓈ-M futures documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.binance import accounts, algo_event, orders, shapes
from providers.sandbox.journal import Entry, What
from providers.sandbox.values import ZERO, Fill, MarginMode, Order, OrderState, Origin

if TYPE_CHECKING:
    from providers.sandbox.account import Position
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.journal import Told

_EXECUTIONS: Final = {
    What.NEW: "NEW",
    What.FILL: "TRADE",
    What.AMEND: "AMENDMENT",
    What.TRIGGER: "NEW",
}

_Event = tuple[dict[str, Any], str, str]
"""An event, its symbol, its client order id."""


def tell(desk: Desk, entry: Entry | Told, now_ms: int) -> list[_Event]:
    """The events of a change, in the order Binance sends them."""
    if not isinstance(entry, Entry):
        return [(entry.body, entry.symbol, entry.client_order_id)]
    order = entry.order
    events: list[dict[str, Any]] = []
    if entry.fill is not None and entry.position is not None:
        events.append(_trade_lite(order, entry.fill, now_ms))
        events.append(_account(desk, entry, entry.position, now_ms))
    events.append(_order(desk, entry, now_ms))
    if order.state.final and order.origin is not Origin.CLIENT:
        algo = desk.algos.of_order(entry.account, order.order_id)
        step = desk.engine.market.instruments[order.symbol].step
        if algo is not None:
            events.append(algo_event.event(algo, step, now_ms))
    return [(event, order.symbol, order.client_order_id) for event in events]


def _order(desk: Desk, entry: Entry, now_ms: int) -> dict[str, Any]:
    order, fill = entry.order, entry.fill
    step = desk.engine.market.instruments[order.symbol].step
    row = shapes.order(order, step)
    status = row["status"]
    ended = "CANCELED" if status == "CANCELED" else "EXPIRED"
    average = order.average
    body: dict[str, Any] = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": row["side"],
        "o": row["type"],
        "f": row["timeInForce"],
        "q": row["origQty"],
        "p": shapes.plain(order.price) if order.price is not None else "0",
        "ap": shapes.money(average) if average is not None else "0",
        "sp": "0",
        "x": _EXECUTIONS.get(entry.what, ended),
        "X": status,
        "i": row["orderId"],
        "l": "0",
        "z": row["executedQty"],
        "L": "0",
        "T": entry.at_ms,
        "t": 0,
        "b": "0",
        "a": "0",
        "m": False,
        "R": order.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": row["origType"],
        "ps": row["positionSide"],
        "cp": False,
        "rp": "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    }
    if fill is not None:
        amount, asset = orders.commission(desk, fill)
        body |= {
            "l": shapes.on_step(fill.qty, step),
            "L": f"{fill.price:f}",
            "N": asset,
            "n": shapes.money(amount),
            "t": int(fill.fill_id),
            "m": fill.maker,
            "rp": shapes.money(fill.realised),
        }
    if order.state is OrderState.REJECTED:
        body["er"] = order.reject_reason or "0"
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": entry.at_ms, "o": body}


def _account(desk: Desk, entry: Entry, position: Position, now_ms: int) -> dict[str, Any]:
    account, market = entry.account, desk.engine.market
    isolated = account.margin(position.symbol) is MarginMode.ISOLATED
    held = shapes.Held(position, account, market, now_ms)
    entered = shapes.plain(position.entry)
    money = accounts.Money(desk, account, now_ms)
    change = {
        "s": position.symbol,
        "pa": shapes.on_step(position.size, held.contract.step),
        "ep": entered,
        "bep": entered,
        "cr": shapes.money(position.realised_ever),
        "up": shapes.money(held.profit),
        "mt": "isolated" if isolated else "cross",
        "iw": shapes.money(held.margin) if isolated else "0",
        "ps": shapes.LEGS[position.leg],
    }
    balance = {
        "a": "USDT",
        "wb": shapes.money(entry.wallet),
        "cw": shapes.money(money.cross_wallet - money.wallet + entry.wallet),
        "bc": shapes.money(ZERO),
    }
    body = {"m": "ORDER", "B": [balance], "P": [change]}
    return {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": entry.at_ms, "a": body}


def _trade_lite(order: Order, fill: Fill, now_ms: int) -> dict[str, Any]:
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": fill.at_ms,
        "s": order.symbol,
        "q": shapes.plain(order.qty),
        "p": shapes.plain(order.price) if order.price is not None else "0",
        "m": fill.maker,
        "c": order.client_order_id,
        "S": shapes.SIDES[order.side],
        "L": f"{fill.price:f}",
        "l": shapes.plain(fill.qty),
        "t": int(fill.fill_id),
        "i": int(order.order_id),
    }
