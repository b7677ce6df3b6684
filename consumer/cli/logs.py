"""`trade-worker logs`: the system logs in the object store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from consumer.cli.common import load_settings, run
from consumer.cli.output import ExitCode, err, fail, writing
from consumer.cli.times import parse_moment
from consumer.telling.log_reading import hours_between, read_lines
from storage.objects.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.settings import Settings

app = typer.Typer(
    help="The log of requests to exchanges, kept in the object store.",
    no_args_is_help=True,
)


@app.command("download")
def download(
    *,
    since: Annotated[
        str, typer.Option(help="From so long ago (30m, 2h, 7d), a day, or an instant.")
    ],
    until: Annotated[str | None, typer.Option(help="To then; default: now.")] = None,
    out: Annotated[str, typer.Option(help="The file to write; - is standard output.")] = "-",
) -> None:
    """Write the lines of all replicas as NDJSON, in the order of time.

    A worker uploads its lines every SYSTEM_LOGS_INTERVAL seconds, and when it stops.

    Example: trade-worker logs download --since 2h --out today.ndjson
    """
    now = datetime.now(UTC)
    try:
        first = parse_moment(since, now)
        last = parse_moment(until, now) if until else now
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)
    if last <= first:
        fail(f"--until {last.isoformat()} is not after --since {first.isoformat()}", ExitCode.USAGE)
    settings = load_settings()
    try:
        with writing(out) as put:
            lines, objects, unreadable = run(_download(settings, first, last, put))
    except OSError as error:
        fail(f"{out} can't be written: {error.strerror}", ExitCode.FAILED)
    err.print(f"{lines} lines from {objects} objects" + ("" if out == "-" else f" in {out}"))
    if unreadable:
        shown = ", ".join(unreadable[:5])
        fail(f"{len(unreadable)} objects can't be read: {shown}", ExitCode.FAILED)


async def _download(
    settings: Settings, since: datetime, until: datetime, put: Callable[[bytes], object]
) -> tuple[int, int, list[str]]:
    lines = objects = 0
    unreadable: list[str] = []
    bar = Progress(
        TextColumn("hours"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=err, transient=True,
    )  # fmt: skip
    async with open_store(settings, settings.system_logs_bucket) as store:
        with bar:
            task = bar.add_task("hours", total=len(list(hours_between(since, until))))
            async for hour in read_lines(store, since, until):
                put(b"".join(line + b"\n" for line in hour.lines))
                lines += len(hour.lines)
                objects += hour.objects
                unreadable += hour.unreadable
                bar.advance(task)
    return lines, objects, unreadable
