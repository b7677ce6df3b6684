"""`trade-worker sandbox`: serve the sandbox exchange, and tell a running one to misbehave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from consumer.cli.common import run
from consumer.cli.output import ExitCode, fail, out, print_json, print_table
from providers.sandbox.client import SandboxControl, SandboxControlError
from providers.sandbox.faults import FaultKind
from providers.sandbox.server import DEFAULT_PORT, serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from providers.sandbox.server import RunningSandbox

app = typer.Typer(
    help="""Serve a sandbox exchange on loopback, until SIGINT or SIGTERM.

    It checks signatures, timestamps, filters, margin and rate limits as the exchange does, keeps
    positions, moves prices from a seed, and can be told to fail.

    Example: trade-worker sandbox --port 8790 --json
    """,
)
fault = typer.Typer(help="Tell a running sandbox to misbehave.", no_args_is_help=True)
app.add_typer(fault, name="fault")

_Url = Annotated[
    str, typer.Option("--url", envvar="SANDBOX_URL", help="The sandbox: scheme, host, port.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
# What a worker reads to trade on the sandbox in place of each exchange.
_VARIABLES = {
    "bybit": {
        "base_url": "BYBIT_BASE_URL",
        "key": "BYBIT_API_KEY",
        "secret": "BYBIT_API_SECRET",
    },
    "binance": {
        "base_url": "BINANCE_BASE_URL",
        "key": "BINANCE_API_KEY",
        "secret": "BINANCE_API_SECRET",
    },
    "mexc": {
        "base_url": "MEXC_BASE_URL",
        "key": "MEXC_API_KEY",
        "secret": "MEXC_SECRET_BINDING",
    },
}
_DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"


@app.callback(invoke_without_command=True)
def _serve(
    context: typer.Context,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="Prices and ids follow from it.")] = 0,
    limits: Annotated[str, typer.Option(help="`published` rate limits, or `off`.")] = "published",
    fill_delay: Annotated[
        int, typer.Option(min=0, help="Milliseconds until an accepted order fills.")
    ] = 5,
    as_json: _Json = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if limits not in ("published", "off"):
        fail(f"--limits is published or off, not {limits!r}", ExitCode.USAGE)

    def ready(running: RunningSandbox) -> None:
        venues = {
            venue: {
                "base_url": running.base_url(venue),
                "key": running.key(venue),
                "secret": running.secret(venue),
            }
            for venue in running.sandbox.facades
        }
        environment = {
            variable: venue[part]
            for name, venue in venues.items()
            for part, variable in _VARIABLES[name].items()
        }
        if as_json:
            print_json({"origin": running.origin, "venues": venues, "environment": environment})
        else:
            out.print(f"sandbox on {running.origin} (control: {running.control_url})")
            for variable, value in environment.items():
                out.print(f"export {variable}={value}", soft_wrap=True)
        out.file.flush()

    try:
        serve(host, port, on_ready=ready, seed=seed, limits=limits, fill_delay=fill_delay / 1000)
    except OSError as error:
        fail(f"can't listen on {host}:{port}: {error.strerror}", ExitCode.FAILED)


@fault.command("add")
def fault_add(  # noqa: PLR0913 - each is an option of the command
    kind: Annotated[FaultKind, typer.Argument(help="What goes wrong.")],
    *,
    url: _Url = _DEFAULT_URL,
    venue: Annotated[str, typer.Option(help="Only this exchange.")] = "",
    endpoint: Annotated[str, typer.Option(help="Only this endpoint, such as order/create.")] = "",
    symbol: Annotated[str, typer.Option(help="Only this symbol.")] = "",
    client_order_id: Annotated[str, typer.Option(help="Only client order ids that begin so.")] = "",
    count: Annotated[
        int | None, typer.Option(min=1, help="How many requests; default: all.")
    ] = None,
    after: Annotated[int, typer.Option(min=0, help="Let so many pass first.")] = 0,
    ms: Annotated[int, typer.Option(help="Milliseconds, for delays, bans, hiding, skew.")] = 0,
    status: Annotated[int | None, typer.Option(help="HTTP status of an error.")] = None,
    code: Annotated[str, typer.Option(help="The exchange's code of an answer.")] = "",
    execute: Annotated[
        bool, typer.Option("--execute", help="Process the request all the same.")
    ] = False,
) -> None:
    """Add a fault; prints its number.

    Example: trade-worker sandbox fault add drop_after --endpoint order/create --count 1
    """
    values: dict[str, Any] = {
        "venue": venue,
        "endpoint": endpoint,
        "symbol": symbol,
        "client_order_id_prefix": client_order_id,
        "after": after,
        "ms": ms,
        "code": code,
        "execute": execute,
    }
    if count is not None:
        values["count"] = count
    if status is not None:
        values["status"] = status
    number = _with_control(url, lambda control: control.add_fault(kind, **values))
    out.print(f"fault {number}: {kind}")


@fault.command("list")
def fault_list(*, url: _Url = _DEFAULT_URL, as_json: _Json = False) -> None:
    """List the faults in force and how often each struck.

    Example: trade-worker sandbox fault list
    """
    report = _with_control(url, lambda control: control.faults())
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


@fault.command("clear")
def fault_clear(*, url: _Url = _DEFAULT_URL) -> None:
    """Take all faults out of force.

    Example: trade-worker sandbox fault clear
    """
    _with_control(url, lambda control: control.clear_faults())
    out.print("no fault is in force")


def _with_control(url: str, work: Callable[[SandboxControl], Awaitable[Any]]) -> Any:  # noqa: ANN401 - JSON
    async def call() -> Any:  # noqa: ANN401 - JSON
        async with SandboxControl(url) as control:
            return await work(control)

    try:
        return run(call())
    except SandboxControlError as error:
        fail(str(error), ExitCode.FAILED)
    except httpx.HTTPError as error:
        fail(f"no sandbox answers at {url}: {error}", ExitCode.UNREACHABLE)
