"""Servers in containers, where a Docker engine answers: official images, loopback ports only."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.amqp_probe import accepts_quorum_queues
from deploy.local_postgres import DATABASE, accepts_queries
from deploy.local_processes import (
    LOOPBACK,
    LocalServiceError,
    PortTakenError,
    StartCancelledError,
    free_ports,
    wait_until,
)
from deploy.local_s3 import ACCESS_KEY, SECRET_KEY, answers
from deploy.local_server import (
    PASSWORD,
    START_ATTEMPTS,
    START_SECONDS,
    USER,
    Origin,
    Server,
    Setting,
    Trace,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LABEL = "trade-worker"
ANSWER_SECONDS = 3.0
COMMAND_SECONDS = 60.0
DOWNLOAD_SECONDS = 900.0
TAKEN = ("port is already allocated", "address already in use")  # as the engine words it


@dataclass(frozen=True, slots=True)
class Image:
    """An image and how to use it.

    Attributes:
        title: for messages.
        reference: name and tag.
        port: the port inside the container.
        environment: variables for the container.
        arguments: what follows the image's name.
        url: the address, with `{port}` for the published port.
        is_ready: whether the server on this published port accepts work.
    """

    title: str
    reference: str
    port: int
    environment: tuple[tuple[str, str], ...]
    arguments: tuple[str, ...]
    url: str
    is_ready: Callable[[int], bool]


RABBITMQ = Image(
    title="RabbitMQ",
    reference="rabbitmq:3.13",
    port=5672,
    environment=(("RABBITMQ_DEFAULT_USER", USER), ("RABBITMQ_DEFAULT_PASS", PASSWORD)),
    arguments=(),
    url=f"amqp://{USER}:{PASSWORD}@{LOOPBACK}:{{port}}/",
    is_ready=lambda port: accepts_quorum_queues(port, USER, PASSWORD),
)
POSTGRES = Image(
    title="PostgreSQL",
    reference="postgres:16",
    port=5432,
    environment=(
        ("POSTGRES_USER", USER),
        ("POSTGRES_PASSWORD", PASSWORD),
        ("POSTGRES_DB", DATABASE),
        ("POSTGRES_HOST_AUTH_METHOD", "trust"),
    ),
    arguments=("-c", "max_connections=200"),
    url=f"postgresql://{USER}:{PASSWORD}@{LOOPBACK}:{{port}}/{DATABASE}",
    is_ready=accepts_queries,
)
S3 = Image(
    title="the S3 endpoint (MinIO)",
    reference="minio/minio:RELEASE.2025-04-22T22-12-26Z",
    port=9000,
    environment=(("MINIO_ROOT_USER", ACCESS_KEY), ("MINIO_ROOT_PASSWORD", SECRET_KEY)),
    arguments=("server", "/data"),
    url=f"http://{LOOPBACK}:{{port}}",
    is_ready=lambda port: answers(port, "/minio/health/live"),
)


def engine_answers(seconds: float = ANSWER_SECONDS) -> bool:
    """Whether a Docker engine answers, found out within this many seconds."""
    host = urlsplit(os.environ.get("DOCKER_HOST", ""))
    if shutil.which("docker") is None or host.hostname not in {None, "localhost", LOOPBACK}:
        return False  # what another machine publishes on its loopback, nobody reaches from here
    with tempfile.TemporaryFile() as output:  # a pipe could be held open by what the client started
        client = subprocess.Popen(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = client.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(client.pid, signal.SIGKILL)
            client.wait()
            return False
        output.seek(0)
        return code == 0 and bool(output.read().strip())


def remove_container(container: str) -> None:
    """Stop a container and remove it with its data; one that is gone already is fine."""
    with contextlib.suppress(LocalServiceError):
        docker("rm", "--force", "--volumes", container)


def docker(*arguments: str, seconds: float = COMMAND_SECONDS) -> str:
    """Run one command of the Docker client and give back what it prints.

    Raises:
        LocalServiceError: it failed or took too long; with the client's own message.
    """
    try:
        done = subprocess.run(
            ["docker", *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LocalServiceError(f"docker {arguments[0]} failed: {error}") from error
    if done.returncode != 0:
        message = done.stderr.strip()
        kind = PortTakenError if any(words in message for words in TAKEN) else LocalServiceError
        raise kind(f"docker {arguments[0]} failed: {message}")
    return done.stdout.strip()


class DockerServer(Server):
    """A server in a container of its own, on a loopback port that it keeps through a restart."""

    origin = Origin.DOCKER

    def __init__(self, setting: Setting, image: Image) -> None:
        self._setting = setting
        self._image = image
        self._port = 0
        self._container: str | None = None

    @property
    def url(self) -> str:
        """The address of the published port."""
        return self._image.url.format(port=self._port)

    @property
    def trace(self) -> Trace:
        """The container."""
        return Trace(container=self._container)

    def start(self) -> None:
        """Start the container, making it if need be, and wait until the server accepts work.

        Raises:
            LocalServiceError: it did not become ready; with the last lines of its log.
        """
        container = self._container
        if container is None:
            container = self._start_new()
        else:
            docker("start", container)
        try:
            wait_until(
                lambda: self._image.is_ready(self._port),
                seconds=START_SECONDS,
                failure=lambda: None if _is_running(container) else "its container ended",
                cancelled=self._setting.cancelled,
            )
        except StartCancelledError:
            raise
        except LocalServiceError as error:
            log = docker("logs", "--tail", "15", container)
            raise LocalServiceError(f"{self._image.title} did not start: {error}\n{log}") from error

    def stop(self) -> None:
        """Let it shut down in order; the engine kills it if it does not."""
        if self._container is not None:
            docker("stop", self._container)

    def kill(self) -> None:
        """End it at once."""
        if self._container is not None and _is_running(self._container):
            docker("kill", self._container)

    def release(self) -> None:
        """Remove the container with its data."""
        if self._container is not None:
            remove_container(self._container)
            self._container = None
            self._setting.changed()

    def _start_new(self) -> str:
        image = self._image
        if not docker("images", "--quiet", image.reference):
            self._setting.report(f"{image.title}: fetching {image.reference}")
            docker("pull", "--quiet", image.reference, seconds=DOWNLOAD_SECONDS)
        for _ in range(START_ATTEMPTS):
            (self._port,) = free_ports(1)
            variables = [f"--env={name}={value}" for name, value in image.environment]
            container = docker(
                "create",
                f"--label={LABEL}={self._setting.name}",
                f"--publish={LOOPBACK}:{self._port}:{image.port}",
                *variables,
                image.reference,
                *image.arguments,
            )
            self._container = container
            self._setting.changed()
            try:
                docker("start", container)
            except PortTakenError as error:
                taken = error
                self.release()
            else:
                return container
        raise taken


def _is_running(container: str) -> bool:
    return docker("inspect", "--format", "{{.State.Running}}", container) == "true"
