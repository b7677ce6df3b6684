"""`trade-worker sandbox fault`: what goes wrong with which requests and stream events."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from consumer.cli.output import out, print_json, print_table
from consumer.cli.sandbox_controls import DEFAULT_URL, AsJson, Url, with_control
from providers.sandbox.fault_kinds import MEANINGS, FaultKind

app = typer.Typer(help="Tell a running sandbox to misbehave.", no_args_is_help=True)


@app.command("add")
def fault_add(  # noqa: PLR0913 - each is an option of the command
    kind: Annotated[FaultKind, typer.Argument(help="What goes wrong; see `fault kinds`.")],
    *,
    url: Url = DEFAULT_URL,
    venue: Annotated[str, typer.Option(help="Only this exchange.")] = "",
    method: Annotated[str, typer.Option(help="Only this HTTP method.")] = "",
    endpoint: Annotated[
        str, typer.Option(help="Only this endpoint or topic: order/create, execution; * and ?.")
    ] = "",
    symbol: Annotated[str, typer.Option(help="Only this symbol.")] = "",
    client_order_id: Annotated[str, typer.Option(help="Only client order ids that begin so.")] = "",
    client_order_id_regex: Annotated[str, typer.Option(help="Only those this is found in.")] = "",
    count: Annotated[
        int | None, typer.Option(min=1, help="How many requests; default: all.")
    ] = None,
    after: Annotated[int, typer.Option(min=0, help="Let so many pass first.")] = 0,
    probability: Annotated[
        float | None, typer.Option(help="Strike with this chance, above 0 to 1.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The chances follow from it.")] = 0,
    for_ms: Annotated[int | None, typer.Option(min=1, help="The rule ends so long after.")] = None,
    ms: Annotated[int, typer.Option(help="Milliseconds, for delays, bans, hiding, skew.")] = 0,
    status: Annotated[int | None, typer.Option(help="HTTP status of an error.")] = None,
    code: Annotated[str, typer.Option(help="The exchange's code of an answer.")] = "",
    message: Annotated[str, typer.Option(help="Its text; the reason, for reject_later.")] = "",
    fraction: Annotated[
        str | None, typer.Option(help="The share that fills, for partial_cancel.")
    ] = None,
    parts: Annotated[int | None, typer.Option(min=2, help="Executions, for split.")] = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Process the request all the same.")
    ] = False,
    recheck_window: Annotated[
        bool, typer.Option("--recheck-window", help="Delayed: look at its age again then.")
    ] = False,
) -> None:
    """Add a fault; prints its number.

    Example: trade-worker sandbox fault add drop_after --endpoint order/create --count 1
    """
    optional = {
        "count": count,
        "for_ms": for_ms,
        "status": status,
        "fraction": fraction,
        "parts": parts,
        "probability": None if probability is None else str(probability),
    }
    values: dict[str, Any] = {
        "venue": venue,
        "method": method,
        "endpoint": endpoint,
        "symbol": symbol,
        "client_order_id_prefix": client_order_id,
        "client_order_id_regex": client_order_id_regex,
        "after": after,
        "seed": seed,
        "ms": ms,
        "code": code,
        "message": message,
        "execute": execute,
        "recheck_window": recheck_window,
        **{name: value for name, value in optional.items() if value is not None},
    }
    number = with_control(url, lambda control: control.add_fault(kind, **values))
    out.print(f"fault {number}: {kind}")


@app.command("kinds")
def fault_kinds(*, as_json: AsJson = False) -> None:
    """List what can go wrong, and what each kind means.

    Example: trade-worker sandbox fault kinds
    """
    if as_json:
        print_json(MEANINGS)
        return
    print_table(("KIND", "MEANING"), MEANINGS.items())


@app.command("list")
def fault_list(*, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List the faults in force and how often each struck.

    Example: trade-worker sandbox fault list
    """
    report = with_control(url, lambda control: control.faults())
    if as_json:
        print_json(report)
        return
    rules = report["rules"]
    print_table(
        ("ID", "KIND", "MATCHED", "INJECTED"),
        (
            (rule.get("id"), rule.get("kind"), rule.get("matched"), rule.get("injected"))
            for rule in rules
        ),
    )


@app.command("clear")
def fault_clear(
    number: Annotated[int, typer.Argument(help="Only this one; none: all.")] = 0,
    *,
    url: Url = DEFAULT_URL,
) -> None:
    """Take a fault, or all faults, out of force.

    Example: trade-worker sandbox fault clear 3
    """
    if number:
        with_control(url, lambda control: control.remove_fault(number))
        out.print(f"fault {number} is out of force")
        return
    with_control(url, lambda control: control.clear_faults())
    out.print("no fault is in force")
