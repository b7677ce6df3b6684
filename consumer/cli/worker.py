"""`trade-worker run`: the daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.assembly import run_worker
from consumer.cli.common import load_settings, run
from consumer.telling import logs
from consumer.telling.redaction import Scrubber, secrets_of

if TYPE_CHECKING:
    from consumer.settings import Settings

_RUN_HELP = """Run the worker until SIGTERM or SIGINT.

It finishes and settles what is in flight (at most DRAIN_TIMEOUT seconds) and ends with 0; a second
signal ends it at once. Run as many as you like: they share the queue and the ledger.

Example: AMQP_URL=amqp://… DATABASE_URL=postgresql://… trade-worker run --migrate
"""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("run", help=_RUN_HELP)
    def _run(
        *,
        migrate: Annotated[
            bool, typer.Option("--migrate", help="Migrate the database first.")
        ] = False,
    ) -> None:
        settings = load_settings()
        log_as(settings)
        run(run_worker(settings, apply_migrations=migrate))


def log_as(settings: Settings) -> None:
    """Set the daemon's own logging up."""
    logs.configure(
        settings.log_level,
        settings.log_format,
        replica=str(os.getpid()),
        scrub=Scrubber(secrets_of(settings)),
    )
