"""The wire of a chaos run: what it does to the requests that place orders, and to no others."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.chaos.wire import Act, Hands, VenueWire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "tw-abcdefghijklmnopqrstuvwxyz"
BODY = f'{{"orderLinkId":"{NAME}"}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def request(path: str, method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n"
    return (head + BODY).encode()


class Exchange:
    """Answers whatever comes, and keeps it."""

    def __init__(self, act: Act) -> None:
        self.got = b""
        self.killed: list[int] = []
        self.hands = Hands(
            lambda _: act, lambda name: name.encode() in self.got, self.killed.append, 0.05
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.got += data
            writer.write(ANSWER)
        writer.close()


@asynccontextmanager
async def wired(act: Act) -> AsyncIterator[tuple[Exchange, VenueWire, str, int]]:
    exchange = Exchange(act)
    server = await asyncio.start_server(exchange.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/bybit"
    async with server, VenueWire(url, "bybit", 2, exchange.hands) as wire:
        yield exchange, wire, "127.0.0.1", int(wire.url.rsplit(":", 1)[1].split("/")[0])


async def asked(host: str, port: int, *requests: bytes) -> list[bytes]:
    """Send requests in pieces over one connection; what was answered to each, empty if cut."""
    reader, writer = await asyncio.open_connection(host, port)
    answers = []
    for one in requests:
        writer.write(one[:30])
        await writer.drain()
        writer.write(one[30:])
        try:
            answers.append(await asyncio.wait_for(reader.read(1000), 5))
        except ConnectionError:
            answers.append(b"")
    writer.close()
    return answers


@pytest.mark.parametrize(
    "path",
    ["/bybit/v5/order/create", "/binance/fapi/v1/order", "/mexc/api/v1/private/order/create"],
)
async def test_an_order_is_cut_off_before_it_reaches_the_exchange(path: str) -> None:
    async with wired(Act.CUT_BEFORE) as (exchange, wire, host, port):
        assert await asked(host, port, request(path)) == [b""]
        assert exchange.got == b""
        assert wire.injected == {Act.CUT_BEFORE: 1}
        (send,) = wire.sends
        assert (send.venue, send.worker, send.client_order_id, send.passed) == (
            "bybit",
            2,
            NAME,
            False,
        )


@pytest.mark.parametrize(
    ("act", "answer", "killed"),
    [
        (Act.CUT_AFTER, b"", []),
        (Act.KILL_AFTER, b"", [2]),
        (Act.DELAY_REPLY, ANSWER, []),
        (Act.GARBLE, ANSWER[:-7], []),
    ],
)
async def test_an_answer_is_lost_late_or_the_last_thing_a_worker_waits_for(
    act: Act, answer: bytes, killed: list[int]
) -> None:
    async with wired(act) as (exchange, wire, host, port):
        assert await asked(host, port, request("/bybit/v5/order/create")) == [answer]
        assert NAME.encode() in exchange.got
        assert wire.injected == {act: 1}
        assert exchange.killed == killed


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/bybit/v5/order/realtime", "GET"),
        ("/binance/fapi/v1/order/test", "POST"),
        ("/fapi/v1/order", "GET"),
    ],
)
async def test_nothing_but_placing_is_touched(path: str, method: str) -> None:
    async with wired(Act.CUT_BEFORE) as (_, wire, host, port):
        other = request(path, method)
        assert await asked(host, port, other, other) == [ANSWER, ANSWER]
        assert not wire.sends
