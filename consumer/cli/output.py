"""How the command line prints and ends: tables for people, JSON for programs, exit codes.

Exit codes: 0 done; 1 the answer is no, or it failed; 2 wrong usage or settings; 3 RabbitMQ or
PostgreSQL can't be reached; 4 there is no such thing.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

import orjson
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class ExitCode(IntEnum):
    """What scripts can rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4


def fail(message: str, code: ExitCode) -> NoReturn:
    """End the command with one line on standard error."""
    err.print(f"[red]trade-worker:[/red] {_plain(message)}", soft_wrap=True)
    sys.exit(code)


def print_json(value: object) -> None:
    """Print one JSON document; times as ISO 8601, decimals as text."""
    text = orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    sys.stdout.write(text.decode() + "\n")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table; empty cells for None. `styles` colours cells by their text."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(cell, styles or {}) for cell in row))
    out.print(table)


def short_time(moment: datetime | None) -> str | None:
    """Write a time to the second, UTC."""
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _cell(value: object, styles: Mapping[str, str]) -> str:
    if value is None:
        return ""
    text = _plain(str(value))
    style = styles.get(str(value))
    return f"[{style}]{text}[/]" if style else text


def _plain(text: str) -> str:
    """Keep text that came from outside from being read as markup."""
    return text.replace("[", "\\[")
