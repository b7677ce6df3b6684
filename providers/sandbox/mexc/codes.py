"""MEXC's codes: which one answers which refusal of the engine, the facade's own, and their texts.

Codes and their meaning follow MEXC's public futures documentation and what users report; the texts
are the sandbox's own, close in sense, in Chinese (MEXC's default) and in English. A client must not
branch on texts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from providers.sandbox.values import EndCause, OrderKind, Refusal, TimeInForce


class Code(IntEnum):
    """Codes the sandbox itself gives; fault rules may give any other."""

    OK = 0
    OK_TOO = 200
    NOT_LOGGED_IN = 401
    KEY_EXPIRED = 402
    PATH_UNKNOWN = 404
    TOO_FREQUENT = 510
    TIME = 513
    PARAMETER = 600
    JSON = 601
    SIGNATURE = 602
    FEATURE_MAINTENANCE = 604
    MAINTENANCE = 801
    CONTRACT_UNKNOWN = 1001
    ORDERS_NOT_ALLOWED = 1002
    SIDE = 2001
    OPEN_TYPE = 2002
    BUY_TOO_HIGH = 2003
    SELL_TOO_LOW = 2004
    BALANCE = 2005
    LEVERAGE = 2006
    PRICE = 2007
    CLOSABLE_TOO_SMALL = 2008
    NO_POSITION = 2009
    QUANTITY = 2011
    TOO_MANY_CANCELS = 2013
    TOO_MANY_IN_BATCH = 2014
    ACCURACY = 2015
    LEVERAGE_HAS_ORDERS = 2019
    LEVERAGE_DIFFERS = 2021
    POSITION_TYPE = 2022
    LEVERAGE_OF_CROSS = 2026
    OPEN_TYPE_CONFLICT = 2027
    QUANTITY_ABOVE_MAX = 2028
    ORDER_TYPE = 2029
    EXTERNAL_ID_TOO_LONG = 2030
    TOO_MANY_QUERIED = 2034
    TOO_MANY_ORDERS = 2036
    ORDER_UNKNOWN = 2040
    NOT_CANCELLABLE = 2041
    DUPLICATE_ID = 2042
    POSITION_DIFFERS = 2043
    TRIGGER_PRICE = 3004
    PROTECTION = 5003
    MODE_BLOCKED = 7001
    MODE_MISMATCH = 7002
    ORDER_OPEN_TYPE_DIFFERS = 7003
    ORDER_LEVERAGE_DIFFERS = 7004
    CLOSABLE_RESERVED = 7005
    VALUE_BELOW_MIN = 7008
    ISOLATED_ONLY = 9070
    CROSS_ONLY = 9071


TEXTS: Final[dict[int, tuple[str, str]]] = {
    401: ("未登录", "Not logged in"),
    402: ("API 密钥无效或已过期", "API key invalid or expired"),
    404: ("路径不存在", "No such path"),
    500: ("内部错误", "Internal error"),
    501: ("系统繁忙", "System busy"),
    510: ("请求过于频繁", "Requests are too frequent"),
    513: ("无效请求", "Invalid request"),
    600: ("参数错误", "Parameter error"),
    601: ("数据格式错误", "Data decoding error"),
    602: ("签名验证失败", "Signature verification failed"),
    603: ("重复请求", "Repeated request"),
    604: ("功能维护中", "This feature is not available at present"),
    801: ("系统维护中", "System maintenance"),
    1001: ("合约不存在", "Contract does not exist"),
    1002: ("合约不允许下单", "Contract does not allow placing orders"),
    2001: ("订单方向错误", "Order side error"),
    2002: ("开仓类型错误", "Open type error"),
    2003: ("买价过高", "Buy price is too high"),
    2004: ("卖价过低", "Sell price is too low"),
    2005: ("余额不足", "Balance insufficient"),
    2006: ("杠杆倍数错误", "Leverage ratio error"),
    2007: ("订单价格错误", "Order price error"),
    2008: ("可平数量不足", "Closable quantity insufficient"),
    2009: ("仓位不存在或已平仓", "Position does not exist or is closed"),
    2011: ("订单数量错误", "Order quantity error"),
    2013: ("撤单数量超过上限", "Too many orders to cancel"),
    2014: ("批量下单超过上限", "Too many orders in the batch"),
    2015: ("价格或数量精度错误", "Price or quantity accuracy error"),
    2019: ("存在未成交订单,无法调整杠杆", "Open orders block the change of leverage"),
    2021: ("杠杆与现有仓位不一致", "Leverage differs from that of the position"),
    2022: ("仓位类型错误", "Position type error"),
    2026: ("全仓不支持修改杠杆", "Leverage of a cross position cannot be changed"),
    2027: ("同方向只能有全仓或逐仓一种", "One direction is either cross or isolated"),
    2028: ("超过最大下单数量", "Order quantity is above the maximum"),
    2029: ("订单类型错误", "Order type error"),
    2030: ("外部订单号过长", "External order id is too long (32 at most)"),
    2034: ("批量查询超过上限", "Too many items in the query"),
    2036: ("委托数量超过上限", "Too many open orders"),
    2037: ("操作过于频繁", "Operations are too frequent"),
    2040: ("订单不存在", "Order does not exist"),
    2041: ("订单状态不可撤销", "Order state does not allow a cancel"),
    2042: ("订单号重复", "Duplicate order id"),
    2043: ("订单与仓位不匹配", "Order does not match the position"),
    3004: ("触发价格错误", "Trigger price error"),
    5003: ("止盈止损价格错误", "Take-profit or stop-loss price error"),
    7001: ("存在仓位或委托,无法切换模式", "Positions or orders block the change of mode"),
    7002: ("持仓模式不匹配", "Position mode mismatch"),
    7003: ("开仓类型与现有委托不一致", "Open type differs from that of open orders"),
    7004: ("杠杆与现有委托不一致", "Leverage differs from that of open orders"),
    7005: ("可平数量已被委托占用", "Closable quantity is reserved by open orders"),
    7008: ("低于最小下单金额", "Order value is below the minimum"),
    9070: ("该合约仅支持逐仓", "This contract allows isolated margin only"),
    9071: ("该合约仅支持全仓", "This contract allows cross margin only"),
}
_UNKNOWN_TEXT: Final = ("操作失败", "Operation failed")


def text_of(code: int, *, chinese: bool) -> str:
    """The sandbox's text for a code."""
    return TEXTS.get(code, _UNKNOWN_TEXT)[0 if chinese else 1]


