"""Binance's endpoints for positions and their settings: leverage, margin type, mode, risk."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox import settings
from providers.sandbox.binance import fields, instruments, shapes
from providers.sandbox.binance.codes import BinanceError, Code
from providers.sandbox.binance.desk import customer
from providers.sandbox.journal import Told
from providers.sandbox.values import (
    Leg,
    MarginMode,
    PositionMode,
    Refusal,
    Refused,
)

if TYPE_CHECKING:
    from providers.sandbox.account import Account, Position
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.wire import Call

_MARGIN_TYPES: Final = {name: mode for mode, name in shapes.MARGIN_TYPES.items()}
_MODES: Final = {"true": PositionMode.HEDGE, "false": PositionMode.ONE_WAY}
_HEDGE_LEGS: Final = (Leg.LONG, Leg.SHORT)
_SUCCESS: Final = {"code": 200, "msg": "success"}


def set_leverage(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Set the leverage of a symbol; the value in force is answered as success."""
    engine, account = desk.engine, customer(call)
    item = fields.contract(engine.market, call.params)
    wanted = Decimal(fields.number(call.params, "leverage", None))
    engine.book.advance(now_ms)
    if not 1 <= wanted <= item.max_leverage:
        raise BinanceError(Code.LEVERAGE, f"{wanted} is not in 1..{item.max_leverage}")
    before = account.leverage(item.symbol, Leg.NET)
    held = any(account.size(item.symbol, leg) for leg in Leg)
    if wanted < before and held and account.margin(item.symbol) is MarginMode.ISOLATED:
        raise BinanceError(Code.ISOLATED_LEVERAGE)
    allowed = instruments.largest_notional(item.symbol, wanted)
    mark = engine.market.mark(item.symbol, now_ms)
    if any(abs(account.size(item.symbol, leg)) * mark > allowed for leg in Leg):
        raise BinanceError(Code.MAX_POSITION)
    try:
        settings.set_leverage(
            account, item, long=wanted, short=wanted, market=engine.market, now_ms=now_ms
        )
    except Refused as refused:
        if refused.reason is Refusal.INSUFFICIENT_MARGIN:
            raise BinanceError(Code.LEVERAGE_NEEDS_MARGIN) from refused
        if refused.reason is not Refusal.LEVERAGE_UNCHANGED:
            raise
    else:
        _tell(desk, account, item.symbol, int(wanted), now_ms)
    return {
        "symbol": item.symbol,
        "leverage": int(wanted),
        "maxNotionalValue": shapes.plain(allowed),
    }


def set_margin_type(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Set the margin type of a symbol; the value in force is refused, which does no harm."""
    account = customer(call)
    symbol = fields.contract(desk.engine.market, call.params).symbol
    wanted = fields.choice(call.params, "marginType", _MARGIN_TYPES)
    desk.engine.book.advance(now_ms)
    if account.margin(symbol) is wanted:
        raise BinanceError(Code.MARGIN_TYPE_UNCHANGED)
    waiting = desk.algos.open_of(account, symbol)
    if waiting or any(order.symbol == symbol for order in account.open.values()):
        raise BinanceError(Code.MARGIN_TYPE_HAS_ORDERS)
    if any(account.size(symbol, leg) for leg in Leg):
        raise BinanceError(Code.MARGIN_TYPE_HAS_POSITION)
    account.margin_modes[symbol] = wanted
    return dict(_SUCCESS)


def position_mode(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Whether the account is in hedge mode."""
    del desk, now_ms
    return {"dualSidePosition": customer(call).position_mode is PositionMode.HEDGE}


def set_position_mode(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Set one-way or hedge mode of the whole account."""
    account = customer(call)
    params = {"dualSidePosition": call.params.get("dualSidePosition", "").lower()}
    wanted = fields.choice(params, "dualSidePosition", _MODES)
    desk.engine.book.advance(now_ms)
    if account.position_mode is not wanted and desk.algos.open_of(account):
        raise BinanceError(Code.MODE_HAS_ORDERS)
    settings.set_position_mode(account, None, wanted)
    return dict(_SUCCESS)


def symbol_config(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Margin type and leverage by symbol, with or without a position."""
    del now_ms
    account = customer(call)
    rows = []
    for symbol in _symbols(desk, call):
        leverage = account.leverage(symbol, Leg.NET)
        rows.append(
            {
                "symbol": symbol,
                "marginType": shapes.MARGIN_TYPES[account.margin(symbol)],
                "isAutoAddMargin": False,
                "leverage": int(leverage),
                "maxNotionalValue": shapes.plain(instruments.largest_notional(symbol, leverage)),
            }
        )
    return rows


def brackets(desk: Desk, call: Call, now_ms: int) -> Any:  # noqa: ANN401 - a list, or one object
    """Leverage brackets: a list, or one object when a symbol is sent."""
    del now_ms
    rows = [
        {
            "symbol": symbol,
            "notionalCoef": 1,
            "brackets": [shapes.bracket(row) for row in instruments.BRACKETS[symbol]],
        }
        for symbol in _symbols(desk, call)
    ]
    return rows[0] if "symbol" in call.params else rows


def risk(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Positions, version 3: only legs that have a position or an open order."""
    market, account = desk.engine.market, customer(call)
    symbols = frozenset(_symbols(desk, call))
    desk.engine.book.advance(now_ms)
    return [
        shapes.Held(item, account, market, now_ms).risk()
        for item in in_use(account)
        if item.symbol in symbols
    ]


def risk_v2(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Positions, version 2: every symbol, flat or not; all three rows in hedge mode."""
    market, account = desk.engine.market, customer(call)
    desk.engine.book.advance(now_ms)
    return [
        shapes.Held(account.position(symbol, leg), account, market, now_ms).risk_v2()
        for symbol in _symbols(desk, call)
        for leg in all_legs(account)
    ]


def _tell(desk: Desk, account: Account, symbol: str, leverage: int, now_ms: int) -> None:
    """Tell the user data streams of another leverage, if any are open."""
    journal = desk.engine.book.journal
    if journal is not None:
        config = {"s": symbol, "l": leverage}
        body = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": config}
        journal.tell(
            Told(account=account, symbol=symbol, client_order_id="", body=body, at_ms=now_ms)
        )


def in_use(account: Account) -> list[Position]:
    """The legs that hold a position or have an open order."""
    wanted = {(order.symbol, order.leg): None for order in account.open.values()}
    held = {key: None for key, item in account.positions.items() if item.size}
    return [account.position(symbol, leg) for symbol, leg in sorted({**held, **wanted})]


def all_legs(account: Account) -> tuple[Leg, ...]:
    """The rows a symbol has in the older versions."""
    hedge = account.position_mode is PositionMode.HEDGE
    return (Leg.NET, *_HEDGE_LEGS) if hedge else (Leg.NET,)


def _symbols(desk: Desk, call: Call) -> list[str]:
    if "symbol" in call.params:
        return [fields.contract(desk.engine.market, call.params).symbol]
    return list(desk.engine.market.instruments)
