"""How the command line prints and ends: tables for people, JSON for programs, exit codes.

Exit codes: 0 done; 1 the answer is no, or it failed; 2 wrong usage or settings; 3 RabbitMQ,
PostgreSQL or the object store can't be reached; 4 there is no such thing.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import orjson
import structlog
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

# Where nobody looks at a window (a pipe, a file), nothing is folded or cut to fit one.
_NO_WINDOW = 1000  # characters
_FOLDED_MOST = 500  # rows
# A key such as trade:symbols: is no emoji.
out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _NO_WINDOW)
err = Console(stderr=True, highlight=False, emoji=False)


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


def warn(message: str) -> None:
    """Say one line on standard error, and go on."""
    err.print(f"[yellow]trade-worker:[/yellow] {_plain(message)}", soft_wrap=True)


def quiet_logs(level: int = logging.WARNING) -> None:
    """Keep a command's standard output for its answer: warnings go to standard error.

    Args:
        level: the least that is said; `logging.CRITICAL` where even alarms are part of a test.
    """
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def put_out(data: bytes) -> None:
    """Write all of it to standard output.

    Unbuffered (PYTHONUNBUFFERED, as in containers), Python's own writing loses what a pipe does not
    take at once, and says nothing.
    """
    sys.stdout.flush()
    left = memoryview(data)
    while left:
        left = left[sys.stdout.buffer.write(left) or 0 :]
    sys.stdout.flush()


@contextmanager
def writing(file: str) -> Iterator[Callable[[bytes], object]]:
    """Open a file to write to, or standard output if it is `-`; raises `OSError`."""
    if file == "-":
        yield put_out
        return
    with Path(file).open("wb") as opened:
        yield opened.write


def print_json(value: object) -> None:
    """Print one JSON document; times as ISO 8601, decimals as text."""
    text = orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    put_out(text + b"\n")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table; empty cells for None. `styles` colours cells by their text.

    A long one, or one that no terminal shows, is written without folding cells to a window: that
    takes milliseconds for each row.
    """
    rows = list(rows)
    if len(rows) > _FOLDED_MOST or not out.is_terminal:
        put_out(_unfolded(columns, rows).encode(errors="replace"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(cell, styles or {}) for cell in row))
    out.print(table)


def _unfolded(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    texts = [list(columns), *([_one_line(_text(cell)) for cell in row] for row in rows)]
    widths = [max(cell_len(cell) for cell in column) for column in zip(*texts, strict=True)]
    return "".join(
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        + "\n"
        for row in texts
    )


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, which takes an s."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def short_time(moment: datetime | None) -> str | None:
    """Write a time to the second, UTC."""
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _cell(value: object, styles: Mapping[str, str]) -> str:
    text = _plain(_text(value))
    style = styles.get(str(value))
    return f"[{style}]{text}[/]" if style else text


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return str(value)


def _plain(text: str) -> str:
    """Keep text that came from outside from being read as markup."""
    return text.replace("[", "\\[")
