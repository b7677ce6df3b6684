"""Decides where each local service comes from: environment, Docker engine, installed programs.

Nothing here starts anything; a builder is what `local_services.py` starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache, partial

from deploy import docker_services, local_postgres, local_rabbitmq, local_s3
from deploy.local_processes import LocalServiceError
from deploy.local_server import GivenServer, Server, Setting

Builder = Callable[[Setting], Server]


class Kind(StrEnum):
    """The services there are; the values name them in folders and records."""

    RABBITMQ = "rabbitmq"
    POSTGRES = "postgres"
    S3 = "s3"


VARIABLES = {
    Kind.RABBITMQ: "AMQP_URL",
    Kind.POSTGRES: "DATABASE_URL",
    Kind.S3: "S3_ENDPOINT_URL",
}
IMAGES = {
    Kind.RABBITMQ: docker_services.RABBITMQ,
    Kind.POSTGRES: docker_services.POSTGRES,
    Kind.S3: docker_services.S3,
}
PROGRAMS: Mapping[Kind, Callable[[], Builder | None]] = {
    Kind.RABBITMQ: local_rabbitmq.find,
    Kind.POSTGRES: local_postgres.find,
    Kind.S3: local_s3.find,
}
# What to install where nothing is found: (name for people, Debian package or None, command).
INSTALL = {
    Kind.RABBITMQ: ("RabbitMQ", "rabbitmq-server", "apt-get install rabbitmq-server"),
    Kind.POSTGRES: ("PostgreSQL", "postgresql", "apt-get install postgresql"),
    Kind.S3: ("S3 endpoint", None, "make setup (it installs moto's server)"),
}


def find(
    kinds: Sequence[Kind],
    environ: Mapping[str, str],
    *,
    docker: Callable[[], bool] = docker_services.engine_answers,
    programs: Mapping[Kind, Callable[[], Builder | None]] = PROGRAMS,
) -> dict[Kind, Builder]:
    """How to get each service, in the order: environment, Docker, programs.

    Args:
        kinds: the services wanted.
        environ: the environment; an empty URL counts as none.
        docker: whether an engine answers; asked at most once, and only if some URL is not given.
        programs: how to find the programs of each service.

    Returns:
        One builder for each service; none has started anything yet.

    Raises:
        LocalServiceError: some were not found; says which, and what to install.
    """
    docker_once = cache(docker)
    builders: dict[Kind, Builder] = {}
    for kind in kinds:
        variable = VARIABLES[kind]
        if url := environ.get(variable):
            builders[kind] = partial(_given, variable, url)
        elif docker_once():
            builders[kind] = partial(docker_services.DockerServer, image=IMAGES[kind])
        elif (builder := programs[kind]()) is not None:
            builders[kind] = builder
    if lacking := [kind for kind in kinds if kind not in builders]:
        raise LocalServiceError(_what_to_install(lacking))
    return builders


def missing_packages(
    kinds: Sequence[Kind],
    environ: Mapping[str, str],
    *,
    docker: Callable[[], bool] = docker_services.engine_answers,
    programs: Mapping[Kind, Callable[[], Builder | None]] = PROGRAMS,
) -> list[str]:
    """The Debian packages to install so that these services can be started; empty if all are found.

    Programs are looked for first, since that is quicker than asking for an engine.
    """
    lacking = [
        kind for kind in kinds if not environ.get(VARIABLES[kind]) and programs[kind]() is None
    ]
    if not lacking or docker():
        return []
    return [package for kind in lacking if (package := INSTALL[kind][1]) is not None]


def _given(variable: str, url: str, _setting: Setting) -> Server:
    return GivenServer(variable, url)


def _what_to_install(kinds: Sequence[Kind]) -> str:
    lines = ["no Docker engine answers, and there is"]
    for kind in kinds:
        title, _package, command = INSTALL[kind]
        lines.append(
            f"  no {title}: set {VARIABLES[kind]}, start a Docker engine, or run: {command}"
        )
    return "\n".join(lines)
