"""`trade-worker dlq replay`: publish dead letters again, or try them on a sandbox exchange."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from consumer.cli.common import load_settings
from consumer.cli.letters import (
    Batch,
    By,
    Exchange,
    Json,
    OlderThan,
    Reason,
    RequestId,
    Since,
    Symbol,
    Until,
    run_with_letters,
    selection,
)
from consumer.cli.output import ExitCode, err, fail, out, print_json, print_table
from consumer.letters import rehearsal
from consumer.letters.replay import Replay, Summary, Wanted, summary_document
from consumer.queue.publisher import Publisher
from consumer.queue.topology import Topology
from providers.clock import SystemClock
from storage.replays import Mandate

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.letters.rehearsal import Rehearsed
    from consumer.settings import Settings
    from storage.dead_letters import LetterFilter
    from storage.postgres import Database

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

HELP = """Publish waiting dead letters again: same body, same request id, a new message id.

In the order in which they came, so a batch keeps its own. The ledger still sees to it that nothing
is traded twice: what the exchange has is answered as done, what it may have is refused, and an
order that was denied, expired or rejected is taken up again as a new attempt that its history
shows. What is too old is refused unless --allow-stale is typed. Ctrl-C finishes the few at hand;
the same command goes on where it stopped. Exit 1 if any was refused or it was stopped, 4 if no
letter of the ids, batch or request that were named waits.

With --sandbox nothing is published or recorded: each is sized and placed on a sandbox exchange of
this command's own, and what came of it is shown.

Examples: trade-worker dlq replay --batch 5f0c… --why "margin added" --dry-run;
trade-worker dlq replay 17 18 --why "symbol listed now"; trade-worker dlq replay --all --sandbox
"""


def replay(  # noqa: PLR0913 - each is an option of the command
    ids: Annotated[list[int] | None, typer.Argument(help="Ids of dead letters.")] = None,
    *,
    reason: Reason = None,
    exchange: Exchange = None,
    symbol: Symbol = None,
    batch: Batch = None,
    request_id: RequestId = None,
    since: Since = None,
    until: Until = None,
    older_than: OlderThan = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    why: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
    by: By,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Dead letters a second.")] = 20,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    allow_stale: Annotated[
        bool, typer.Option("--allow-stale", help="Also what is too old, and let it be sent.")
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Place them on a sandbox exchange instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the command; `HELP` is its help."""
    wanted = selection(
        ids=ids, reason=reason, exchange=exchange, symbol=symbol, batch=batch,
        request_id=request_id, since=since, until=until, older_than=older_than,
    )  # fmt: skip
    if not wanted.selects and not everything:
        fail("say which ones: ids, a filter, or --all", ExitCode.USAGE)
    settings = load_settings()
    if sandbox:
        _rehearse(settings, wanted, rate, as_json=as_json)
        return
    if why is None and not dry_run:
        fail('a replay needs a reason for the record: --why "…"', ExitCode.USAGE)
    mandate = Mandate(by, why or "")

    async def work(database: Database, these: LetterFilter) -> Summary:
        asked = Wanted(these, mandate, rate, allow_stale, dry_run)
        return await _replay(settings, database, asked)

    summary = run_with_letters(wanted, work, settings)
    if as_json:
        print_json(summary_document(summary, dry_run=dry_run))
    else:
        _show(summary, dry_run=dry_run)
    _end(wanted, summary.total, failed=bool(summary.refused) or summary.stopped)


async def _replay(settings: Settings, database: Database, asked: Wanted) -> Summary:
    stop = asyncio.Event()
    _listen(stop)
    publisher = Publisher(settings)
    try:
        with _bar() as advance:
            return await Replay(
                settings, Topology.of(settings), database, publisher, SystemClock()
            ).run(asked, stop, advance)
    finally:
        await publisher.aclose()


def _listen(stop: asyncio.Event) -> None:
    """Stop politely at the first Ctrl-C or SIGTERM; the second ends the command at once."""
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread gets signals
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)


class _bar:  # noqa: N801 - used as a function
    """A progress bar on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=err, transient=True, disable=not err.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("replay", total=None)

    def __enter__(self) -> Callable[[Summary], None]:
        self._bar.start()
        return lambda summary: self._bar.update(
            self._task, total=summary.total, completed=summary.seen
        )

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _show(summary: Summary, *, dry_run: bool) -> None:
    refused = sum(summary.refused.values())
    would = "would be " if dry_run else ""
    again = f", {summary.reopened} of them as a new attempt of an order that had ended"
    out.print(
        f"{summary.published} {would}published{again if summary.reopened else ''}; "
        f"{summary.done_already} done already, {refused} refused"
    )
    if summary.examples:
        print_table(("ID", "REFUSED", "WHY"), summary.examples)
        if refused > len(summary.examples):
            out.print(f"… and {refused - len(summary.examples)} more: {dict(summary.refused)}")
    if summary.stopped:
        left = summary.total - summary.seen
        out.print(f"stopped; {left} left: the same command goes on with them")


def _end(wanted: LetterFilter, total: int, *, failed: bool) -> None:
    """End with the code that says what came of it."""
    if total == 0:
        err.print("no dead letter that waits matches; `trade-worker dlq list` shows all")
        if wanted.names:
            raise typer.Exit(ExitCode.NOT_FOUND)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _rehearse(settings: Settings, wanted: LetterFilter, rate: float, *, as_json: bool) -> None:
    async def work(database: Database, these: LetterFilter) -> list[Rehearsed]:
        return await rehearsal.rehearse(settings, database, these, rate)

    found = run_with_letters(wanted, work, settings)
    if as_json:
        print_json([rehearsal.document(one) for one in found])
    else:
        print_table(
            ("ID", "REQUEST ID", "EXCHANGE", "RESULT", "SAYS"),
            ((one.id, one.request_id, one.exchange, one.result, one.says) for one in found),
        )
        out.print(f"{len(found)} tried on a sandbox exchange; nothing was published or recorded")
    _end(wanted, len(found), failed=any(not one.placed for one in found))
