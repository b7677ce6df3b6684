"""Binance requests as they arrive over a real connection: signed bytes, and nothing twice."""

from __future__ import annotations

import hmac
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pydantic import HttpUrl, SecretStr

from providers.binance import PROVIDER
from providers.orders import OrderType, PreparedOrder, Side
from providers.outcomes import OutcomeClass, PlacementKind
from providers.settings import ExchangeSettings
from tests.unit.providers.binance_stub import KEY, SECRET
from tests.unit.providers.helpers import RawServer, http_answer, raw_server

if TYPE_CHECKING:
    import asyncio

    from providers.binance.client import BinanceClient

ORDER = PreparedOrder(
    client_order_id="tw:0001/x",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("1E-3"),
    reduce_only=False,
)
ACCEPTED = b'{"orderId":8886774001,"clientOrderId":"tw:0001/x"}'


def client_of(server: RawServer) -> BinanceClient:
    settings = ExchangeSettings(
        binance_api_key=SecretStr(KEY),
        binance_api_secret=SecretStr(SECRET),
        binance_base_url=HttpUrl(f"{server.url}/binance"),
        exchange_request_timeout=0.3,
        exchange_connect_timeout=5.0,  # what is waited for is an answer
    )
    return PROVIDER.create_client(settings)


async def answer(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while True:
        await server.read_request(reader)
        writer.write(http_answer(ACCEPTED))
        await writer.drain()


async def read_and_close(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read_request(reader)
    writer.close()


async def read_and_say_nothing(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    del writer
    while True:
        await server.read_request(reader)


async def answer_in_half(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read_request(reader)
    writer.write(http_answer(ACCEPTED)[:-20])
    await writer.drain()
    writer.close()


async def test_the_query_arrives_as_it_was_signed() -> None:
    async with raw_server(answer) as server:
        client = client_of(server)
        try:
            placement = await client.place(ORDER)
        finally:
            await client.aclose()
    assert placement.kind is PlacementKind.ACCEPTED
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n", 1)[0].split(b" ")
    path, _, query = target.partition(b"?")
    message, _, signature = query.rpartition(b"&signature=")
    assert (method, path, body) == (b"POST", b"/binance/fapi/v1/order", b"")
    assert hmac.digest(SECRET.encode(), message, "sha256").hex().encode() == signature
    assert b"quantity=0.001&newClientOrderId=tw%3A0001%2Fx&" in message
    assert f"x-mbx-apikey: {KEY}".lower().encode() in head.lower()
    assert head.lower().count(b"content-length: 0") == 1


@pytest.mark.parametrize("handle", [read_and_close, read_and_say_nothing, answer_in_half])
async def test_once_read_by_the_exchange_an_order_is_unknown_and_not_repeated(
    handle: object,
) -> None:
    async with raw_server(handle) as server:  # type: ignore[arg-type]  # one of the handlers above
        client = client_of(server)
        try:
            placement = await client.place(ORDER)
        finally:
            await client.aclose()
        assert (placement.kind, placement.outcome_class) == (
            PlacementKind.UNKNOWN,
            OutcomeClass.UNKNOWN,
        )
        assert len(server.requests) == 1
    assert "signature" not in repr(placement)


async def test_a_connection_that_died_between_two_orders_repeats_none() -> None:
    async with raw_server(read_and_close) as server:
        client = client_of(server)
        try:
            for number in range(3):
                placement = await client.place(replace(ORDER, client_order_id=f"tw-{number}"))
                assert placement.kind is PlacementKind.UNKNOWN
        finally:
            await client.aclose()
        assert len(server.requests) == 3
