"""One kept-alive HTTP/1.1 connection to an exchange: a request goes out, then its answer comes in.

An answer is read whole by llhttp, without a task or a stream of its own: what is left of a request
is the time that its bytes take.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FINAL = 200  # statuses below are said before the answer
_WITHOUT_BODY = (204, 304)


class Reply(NamedTuple):
    """An answer as it came: status, headers (names of any case find them), and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """Carries one request at a time.

    Args:
        max_bytes: the most that an answer may take on the wire.
        lost: called once, when the connection is gone.
    """

    def __init__(self, max_bytes: int, lost: Callable[[Connection], None]) -> None:
        self.idle_since = 0.0  # by the loop's clock; kept here for the pool
        self._max_bytes = max_bytes
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._reply: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expires = self._timer_at = 0.0
        self._kept_alive = True
        self._begin()

    def _begin(self) -> None:
        self._size = 0
        self._has_head = self._whole = False
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []

    # For the pool.

    @property
    def usable(self) -> bool:
        """True if another request can go out on it."""
        return (
            self._kept_alive
            and self._reply is None
            and self._transport is not None
            and not self._transport.is_closing()
        )

    def ask(self, request: bytes, silence: float, deadline: float) -> asyncio.Future[Reply]:
        """Write a whole request; the future has its answer, or what went wrong.

        Bytes may have left as soon as this returns. The connection must be usable.

        Args:
            request: its bytes.
            silence: most seconds in which nothing comes.
            deadline: when the answer must be whole, by the loop's clock.
        """
        if self._transport is None or not self.usable:
            raise RuntimeError("this connection is not usable")
        self._begin()
        self._silence, self._deadline = silence, deadline
        self._reply = self._loop.create_future()
        self._wait_on()
        self._transport.write(request)
        return self._reply

    def leave(self) -> None:
        """Say that nobody waits for the answer any more; what has not ended is cut off."""
        if self._reply is not None:
            self._end(None)
            self.abort()

    def close(self) -> None:
        """Close in an orderly way."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read what has come of an answer."""
        if self._reply is None:  # nobody asked
            self.abort()
            return
        self._size += len(data)
        if self._size > self._max_bytes:
            self._fail(httpx.ReadError("the answer is too large"))
            return
        understood = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            understood = self._kept_alive = False
        if self._whole:
            self._answer()
        elif understood:
            self._wait_on()
        else:
            self._fail(httpx.RemoteProtocolError("the answer is not HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Say what that means for the answer."""
        self._kept_alive = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reply is not None:
            if exc is None and self._ends_with_connection():
                self._answer()
            elif isinstance(exc, OSError):
                self._fail(httpx.ReadError(type(exc).__name__))
            else:
                self._fail(httpx.RemoteProtocolError("the connection was closed before an answer"))
        self._lost(self)

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Notice that more comes than was asked for."""
        if self._whole:
            self._kept_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        if not self._whole:
            self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Keep the status."""
        if not self._whole:
            self._status = self._parser.get_status_code()
            self._has_head = True

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if not self._whole:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Notice the end of an answer."""
        if self._whole:
            return
        if self._status < _FINAL:
            self._headers, self._body, self._has_head = [], [], False
            return
        self._whole = True
        self._kept_alive = self._kept_alive and self._parser.should_keep_alive()

    # The end of an answer.

    def _ends_with_connection(self) -> bool:
        """True if there is an answer that says of itself no other end."""
        names = {name.lower() for name, _ in self._headers}
        return (
            self._has_head
            and self._status not in _WITHOUT_BODY
            and not names & {"content-length", "transfer-encoding"}
        )

    def _answer(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._end(Reply(self._status, CIMultiDict(self._headers), body))
        if not self._kept_alive:
            self.abort()

    def _fail(self, error: httpx.TransportError) -> None:
        self._kept_alive = False
        self._end(error)
        self.abort()

    def _end(self, outcome: Reply | httpx.TransportError | None) -> None:
        reply, self._reply = self._reply, None
        if reply is None or reply.done():
            return
        if outcome is None:
            reply.cancel()
        elif isinstance(outcome, Reply):
            reply.set_result(outcome)
        else:
            reply.set_exception(outcome)

    def _wait_on(self) -> None:
        """Begin to wait for more, for as long as that may take.

        The timer of an earlier wait is left to ring, for it rings no later, and then goes on: one
        for each request would take as long to set and to take back as reading the answer.
        """
        self._expires = min(self._loop.time() + self._silence, self._deadline)
        if self._timer is None or self._timer_at > self._expires:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._expires
        self._timer = self._loop.call_at(self._timer_at, self._rings)

    def _rings(self) -> None:
        self._timer = None
        if self._reply is None:
            return
        if self._loop.time() < self._expires:
            self._set_timer()
        else:
            self._fail(httpx.ReadTimeout("no answer in time"))
