"""PostgreSQL as a private server: own data folder and port, on loopback only, no Unix socket.

PostgreSQL refuses to run as root, so root starts it as another user (`postgres`, else `nobody`).
That user must be able to reach the data; where the checkout lies out of its reach, the data goes to
the system's temporary folder, and a file beside the log remembers where.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local_processes import (
    LOOPBACK,
    Account,
    LocalServiceError,
    plain_environ,
    receive_exactly,
    unprivileged_account,
)
from deploy.local_server import PASSWORD, USER, PrivateServer, Setting

if TYPE_CHECKING:
    from collections.abc import Callable

DATABASE = "trade"
PROGRAM_PLACES = "usr/lib/postgresql/*/bin"
TOOL_SECONDS = 60.0
ANSWER_SECONDS = 5.0
PROTOCOL_VERSION = 3 << 16  # PostgreSQL frontend/backend protocol 3.0
ELSEWHERE = "elsewhere"
TEMPORARY_PREFIX = "trade-worker-postgres-"


def find() -> Callable[[Setting], PrivateServer] | None:
    """How to build a private server with the newest programs installed, or None without any."""
    folders = sorted(Path("/").glob(PROGRAM_PLACES), key=_version, reverse=True)
    if on_path := shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        if all((folder / program).exists() for program in ("postgres", "initdb")):
            return partial(Postgres, programs=folder)
    return None


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", folder.parent.name))


def accepts_queries(port: int) -> bool:
    """Whether the server on this loopback port lets our user into our database.

    Raises:
        OSError: not reachable, or not answering in time.
    """
    words = ("user", USER, "database", DATABASE)
    payload = struct.pack(">I", PROTOCOL_VERSION) + b"".join(
        word.encode() + b"\0" for word in words
    )
    with socket.create_connection((LOOPBACK, port), timeout=ANSWER_SECONDS) as connection:
        connection.sendall(struct.pack(">I", len(payload) + 5) + payload + b"\0")
        while True:
            kind, size = struct.unpack(">cI", receive_exactly(connection, 5))
            receive_exactly(connection, size - 4)
            if kind in (b"Z", b"E"):  # ready for a query, or an error such as "starting up"
                return bool(kind == b"Z")


def remove_elsewhere(folder: Path) -> None:
    """Remove the data that this server keeps in the system's temporary folder, if it does."""
    note = folder / ELSEWHERE
    if note.exists():
        place = Path(note.read_text(encoding="utf-8").strip())
        if place.name.startswith(TEMPORARY_PREFIX):
            shutil.rmtree(place, ignore_errors=True)
        note.unlink()


class Postgres(PrivateServer):
    """A private PostgreSQL server with one database, open to local connections of one user."""

    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": clients are disconnected, then everything is written

    def __init__(self, setting: Setting, programs: Path) -> None:
        super().__init__(setting)
        self._programs = programs
        self._account = unprivileged_account()
        self._data = Path()

    @property
    def url(self) -> str:
        """`postgresql://` URL of the database."""
        return f"postgresql://{USER}:{PASSWORD}@{self.address}/{DATABASE}"

    def launch(self) -> None:
        """Make the database unless it is there, and start the server."""
        self._data = self._place() / "data"
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        _drop_stale_lock(self._data)
        durable = "off" if self.setting.fast else "on"
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.ports[0]),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": durable,
            "synchronous_commit": durable,
            "full_page_writes": durable,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.run(
            [self._programs / "postgres", "-D", self._data, *options],
            account=self._account,
            folder=self._data,
        )

    def is_ready(self) -> bool:
        """Whether it lets our user into our database."""
        return accepts_queries(self.ports[0])

    def _place(self) -> Path:
        """The folder for the data, which the server's user can reach."""
        folder = self.setting.folder
        note = folder / ELSEWHERE
        if note.exists():
            place = Path(note.read_text(encoding="utf-8").strip())
            if place.is_dir():
                return place
        if self._account is None or _can_reach(folder, self._account):
            place = folder / "database"
            place.mkdir(mode=0o700, exist_ok=True)
        else:
            place = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))
            note.write_text(f"{place}\n", encoding="utf-8")
        if self._account is not None:
            os.chown(place, self._account.uid, self._account.gid)
        return place

    def _initialise(self) -> None:
        """Make the data folder in one step, so that an interrupted attempt never counts as one."""
        unfinished = self._data.with_name("unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(self._data, ignore_errors=True)
        self._tool(
            [
                self._programs / "initdb",
                *("--pgdata", unfinished),
                *("--username", USER),
                *("--auth", "trust"),
                *("--encoding", "UTF8"),
                "--no-locale",
                "--no-sync",  # it guards the making, not what is written later
            ]
        )
        self._tool(
            [self._programs / "postgres", "--single", "-D", unfinished, "template1"],
            f"CREATE DATABASE {DATABASE};\n",
        )
        unfinished.rename(self._data)

    def _tool(self, command: list[str | Path], text: str = "") -> None:
        """Run one of PostgreSQL's tools to its end."""
        with self.log.open("ab") as output:
            try:
                subprocess.run(
                    [str(part) for part in command],
                    input=text.encode(),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._data.parent,
                    env=plain_environ(),
                    timeout=TOOL_SECONDS,
                    check=True,
                    user=self._account.uid if self._account else None,
                    group=self._account.gid if self._account else None,
                    extra_groups=[] if self._account else None,
                )
            except subprocess.SubprocessError as error:
                raise LocalServiceError(f"{command[0]} failed: {error}") from error


def _drop_stale_lock(data: Path) -> None:
    """Remove the lock file of a killed server, even if its number now belongs to something else.

    PostgreSQL itself would refuse to start, which happens in containers, where numbers repeat after
    each restart.
    """
    lock = data / "postmaster.pid"
    with contextlib.suppress(OSError, IndexError):
        pid = lock.read_text(encoding="utf-8").split()[0]
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/cwd").readlink() == data.resolve():
                return
        lock.unlink()


def _can_reach(folder: Path, account: Account) -> bool:
    """Whether this user can get into the folder; asked of the kernel, as that user."""
    asked = subprocess.run(
        ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=[],
    )
    return asked.returncode == 0
