"""MEXC's account endpoints: assets and fee rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.mexc import fields, shapes
from providers.sandbox.mexc.fields import bad, customer

if TYPE_CHECKING:
    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.wire import Call

_COINS: Final = ("USDT", "USDC", "BTC", "ETH")
"""What assets are listed; all but USDT are empty."""


def assets(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Every coin, most of them empty."""
    account = customer(call)
    desk.engine.book.advance(now_ms)
    return [shapes.asset(account, desk.engine.market, now_ms, coin) for coin in _COINS]


def asset(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """One coin."""
    coin = fields.text(call.params, "currency")
    if coin not in _COINS:
        raise bad(f"currency {coin!r} is not held here; there are {', '.join(_COINS)}")
    desk.engine.book.advance(now_ms)
    return shapes.asset(customer(call), desk.engine.market, now_ms, coin)


def fee_rate(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """What the API charges, which is not what the contract list shows."""
    del now_ms
    listed = fields.contract(call.params)
    taker, maker = desk.engine.rules.taker_fee, desk.engine.rules.maker_fee
    return {
        "symbol": listed.name,
        "level": 0,
        "dealAmount": 0,
        "walletBalance": 0,
        "inviterKyc": "",
        "originalMakerFee": maker,
        "originalTakerFee": taker,
        "makerFee": maker,
        "takerFee": taker,
        "realMakerFee": maker,
        "realTakerFee": taker,
        "makerFeeDiscount": 1,
        "takerFeeDiscount": 1,
        "feeType": "NORMAL",
    }
