"""`trade-worker api`: the REST API without the queue."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.assembly import run_worker
from consumer.cli.common import load_settings, run
from consumer.cli.worker import log_as

DEFAULT_PORT = 8780

_HELP = """Serve the REST API alone, on loopback unless API_HOST differs; ends as `run` does.

Trades that are posted to it are executed here, by the same ledger and controls as those from the
queue, which it does not take from; `trade-worker run` serves the API too if API_PORT is set.

Example: INTERNAL_KEY_BINDING_FILE=/run/secrets/key trade-worker api --port 8780
"""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("api", help=_HELP)
    def _api(
        *,
        port: Annotated[
            int | None,
            typer.Option(min=1, max=65535, help=f"Default: API_PORT, else {DEFAULT_PORT}."),
        ] = None,
        migrate: Annotated[
            bool, typer.Option("--migrate", help="Migrate the database first.")
        ] = False,
    ) -> None:
        settings = load_settings()
        settings = settings.model_copy(
            update={"api_port": port or settings.api_port or DEFAULT_PORT}
        )
        log_as(settings)
        run(run_worker(settings, apply_migrations=migrate, consume=False))
