"""`trade-worker status`: queue depths, orders by state, what is configured."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consumer.cli.common import load_settings, run
from consumer.cli.output import ExitCode, out, print_json, print_table, short_time
from consumer.documents import LEFT
from consumer.errors import BrokerUnavailable
from consumer.queue import broker
from consumer.queue.broker import UNAVAILABLE
from consumer.queue.topology import Topology
from providers.registry import load_providers
from providers.router import ExchangeRouter
from storage import migrate, postgres
from storage.dead_letters import LetterFilter, count_letters
from storage.errors import StorageError
from storage.foreign import list_foreign
from storage.orders import count_by_state
from storage.watching import outbox
from storage.workers import alive

if TYPE_CHECKING:
    from consumer.settings import Settings

_HELP = """Show queue depths, orders by state, workers, what waits, and the configured exchanges.

Exit 3 if RabbitMQ or PostgreSQL can't be reached.

Example: trade-worker status --json | jq .orders
"""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("status", help=_HELP)
    def _status(
        *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
    ) -> None:
        settings = load_settings()
        report = run(_report(settings))
        if as_json:
            print_json(report)
        else:
            _show(report)
        if report["broker"] != "ok" or report["ledger"] != "ok":
            raise typer.Exit(ExitCode.UNREACHABLE)


async def _report(settings: Settings) -> dict[str, object]:
    (broker_state, queues), (ledger_state, ledger) = await asyncio.gather(
        queue_depths(settings), _ledger(settings)
    )
    router = ExchangeRouter(load_providers(), settings)
    configured = set(router.configured)
    return {
        "broker": broker_state,
        "ledger": ledger_state,
        "queues": queues,
        "orders": ledger.get("orders", {}),
        "workers": ledger.get("workers", []),
        "foreignOrders": ledger.get("foreignOrders", 0),
        "deadLetters": ledger.get("deadLetters", 0),
        "outbox": ledger.get("outbox", {}),
        "exchanges": {
            name: "configured" if name in configured else "not configured" for name in router.names
        },
    }


async def queue_depths(settings: Settings) -> tuple[str, dict[str, dict[str, int] | None]]:
    """Read messages and consumers of each queue; None for a queue that does not exist."""
    topology = Topology.of(settings)
    names = (topology.queue, *topology.rung_queues, topology.dead_letter_queue)
    depths: dict[str, dict[str, int] | None] = {}
    try:
        async with broker.connection(settings, "status") as connection:
            for name in names:
                try:
                    async with connection.channel() as channel:
                        queue = await channel.declare_queue(
                            name, passive=True, timeout=settings.broker_timeout
                        )
                        result = queue.declaration_result
                        depths[name] = {
                            "messages": result.message_count or 0,
                            "consumers": result.consumer_count or 0,
                        }
                except UNAVAILABLE:
                    depths[name] = None
    except BrokerUnavailable as error:
        return str(error), {}
    return "ok", depths


async def _ledger(settings: Settings) -> tuple[str, dict[str, object]]:
    try:
        database = await postgres.connect(settings, give_up_after=3)
        try:
            await migrate.check(database)
            return "ok", {
                "orders": dict((await count_by_state(database)).items()),
                "workers": [
                    {"owner": row.owner, "startedAt": row.started_at, "gated": row.gated}
                    for row in await alive(database)
                ],
                "foreignOrders": len(await list_foreign(database)),
                "deadLetters": sum(
                    one.count for one in await count_letters(database, LetterFilter(states=LEFT))
                ),
                "outbox": {one.kind: one.rows for one in await outbox(database)},
            }
        finally:
            await database.aclose()
    except StorageError as error:
        return str(error), {}


def _waiting(report: dict[str, Any]) -> list[tuple[str, int, str]]:
    """List what somebody or something is yet to see to."""
    rows = report["outbox"]
    return [
        ("dead letters", report["deadLetters"], "trade-worker dlq groups"),
        ("foreign orders", report["foreignOrders"], "trade-worker orders foreign"),
        ("reports to upload", rows.get("report", 0), "OBJECT_STORE_URL"),
        ("notifications to send", rows.get("notification", 0), "trade-worker notify test"),
    ]


def _show(report: dict[str, object]) -> None:
    out.print(f"broker  {report['broker']}", markup=False)
    out.print(f"ledger  {report['ledger']}", markup=False)
    queues = report["queues"]
    if isinstance(queues, dict) and queues:
        out.print()
        print_table(
            ("QUEUE", "READY", "CONSUMERS"),
            (
                (name, depth["messages"], depth["consumers"])
                if depth is not None
                else (name, "does not exist: run `trade-worker topology apply`", None)
                for name, depth in queues.items()
            ),
        )
    orders = report["orders"]
    if isinstance(orders, dict):
        out.print()
        print_table(("STATE", "ORDERS"), sorted(orders.items()))
    workers = report["workers"]
    if isinstance(workers, list) and workers:
        out.print()
        print_table(
            ("WORKER", "STARTED", "DOES NOT OPEN YET ON"),
            (
                (
                    worker["owner"],
                    short_time(worker["startedAt"]),
                    "; ".join(f"{name}: {why}" for name, why in worker["gated"].items()),
                )
                for worker in workers
            ),
        )
    waits = [row for row in _waiting(report) if row[1]]
    if waits:
        out.print()
        print_table(("WHAT WAITS", "HOW MANY", "SEE"), waits)
    exchanges = report["exchanges"]
    if isinstance(exchanges, dict):
        out.print()
        print_table(("EXCHANGE", "CREDENTIALS"), exchanges.items())
