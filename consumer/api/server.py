"""Serving the API beside the worker: uvicorn without its own signals, logs and banners."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from consumer.errors import CannotListen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consumer.settings import Settings

_log = structlog.get_logger(__name__)
_IDLE = 30  # seconds that an idle connection is kept


class _Server(uvicorn.Server):
    """Signals are the worker's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class ApiServer:
    """Serves until it is told to stop; then what is in flight is finished first."""

    def __init__(self, app: Any, settings: Settings, port: int) -> None:  # noqa: ANN401 - an ASGI application
        self._server = _Server(
            uvicorn.Config(
                app,
                host=settings.api_host,
                port=port,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                http="h11",  # httptools would answer for us where it does not know a method
                ws="none",
                timeout_keep_alive=_IDLE,
                timeout_graceful_shutdown=round(settings.drain_timeout),
            )
        )
        self._host = settings.api_host
        self._port = port
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; raises `CannotListen` if the address can't be had."""
        try:
            sockets = [_bind(self._host, self._port)]
        except OSError as error:
            raise CannotListen(f"{self._host}:{self._port}: {error.strerror}") from error
        self._serving = asyncio.create_task(self._server.serve(sockets), name="api")
        _log.info("api listens", host=self._host, port=sockets[0].getsockname()[1])

    async def aclose(self) -> None:
        """Take no more, finish what is in flight."""
        self._server.should_exit = True
        if self._serving is not None:
            await asyncio.gather(self._serving, return_exceptions=True)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(512)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made
