"""The command line in this process, in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from typer.testing import CliRunner

from consumer.cli.app import app
from tests.support.databases import as_worker
from tests.support.worker import environment_of

if TYPE_CHECKING:
    from consumer.settings import Settings


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - any document
        """Its standard output, which must be one JSON document."""
        return json.loads(self.out)


class Commands:
    """Runs `trade-worker` commands with some settings, as a worker's role in the database.

    Args:
        settings: what the environment says. `migrate` is run as who is named there.
    """

    def __init__(self, settings: Settings) -> None:
        self._environ = environment_of(settings)
        self._role = {"DATABASE_URL": as_worker(settings.database_url)}

    async def run(self, *arguments: str, stdin: bytes | str | None = None, **environ: str) -> Ran:
        """Run one command; `environ` adds variables."""
        return await asyncio.to_thread(self._run, arguments, stdin, environ)

    async def good(self, *arguments: str, stdin: bytes | str | None = None, **environ: str) -> Ran:
        """Run one command that must end with 0."""
        ran = await self.run(*arguments, stdin=stdin, **environ)
        assert ran.exit_code == 0, f"{ran.exit_code}: {ran.err}{ran.out}"
        return ran

    def _run(
        self, arguments: tuple[str, ...], stdin: bytes | str | None, environ: dict[str, str]
    ) -> Ran:
        wanted: dict[str, str | None] = dict.fromkeys(os.environ)
        role = {} if arguments[:1] == ("migrate",) else self._role
        wanted |= self._environ | role | {"COLUMNS": "200", "TERM": "dumb"} | environ
        try:
            result = CliRunner().invoke(app, list(arguments), input=stdin, env=wanted)
        finally:
            structlog.reset_defaults()  # a command points the log at its own standard error
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)
