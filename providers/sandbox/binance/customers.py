"""What clients ask Binance on the way to trading: coins, system status, other markets, income.

Spot and coin-margined contracts exist at Binance but not here: their lists are empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.binance import fields, positions, shapes
from providers.sandbox.binance.codes import BinanceError, Code
from providers.sandbox.binance.desk import customer
from providers.sandbox.binance.gate import malformed

if TYPE_CHECKING:
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.wire import Call

_COINS: Final = ("USDT", "BNB", "USDC")
_INCOMES: Final = ("REALIZED_PNL", "COMMISSION")
_SUCCESS: Final = {"code": 200, "msg": "success"}


def system_status(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Whether the exchange works."""
    del desk, call, now_ms
    return {"status": 0, "msg": "normal"}


def coins(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """The coins there are; all of the customer's money is in the futures account."""
    del desk, call, now_ms
    return [
        {
            "coin": coin,
            "depositAllEnable": False,
            "withdrawAllEnable": False,
            "name": coin,
            "free": "0",
            "locked": "0",
            "freeze": "0",
            "withdrawing": "0",
            "ipoing": "0",
            "ipoable": "0",
            "storage": "0",
            "isLegalMoney": False,
            "trading": True,
            "networkList": [],
        }
        for coin in _COINS
    ]


def no_contracts(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """The list of another market: nothing is traded there."""
    del desk, call
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [],
    }


def assets_mode(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Whether several assets serve as margin: never here."""
    del desk, call, now_ms
    return {"multiAssetsMargin": False}


def set_assets_mode(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Stay in single-asset mode; the other one is not offered."""
    del desk, now_ms
    if fields.flag(call.params, "multiAssetsMargin"):
        raise malformed("multiAssetsMargin", "the sandbox offers false only", Code.PARAMETER)
    raise BinanceError(Code.ASSETS_MODE_UNCHANGED)


def fee_burn(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Whether fees are paid in BNB."""
    del call, now_ms
    return {"feeBurn": desk.variants["commission_asset"] != "USDT"}


def nothing(desk: Desk, call: Call, now_ms: int) -> list[Any]:
    """A list of what there is none of here: liquidations, pairs of margin trading."""
    del desk, call, now_ms
    return []


def adl(desk: Desk, call: Call, now_ms: int) -> Any:  # noqa: ANN401 - object or list
    """How near positions are to auto-deleveraging: far."""
    del now_ms
    account = customer(call)
    rows = [
        {"symbol": item.symbol, "adlQuantile": {shapes.LEGS[item.leg]: 1}}
        for item in positions.in_use(account)
    ]
    if "symbol" not in call.params:
        return rows
    symbol = fields.contract(desk.engine.market, call.params).symbol
    return [row for row in rows if row["symbol"] == symbol]


def income(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """What changed the balance, oldest first: realised profit and commission."""
    params, account = call.params, customer(call)
    symbol = fields.contract(desk.engine.market, params).symbol if params.get("symbol") else ""
    kind = params.get("incomeType", "")
    limit = fields.number(params, "limit", 100, 1, 1000)
    first = fields.number(params, "startTime", 0)
    last = fields.number(params, "endTime", 0) or now_ms
    desk.engine.book.advance(now_ms)
    rows = []
    for fill in account.fills:
        if symbol not in ("", fill.symbol) or not first <= fill.at_ms <= last:
            continue
        for name, amount in zip(_INCOMES, (fill.realised, -fill.fee), strict=True):
            if not amount or kind not in ("", name):
                continue
            rows.append(
                {
                    "symbol": fill.symbol,
                    "incomeType": name,
                    "income": shapes.money(amount),
                    "asset": "USDT",
                    "info": fill.fill_id,
                    "time": fill.at_ms,
                    "tranId": int(fill.fill_id),
                    "tradeId": fill.fill_id,
                }
            )
    return fields.listed(rows, limit, oldest="startTime" in params)
