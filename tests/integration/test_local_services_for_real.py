"""The real servers: they start, survive being killed with their data, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aio_pika
import asyncpg
import pytest

from deploy import local_instances
from deploy.docker_services import engine_answers
from deploy.local_finding import PROGRAMS, Kind
from deploy.local_processes import is_alive
from deploy.local_s3 import answers
from deploy.local_services import LocalServices, Origin, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.local_processes import Process

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 10.0

# Every way that this machine has is tried; with none, the tests fail and say what to install.
WAYS = [Origin.DOCKER] if engine_answers() else []
if not WAYS or all(PROGRAMS[kind]() is not None for kind in Kind):
    WAYS.append(Origin.PRIVATE)

# Starts PostgreSQL only, since RabbitMQ takes seconds, and says so; the test does the rest.
RUN = """
import sys, time
from pathlib import Path
from deploy.local_services import start
services = start("killed", rabbitmq=False, run_folder=Path(sys.argv[1]), environ={},
                 docker=lambda: False)
print("up", flush=True)
time.sleep(300)
"""


@pytest.fixture(scope="module", params=WAYS)
def services(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServices]:
    with start(
        "real",
        s3=True,
        run_folder=tmp_path_factory.mktemp("run"),
        environ={},
        docker=lambda: request.param is Origin.DOCKER,
    ) as started:
        assert set(started.origins.values()) == {request.param}
        yield started


async def test_a_quorum_queue_keeps_confirmed_messages_through_a_kill(
    services: LocalServices,
) -> None:
    url = services.amqp_url
    connection = await aio_pika.connect(url, timeout=DEADLINE)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(
            "kept", durable=True, arguments={"x-queue-type": "quorum"}
        )
        message = aio_pika.Message(b"order", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, queue.name, timeout=DEADLINE)

    services.rabbitmq.wait_until_kept("kept")
    services.rabbitmq.kill()
    with pytest.raises((OSError, aio_pika.exceptions.AMQPError)):
        await aio_pika.connect(url, timeout=DEADLINE)
    services.rabbitmq.start()

    connection = await aio_pika.connect(url, timeout=DEADLINE)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", passive=True)
        kept = await queue.get(timeout=DEADLINE)
        assert kept is not None
        assert kept.body == b"order"
        await kept.ack()


async def test_postgres_keeps_committed_rows_through_a_kill(services: LocalServices) -> None:
    url = services.database_url
    connection = await asyncpg.connect(url, timeout=DEADLINE)
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close(timeout=DEADLINE)

    services.postgres.kill()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await asyncpg.connect(url, timeout=DEADLINE)
    services.postgres.start()
    services.postgres.restart()

    connection = await asyncpg.connect(url, timeout=DEADLINE)
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close(timeout=DEADLINE)


def test_the_s3_endpoint_answers(services: LocalServices) -> None:
    assert services.s3_endpoint_url == services.s3.url
    port = int(services.s3.url.rpartition(":")[2])
    paths = {Origin.DOCKER: "/minio/health/live", Origin.PRIVATE: "/moto-api/data.json"}
    assert answers(port, paths[services.s3.origin])


def test_private_servers_listen_on_loopback_only(services: LocalServices) -> None:
    servers = [services.rabbitmq, services.postgres, services.s3]
    processes = [process for server in servers for process in server.trace.processes]
    sockets = {link for process in processes for link in socket_links(process)}
    addresses = [
        address
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()
        if (fields := line.split())[3] == "0A" and f"socket:[{fields[9]}]" in sockets
        for address in [fields[1].partition(":")[0]]
    ]
    if services.rabbitmq.origin is Origin.PRIVATE:
        assert len(addresses) >= 5  # AMQP, distribution, epmd, PostgreSQL, S3
    assert set(addresses) <= {"0100007F", "00000000000000000000000001000000"}


def test_stopping_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    services = start("gone", s3=True, run_folder=tmp_path, environ={}, docker=lambda: False)
    servers = [services.rabbitmq, services.postgres, services.s3]
    processes = [process for server in servers for process in server.trace.processes]
    assert len(processes) >= 7
    assert all(is_alive(server.trace.processes[0]) for server in servers)
    services.stop()
    assert not any(is_alive(process) for process in processes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock"]
    services.stop()


def test_kept_data_is_there_at_the_next_start(tmp_path: Path) -> None:
    def once() -> tuple[str, int]:
        with start(
            "dev",
            rabbitmq=False,
            fresh=False,
            run_folder=tmp_path,
            environ={},
            docker=lambda: False,
        ) as services:
            identifier = services.folder.joinpath("postgres/server.log").read_text()
            return services.database_url, identifier.count("Success. You can now start")

    assert once() == once()  # same address, and the database was made only once
    local_instances.forget(tmp_path, "dev", discard=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_broken_off_leaves_nothing_in_the_end(tmp_path: Path, number: int) -> None:
    with run_in_background(tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        processes = recorded(tmp_path)
        assert processes
        child.send_signal(number)
        child.wait(timeout=30)
    if number == signal.SIGKILL:
        assert is_alive(processes[0])  # the server; its helpers come and go
        local_instances.claim(tmp_path, "next", fresh=True)  # as the next start does
    assert not any(is_alive(process) for process in processes)
    assert not (tmp_path / "killed").exists()


def test_ctrl_c_in_the_middle_of_a_start_leaves_nothing(tmp_path: Path) -> None:
    with run_in_background(tmp_path) as child:
        until(lambda: recorded(tmp_path) or (tmp_path / "killed/postgres/database").exists())
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=30) != 0
    assert not (tmp_path / "killed").exists()
    assert not any(str(tmp_path) in line for line in command_lines())


@contextlib.contextmanager
def run_in_background(run_folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(run_folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def recorded(run_folder: Path) -> list[Process]:
    instance = local_instances.read(run_folder, "killed")
    records = instance.services.values() if instance else ()
    return [process for record in records for process in record.trace.processes]


def command_lines() -> list[str]:
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if entry.parent.name != str(os.getpid()):
                lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines


def socket_links(process: Process) -> set[str]:
    links = set()
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.add(str(entry.readlink()))
    return links


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)
