"""Reading MEXC request parameters. What cannot be read is answered with 600, naming the field.

Bodies carry numbers as JSON numbers, kept exact; a string where a number is due is refused. Ids may
be either, as in MEXC's own examples. Queries carry text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.mexc.account import MexcAccount
from providers.sandbox.mexc.codes import Code, MexcError
from providers.sandbox.mexc.contracts import BY_NAME, Contract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.sandbox.wire import Call

ITEMS: Final = "items"
"""Where a body that is a list of things stands among the parameters."""

LONGEST_EXTERNAL_ID: Final = 32
PAGE_LARGEST: Final = 100

_ID: Final = re.compile(r"\d{1,19}", re.ASCII)
_DIGITS: Final = 34
_HIGHEST: Final = 18
_LOWEST: Final = -18


def bad(text: str) -> MexcError:
    """A parameter error (600)."""
    return MexcError(Code.PARAMETER, text)


def customer(call: Call) -> MexcAccount:
    """The account the gate found for a private call."""
    if not isinstance(call.account, MexcAccount):
        raise TypeError(f"{call.endpoint} is private but was admitted without a MEXC account")
    return call.account


def text(params: Mapping[str, Any], name: str) -> str:
    """A string parameter, empty when absent."""
    value = params.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad(f"{name} must be a string")
    return value


def external_id(params: Mapping[str, Any]) -> str:
    """The client order id: at most 32 characters."""
    value = text(params, "externalOid")
    if len(value) > LONGEST_EXTERNAL_ID:
        raise MexcError(Code.EXTERNAL_ID_TOO_LONG)
    return value


def contract(params: Mapping[str, Any]) -> Contract:
    """The contract that `symbol` names."""
    name = text(params, "symbol")
    if not name:
        raise bad("symbol is required")
    return contract_named(name)


def contract_named(name: str) -> Contract:
    """The contract of that name.

    Raises:
        MexcError: 1001.
    """
    found = BY_NAME.get(name)
    if found is None:
        raise MexcError(Code.CONTRACT_UNKNOWN, f"no contract named {name!r} is listed here")
    return found


def number(params: Mapping[str, Any], name: str) -> Decimal | None:
    """A JSON number, None when absent."""
    value = params.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise bad(f"{name} must be a JSON number")
    amount = Decimal(value)
    shape = amount.as_tuple()
    if (
        len(shape.digits) > _DIGITS
        or (amount and amount.adjusted() > _HIGHEST)
        or not isinstance(shape.exponent, int)
        or shape.exponent < _LOWEST
    ):
        raise bad(f"{name} has too many digits")
    return amount


def whole(
    params: Mapping[str, Any],
    name: str,
    default: int | None,
    limits: tuple[int, int],
    *,
    code: Code = Code.PARAMETER,
) -> int:
    """A whole number, from JSON or from a query; without a default it must be there."""
    value = params.get(name)
    if value is None or value == "":
        if default is None:
            raise MexcError(code, f"{name} is required")
        return default
    if isinstance(value, str) and _ID.fullmatch(value):
        value = int(value)
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _HIGHEST:
        value = int(value) if value == value.to_integral_value() else value
    lowest, highest = limits
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise MexcError(code, f"{name} must be a whole number from {lowest} to {highest}")
    return value


def flag(params: Mapping[str, Any], name: str) -> bool:
    """A JSON boolean, false when absent."""
    value = params.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise bad(f"{name} must be true or false")
    return value


def order_id(value: object) -> str:
    """An order id, given as a number or as text."""
    digits = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not _ID.fullmatch(digits):
        raise bad(f"an order id must be a whole number, not {str(value)[:40]!r}")
    return digits


def items(params: Mapping[str, Any], most: int, code: Code) -> list[Any]:
    """The things a body lists."""
    listed = params.get(ITEMS)
    if not isinstance(listed, list) or not listed:
        raise bad("the body must be a list with at least one item")
    if len(listed) > most:
        raise MexcError(code, f"at most {most}, not {len(listed)}")
    return listed


def named(item: object) -> tuple[str, str]:
    """Engine symbol and client order id of one item of a list."""
    if not isinstance(item, dict):
        raise bad("each item must be an object with symbol and externalOid")
    external = text(item, "externalOid")
    if not external:
        raise bad("externalOid is required")
    return contract(item).instrument.symbol, external


def page(params: Mapping[str, Any], largest: int = PAGE_LARGEST) -> slice:
    """The rows that `page_num` and `page_size` ask for."""
    number_ = whole(params, "page_num", 1, (1, 1_000_000))
    size = whole(params, "page_size", 20, (1, largest))
    return slice((number_ - 1) * size, number_ * size)
