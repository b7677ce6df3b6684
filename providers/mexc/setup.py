"""How an account is set up for a contract: reading it, and which calls would change it. Pure.

Leverage and margin mode are kept for long and short apart; there is no setter for the margin mode
alone, it goes with the leverage. What MEXC answers to a leverage that is in force already is not
documented, so calls are made only where something differs. Source: MEXC contract API docs, "Get
leverage", "Switch leverage", "Get position mode".
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.errors import RequestRefused
from providers.exchange import SymbolSetup
from providers.fields import MalformedReply, Row, rows, whole
from providers.mexc.contracts import OPEN_TYPES, margin_mode
from providers.mexc.exact import dumps, number, positive_number
from providers.mexc.wire import POSITION_MODES, POSITION_TYPES, position_side
from providers.orders import MarginMode, PositionMode, PositionSide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from providers.mexc.contracts import Contract

_POSITION_MODES_BACK = MappingProxyType({code: mode for mode, code in POSITION_MODES.items()})


@dataclass(frozen=True, slots=True)
class HeldLeg:
    """An open position, as far as changing its leverage goes."""

    position_id: int
    margin_mode: MarginMode
    leverage: Decimal


@dataclass(frozen=True, slots=True)
class AccountSetup:
    """Leverage by margin mode for each leg, and the legs that hold a position."""

    leverages: Mapping[PositionSide, Mapping[MarginMode, Decimal]]
    held: Mapping[PositionSide, HeldLeg]


def position_mode(result: Row) -> PositionMode:
    """The account's position mode: a bare number, or one in an object."""
    data = result.get("data")
    if isinstance(data, dict):
        mode = _POSITION_MODES_BACK.get(whole(data, "positionMode"))
    else:
        mode = _POSITION_MODES_BACK.get(whole(result, "data"))
    if mode is None:
        raise MalformedReply(f"the position mode is {data!r:.40}, neither 1 nor 2")
    return mode


def symbol_setup(contract: Contract, mode: PositionMode, leverages: Row) -> SymbolSetup:
    """What is in force for a contract. What is not the same for both legs is None.

    The margin mode of a contract that offers only one is that one, whatever the rows say.
    """
    values = set()
    margin_modes = set()
    for item in rows(leverages, "data"):
        values.add(positive_number(item, "leverage"))
        margin_modes.add(margin_mode(item))
    if not values:
        raise MalformedReply("the list of leverages is empty")
    if len(contract.margin_modes) == 1:
        margin_modes = set(contract.margin_modes)
    return SymbolSetup(
        mode,
        values.pop() if len(values) == 1 else None,
        margin_modes.pop() if len(margin_modes) == 1 else None,
    )


def account_setup(contract: Contract, leverages: Row, position_rows: Iterable[Row]) -> AccountSetup:
    """What is in force, leg by leg, from both lists."""
    by_leg: dict[PositionSide, dict[MarginMode, Decimal]] = {side: {} for side in PositionSide}
    for item in rows(leverages, "data"):
        by_leg[position_side(item)][margin_mode(item)] = positive_number(item, "leverage")
    held = {}
    for item in position_rows:
        if item.get("symbol") == contract.venue_symbol and number(item, "holdVol") > 0:
            leg = HeldLeg(
                whole(item, "positionId"), margin_mode(item), positive_number(item, "leverage")
            )
            held[position_side(item)] = leg
    return AccountSetup(by_leg, held)


def changes(
    contract: Contract, setup: AccountSetup, mode: MarginMode | None, leverage: int | None
) -> list[bytes]:
    """The bodies of the leverage calls that are needed; none if all is as wanted.

    Args:
        contract: what is to be set up.
        setup: what is in force.
        mode: the margin mode that is wanted; None leaves each leg's as it is.
        leverage: the leverage that is wanted; None leaves it as it is.

    Raises:
        RequestRefused: `MARGIN_MODE_CONFLICT`, `MARGIN_MODE_REQUIRED` or `LEVERAGE_REQUIRED`.
            Refused before anything is changed.
    """
    wanted = (_change(contract, setup, side, mode, leverage) for side in PositionSide)
    return [body for body in wanted if body is not None]


def _change(
    contract: Contract,
    setup: AccountSetup,
    side: PositionSide,
    mode: MarginMode | None,
    leverage: int | None,
) -> bytes | None:
    listed = setup.leverages[side]
    held = setup.held.get(side)
    mode = _mode_of_leg(contract, listed, held, side, mode)
    if held is not None:
        if leverage is None or held.leverage == leverage:
            return None
        return dumps({"positionId": held.position_id, "leverage": leverage})
    in_force = listed.get(mode)
    target = in_force if leverage is None else leverage
    if target is None:  # the mode changes and no leverage is named: the one of the other mode
        target = next(iter(listed.values()), None)
    if target is None:
        raise RequestRefused(
            "LEVERAGE_REQUIRED",
            f"{mode} margin on {contract.instrument.symbol} needs a leverage: give one in the "
            "message, or set trade:default_leverage",
        )
    if in_force == target:
        return None
    return dumps(
        {
            "openType": OPEN_TYPES[mode],
            "leverage": target,
            "symbol": contract.venue_symbol,
            "positionType": POSITION_TYPES[side],
        }
    )


def _mode_of_leg(
    contract: Contract,
    listed: Mapping[MarginMode, Decimal],
    held: HeldLeg | None,
    side: PositionSide,
    wanted: MarginMode | None,
) -> MarginMode:
    symbol = contract.instrument.symbol
    if held is not None:
        if wanted not in (None, held.margin_mode):
            raise RequestRefused(
                "MARGIN_MODE_CONFLICT",
                f"{symbol} asks for {wanted} margin, but its {side} position is in "
                f"{held.margin_mode} margin; close it first, or leave marginMode out",
            )
        return held.margin_mode
    if wanted is None and len(contract.margin_modes) == 1:
        (wanted,) = contract.margin_modes
    elif wanted is None:
        if len(listed) != 1:
            raise RequestRefused(
                "MARGIN_MODE_REQUIRED",
                f"the margin mode of {symbol} {side} can't be told from the account; "
                "name marginMode in the message",
            )
        (wanted,) = listed
    if wanted not in contract.margin_modes:
        raise RequestRefused(
            "MARGIN_MODE_CONFLICT",
            f"{symbol} can't be held in {wanted} margin on this exchange; "
            f"it offers {', '.join(sorted(contract.margin_modes))}",
        )
    return wanted
