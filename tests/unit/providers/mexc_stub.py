"""A MEXC of canned answers behind `httpx.MockTransport`, and a client that talks to it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx

from providers.http import Http, Timeouts
from providers.mexc.clearance import Opening
from providers.mexc.client import MexcClient
from providers.mexc.contracts import Listing, contract
from providers.mexc.exact import dumps, loads
from providers.orders import MarginMode, OrderType, PositionSide, PreparedOrder, Side, TimeInForce
from tests.unit.providers.helpers import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.fields import Row

KEY = "mx0TESTKEY123"
SECRET = "testsecret-abcdef-0123456789"
SERVER_MS = 1700000000000
ORDER_ID = "812345678901234567"

API = "/api/v1"
CREATE = f"{API}/private/order/create"
CANCEL = f"{API}/private/order/batch_cancel_with_external"
BY_CLIENT_ID = f"{API}/private/order/external/BTC_USDT/tw-0001"
OPEN_ORDERS = f"{API}/private/order/list/open_orders"
HISTORY = f"{API}/private/order/list/history_orders"
FILLS = f"{API}/private/order/deal_details/{ORDER_ID}"
POSITIONS = f"{API}/private/position/open_positions"
POSITION_MODE = f"{API}/private/position/position_mode"
LEVERAGE = f"{API}/private/position/leverage"
CHANGE_LEVERAGE = f"{API}/private/position/change_leverage"
ASSETS = f"{API}/private/account/assets"
TIME = f"{API}/contract/ping"
INSTRUMENTS = f"{API}/contract/detail"
FAIR_PRICE = f"{API}/contract/fair_price/BTC_USDT"

# Rows as the documentation shows them, with invented values.
CONTRACT: dict[str, Any] = {
    "symbol": "BTC_USDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "contractSize": Decimal("0.0001"),
    "minLeverage": 1,
    "maxLeverage": 500,
    "priceScale": 1,
    "volScale": 0,
    "priceUnit": Decimal("0.1"),
    "volUnit": 1,
    "minVol": 1,
    "maxVol": 400000,
    "bidLimitPriceRate": Decimal("0.1"),
    "askLimitPriceRate": Decimal("0.1"),
    "takerFeeRate": Decimal("0.0002"),
    "makerFeeRate": 0,
    "maxNumOrders": [200, 50],
    "state": 0,
    "positionOpenType": 3,
    "apiAllowed": False,
}
BTC_CONTRACT = contract(CONTRACT)
LISTING = Listing({"BTCUSDT": BTC_CONTRACT}, {"BTC_USDT": BTC_CONTRACT}, frozenset({"BTC_USD"}))
ORDER_ROW: dict[str, Any] = {
    "orderId": ORDER_ID,
    "symbol": "BTC_USDT",
    "positionId": 1394650,
    "price": 94400,
    "vol": 10,
    "leverage": 5,
    "side": 1,
    "category": 1,
    "orderType": 5,
    "openType": 1,
    "state": 3,
    "dealVol": 10,
    "dealAvgPrice": Decimal("94321.5"),
    "takerFee": Decimal("0.0754572"),
    "makerFee": 0,
    "feeCurrency": "USDT",
    "profit": 0,
    "externalOid": "tw-0001",
    "errorCode": 0,
    "positionMode": 1,
    "createTime": 1700000000120,
    "updateTime": 1700000000125,
}
FILL_ROW: dict[str, Any] = {
    "id": 998877,
    "orderId": ORDER_ID,
    "symbol": "BTC_USDT",
    "side": 1,
    "vol": 10,
    "price": Decimal("94321.5"),
    "fee": Decimal("0.0754572"),
    "feeCurrency": "USDT",
    "profit": 0,
    "isTaker": True,
    "category": 1,
    "timestamp": 1700000000124,
}
POSITION_ROW: dict[str, Any] = {
    "positionId": 1394650,
    "symbol": "BTC_USDT",
    "positionType": 1,
    "openType": 1,
    "state": 1,
    "holdVol": 10,
    "frozenVol": 0,
    "closeVol": 0,
    "holdAvgPrice": Decimal("94321.5"),
    "openAvgPrice": Decimal("94321.5"),
    "liquidatePrice": Decimal("75800.2"),
    "oim": Decimal("18.9"),
    "im": Decimal("18.9"),
    "leverage": 5,
    "realised": Decimal("-0.0754572"),
    "autoAddIm": False,
}
ASSET_ROW: dict[str, Any] = {
    "currency": "USDT",
    "availableBalance": Decimal("980.1"),
    "availableOpen": Decimal("980.1"),
    "cashBalance": Decimal("980.1"),
    "frozenBalance": 0,
    "positionMargin": Decimal("18.9"),
    "equity": Decimal("1000.0"),
    "unrealized": Decimal("0.0085"),
    "bonus": 0,
}


def leverage_row(position_type: int, open_type: int = 1, leverage: int = 5) -> dict[str, Any]:
    return {
        "positionType": position_type,
        "openType": open_type,
        "level": 1,
        "imr": Decimal("0.2"),
        "mmr": Decimal("0.004"),
        "leverage": leverage,
        "maxVol": 400000,
    }


ORDER = PreparedOrder(
    client_order_id="tw-0001",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.001"),
    reduce_only=False,
    time_in_force=TimeInForce.IOC,
    position_side=PositionSide.LONG,
    leverage=5,
    margin_mode=MarginMode.ISOLATED,
)
HTML = httpx.Response(502, content=b"<html>Bad Gateway</html>")
EDGE_PAGE = b"<html>Access Denied</html>"

Reply = httpx.Response | Exception


def parsed(row: Mapping[str, Any]) -> Row:
    """A row as it comes off the wire."""
    result = loads(dumps({"data": dict(row)}))
    assert isinstance(result, dict)
    data = result["data"]
    assert isinstance(data, dict)
    return data


def answer(envelope: Mapping[str, Any]) -> httpx.Response:
    return httpx.Response(200, content=dumps(dict(envelope)))


def ok(data: object, *, code: int = 0) -> httpx.Response:
    return answer({"success": True, "code": code, "data": data})


def nothing() -> httpx.Response:
    """Success without data: how the look-up by client id says that there is no such order."""
    return answer({"success": True, "code": 0})


def refused(code: int, message: str = "no") -> httpx.Response:
    return answer({"success": False, "code": code, "message": message})


def accepted() -> httpx.Response:
    return ok({"orderId": ORDER_ID, "ts": 1700000000123})


@dataclass
class MexcStub:
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

    @property
    def private(self) -> list[httpx.Request]:
        """The signed requests."""
        return [request for request in self.requests if "/private/" in request.url.path]


def make_client(
    stub: MexcStub, clock: FakeClock | None = None, *, allow_opening: bool = True
) -> MexcClient:
    stub.answers[TIME] = stub.answers[TIME] or [ok(SERVER_MS)]
    stub.answers[INSTRUMENTS] = stub.answers[INSTRUMENTS] or [ok([CONTRACT])]
    return MexcClient(
        "https://mexc.test/",
        KEY,
        SECRET,
        Http(Timeouts(1.0, 1.0), httpx.MockTransport(stub)),
        clock or FakeClock(),
        instruments_ttl=3600.0,
        opening=Opening(allow_opening, "checked-0123456789ab"),
        sleep=lambda _: asyncio.sleep(0),
    )
