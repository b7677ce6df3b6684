"""The `trade-worker` command: the list of its commands and what they have in common.

A command's module is imported when the command is called: starting the daemon does not wait for
what only the others need.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from consumer.cli.output import quiet_logs

# Each command and its module below `consumer.cli`, in the order of `--help`. A module has either
# `app`, a group of commands, or `register`, which adds the one command to an app.
COMMANDS = {
    "run": "worker",
    "api": "api",
    "migrate": "database",
    "topology": "topology",
    "publish": "publish",
    "orders": "orders",
    "config": "config",
    "kill-switch": "kill_switch",
    "controls": "controls",
    "limits": "limits",
    "dlq": "dlq",
    "status": "status",
    "doctor": "doctor",
    "report": "report",
    "logs": "logs",
    "notify": "notify",
    "schema": "schema",
    "sandbox": "sandbox",
}


class _Commands(TyperGroup):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own click
        """Name all commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - typer's own click
        """Import one command; None if there is none of the name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"consumer.cli.{COMMANDS[cmd_name]}")
        command: Any
        if hasattr(module, "app"):
            command = get_group(module.app)  # a group, even of one command
        else:
            alone = typer.Typer()
            module.register(alone)
            command = get_command(alone)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="trade-worker",
    cls=_Commands,
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


def main() -> None:
    """Run the command line."""
    app()
