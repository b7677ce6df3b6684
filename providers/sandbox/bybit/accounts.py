"""Bybit's account endpoints: info, margin mode, balance, fee rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox import settings
from providers.sandbox.bybit import fields, shapes
from providers.sandbox.bybit.codes import BybitError, Code
from providers.sandbox.bybit.fields import bad, customer, required, text
from providers.sandbox.checks import find_instrument
from providers.sandbox.values import MarginMode, Refusal, Refused
from providers.sandbox.variants import READ_ONLY, WITHDRAW

if TYPE_CHECKING:
    from providers.sandbox.engine import Engine
    from providers.sandbox.wire import Call

_MODES: Final = {
    "ISOLATED_MARGIN": MarginMode.ISOLATED,
    "REGULAR_MARGIN": MarginMode.CROSS,
}
_NAMES: Final = {mode: name for name, mode in _MODES.items()}
_UNIFIED_TWO: Final = 5


def info(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Margin mode and kind of the account."""
    del engine
    return {
        "unifiedMarginStatus": _UNIFIED_TWO,
        "marginMode": _NAMES[customer(call).margin_mode],
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
        "updatedTime": str(now_ms),
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
    }


def key_rights(engine: Engine, call: Call, now_ms: int, *, rights: str) -> dict[str, Any]:
    """What the key may do. `rights` is that of the variant `key_rights`."""
    del engine, now_ms
    account = customer(call)
    wallet = ["AccountTransfer", "SubMemberTransfer"]
    if rights == WITHDRAW:
        wallet.append("Withdraw")
    return {
        "id": "13770661",
        "note": f"sandbox {account.name}",
        "apiKey": account.key,
        "readOnly": int(rights == READ_ONLY),
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"],
            "Spot": ["SpotTrade"],
            "Wallet": wallet,
            "Options": ["OptionsTrade"],
            "Derivatives": ["DerivativesTrade"],
            "Exchange": ["ExchangeHistory"],
            "CopyTrading": [],
            "BlockTrade": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
        },
        "ips": ["*"],
        "type": 1,
        "deadlineDay": 83,
        "expiredAt": "2030-05-15T03:21:05Z",
        "createdAt": "2022-10-16T02:24:40Z",
        "unified": 0,
        "uta": 1,
        "userID": 24600000,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }


def set_margin_mode(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Set the account-wide margin mode; a refusal lists its reasons."""
    name = required(call.params, "setMarginMode")
    if name == "PORTFOLIO_MARGIN":
        raise _failed("3400000", "the sandbox offers no portfolio margin")
    mode = _MODES.get(name)
    if mode is None:
        raise bad("setMarginMode must be ISOLATED_MARGIN, REGULAR_MARGIN or PORTFOLIO_MARGIN")
    engine.book.advance(now_ms)
    try:
        settings.set_margin_mode(customer(call), mode)
    except Refused as refused:
        if refused.reason is not Refusal.MARGIN_MODE_BLOCKED:
            raise
        raise _failed("3400001", refused.detail) from refused
    return {"reasons": []}


def wallet_balance(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Balance of the unified account; USDT is its only coin."""
    if required(call.params, "accountType") != "UNIFIED":
        raise bad("accountType must be UNIFIED")
    coin = text(call.params, "coin")
    if coin and "USDT" not in coin.split(","):
        raise bad(f"coin {coin!r} is not held; the sandbox has USDT only")
    engine.book.advance(now_ms)
    return {"list": [shapes.wallet(customer(call), engine.market, now_ms, "USDT")]}


def fee_rate(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Maker and taker fee of a symbol, or of all."""
    del now_ms
    if text(call.params, "category"):
        fields.check_category(call.params)
    symbol = text(call.params, "symbol")
    if symbol:
        find_instrument(engine.market.instruments, symbol)
    return {
        "list": [
            {
                "symbol": name,
                "takerFeeRate": shapes.plain(engine.rules.taker_fee),
                "makerFeeRate": shapes.plain(engine.rules.maker_fee),
            }
            for name in ([symbol] if symbol else engine.market.instruments)
        ]
    }


def _failed(code: str, text_: str) -> BybitError:
    return BybitError(
        Code.MARGIN_MODE_FAILED,
        "setting the margin mode failed",
        {"reasons": [{"reasonCode": code, "reasonMsg": text_}]},
    )
