"""What our transport reads as an answer, and which connection a request goes out on.

Real sockets on loopback. What is known after a fault is in test_transport_faults.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from providers.transport import PooledTransport, PoolLimits
from tests.unit.providers.helpers import RawServer, http_answer, raw_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from providers.connection import Reply

    Handle = Callable[[RawServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SECONDS = (5.0, 5.0)
ON_BOTH_LOOPS = True  # for they end connections each in its own way


@pytest.fixture
async def transport() -> AsyncIterator[PooledTransport]:
    made = PooledTransport(PoolLimits(4, 30.0), max_bytes=10_000)
    yield made
    await made.aclose()


async def get(transport: PooledTransport, url: str, path: str = "/time") -> Reply:
    return await transport.send("GET", url + path, {}, b"", SECONDS)


def saying(*pieces: bytes, close: bool = False) -> Handle:
    """Answer every request with these bytes, a piece at a time."""

    async def handle(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await server.read_request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if close:
                writer.close()
                return

    return handle


# What is read as an answer.


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"], b"body"),
        ([b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 4\r\n\r", b"\nbo", b"dy"], b"body"),
        (
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n",
                b"1\r\ny\r\n0\r\n\r\n",
            ],
            b"body",
        ),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], b""),
        ([b"HTTP/1.1 204 None\r\n\r\n"], b""),
        (
            [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + http_answer(b"body")],
            b"body",
        ),
    ],
    ids=["whole", "in pieces", "in chunks", "empty", "no content", "hints before"],
)  # fmt: skip
async def test_an_answer_is_read_whole_and_its_connection_is_used_again(
    transport: PooledTransport, said: list[bytes], body: bytes
) -> None:
    async with raw_server(saying(*said)) as server:
        for number in (1, 2, 3):
            answer = await get(transport, server.url)
            assert answer.body == body
            assert "link" not in answer.headers
            assert (server.connections, len(server.requests)) == (1, number)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 502 Bad\r\n\r\nbody",
        b"HTTP/1.0 502 Bad\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 502 Bad\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
    ],
    ids=["ends with the connection", "HTTP/1.0", "says that it closes"],
)
async def test_an_answer_whose_connection_ends_is_an_answer(
    transport: PooledTransport, said: bytes
) -> None:
    async with raw_server(saying(said, close=True)) as server:
        for number in (1, 2):
            answer = await get(transport, server.url)
            assert (answer.status, answer.body) == (502, b"body")
            assert server.connections == number


@pytest.mark.parametrize(
    "more",
    [b"more than was asked for", http_answer(b"another")],
    ids=["no HTTP", "another answer"],
)
async def test_what_comes_after_an_answer_is_nobodys_answer(
    transport: PooledTransport, more: bytes
) -> None:
    async with raw_server(saying(http_answer(b"one") + more)) as server:
        for number in (1, 2):
            assert (await get(transport, server.url)).body == b"one"
            assert server.connections == number


async def test_what_comes_without_a_request_ends_the_connection(
    transport: PooledTransport,
) -> None:
    ended = asyncio.Event()

    async def talk(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        writer.write(http_answer(b"one"))
        await writer.drain()
        if server.connections == 1:
            await goes_on.wait()
            writer.write(http_answer(b"not asked for"))
        try:
            await reader.read()
        finally:
            ended.set()

    goes_on = asyncio.Event()
    async with raw_server(talk) as server:
        assert (await get(transport, server.url)).body == b"one"
        goes_on.set()
        await asyncio.wait_for(ended.wait(), 5)
        assert (await get(transport, server.url)).body == b"one"
        assert server.connections == 2


async def test_a_switch_of_protocols_is_no_answer(transport: PooledTransport) -> None:
    said = b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with raw_server(saying(said)) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await get(transport, server.url)


async def test_a_head_without_end_is_cut_off(transport: PooledTransport) -> None:
    said = [b"HTTP/1.1 200 OK\r\n", *[b"X-More: " + b"x" * 100 + b"\r\n"] * 200]
    async with raw_server(saying(*said)) as server:
        with pytest.raises(httpx.ReadError):
            await get(transport, server.url)


async def test_headers_are_found_by_names_of_any_case(transport: PooledTransport) -> None:
    async with raw_server(saying(http_answer(b"", headers="X-Bapi-LIMIT: 10\r\n"))) as server:
        answer = await get(transport, server.url)
        assert answer.headers["x-bapi-limit"] == answer.headers["X-BAPI-LIMIT"] == "10"


# What is written.


async def test_a_post_without_a_body_says_so(transport: PooledTransport) -> None:
    async with raw_server(saying(http_answer(b""))) as server:
        await transport.send("POST", f"{server.url}/order?a=1", {"Key": "k"}, b"", SECONDS)
        host = server.url.removeprefix("http://")
        assert server.requests[0].decode().split("\r\n") == [
            "POST /order?a=1 HTTP/1.1", f"Host: {host}", "Key: k", "Content-Length: 0", "", "",
        ]  # fmt: skip


async def test_a_url_without_a_path_asks_for_the_root(transport: PooledTransport) -> None:
    async with raw_server(saying(http_answer(b""))) as server:
        for path in ("", "/", "?a=1"):
            await get(transport, server.url, path)
        firsts = [one.split(b"\r\n")[0].decode() for one in server.requests]
        assert firsts == ["GET / HTTP/1.1", "GET / HTTP/1.1", "GET /?a=1 HTTP/1.1"]


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:1/a\r\nX: y", {}),
        ("http://127.0.0.1:1/a", {"Key": "a\r\nX: y"}),
        ("http://127.0.0.1:1/a", {"Key\n": "a"}),
        ("http://127.0.0.1:1/a b", {}),
        ("http://127.0.0.1:1/a#b", {}),
        ("http://127.0.0.1:1/ä", {}),
        ("http://user:secret@127.0.0.1:1/", {}),
        ("http://127.0.0.1:port/", {}),
        ("http:///path", {}),
        ("127.0.0.1:1", {}),
        ("", {}),
    ],
)
async def test_what_http_cannot_carry_is_refused_before_anything_is_sent(
    transport: PooledTransport, url: str, headers: dict[str, str]
) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await transport.send("POST", url, headers, b"", SECONDS)


# The pool.


async def test_requests_at_a_time_have_a_connection_each_and_no_more_than_are_allowed() -> None:
    release, most, now = asyncio.Event(), 0, 0

    async def hold(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal most, now
        while True:
            await server.read_request(reader)
            now += 1
            most = max(most, now)
            await release.wait()
            now -= 1
            writer.write(http_answer(b"{}"))
            await writer.drain()

    transport = PooledTransport(PoolLimits(3, 30.0), max_bytes=10_000)
    async with raw_server(hold) as server:
        asked = [asyncio.create_task(get(transport, server.url)) for _ in range(10)]
        await server.until(lambda state: len(state.requests) == 3)
        release.set()
        assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * 10
        assert (most, server.connections) == (3, 3)
        await transport.aclose()


async def test_a_request_that_is_given_up_takes_its_connection_with_it_and_leaves_its_place() -> (
    None
):
    async def answer_the_second(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        if len(server.requests) > 1:
            writer.write(http_answer(b"second"))
        await reader.read()

    transport = PooledTransport(PoolLimits(1, 30.0), max_bytes=10_000)
    async with raw_server(answer_the_second) as server:
        first = asyncio.create_task(get(transport, server.url))
        await server.until(lambda state: len(state.requests) == 1)
        waiting = asyncio.create_task(get(transport, server.url))
        given_up = asyncio.create_task(get(transport, server.url))
        await asyncio.sleep(0)
        given_up.cancel()
        first.cancel()
        assert (await asyncio.wait_for(waiting, 5)).body == b"second"
        assert first.cancelled()
        assert server.connections == 2
        await transport.aclose()


async def test_a_turn_that_is_given_to_one_who_gives_up_just_then_goes_to_the_next() -> None:
    release = asyncio.Event()

    async def hold(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await server.read_request(reader)
            await release.wait()
            writer.write(http_answer(b"{}"))
            await writer.drain()

    transport = PooledTransport(PoolLimits(1, 30.0), max_bytes=10_000)
    async with raw_server(hold) as server:

        async def ask_first() -> None:
            await get(transport, server.url)
            given_up.cancel()  # it has been woken by now, and has not run yet

        first = asyncio.create_task(ask_first())
        await server.until(lambda state: len(state.requests) == 1)
        given_up = asyncio.create_task(get(transport, server.url))
        next_one = asyncio.create_task(get(transport, server.url))
        await asyncio.sleep(0)  # they stand in line
        release.set()
        await asyncio.gather(first, asyncio.wait_for(next_one, 5))
        assert given_up.cancelled()
        await transport.aclose()


async def test_a_connection_that_was_idle_for_too_long_is_not_used_again() -> None:
    transport = PooledTransport(PoolLimits(4, 0.0), max_bytes=10_000)
    async with raw_server(saying(http_answer(b"{}"))) as server:
        for number in (1, 2):
            assert (await get(transport, server.url)).status == 200
            assert server.connections == number
        await transport.aclose()


async def test_an_idle_connection_makes_room_for_one_to_elsewhere() -> None:
    transport = PooledTransport(PoolLimits(1, 30.0), max_bytes=10_000)
    answering = saying(http_answer(b"{}"))
    async with raw_server(answering) as one, raw_server(answering) as other:
        for server in (one, other, one):
            assert (await get(transport, server.url)).status == 200
        assert (one.connections, other.connections) == (2, 1)
        await transport.aclose()


async def test_nothing_stays_open(transport: PooledTransport) -> None:
    ended = asyncio.Event()

    async def until_the_end(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        writer.write(http_answer(b"{}"))
        await reader.read()
        ended.set()

    async with raw_server(until_the_end) as server:
        await get(transport, server.url)
        await transport.aclose()
        await asyncio.wait_for(ended.wait(), 5)
        assert (await get(transport, server.url)).status == 200  # it can be used again
