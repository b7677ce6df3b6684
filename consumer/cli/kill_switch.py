"""`trade-worker kill-switch`: stop trading, on every worker, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.cli.common import load_storage_settings, run_with_database
from consumer.cli.config_changes import Json, Who, Why, apply_changes, registry
from consumer.cli.output import ExitCode, fail, out, print_json, print_table, short_time
from consumer.controls.permission import switch_key
from consumer.controls.registry import KILL_SWITCH
from consumer.controls.values import Switch
from providers.symbols import normalise
from storage import config

app = typer.Typer(
    help="Stop trading on every worker, within a second; for everything, an exchange or a symbol.",
    no_args_is_help=True,
)
_Exchange = Annotated[str | None, typer.Option(help="Only this exchange.")]
_Symbol = Annotated[str | None, typer.Option(help="Only this symbol.")]
_Why = Annotated[str, typer.Option(help="Why; the history keeps it.")]


@app.command("status")
def status(*, as_json: Json = False) -> None:
    """List the switches that are set; exit 1 if one of them stops anything.

    Example: trade-worker kill-switch status
    """
    rows = [
        row
        for row in run_with_database(load_storage_settings(), config.list_config, check=False)
        if row.key == KILL_SWITCH or row.key.startswith(f"{KILL_SWITCH}:")
    ]
    scopes = {row.key: row.key.removeprefix(KILL_SWITCH).removeprefix(":") for row in rows}
    if as_json:
        print_json(
            [
                {
                    "scope": scopes[row.key] or None,
                    "switch": row.value,
                    "since": row.updated_at,
                    "by": row.updated_by,
                }
                for row in rows
            ]
        )
    else:
        print_table(
            ("SCOPE", "SWITCH", "SINCE", "BY"),
            (
                (scopes[row.key] or "everything", row.value, short_time(row.updated_at),
                 row.updated_by)
                for row in rows
            ),
            {"on": "red", "reduce_only": "yellow", "off": "green"},
        )  # fmt: skip
    if any(row.value != Switch.OFF for row in rows):
        raise typer.Exit(ExitCode.FAILED)
    if not as_json:
        out.print("nothing is stopped")


@app.command("on")
def on(
    *,
    why: Why = None,
    exchange: _Exchange = None,
    symbol: _Symbol = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Let nothing out: no order that opens, none that closes, no take-profit or stop-loss.

    What is refused meanwhile is refused for good; `dlq` replays it deliberately.

    Example: trade-worker kill-switch on --why "prices look wrong"
    """
    _throw(Switch.ON, exchange, symbol, who=who, why=why, as_json=as_json)


@app.command("reduce-only")
def reduce_only(
    *,
    why: Why = None,
    exchange: _Exchange = None,
    symbol: _Symbol = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Let out only what closes a position, or protects one.

    Example: trade-worker kill-switch reduce-only --exchange mexc --why "maintenance at 14:00"
    """
    _throw(Switch.REDUCE_ONLY, exchange, symbol, who=who, why=why, as_json=as_json)


@app.command("off")
def off(
    *,
    why: _Why,
    exchange: _Exchange = None,
    symbol: _Symbol = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Lift a switch. Only orders that come after this are sent; those that came before are not.

    Example: trade-worker kill-switch off --symbol BTCUSDT --why "checked by hand"
    """
    _throw(Switch.OFF, exchange, symbol, who=who, why=why, as_json=as_json)


def _throw(
    switch: Switch,
    exchange: str | None,
    symbol: str | None,
    *,
    who: str | None,
    why: str | None,
    as_json: bool,
) -> None:
    apply_changes({_key(exchange, symbol): switch}, who=who, why=why, as_json=as_json)


def _key(exchange: str | None, symbol: str | None) -> str:
    if exchange is not None and symbol is not None:
        fail("name --exchange or --symbol, not both: a switch has one scope", ExitCode.USAGE)
    if exchange is not None:
        known = registry().exchanges
        if exchange.lower() not in known:
            names = ", ".join(sorted(known))
            fail(f"there is no exchange {exchange!r}; known are {names}", ExitCode.USAGE)
        return switch_key(exchange.lower())
    try:
        return switch_key(normalise(symbol) if symbol is not None else None)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)
