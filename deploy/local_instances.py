"""What is written down about each started instance, so that any later run can stop and clear it.

An instance is a folder `.run/<name>/`. Its `instance.json` says who started it, which processes and
containers belong to it, and whether its data goes when it stops. An instance whose starter is gone
without having detached it was left behind by a killed run; `claim` stops all of those before it
makes a new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.docker_services import remove_container
from deploy.local_postgres import remove_elsewhere
from deploy.local_processes import (
    LocalServiceError,
    Process,
    identify,
    is_alive,
    stop_processes,
)
from deploy.local_server import STOP_SECONDS, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
RUN_FOLDER = ROOT / ".run"
RECORD = "instance.json"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One server of an instance.

    Attributes:
        origin: `environment`, `docker` or `private`.
        url: its address; empty until it has one.
        trace: how to stop it.
    """

    origin: str
    url: str
    trace: Trace


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as written down.

    Attributes:
        name: its name.
        owner: the process that started it.
        detached: whether it shall outlive its owner.
        fresh: whether its data goes when it stops.
        services: its servers by kind.
    """

    name: str
    owner: Process
    detached: bool
    fresh: bool
    services: dict[str, ServiceRecord]

    @property
    def is_stale(self) -> bool:
        """Whether its owner is gone, and should have stopped it."""
        return not self.detached and not is_alive(self.owner)

    @property
    def is_running(self) -> bool:
        """Whether the first process of each private server runs (containers are not asked)."""
        leaders = [
            record.trace.processes[0] for record in self.services.values() if record.trace.processes
        ]
        started = [record for record in self.services.values() if record.origin == "private"]
        return len(leaders) == len(started) and all(is_alive(leader) for leader in leaders)


def write(run_folder: Path, instance: Instance) -> None:
    """Write an instance down, in one step."""
    path = run_folder / instance.name / RECORD
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(instance), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)


def read(run_folder: Path, name: str) -> Instance | None:
    """The instance as written down, or None if there is none of this name (or only half a one)."""
    try:
        text = (run_folder / name / RECORD).read_text(encoding="utf-8")
        fields = json.loads(text)
        return Instance(
            name=name,
            owner=Process(**fields["owner"]),
            detached=fields["detached"],
            fresh=fields["fresh"],
            services={
                kind: ServiceRecord(
                    origin=record["origin"],
                    url=record["url"],
                    trace=Trace(
                        processes=tuple(Process(**one) for one in record["trace"]["processes"]),
                        stop_signal=record["trace"]["stop_signal"],
                        container=record["trace"]["container"],
                    ),
                )
                for kind, record in fields["services"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_all(run_folder: Path) -> list[Instance]:
    """Every instance written down, by name."""
    names = sorted(path.parent.name for path in run_folder.glob(f"*/{RECORD}"))
    return [instance for name in names if (instance := read(run_folder, name)) is not None]


def stop(run_folder: Path, instance: Instance, *, discard: bool = False) -> None:
    """Stop what an instance started, then forget it; its data goes if it is fresh or to discard."""
    for record in instance.services.values():
        trace = record.trace
        stop_processes(trace.processes, number=trace.stop_signal, seconds=STOP_SECONDS)
        if trace.container is not None:
            remove_container(trace.container)
    forget(run_folder, instance.name, discard=discard or instance.fresh)


def forget(run_folder: Path, name: str, *, discard: bool) -> None:
    """Remove the record of a stopped instance, with its data if `discard` says so."""
    folder = run_folder / name
    if discard:
        for server in folder.iterdir() if folder.is_dir() else ():
            if server.is_dir():
                remove_elsewhere(server)
        shutil.rmtree(folder, ignore_errors=True)
    else:
        (folder / RECORD).unlink(missing_ok=True)


def claim(run_folder: Path, name: str, *, fresh: bool) -> Instance:
    """Make an instance of this name ours, after stopping whatever killed runs left behind.

    Raises:
        LocalServiceError: the name is taken, not a name, or the folder cannot be written.
    """
    if not NAME.fullmatch(name):
        raise LocalServiceError(
            f"instance name {name!r}: up to 41 small letters, digits and hyphens, such as dev"
        )
    with _lock(run_folder):
        for other in read_all(run_folder):
            if other.is_stale:
                stop(run_folder, other)
            elif other.name == name:
                raise LocalServiceError(_taken(other))
        if fresh:
            forget(run_folder, name, discard=True)
        owner = identify(os.getpid())
        if owner is None:
            raise LocalServiceError("/proc does not show this process: private servers need Linux")
        folder = run_folder / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # whatever the umask: the database's user has to pass through
        instance = Instance(name, owner, detached=False, fresh=fresh, services={})
        write(run_folder, instance)
        return instance


def _taken(other: Instance) -> str:
    if other.detached:
        return (
            f"instance {other.name} is running already; "
            f"stop it with: python deploy/local_services.py down --name {other.name}"
        )
    return f"instance {other.name} belongs to process {other.owner.pid}, which still runs"


@contextlib.contextmanager
def _lock(run_folder: Path) -> Iterator[None]:
    """One claim at a time in this folder."""
    try:
        run_folder.mkdir(parents=True, exist_ok=True)
        handle = (run_folder / "lock").open("a", encoding="ascii")
    except OSError as error:
        raise LocalServiceError(
            f"{run_folder} cannot be written ({error.strerror}); remove it, or run as its owner"
        ) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
