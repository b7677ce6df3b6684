"""`trade-worker sandbox`: serve the sandbox exchange, and measure how fast it is.

What is told to a running one is in `sandbox_controls.py` and `sandbox_faults.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli import sandbox_controls, sandbox_faults
from consumer.cli.output import ExitCode, fail, out, print_json, print_table
from providers.sandbox import load
from providers.sandbox.server import DEFAULT_PORT, serve

if TYPE_CHECKING:
    from providers.sandbox.server import RunningSandbox

app = typer.Typer(
    help="""Serve a sandbox exchange on loopback, until SIGINT or SIGTERM.

    It checks signatures, timestamps, filters, margin and rate limits as the exchange does, keeps
    positions, moves prices from a seed, and tells over WebSockets what happens. `fault` makes it
    fail, `switch` turns what an exchange does one way or another.

    Example: trade-worker sandbox --port 8790 --json
    """,
)
app.add_typer(sandbox_faults.app, name="fault")
app.command("switch")(sandbox_controls.switch)
app.command("clock")(sandbox_controls.clock)
app.command("price")(sandbox_controls.price)
app.command("limits")(sandbox_controls.limits)
app.command("truth")(sandbox_controls.truth)
app.command("streams")(sandbox_controls.streams)
app.command("reset")(sandbox_controls.reset)

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
                "stream_url": running.base_url(venue).replace("http", "ws", 1),
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


@app.command("bench")
def bench(
    *,
    exchange: Annotated[str, typer.Option(help="Only this exchange; default: each in turn.")] = "",
    orders: Annotated[int, typer.Option(min=1000, help="Orders to place on each.")] = 20_000,
    connections: Annotated[int, typer.Option(min=1, max=256, help="At a time.")] = 8,
    as_json: _Json = False,
) -> None:
    """Measure how many orders a second the sandbox takes.

    Starts a sandbox in a process of its own, without limits, places signed market orders, and
    checks in its truth that each was accepted once and filled. Wants a machine that is otherwise
    idle: SERVER CPU, the processor time of the sandbox for one order, is the steadier figure.

    Example: trade-worker sandbox bench --exchange mexc
    """
    if exchange and exchange not in load.VENUES:
        fail(f"{exchange!r} is none of {', '.join(load.VENUES)}", ExitCode.NOT_FOUND)
    figures = []
    for venue in (exchange,) if exchange else load.VENUES:
        try:
            figures.append(load.measure(venue, orders=orders, connections=connections))
        except (load.OrderRefused, OSError) as error:
            fail(f"{venue}: {error}", ExitCode.FAILED)
    if as_json:
        print_json([asdict(one) for one in figures])
        return
    print_table(
        ("EXCHANGE", "ORDERS", "ORDERS/S", "MEDIAN", "P99", "SERVER CPU"),
        (
            (
                one.venue,
                one.orders,
                f"{one.orders_per_second:.0f}",
                f"{one.median_ms:.2f} ms",
                f"{one.p99_ms:.2f} ms",
                None if one.server_us is None else f"{one.server_us:.0f} us",
            )
            for one in figures
        ),
    )
