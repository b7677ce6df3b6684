"""Binance's account endpoints: balance, account, configuration, fees, counters, listen key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.binance import fields, limits, positions, shapes
from providers.sandbox.binance.desk import customer
from providers.sandbox.values import ZERO, PositionMode
from providers.sandbox.variants import KEY_RIGHTS, READ_ONLY, WITHDRAW

if TYPE_CHECKING:
    from providers.sandbox.account import Account
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.limits import Cap
    from providers.sandbox.wire import Call

_ALIAS: Final = "SgsR"
_FLAT_ASSETS: Final = ("BNB", "USDC")


class Money:
    """The figures of an account's USDT."""

    def __init__(self, desk: Desk, account: Account, now_ms: int) -> None:
        market = desk.engine.market
        held = [
            shapes.Held(item, account, market, now_ms)
            for item in account.positions.values()
            if item.size
        ]
        self.wallet = account.wallet
        self.profit = sum((row.profit for row in held), ZERO)
        self.cross_profit = sum((row.profit for row in held if not row.isolated), ZERO)
        isolated = sum((row.margin for row in held if row.isolated), ZERO)
        self.cross_wallet = account.wallet - isolated
        self.maintenance = sum((row.maintenance for row in held), ZERO)
        self.position_margin = account.margin_in_use()
        self.order_margin = account.order_margin
        self.available = max(account.available(market, now_ms), ZERO)

    def asset(self) -> dict[str, str]:
        """What the account's asset row and (as `total...`) its head show."""
        return {
            "walletBalance": shapes.money(self.wallet),
            "unrealizedProfit": shapes.money(self.profit),
            "marginBalance": shapes.money(self.wallet + self.profit),
            "maintMargin": shapes.money(self.maintenance),
            "initialMargin": shapes.money(self.position_margin + self.order_margin),
            "positionInitialMargin": shapes.money(self.position_margin),
            "openOrderInitialMargin": shapes.money(self.order_margin),
            "crossWalletBalance": shapes.money(self.cross_wallet),
            "crossUnPnl": shapes.money(self.cross_profit),
        }

    def spendable(self) -> dict[str, str]:
        """What may be used or taken out."""
        return {
            "availableBalance": shapes.money(self.available),
            "maxWithdrawAmount": shapes.money(min(self.available, self.wallet)),
        }


def balance(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """Balances by asset; USDT is the only one that ever has any."""
    account = customer(call)
    desk.engine.book.advance(now_ms)
    money = Money(desk, account, now_ms)
    zero = shapes.money(ZERO)
    flat = dict.fromkeys(
        ("balance", "crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount"),
        zero,
    )
    shown = {
        "balance": shapes.money(money.wallet),
        "crossWalletBalance": shapes.money(money.cross_wallet),
        "crossUnPnl": shapes.money(money.cross_profit),
        **money.spendable(),
    }
    head = {"accountAlias": _ALIAS}
    tail = {"marginAvailable": True, "updateTime": _updated(account)}
    return [
        *({**head, "asset": name, **flat, **tail, "updateTime": 0} for name in _FLAT_ASSETS),
        {**head, "asset": "USDT", **shown, **tail},
    ]


def account_v3(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Balances, and the positions that are in use."""
    account = customer(call)
    desk.engine.book.advance(now_ms)
    market = desk.engine.market
    rows = [shapes.Held(p, account, market, now_ms).owned() for p in positions.in_use(account)]
    return {**_totals(desk, account, now_ms), "positions": rows}


def account_v2(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Balances, what the account may do, and the positions of every symbol."""
    account = customer(call)
    desk.engine.book.advance(now_ms)
    market = desk.engine.market
    return {
        **_may(account),
        "feeBurn": False,
        **_totals(desk, account, now_ms),
        "positions": [
            shapes.Held(account.position(symbol, leg), account, market, now_ms).owned_v2()
            for symbol in market.instruments
            for leg in positions.all_legs(account)
        ],
    }


def config(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """What the account may do, and its position mode."""
    del desk, now_ms
    account = customer(call)
    return {
        **_may(account),
        "dualSidePosition": account.position_mode is PositionMode.HEDGE,
    }


def key_rights(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """What the key may do; withdrawing needs a key that is bound to addresses."""
    del now_ms
    customer(call)
    rights = desk.variants[KEY_RIGHTS]
    return {
        "ipRestrict": rights == WITHDRAW,
        "createTime": 1_698_645_219_000,
        "enableReading": True,
        "enableWithdrawals": rights == WITHDRAW,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": rights != READ_ONLY,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": True,
        "enableSpotAndMarginTrading": False,
        "enablePortfolioMarginTrading": False,
    }


def commission_rate(desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
    """Maker and taker fee of a symbol."""
    del now_ms
    rules = desk.engine.rules
    return {
        "symbol": fields.contract(desk.engine.market, call.params).symbol,
        "makerCommissionRate": f"{rules.maker_fee:.6f}",
        "takerCommissionRate": f"{rules.taker_fee:.6f}",
        "rpiCommissionRate": "0.000050",
    }


def order_limits(desk: Desk, call: Call, now_ms: int) -> list[dict[str, Any]]:
    """The caps on orders, with what the account has used of them."""
    return [
        {**limits.row(limits.ORDERS_1M, window.cap), "count": window.used(now_ms)}
        for window in desk.counts.of(customer(call).name)
    ]


def all_limits(caps: dict[str, Cap]) -> list[dict[str, Any]]:
    """The caps as exchangeInfo shows them."""
    return [limits.row(name, cap) for name, cap in caps.items()]


def start_stream(desk: Desk, call: Call, now_ms: int) -> dict[str, str]:
    """A listen key."""
    return {"listenKey": desk.listen_keys.start(customer(call), now_ms)}


def keep_stream(desk: Desk, call: Call, now_ms: int) -> dict[str, str]:
    """Keep the listen key alive."""
    return {"listenKey": desk.listen_keys.keep(customer(call), now_ms)}


def end_stream(desk: Desk, call: Call, now_ms: int) -> dict[str, str]:
    """Forget the listen key."""
    del now_ms
    desk.listen_keys.end(customer(call))
    return {}


def _may(account: Account) -> dict[str, Any]:
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": _updated(account),
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def _totals(desk: Desk, account: Account, now_ms: int) -> dict[str, Any]:
    money = Money(desk, account, now_ms)
    asset = money.asset()
    zeros = {name: shapes.money(ZERO) for name in (*asset, *money.spendable())}
    tail = {"marginAvailable": True, "updateTime": _updated(account)}
    return {
        **{f"total{name[0].upper()}{name[1:]}": value for name, value in asset.items()},
        **money.spendable(),
        "assets": [
            {"asset": "USDT", **asset, **money.spendable(), **tail},
            *({"asset": name, **zeros, **tail, "updateTime": 0} for name in _FLAT_ASSETS),
        ],
    }


def _updated(account: Account) -> int:
    """When the balance changed last; clients take 0 to mean that there never was one."""
    return account.fills[-1].at_ms if account.fills else shapes.BEGAN_MS
