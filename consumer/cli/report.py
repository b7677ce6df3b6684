"""`trade-worker report`: reports of orders in the object store, and the summary of a day."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_settings, run, run_with_database
from consumer.cli.output import (
    ExitCode,
    err,
    fail,
    out,
    print_json,
    print_table,
    put_out,
    short_time,
)
from consumer.cli.times import parse_moment
from consumer.errors import ExtraMissing
from consumer.telling.daily import CONTENT_TYPES, DailyFormat, daily_key, plain, write
from consumer.telling.daily_picture import draw
from providers.symbols import normalise
from storage.daily import hours_of, summarise
from storage.objects.opening import open_store
from storage.objects.store import InvalidKey, ObjectNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consumer.settings import Settings
    from storage.daily import DaySummary, HourOfDay
    from storage.objects.store import ObjectInfo
    from storage.postgres import Database

app = typer.Typer(
    help="Reports of finished orders, and the summary of a day.", no_args_is_help=True
)
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_PREFIX = "trade-reports/"
_USUAL_CURRENCY = "USDT"


@app.command("daily")
def daily(
    *,
    day: Annotated[
        str | None, typer.Option("--date", help="The day, UTC, as 2026-01-31; default: yesterday.")
    ] = None,
    wanted: Annotated[
        DailyFormat | None, typer.Option("--format", help="Write this; default: a table to read.")
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Write to this file; CSV else goes to the screen.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the day into this PNG file.")] = None,
    upload: Annotated[
        bool, typer.Option("--upload", help="Put what is written into the reports' bucket, too.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Sum up a day by exchange and symbol: orders, fills, volume, fees, latency to the wire.

    Parquet and the picture need the extra part `reports`; without it, it says how to install it.

    Example: trade-worker report daily --date 2026-01-31 --format csv --out day.csv --plot day.png
    """
    when = _day(day)
    settings = load_settings()
    chosen = wanted or (_format_of(out_file) if out_file or upload else None)
    if chosen is DailyFormat.PARQUET and out_file is None and not upload:
        fail("Parquet is not for the screen; write it to a file: --out day.parquet", ExitCode.USAGE)

    async def work(database: Database) -> tuple[Sequence[DaySummary], Sequence[HourOfDay], str]:
        rows = await summarise(database, when)
        currency = _main_currency(rows)
        hours = await hours_of(database, when, currency) if plot is not None else []
        return rows, hours, currency

    rows, hours, currency = run_with_database(settings, work)
    try:
        made = {chosen.value: (write(when, rows, chosen), CONTENT_TYPES[chosen])} if chosen else {}
        if plot is not None:
            made["png"] = draw(when, rows, hours, currency), "image/png"
    except (ExtraMissing, ValueError) as error:
        fail(str(error), ExitCode.FAILED)
    if chosen is not None and out_file is not None:
        _save(out_file, made[chosen.value][0])
    if plot is not None:
        _save(plot, made["png"][0])
    if upload:
        run(_upload(settings, {daily_key(when, suffix): one for suffix, one in made.items()}))
    if as_json:
        print_json({"date": when, "rows": [asdict(row) for row in rows]})
    elif chosen is None or out_file is not None or upload:
        _show(when, rows)
    else:
        put_out(made[chosen.value][0])


