"""Processes, ports and waits: what every privately started server needs.

A process is known by its number *and* its start time, so that a number the kernel has given to
somebody else's process is never signalled. Nothing here knows which server it starts.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.05
TAIL_LINES = 15
KILL_SECONDS = 10.0
# Below the range from which the kernel takes the near end of outgoing connections (32768 and up on
# Linux): a client that keeps reconnecting to a stopped server on such a port could end up connected
# to itself.
PORT_RANGE = range(20_000, 32_000)
TCP_LISTEN = "0A"  # a state in /proc/net/tcp


class LocalServiceError(RuntimeError):
    """A local service is missing, did not start, or did not stop; the message says what to do."""


class StartCancelledError(LocalServiceError):
    """Starting was broken off (Ctrl-C, or another service of the same instance failed)."""


class PortTakenError(LocalServiceError):
    """Another program took a port between our choosing it and the server binding it."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its number, and its start time as the kernel tells it.

    Attributes:
        pid: process number.
        started: boot id and clock ticks since boot, opaque; equal only for the very same process.
    """

    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class Account:
    """A user account that a server is started under, because it refuses to run as root."""

    name: str
    uid: int
    gid: int


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the third (state) on, or None; see proc(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[
        2
    ].split()  # the second field is the program's name and may hold anything


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def identify(pid: int) -> Process | None:
    """The process that has this number now, or None if none has, or only an unreaped dead one."""
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return Process(pid, f"{_boot_id()}/{fields[19]}")


def is_alive(process: Process) -> bool:
    """Whether this very process still runs; False where the number now belongs to another one."""
    return identify(process.pid) == process


def descendants(leader: Process) -> tuple[Process, ...]:
    """Children, their children and so on of a living process, parents first."""
    if not is_alive(leader):
        return ()
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[Process] = []
    waiting = list(children.get(leader.pid, ()))
    while waiting:
        pid = waiting.pop(0)
        if (process := identify(pid)) is not None:
            found.append(process)
            waiting.extend(children.get(pid, ()))
    return tuple(found)


def send(process: Process, number: int) -> None:
    """Signal this very process; a process that is gone is left in peace."""
    if is_alive(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            raise LocalServiceError(
                f"process {process.pid} belongs to another user; stop it as that user, or as root"
            ) from error


def stop_processes(
    known: Iterable[Process], *, number: int = signal.SIGTERM, seconds: float = KILL_SECONDS
) -> None:
    """Stop processes and all their descendants: ask politely, then kill what is left.

    Args:
        known: the processes to ask, in the order in which they are asked. Each has ended before the
            next is asked.
        number: the polite signal; SIGKILL skips the politeness.
        seconds: how long each may take to end after the polite signal.

    Raises:
        LocalServiceError: a process outlived SIGKILL.
    """
    for process in known:
        family = (process, *descendants(process))
        send(process, number)
        if number != signal.SIGKILL and _gone(family, seconds):
            continue
        family = (*family, *(late for member in family for late in descendants(member)))
        for member in family:
            send(member, signal.SIGKILL)
        if not _gone(family, KILL_SECONDS):
            alive = ", ".join(str(member.pid) for member in family if is_alive(member))
            raise LocalServiceError(f"these processes do not end, even killed: {alive}")


def _gone(processes: Iterable[Process], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    remaining = list(processes)
    while remaining := [process for process in remaining if is_alive(process)]:
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def spawn(
    command: Sequence[str | Path],
    *,
    folder: Path,
    log: Path,
    environ: Mapping[str, str],
    account: Account | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that Ctrl-C on our terminal does not reach it.

    Args:
        command: program and arguments.
        folder: its working directory.
        log: file that its output is appended to.
        environ: its whole environment; nothing is inherited.
        account: whom to run it as; only root can choose.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def plain_environ(**extra: str) -> dict[str, str]:
    """A small environment for a server: of ours only PATH, so that no setting leaks in."""
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        **extra,
    }


def unprivileged_account() -> Account | None:
    """Whom to run a server as that refuses root: None (ourselves) unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise LocalServiceError(
        "PostgreSQL refuses to run as root, and this machine has no user postgres or nobody; "
        "run as another user, or set DATABASE_URL"
    )


def port_is_free(port: int) -> bool:
    """Whether a server could bind this loopback port right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
            candidate.listen(1)
        except OSError:
            return False
        return True


def listens(processes: Iterable[Process], port: int) -> bool:
    """Whether one of these processes is the one that listens on this loopback port.

    An answer on the port does not tell: another program may have taken it while ours was starting.
    """
    address = f"{int.from_bytes(socket.inet_aton(LOOPBACK), sys.byteorder):08X}:{port:04X}"
    sockets = {
        f"socket:[{fields[9]}]"  # second column: address; fourth: state; tenth: inode
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
        if (fields := line.split())[1] == address and fields[3] == TCP_LISTEN
    }
    return any(link in sockets for process in processes for link in _open_files(process))


def _open_files(process: Process) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(entry.readlink())


def free_ports(count: int) -> tuple[int, ...]:
    """Different loopback ports that are free now; they can be taken before the server binds them.

    Raises:
        LocalServiceError: no free ports were found.
    """
    found: list[int] = []
    for port in random.sample(PORT_RANGE, k=len(PORT_RANGE)):
        if port_is_free(port):
            found.append(port)
        if len(found) == count:
            return tuple(found)
    raise LocalServiceError(
        f"fewer than {count} free ports from {PORT_RANGE.start} to {PORT_RANGE.stop} on {LOOPBACK}"
    )


def wait_until(
    ready: Callable[[], bool],
    *,
    seconds: float,
    failure: Callable[[], str | None],
    cancelled: threading.Event,
) -> None:
    """Poll until `ready`, which may raise OSError for "not yet".

    Args:
        ready: the condition.
        seconds: the deadline.
        failure: why it can no longer become ready, or None while it can; asked before every poll.
        cancelled: set by whoever wants the wait to end.

    Raises:
        StartCancelledError: `cancelled` was set.
        LocalServiceError: it failed, or the deadline passed.
    """
    deadline = time.monotonic() + seconds
    while True:
        if cancelled.is_set():
            raise StartCancelledError("starting was broken off")
        if (reason := failure()) is not None:
            raise LocalServiceError(reason)
        with contextlib.suppress(OSError):
            if ready():
                return
        if time.monotonic() >= deadline:
            raise LocalServiceError(f"not ready within {seconds:.0f} s")
        cancelled.wait(POLL_SECONDS)


def receive_exactly(connection: socket.socket, count: int) -> bytes:
    """Read this many bytes; ConnectionError (an OSError) if the other side closes before."""
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise ConnectionError("closed in the middle of an answer")
        parts += part
    return bytes(parts)


def log_tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, indented, under a heading that names the file."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    last = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    if not last:
        return f"(nothing in {log})"
    return "\n".join([f"last lines of {log}:", *(f"    {line}" for line in last)])
