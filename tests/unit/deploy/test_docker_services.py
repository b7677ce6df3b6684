"""Servers in containers, with a Docker client that only writes down what it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy import docker_services
from deploy.docker_services import DockerServer, Image, engine_answers
from deploy.local_server import Setting

if TYPE_CHECKING:
    from pathlib import Path

SLEEP = "300"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts a `docker` on the path whose script each test writes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return program


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 28.2.2", True),
        ("exit 0", False),
        ("echo cannot connect >&2; exit 1", False),
        (f"sleep {SLEEP}", False),
    ],
)
def test_an_engine_counts_only_if_it_answers_in_time(
    client: Path, *, script: str, expected: bool
) -> None:
    client.write_text(f"#!/bin/sh\n{script}\n")
    assert engine_answers(seconds=0.5) is expected


def test_an_engine_on_another_machine_does_not_count(
    client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.write_text("#!/bin/sh\necho 28.2.2\n")
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker:2375")
    assert not engine_answers()
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert engine_answers()


def test_a_container_is_published_on_loopback_and_removed_at_the_end(
    client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    client.write_text(
        f"""#!/bin/sh
echo "$*" >>'{said}'
case $1 in
    create) echo c0ffee ;;
    inspect) echo true ;;
    start)
        if [ ! -e '{said}.once' ]; then
            touch '{said}.once'
            echo 'Bind for 127.0.0.1 failed: port is already allocated' >&2
            exit 1
        fi ;;
esac
"""
    )
    ports = iter([(21_111,), (21_222,)])
    monkeypatch.setattr(docker_services, "free_ports", lambda _count: next(ports))
    image = Image(
        title="RabbitMQ",
        reference="rabbitmq:3.13",
        port=5672,
        environment=(("A", "b"),),
        arguments=("--flag",),
        url="amqp://127.0.0.1:{port}/",
        is_ready=lambda _port: True,
    )
    server = DockerServer(Setting("dev", tmp_path), image)
    server.start()
    assert server.url == "amqp://127.0.0.1:21222/"
    assert server.trace.container == "c0ffee"
    server.restart()
    server.kill()
    server.release()
    create = "create --label=trade-worker=dev --publish=127.0.0.1:{}:5672 --env=A=b rabbitmq:3.13 "
    assert said.read_text().splitlines() == [
        "images --quiet rabbitmq:3.13",
        "pull --quiet rabbitmq:3.13",
        create.format(21_111) + "--flag",
        "start c0ffee",
        "rm --force --volumes c0ffee",
        create.format(21_222) + "--flag",
        "start c0ffee",
        "inspect --format {{.State.Running}} c0ffee",
        "stop c0ffee",
        "start c0ffee",
        "inspect --format {{.State.Running}} c0ffee",
        "inspect --format {{.State.Running}} c0ffee",
        "kill c0ffee",
        "rm --force --volumes c0ffee",
    ]
