"""WebSockets of the sandbox: reading and writing, nothing decided.

Sends go through a queue and a task of their own, so that telling one client waits for no other.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from aiohttp import WSMsgType, web

from providers.sandbox.streams import Ask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from providers.sandbox.sandbox import Sandbox
    from providers.sandbox.streams import Frame, Session
    from providers.sandbox.wire import Facade, Inbound, Reply

    CarryOut = Callable[[Facade, Inbound], Awaitable[Reply | None]]

_LARGEST: Final = 1 << 20


class Socket:
    """One client's WebSocket; a `Line` of the streams."""

    def __init__(self, socket: web.WebSocketResponse, request: web.BaseRequest) -> None:
        self._socket = socket
        self._request = request
        self._texts: asyncio.Queue[bytes | None] = asyncio.Queue()

    def send(self, body: bytes, after_ms: int = 0) -> None:
        """Send a text, now or later."""
        if after_ms:
            loop = asyncio.get_running_loop()
            loop.call_later(after_ms / 1000, self._texts.put_nowait, body)
        else:
            self._texts.put_nowait(body)

    def cut(self) -> None:
        """Break the connection after what was said before, without a closing handshake."""
        self._texts.put_nowait(None)

    async def write(self) -> None:
        """Send what is to be sent, until cut."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            while (text := await self._texts.get()) is not None:
                await self._socket.send_str(text.decode())
        if self._request.transport is not None:
            self._request.transport.abort()


async def serve(
    request: web.BaseRequest,
    sandbox: Sandbox,
    facade: Facade,
    inbound: Inbound,
    session: Session,
    carry_out: CarryOut,
) -> web.StreamResponse:
    """Talk to one client until it or the sandbox ends it.

    Args:
        request: the handshake.
        sandbox: whose streams it joins.
        facade: the venue's side.
        inbound: the handshake as the venue reads it.
        session: what the venue makes of it.
        carry_out: serves a request that came over the socket; None cuts the connection.
    """
    socket = web.WebSocketResponse(max_msg_size=_LARGEST)
    await socket.prepare(request)
    line = Socket(socket, request)
    writer = asyncio.create_task(line.write(), name="sandbox-stream-writer")
    sandbox.streams.join(facade.venue, inbound.path, session, line, sandbox.clock.now_ms())
    try:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            for answer in session.received(message.data, sandbox.clock.now_ms()):
                frame: Frame | None
                if isinstance(answer, Ask):
                    reply = await carry_out(facade, answer.inbound)
                    frame = None if reply is None else answer.answer(reply)
                else:
                    frame = answer
                if frame is None:
                    line.cut()
                    break
                sandbox.streams.answer(line, frame, sandbox.clock.now_ms())
    finally:
        sandbox.streams.leave(line)
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer
    return socket
