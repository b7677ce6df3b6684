"""`trade-worker topology`: exchanges, queues and bindings of the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_settings, run
from consumer.cli.output import ExitCode, err, out, print_json
from consumer.queue import broker, declare
from consumer.queue.topology import Topology, draw
from storage import migrate, postgres
from storage.errors import StorageError
from storage.ladders import remember_ladder

if TYPE_CHECKING:
    from consumer.settings import Settings

app = typer.Typer(
    help="Declare, check or draw the broker's exchanges, queues and bindings.",
    no_args_is_help=True,
)
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("apply")
def apply(*, as_json: _Json = False) -> None:
    """Declare what is missing and unbind what an older retry ladder left. Deletes nothing.

    Example: RETRY_DELAYS=30s,60s,5m trade-worker topology apply
    """
    settings = load_settings()
    topology = Topology.of(settings)

    async def work() -> list[str]:
        older = await _older_ladders(settings, topology)
        async with broker.connection(settings, "topology") as connection:
            return await declare.apply(connection, topology, older, timeout=settings.broker_timeout)

    done = run(work())
    if as_json:
        print_json({"applied": done})
        return
    for line in done:
        out.print(line, markup=False, soft_wrap=True)


@app.command("check")
def check(*, as_json: _Json = False) -> None:
    """Compare the broker with what this version needs; exit 1 if something differs.

    Creates nothing. Bindings can't be read over AMQP; `apply` makes them.

    Example: trade-worker topology check && trade-worker run
    """
    settings = load_settings()

    async def work() -> list[str]:
        async with broker.connection(settings, "topology") as connection:
            return await declare.check(
                connection, Topology.of(settings), timeout=settings.broker_timeout
            )

    faults = run(work())
    if as_json:
        print_json({"ok": not faults, "faults": faults})
    else:
        for fault in faults:
            err.print(fault, markup=False, soft_wrap=True)
        out.print("the topology differs" if faults else "the topology is as it must be")
    if faults:
        raise typer.Exit(ExitCode.FAILED)


@app.command("show")
def show(*, as_json: _Json = False) -> None:
    """Draw the topology that the settings ask for. Needs no broker.

    Example: RETRY_DELAYS=1s,2s trade-worker topology show
    """
    topology = Topology.of(load_settings())
    if as_json:
        print_json(
            {
                "exchanges": [{"name": e.name, "type": e.kind} for e in topology.exchanges],
                "queues": [
                    {"name": q.name, "arguments": dict(q.arguments)} for q in topology.queues
                ],
                "bindings": [
                    {"exchange": b.exchange, "routing_key": b.key, "queue": b.queue}
                    for b in topology.bindings
                ],
            }
        )
        return
    out.print(draw(topology), markup=False, soft_wrap=True)


async def _older_ladders(settings: Settings, topology: Topology) -> list[Topology]:
    """Ask the database which ladders the queue had; without one there is nothing to unbind."""
    try:
        database = await postgres.connect(settings, give_up_after=2)
        try:
            await migrate.check(database)
            ladders = await remember_ladder(database, topology.queue, topology.delays)
        finally:
            await database.aclose()
    except StorageError as error:
        err.print(
            f"note: older retry ladders are not unbound, for the database has no say: {error}",
            markup=False,
            soft_wrap=True,
        )
        return []
    return [Topology(topology.queue, topology.exchange, delays) for delays in ladders]
