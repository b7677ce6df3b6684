"""`trade-worker notify`: are people told?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_settings, run
from consumer.cli.output import ExitCode, fail, out, print_json
from consumer.errors import NotifyFailed, NotifyMisconfigured
from consumer.telling.notices import Mood, Notice
from consumer.telling.notify import Services

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(help="Notifications to people: NOTIFY_URLS.", no_args_is_help=True)

_TRY = Notice(
    "trade-worker: test",
    "This is a test: notifications of trade-worker arrive here. Nothing has happened.",
    Mood.INFO,
)


@app.callback()
def _group() -> None:
    """Keep `test` a command of its own while it is the only one."""


@app.command("test")
def try_out(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Send a test message to every service of NOTIFY_URLS; exit 1 if one does not take it.

    Example: NOTIFY_URLS=json://127.0.0.1:8000/hook trade-worker notify test
    """
    settings = load_settings()
    if not settings.notify_services:
        fail("NOTIFY_URLS is not set, so nobody is told of anything", ExitCode.USAGE)
    try:
        services = Services(settings.notify_services)
    except NotifyMisconfigured as error:
        fail(str(error), ExitCode.USAGE)
    failed = run(_send(services))
    states = {name: "failed" if name in failed else "sent" for name in services.names}
    if as_json:
        print_json({"services": states, "topics": settings.notify_topics})
    else:
        for name, state in states.items():
            out.print(f"{name}: {state}", markup=False)
        out.print(f"told of: {', '.join(settings.notify_topics)}")
    if failed:
        raise typer.Exit(ExitCode.FAILED)


async def _send(services: Services) -> Sequence[str]:
    try:
        return await services.send(_TRY)
    except NotifyFailed:
        return services.names
