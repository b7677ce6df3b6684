"""What a running sandbox is told beside faults: switches, clock, prices, limits; and its truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from consumer.cli.common import run
from consumer.cli.output import ExitCode, fail, out, print_json, print_table
from providers.sandbox.client import SandboxControl, SandboxControlError
from providers.sandbox.server import DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Url = Annotated[
    str, typer.Option("--url", envvar="SANDBOX_URL", help="The sandbox: scheme, host, port.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"


def with_control(url: str, work: Callable[[SandboxControl], Awaitable[Any]]) -> Any:  # noqa: ANN401 - JSON
    """Do something with the control API of a running sandbox, or end the command."""

    async def call() -> Any:  # noqa: ANN401 - JSON
        async with SandboxControl(url) as control:
            return await work(control)

    try:
        return run(call())
    except SandboxControlError as error:
        fail(str(error), ExitCode.FAILED)
    except httpx.HTTPError as error:
        fail(f"no sandbox answers at {url}: {error}", ExitCode.UNREACHABLE)


def switch(
    exchange: Annotated[str, typer.Argument(help="bybit, binance or mexc.")] = "",
    name: Annotated[str, typer.Argument(help="The switch.")] = "",
    value: Annotated[str, typer.Argument(help="What to turn it to.")] = "",
    *,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Turn what an exchange does one way or another; without a value, show how all are turned.

    Example: trade-worker sandbox switch mexc duplicate_ids accepted
    """
    if value:
        with_control(url, lambda control: control.set_variant(exchange, name, value))
    elif exchange:
        fail("give exchange, name and value, or nothing to see all", ExitCode.USAGE)
    found = with_control(url, lambda control: control.variants())
    if as_json:
        print_json(found)
        return
    rows = ((venue, key, one) for venue, each in found.items() for key, one in each.items())
    print_table(("EXCHANGE", "SWITCH", "VALUE"), rows)


def clock(
    *,
    advance: Annotated[int | None, typer.Option(min=0, help="Jump ahead, milliseconds.")] = None,
    offset: Annotated[int | None, typer.Option(help="Run so far ahead of this machine.")] = None,
    freeze: Annotated[int | None, typer.Option(min=0, help="Stand still at an instant.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Move the clock of all exchanges; `--offset 0` lets it run with this machine's again.

    Example: trade-worker sandbox clock --advance 3600000
    """
    given = {"advance_ms": advance, "offset_ms": offset, "frozen_at_ms": freeze}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) != 1:
        fail("give one of --advance, --offset and --freeze", ExitCode.USAGE)
    out.print(with_control(url, lambda control: control.set_clock(**chosen)))


def price(
    symbol: Annotated[str, typer.Argument(help="Such as BTCUSDT.")],
    value: Annotated[str, typer.Argument(help="The price; none: follow the seed again.")] = "",
    *,
    move: Annotated[bool, typer.Option("--move", help="Go on moving from there.")] = False,
    exchange: Annotated[str, typer.Option(help="Only this exchange.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Hold a price on all exchanges, or let it go.

    Example: trade-worker sandbox price BTCUSDT 100000
    """
    if value:
        hold = not move
        with_control(url, lambda c: c.set_price(symbol, value, hold=hold, venue=exchange))
    else:
        with_control(url, lambda control: control.release_price(symbol, venue=exchange))
    out.print(f"{symbol} {value or 'follows the seed'}")


def limits(
    setting: Annotated[str, typer.Argument(help="published, off, or caps: order/create=5,ip=20.")],
    *,
    exchange: Annotated[str, typer.Option(help="Only this exchange.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Change the request limits; counts and bans start afresh.

    Example: trade-worker sandbox limits order/create=5 --exchange mexc
    """
    chosen: Any = setting
    if "=" in setting:
        pairs = [part.partition("=") for part in setting.split(",")]
        wrong = [name for name, _, cap in pairs if not cap.isdecimal()]
        if wrong:
            fail(f"the cap of {wrong[0]!r} must be a whole number", ExitCode.USAGE)
        chosen = {name: int(cap) for name, _, cap in pairs}
    with_control(url, lambda control: control.set_limits(chosen, exchange))
    out.print(f"limits: {setting}")


def truth(
    *,
    exchange: Annotated[str, typer.Option(help="Only this exchange.")] = "",
    client_order_id: Annotated[str, typer.Option(help="Only client order ids that begin so.")] = "",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List every order that was accepted, whatever the client was told.

    Example: trade-worker sandbox truth --exchange bybit
    """
    asked = {"venue": exchange, "client_order_id_prefix": client_order_id}
    report = with_control(url, lambda c: c.truth(**{k: v for k, v in asked.items() if v}))
    if as_json:
        print_json({"orders": report.orders, "counters": report.counters})
        return
    names = ("venue", "client_order_id", "symbol", "side", "qty", "state", "filled", "avg_price")
    rows = (tuple(order[name] for name in names) for order in report.orders)
    print_table(tuple(name.replace("_", " ").upper() for name in names), rows)


def streams(
    *,
    cut: Annotated[bool, typer.Option("--cut", help="Break them instead, without replay.")] = False,
    exchange: Annotated[str, typer.Option(help="Only this exchange's, with --cut.")] = "",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List the open WebSockets: whose they are and what they listen to.

    Example: trade-worker sandbox streams --cut --exchange binance
    """
    if cut:
        out.print(f"cut: {with_control(url, lambda control: control.cut_streams(exchange))}")
        return
    rows = with_control(url, lambda control: control.streams())
    if as_json:
        print_json(rows)
        return
    print_table(
        ("EXCHANGE", "PATH", "ACCOUNT", "TOPICS"),
        ((r["venue"], r["path"], r["account"], ", ".join(r["topics"])) for r in rows),
    )


def reset(
    *,
    recent: Annotated[
        bool, typer.Option("--recent", help="Only forget recently closed orders, as a restart.")
    ] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Start again: no orders, faults, streams or added accounts; prices and clock unset.

    Example: trade-worker sandbox reset
    """
    scope = "recent" if recent else "all"
    with_control(url, lambda control: control.reset(scope))
    out.print(f"reset: {scope}")
