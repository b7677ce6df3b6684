"""Finds or starts RabbitMQ, PostgreSQL and an S3 endpoint for tests, the demo and development.

Each service is looked for separately, in this order: a URL in the environment (`AMQP_URL`,
`DATABASE_URL`, `S3_ENDPOINT_URL`); a Docker engine; programs installed on this machine, which are
started privately, with free loopback ports and data of their own under `.run/`. A server that the
system runs is never used or disturbed.

As a module::

    with start(f"test-{os.getpid()}") as services:
        connect(services.amqp_url, services.database_url)
        services.rabbitmq.kill()   # and .stop() .start() .restart(): same address, same data

As a program: `python deploy/local_services.py up --detach`, then `status`, `env` and `down`;
`--help` tells the rest. It needs nothing but Python's standard library, so that it runs before
anything is installed. Not for production.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shlex
import signal
import sys
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

if not __package__:  # run as a program: only this file's own folder is on the path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deploy import local_instances
from deploy.docker_services import engine_answers
from deploy.local_finding import INSTALL, VARIABLES, Builder, Kind, find, missing_packages
from deploy.local_instances import NAME, RUN_FOLDER, Instance, ServiceRecord
from deploy.local_processes import LocalServiceError
from deploy.local_s3 import ACCESS_KEY, REGION, SECRET_KEY
from deploy.local_server import Origin, Server, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

__all__ = ["LocalServiceError", "LocalServices", "Origin", "Server", "start"]


class LocalServices:
    """The services of one instance; leaving the context, or Python's end, stops them."""

    def __init__(self, run_folder: Path, instance: Instance, report: Callable[[str], None]) -> None:
        self._run_folder = run_folder
        self._instance = instance
        self._report = report
        self._servers: dict[Kind, Server] = {}
        self._cancelled = threading.Event()
        self._writing = threading.Lock()
        self._stopped = False

    @property
    def name(self) -> str:
        """The instance's name."""
        return self._instance.name

    @property
    def folder(self) -> Path:
        """The instance's folder, with a folder for each server in it."""
        return self._run_folder / self.name

    @property
    def rabbitmq(self) -> Server:
        """The RabbitMQ server; an error if it was not asked for."""
        return self._server(Kind.RABBITMQ)

    @property
    def postgres(self) -> Server:
        """The PostgreSQL server; an error if it was not asked for."""
        return self._server(Kind.POSTGRES)

    @property
    def s3(self) -> Server:
        """The S3 endpoint; an error if it was not asked for."""
        return self._server(Kind.S3)

    @property
    def amqp_url(self) -> str:
        """`amqp://` URL; an error if RabbitMQ was not asked for."""
        return self.rabbitmq.url

    @property
    def database_url(self) -> str:
        """`postgresql://` URL; an error if PostgreSQL was not asked for."""
        return self.postgres.url

    @property
    def s3_endpoint_url(self) -> str | None:
        """`http://` URL of the S3 endpoint, or None if it was not asked for."""
        return self._servers[Kind.S3].url if Kind.S3 in self._servers else None

    @property
    def origins(self) -> dict[str, Origin]:
        """Where each service comes from, by kind."""
        return {kind.value: server.origin for kind, server in self._servers.items()}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point a program at these services."""
        return _environment(self._records())

    def stop(self) -> None:
        """Stop what was started; data of a fresh instance goes with it. Harmless when repeated.

        Raises:
            LocalServiceError: some process does not end.
        """
        self._stop(_in_parallel)

    def detach(self) -> None:
        """Leave the services running when Python ends; `down` stops them."""
        self._instance = replace(self._instance, detached=True)
        self._write()
        self._stopped = True
        atexit.unregister(self._stop_at_exit)

    def start_all(self, builders: Mapping[Kind, Builder], *, fast: bool) -> None:
        """Start every service, in parallel; called once, by `start`."""
        atexit.register(self._stop_at_exit)
        for kind, build in builders.items():
            folder = self.folder / kind.value
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
            self._servers[kind] = build(
                Setting(self.name, folder, self._cancelled, self._write, self._report, fast)
            )
        given = Origin.ENVIRONMENT
        starting = {kind: one for kind, one in self._servers.items() if one.origin is not given}
        try:
            _in_parallel([server.start for server in starting.values()], self._cancelled)
        except BaseException:
            self.stop()
            raise
        for kind, server in self._servers.items():
            self._report(f"{INSTALL[kind][0]} ({server.origin}): {server.url}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _stop(self, every: Callable[[Sequence[Callable[[], None]]], None]) -> None:
        if self._stopped or self._instance.owner.pid != os.getpid():  # a forked child owns nothing
            return
        self._cancelled.set()
        every([server.release for server in self._servers.values()])
        local_instances.forget(self._run_folder, self.name, discard=self._instance.fresh)
        self._stopped = True
        atexit.unregister(self._stop_at_exit)

    def _stop_at_exit(self) -> None:
        self._stop(_in_turn)  # no thread can be started any more

    def _server(self, kind: Kind) -> Server:
        if kind not in self._servers:
            raise LocalServiceError(f"instance {self.name} was started without {kind}")
        return self._servers[kind]

    def _records(self) -> dict[str, ServiceRecord]:
        return {
            kind.value: ServiceRecord(server.origin.value, server.url, server.trace)
            for kind, server in self._servers.items()
        }

    def _write(self) -> None:
        with self._writing:
            self._instance = replace(self._instance, services=self._records())
            local_instances.write(self._run_folder, self._instance)


def start(  # noqa: PLR0913  # all but the name have a default, and callers name them
    name: str,
    *,
    rabbitmq: bool = True,
    postgres: bool = True,
    s3: bool = False,
    fast: bool = False,
    fresh: bool = True,
    report: Callable[[str], None] = lambda _line: None,
    run_folder: Path = RUN_FOLDER,
    environ: Mapping[str, str] = os.environ,
    docker: Callable[[], bool] = engine_answers,
) -> LocalServices:
    """Find the services, start those that have to be started, and wait until they accept work.

    Args:
        name: the instance, such as `dev`, `demo` or `test-4711`; its folder is `.run/<name>/`.
        rabbitmq: whether RabbitMQ is wanted.
        postgres: whether PostgreSQL is wanted.
        s3: whether an S3 endpoint is wanted.
        fast: run a private PostgreSQL without fsync: for tests of nothing that has to survive a
            crash.
        fresh: start with no data and remove it at the end; False keeps private servers' data for
            the next start.
        report: takes lines of progress.
        run_folder: where instances live.
        environ: where URLs are looked for.
        docker: whether a Docker engine answers.

    Raises:
        LocalServiceError: a service is missing or did not start, or the name is in use; nothing is
            left running.
    """
    wanted = {Kind.RABBITMQ: rabbitmq, Kind.POSTGRES: postgres, Kind.S3: s3}
    builders = find([kind for kind, asked in wanted.items() if asked], environ, docker=docker)
    instance = local_instances.claim(run_folder, name, fresh=fresh)
    services = LocalServices(run_folder, instance, report)
    services.start_all(builders, fast=fast)
    return services


def _in_turn(actions: Sequence[Callable[[], None]]) -> None:
    for action in actions:
        action()


def _in_parallel(
    actions: Sequence[Callable[[], None]], cancelled: threading.Event | None = None
) -> None:
    """Run all actions and wait for all, then raise the first error; it sets `cancelled` at once."""
    if not actions:
        return
    with ThreadPoolExecutor(len(actions)) as pool:
        futures = [pool.submit(action) for action in actions]
        try:
            finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:  # Ctrl-C: leaving the block waits for the threads
            if cancelled is not None:
                cancelled.set()
            raise
        errors = [error for future in finished if (error := future.exception()) is not None]
        if errors and cancelled is not None:
            cancelled.set()
    if errors:
        raise errors[0]


def _environment(records: Mapping[str, ServiceRecord]) -> dict[str, str]:
    """The variables for these services, and what clients of a local S3 endpoint sign with."""
    variables = {VARIABLES[Kind(kind)]: record.url for kind, record in records.items()}
    s3 = records.get(Kind.S3)
    if s3 is not None and s3.origin != Origin.ENVIRONMENT:
        variables |= {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
        }
    return variables


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _exports(variables: Mapping[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _up(options: argparse.Namespace) -> int:
    running = local_instances.read(RUN_FOLDER, options.name)
    if running is not None and running.detached:
        if options.detach and running.is_running:
            _print_urls(running.services, as_json=options.json)
            return 0
        local_instances.stop(RUN_FOLDER, running)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop in order, as on Ctrl-C
    # No heed to the environment: its URLs may well be what `env` printed for this very instance.
    with start(
        options.name, s3=options.s3, fresh=options.fresh, report=_say, environ={}
    ) as services:
        if options.detach:
            services.detach()
        instance = local_instances.read(RUN_FOLDER, options.name)
        _print_urls(instance.services if instance else {}, as_json=options.json)
        if not options.detach:
            _say("running; Ctrl-C stops them")
            threading.Event().wait()
    return 0


def _print_urls(records: Mapping[str, ServiceRecord], *, as_json: bool) -> None:
    if as_json:
        origins = {kind: record.origin for kind, record in records.items()}
        print(json.dumps({"environment": _environment(records), "origins": origins}, indent=2))
    else:
        print(_exports(_environment(records)), flush=True)


def _down(options: argparse.Namespace) -> int:
    names = [options.name]
    if options.all:
        names = sorted(path.name for path in RUN_FOLDER.glob("*/") if NAME.fullmatch(path.name))
    for name in names:
        instance = local_instances.read(RUN_FOLDER, name)
        if instance is not None:
            local_instances.stop(RUN_FOLDER, instance, discard=options.discard)
            _say(f"{name}: stopped")
        elif options.discard:
            local_instances.forget(RUN_FOLDER, name, discard=True)
        elif not options.all:
            _say(f"{name}: not running")
    return 0


def _status(_options: argparse.Namespace) -> int:
    instances = local_instances.read_all(RUN_FOLDER)
    for instance in instances:
        state = "running" if instance.is_running else "not running"
        print(f"{instance.name}: {'left behind' if instance.is_stale else state}")
        for kind, record in instance.services.items():
            print(f"  {kind:<9} {record.origin:<12} {record.url}")
    if not instances:
        print("no instance")
    return 0


def _env(options: argparse.Namespace) -> int:
    instance = local_instances.read(RUN_FOLDER, options.name)
    if instance is None:
        raise LocalServiceError(
            f"instance {options.name} is not running; start it with: "
            f"python deploy/local_services.py up --detach --name {options.name}"
        )
    print(_exports(_environment(instance.services)))
    return 0


def _missing(options: argparse.Namespace) -> int:
    kinds = [Kind.RABBITMQ, Kind.POSTGRES]
    if options.programs:
        packages = missing_packages(kinds, {}, docker=lambda: False)
    else:
        packages = missing_packages(kinds, os.environ)
    print(" ".join(packages))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="RabbitMQ, PostgreSQL and S3 for this checkout.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], about: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(run=run)
        return added

    up = command("up", _up, "start the services and print their URLs as export lines")
    up.add_argument("--name", default="dev", help="the instance (default: dev)")
    up.add_argument("--s3", action="store_true", help="with an S3 endpoint")
    up.add_argument("--fresh", action="store_true", help="start empty; remove the data at the end")
    up.add_argument("--json", action="store_true", help="print JSON")
    up.add_argument("--detach", action="store_true", help="leave them running and return")
    down = command("down", _down, "stop services that were started")
    down.add_argument("--name", default="dev", help="the instance (default: dev)")
    down.add_argument("--all", action="store_true", help="every instance of this checkout")
    down.add_argument("--discard", action="store_true", help="remove their data as well")
    command("status", _status, "show every instance of this checkout")
    env = command("env", _env, "print the URLs of a running instance as export lines")
    env.add_argument("--name", default="dev", help="the instance (default: dev)")
    lacking = command("missing", _missing, "print the Debian packages to install, if any")
    lacking.add_argument("--programs", action="store_true", help="heed no URL and no Docker engine")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except LocalServiceError as error:
        _say(f"local services: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
