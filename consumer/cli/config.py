"""`trade-worker config`: what can be changed while messages flow."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_storage_settings, run_with_database
from consumer.cli.config_changes import Json, Who, Why, apply_changes, registry
from consumer.cli.config_files import export, import_
from consumer.cli.output import ExitCode, fail, out, print_json, print_table, short_time
from consumer.controls.registry import KEYS
from consumer.errors import ConfigRefused
from providers.clock import SystemClock
from storage import config
from storage.config_feed import ConfigFeed

if TYPE_CHECKING:
    from datetime import datetime

    from consumer.controls.registry import Registry
    from storage.config import ConfigChange, ConfigRow, Stored
    from storage.postgres import Database

app = typer.Typer(
    help="Read and change the config: routing, kill switch, limits. Workers obey at once.",
    no_args_is_help=True,
)
_Key = Annotated[str, typer.Argument(help="The key, such as trade:max_leverage.")]


@app.command("get")
def get(key: _Key, *, as_json: Json = False) -> None:
    """Print the value of a key; exit 4 if it is not set.

    Example: trade-worker config get trade:max_leverage
    """
    known = _known(key)
    rows = {
        row.key: row
        for row in run_with_database(load_storage_settings(), config.list_config, check=False)
    }
    if key not in rows:
        default = f"; its default is {known}" if known else ""
        fail(f"{key} is not set{default}", ExitCode.NOT_FOUND)
    if as_json:
        print_json(_document(rows[key]))
        return
    out.print(rows[key].value, markup=False, soft_wrap=True)


@app.command("set")
def set_(
    key: _Key,
    value: Annotated[str, typer.Argument(help="Its new value.")],
    *,
    why: Why = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Set a key. An unknown key or a value of the wrong form is refused, exit 2.

    Example: trade-worker config set exchanges:routing:SOLUSDT binance --why "bybit is slow"
    """
    apply_changes({key: value}, who=who, why=why, as_json=as_json)


@app.command("unset")
def unset(key: _Key, *, why: Why = None, who: Who = None, as_json: Json = False) -> None:
    """Remove a key, so that its default holds; exit 4 if it was not set.

    Example: trade-worker config unset exchanges:routing:SOLUSDT --why "bybit is well again"
    """
    if not apply_changes({key: None}, who=who, why=why, as_json=as_json):
        fail(f"{key} was not set", ExitCode.NOT_FOUND)


@app.command("list")
def list_(
    *,
    every: Annotated[bool, typer.Option("--all", help="Every key there is, set or not.")] = False,
    as_json: Json = False,
) -> None:
    """List the keys that are set, and what is wrong with any that can't be obeyed.

    Example: trade-worker config list --all
    """
    keys = registry()
    rows = run_with_database(load_storage_settings(), config.list_config, check=False)
    faults = {row.key: fault for row in rows if (fault := _fault(keys, row)) is not None}
    if as_json:
        print_json([{**_document(row), "fault": faults.get(row.key)} for row in rows])
        return
    print_table(
        ("KEY", "VALUE", "SINCE", "BY", "FAULT"),
        (
            (row.key, row.value, short_time(row.updated_at), row.updated_by, faults.get(row.key))
            for row in rows
        ),
    )
    if every:
        out.print()
        print_table(
            ("KEYS", "EXPECTED", "DEFAULT", "MEANING"),
            (("\n".join(k.patterns), keys.expected(k), k.default, k.meaning) for k in KEYS),
        )


@app.command("history")
def history(
    key: Annotated[str | None, typer.Argument(help="Only this key.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="Most changes.")] = 50,
    as_json: Json = False,
) -> None:
    """List who changed what, when and why, newest first.

    Example: trade-worker config history trade:kill_switch
    """

    async def work(database: Database) -> list[ConfigChange]:
        return await config.history(database, key=key, limit=limit)

    changes = run_with_database(load_storage_settings(), work, check=False)
    if as_json:
        print_json([asdict(one) for one in changes])
        return
    print_table(
        ("AT", "KEY", "OLD", "NEW", "WHO", "WHY"),
        ((short_time(c.at), c.key, c.old, c.new, c.who, c.why) for c in changes),
    )


@app.command("watch")
def watch(*, as_json: Json = False) -> None:
    """Print changes as they happen, until interrupted.

    Example: trade-worker config watch --json
    """
    settings = load_storage_settings()

    async def work(database: Database) -> None:
        follower = _Watching()
        feed = asyncio.create_task(ConfigFeed(settings, follower, SystemClock()).run())
        last = max((c.id for c in await config.history(database, limit=1)), default=0)
        try:
            while True:
                for one in reversed(await config.history(database, after=last, limit=1000)):
                    last = one.id
                    _print_change(one, as_json=as_json)
                await follower.changed.wait()
                follower.changed.clear()
        finally:
            feed.cancel()

    run_with_database(settings, work)


app.command("export")(export)
app.command("import")(import_)


class _Watching:
    """A follower that only wants to know that something changed."""

    moves_of = "-"

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._version: int | None = None

    def take(self, stored: Stored, asked_at: float) -> None:
        del asked_at
        self._version = stored.version
        self.changed.set()

    def confirm(self, version: int, at: datetime, asked_at: float) -> bool:
        """Say whether nothing changed."""
        del at, asked_at
        return version == self._version


def _known(key: str) -> str:
    try:
        return registry().known(key).key.default
    except ConfigRefused as refused:
        fail(str(refused), ExitCode.USAGE)


def _fault(keys: Registry, row: ConfigRow) -> str | None:
    try:
        keys.read(row.key, row.value)
    except ConfigRefused as refused:
        return str(refused)
    return None


def _print_change(one: ConfigChange, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(asdict(one), default=str) + "\n")
        sys.stdout.flush()
        return
    what = f"{one.old or 'unset'} -> {one.new or 'unset'}"
    why = f" ({one.why})" if one.why else ""
    out.print(
        f"{short_time(one.at)} {one.key}: {what} by {one.who}{why}", markup=False, soft_wrap=True
    )


def _document(row: ConfigRow) -> dict[str, object]:
    return {
        "key": row.key,
        "value": row.value,
        "updatedAt": row.updated_at,
        "updatedBy": row.updated_by,
    }
