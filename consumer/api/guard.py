"""What every request passes before a route sees it: size, time, methods, the last resort. ASGI.

A body is counted while it comes, so one without a length is held to the same limit. A HEAD is
served as a GET without its body. Whatever a route did not foresee is logged here, and answered with
one sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import structlog
from starlette.routing import Match

from consumer.api.errors import ApiError, answer, failure, unforeseen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from fastapi import FastAPI
    from starlette.routing import BaseRoute

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_log = structlog.get_logger(__name__)
_BODY_SECONDS = 10.0  # for a body to arrive
_DISCARD_MOST = 4 * 1024 * 1024  # bytes of a body that is too large anyway
_DISCARD_SECONDS = 2.0


class Guard:
    """Wraps the application.

    Args:
        app: the application.
        routes: its routes, which know the methods of a path.
        most: largest body, in bytes.
        seconds: longest time of one request.
    """

    def __init__(
        self, app: FastAPI, routes: Sequence[BaseRoute], most: int, seconds: float
    ) -> None:
        self._app = app
        self._routes = routes
        self._most = most
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = ended = False

        async def sending(message: Message) -> None:
            nonlocal begun, ended
            if message["type"] == "http.response.start":
                begun = True
                if message["status"] == 405:
                    allow = ", ".join(allowed(self._routes, scope)).encode()
                    kept = [(k, v) for k, v in message["headers"] if k.lower() != b"allow"]
                    message["headers"] = [*kept, (b"allow", allow)]
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)
            await send(message)

        try:
            await self._serve(scope, receive, sending)
        except Exception as error:
            if not begun and isinstance(error, ApiError):
                await failure(error)(scope, receive, sending)
                return
            _log.exception("request failed", method=scope["method"], path=scope["path"][:200])
            if not begun:
                await failure(unforeseen())(scope, receive, sending)
            elif not ended:
                raise  # half an answer must not look like a whole one

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            methods = allowed(self._routes, scope)
            if not methods:
                raise ApiError(404, "there is no such path")
            await answer(200, {"allow": methods}, {"Allow": ", ".join(methods)})(
                scope, receive, send
            )
            return
        if scope["method"] == "HEAD" and "GET" in allowed(self._routes, scope):
            scope = {**scope, "method": "GET"}
            original = send

            async def without_body(message: Message) -> None:
                if message["type"] == "http.response.body":
                    message = {**message, "body": b""}
                await original(message)

            send = without_body
        body = await self._read(scope, receive)
        given = False

        async def replay() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        try:
            async with asyncio.timeout(self._seconds):
                await self._app(scope, replay, send)
        except TimeoutError:
            raise ApiError(
                503, "it took too long; the same request may be sent again", retry_after=1
            ) from None

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        headers = {name.lower(): value for name, value in scope["headers"]}
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._most:
            raise await self._too_large(receive)
        chunks: list[bytes] = []
        size = 0
        within = min(_BODY_SECONDS, self._seconds)
        try:
            async with asyncio.timeout(within):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self._most:
                        raise await self._too_large(receive)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise ApiError(408, f"the body did not arrive within {within:g} s") from None
        return b"".join(chunks)

    async def _too_large(self, receive: Receive) -> ApiError:
        """Read on a little: who is still sending when the connection ends sees no answer."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while size < _DISCARD_MOST:
                    message = await receive()
                    size += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break
        return ApiError(413, f"the body is too large; at most {self._most} bytes are accepted")


def allowed(routes: Sequence[BaseRoute], scope: Scope) -> list[str]:
    """List the methods that a path takes; none if there is no such path."""
    methods: set[str] = set()
    for route in routes:
        match, _ = route.matches({**scope, "method": "GET"})
        if match is not Match.NONE:
            methods |= set(getattr(route, "methods", None) or ())
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods | {"OPTIONS"}) if methods else []
