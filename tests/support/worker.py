"""The real daemon as a process of its own, with its log in a file and its end in our hands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, SecretStr

from consumer.settings import Settings
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STOP_SECONDS = 30.0
START_SECONDS = 60.0  # a machine may have other things to do


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment that makes a program read these settings, and nothing else of ours."""
    names = {name: _variable(name) for name in type(settings).model_fields}
    ours = {variable for one in names.values() for variable in (one, f"{one}_FILE")}
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    for name, variable in names.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            environ[variable] = str(value)
    return environ


def _variable(name: str) -> str:
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name.upper()


class WorkerProcess:
    """One `trade-worker run`.

    Attributes:
        log: the file with its standard output and standard error.
    """

    def __init__(
        self, environ: Mapping[str, str], log: Path, folder: Path, arguments: Sequence[str] = ()
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "consumer", "run", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environ),
            )

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    @property
    def text(self) -> str:
        """Everything it has said."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Its log lines, or those of one event."""
        lines: list[dict[str, Any]] = []
        for line in self.text.splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(line))
        return [line for line in lines if name is None or line.get("event") == name]

    async def says(
        self, event: str, times: int = 1, *, within: float = START_SECONDS
    ) -> list[dict[str, Any]]:
        """Wait until it has logged an event so often; fails at once if it ended instead."""

        def said() -> list[dict[str, Any]] | None:
            found = self.events(event)
            if len(found) >= times:
                return found
            assert self.exit_code is None, f"the worker ended with {self.exit_code}:\n{self.text}"
            return None

        return await eventually(said, within=within, what=f"{event!r} in {self.log}")

    async def consuming(self, times: int = 1, *, within: float = START_SECONDS) -> None:
        """Wait until it takes messages."""
        await self.says("consuming", times, within=within)

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.exit_code is None:
            self._process.send_signal(number)

    async def ended(self, *, within: float = STOP_SECONDS) -> int:
        """Wait for its end and return its exit code."""
        await eventually(
            lambda: self.exit_code is not None, within=within, what=f"the end of {self.log}"
        )
        code = self.exit_code
        assert code is not None
        return code

    async def stop(self) -> int:
        """Ask it to stop, as an operator would, and return its exit code."""
        self.send(signal.SIGTERM)
        return await self.ended(within=30)

    async def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.send(signal.SIGKILL)
        await self.ended()

    def close(self) -> None:
        """Make sure that it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(STOP_SECONDS)
