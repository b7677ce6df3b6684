"""`trade-worker config export` and `import`: the whole config as one JSON object."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from consumer.cli.common import load_storage_settings, run_with_database
from consumer.cli.config_changes import Json, Who, Why, accepted, apply_changes, say
from consumer.cli.output import ExitCode, fail, print_json, warn
from consumer.controls.changing import lifts
from storage import config


def export() -> None:
    """Print the whole config as one JSON object, as `import` reads it.

    Example: trade-worker config export > config.json
    """
    print_json(_now())


def import_(
    file: Annotated[Path, typer.Argument(help="A JSON object of keys and values; - is stdin.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also remove the keys that the file lacks.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    why: Why = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Set all keys of a file, in one step; if one is wrong, none is set. Lifts no kill switch.

    Example: trade-worker config import config.json --replace --why "back to normal"
    """
    changes = _read(file)
    now = _now()
    if replace:
        changes |= {key: None for key in now if key not in changes}
    checked = accepted(changes)
    for key in lifts(now, checked):
        del checked[key]
        warn(f"{key} stays {now[key]}: only `trade-worker kill-switch off` lifts it")
    if dry_run:
        different = sorted(key for key, new in checked.items() if now.get(key) != new)
        say(different, checked, as_json=as_json)
        return
    apply_changes(checked, who=who, why=why, as_json=as_json)


def _now() -> dict[str, str]:
    rows = run_with_database(load_storage_settings(), config.list_config, check=False)
    return {row.key: row.value for row in rows}


def _read(file: Path) -> dict[str, str | None]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        document = json.loads(text, parse_float=Decimal, object_pairs_hook=_once)
    except (OSError, ValueError) as error:
        fail(f"{file} can't be read: {error}", ExitCode.USAGE)
    if not isinstance(document, dict):
        fail(f"{file} holds no JSON object of keys and values", ExitCode.USAGE)
    return {key: _text(key, value) for key, value in document.items()}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key} is given twice")
        found[key] = value
    return found


def _text(key: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | Decimal):
        fail(f"{key}: the value must be text, a number, true or false", ExitCode.USAGE)
    return str(value)
