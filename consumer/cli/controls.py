"""`trade-worker controls`: what holds orders back now, and whether it would."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from consumer import selftest
from consumer.cli.common import load_settings, run_with_database
from consumer.cli.output import ExitCode, fail, out, print_json, print_table, quiet_logs
from consumer.controls.registry import KEYS
from storage import config
from storage.probing import may_make_schema

if TYPE_CHECKING:
    from consumer.selftest import Tried
    from storage.postgres import Database

app = typer.Typer(
    help="What holds orders back: list it, and try whether it would.", no_args_is_help=True
)
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("show")
def show(*, as_json: _Json = False) -> None:
    """List every control, with what it is set to.

    Example: trade-worker controls show
    """
    rows = run_with_database(load_settings(), config.list_config)
    listed: list[tuple[str, str | None, str]] = []
    for key in KEYS:
        names = tuple(pattern.partition("<")[0] for pattern in key.patterns)
        found = [
            row for row in rows
            if row.key in key.patterns or any("<" in one and row.key.startswith(name)
                for one, name in zip(key.patterns, names, strict=True))
        ]  # fmt: skip
        listed += [(row.key, row.value, key.meaning) for row in found] or [
            (key.name, None, key.meaning)
        ]
    if as_json:
        print_json([{"key": key, "value": value, "meaning": text} for key, value, text in listed])
        return
    print_table(
        ("KEY", "VALUE", "MEANING"),
        ((key, value or "not set", text) for key, value, text in listed),
    )


@app.command("selftest")
def selftest_(*, as_json: _Json = False) -> None:
    """Try every control: orders one step under, at and over each limit, on a sandbox exchange.

    Uses a schema of its own in the database, which is dropped at the end (the role of DATABASE_URL
    must be allowed to make one); no real order, queue or exchange is touched. Exit 1 if a control
    did not act.

    Example: trade-worker controls selftest
    """
    settings = load_settings()
    quiet_logs(logging.CRITICAL)

    async def work(database: Database) -> list[Tried]:
        if not await may_make_schema(database):
            fail(
                "this role may not make a schema in the database; take the one that migrates",
                ExitCode.FAILED,
            )
        return await selftest.run(settings, database)

    tried = run_with_database(settings, work)
    failed = [one for one in tried if not one.acted]
    if as_json:
        print_json([{**asdict(one), "acted": one.acted} for one in tried])
    else:
        print_table(
            ("CONTROL", "STEP", "EXPECTED", "GOT", "ACTED"),
            (
                (one.control, one.step, one.expected, one.got, "yes" if one.acted else "NO")
                for one in tried
            ),
            {"yes": "green", "NO": "bold red"},
        )
    if failed:
        first = failed[0]
        fail(
            f"{len(failed)} of {len(tried)} steps went wrong; the first: {first.control}, "
            f"{first.step}: {first.says or first.got}",
            ExitCode.FAILED,
        )
    if not as_json:
        out.print(f"all {len(tried)} steps went as they must")
