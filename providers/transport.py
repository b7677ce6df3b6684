"""The default way onto the wire: through aiohttp.

It keeps the meaning of httpx's exceptions, on which `providers.http` builds: `ConnectError`,
`ConnectTimeout` and `PoolTimeout` are raised only where no byte of the request can have been
written. aiohttp draws that line itself: `ClientConnectorError` (refused, unreachable, DNS, TLS)
and `ConnectionTimeoutError` come from getting a connection, everything else may come after the
request has left. aiohttp sends idempotent methods once more when a kept-alive connection turns
out to be dead; POST is not one of them, and a test holds it to that.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import aiohttp
import httpx
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Mapping

# aiohttp adds these by itself; only what the caller gave is sent.
_NO_AUTOMATIC_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_DNS_CACHE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections there may be, and how long an idle one is kept, in seconds."""

    connections: int
    idle_seconds: float


class AiohttpTransport:
    """Sends one request over a pool of kept-alive HTTP/1.1 connections.

    No redirects, no cookies, no proxies, nothing from the environment. Answers are read whole,
    up to `max_bytes` as they come over the wire.
    """

    def __init__(self, limits: PoolLimits, *, max_bytes: int) -> None:
        self._limits = limits
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        timeouts: tuple[float | None, float | None],
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send exactly this once; returns status, headers (of any case) and the whole body.

        Args:
            method: of the request.
            url: percent-encoded.
            headers: all there are, but for the host and the length.
            content: the body.
            timeouts: seconds to get a connection, and to wait for the answer.

        Raises:
            httpx.TransportError: see the module for which kind tells what.
        """
        session = self._session
        if session is None:
            session = self._session = self._open()
        failure: httpx.TransportError
        try:
            return await self._exchange(session, method, url, headers, content, timeouts)
        except aiohttp.ConnectionTimeoutError:
            failure = httpx.ConnectTimeout("no connection in time")
        except aiohttp.ClientConnectorError as error:
            failure = httpx.ConnectError(_reason(error))
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            failure = httpx.UnsupportedProtocol("the URL is not one that HTTP can reach")
        except (aiohttp.ServerTimeoutError, TimeoutError):
            failure = httpx.ReadTimeout("no answer in time")
        except aiohttp.ServerDisconnectedError:
            failure = httpx.RemoteProtocolError("the connection was closed before an answer")
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            failure = httpx.ReadError(type(error).__name__)
        # Raised out here so that aiohttp's exception, whose text holds the whole URL and with it
        # a signature, does not stay attached as context.
        raise failure

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        timeouts: tuple[float | None, float | None],
    ) -> tuple[int, Mapping[str, str], bytes]:
        async with session.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            data=content or None,
            allow_redirects=False,
            timeout=_timeout(*timeouts),
        ) as answer:
            chunks: list[bytes] = []
            size = 0
            async for chunk in answer.content.iter_any():
                size += len(chunk)
                if size > self._max_bytes:
                    raise aiohttp.ClientPayloadError
                chunks.append(chunk)
            return answer.status, answer.headers, b"".join(chunks)

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._limits.connections,
            keepalive_timeout=self._limits.idle_seconds,
            ttl_dns_cache=_DNS_CACHE_SECONDS,
            ssl=_trusted(),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NO_AUTOMATIC_HEADERS,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            # Lets the transports' own close callbacks run, so that nothing is left unclosed.
            await asyncio.sleep(0)


@cache
def _timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    """Waiting for a free connection, then opening one, then the answer."""
    return aiohttp.ClientTimeout(connect=connect, sock_connect=connect, sock_read=read)


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that are trusted: read once, because it takes longer than an order."""
    return httpx.create_ssl_context(trust_env=False)


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """Why connecting failed, in words that hold no URL."""
    return error.os_error.strerror or type(error.os_error).__name__
