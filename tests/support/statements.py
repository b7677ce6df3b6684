"""What a worker asks PostgreSQL for, counted on the wire: no hook in the worker, nothing missed."""

from __future__ import annotations

import struct
from collections import Counter
from importlib import resources
from typing import TYPE_CHECKING

from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

_START_UP = 3 << 16  # the code of a start-up message, protocol 3.0
_HEAD = struct.Struct("!cI")
_SHOWN = 60  # characters of a statement that has no file


class Statements(Proxy):
    """Stands before PostgreSQL and counts.

    Attributes:
        ran: how often each statement ran, by the name of its file in `storage/sql`, or its text.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        folder = resources.files("storage").joinpath("sql")
        self._names = {
            entry.read_text(encoding="utf-8"): entry.name.removesuffix(".sql")
            for entry in folder.iterdir()
        }
        self.ran: Counter[str] = Counter()

    def listener(self) -> Callable[[bytes], None]:
        """Make a reader of one connection's messages."""
        return _Messages(self._count).feed

    def _count(self, text: str) -> None:
        name = self._names.get(text) or " ".join(text.split())[:_SHOWN]
        self.ran[name.rstrip(";")] += 1


class _Messages:
    """Reads what one client sends, message by message (PostgreSQL docs, "Message Formats")."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._buffer = b""
        self._started = False
        self._texts: dict[bytes, str] = {}  # by the name of a prepared statement
        self._bound: dict[bytes, bytes] = {}  # statements by portal

    def feed(self, data: bytes) -> None:
        """Take some bytes; messages may be cut anywhere."""
        self._buffer += data
        while self._started or self._starts():
            if len(self._buffer) < _HEAD.size:
                return
            kind, length = _HEAD.unpack_from(self._buffer)
            if len(self._buffer) < length + 1:
                return
            body, self._buffer = self._buffer[5 : length + 1], self._buffer[length + 1 :]
            self._read(kind, body)

    def _starts(self) -> bool:
        """Pass over what comes before the first message that says what kind it is."""
        while len(self._buffer) >= 8:
            length, code = struct.unpack_from("!II", self._buffer)
            if len(self._buffer) < length:
                break
            self._buffer = self._buffer[length:]
            if code == _START_UP:
                self._started = True
                break
        return self._started

    def _read(self, kind: bytes, body: bytes) -> None:
        match kind:
            case b"P":  # Parse
                name, text, _ = body.split(b"\0", 2)
                self._texts[name] = text.decode()
            case b"B":  # Bind
                portal, name, _ = body.split(b"\0", 2)
                self._bound[portal] = name
            case b"E":  # Execute
                self._tell(self._texts[self._bound[body.split(b"\0", 1)[0]]])
            case b"Q":  # a query without parameters
                self._tell(body.rstrip(b"\0").decode())
