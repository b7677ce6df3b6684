"""One server that can be started, stopped, killed and started again, wherever it comes from.

`GivenServer` is only a URL from the environment; `PrivateServer` is a program of this machine, run
with ports and data of its own. Containers are in `docker_services.py`, and which server is which in
`local_rabbitmq.py`, `local_postgres.py` and `local_s3.py`.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from deploy.local_processes import (
    LOOPBACK,
    Account,
    LocalServiceError,
    PortTakenError,
    Process,
    StartCancelledError,
    descendants,
    free_ports,
    identify,
    is_alive,
    listens,
    log_tail,
    plain_environ,
    port_is_free,
    spawn,
    stop_processes,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

START_ATTEMPTS = 4
START_SECONDS = 90.0
STOP_SECONDS = 15.0
USER = "trade"
PASSWORD = "trade"  # noqa: S105  # for servers that only this machine can reach


class Origin(StrEnum):
    """Where a service comes from, in the order in which it is looked for."""

    ENVIRONMENT = "environment"
    DOCKER = "docker"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Trace:
    """What another run of this module needs to stop a server.

    Attributes:
        processes: processes to ask, in this order.
        stop_signal: how to ask them.
        container: id of the container, for a server in Docker.
    """

    processes: tuple[Process, ...] = ()
    stop_signal: int = signal.SIGTERM
    container: str | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a server is told by the instance it belongs to.

    Attributes:
        name: the instance, such as `dev`.
        folder: the server's own folder; exists.
        cancelled: set when starting shall be broken off.
        changed: called whenever the trace changed, so that it is written down before anything else
            happens.
        report: takes one line of progress.
        fast: give up durability for speed (PostgreSQL without fsync).
    """

    name: str
    folder: Path
    cancelled: threading.Event = field(default_factory=threading.Event)
    changed: Callable[[], None] = lambda: None
    report: Callable[[str], None] = lambda _line: None
    fast: bool = False


class Server(ABC):
    """A server; `stop`, `kill` and `start` in any order keep its address and its data."""

    origin: ClassVar[Origin]

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address, credentials included."""

    @property
    def trace(self) -> Trace:
        """How to stop it from another process."""
        return Trace()

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it accepts work."""

    @abstractmethod
    def stop(self) -> None:
        """Let it shut down in order; kill it if it does not."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL)."""

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def wait_until_kept(self, *queues: str) -> None:  # noqa: B027  # most have nothing to wait for
        """Wait until these quorum queues would survive a `kill`; see `RabbitMQ` for the reason.

        Only a private RabbitMQ can tell; for every other server this returns at once.
        """

    def release(self) -> None:
        """Stop it for good, at the end of the instance."""
        self.stop()


class GivenServer(Server):
    """A server that the environment names: used as it is, never started or stopped from here."""

    origin = Origin.ENVIRONMENT

    def __init__(self, variable: str, url: str) -> None:
        self._variable = variable
        self._url = url

    @property
    def url(self) -> str:
        """The URL as given."""
        return self._url

    def start(self) -> None:
        """Refused."""
        self._refuse("started")

    def stop(self) -> None:
        """Refused."""
        self._refuse("stopped")

    def kill(self) -> None:
        """Refused."""
        self._refuse("killed")

    def release(self) -> None:
        """Nothing: it was running before us and goes on."""

    def _refuse(self, what: str) -> None:
        raise LocalServiceError(
            f"this server cannot be {what} from here, since {self._variable} names it; "
            f"unset {self._variable} to use a private one"
        )


