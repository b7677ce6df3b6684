"""Reading Bybit request parameters. What cannot be read is answered with 10001, naming the field.

Bodies carry numbers as strings; a JSON number where a string is due is refused, so that a client
that would pass a float through is caught here.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from providers.sandbox.bybit.codes import BybitError, Code
from providers.sandbox.values import (
    Leg,
    NewOrder,
    OrderKind,
    Protection,
    Side,
    TimeInForce,
    Trigger,
    TriggerPrice,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.sandbox.account import Account
    from providers.sandbox.wire import Call

_T = TypeVar("_T")

_DECIMAL: Final = re.compile(r"\d{1,16}(?:\.\d{1,18})?", re.ASCII)
_LINK_ID: Final = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_LINK_ID_LONGEST: Final = 36

_SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
_KINDS: Final = {"Market": OrderKind.MARKET, "Limit": OrderKind.LIMIT}
_TIMES_IN_FORCE: Final = {
    "": TimeInForce.GTC,
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.POST_ONLY,
}
_LEGS: Final = {0: Leg.NET, 1: Leg.LONG, 2: Leg.SHORT}
_TRIGGERS: Final = {
    "": TriggerPrice.LAST,
    "LastPrice": TriggerPrice.LAST,
    "MarkPrice": TriggerPrice.MARK,
    "IndexPrice": TriggerPrice.MARK,
}
_TPSL_MODES: Final = {"": False, "Full": False, "Partial": True}
_CLOSING_KINDS: Final = {"": False, "Market": False, "Limit": True}
_WEEK_MS: Final = 7 * 86_400_000
FAR: Final = 2**53
"""Later than any instant, larger than any sequence number."""
_RISING: Final = 1
_FALLING: Final = 2


def bad(text: str) -> BybitError:
    """A parameter error (10001)."""
    return BybitError(Code.PARAMETER, f"params error: {text}")


def customer(call: Call) -> Account:
    """The account the gate found for a private call."""
    if call.account is None:
        raise RuntimeError(f"{call.endpoint} is private but was admitted without an account")
    return call.account


def text(params: Mapping[str, Any], name: str) -> str:
    """A string parameter, empty when absent."""
    value = params.get(name, "")
    if not isinstance(value, str):
        raise bad(f"{name} must be a string")
    return value


def required(params: Mapping[str, Any], name: str) -> str:
    """A string parameter that must be there."""
    value = text(params, name)
    if not value:
        raise bad(f"{name} is required")
    return value


_LINEAR: Final = "linear"
OTHER_CATEGORIES: Final = frozenset({"inverse", "spot", "option"})
"""Kinds of contracts that Bybit has and the sandbox does not: listings of them are empty."""


def check_category(params: Mapping[str, Any]) -> None:
    """The sandbox lists linear contracts only."""
    if required(params, "category") != _LINEAR:
        raise bad("category must be linear here")


def decimal(params: Mapping[str, Any], name: str) -> Decimal | None:
    """A decimal given as a string, None when absent or empty."""
    value = params.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise bad(f"{name} must be a decimal in a string, without sign or exponent")
    return Decimal(value)


def required_decimal(params: Mapping[str, Any], name: str) -> Decimal:
    """A decimal that must be there."""
    value = decimal(params, name)
    if value is None:
        raise bad(f"{name} is required")
    return value


def flag(params: Mapping[str, Any], name: str) -> bool:
    """A JSON boolean, false when absent."""
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise bad(f"{name} must be true or false")
    return value


def number(params: Mapping[str, Any], name: str, default: int, lowest: int, highest: int) -> int:
    """A whole number, from JSON or from a query string."""
    value = params.get(name, "")
    if value == "" or value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise bad(f"{name} must be a whole number from {lowest} to {highest}")
    return value


def leg(params: Mapping[str, Any]) -> Leg:
    """The leg that `positionIdx` names."""
    return _LEGS[number(params, "positionIdx", 0, 0, 2)]


def link_id(params: Mapping[str, Any]) -> str:
    """The client order id: at most 36 of letters, digits, hyphen and underscore."""
    value = text(params, "orderLinkId")
    if len(value) > _LINK_ID_LONGEST:
        raise bad(f"orderLinkId is longer than {_LINK_ID_LONGEST}")
    if not _LINK_ID.fullmatch(value):
        raise bad("orderLinkId may have letters, digits, - and _ only")
    return value


def choice(params: Mapping[str, Any], name: str, table: Mapping[str, _T]) -> _T:
    """One of the names in a table."""
    value = text(params, name)
    if value not in table:
        raise bad(f"{name} must be one of {', '.join(filter(None, table))}, not {value!r}")
    return table[value]


def protection(params: Mapping[str, Any], before: Protection | None = None) -> Protection:
    """Take profit and stop loss; `"0"` and `""` mean none, an absent one keeps `before`."""
    before = before or Protection()
    partial = choice(params, "tpslMode", _TPSL_MODES)

    def level(name: str, kept: Decimal | None) -> Decimal | None:
        return (decimal(params, name) or None) if name in params else kept

    return Protection(
        take_profit=level("takeProfit", before.take_profit),
        stop_loss=level("stopLoss", before.stop_loss),
        take_profit_by=choice(params, "tpTriggerBy", _TRIGGERS),
        stop_loss_by=choice(params, "slTriggerBy", _TRIGGERS),
        take_profit_limit=_closing_limit(params, "tpOrderType", "tpLimitPrice", partial=partial),
        stop_loss_limit=_closing_limit(params, "slOrderType", "slLimitPrice", partial=partial),
        partial=partial,
    )


def _closing_limit(
    params: Mapping[str, Any], kind: str, price: str, *, partial: bool
) -> Decimal | None:
    """The price of a limit order that closes, None for a market order."""
    if not choice(params, kind, _CLOSING_KINDS):
        return None
    if not partial:
        raise bad(f"{kind} Limit is for tpslMode Partial")
    return required_decimal(params, price)


def span(params: Mapping[str, Any], now_ms: int, *, bound: bool = True) -> tuple[int, int]:
    """The instants a listing covers: a week at most, by default the last one if it is `bound`."""
    start = number(params, "startTime", 0, 0, FAR)
    end = number(params, "endTime", 0, 0, FAR)
    if not start and not end:
        return (now_ms - _WEEK_MS if bound else 0), FAR
    start = start or end - _WEEK_MS
    end = end or start + _WEEK_MS
    if not start <= end <= start + _WEEK_MS:
        raise bad("startTime and endTime must be in order and at most 7 days apart")
    return start, end


def new_order(params: Mapping[str, Any]) -> NewOrder:
    """The order that a create or pre-check body asks for."""
    check_category(params)
    kind = choice(params, "orderType", _KINDS)
    qty = required_decimal(params, "qty")
    reduce_only = flag(params, "reduceOnly")
    close_on_trigger = flag(params, "closeOnTrigger")
    close_whole = not qty and reduce_only and close_on_trigger
    if not qty and not close_whole:
        raise bad("qty 0 closes a position only with reduceOnly and closeOnTrigger")
    return NewOrder(
        symbol=required(params, "symbol"),
        side=choice(params, "side", _SIDES),
        kind=kind,
        qty=qty,
        price=required_decimal(params, "price") if kind is OrderKind.LIMIT else None,
        time_in_force=choice(params, "timeInForce", _TIMES_IN_FORCE),
        leg=leg(params),
        reduce_only=reduce_only,
        close_whole=close_whole,
        client_order_id=link_id(params),
        protection=protection(params),
        trigger=_trigger(params),
    )


def _trigger(params: Mapping[str, Any]) -> Trigger | None:
    price = decimal(params, "triggerPrice")
    if not price:
        return None
    direction = number(params, "triggerDirection", 0, 0, _FALLING)
    if not direction:
        raise bad("triggerDirection must be 1 (rise) or 2 (fall) with a triggerPrice")
    return Trigger(price, direction == _RISING, choice(params, "triggerBy", _TRIGGERS))
