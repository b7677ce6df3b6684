"""Bybit's return codes: which code answers which refusal of the engine, and the facade's own.

Codes and their meaning follow Bybit's public V5 documentation and what users report; the texts are
the sandbox's own, close in sense. A client must not branch on texts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from providers.sandbox.values import EndCause, Refusal


class Code(IntEnum):
    """Return codes the sandbox itself gives; fault rules may give any other."""

    OK = 0
    PARAMETER = 10001
    TIMESTAMP = 10002
    KEY_INVALID = 10003
    SIGNATURE = 10004
    PERMISSION = 10005
    RATE_LIMIT = 10006
    SERVICE_RESTARTING = 10016
    ORDER_NOT_FOUND = 110001
    PRICE_OUT_OF_BAND = 110003
    INSUFFICIENT_AVAILABLE = 110007
    TOO_MANY_CONDITIONAL = 110009
    LEVERAGE_TOO_HIGH = 110013
    REDUCE_ONLY_FLAT = 110017
    TOO_MANY_ORDERS = 110020
    MODE_HAS_POSITION = 110024
    MODE_UNCHANGED = 110025
    MARGIN_MODE_UNCHANGED = 110026
    MODE_HAS_ORDERS = 110028
    LEVERAGE_UNCHANGED = 110043
    DUPLICATE_LINK_ID = 110072
    NOT_LIVE = 110074
    VALUE_BELOW_MIN = 110094
    NOT_MODIFIED = 34040
    MARGIN_MODE_FAILED = 3400045


class BybitError(Exception):
    """A business error: HTTP 200 with this code, text and result.

    Args:
        code: the `retCode`.
        text: the `retMsg`.
        result: the `result` object, empty for most.
    """

    def __init__(self, code: int, text: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.result = result or {}


REFUSALS: Final[dict[Refusal, tuple[Code, str]]] = {
    Refusal.UNKNOWN_SYMBOL: (Code.PARAMETER, "symbol is not supported"),
    Refusal.NOT_TRADING: (Code.NOT_LIVE, "this contract is not live"),
    Refusal.QTY_ZERO: (Code.PARAMETER, "qty invalid"),
    Refusal.QTY_STEP: (Code.PARAMETER, "qty invalid"),
    Refusal.QTY_BELOW_MIN: (Code.PARAMETER, "qty is below the minimum order quantity"),
    Refusal.QTY_ABOVE_MAX: (Code.PARAMETER, "qty exceeds the maximum order quantity"),
    Refusal.PRICE_MISSING: (Code.PARAMETER, "price is required"),
    Refusal.PRICE_TICK: (Code.PARAMETER, "price invalid"),
    Refusal.PRICE_BOUNDS: (Code.PRICE_OUT_OF_BAND, "order price is out of the permitted range"),
    Refusal.PRICE_BAND: (Code.PRICE_OUT_OF_BAND, "order price is out of the permitted range"),
    Refusal.NOTIONAL_BELOW_MIN: (Code.VALUE_BELOW_MIN, "order value is below the minimum"),
    Refusal.LEG_MISMATCH: (Code.PARAMETER, "position idx not match position mode"),
    Refusal.NOTHING_TO_REDUCE: (
        Code.REDUCE_ONLY_FLAT,
        "current position is zero, the reduce-only quantity cannot be fixed",
    ),
    Refusal.CLOSE_TOO_LARGE: (Code.REDUCE_ONLY_FLAT, "qty exceeds the position"),
    Refusal.DUPLICATE_CLIENT_ID: (Code.DUPLICATE_LINK_ID, "OrderLinkedID is duplicate"),
    Refusal.TOO_MANY_ORDERS: (Code.TOO_MANY_ORDERS, "too many active orders"),
    Refusal.TOO_MANY_CONDITIONAL: (Code.TOO_MANY_CONDITIONAL, "too many conditional orders"),
    Refusal.INSUFFICIENT_MARGIN: (
        Code.INSUFFICIENT_AVAILABLE,
        "available balance is not enough for a new order",
    ),
    Refusal.TRIGGER_ILLEGAL: (Code.PARAMETER, "trigger price invalid"),
    Refusal.PROTECTION_ILLEGAL: (Code.PARAMETER, "take profit or stop loss invalid"),
    Refusal.PROTECTION_UNCHANGED: (Code.NOT_MODIFIED, "not modified"),
    Refusal.NO_POSITION: (Code.PARAMETER, "cannot set take profit or stop loss: position is zero"),
    Refusal.ORDER_UNKNOWN: (Code.ORDER_NOT_FOUND, "order does not exist or is too late to change"),
    Refusal.AMEND_UNCHANGED: (Code.PARAMETER, "the order would remain unchanged"),
    Refusal.AMEND_ILLEGAL: (Code.PARAMETER, "the order cannot take these values"),
    Refusal.LEVERAGE_STEP: (Code.PARAMETER, "leverage invalid"),
    Refusal.LEVERAGE_ABOVE_MAX: (
        Code.LEVERAGE_TOO_HIGH,
        "leverage is above what the risk limit allows",
    ),
    Refusal.LEVERAGE_LEGS_DIFFER: (Code.PARAMETER, "buy leverage must equal sell leverage"),
    Refusal.LEVERAGE_UNCHANGED: (Code.LEVERAGE_UNCHANGED, "leverage not modified"),
    Refusal.POSITION_MODE_UNCHANGED: (Code.MODE_UNCHANGED, "position mode is not modified"),
    Refusal.POSITION_MODE_HAS_POSITION: (
        Code.MODE_HAS_POSITION,
        "an existing position prevents the position mode switch",
    ),
    Refusal.POSITION_MODE_HAS_ORDERS: (
        Code.MODE_HAS_ORDERS,
        "existing orders prevent the position mode switch",
    ),
    Refusal.MARGIN_MODE_UNCHANGED: (Code.MARGIN_MODE_UNCHANGED, "margin mode is not modified"),
    Refusal.CROSS_MARGIN: (Code.PARAMETER, "margin can be added to isolated positions only"),
    Refusal.MARGIN_MODE_BLOCKED: (Code.MARGIN_MODE_FAILED, "setting the margin mode failed"),
}
"""Every refusal has an answer here; a test keeps it so."""

INJECTED: Final[dict[int, str]] = {
    429: "the trading service is overloaded",
    10000: "Server Timeout",
    10006: "Too many visits!",
    10014: "Duplicate request",
    10016: "Internal server error",
    10018: "Exceeded the IP rate limit",
    10429: "System level frequency protection",
    110072: "OrderLinkedID is duplicate",
}
"""Texts of codes that fault rules give without one."""

CANCEL_TYPES: Final[dict[EndCause, str]] = {
    EndCause.NONE: "UNKNOWN",
    EndCause.BY_USER: "CancelByUser",
    EndCause.NO_LIQUIDITY: "UNKNOWN",
    EndCause.POST_ONLY_WOULD_TAKE: "UNKNOWN",
    EndCause.NOTHING_TO_REDUCE: "CancelByReduceOnly",
    EndCause.PAIR_TRIGGERED: "CancelByTpSlTsClear",
    EndCause.REJECTED: "UNKNOWN",
}

REJECT_REASONS: Final[dict[EndCause, str]] = {
    EndCause.NONE: "EC_NoError",
    EndCause.BY_USER: "EC_PerCancelRequest",
    EndCause.NO_LIQUIDITY: "EC_NoImmediateQtyToFill",
    EndCause.POST_ONLY_WOULD_TAKE: "EC_PostOnlyWillTakeLiquidity",
    EndCause.NOTHING_TO_REDUCE: "EC_NoError",
    EndCause.PAIR_TRIGGERED: "EC_NoError",
    EndCause.REJECTED: "EC_Others",
}
