"""Binance's endpoints for the margin of isolated positions: put in, take out, and what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox import settings
from providers.sandbox.binance import fields, shapes
from providers.sandbox.binance.codes import BinanceError, Code
from providers.sandbox.binance.desk import customer
from providers.sandbox.values import MarginMode, Refusal, Refused

if TYPE_CHECKING:
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.wire import Call

_ADD, _REDUCE = 1, 2
_CODES: Final = {
    Refusal.NO_POSITION: Code.ADD_MARGIN_FLAT,
    Refusal.INSUFFICIENT_MARGIN: Code.ISOLATED_BALANCE,
    Refusal.CROSS_MARGIN: Code.ADD_MARGIN_CROSS,
}


def change(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Put margin into a position (type 1) or take out what was put in (2)."""
    params, account = call.params, customer(call)
    item = fields.contract(desk.engine.market, params)
    leg = fields.choice(params, "positionSide", fields.LEGS, Code.POSITION_SIDE)
    kind = fields.number(params, "type", None, _ADD, _REDUCE)
    amount = fields.required_decimal(params, "amount")
    if not amount:
        raise BinanceError(Code.AMOUNT_NOT_POSITIVE)
    desk.engine.book.advance(now_ms)
    try:
        settings.change_margin(
            account,
            item.symbol,
            leg,
            amount if kind == _ADD else -amount,
            isolated=account.margin(item.symbol) is MarginMode.ISOLATED,
            market=desk.engine.market,
            now_ms=now_ms,
        )
    except Refused as refused:
        raise BinanceError(_CODES[refused.reason], refused.detail) from refused
    desk.margin_changes.setdefault(account.name, []).append(
        {
            "symbol": item.symbol,
            "type": kind,
            "deltaType": "USER_ADJUST",
            "amount": shapes.plain(amount),
            "asset": item.quote,
            "time": now_ms,
            "positionSide": shapes.LEGS[leg],
            "clientTranId": "",
        }
    )
    text = "Successfully modify position margin."
    return {"amount": shapes.number(amount), "code": 200, "msg": text, "type": kind}


def history(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """What was put in and taken out, oldest first."""
    params = call.params
    item = fields.contract(desk.engine.market, params)
    kind = fields.number(params, "type", 0, 0, _REDUCE)
    limit = fields.number(params, "limit", 500, 1, 1000)
    first = fields.number(params, "startTime", 0)
    last = fields.number(params, "endTime", 0) or now_ms
    rows = [
        row
        for row in desk.margin_changes.get(customer(call).name, ())
        if row["symbol"] == item.symbol
        and kind in (0, row["type"])
        and first <= row["time"] <= last
    ]
    return fields.listed(rows, limit, oldest="startTime" in params)
