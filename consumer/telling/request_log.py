"""An ASGI middleware that notes every request to the REST API in the system log.

Of a request it notes what can hold no secret: the path, the names of the query's parameters, a few
harmless headers. Never a key, a cookie, a token, a parameter's value, or a body.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from consumer.telling.system_log import SystemLog

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADERS = {
    b"content-length": "content_length",
    b"content-type": "content_type",
    b"prefer": "prefer",
    b"user-agent": "user_agent",
    b"x-request-id": "request_id",
}
_LONGEST = 200  # characters of one value


class RequestLog:
    """Wraps an ASGI application.

    Args:
        app: the application.
        log: where lines go.
    """

    def __init__(self, app: App, log: SystemLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and note HTTP requests with how they ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status: int | None = None  # if it stays so, the application failed before it answered

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._log.note(api_request(scope, status, time.monotonic() - began))


def api_request(scope: Scope, status: int | None, seconds: float) -> dict[str, object]:
    """Make the line of a request. Pure."""
    line: dict[str, object] = {
        "type": "api_request",
        "method": scope["method"],
        "path": scope["path"][:_LONGEST],
        "status": status,
        "ms": round(seconds * 1000, 3),
    }
    query = scope.get("query_string", b"").decode("latin-1")
    if query:
        line["query"] = sorted({name[:_LONGEST] for name, _ in parse_qsl(query, True)})
    client = scope.get("client")
    if client:
        line["client"] = client[0]
    for name, value in scope.get("headers", ()):
        if name.lower() in _HEADERS:
            line[_HEADERS[name.lower()]] = value.decode("latin-1")[:_LONGEST]
    return line