class MexcError(Exception):
    """A business error: HTTP 200 with `success` false and this code.

    Args:
        code: the envelope's code.
        detail: what was wrong, for people who asked for English.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{int(code)}: {detail}" if detail else str(int(code)))
        self.code = int(code)
        self.detail = detail


REFUSALS: Final[dict[Refusal, Code]] = {
    Refusal.UNKNOWN_SYMBOL: Code.CONTRACT_UNKNOWN,
    Refusal.NOT_TRADING: Code.ORDERS_NOT_ALLOWED,
    Refusal.QTY_ZERO: Code.QUANTITY,
    Refusal.QTY_STEP: Code.ACCURACY,
    Refusal.QTY_BELOW_MIN: Code.QUANTITY,
    Refusal.QTY_ABOVE_MAX: Code.QUANTITY_ABOVE_MAX,
    Refusal.PRICE_MISSING: Code.PRICE,
    Refusal.PRICE_TICK: Code.ACCURACY,
    Refusal.PRICE_BOUNDS: Code.PRICE,
    Refusal.PRICE_BAND: Code.BUY_TOO_HIGH,
    Refusal.NOTIONAL_BELOW_MIN: Code.VALUE_BELOW_MIN,
    Refusal.LEG_MISMATCH: Code.MODE_MISMATCH,
    Refusal.NOTHING_TO_REDUCE: Code.NO_POSITION,
    Refusal.CLOSE_TOO_LARGE: Code.CLOSABLE_TOO_SMALL,
    Refusal.DUPLICATE_CLIENT_ID: Code.DUPLICATE_ID,
    Refusal.TOO_MANY_ORDERS: Code.TOO_MANY_ORDERS,
    Refusal.TOO_MANY_CONDITIONAL: Code.TOO_MANY_ORDERS,
    Refusal.INSUFFICIENT_MARGIN: Code.BALANCE,
    Refusal.TRIGGER_ILLEGAL: Code.TRIGGER_PRICE,
    Refusal.PROTECTION_ILLEGAL: Code.PROTECTION,
    Refusal.PROTECTION_UNCHANGED: Code.PARAMETER,
    Refusal.NO_POSITION: Code.NO_POSITION,
    Refusal.ORDER_UNKNOWN: Code.ORDER_UNKNOWN,
    Refusal.AMEND_UNCHANGED: Code.PARAMETER,
    Refusal.AMEND_ILLEGAL: Code.PARAMETER,
    Refusal.LEVERAGE_STEP: Code.LEVERAGE,
    Refusal.LEVERAGE_ABOVE_MAX: Code.LEVERAGE,
    Refusal.LEVERAGE_LEGS_DIFFER: Code.LEVERAGE,
    Refusal.LEVERAGE_UNCHANGED: Code.LEVERAGE,
    Refusal.POSITION_MODE_UNCHANGED: Code.MODE_BLOCKED,
    Refusal.POSITION_MODE_HAS_POSITION: Code.MODE_BLOCKED,
    Refusal.POSITION_MODE_HAS_ORDERS: Code.MODE_BLOCKED,
    Refusal.MARGIN_MODE_UNCHANGED: Code.OPEN_TYPE,
    Refusal.CROSS_MARGIN: Code.LEVERAGE_OF_CROSS,
    Refusal.MARGIN_MODE_BLOCKED: Code.OPEN_TYPE_CONFLICT,
}
"""Every refusal has an answer here; a test keeps it so. A sell outside the band answers 2004."""

_OTHER: Final = 999
_IOC: Final = 18
_FOK: Final = 19
_MARKET: Final = 21
DUPLICATE_EXTERNAL_ID: Final = 23

ORDER_ERRORS: Final[dict[EndCause, int]] = {
    EndCause.NONE: 0,
    EndCause.BY_USER: 15,
    EndCause.NO_LIQUIDITY: _IOC,
    EndCause.POST_ONLY_WOULD_TAKE: 20,
    EndCause.NOTHING_TO_REDUCE: 3,
    EndCause.PAIR_TRIGGERED: 8,
    EndCause.REJECTED: _OTHER,
}
"""The `errorCode` of an order by why it ended; what refines it is in `order_error`."""


def order_error(
    cause: EndCause, kind: OrderKind, time_in_force: TimeInForce, reject_reason: str
) -> int:
    """The `errorCode` of an order: why it did not live or fill, 0 for none.

    The reason a fault gave for a rejection stands for itself if it is a number.
    """
    if cause is EndCause.NO_LIQUIDITY:
        if kind is OrderKind.MARKET:
            return _MARKET
        if time_in_force is TimeInForce.FOK:
            return _FOK
    if cause is EndCause.REJECTED and reject_reason.isascii() and reject_reason.isdigit():
        return int(reject_reason)
    return ORDER_ERRORS[cause]
