"""Bybit endpoints about the customer: the key, coins, coin balances, transactions, closed profit.

Clients ask for them on the way to trading, to learn what kind of account they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.bybit import fields, shapes
from providers.sandbox.bybit.fields import bad, customer, number, text

if TYPE_CHECKING:
    from providers.sandbox.engine import Engine
    from providers.sandbox.wire import Call

_COIN: Final = "USDT"
_CHAIN: Final = {
    "chainType": "Sandbox",
    "confirmation": "1",
    "withdrawFee": "1",
    "depositMin": "0",
    "withdrawMin": "10",
    "chain": "SANDBOX",
    "chainDeposit": "1",
    "chainWithdraw": "0",
    "minAccuracy": "6",
    "withdrawPercentageFee": "0",
    "contractAddress": "",
}


def query_api(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """What the calling key is and may do: trade contracts, and not withdraw."""
    del engine, now_ms
    account = customer(call)
    return {
        "id": "1",
        "note": account.name,
        "apiKey": account.key,
        "readOnly": 0,
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"],
            "Spot": [],
            "Wallet": [],
            "Options": [],
            "Derivatives": ["DerivativesTrade"],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
        },
        "ips": ["*"],
        "type": 1,
        "deadlineDay": 90,
        "expiredAt": "2100-01-01T00:00:00Z",
        "createdAt": "2020-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_1",
        "kycRegion": "",
    }


def coins(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """The coins there are: one."""
    del engine, now_ms
    rows = [{"name": _COIN, "coin": _COIN, "remainAmount": "0", "chains": [_CHAIN]}]
    return {"rows": rows if text(call.params, "coin") in ("", _COIN) else []}


def coin_balances(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Balances by coin of the unified account."""
    kind = fields.required(call.params, "accountType")
    engine.book.advance(now_ms)
    held = shapes.money(customer(call).wallet) if kind == "UNIFIED" else "0"
    row = {"coin": _COIN, "walletBalance": held, "transferBalance": held, "bonus": ""}
    return {"memberId": "1", "accountType": kind, "balance": [row]}


def coin_balance(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Balance of one coin of the unified account."""
    fields.required(call.params, "coin")
    many = coin_balances(engine, call, now_ms)
    row = {**many.pop("balance")[0], "transferSafeAmount": "", "ltvTransferSafeAmount": ""}
    return {**many, "bizType": 1, "accountId": "1", "balance": row}


def transactions(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """What changed the balance: the fills, latest first."""
    if text(call.params, "category") not in ("", "linear"):
        raise bad("category must be linear here")
    limit = number(call.params, "limit", 20, 1, 50)
    first, last = fields.span(call.params, now_ms)
    account = customer(call)
    engine.book.advance(now_ms)
    rows: list[dict[str, Any]] = []
    after = account.wallet
    trades_wanted = text(call.params, "type") in ("", "TRADE")  # there is no other change
    for fill in reversed(account.fills if trades_wanted else []):
        change = fill.realised - fill.fee
        if not first <= fill.at_ms <= last:
            after -= change
            continue
        rows.append(
            {
                "id": fill.fill_id,
                "symbol": fill.symbol,
                "category": "linear",
                "side": shapes.SIDES[fill.side],
                "transactionTime": str(fill.at_ms),
                "type": "TRADE",
                "transSubType": "",
                "qty": shapes.plain(fill.qty),
                "size": "0",
                "currency": _COIN,
                "tradePrice": shapes.plain(fill.price),
                "funding": "",
                "fee": shapes.plain(fill.fee),
                "cashFlow": shapes.plain(fill.realised),
                "change": shapes.money(change),
                "cashBalance": shapes.money(after),
                "feeRate": shapes.plain(fill.fee_rate),
                "bonusChange": "",
                "tradeId": fill.fill_id,
                "orderId": fill.order_id,
                "orderLinkId": fill.client_order_id,
                "extraFees": "",
            }
        )
        after -= change
        if len(rows) == limit:
            break
    return {"list": rows, "nextPageCursor": ""}


def closed_profit(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Profit and loss by closing fill, latest first."""
    fields.check_category(call.params)
    symbol = text(call.params, "symbol")
    limit = number(call.params, "limit", 50, 1, 100)
    first, last = fields.span(call.params, now_ms)
    account = customer(call)
    engine.book.advance(now_ms)
    rows = []
    for fill in reversed(account.fills):
        if not fill.closed_qty or symbol not in ("", fill.symbol):
            continue
        if not first <= fill.at_ms <= last:
            continue
        parent = account.orders[fill.order_id]
        sold = shapes.SIDES[fill.side] == "Sell"
        gained = fill.realised / fill.closed_qty
        entry = fill.price - gained if sold else fill.price + gained
        rows.append(
            {
                "symbol": fill.symbol,
                "orderId": fill.order_id,
                "side": shapes.SIDES[fill.side],
                "qty": shapes.plain(parent.qty),
                "orderPrice": shapes.plain(parent.limit),
                "orderType": shapes.KINDS[parent.kind],
                "execType": "Trade",
                "closedSize": shapes.plain(fill.closed_qty),
                "cumEntryValue": shapes.money(entry * fill.closed_qty),
                "avgEntryPrice": shapes.money(entry),
                "cumExitValue": shapes.money(fill.price * fill.closed_qty),
                "avgExitPrice": shapes.money(fill.price),
                "closedPnl": shapes.money(fill.realised - fill.fee),
                "fillCount": "1",
                "leverage": shapes.plain(account.leverage(fill.symbol, fill.leg)),
                "createdTime": str(fill.at_ms),
                "updatedTime": str(fill.at_ms),
            }
        )
        if len(rows) == limit:
            break
    return {"category": "linear", "list": rows, "nextPageCursor": ""}
