"""How local services are found, started on free ports, and never confused with somebody else's."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy import local_instances, local_server
from deploy.local_finding import Kind, find, missing_packages
from deploy.local_instances import Instance, ServiceRecord
from deploy.local_postgres import ELSEWHERE, TEMPORARY_PREFIX
from deploy.local_processes import (
    LOOPBACK,
    LocalServiceError,
    PortTakenError,
    Process,
    StartCancelledError,
    descendants,
    free_ports,
    identify,
    is_alive,
    port_is_free,
    send,
    stop_processes,
)
from deploy.local_rabbitmq import version_of
from deploy.local_server import GivenServer, Origin, PrivateServer, Setting, Trace

SLEEP = "300"
LISTENER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()[0].close()
"""


class Listener(PrivateServer):
    """The smallest server there is: it accepts connections on its port."""

    title = "the listener"

    @property
    def url(self) -> str:
        return f"tcp://{self.address}"

    def launch(self) -> None:
        self.run([sys.executable, "-c", LISTENER, str(self.ports[0])])

    def is_ready(self) -> bool:
        with socket.create_connection((LOOPBACK, self.ports[0]), timeout=1):
            return True


class Faulty(Listener):
    """A server that says why it cannot run, and ends."""

    def launch(self) -> None:
        self.run(["/bin/sh", "-c", "echo the disk is full; exit 3"])


class Silent(Listener):
    """A server that runs but never gets ready."""

    def is_ready(self) -> bool:
        return False


def until(condition: object, *, seconds: float = 10) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def process_of(child: subprocess.Popen[bytes]) -> Process:
    process = identify(child.pid)
    assert process is not None
    return process


# Finding.


def found(
    kinds: list[Kind], environ: dict[str, str], *, docker: bool, programs: bool
) -> dict[Kind, Origin]:
    setting = Setting("unit", Path("/nonexistent"))
    builders = find(
        kinds,
        environ,
        docker=lambda: docker,
        programs={kind: lambda: Listener if programs else None for kind in Kind},
    )
    return {kind: build(setting).origin for kind, build in builders.items()}


@pytest.mark.parametrize(
    ("url", "docker", "programs", "expected"),
    [
        ("amqp://given/", True, True, Origin.ENVIRONMENT),
        ("amqp://given/", False, False, Origin.ENVIRONMENT),
        ("", True, True, Origin.DOCKER),
        ("", True, False, Origin.DOCKER),
        ("", False, True, Origin.PRIVATE),
    ],
)
def test_environment_wins_then_docker_then_programs(
    *, url: str, docker: bool, programs: bool, expected: Origin
) -> None:
    environ = {"AMQP_URL": url}
    assert found([Kind.RABBITMQ], environ, docker=docker, programs=programs) == {
        Kind.RABBITMQ: expected
    }


def test_each_service_is_found_separately() -> None:
    environ = {"DATABASE_URL": "postgresql://given/trade"}
    assert found([Kind.RABBITMQ, Kind.POSTGRES], environ, docker=False, programs=True) == {
        Kind.RABBITMQ: Origin.PRIVATE,
        Kind.POSTGRES: Origin.ENVIRONMENT,
    }


def test_docker_is_asked_once_and_only_if_a_url_is_lacking() -> None:
    asked: list[None] = []

    def docker() -> bool:
        asked.append(None)
        return True

    find([Kind.RABBITMQ, Kind.POSTGRES, Kind.S3], {}, docker=docker)
    assert len(asked) == 1
    find([Kind.RABBITMQ], {"AMQP_URL": "amqp://given/"}, docker=docker)
    assert len(asked) == 1


def test_with_nothing_at_all_the_error_names_every_way_out() -> None:
    with pytest.raises(LocalServiceError) as raised:
        found([Kind.RABBITMQ, Kind.POSTGRES, Kind.S3], {}, docker=False, programs=False)
    message = str(raised.value)
    for words in (
        "no RabbitMQ: set AMQP_URL",
        "apt-get install rabbitmq-server",
        "no PostgreSQL: set DATABASE_URL",
        "apt-get install postgresql",
        "no S3 endpoint: set S3_ENDPOINT_URL",
        "make setup",
        "Docker engine",
    ):
        assert words in message


