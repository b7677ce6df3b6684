"""Binance's error codes: which code answers which refusal of the engine, with which HTTP status.

Codes and their meaning follow Binance's public USDⓈ-M futures documentation and what users report.
The few texts that a client has to tell apart are Binance's own; the rest are the sandbox's, close
in sense. A client must not branch on the rest.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from providers.sandbox.values import EndCause, Refusal


class Code(IntEnum):
    """Codes the sandbox itself gives; fault rules may give any other."""

    DISCONNECTED = -1001
    TOO_MANY_REQUESTS = -1003
    UNEXPECTED_REPLY = -1006
    TIMEOUT = -1007
    OVERLOADED = -1008
    TOO_MANY_ORDERS_SENT = -1015
    SHUTTING_DOWN = -1016
    UNSUPPORTED = -1020
    TIMESTAMP = -1021
    SIGNATURE = -1022
    START_AFTER_END = -1023
    ILLEGAL_CHARACTERS = -1100
    TOO_MANY_PARAMETERS = -1101
    MANDATORY_MISSING = -1102
    UNREAD_PARAMETERS = -1104
    PARAMETER_EMPTY = -1105
    NOT_WANTED = -1106
    PRECISION = -1111
    TIME_IN_FORCE = -1115
    ORDER_TYPE = -1116
    SIDE = -1117
    SYMBOL = -1121
    LISTEN_KEY = -1125
    INTERVAL = -1120
    PARAMETERS_DO_NOT_COMBINE = -1128
    PARAMETER = -1130
    RESPONSE_TYPE = -1136
    CANCEL_REJECTED = -2011
    NO_SUCH_ORDER = -2013
    KEY_FORMAT = -2014
    KEY_REJECTED = -2015
    MARGIN = -2019
    WOULD_TRIGGER = -2021
    REDUCE_ONLY = -2022
    MAX_OPEN_ORDERS = -2025
    MAX_POSITION = -2027
    LEVERAGE_NEEDS_MARGIN = -2028
    PRICE_NOT_POSITIVE = -4001
    PRICE_ABOVE_MAX = -4002
    QTY_NOT_POSITIVE = -4003
    QTY_BELOW_MIN = -4004
    QTY_ABOVE_MAX = -4005
    PRICE_BELOW_MIN = -4013
    PRICE_TICK = -4014
    CLIENT_ID_LENGTH = -4015
    PRICE_ABOVE_BAND = -4016
    QTY_STEP = -4023
    DEPTH = -4021
    PRICE_BELOW_BAND = -4024
    LEVERAGE = -4028
    MAX_STOP_ORDERS = -4045
    MARGIN_TYPE_UNCHANGED = -4046
    MARGIN_TYPE_HAS_ORDERS = -4047
    MARGIN_TYPE_HAS_POSITION = -4048
    ISOLATED_BALANCE = -4051
    ADD_MARGIN_CROSS = -4053
    ADD_MARGIN_FLAT = -4054
    AMOUNT_NOT_POSITIVE = -4055
    MODE_UNCHANGED = -4059
    POSITION_SIDE = -4060
    POSITION_SIDE_MISMATCH = -4061
    MODE_HAS_ORDERS = -4067
    MODE_HAS_POSITION = -4068
    DUPLICATE_CLIENT_ID = -4116
    USE_ALGO_ENDPOINT = -4120
    CLOSE_POSITION_EXISTS = -4130
    STRATEGY = -4136
    CLOSE_POSITION_WITH_QTY = -4137
    NOT_OPEN_YET = -4140
    SYMBOL_CLOSED = -4141
    ISOLATED_LEVERAGE = -4161
    MIN_NOTIONAL = -4164
    TIME_SPAN = -4165
    ASSETS_MODE_UNCHANGED = -4171
    PATH = -5000
    FOK_UNFILLED = -5021
    POST_ONLY_WOULD_TAKE = -5022
    AMEND_UNCHANGED = -5027
    ENGINE_TIMESTAMP = -5028


OK: Final = 200
BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
REQUEST_TIMEOUT: Final = 408
BANNED: Final = 418
TOO_MANY: Final = 429
RESTRICTED: Final = 451
UNAVAILABLE: Final = 503

STATUSES: Final[dict[int, int]] = {
    Code.DISCONNECTED: UNAVAILABLE,
    -1002: UNAUTHORIZED,
    Code.TOO_MANY_REQUESTS: TOO_MANY,
    Code.TIMEOUT: REQUEST_TIMEOUT,
    Code.OVERLOADED: UNAVAILABLE,
    Code.TOO_MANY_ORDERS_SENT: TOO_MANY,
    Code.SHUTTING_DOWN: UNAVAILABLE,
    Code.KEY_FORMAT: UNAUTHORIZED,
    Code.KEY_REJECTED: UNAUTHORIZED,
    Code.PATH: NOT_FOUND,
    239999: UNAVAILABLE,
}
"""HTTP status by code; every other code comes with 400."""

UNKNOWN_ERROR: Final = "Unknown error, please check your request or try again later."
"""The 503 whose order may have been executed; it comes without a code."""

TEXTS: Final[dict[int, str]] = {
    -1000: "An unknown error occurred while processing the request.",
    Code.DISCONNECTED: "Internal error; unable to process your request. Please try again.",
    -1002: "You are not authorized to execute this request.",
    Code.TOO_MANY_REQUESTS: "Too many requests; the weight limit of this address is used up",
    Code.UNEXPECTED_REPLY: "Unexpected response from the message bus. Execution status unknown.",
    Code.TIMEOUT: "Timeout waiting for response from backend server. "
    "Send status unknown; execution status unknown.",
    Code.OVERLOADED: "Request throttled by system-level protection. "
    "Reduce-only/close-position orders are exempt. Please try again.",
    Code.TOO_MANY_ORDERS_SENT: "Too many new orders",
    Code.SHUTTING_DOWN: "This service is no longer available.",
    Code.UNSUPPORTED: "This operation is not supported",
    Code.SIGNATURE: "Signature for this request is not valid.",
    Code.START_AFTER_END: "Start time is greater than end time",
    Code.PARAMETER: "Data sent for a parameter is not valid.",
    Code.PRECISION: "Precision is over the maximum defined for this asset.",
    Code.TIME_IN_FORCE: "Invalid timeInForce",
    Code.ORDER_TYPE: "Invalid orderType",
    Code.SIDE: "Invalid side",
    Code.SYMBOL: "Invalid symbol.",
    Code.LISTEN_KEY: "This listenKey does not exist",
    Code.RESPONSE_TYPE: "Invalid newOrderRespType",
    Code.CANCEL_REJECTED: "Unknown order sent.",
    Code.NO_SUCH_ORDER: "Order does not exist.",
    Code.KEY_FORMAT: "API-key format invalid.",
    Code.KEY_REJECTED: "Invalid API-key, IP, or permissions for action.",
    Code.MARGIN: "Margin is insufficient.",
    Code.WOULD_TRIGGER: "Order would immediately trigger.",
    Code.REDUCE_ONLY: "ReduceOnly Order is rejected.",
    Code.MAX_OPEN_ORDERS: "Too many open orders",
    Code.MAX_POSITION: "Exceeded the maximum position allowed at the current leverage",
    Code.LEVERAGE_NEEDS_MARGIN: "That leverage needs more margin than there is",
    Code.PRICE_NOT_POSITIVE: "Price must be above zero",
    Code.PRICE_ABOVE_MAX: "Price is above the highest allowed",
    Code.QTY_NOT_POSITIVE: "Quantity must be above zero",
    Code.QTY_BELOW_MIN: "Quantity is below the smallest allowed",
    Code.QTY_ABOVE_MAX: "Quantity is above the largest allowed",
    Code.PRICE_BELOW_MIN: "Price is below the lowest allowed",
    Code.PRICE_TICK: "Price not increased by tick size",
    Code.CLIENT_ID_LENGTH: "Client order id must not be longer than 36 characters",
    Code.PRICE_ABOVE_BAND: "Limit price is above the price band",
    Code.QTY_STEP: "Quantity not increased by step size",
    Code.PRICE_BELOW_BAND: "Limit price is below the price band",
    Code.LEVERAGE: "Leverage is not valid",
    Code.MAX_STOP_ORDERS: "Reached the limit of open conditional orders",
    Code.MARGIN_TYPE_UNCHANGED: "No need to change margin type.",
    Code.MARGIN_TYPE_HAS_ORDERS: "Margin type cannot be changed while there are open orders",
    Code.MARGIN_TYPE_HAS_POSITION: "Margin type cannot be changed while there is a position",
    Code.ISOLATED_BALANCE: "Isolated balance insufficient.",
    Code.ADD_MARGIN_CROSS: "Margin of a cross position cannot be changed",
    Code.ADD_MARGIN_FLAT: "Cannot add position margin: position is 0.",
    Code.AMOUNT_NOT_POSITIVE: "Amount must be positive.",
    Code.MODE_UNCHANGED: "No need to change position side.",
    Code.POSITION_SIDE: "Invalid position side",
    Code.POSITION_SIDE_MISMATCH: "Order's position side does not match user's setting.",
    Code.MODE_HAS_ORDERS: "Position side cannot be changed while there are open orders",
    Code.MODE_HAS_POSITION: "Position side cannot be changed while there is a position",
    Code.DUPLICATE_CLIENT_ID: "ClientOrderId is duplicated.",
    Code.USE_ALGO_ENDPOINT: "Order type not supported here; use the algo order endpoints",
    Code.CLOSE_POSITION_EXISTS: "A closePosition order of this kind and direction is open",
    Code.STRATEGY: "Not allowed together with closePosition",
    Code.CLOSE_POSITION_WITH_QTY: "closePosition takes no quantity",
    Code.NOT_OPEN_YET: "Invalid symbol status for opening position",
    Code.SYMBOL_CLOSED: "Symbol is closed",
    Code.ISOLATED_LEVERAGE: "Isolated leverage cannot be lowered while there is a position",
    Code.INTERVAL: "Invalid interval.",
    Code.MIN_NOTIONAL: "Order's notional is too small (reduce-only orders are exempt)",
    Code.TIME_SPAN: "The time interval is too long",
    Code.ASSETS_MODE_UNCHANGED: "No need to change the assets mode.",
    Code.FOK_UNFILLED: "The FOK order could not be filled at once and was rejected",
    Code.POST_ONLY_WOULD_TAKE: "The post-only order would have taken liquidity and was rejected",
    Code.ENGINE_TIMESTAMP: "The request left its recvWindow before it reached the engine",
    239999: "The system is under maintenance",
    -1109: "The account is under maintenance",
    Code.AMEND_UNCHANGED: "No need to modify the order",
}


class BinanceError(Exception):
    """An error answer: the HTTP status of its code, and `{"code", "msg"}`.

    Args:
        code: the error code, negative for all but one.
        detail: what was wrong and what would be right; added to the code's own text.
        text: the whole text, where the code has none of its own.
        status: HTTP status, if not that of the code.
    """

    def __init__(
        self, code: int, detail: str = "", *, text: str = "", status: int | None = None
    ) -> None:
        base = text or TEXTS.get(code, "injected by a fault rule")
        self.code = int(code)
        self.text = f"{base.removesuffix('.')}: {detail}" if detail else base
        self.status = STATUSES.get(code, BAD_REQUEST) if status is None else status
        super().__init__(f"{self.code}: {self.text}")


REFUSALS: Final[dict[Refusal, Code]] = {
    Refusal.UNKNOWN_SYMBOL: Code.SYMBOL,
    Refusal.NOT_TRADING: Code.NOT_OPEN_YET,
    Refusal.QTY_ZERO: Code.QTY_NOT_POSITIVE,
    Refusal.QTY_STEP: Code.QTY_STEP,
    Refusal.QTY_BELOW_MIN: Code.QTY_BELOW_MIN,
    Refusal.QTY_ABOVE_MAX: Code.QTY_ABOVE_MAX,
    Refusal.PRICE_MISSING: Code.MANDATORY_MISSING,
    Refusal.PRICE_TICK: Code.PRICE_TICK,
    Refusal.PRICE_BOUNDS: Code.PRICE_ABOVE_MAX,
    Refusal.PRICE_BAND: Code.PRICE_ABOVE_BAND,
    Refusal.NOTIONAL_BELOW_MIN: Code.MIN_NOTIONAL,
    Refusal.LEG_MISMATCH: Code.POSITION_SIDE_MISMATCH,
    Refusal.NOTHING_TO_REDUCE: Code.REDUCE_ONLY,
    Refusal.CLOSE_TOO_LARGE: Code.REDUCE_ONLY,
    Refusal.DUPLICATE_CLIENT_ID: Code.DUPLICATE_CLIENT_ID,
    Refusal.TOO_MANY_ORDERS: Code.MAX_OPEN_ORDERS,
    Refusal.TOO_MANY_CONDITIONAL: Code.MAX_STOP_ORDERS,
    Refusal.INSUFFICIENT_MARGIN: Code.MARGIN,
    Refusal.TRIGGER_ILLEGAL: Code.WOULD_TRIGGER,
    Refusal.PROTECTION_ILLEGAL: Code.NOT_WANTED,
    Refusal.PROTECTION_UNCHANGED: Code.NOT_WANTED,
    Refusal.NO_POSITION: Code.REDUCE_ONLY,
    Refusal.ORDER_UNKNOWN: Code.CANCEL_REJECTED,
    Refusal.AMEND_UNCHANGED: Code.AMEND_UNCHANGED,
    Refusal.AMEND_ILLEGAL: Code.UNSUPPORTED,
    Refusal.LEVERAGE_STEP: Code.LEVERAGE,
    Refusal.LEVERAGE_ABOVE_MAX: Code.LEVERAGE,
    Refusal.LEVERAGE_LEGS_DIFFER: Code.LEVERAGE,
    Refusal.LEVERAGE_UNCHANGED: Code.LEVERAGE,
    Refusal.POSITION_MODE_UNCHANGED: Code.MODE_UNCHANGED,
    Refusal.POSITION_MODE_HAS_POSITION: Code.MODE_HAS_POSITION,
    Refusal.POSITION_MODE_HAS_ORDERS: Code.MODE_HAS_ORDERS,
    Refusal.MARGIN_MODE_UNCHANGED: Code.MARGIN_TYPE_UNCHANGED,
    Refusal.CROSS_MARGIN: Code.ADD_MARGIN_CROSS,
    Refusal.MARGIN_MODE_BLOCKED: Code.MARGIN_TYPE_HAS_POSITION,
}
"""Every refusal has a code here; a test keeps it so."""

ENDINGS: Final[dict[EndCause, str]] = {
    EndCause.NONE: "CANCELED",
    EndCause.BY_USER: "CANCELED",
    EndCause.NO_LIQUIDITY: "EXPIRED",
    EndCause.POST_ONLY_WOULD_TAKE: "EXPIRED",
    EndCause.NOTHING_TO_REDUCE: "EXPIRED",
    EndCause.PAIR_TRIGGERED: "EXPIRED",
    EndCause.REJECTED: "REJECTED",
}
"""The status of an order that ended without filling whole."""
