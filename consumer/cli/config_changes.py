"""Writing config keys from the command line: what every command that does has in common."""

from __future__ import annotations

import contextlib
import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_storage_settings, run_with_database
from consumer.cli.output import ExitCode, fail, out, print_json, warn
from consumer.controls.changing import change, never_traded
from consumer.controls.registry import Registry
from consumer.errors import ConfigRefused
from providers.registry import provider_names
from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.postgres import Database

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Who = Annotated[str | None, typer.Option(help="Who changes it; default: the login name.")]
Why = Annotated[str | None, typer.Option(help="Why; the history keeps it.")]


def registry() -> Registry:
    """The keys, for the exchanges that are registered here."""
    return Registry(provider_names())


def accepted(changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """Check changes; ends the command if one is refused."""
    try:
        return registry().accept(changes)
    except ConfigRefused as refused:
        fail(str(refused), ExitCode.USAGE)


def apply_changes(
    changes: Mapping[str, str | None], *, who: str | None, why: str | None, as_json: bool
) -> list[str]:
    """Write changes and say what is different now; ends the command if one is refused."""
    checked = accepted(changes)
    strange: list[str] = []

    async def work(database: Database) -> list[str]:
        done = await change(database, registry(), checked, who=who or login(), why=why)
        with contextlib.suppress(LedgerUnavailable):  # it is done, whatever comes of this
            strange.extend(await never_traded(database, registry(), checked))
        return done

    done = run_with_database(load_storage_settings(), work, check=False)
    say(done, checked, as_json=as_json)
    for symbol in strange:
        warn(
            f"no order of {symbol} came by so far; a symbol is written as its orders have it, "
            "such as BTCUSDT"
        )
    return done


def say(done: list[str], changes: Mapping[str, str | None], *, as_json: bool) -> None:
    """Print the keys that are different now."""
    if as_json:
        print_json({"changed": {key: changes[key] for key in done}})
        return
    for key in done:
        new = changes[key]
        line = f"{key} = {new}" if new is not None else f"{key} removed"
        out.print(line, markup=False, soft_wrap=True)
    if not done:
        out.print("nothing changed")


def login() -> str:
    """Whoever runs the command, as far as the system knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
