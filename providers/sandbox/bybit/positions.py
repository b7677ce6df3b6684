"""Bybit's position endpoints: leverage, position mode, list, symbol-info, trading-stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.sandbox import settings
from providers.sandbox.account import Trail
from providers.sandbox.bybit import fields, shapes
from providers.sandbox.bybit.fields import bad, customer, number, required, text
from providers.sandbox.checks import find_instrument
from providers.sandbox.values import Leg, MarginMode, PositionMode, Refusal, Refused

if TYPE_CHECKING:
    from providers.sandbox.account import Account, Position
    from providers.sandbox.engine import Engine
    from providers.sandbox.wire import Call

_MODES = {0: PositionMode.ONE_WAY, 3: PositionMode.HEDGE}


def set_leverage(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Set buy and sell leverage of a symbol."""
    fields.check_category(call.params)
    instrument = find_instrument(engine.market.instruments, required(call.params, "symbol"))
    engine.book.advance(now_ms)
    settings.set_leverage(
        customer(call),
        instrument,
        long=fields.required_decimal(call.params, "buyLeverage"),
        short=fields.required_decimal(call.params, "sellLeverage"),
        market=engine.market,
        now_ms=now_ms,
    )
    return {}


def switch_mode(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Set one-way (0) or hedge (3) mode of a symbol or of all of a coin."""
    fields.check_category(call.params)
    mode = _MODES.get(number(call.params, "mode", -1, 0, 3))
    if mode is None:
        raise bad("mode must be 0 (one-way) or 3 (hedge)")
    symbol, coin = text(call.params, "symbol"), text(call.params, "coin")
    if symbol:
        find_instrument(engine.market.instruments, symbol)
    elif coin != "USDT":
        raise bad("give a symbol, or coin USDT")
    engine.book.advance(now_ms)
    settings.set_position_mode(customer(call), [symbol] if symbol else None, mode)
    return {}


def positions(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Positions of a symbol (flat ones too), or all open ones of a coin."""
    fields.check_category(call.params)
    symbol = text(call.params, "symbol")
    if not symbol and not text(call.params, "settleCoin"):
        raise bad("one of symbol and settleCoin is required")
    limit = number(call.params, "limit", 20, 1, 200)
    start = number(call.params, "cursor", 0, 0, 10_000)
    account = customer(call)
    engine.book.advance(now_ms)
    if symbol:
        find_instrument(engine.market.instruments, symbol)
        rows = [account.position(symbol, leg) for leg in _legs(account, symbol, now_ms)]
    else:
        rows = [position for position in account.positions.values() if position.size]
    page = rows[start : start + limit]
    more = start + limit < len(rows)
    return {
        "category": "linear",
        "list": [shapes.position(row, account, engine.market, now_ms) for row in page],
        "nextPageCursor": str(start + limit) if more else "",
    }


def symbol_info(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Leverage and position index of a symbol, with or without a position."""
    fields.check_category(call.params)
    symbol = required(call.params, "symbol")
    find_instrument(engine.market.instruments, symbol)
    account = customer(call)
    return {
        "category": "linear",
        "list": [
            {
                "symbol": symbol,
                "positionIdx": shapes.IDX[leg],
                "leverage": shapes.plain(account.leverage(symbol, leg)),
            }
            for leg in _legs(account, symbol, now_ms)
        ],
    }


def trading_stop(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Set take profit, stop loss and trailing stop of a position; Partial: of a part of it."""
    fields.check_category(call.params)
    symbol = required(call.params, "symbol")
    find_instrument(engine.market.instruments, symbol)
    account, leg = customer(call), fields.leg(call.params)
    if "trailingStop" in call.params:
        _trail(engine, call, account.position(symbol, leg), now_ms)
        if not {"takeProfit", "stopLoss"} & call.params.keys():
            return {}
    if fields.protection(call.params).partial:
        sizes = (fields.decimal(call.params, "tpSize"), fields.decimal(call.params, "slSize"))
        wanted = fields.protection(call.params)
        engine.protect_part(account, symbol, leg, wanted, sizes, now_ms)
        return {}
    before = account.position(symbol, leg).protection
    engine.protect(account, symbol, leg, fields.protection(call.params, before), now_ms)
    return {}


def _trail(engine: Engine, call: Call, position: Position, now_ms: int) -> None:
    """Set the trailing stop of a position, or (with 0) take it away."""
    engine.book.advance(now_ms)
    if not position.size:
        raise Refused(Refusal.NO_POSITION, f"there is no position on {position.symbol}")
    distance = fields.decimal(call.params, "trailingStop")
    active_at = fields.decimal(call.params, "activePrice") or None
    best = None if active_at else engine.market.last(position.symbol, now_ms)
    trail = Trail(distance, active_at, best) if distance else None
    engine.book.guards.trail(customer(call), position, trail, now_ms)


def add_margin(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Put margin into an isolated position; a minus takes it out again."""
    fields.check_category(call.params)
    symbol = required(call.params, "symbol")
    find_instrument(engine.market.instruments, symbol)
    given = required(call.params, "margin")
    amount = fields.required_decimal({"margin": given.removeprefix("-")}, "margin")
    account, leg = customer(call), fields.leg(call.params)
    engine.book.advance(now_ms)
    settings.change_margin(
        account,
        symbol,
        leg,
        -amount if given.startswith("-") else amount,
        isolated=account.margin_mode is MarginMode.ISOLATED,
        market=engine.market,
        now_ms=now_ms,
    )
    row = shapes.position(account.position(symbol, leg), account, engine.market, now_ms)
    return {"category": "linear", **row}


def _legs(account: Account, symbol: str, now_ms: int) -> list[Leg]:
    """The rows a symbol has; hedge rows come in no fixed order, here by the parity of the clock."""
    if account.mode(symbol) is PositionMode.ONE_WAY:
        return [Leg.NET]
    legs = [Leg.LONG, Leg.SHORT]
    return legs if now_ms % 2 else legs[::-1]
