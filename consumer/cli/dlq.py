"""`trade-worker dlq`: look at dead letters, put them aside, write them out."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from pydantic.alias_generators import to_camel

from consumer.cli import dlq_replay
from consumer.cli.common import load_settings, run_with_database
from consumer.cli.letters import (
    Batch,
    By,
    Exchange,
    Json,
    OlderThan,
    Reason,
    RequestId,
    Since,
    States,
    Symbol,
    Until,
    run_with_letters,
    selection,
)
from consumer.cli.output import (
    ExitCode,
    counted,
    fail,
    out,
    print_json,
    print_table,
    short_time,
    writing,
)
from consumer.documents import LEFT, body_document, letter_document, stats_document
from storage.dead_letters import (
    LetterFilter,
    all_letters,
    count_letters,
    drop_letters,
    get_body,
    group_letters,
    list_letters,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.dead_letters import LetterCount, LetterGroup, LetterRow
    from storage.postgres import Database

app = typer.Typer(help="Look into dead letters, replay them, put them aside.", no_args_is_help=True)
app.command("replay", help=dlq_replay.HELP)(dlq_replay.replay)

_ERROR_SHOWN = 60


@app.command("list")
def list_(  # noqa: PLR0913 - each is an option of the command
    *,
    reason: Reason = None,
    exchange: Exchange = None,
    symbol: Symbol = None,
    batch: Batch = None,
    request_id: RequestId = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    state: States = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most dead letters.")] = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first.

    Example: trade-worker dlq list --reason EXCHANGE_REJECTED --since 2h --state waiting
    """
    wanted = selection(
        reason=reason, exchange=exchange, symbol=symbol, batch=batch, request_id=request_id,
        since=since, until=until, older_than=older_than, states=state,
    )  # fmt: skip

    async def work(database: Database, these: LetterFilter) -> Sequence[LetterRow]:
        return await list_letters(database, these, limit)

    rows = run_with_letters(wanted, work)
    if as_json:
        print_json([letter_document(row) for row in rows])
        return
    print_table(
        ("ID", "REASON", "EXCHANGE", "SYMBOL", "ACTION", "REQUEST ID", "BATCH", "FAILED", "STATE",
         "ERROR"),
        (
            (row.id, row.reason, row.exchange, row.symbol, row.action, row.request_id,
             row.batch_id[:8], short_time(row.failed_at), row.state, _short(row.error))
            for row in rows
        ),
    )  # fmt: skip
    first = f" (the first {limit})" if len(rows) == limit else ""
    out.print(counted(len(rows), "dead letter") + first)


@app.command("show")
def show(
    letter_id: Annotated[int, typer.Argument(help="The dead letter's id.")],
    *,
    as_json: Json = False,
) -> None:
    """Show one dead letter with its headers and its body; exit 4 if there is none.

    Example: trade-worker dlq show 17
    """

    async def work(database: Database) -> tuple[LetterRow, bytes] | None:
        rows = await list_letters(database, LetterFilter(ids=[letter_id]), 1)
        return (rows[0], await get_body(database, letter_id)) if rows else None

    found = run_with_database(load_settings(), work)
    if found is None:
        fail(f"no dead letter has the id {letter_id}", ExitCode.NOT_FOUND)
    row, body = found
    document = letter_document(row)
    if as_json:
        print_json(document | body_document(body))
        return
    headers = document.pop("headers")
    print_table(("FIELD", "VALUE"), ((k, v) for k, v in document.items() if v not in (None, "")))
    out.print()
    print_table(("HEADER", "VALUE"), headers.items())
    out.print()
    shown = body_document(body)
    out.print(shown.get("body", f"{len(body)} bytes that are not UTF-8; see --json"), markup=False)


@app.command("groups")
def groups(  # noqa: PLR0913 - as above
    *,
    reason: Reason = None,
    exchange: Exchange = None,
    symbol: Symbol = None,
    batch: Batch = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    state: States = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most groups.")] = 50,
    as_json: Json = False,
) -> None:
    """Count dead letters by reason and error, numbers and ids in it aside; default: waiting ones.

    Example: trade-worker dlq groups --since 24h
    """
    wanted = selection(
        reason=reason, exchange=exchange, symbol=symbol, batch=batch,
        since=since, until=until, older_than=older_than, states=state or LEFT,
    )  # fmt: skip

    async def work(database: Database, these: LetterFilter) -> Sequence[LetterGroup]:
        return await group_letters(database, these, limit)

    found = run_with_letters(wanted, work)
    if as_json:
        print_json([_camel(asdict(group)) for group in found])
        return
    print_table(
        ("COUNT", "REASON", "ERROR", "REQUESTS", "FIRST", "LAST", "EXAMPLE"),
        (
            (group.count, group.reason, group.error, group.requests, short_time(group.first_at),
             short_time(group.last_at), group.example)
            for group in found
        ),
    )  # fmt: skip
    letters = counted(sum(group.count for group in found), "dead letter")
    out.print(f"{letters} in {counted(len(found), 'group')}")