@app.command("list")
def list_(
    *,
    exchange: Annotated[str, typer.Option(help="Only this exchange.")] = "",
    symbol: Annotated[str, typer.Option(help="Only this symbol; needs --exchange.")] = "",
    since: Annotated[str | None, typer.Option(help="Only the last 2h, 7d, or since a day.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most reports, the newest.")] = 50,
    as_json: _Json = False,
) -> None:
    """List reports in the object store, newest first.

    Example: trade-worker report list --exchange bybit --symbol BTCUSDT --since 7d
    """
    if symbol and not exchange:
        fail("--symbol needs --exchange: keys begin with the exchange", ExitCode.USAGE)
    try:
        earliest = parse_moment(since, datetime.now(UTC)) if since else None
        prefix = _PREFIX + (f"{exchange.lower()}/" if exchange else "")
        prefix += f"{normalise(symbol)}/" if symbol else ""
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)
    found = run(_list(load_settings(), prefix))
    found = [one for one in found if earliest is None or one.modified_at >= earliest]
    found.sort(key=lambda one: one.modified_at, reverse=True)
    shown = found[:limit]
    if as_json:
        print_json([{"key": one.key, "size": one.size, "at": one.modified_at} for one in shown])
        return
    print_table(
        ("WRITTEN", "BYTES", "KEY"),
        ((short_time(one.modified_at), one.size, one.key) for one in shown),
    )
    out.print(f"{len(shown)} of {len(found)} reports")


@app.command("get")
def get(
    key: Annotated[str, typer.Argument(help="The report's key, as `report list` shows it.")],
    *,
    out_file: Annotated[Path | None, typer.Option("--out", help="Write to this file.")] = None,
) -> None:
    """Print one report as it is stored; exit 4 if there is none.

    Example: trade-worker report get trade-reports/bybit/BTCUSDT/2026-01-31T12-00-00-123Z-r-1.json
    """
    settings = load_settings()

    async def work() -> bytes:
        async with open_store(settings, settings.reports_bucket) as store:
            return await store.get(key)

    async def found() -> bytes | None:
        try:
            return await work()
        except (ObjectNotFound, InvalidKey):
            return None

    body = run(found())
    if body is None:
        fail(f"no report {key!r} in {settings.reports_bucket}", ExitCode.NOT_FOUND)
    if out_file is not None:
        _save(out_file, body)
        return
    put_out(body + b"\n" if sys.stdout.isatty() else body)


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date() - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"--date {text!r} is no day; write it as 2026-01-31", ExitCode.USAGE)


def _format_of(path: Path | None) -> DailyFormat:
    return DailyFormat.PARQUET if path and path.suffix == ".parquet" else DailyFormat.CSV


def _main_currency(rows: Sequence[DaySummary]) -> str:
    """Give the currency that most symbols paid their fees in."""
    counts = Counter(currency for row in rows for currency in row.fees)
    return counts.most_common(1)[0][0] if counts else _USUAL_CURRENCY


def _save(path: Path, body: bytes) -> None:
    try:
        path.write_bytes(body)
    except OSError as error:
        fail(f"{path} can't be written: {error.strerror}", ExitCode.FAILED)
    err.print(f"{path} written", markup=False)


async def _upload(settings: Settings, objects: Mapping[str, tuple[bytes, str]]) -> None:
    async with open_store(settings, settings.reports_bucket) as store:
        for key, (body, content_type) in objects.items():
            await store.put(key, body, content_type)
            err.print(f"{key} uploaded to {settings.reports_bucket}", markup=False)


async def _list(settings: Settings, prefix: str) -> list[ObjectInfo]:
    async with open_store(settings, settings.reports_bucket) as store:
        return [one async for one in store.list_objects(prefix)]


def _show(day: date, rows: Sequence[DaySummary]) -> None:
    print_table(
        ("EXCHANGE", "SYMBOL", "ORDERS", "FILLED", "PARTLY", "REFUSED", "OPEN", "VOLUME",
         "IN QUOTE", "FEES", "TO WIRE P50", "P99"),
        (
            (row.exchange, row.symbol, row.orders, row.filled, row.partly_filled,
             row.rejected + row.denied + row.expired, row.open, plain(row.volume_base),
             plain(row.volume_quote), ", ".join(f"{plain(v)} {k}" for k, v in row.fees.items()),
             _ms(row.wire_p50), _ms(row.wire_p99))
            for row in rows
        ),
    )  # fmt: skip
    out.print(f"{day} (UTC): {sum(row.orders for row in rows)} orders")


def _ms(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1000:.1f} ms"
