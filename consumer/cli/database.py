"""`trade-worker migrate`: bring the database to this version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_settings, run_with_database
from consumer.cli.output import ExitCode, fail, out, print_json
from storage import migrate as migrations
from storage.errors import MigrationError

if TYPE_CHECKING:
    from storage.postgres import Database

_HELP = """Apply the database migrations that are missing. Safe to repeat, and to run at once.

Example: DATABASE_URL=postgresql://trade@db/trade trade-worker migrate
"""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("migrate", help=_HELP)
    def _migrate(
        *,
        check: Annotated[
            bool, typer.Option("--check", help="Change nothing; exit 1 if something is missing.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        async def work(database: Database) -> list[str]:
            if check:
                await migrations.check(database)
                return []
            return await migrations.migrate(database)

        try:
            applied = run_with_database(load_settings(), work, check=False)
        except MigrationError as error:
            fail(str(error), ExitCode.FAILED)
        if as_json:
            print_json({"applied": applied})
            return
        for name in applied:
            out.print(f"applied {name}")
        out.print("the database is up to date")
