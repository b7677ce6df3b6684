"""Account settings: leverage, position mode, margin mode. Rules over values; no I/O.

Each setter refuses a value already in force, because venues answer that with a code of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.sandbox.values import (
    Leg,
    MarginMode,
    PositionMode,
    Refusal,
    Refused,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.account import Account
    from providers.sandbox.instruments import Instrument
    from providers.sandbox.market import Market


def set_leverage(
    account: Account,
    instrument: Instrument,
    *,
    long: Decimal,
    short: Decimal,
    market: Market,
    now_ms: int,
) -> None:
    """Set the leverage of both legs.

    Raises:
        Refused: out of range, off the step, legs differ where they must not, unchanged, or the
            open positions would need more margin than there is.
    """
    for value in (long, short):
        if value > instrument.max_leverage:
            raise Refused(
                Refusal.LEVERAGE_ABOVE_MAX,
                f"leverage {value} is above the maximum {instrument.max_leverage}",
            )
        if value < 1 or value % instrument.leverage_step:
            raise Refused(
                Refusal.LEVERAGE_STEP,
                f"leverage {value} is below 1 or no multiple of {instrument.leverage_step}",
            )
    apart = (
        account.mode(instrument.symbol) is PositionMode.HEDGE
        and account.margin_mode is MarginMode.ISOLATED
    )
    if long != short and not apart:
        raise Refused(
            Refusal.LEVERAGE_LEGS_DIFFER,
            "buy and sell leverage must be equal unless in hedge mode with isolated margin",
        )
    keys = ((instrument.symbol, Leg.LONG), (instrument.symbol, Leg.SHORT))
    before = (account.leverage(*keys[0]), account.leverage(*keys[1]))
    if before == (long, short):
        raise Refused(Refusal.LEVERAGE_UNCHANGED, f"leverage is {long} already")
    account.leverages.update(zip(keys, (long, short), strict=True))
    if account.available(market, now_ms) < 0:
        account.leverages.update(zip(keys, before, strict=True))
        raise Refused(
            Refusal.INSUFFICIENT_MARGIN, "the open positions need more margin at that leverage"
        )


def set_position_mode(account: Account, symbols: list[str] | None, mode: PositionMode) -> None:
    """Set one-way or hedge mode for these symbols, or for all and as the default (None).

    Raises:
        Refused: unchanged, or a position or open order is in the way.
    """
    wide = symbols is None
    affected = _used_symbols(account) if symbols is None else symbols
    unchanged = all(account.mode(symbol) is mode for symbol in affected)
    if unchanged and (not wide or account.position_mode is mode):
        raise Refused(Refusal.POSITION_MODE_UNCHANGED, f"the position mode is {mode} already")
    names = set(affected)
    if any(position.size for (symbol, _), position in account.positions.items() if symbol in names):
        raise Refused(
            Refusal.POSITION_MODE_HAS_POSITION, "close the position before changing its mode"
        )
    if any(order.symbol in names for order in account.open.values()):
        raise Refused(
            Refusal.POSITION_MODE_HAS_ORDERS, "cancel the open orders before changing the mode"
        )
    if wide:
        account.position_mode = mode
        account.symbol_modes.clear()
    else:
        account.symbol_modes.update(dict.fromkeys(names, mode))


def change_margin(
    account: Account,
    symbol: str,
    leg: Leg,
    amount: Decimal,
    *,
    isolated: bool,
    market: Market,
    now_ms: int,
) -> None:
    """Put margin into an isolated position, or (below zero) take out what was put in.

    Raises:
        Refused: no position, a cross one, more than is free, or more than was put in.
    """
    position = account.position(symbol, leg)
    if not position.size:
        raise Refused(Refusal.NO_POSITION, f"there is no position on {symbol}")
    if not isolated:
        raise Refused(Refusal.CROSS_MARGIN, f"the position on {symbol} is in cross margin")
    free = account.available(market, now_ms)
    if amount > free or position.added + amount < 0:
        raise Refused(
            Refusal.INSUFFICIENT_MARGIN,
            f"{free:f} USDT are available, {position.added:f} were put in",
        )
    position.added += amount
    position.updated_ms = now_ms


def set_margin_mode(account: Account, mode: MarginMode) -> None:
    """Set cross or isolated margin for the whole account.

    Raises:
        Refused: unchanged, or a position or open order is in the way.
    """
    if account.margin_mode is mode:
        raise Refused(Refusal.MARGIN_MODE_UNCHANGED, f"the margin mode is {mode} already")
    if account.open or any(position.size for position in account.positions.values()):
        raise Refused(
            Refusal.MARGIN_MODE_BLOCKED,
            "close all positions and cancel all orders before changing the margin mode",
        )
    account.margin_mode = mode


def _used_symbols(account: Account) -> list[str]:
    held = [symbol for (symbol, _), position in account.positions.items() if position.size]
    return [*held, *(order.symbol for order in account.open.values()), *account.symbol_modes]
