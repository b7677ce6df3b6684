"""Binance's endpoints as a table: path, handler, weight, what security it asks for, parameters.

After Binance's public USDⓈ-M futures documentation. A parameter of another name is superfluous.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from providers.sandbox.binance import (
    accounts,
    algo_orders,
    batches,
    charts,
    customers,
    margins,
    orders,
    positions,
    public,
)
from providers.sandbox.binance.desk import Desk
from providers.sandbox.wire import Call

Handler = Callable[[Desk, Call, int], Any]


class Security(Enum):
    """What a request has to prove."""

    NONE = auto()
    KEY = auto()
    SIGNED = auto()


class Route(NamedTuple):
    """One endpoint.

    Attributes:
        name: method and path without `/fapi/v1/` (`POST order`, `GET v3/balance`).
        handler: None where the facade itself answers.
        weight: of a request that names a symbol; `weight_of_all` of one that does not.
        counts: whether it counts as an order sent.
        params: every parameter it takes.
    """

    name: str
    handler: Handler | None
    weight: int
    weight_of_all: int
    security: Security
    counts: bool
    params: frozenset[str]


_ALWAYS: Final = "timestamp recvWindow signature"
_ONE_ORDER: Final = "symbol orderId origClientOrderId"
_NEW_ORDER: Final = (
    "symbol side positionSide type timeInForce quantity reduceOnly price newClientOrderId "
    "stopPrice closePosition activationPrice callbackRate workingType priceProtect "
    "newOrderRespType priceMatch selfTradePreventionMode goodTillDate"
)
_NEW_ALGO: Final = (
    "algoType symbol side positionSide type timeInForce quantity price triggerPrice workingType "
    "priceMatch closePosition priceProtect reduceOnly activatePrice callbackRate clientAlgoId "
    "newOrderRespType selfTradePreventionMode goodTillDate"
)
_ONE_ALGO: Final = "algoId clientAlgoId symbol"  # symbol is not documented, but clients send it
_PAGE: Final = "symbol startTime endTime limit"
_CANDLES: Final = "symbol pair contractType interval startTime endTime limit"
_MANY_ORDERS: Final = "symbol orderIdList origClientOrderIdList orderidlist origclientorderidlist"
_MODIFY: Final = f"{_ONE_ORDER} side quantity price priceMatch"

# method, path, handler, weight (with, without symbol), parameters
_PUBLIC: Final[tuple[tuple[str, str, Handler | None, int, int, str], ...]] = (
    ("GET", "v1/ping", public.ping, 1, 1, ""),
    ("GET", "v1/time", public.server_time, 1, 1, ""),
    ("GET", "v1/exchangeInfo", None, 1, 1, ""),
    ("GET", "v1/premiumIndex", public.premium_index, 1, 10, "symbol"),
    ("GET", "v1/ticker/price", public.ticker_price, 1, 2, "symbol"),
    ("GET", "v2/ticker/price", public.ticker_price, 1, 2, "symbol"),
    ("GET", "v1/ticker/bookTicker", public.book_ticker, 2, 5, "symbol"),
    ("GET", "v1/ticker/24hr", charts.day, 1, 40, "symbol"),
    ("GET", "v1/depth", charts.depth, 10, 10, "symbol limit"),
    ("GET", "v1/trades", charts.trades, 5, 5, "symbol limit"),
    ("GET", "v1/aggTrades", charts.aggregated, 20, 20, f"{_PAGE} fromId"),
    ("GET", "v1/klines", charts.klines, 5, 5, _CANDLES),
    ("GET", "v1/continuousKlines", charts.klines, 5, 5, _CANDLES),
    ("GET", "v1/markPriceKlines", charts.mark_klines, 5, 5, _CANDLES),
    ("GET", "v1/indexPriceKlines", charts.mark_klines, 5, 5, _CANDLES),
    ("GET", "v1/fundingRate", charts.funding_rate, 1, 1, _PAGE),
    ("GET", "v1/fundingInfo", charts.funding_info, 1, 1, ""),
    ("GET", "v1/openInterest", charts.open_interest, 1, 1, "symbol"),
    ("GET", "/sapi/v1/system/status", customers.system_status, 0, 0, ""),
    ("GET", "/sapi/v1/margin/allPairs", customers.nothing, 0, 0, "symbol"),
    ("GET", "/sapi/v1/margin/isolated/allPairs", customers.nothing, 0, 0, "symbol"),
    ("GET", "/api/v3/exchangeInfo", customers.no_contracts, 0, 0, "symbol symbols permissions"),
    ("GET", "/dapi/v1/exchangeInfo", customers.no_contracts, 0, 0, ""),
    ("GET", "/api/v3/ping", public.ping, 0, 0, ""),
    ("GET", "/api/v3/time", public.server_time, 0, 0, ""),
)
_KEY_ONLY: Final[tuple[tuple[str, str, Handler | None, int, int, str], ...]] = (
    ("GET", "v1/historicalTrades", charts.trades, 20, 20, "symbol limit fromId"),
    ("POST", "v1/listenKey", accounts.start_stream, 1, 1, ""),
    ("PUT", "v1/listenKey", accounts.keep_stream, 1, 1, "listenKey"),
    ("DELETE", "v1/listenKey", accounts.end_stream, 1, 1, "listenKey"),
)
_SIGNED: Final[tuple[tuple[str, str, Handler | None, int, int, str], ...]] = (
    ("POST", "v1/leverage", positions.set_leverage, 1, 1, "symbol leverage"),
    ("POST", "v1/marginType", positions.set_margin_type, 1, 1, "symbol marginType"),
    ("GET", "v1/symbolConfig", positions.symbol_config, 5, 5, "symbol"),
    ("GET", "v1/accountConfig", accounts.config, 5, 5, ""),
    ("GET", "v1/positionSide/dual", positions.position_mode, 30, 30, ""),
    ("POST", "v1/positionSide/dual", positions.set_position_mode, 1, 1, "dualSidePosition"),
    ("GET", "v1/leverageBracket", positions.brackets, 1, 1, "symbol"),
    ("POST", "v1/order", orders.place, 0, 0, _NEW_ORDER),
    ("POST", "v1/order/test", orders.dry_run, 0, 0, _NEW_ORDER),
    ("GET", "v1/order", orders.query, 1, 1, _ONE_ORDER),
    ("DELETE", "v1/order", orders.cancel, 1, 1, _ONE_ORDER),
    ("PUT", "v1/order", batches.modify, 1, 1, _MODIFY),
    ("GET", "v1/orderAmendment", batches.amendments, 1, 1, f"{_PAGE} orderId origClientOrderId"),
    ("POST", "v1/batchOrders", batches.place_all, 5, 5, "batchOrders"),
    ("PUT", "v1/batchOrders", batches.modify_all, 5, 5, "batchOrders"),
    ("DELETE", "v1/batchOrders", batches.cancel_all, 1, 1, _MANY_ORDERS),
    ("GET", "v1/openOrder", orders.query_open, 1, 1, _ONE_ORDER),
    ("GET", "v1/openOrders", orders.open_orders, 1, 40, "symbol"),
    ("GET", "v1/allOrders", orders.all_orders, 5, 5, f"{_PAGE} orderId"),
    ("GET", "v1/userTrades", orders.trades, 5, 5, f"{_PAGE} orderId fromId"),
    ("DELETE", "v1/allOpenOrders", orders.cancel_all, 1, 1, "symbol"),
    ("POST", "v1/countdownCancelAll", orders.countdown, 10, 10, "symbol countdownTime"),
    ("POST", "v1/algoOrder", algo_orders.place, 0, 0, _NEW_ALGO),
    ("GET", "v1/algoOrder", algo_orders.query, 1, 1, _ONE_ALGO),
    ("DELETE", "v1/algoOrder", algo_orders.cancel, 1, 1, _ONE_ALGO),
    ("GET", "v1/openAlgoOrders", algo_orders.open_algos, 1, 40, "algoType symbol algoId"),
    ("GET", "v1/allAlgoOrders", algo_orders.all_algos, 5, 5, f"{_PAGE} algoId"),
    ("DELETE", "v1/algoOpenOrders", algo_orders.cancel_all, 1, 1, "symbol"),
    ("POST", "v1/positionMargin", margins.change, 1, 1, "symbol positionSide amount type"),
    ("GET", "v1/positionMargin/history", margins.history, 1, 1, f"{_PAGE} type"),
    ("GET", "v3/positionRisk", positions.risk, 5, 5, "symbol"),
    ("GET", "v2/positionRisk", positions.risk_v2, 5, 5, "symbol"),
    ("GET", "v3/balance", accounts.balance, 5, 5, ""),
    ("GET", "v2/balance", accounts.balance, 5, 5, ""),
    ("GET", "v3/account", accounts.account_v3, 5, 5, ""),
    ("GET", "v2/account", accounts.account_v2, 5, 5, ""),
    ("GET", "v1/commissionRate", accounts.commission_rate, 20, 20, "symbol"),
    ("GET", "v1/rateLimit/order", accounts.order_limits, 1, 1, ""),
    ("GET", "v1/multiAssetsMargin", customers.assets_mode, 30, 30, ""),
    ("POST", "v1/multiAssetsMargin", customers.set_assets_mode, 1, 1, "multiAssetsMargin"),
    ("GET", "v1/feeBurn", customers.fee_burn, 30, 30, ""),
    ("GET", "v1/forceOrders", customers.nothing, 20, 50, f"{_PAGE} autoCloseType"),
    ("GET", "v1/adlQuantile", customers.adl, 5, 5, "symbol"),
    ("GET", "v1/income", customers.income, 30, 30, f"{_PAGE} incomeType page"),
    ("GET", "/sapi/v1/capital/config/getall", customers.coins, 0, 0, ""),
    ("GET", "/sapi/v1/account/apiRestrictions", accounts.key_rights, 1, 1, ""),
)
_COUNTING: Final = frozenset(
    {
        ("POST", "v1/order"),
        ("PUT", "v1/order"),
        ("POST", "v1/batchOrders"),
        ("PUT", "v1/batchOrders"),
        ("POST", "v1/algoOrder"),
    }
)


def _routes() -> dict[tuple[str, str], Route]:
    groups = (
        (Security.NONE, _PUBLIC),
        (Security.KEY, _KEY_ONLY),
        (Security.SIGNED, _SIGNED),
    )
    return {
        (method, path if path.startswith("/") else f"/fapi/{path}"): Route(
            name=f"{method} {path.removeprefix('v1/')}",
            handler=handler,
            weight=weight,
            weight_of_all=weight_of_all,
            security=security,
            counts=(method, path) in _COUNTING,
            params=frozenset(f"{names} {_ALWAYS}".split()),
        )
        for security, group in groups
        for method, path, handler, weight, weight_of_all, names in group
    }


ROUTES: Final = _routes()
