"""`trade-worker doctor`: are the exchanges reachable, and may we trade there?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from consumer.cli.common import load_settings, run
from consumer.cli.output import ExitCode, fail, print_json, print_table
from consumer.doctor import Finding, Verdict, examine
from providers.clock import SystemClock
from providers.registry import load_providers
from providers.router import ExchangeRouter
from providers.symbols import normalise

_HELP = """Check each exchange: reachable, clock, key and its rights, account, order endpoint.

Trades nothing. Exit 1 if a check failed; an exchange without credentials is only told. A key that
can withdraw is a danger, shown in red. For MEXC it prints what lets opening orders through.

Example: trade-worker doctor --exchange bybit
"""
_COLOUR = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.DANGER: "bold red",
    Verdict.FAILED: "red",
    Verdict.SKIPPED: "dim",
}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("doctor", help=_HELP)
    def _doctor(
        *,
        exchange: Annotated[str | None, typer.Option(help="Only this exchange.")] = None,
        symbol: Annotated[str, typer.Option(help="The symbol to look at.")] = "BTCUSDT",
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        router = ExchangeRouter(load_providers(), load_settings())
        if exchange is not None and exchange.lower() not in router.names:
            fail(f"{exchange!r} is none of {', '.join(router.names)}", ExitCode.NOT_FOUND)
        names = (exchange.lower(),) if exchange is not None else router.names
        try:
            wanted = normalise(symbol)
        except ValueError as error:
            fail(str(error), ExitCode.USAGE)
        findings = run(_examine(router, names, wanted))
        if as_json:
            print_json([asdict(finding) for finding in findings])
        else:
            print_table(
                ("EXCHANGE", "CHECK", "RESULT", "WHAT WAS SEEN"),
                ((f.exchange, f.check, f.verdict, f.says) for f in findings),
                styles={verdict.value: colour for verdict, colour in _COLOUR.items()},
            )
        if any(finding.verdict is Verdict.FAILED for finding in findings):
            raise typer.Exit(ExitCode.FAILED)


async def _examine(router: ExchangeRouter, names: tuple[str, ...], symbol: str) -> list[Finding]:
    try:
        return [
            finding
            for name in names
            for finding in await examine(router, name, symbol, SystemClock())
        ]
    finally:
        await router.aclose()
