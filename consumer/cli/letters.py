"""What the `dlq` commands share: the options that select dead letters."""

from __future__ import annotations

import getpass
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from consumer.cli.common import load_settings, run_with_database
from consumer.cli.output import ExitCode, fail
from consumer.settings import parse_delay
from providers.symbols import normalise
from storage.dead_letters import LetterFilter, LetterState, batches_named

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from consumer.settings import Settings
    from storage.postgres import Database

T = TypeVar("T")

Reason = Annotated[str | None, typer.Option(help="Only this reason, such as EXCHANGE_REJECTED.")]
Exchange = Annotated[str | None, typer.Option(help="Only this exchange.")]
Symbol = Annotated[str | None, typer.Option(help="Only this symbol.")]
Batch = Annotated[
    str | None, typer.Option(help="Only this batch; the beginning of its id will do.")
]
RequestId = Annotated[str | None, typer.Option(help="Only this request id.")]
Since = Annotated[
    str | None, typer.Option(help="Only those that died since: 30m, 2h, 7d, or ISO 8601.")
]
Until = Annotated[str | None, typer.Option(help="Only those that died before: as --since.")]
OlderThan = Annotated[str | None, typer.Option(help="Only those older than 30m, 2h, 7d.")]
States = Annotated[
    list[LetterState] | None, typer.Option("--state", help="Only in this state; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
By = Annotated[
    str, typer.Option(help="Who you are, for the record.", default_factory=getpass.getuser)
]


def selection(  # noqa: PLR0913 - one for each option
    *,
    ids: Sequence[int] | None = None,
    states: Sequence[LetterState] | None = None,
    reason: str | None = None,
    exchange: str | None = None,
    symbol: str | None = None,
    batch: str | None = None,
    request_id: str | None = None,
    since: str | None = None,
    until: str | None = None,
    older_than: str | None = None,
) -> LetterFilter:
    """Make a filter of options; ends the command if one of them makes no sense."""
    now = datetime.now(UTC)
    try:
        limits = [_moment(text, now) for text in (until, older_than) if text is not None]
        return LetterFilter(
            ids=ids or None,
            states=states or None,
            reason=reason.upper() if reason else None,
            exchange=exchange.lower() if exchange else None,
            symbol=normalise(symbol) if symbol else None,
            batch_id=batch,
            request_id=request_id,
            since=_moment(since, now) if since is not None else None,
            until=min(limits) if limits else None,
        )
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)


def run_with_letters(
    wanted: LetterFilter,
    work: Callable[[Database, LetterFilter], Awaitable[T]],
    settings: Settings | None = None,
) -> T:
    """Run a coroutine with the database and the filter, in which a batch has its whole id."""

    async def named(database: Database) -> T:
        if wanted.batch_id is None:
            return await work(database, wanted)
        found = await batches_named(database, wanted.batch_id)
        if len(found) > 1:
            fail(f"several batches begin so: {', '.join(found)}", ExitCode.USAGE)
        return await work(database, replace(wanted, batch_id=(found or [wanted.batch_id])[0]))

    return run_with_database(settings or load_settings(), named)


def _moment(text: str, now: datetime) -> datetime:
    """Read a time ago (`30m`, `7d`) or an instant (ISO 8601 with a time zone)."""
    if text[-1:] == "d" and text[:-1].isdecimal():
        return now - timedelta(days=int(text[:-1]))
    try:
        return now - parse_delay(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time; write 30m, 2h or 7d ago, or 2026-01-31T12:00:00Z"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} needs a time zone, such as the Z in 2026-01-31T12:00:00Z")
    return moment
