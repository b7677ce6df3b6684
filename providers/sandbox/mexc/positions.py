"""MEXC's position endpoints: lists, leverage by direction, position mode."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox import settings
from providers.sandbox.mexc import fields, placing, shapes
from providers.sandbox.mexc.codes import Code, MexcError
from providers.sandbox.mexc.contracts import BY_SYMBOL, Contract
from providers.sandbox.mexc.desk import NO_DATA
from providers.sandbox.mexc.fields import customer, whole
from providers.sandbox.values import Leg, MarginMode, PositionMode, Refusal, Refused

if TYPE_CHECKING:
    from providers.sandbox.account import Position
    from providers.sandbox.mexc.account import MexcAccount
    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.wire import Call

_MODES: Final = {1: PositionMode.HEDGE, 2: PositionMode.ONE_WAY}
_NUMBERS: Final = {mode: number for number, mode in _MODES.items()}
_DIRECTIONS: Final = {1: Leg.LONG, 2: Leg.SHORT}
_FAR: Final = 10**18


def open_positions(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Positions that are not flat, of one contract or all."""
    account = customer(call)
    symbol = _symbol(call)
    desk.engine.book.advance(now_ms)
    return [shapes.position(p, account) for p in account.held() if symbol in ("", p.symbol)]


def history(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Closed positions, latest first."""
    account = customer(call)
    symbol = _symbol(call)
    page = fields.page(call.params)
    kind = whole(call.params, "type", 0, (0, 2))
    desk.engine.book.advance(now_ms)
    account.holdings.catch_up(account)
    rows = [
        holding
        for holding in reversed(account.holdings.history)
        if symbol in ("", holding.symbol)
        and (not kind or shapes.POSITION_TYPES[holding.direction] == kind)
    ]
    return [shapes.closed_position(holding) for holding in rows[page]]


def funding_records(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Funding that was paid: none is here."""
    del desk, now_ms
    page = fields.page(call.params)
    return {
        "pageSize": page.stop - page.start,
        "totalCount": 0,
        "totalPage": 0,
        "currentPage": 1,
        "resultList": [],
    }


def leverage(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Leverage and margin mode of both directions of a contract."""
    del desk, now_ms
    account = customer(call)
    listed = fields.contract(call.params)
    return [_leverage_row(account, listed, direction) for direction in _DIRECTIONS.values()]


def change_leverage(desk: Desk, call: Call, now_ms: int) -> object:
    """Set leverage (and margin mode) of one direction, with or without a position."""
    account, params = customer(call), call.params
    value = Decimal(whole(params, "leverage", None, (1, 10**6), code=Code.LEVERAGE))
    desk.engine.book.advance(now_ms)
    position_id = whole(params, "positionId", 0, (0, _FAR))
    if position_id:
        holding = account.holdings.by_id(account, position_id)
        if holding is None:
            raise MexcError(Code.NO_POSITION, f"no open position {position_id}")
        listed, direction = BY_SYMBOL[holding.symbol], holding.direction
        open_type = holding.open_type
    else:
        listed = fields.contract(params)
        kind = whole(params, "positionType", None, (1, 2), code=Code.POSITION_TYPE)
        mode = whole(params, "openType", None, (1, 2), code=Code.OPEN_TYPE)
        direction, open_type = _DIRECTIONS[kind], placing.OPEN_TYPES[mode]
    placing.check_leverage(listed, value)
    placing.check_margin_mode(listed, open_type)
    symbol = listed.instrument.symbol
    before = account.leverages.get((symbol, direction), account.default_leverage)
    if (before, account.open_type(symbol, direction)) == (value, open_type):
        return NO_DATA
    held = _held(account, symbol, direction)
    _check_change(account, symbol, direction, open_type, held=held is not None)
    account.leverages[symbol, direction] = value
    account.open_types[symbol, direction] = open_type
    if held is not None and account.available(desk.engine.market, now_ms) < 0:
        account.leverages[symbol, direction] = before
        raise MexcError(Code.BALANCE, "the position needs more margin at that leverage")
    return NO_DATA


def change_margin(desk: Desk, call: Call, now_ms: int) -> object:
    """Put margin into an isolated position (ADD), or take out what was put in (SUB)."""
    account, params = customer(call), call.params
    desk.engine.book.advance(now_ms)
    holding = account.holdings.by_id(account, whole(params, "positionId", None, (1, _FAR)))
    if holding is None:
        raise MexcError(Code.NO_POSITION)
    amount = fields.number(params, "amount")
    sign = {"ADD": 1, "SUB": -1}.get(fields.text(params, "type"))
    if not amount or amount < 0 or sign is None:
        raise MexcError(Code.PARAMETER, "amount must be above zero, type ADD or SUB")
    settings.change_margin(
        account,
        holding.symbol,
        holding.leg,
        amount * sign,
        isolated=holding.open_type is MarginMode.ISOLATED,
        market=desk.engine.market,
        now_ms=now_ms,
    )
    return NO_DATA


def position_mode(desk: Desk, call: Call, now_ms: int) -> int:
    """1 for hedge, 2 for one-way."""
    del desk, now_ms
    return _NUMBERS[customer(call).position_mode]


def change_position_mode(desk: Desk, call: Call, now_ms: int) -> object:
    """Set hedge (1) or one-way (2) mode of the whole account."""
    mode = _MODES[whole(call.params, "positionMode", None, (1, 2))]
    account = customer(call)
    desk.engine.book.advance(now_ms)
    try:
        settings.set_position_mode(account, None, mode)
    except Refused as refused:
        if refused.reason is not Refusal.POSITION_MODE_UNCHANGED:
            raise
    return NO_DATA


def _check_change(
    account: MexcAccount, symbol: str, direction: Leg, open_type: MarginMode, *, held: bool
) -> None:
    """Open orders block a change; so does a position in cross margin, or in the other one."""
    if account.opening_orders(symbol, direction):
        raise MexcError(Code.LEVERAGE_HAS_ORDERS)
    if not held:
        return
    present = account.open_type(symbol, direction)
    if present is not open_type:
        raise MexcError(Code.OPEN_TYPE_CONFLICT, f"the position is {present}")
    if present is MarginMode.CROSS:
        raise MexcError(Code.LEVERAGE_OF_CROSS)


def _held(account: MexcAccount, symbol: str, direction: Leg) -> Position | None:
    for leg in (Leg.NET, direction):
        size = account.size(symbol, leg)
        if size and (size > 0) is (direction is Leg.LONG):
            return account.position(symbol, leg)
    return None


def _leverage_row(account: MexcAccount, listed: Contract, direction: Leg) -> dict[str, Any]:
    symbol = listed.instrument.symbol
    value = account.leverages.get((symbol, direction), account.default_leverage)
    value = min(value, listed.instrument.max_leverage)
    return {
        "level": 1,
        "maxVol": listed.max_limit_vol,
        "imr": shapes.money(1 / value),
        "mmr": shapes.MAINTENANCE_RATE,
        "currentMmr": shapes.MAINTENANCE_RATE,
        "positionType": shapes.POSITION_TYPES[direction],
        "openType": shapes.OPEN_TYPES[account.open_type(symbol, direction)],
        "leverage": value,
        "limitBySys": False,
    }


def _symbol(call: Call) -> str:
    wanted = fields.text(call.params, "symbol")
    return fields.contract_named(wanted).instrument.symbol if wanted else ""