@pytest.mark.parametrize(
    ("environ", "docker", "expected"),
    [
        ({}, False, ["rabbitmq-server", "postgresql"]),
        ({"AMQP_URL": "amqp://given/"}, False, ["postgresql"]),
        ({}, True, []),
    ],
)
def test_only_what_nothing_else_provides_has_to_be_installed(
    *, environ: dict[str, str], docker: bool, expected: list[str]
) -> None:
    packages = missing_packages(
        [Kind.RABBITMQ, Kind.POSTGRES],
        environ,
        docker=lambda: docker,
        programs={kind: lambda: None for kind in Kind},
    )
    assert packages == expected


def test_the_version_of_rabbitmq_is_read_from_where_it_is_installed(tmp_path: Path) -> None:
    program = tmp_path / "lib/rabbitmq_server-3.9.27/sbin/rabbitmq-server"
    program.parent.mkdir(parents=True)
    program.touch()
    link = tmp_path / "rabbitmq-server"
    link.symlink_to(program)
    assert version_of(link) == (3, 9)
    assert version_of(tmp_path / "elsewhere") is None


def test_a_given_server_is_left_alone() -> None:
    server = GivenServer("AMQP_URL", "amqp://given/")
    assert server.url == "amqp://given/"
    for action in (server.stop, server.kill, server.start, server.restart):
        with pytest.raises(LocalServiceError, match="unset AMQP_URL"):
            action()
    server.release()


# Processes.


def test_a_reused_process_number_is_never_signalled() -> None:
    with subprocess.Popen(["/bin/sleep", SLEEP]) as child:
        real = process_of(child)
        earlier = Process(child.pid, "another start time")
        assert not is_alive(earlier)
        send(earlier, signal.SIGKILL)
        stop_processes([earlier], number=signal.SIGKILL)
        assert is_alive(real)
        stop_processes([real])
        assert not is_alive(real)


def test_a_dead_process_that_nobody_reaped_counts_as_gone() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        until(lambda: identify(child.pid) is None)
        assert child.wait() == 0


def test_stopping_takes_the_descendants_along() -> None:
    script = f"sh -c 'sleep {SLEEP} & sleep {SLEEP} & wait' & sleep {SLEEP} & wait"
    with subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True) as child:
        leader = process_of(child)
        until(lambda: len(descendants(leader)) == 4)
        family = descendants(leader)
        stop_processes([leader], seconds=0.2)
        assert not any(is_alive(member) for member in (leader, *family))


def test_a_process_that_ignores_the_polite_signal_is_killed() -> None:
    with subprocess.Popen(
        ["/bin/sh", "-c", "trap '' TERM; echo; read line"], stdout=-1, stdin=-1
    ) as it:
        assert it.stdout is not None
        it.stdout.readline()  # the trap is set
        stop_processes([process_of(it)], seconds=0.2)
        assert it.wait() == -signal.SIGKILL


def test_free_ports_are_different_and_not_taken() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        assert not port_is_free(listener.getsockname()[1])
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(port_is_free(port) for port in ports)


# Private servers.


def test_a_server_starts_stops_and_starts_again_at_the_same_address(tmp_path: Path) -> None:
    server = Listener(Setting("unit", tmp_path))
    server.start()
    address = server.url
    (process,) = server.trace.processes
    assert is_alive(process)
    server.kill()
    assert not is_alive(process)
    assert server.trace.processes == ()
    server.start()
    server.restart()
    assert server.url == address
    server.stop()
    server.stop()
    assert port_is_free(server.ports[0])


