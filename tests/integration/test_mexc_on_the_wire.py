"""The MEXC client over real sockets: the bytes that arrive are the bytes that were signed.

The server only counts, checks and answers from a table; what MEXC does with an order is not
simulated here.
"""

from __future__ import annotations

import contextlib
import hmac
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pydantic import HttpUrl, SecretStr

from providers.errors import ExchangeUnavailable
from providers.mexc import PROVIDER
from providers.mexc.exact import dumps
from providers.orders import Action, MarginMode, OrderStatus, PositionMode, TradeRequest
from providers.outcomes import OutcomeClass, PlacementKind
from providers.preparation import Preparation
from providers.settings import ExchangeSettings
from tests.unit.providers import mexc_stub
from tests.unit.providers.helpers import RawServer, http_answer, raw_server
from tests.unit.providers.mexc_stub import KEY, ORDER_ID, SECRET, leverage_row

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from providers.mexc.client import MexcClient

SYMBOL = "BTCUSDT"
ANSWERS: dict[str, object] = {
    mexc_stub.TIME: mexc_stub.SERVER_MS,
    mexc_stub.INSTRUMENTS: [mexc_stub.CONTRACT],
    mexc_stub.POSITION_MODE: 1,
    mexc_stub.LEVERAGE: [leverage_row(1), leverage_row(2)],
    mexc_stub.POSITIONS: [mexc_stub.POSITION_ROW],
    mexc_stub.CREATE: {"orderId": ORDER_ID, "ts": mexc_stub.SERVER_MS},
    mexc_stub.BY_CLIENT_ID: mexc_stub.ORDER_ROW,
    mexc_stub.FILLS: [mexc_stub.FILL_ROW],
    mexc_stub.OPEN_ORDERS: [],
    mexc_stub.CANCEL: [{"orderId": ORDER_ID, "errorCode": 0, "errorMsg": "success"}],
}


@dataclass(frozen=True)
class Arrived:
    """One request, taken apart from its raw bytes."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, raw: bytes) -> Arrived:
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        pairs = (line.split(": ", 1) for line in lines)
        return cls(method, path, query, {name.lower(): value for name, value in pairs}, body)

    def signed_rightly(self) -> bool:
        parameters = self.body or self.query.encode()
        target = f"{KEY}{self.headers['request-time']}".encode() + parameters
        expected = hmac.digest(SECRET.encode(), target, "sha256").hex()
        return self.headers["signature"] == expected and self.headers["apikey"] == KEY


def arrived(server: RawServer) -> list[Arrived]:
    return [Arrived.of(raw) for raw in server.requests]


async def answer_all(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while True:
        request = Arrived.of(await server.read_request(reader))
        body = dumps({"success": True, "code": 0, "data": ANSWERS[request.path]})
        writer.write(http_answer(body))
        await writer.drain()


async def drop_creates(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer everything but orders: those are read whole, and then the connection is cut."""
    while True:
        request = Arrived.of(await server.read_request(reader))
        if request.path == mexc_stub.CREATE:
            return
        body = dumps({"success": True, "code": 0, "data": ANSWERS[request.path]})
        writer.write(http_answer(body))
        await writer.drain()


@contextlib.asynccontextmanager
async def client_of(url: str) -> AsyncIterator[MexcClient]:
    client = PROVIDER.create_client(
        ExchangeSettings(
            mexc_api_key=SecretStr(KEY),
            mexc_secret_binding=SecretStr(SECRET),
            mexc_base_url=HttpUrl(url),
            mexc_allow_opening=None,
            exchange_connect_timeout=2,
            exchange_request_timeout=2,
        )
    )
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(answer_all) as running:
        yield running


@pytest.fixture
async def client(server: RawServer) -> AsyncIterator[MexcClient]:
    async with client_of(server.url) as made:
        yield made


def request(action: Action = Action.LONG, quantity: str = "0.001") -> TradeRequest:
    return TradeRequest(SYMBOL, action, Decimal(quantity), margin_mode=MarginMode.ISOLATED)


async def test_every_private_request_arrives_as_it_was_signed(
    server: RawServer, client: MexcClient
) -> None:
    await client.start()
    preparation = Preparation(client, 300.0)
    order = await preparation.prepare(request(), "tw-0001")
    placement = await client.place(order)
    assert (placement.kind, placement.exchange_order_id) == (PlacementKind.ACCEPTED, ORDER_ID)
    found = await client.find_order(SYMBOL, "tw-0001")
    assert found is not None
    assert (found.status, found.quantity) == (OrderStatus.FILLED, order.quantity)
    (fill,) = await client.fills(SYMBOL, found)
    assert fill.quantity == order.quantity
    closing = await preparation.prepare(request(Action.CLOSE, "9"), "tw-0002")
    assert (await client.place(closing)).kind is PlacementKind.ACCEPTED
    assert await client.open_orders() == []
    await client.cancel(SYMBOL, "tw-0001")
    assert await client.position_mode() is PositionMode.HEDGE
    private = [one for one in arrived(server) if "/private/" in one.path]
    assert all(one.signed_rightly() for one in private)
    assert {one.headers["language"] for one in private} == {"en-US"}
    opened, closed = (one for one in private if one.path == mexc_stub.CREATE)
    assert opened.body == (
        b'{"symbol":"BTC_USDT","price":0,"vol":10,"side":1,"type":5,"openType":1,"leverage":5,'
        b'"externalOid":"tw-0001","positionMode":1}'
    )
    assert closed.body == (
        b'{"symbol":"BTC_USDT","price":0,"vol":10,"side":4,"type":5,"openType":1,'
        b'"externalOid":"tw-0002","positionMode":1}'
    )


async def test_public_requests_carry_no_credentials(server: RawServer, client: MexcClient) -> None:
    await client.start()
    for one in arrived(server):
        assert not {"apikey", "signature"} & one.headers.keys()


async def test_an_order_whose_answer_is_lost_is_unknown_and_was_sent_once() -> None:
    async with raw_server(drop_creates) as server, client_of(server.url) as client:
        order = await Preparation(client, 300.0).prepare(request(), "tw-0001")
        placement = await client.place(order)
        assert (placement.kind, placement.outcome_class) == (
            PlacementKind.UNKNOWN,
            OutcomeClass.UNKNOWN,
        )
        assert placement.signed_at is not None
        assert [one.path for one in arrived(server)].count(mexc_stub.CREATE) == 1


async def test_an_exchange_that_is_gone_was_sent_nothing() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with raw_server(answer_all) as server:
            client = await stack.enter_async_context(client_of(server.url))
            order = await Preparation(client, 300.0).prepare(request(), "tw-0001")
        with pytest.raises(ExchangeUnavailable):
            await client.find_order(SYMBOL, "tw-0001")
        placement = await client.place(order)
        assert (placement.kind, placement.outcome_class) == (
            PlacementKind.DEFERRED,
            OutcomeClass.NOT_SENT,
        )
