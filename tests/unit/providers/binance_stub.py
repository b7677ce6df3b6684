"""A Binance of canned answers behind `httpx.MockTransport`, and a client that talks to it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import httpx
import orjson

from providers.binance.client import BinanceClient
from providers.http import Http, Timeouts
from tests.unit.providers.helpers import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "TESTKEY123456"
SECRET = "testsecret-abcdef-0123456789"

PLACE = "POST /fapi/v1/order"
QUERY = "GET /fapi/v1/order"
CANCEL = "DELETE /fapi/v1/order"
OPEN_ORDER = "GET /fapi/v1/openOrder"
OPEN_ORDERS = "GET /fapi/v1/openOrders"
ALL_ORDERS = "GET /fapi/v1/allOrders"
TRADES = "GET /fapi/v1/userTrades"
PLACE_ALGO = "POST /fapi/v1/algoOrder"
QUERY_ALGO = "GET /fapi/v1/algoOrder"
POSITIONS = "GET /fapi/v3/positionRisk"
BALANCE = "GET /fapi/v3/balance"
CONFIG = "GET /fapi/v1/symbolConfig"
MODE = "GET /fapi/v1/accountConfig"
LEVERAGE = "POST /fapi/v1/leverage"
MARGIN = "POST /fapi/v1/marginType"
TIME = "GET /fapi/v1/time"
INFO = "GET /fapi/v1/exchangeInfo"
BRACKETS = "GET /fapi/v1/leverageBracket"
MARK = "GET /fapi/v1/premiumIndex"

SYMBOL: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "contractType": "PERPETUAL",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "pricePrecision": 2,
    "quantityPrecision": 3,
    "filters": [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "261.10",
            "maxPrice": "809484",
            "tickSize": "0.10",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "50"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500"},
    ],
}
BRACKET: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "brackets": [
        {"bracket": 1, "initialLeverage": 125, "notionalCap": 300000, "maintMarginRatio": 0.004},
        {"bracket": 2, "initialLeverage": 100, "notionalCap": 800000, "maintMarginRatio": 0.005},
    ],
}
ORDER: dict[str, Any] = {
    "orderId": 8886774001,
    "symbol": "BTCUSDT",
    "clientOrderId": "tw-0001",
    "status": "FILLED",
    "side": "BUY",
    "positionSide": "BOTH",
    "type": "MARKET",
    "origQty": "0.001",
    "executedQty": "0.001",
    "avgPrice": "94321.50",
    "cumQuote": "94.32150",
    "price": "0",
    "reduceOnly": False,
    "time": 1700000000120,
    "updateTime": 1700000000125,
}
TRADE: dict[str, Any] = {
    "id": 698759001,
    "orderId": 8886774001,
    "symbol": "BTCUSDT",
    "side": "BUY",
    "positionSide": "BOTH",
    "price": "94321.50",
    "qty": "0.001",
    "quoteQty": "94.32150",
    "commission": "0.04716075",
    "commissionAsset": "USDT",
    "realizedPnl": "0",
    "maker": False,
    "buyer": True,
    "time": 1700000000124,
}
POSITION: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "positionSide": "BOTH",
    "positionAmt": "0.001",
    "entryPrice": "94321.5",
    "markPrice": "94330.0",
    "unRealizedProfit": "0.0085",
    "marginAsset": "USDT",
    "updateTime": 1700000000125,
}
ASSET: dict[str, Any] = {
    "asset": "USDT",
    "balance": "1000.0",
    "crossWalletBalance": "1000.0",
    "crossUnPnl": "0.0085",
    "availableBalance": "980.0",
}
CONFIGURED: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "marginType": "CROSSED",
    "isAutoAddMargin": "false",
    "leverage": 21,
    "maxNotionalValue": "1000000",
}

Reply = httpx.Response | Exception


def ok(body: object) -> httpx.Response:
    return httpx.Response(200, content=orjson.dumps(body))


def refused(
    code: int,
    message: str = "said so",
    *,
    status: int = 400,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    body = {"code": code, "msg": message}
    return httpx.Response(status, content=orjson.dumps(body), headers=headers)


def accepted() -> httpx.Response:
    return ok(
        {
            "orderId": 8886774001,
            "symbol": "BTCUSDT",
            "status": "NEW",
            "clientOrderId": "tw-0001",
            "origQty": "0.001",
            "executedQty": "0.000",
        }
    )


def success() -> httpx.Response:
    return ok({"code": 200, "msg": "success"})


def name_of(request: httpx.Request) -> str:
    return f"{request.method} {request.url.path}"


def parameters(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))


@dataclass
class BinanceStub:
    """Answers each call from its own list; the last answer of a list is given for ever."""

    answers: defaultdict[str, list[Reply]] = field(default_factory=lambda: defaultdict(list))
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        listed = self.answers[name_of(request)]
        if not listed:
            raise AssertionError(f"no answer is set for {name_of(request)}")
        reply = listed.pop(0) if len(listed) > 1 else listed[0]
        if isinstance(reply, Exception):
            raise reply
        # A new object each time: a response is read once.
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    def seen(self, name: str) -> list[httpx.Request]:
        return [request for request in self.requests if name_of(request) == name]


def make_client(stub: BinanceStub, clock: FakeClock | None = None) -> BinanceClient:
    stub.answers[TIME] = stub.answers[TIME] or [ok({"serverTime": 1700000000000})]
    return BinanceClient(
        "https://binance.test/",
        KEY,
        SECRET,
        Http(Timeouts(1.0, 1.0), httpx.MockTransport(stub)),
        clock or FakeClock(),
        recv_window_ms=5000,
        instruments_ttl=3600.0,
        sleep=lambda _: asyncio.sleep(0),
    )
