"""`trade-worker migrate`: bring the database to this version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_settings, run_with_database
from consumer.cli.output import ExitCode, fail, out, print_json
from storage import migrate as migrations
from storage import roles
from storage.errors import MigrationError

if TYPE_CHECKING:
    from storage.postgres import Database

_HELP = """Apply the database migrations that are missing. Safe to repeat, and to run at once.

Example: DATABASE_URL=postgresql://owner@db/trade trade-worker migrate --role trade_worker
"""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("migrate", help=_HELP)
    def _migrate(
        *,
        check: Annotated[
            bool, typer.Option("--check", help="Change nothing; exit 1 if something is missing.")
        ] = False,
        role: Annotated[
            str | None,
            typer.Option(
                "--role",
                help="Also give this role, which must exist, the rights a worker needs and no "
                "more: no DDL, and no event or fill can be changed or removed. Roles that have "
                "them already are given what a new version adds, without being named.",
            ),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        async def work(database: Database) -> tuple[list[str], list[str]]:
            if check:
                await migrations.check(database)
                return [], []
            applied = await migrations.migrate(database)
            wanted = {role} if role is not None else set()
            if applied:
                wanted |= set(await roles.granted(database))
            for name in sorted(wanted):
                await roles.grant(database, name)
            return applied, sorted(wanted)

        try:
            applied, granted = run_with_database(load_settings(), work, check=False)
        except MigrationError as error:
            fail(str(error), ExitCode.FAILED)
        if as_json:
            print_json({"applied": applied, "role": role, "roles": granted})
            return
        for name in applied:
            out.print(f"applied {name}")
        out.print("the database is up to date")
        for name in granted:
            out.print(f"{name} has a worker's rights", markup=False)
