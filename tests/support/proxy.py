"""A TCP proxy that can cut its connections, refuse new ones, or fall silent."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    End = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_HOST = "127.0.0.1"


class Proxy:
    """Stands between a client and a server of this machine; `url` is the server's, through it.

    Args:
        url: of the server.
        delay: seconds that everything takes longer, each way.
    """

    def __init__(self, url: str, *, delay: float = 0.0) -> None:
        self._delay = delay
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._url = url
        self._target = (parts.hostname, parts.port)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self.cuts = 0
        self.refused = 0

    @property
    def url(self) -> str:
        """The server's URL with our port."""
        parts = urlsplit(self._url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}{_HOST}:{self._port}"))

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._writers) // 2

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, _HOST, 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End every connection at once, without a goodbye."""
        self.cuts += bool(self._writers)
        for writer in tuple(self._writers):
            writer.transport.abort()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Cut what there is, and end every new connection as soon as it is made."""
        self._refusing = True
        self.cut()
        try:
            yield
        finally:
            self._refusing = False

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Take connections and bytes, but pass nothing on; then go on as if nothing had been."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            self.refused += 1
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            await self._flowing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(far_writer)
        try:
            await self._carry((reader, writer), (far_reader, far_writer))
        finally:
            for one in (writer, far_writer):
                self._writers.discard(one)
                one.transport.abort()

    def listener(self) -> Callable[[bytes], None]:
        """Make what is told of the bytes that the client of one connection sends."""
        return lambda _: None

    async def _carry(self, near: End, far: End) -> None:
        """Carry one connection's bytes, both ways, to its end."""
        await asyncio.gather(
            self._pass(near[0], far[1], self.listener()),
            self._pass(far[0], near[1], lambda _: None),
        )

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        told: Callable[[bytes], None],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                told(data)
                await asyncio.sleep(self._delay)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
