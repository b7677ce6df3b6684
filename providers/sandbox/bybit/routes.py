"""Bybit's endpoints as a table: path, handler, requests a second.

After Bybit's public V5 documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from providers.sandbox.bybit import (
    accounts,
    batches,
    charts,
    customers,
    orders,
    positions,
    public,
)
from providers.sandbox.engine import Engine
from providers.sandbox.wire import Call

Handler = Callable[[Engine, Call, int], dict[str, Any]]


class Route(NamedTuple):
    """One endpoint.

    Attributes:
        per_second: published requests a second and account; None for a public endpoint.
    """

    name: str
    handler: Handler | None
    per_second: int | None


def _routes() -> dict[tuple[str, str], Route]:
    table: tuple[tuple[str, str, Handler | None, int | None], ...] = (
        ("GET", "market/time", public.server_time, None),
        ("GET", "market/instruments-info", public.instruments, None),
        ("GET", "market/tickers", public.tickers, None),
        ("GET", "market/price-limit", public.price_limit, None),
        ("GET", "market/kline", charts.kline, None),
        ("GET", "market/mark-price-kline", charts.mark_kline, None),
        ("GET", "market/index-price-kline", charts.mark_kline, None),
        ("GET", "market/orderbook", charts.orderbook, None),
        ("GET", "market/recent-trade", charts.recent_trade, None),
        ("GET", "market/funding/history", charts.funding_history, None),
        ("GET", "market/open-interest", charts.open_interest, None),
        ("GET", "market/risk-limit", charts.risk_limit, None),
        ("GET", "system/status", None, None),
        ("GET", "user/query-api", customers.query_api, 10),
        ("GET", "asset/coin/query-info", customers.coins, 5),
        ("GET", "asset/transfer/query-account-coins-balance", customers.coin_balances, 5),
        ("GET", "asset/transfer/query-account-coin-balance", customers.coin_balance, 5),
        ("GET", "account/transaction-log", customers.transactions, 30),
        ("GET", "position/closed-pnl", customers.closed_profit, 50),
        ("POST", "position/set-leverage", positions.set_leverage, 10),
        ("POST", "position/switch-mode", positions.switch_mode, 10),
        ("GET", "position/list", positions.positions, 50),
        ("GET", "position/symbol-info", positions.symbol_info, 2),
        ("POST", "position/trading-stop", positions.trading_stop, 10),
        ("POST", "position/add-margin", positions.add_margin, 10),
        ("GET", "account/info", accounts.info, 50),
        ("GET", "user/query-api", None, 10),
        ("POST", "account/set-margin-mode", accounts.set_margin_mode, 5),
        ("GET", "account/wallet-balance", accounts.wallet_balance, 50),
        ("GET", "account/fee-rate", accounts.fee_rate, 5),
        ("POST", "order/create", orders.create, 10),
        ("POST", "order/amend", orders.amend, 10),
        ("POST", "order/cancel", orders.cancel, 10),
        ("POST", "order/cancel-all", orders.cancel_all, 10),
        ("POST", "order/pre-check", orders.pre_check, 10),
        ("POST", "order/create-batch", batches.create, 10),
        ("POST", "order/amend-batch", batches.amend, 10),
        ("POST", "order/cancel-batch", batches.cancel, 10),
        ("GET", "order/realtime", orders.realtime, 50),
        ("GET", "order/history", orders.history, 50),
        ("GET", "execution/list", orders.executions, 50),
    )
    return {
        (method, f"/v5/{name}"): Route(name, handler, cap) for method, name, handler, cap in table
    }


ROUTES: Final = _routes()
