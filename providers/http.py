"""The one seam to the network: send given bytes once, and say what is known if no answer came.

Signing, retrying and reading what an answer means are done elsewhere. A transport is ours or any
`httpx.AsyncBaseTransport`, and is called directly: `httpx.AsyncClient` would add redirects,
cookies, environment proxies, a log line with the whole URL, and time. Ours does without httpx's
requests and responses as well, which take as long to make as the rest of a request.

A transport must keep the meaning of httpx's exceptions: "connect" and "pool" errors only where
no byte of the request was written. (httpx-aiohttp 0.2 does not: a connection dropped after the
request was sent comes out of it as `ConnectTimeout`.)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import httpx

from providers.calls import make_redactor
from providers.transport import PooledTransport, PoolLimits
from providers.values import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.settings import ExchangeSettings

MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a full list of instruments is about one
IDLE_SECONDS = 30.0
# No compression is offered; unpacking some all the same could cost any amount of memory.
_COMPRESSED = "CompressedAnswer"

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)


class Fault(StrEnum):
    """What is known about a request that got no answer."""

    NOT_SENT = "NOT_SENT"  # no byte left, for certain
    UNKNOWN = "UNKNOWN"  # some may have; the exchange may have acted on it


class TransportFault(Exception):  # noqa: N818 - a value more than an error; see `Fault`
    """No answer. Holds the fault and the name of the error behind it, and nothing of the request.

    Attributes:
        fault: what is known.
        name: the class name of the error behind it, such as `ReadTimeout`.
    """

    def __init__(self, fault: Fault, name: str, reason: str = "") -> None:
        self.fault = fault
        self.name = name
        super().__init__(f"{name}: {reason}" if reason else name)


@value(frozen=True, slots=True)
class Answer:
    """What came back: a status, headers, and the whole body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # names of any case find them
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to get a connection, and to wait for an answer."""

    connect: float
    answer: float


class Http:
    """Sends requests through one transport, with deadlines.

    Args:
        timeouts: how long connecting and answering may take.
        transport: where the bytes go; the caller keeps no other use of it.
    """

    def __init__(
        self, timeouts: Timeouts, transport: PooledTransport | httpx.AsyncBaseTransport
    ) -> None:
        self._transport = transport
        self._redact = make_redactor()
        self._deadline = timeouts.connect + timeouts.answer
        self._seconds = (timeouts.connect, timeouts.answer)
        self._extensions = {
            "timeout": {
                "connect": timeouts.connect,
                "pool": timeouts.connect,
                "read": timeouts.answer,
                "write": timeouts.answer,
            }
        }

    def hide(self, *secrets: str) -> None:
        """Take these out of the body of every answer, before anybody reads it."""
        self._redact = make_redactor(*secrets)

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes = b"",
    ) -> Answer:
        """Send exactly these bytes to exactly this URL, once, and read the whole answer.

        Raises:
            TransportFault: no answer came; its `fault` says whether anything can have been sent.
        """
        offered = {**headers, "Accept-Encoding": "identity"}
        fault: TransportFault
        try:
            if isinstance(self._transport, PooledTransport):
                return await self._send(self._transport, method, url, offered, content)
            request = httpx.Request(
                method, url, headers=offered, content=content, extensions=self._extensions
            )
            # The transport's own time-outs come first; this one also ends an answer that
            # trickles in byte by byte. (Ours keeps such a deadline itself.)
            async with asyncio.timeout(self._deadline):
                return await self._send_request(self._transport, request)
        except _NOT_SENT as error:
            reason = str(error)
            fault = TransportFault(
                Fault.NOT_SENT, type(error).__name__, "" if "://" in reason else reason
            )
        except TransportFault as error:
            fault = error
        except Exception as error:  # noqa: BLE001 - whatever it is, bytes may have left
            fault = TransportFault(Fault.UNKNOWN, type(error).__name__)
        # Raised out here so that the error, and the URL it may hold, is not kept as context.
        raise fault

    async def _send(
        self,
        transport: PooledTransport,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
    ) -> Answer:
        status, answered, body = await transport.send(method, url, headers, content, self._seconds)
        if "content-encoding" in answered:
            raise TransportFault(Fault.UNKNOWN, _COMPRESSED)
        return Answer(status, answered, self._redact(body))

    async def _send_request(
        self, transport: httpx.AsyncBaseTransport, request: httpx.Request
    ) -> Answer:
        response = await transport.handle_async_request(request)
        try:
            body = await _body(response)
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, self._redact(body))

    async def aclose(self) -> None:
        """Close the transport's connections."""
        await self._transport.aclose()


async def _body(response: httpx.Response) -> bytes:
    """The whole body, up to a limit."""
    if response.is_stream_consumed:  # a transport that answers from memory
        return response.content
    if "content-encoding" in response.headers:
        raise TransportFault(Fault.UNKNOWN, _COMPRESSED)
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise TransportFault(Fault.UNKNOWN, "AnswerTooLarge")
        chunks.append(chunk)
    return b"".join(chunks)


def make_http(settings: ExchangeSettings, transport: httpx.AsyncBaseTransport | None) -> Http:
    """Build the seam from the settings; a transport given here takes the default's place."""
    return Http(
        Timeouts(settings.exchange_connect_timeout, settings.exchange_request_timeout),
        transport
        or PooledTransport(
            PoolLimits(settings.exchange_max_connections, IDLE_SECONDS),
            max_bytes=MAX_ANSWER_BYTES,
        ),
    )