def test_a_port_taken_before_the_server_binds_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((LOOPBACK, 0)) as rival:
        taken = rival.getsockname()[1]
        (free,) = free_ports(1)
        choices = iter([(taken,), (free,)])
        monkeypatch.setattr(local_server, "free_ports", lambda _count: next(choices))
        server = Listener(Setting("unit", tmp_path))
        server.start()
        assert server.ports == (free,)
        server.stop()


def test_a_port_taken_while_the_server_was_stopped_is_an_error_that_names_it(
    tmp_path: Path,
) -> None:
    server = Listener(Setting("unit", tmp_path))
    server.start()
    server.stop()
    with (
        socket.create_server((LOOPBACK, server.ports[0])),
        pytest.raises(PortTakenError, match=f"another program has port {server.ports[0]}"),
    ):
        server.start()


def test_the_next_run_with_the_same_data_has_the_same_address(tmp_path: Path) -> None:
    first = Listener(Setting("unit", tmp_path))
    first.start()
    first.stop()
    second = Listener(Setting("unit", tmp_path))
    second.start()
    second.stop()
    assert second.url == first.url


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    server = Faulty(Setting("unit", tmp_path))
    with pytest.raises(LocalServiceError) as raised:
        server.start()
    assert re.match(
        r"the listener did not start: it ended with exit code 3\nlast lines of .*/server\.log:\n"
        r"    the disk is full",
        str(raised.value),
    )


def test_a_start_can_be_broken_off_and_leaves_nothing(tmp_path: Path) -> None:
    cancelled = threading.Event()
    noted: list[Process] = []
    server = Silent(
        Setting("unit", tmp_path, cancelled, lambda: noted.extend(server.trace.processes))
    )
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            server.start()
        except StartCancelledError as error:
            failures.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    until(lambda: noted)
    cancelled.set()
    thread.join(timeout=10)
    assert len(failures) == 1
    assert not any(is_alive(process) for process in noted)


# Instances.


def record_of(child: subprocess.Popen[bytes], owner: Process, *, detached: bool) -> Instance:
    trace = Trace(processes=(process_of(child),))
    return Instance(
        "test-1",
        owner,
        detached=detached,
        fresh=True,
        services={"rabbitmq": ServiceRecord("private", "amqp://x/", trace)},
    )


def test_what_a_killed_run_left_behind_is_stopped_and_removed(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", SLEEP]) as child:
        instance = record_of(child, Process(os.getpid(), "an earlier boot"), detached=False)
        database = Path(f"{tmp_path}/elsewhere/{TEMPORARY_PREFIX}x")
        database.mkdir(parents=True)
        (tmp_path / "test-1/postgres").mkdir(parents=True)
        (tmp_path / "test-1/postgres" / ELSEWHERE).write_text(f"{database}\n")
        local_instances.write(tmp_path, instance)
        assert local_instances.read(tmp_path, "test-1") == instance

        local_instances.claim(tmp_path, "test-2", fresh=True)

        assert child.wait(timeout=10) == -signal.SIGTERM
    assert not (tmp_path / "test-1").exists()
    assert not database.exists()


@pytest.mark.parametrize("detached", [True, False])
def test_an_instance_that_is_alive_is_left_alone(tmp_path: Path, *, detached: bool) -> None:
    with subprocess.Popen(["/bin/sleep", SLEEP]) as child:
        owner = Process(1, "gone") if detached else process_of(child)
        instance = record_of(child, owner, detached=detached)
        (tmp_path / "test-1").mkdir()
        local_instances.write(tmp_path, instance)
        local_instances.claim(tmp_path, "test-2", fresh=True)
        with pytest.raises(LocalServiceError, match="instance test-1"):
            local_instances.claim(tmp_path, "test-1", fresh=True)
        assert is_alive(process_of(child))
        local_instances.stop(tmp_path, instance)


@pytest.mark.parametrize("name", ["", "Dev", "../dev", "a b", "x" * 42])
def test_an_instance_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LocalServiceError, match="instance name"):
        local_instances.claim(tmp_path, name, fresh=True)