class PrivateServer(Server):
    """A program of this machine, run in a session of its own on free loopback ports.

    A subclass says how to launch it and how to see that it is ready. The ports are chosen at the
    first start, with other ones if somebody else takes one first, and kept from then on.
    """

    origin = Origin.PRIVATE
    title: ClassVar[str]
    port_count: ClassVar[int] = 1
    stop_signal: ClassVar[int] = signal.SIGTERM

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.log = setting.folder / "server.log"
        self.ports: tuple[int, ...] = ()
        self._port_note = setting.folder / "ports"
        self._children: list[subprocess.Popen[bytes]] = []
        self._processes: tuple[Process, ...] = ()

    @abstractmethod
    def launch(self) -> None:
        """Write what the server needs and `run` each of its processes, the server itself last."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it accepts work; False or OSError for not yet."""

    @property
    def trace(self) -> Trace:
        """The processes of the server, the last started first."""
        return Trace(processes=self._processes, stop_signal=self.stop_signal)

    @property
    def address(self) -> str:
        """Host and first port; port 0 before the first start."""
        return f"{LOOPBACK}:{self.ports[0] if self.ports else 0}"

    def run(
        self,
        command: Sequence[str | Path],
        *,
        environ: Mapping[str, str] | None = None,
        account: Account | None = None,
        folder: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start one of the server's processes; it is stopped with the server."""
        child = spawn(
            command,
            folder=folder or self.setting.folder,
            log=self.log,
            environ=plain_environ(**(environ or {})),
            account=account,
        )
        self._children.append(child)
        self._note_processes()
        return child

    def start(self) -> None:
        """Start it and wait until it accepts work.

        Raises:
            LocalServiceError: it did not become ready; with the last lines of its log.
        """
        self.kill()  # what a crash may have left
        choose = not self.ports
        for attempt in range(START_ATTEMPTS if choose else 1):
            if choose:
                self.ports = self._choose_ports(again=attempt > 0)
            try:
                self._start_once()
            except PortTakenError as error:
                taken = error
            else:
                self._port_note.write_text(" ".join(map(str, self.ports)), encoding="ascii")
                self._note_processes()
                return
        raise taken

    def stop(self) -> None:
        """Let it shut down in order; kill it if it does not."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it and everything it started at once."""
        self._end(signal.SIGKILL)

    def _choose_ports(self, *, again: bool) -> tuple[int, ...]:
        """Those of the last run with this data, so that its URL is still good, or any free ones."""
        if not again and self._port_note.exists():
            noted = tuple(int(port) for port in self._port_note.read_text("ascii").split())
            if len(noted) == self.port_count and all(port_is_free(port) for port in noted):
                return noted
        return free_ports(self.port_count)

    def _start_once(self) -> None:
        try:
            self.launch()
            wait_until(
                self._is_ours_and_ready,
                seconds=START_SECONDS,
                failure=self._why_ended,
                cancelled=self.setting.cancelled,
            )
        except StartCancelledError:
            self.kill()
            raise
        except (LocalServiceError, OSError) as error:
            self.kill()
            taken = ", ".join(str(port) for port in self.ports if not port_is_free(port))
            kind = PortTakenError if taken else LocalServiceError
            because = f"another program has port {taken}" if taken else str(error)
            raise kind(f"{self.title} did not start: {because}\n{log_tail(self.log)}") from error
        except BaseException:
            self.kill()
            raise

    def _is_ours_and_ready(self) -> bool:
        self._note_processes()
        return listens(self._processes, self.ports[0]) and self.is_ready()

    def _why_ended(self) -> str | None:
        codes = [code for child in self._children if (code := child.poll()) is not None]
        return f"it ended with exit code {codes[0]}" if codes else None

    def _note_processes(self) -> None:
        leaders = [
            process
            for child in reversed(self._children)
            if (process := identify(child.pid)) is not None
        ]
        started = [member for leader in leaders for member in descendants(leader)]
        known = [process for process in self._processes if is_alive(process)]  # orphans included
        processes = tuple(dict.fromkeys([*leaders, *started, *known]))
        if processes != self._processes:
            self._processes = processes
            self.setting.changed()

    def _end(self, number: int) -> None:
        if not self._children:
            return
        self._note_processes()
        stop_processes(self._processes, number=number, seconds=STOP_SECONDS)
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=STOP_SECONDS)
        self._children.clear()
        self._processes = ()
        self.setting.changed()