@app.command("stats")
def stats(*, since: Since = None, as_json: Json = False) -> None:
    """Count dead letters by state, reason and exchange, and tell the oldest that waits.

    Example: trade-worker dlq stats --json | jq .waiting
    """
    wanted = selection(since=since)

    async def work(database: Database) -> Sequence[LetterCount]:
        return await count_letters(database, wanted)

    report = stats_document(run_with_database(load_settings(), work))
    if as_json:
        print_json(report)
        return
    for name in ("byState", "byReason", "byExchange"):
        print_table((name.removeprefix("by").upper(), "DEAD LETTERS"), report[name].items())
        out.print()
    oldest = report["oldestWaiting"]
    out.print(f"{report['waiting']} waiting" + (f", the oldest since {oldest}" if oldest else ""))


@app.command("drop")
def drop(  # noqa: PLR0913 - as above
    ids: Annotated[list[int] | None, typer.Argument(help="Ids of dead letters.")] = None,
    *,
    why: Annotated[str, typer.Option(help="Why, for the record.")],
    reason: Reason = None,
    exchange: Exchange = None,
    symbol: Symbol = None,
    batch: Batch = None,
    request_id: RequestId = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    by: By,
    as_json: Json = False,
) -> None:
    """Put waiting dead letters aside for good; their rows and bodies stay.

    Example: trade-worker dlq drop --reason VALIDATION_ERROR --older-than 7d --why "fixed in 1.4"
    """
    wanted = selection(
        ids=ids, reason=reason, exchange=exchange, symbol=symbol, batch=batch,
        request_id=request_id, since=since, until=until, older_than=older_than,
    )  # fmt: skip
    if not wanted.selects and not everything:
        fail("say which ones: ids, a filter, or --all", ExitCode.USAGE)

    async def work(database: Database, these: LetterFilter) -> int:
        return await drop_letters(database, these, by, why)

    dropped = run_with_letters(wanted, work)
    if as_json:
        print_json({"dropped": dropped})
    else:
        out.print(f"dropped {dropped}")


@app.command("export")
def export(  # noqa: PLR0913 - as above
    file: Annotated[str, typer.Argument(help="A file to write, or - for standard output.")] = "-",
    *,
    reason: Reason = None,
    exchange: Exchange = None,
    symbol: Symbol = None,
    batch: Batch = None,
    request_id: RequestId = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    state: States = None,
) -> None:
    """Write dead letters with headers and bodies as one JSON object a line, newest first.

    A body that is not UTF-8 is in `bodyBase64` instead of `body`. It is a whole copy: credentials
    that a producer put into a header are in it, which `list` and `show` hide.

    Example: trade-worker dlq export letters.ndjson --state waiting
    """
    wanted = selection(
        reason=reason, exchange=exchange, symbol=symbol, batch=batch, request_id=request_id,
        since=since, until=until, older_than=older_than, states=state,
    )  # fmt: skip

    async def work(database: Database, these: LetterFilter) -> int:
        count = 0
        async for page in all_letters(database, these):
            for row in page:
                document = letter_document(row, whole=True)
                document |= body_document(await get_body(database, row.id))
                put(orjson.dumps(document, default=str) + b"\n")
            count += len(page)
        return count

    settings = load_settings()
    try:
        with writing(file) as put:
            count = run_with_letters(wanted, work, settings)
    except OSError as error:
        fail(f"{file} can't be written: {error.strerror}", ExitCode.FAILED)
    if file != "-":
        out.print(f"wrote {counted(count, 'dead letter')} to {file}", markup=False)


def _camel(values: dict[str, Any]) -> dict[str, Any]:
    return {to_camel(name): value for name, value in values.items()}


def _short(text: str) -> str:
    return text if len(text) <= _ERROR_SHOWN else f"{text[: _ERROR_SHOWN - 1]}…"
