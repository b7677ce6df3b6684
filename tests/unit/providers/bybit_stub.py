"""A Bybit of canned answers behind `httpx.MockTransport`, and a client that talks to it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from providers.bybit.client import BybitClient
from providers.http import Http, Timeouts
from providers.orders import OrderType, PreparedOrder, Side, TimeInForce
from tests.unit.providers.helpers import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "TESTKEY123456"
SECRET = "testsecret-abcdef-0123456789"
CREATE = "/v5/order/create"
TIME = "/v5/market/time"
REALTIME = "/v5/order/realtime"
HISTORY = "/v5/order/history"
POSITIONS = "/v5/position/list"
ACCOUNT = "/v5/account/info"
LEVERAGE = "/v5/position/set-leverage"
MARGIN = "/v5/account/set-margin-mode"
INSTRUMENTS = "/v5/market/instruments-info"
EXECUTIONS = "/v5/execution/list"
CANCEL = "/v5/order/cancel"
NANO = "1700000000000000000"
HTML = httpx.Response(502, content=b"<html>Bad Gateway</html>")

INSTRUMENT: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "settleCoin": "USDT",
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "minOrderQty": "0.001",
        "maxOrderQty": "1190.000",
        "maxMktOrderQty": "500.000",
        "qtyStep": "0.001",
        "minNotionalValue": "5",
    },
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
}

ORDER = PreparedOrder(
    client_order_id="tw-0001",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.001"),
    reduce_only=False,
    time_in_force=TimeInForce.IOC,
)
ROW: dict[str, Any] = {
    "orderId": "5f1c0d3a",
    "orderLinkId": "tw-0001",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderStatus": "Filled",
    "rejectReason": "EC_NoError",
    "qty": "0.001",
    "avgPrice": "94321.5",
    "cumExecQty": "0.001",
    "cumFeeDetail": {"USDT": "0.05187683"},
    "updatedTime": "1700000000125",
}

Reply = httpx.Response | Exception


def ok(result: Mapping[str, Any]) -> httpx.Response:
    return business(0, result=result)


def business(
    code: int,
    message: str = "OK",
    *,
    result: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    body = {"retCode": code, "retMsg": message, "result": result or {}, "time": 1}
    return httpx.Response(200, content=orjson.dumps(body), headers=headers)


def accepted() -> httpx.Response:
    return ok({"orderId": "5f1c0d3a", "orderLinkId": "tw-0001"})


def page(*items: Mapping[str, Any], cursor: str = "") -> httpx.Response:
    return ok({"list": list(items), "nextPageCursor": cursor})


@dataclass
class BybitStub:
    """Answers each path from its own list; the last answer of a list is given for ever."""

    answers: defaultdict[str, list[Reply]] = field(default_factory=lambda: defaultdict(list))
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        listed = self.answers[request.url.path]
        if not listed:
            raise AssertionError(f"no answer is set for {request.method} {request.url.path}")
        reply = listed.pop(0) if len(listed) > 1 else listed[0]
        if isinstance(reply, Exception):
            raise reply
        # A new object each time: a response is read once.
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    def seen(self, path: str) -> list[httpx.Request]:
        return [request for request in self.requests if request.url.path == path]


def make_client(stub: BybitStub, clock: FakeClock | None = None) -> BybitClient:
    stub.answers[TIME] = stub.answers[TIME] or [ok({"timeNano": NANO})]
    return BybitClient(
        "https://bybit.test/",
        KEY,
        SECRET,
        Http(Timeouts(1.0, 1.0), httpx.MockTransport(stub)),
        clock or FakeClock(),
        recv_window_ms=5000,
        instruments_ttl=3600.0,
        sleep=lambda _: asyncio.sleep(0),
    )
