"""What is known after a fault on the wire: nothing that may have left is ever called "not sent".

Real sockets on loopback; the servers count the requests they have read. The same cases run over
our transport and httpx's own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from providers.http import MAX_ANSWER_BYTES, Answer, Fault, Http, Timeouts, TransportFault
from providers.transport import PooledTransport, PoolLimits
from tests.unit.providers.helpers import RawServer, http_answer, raw_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

SECRET = "do-not-print"
BODY = b'{"orderLinkId":"tw-0001"}'
HEADERS = {"X-BAPI-SIGN": SECRET, "Content-Type": "application/json"}
ON_BOTH_LOOPS = True  # for they end connections each in its own way


def ours(connections: int) -> PooledTransport:
    return PooledTransport(PoolLimits(connections, 30.0), max_bytes=MAX_ANSWER_BYTES)


def httpx_own(connections: int) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(
        limits=httpx.Limits(max_connections=connections), trust_env=False
    )


@pytest.fixture(params=[ours, httpx_own])
async def connect(
    request: pytest.FixtureRequest,
) -> AsyncIterator[Callable[[float, float, int], Http]]:
    opened: list[Http] = []

    def make(connecting: float = 5.0, answering: float = 5.0, connections: int = 8) -> Http:
        http = Http(Timeouts(connecting, answering), request.param(connections))
        opened.append(http)
        return http

    yield make
    for http in opened:
        await http.aclose()


async def post(http: Http, url: str) -> Answer | TransportFault:
    try:
        return await http.send("POST", f"{url}/v5/order/create?signature={SECRET}", HEADERS, BODY)
    except TransportFault as fault:
        return fault


async def fault_of(http: Http, url: str) -> Fault:
    outcome = await post(http, url)
    assert isinstance(outcome, TransportFault)
    assert SECRET not in f"{outcome} {outcome!r} {outcome.__context__!r} {outcome.__cause__!r}"
    return outcome.fault


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset in place of an orderly end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# After the request was read, whatever happens is unknown.


async def close_after(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read_request(reader)
    writer.close()


async def reset_after(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read_request(reader)
    reset(writer)


async def half_an_answer(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read_request(reader)
    writer.write(http_answer(b"x" * 100)[:-50])
    await writer.drain()
    writer.close()


async def half_a_head(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    await writer.drain()
    writer.close()


async def no_http(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read_request(reader)
    writer.write(b"+OK this is no web server\r\n\r\n")
    await writer.drain()
    writer.close()


async def compressed(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read_request(reader)
    writer.write(http_answer(b"\x1f\x8b", headers="Content-Encoding: gzip\r\n"))
    await writer.drain()


async def too_large(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read_request(reader)
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_ANSWER_BYTES + 1}\r\n\r\n".encode())
    block = b" " * 65536
    for _ in range(MAX_ANSWER_BYTES // len(block) + 1):
        writer.write(block)
        await writer.drain()


async def close_before(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    # Accepted and dropped: the client may have written already, so it can't know.
    del server, reader
    writer.close()


@pytest.mark.parametrize(
    "handle",
    [
        close_after,
        reset_after,
        half_an_answer,
        half_a_head,
        no_http,
        compressed,
        too_large,
        close_before,
    ],
)
async def test_once_connected_a_fault_is_unknown_and_nothing_is_sent_twice(
    connect: Callable[..., Http],
    handle: Callable[[RawServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    async with raw_server(handle) as server:
        assert await fault_of(connect(), server.url) is Fault.UNKNOWN
        assert server.connections == 1
        assert len(server.requests) == (0 if handle is close_before else 1)


async def test_a_dead_kept_alive_connection_is_unknown_and_a_post_is_not_sent_again(
    connect: Callable[..., Http],
) -> None:
    async def answer_once_then_drop(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        writer.write(http_answer(b"{}"))
        await writer.drain()
        await server.read_request(reader)
        writer.close()

    async with raw_server(answer_once_then_drop) as server:
        http = connect()
        assert isinstance(await post(http, server.url), Answer)
        assert await fault_of(http, server.url) is Fault.UNKNOWN
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_kept_alive_connection_closed_while_idle_costs_nothing(
    connect: Callable[..., Http],
) -> None:
    closed = asyncio.Event()

    async def answer_then_close(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        writer.write(http_answer(b"{}"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with raw_server(answer_then_close) as server:
        http = connect()
        for number in (1, 2, 3):
            closed.clear()
            assert isinstance(await post(http, server.url), Answer)
            await asyncio.wait_for(closed.wait(), 5)
            assert (server.connections, len(server.requests)) == (number, number)


async def test_no_answer_in_time_is_unknown(connect: Callable[..., Http]) -> None:
    async def silent(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        del writer
        await server.read_request(reader)
        await reader.read()

    async with raw_server(silent) as server:
        http = connect(answering=0.05)
        assert await fault_of(http, server.url) is Fault.UNKNOWN
        assert len(server.requests) == 1


async def test_an_answer_that_came_while_the_process_stood_still_is_an_answer(
    connect: Callable[..., Http],
) -> None:
    asked, answer_now, answered = threading.Event(), threading.Event(), threading.Event()

    def answer_once(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            asked.set()
            answer_now.wait(10)
            connection.sendall(http_answer(b"{}"))
            answered.set()
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_once, args=(listener,), daemon=True)
        server.start()
        http = connect(answering=0.5)
        asking = asyncio.create_task(post(http, f"http://127.0.0.1:{listener.getsockname()[1]}"))
        assert await asyncio.to_thread(asked.wait, 10)
        answer_now.set()
        assert answered.wait(10)  # and the event loop stands still
        time.sleep(0.6)  # noqa: ASYNC251 - the same
        assert isinstance(await asking, Answer)
        await http.aclose()
        server.join(5)


async def test_an_answer_that_trickles_in_meets_the_deadline(connect: Callable[..., Http]) -> None:
    async def trickle(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        writer.write(http_answer(b"x" * 1000)[:-1000])
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_server(trickle) as server:
        http = connect(connecting=0.1, answering=0.2)
        assert await fault_of(http, server.url) is Fault.UNKNOWN
        assert len(server.requests) == 1


# Before a connection stands, nothing can have been sent.


async def test_a_refused_connection_is_not_sent(connect: Callable[..., Http]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert await fault_of(connect(), f"http://127.0.0.1:{port}") is Fault.NOT_SENT


async def test_a_name_that_does_not_resolve_is_not_sent(connect: Callable[..., Http]) -> None:
    assert await fault_of(connect(), "http://exchange.invalid") is Fault.NOT_SENT


async def test_a_url_that_is_not_http_is_not_sent(connect: Callable[..., Http]) -> None:
    assert await fault_of(connect(), "ftp://127.0.0.1") is Fault.NOT_SENT


async def test_a_refused_tls_handshake_is_not_sent(connect: Callable[..., Http]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # has no certificate to show
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await fault_of(connect(), f"https://127.0.0.1:{port}") is Fault.NOT_SENT


async def test_a_tls_handshake_that_is_dropped_is_not_sent(connect: Callable[..., Http]) -> None:
    async with raw_server(close_before) as server:
        url = server.url.replace("http:", "https:")
        assert await fault_of(connect(), url) is Fault.NOT_SENT


async def test_a_tls_handshake_that_never_ends_is_not_sent(connect: Callable[..., Http]) -> None:
    async def say_nothing(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        del server, writer
        await reader.read()

    async with raw_server(say_nothing) as server:
        url = server.url.replace("http:", "https:")
        assert await fault_of(connect(connecting=0.05), url) is Fault.NOT_SENT


async def test_waiting_in_vain_for_a_free_connection_is_not_sent(
    connect: Callable[..., Http],
) -> None:
    release = asyncio.Event()

    async def hold(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        await release.wait()
        writer.write(http_answer(b"{}"))
        await writer.drain()

    async with raw_server(hold) as server:
        http = connect(connecting=0.05, connections=1)
        first = asyncio.create_task(post(http, server.url))
        await server.until(lambda state: len(state.requests) == 1)
        assert await fault_of(http, server.url) is Fault.NOT_SENT
        release.set()
        assert isinstance(await first, Answer)
        assert len(server.requests) == 1


# What arrives.


async def test_the_bytes_and_the_url_arrive_as_given(connect: Callable[..., Http]) -> None:
    async def answer(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        writer.write(http_answer(b'{"retCode":0}', "503 Busy", "Retry-After: 7\r\n"))
        await writer.drain()

    async with raw_server(answer) as server:
        url = f"{server.url}/v5/order/history?cursor=page%3A2%2C3%3D&b=1&a=2"
        got = await connect().send("GET", url, HEADERS)
        assert (got.status, got.body) == (503, b'{"retCode":0}')
        assert got.headers["retry-after"] == "7"
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"GET /v5/order/history?cursor=page%3A2%2C3%3D&b=1&a=2 HTTP/1.1"
        names = {line.split(b":")[0].lower() for line in lines[1:]}
        assert names <= {
            b"host",
            b"x-bapi-sign",
            b"content-type",
            b"accept-encoding",
            b"connection",
        }
        assert body == b""


async def test_a_post_arrives_byte_for_byte(connect: Callable[..., Http]) -> None:
    async def answer(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        writer.write(http_answer(b"{}"))
        await writer.drain()

    async with raw_server(answer) as server:
        assert isinstance(await post(connect(), server.url), Answer)
        assert server.requests[0].endswith(b"\r\n\r\n" + BODY)


async def test_a_redirect_is_an_answer_and_is_not_followed(connect: Callable[..., Http]) -> None:
    async def elsewhere(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await server.read_request(reader)
        writer.write(http_answer(b"", "307 Elsewhere", f"Location: {server.url}/again\r\n"))
        await writer.drain()

    async with raw_server(elsewhere) as server:
        outcome = await post(connect(), server.url)
        assert isinstance(outcome, Answer)
        assert outcome.status == 307
        assert len(server.requests) == 1
