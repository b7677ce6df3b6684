"""The `trade-worker` command: the list of its commands and what they have in common."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from consumer.cli import database, doctor, orders, publish, sandbox, status, topology, worker
from consumer.cli.common import quiet_logs

app = typer.Typer(
    name="trade-worker",
    help="Takes trades from RabbitMQ and places them on Bybit, Binance or MEXC: none twice, "
    "none lost.\n\nSettings come from the environment (AMQP_URL, DATABASE_URL, BYBIT_API_KEY, …); "
    "the README lists them.\n\nExit codes: 0 done, 1 no or failed, 2 wrong usage or settings, "
    "3 a service can't be reached, 4 not found.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer's callback form
    if value:
        typer.echo(f"trade-worker {version('trade-worker')}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    quiet_logs()


worker.register(app)
database.register(app)
app.add_typer(topology.app, name="topology")
publish.register(app)
app.add_typer(orders.app, name="orders")
status.register(app)
doctor.register(app)
app.add_typer(sandbox.app, name="sandbox")


def main() -> None:
    """Run the command line."""
    app()
