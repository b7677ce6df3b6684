"""`trade-worker orders resolve | verify | foreign`: what needs a person's eye, and their word."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_settings, run_with_database
from consumer.cli.output import ExitCode, fail, out, print_json, print_table, short_time
from storage.foreign import list_foreign
from storage.orders import OrderFilter, get_events, get_order, list_orders
from storage.resolving import RESOLUTIONS, Word, resolve
from storage.retelling import faults
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.foreign import ForeignOrder
    from storage.orders import OrderRow
    from storage.postgres import Database

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ALLOWED = ", ".join(state.lower() for state in RESOLUTIONS)


def register(app: typer.Typer) -> None:
    """Add the commands to `orders`."""
    app.command("resolve")(_resolve)
    app.command("verify")(_verify)
    app.command("foreign")(_foreign)


def _resolve(
    request_id: Annotated[str, typer.Argument(help="The order's request id.")],
    *,
    as_: Annotated[str, typer.Option("--as", help=f"What it was: {_ALLOWED}.")],
    why: Annotated[str, typer.Option(help="How you know; kept with the order.")],
    who: Annotated[str | None, typer.Option(help="Who says so; default: your login.")] = None,
    filled: Annotated[str | None, typer.Option(help="How much was filled, base coins.")] = None,
    price: Annotated[str | None, typer.Option(help="Average price of the fills.")] = None,
    as_json: _Json = False,
) -> None:
    """Say what a quarantined order was; look at the exchange first. Sends nothing.

    Of an order that is still in the book say `accepted`: it is followed to its end again.

    Example: trade-worker orders resolve c7f1b1de --as canceled --why "canceled by hand at 12:04"
    """
    state = _state(as_)
    if not why.strip():
        fail("--why must say how you know", ExitCode.USAGE)
    quantity, average = _number("--filled", filled), _number("--price", price)
    if quantity is not None and state in (OrderState.REJECTED, OrderState.ACCEPTED):
        fail(f"an order that was {state.lower()} has no --filled of yours", ExitCode.USAGE)

    async def work(database: Database) -> tuple[bool, OrderRow | None]:
        row = await get_order(database, request_id)
        if row is None:
            return False, None
        word = Word(
            state=state,
            who=who or getpass.getuser(),
            why=why.strip(),
            filled_quantity=(
                row.order_quantity if state is OrderState.FILLED and quantity is None else quantity
            ),
            average_price=average,
        )
        done = await resolve(database, request_id, word)
        return done, await get_order(database, request_id)

    done, row = run_with_database(load_settings(), work)
    if row is None:
        fail(f"no order has the request id {request_id!r}", ExitCode.NOT_FOUND)
    if not done:
        fail(f"{request_id} is {row.state}; only a QUARANTINED order is resolved", ExitCode.FAILED)
    if as_json:
        print_json({"requestId": request_id, "state": row.state, "why": why})
    else:
        out.print(f"{request_id} is {row.state} now", markup=False)


def _verify(
    request_id: Annotated[str | None, typer.Argument(help="Only this order.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most orders.")] = 10_000,
    as_json: _Json = False,
) -> None:
    """Tell orders again from their events and compare them with the ledger's rows.

    Exit 1 if one differs.

    Example: trade-worker orders verify --limit 500
    """

    async def work(database: Database) -> tuple[int, dict[str, list[str]]]:
        if request_id is None:
            rows = await list_orders(database, OrderFilter(limit=limit))
        else:
            row = await get_order(database, request_id)
            rows = [row] if row is not None else []
        differing = {}
        for row in rows:
            found = faults(row, await get_events(database, row.request_id))
            if found:
                differing[row.request_id] = found
        return len(rows), differing

    count, differing = run_with_database(load_settings(), work)
    if request_id is not None and not count:
        fail(f"no order has the request id {request_id!r}", ExitCode.NOT_FOUND)
    if as_json:
        print_json({"orders": count, "differing": differing})
    else:
        if differing:
            print_table(
                ("REQUEST ID", "DIFFERENCE"),
                ((name, fault) for name, found in differing.items() for fault in found),
            )
        out.print(f"{count} orders told again from their events, {len(differing)} differ")
    if differing:
        raise typer.Exit(ExitCode.FAILED)


def _foreign(*, as_json: _Json = False) -> None:
    """List orders that were seen on the accounts and are not ours, newest first.

    `extra` is one under our own kind of id that no intent is behind: it has halted its exchange.

    Example: trade-worker orders foreign --json
    """

    async def work(database: Database) -> Sequence[ForeignOrder]:
        return await list_foreign(database)

    found = run_with_database(load_settings(), work)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    print_table(
        ("EXCHANGE", "ORDER ID", "CLIENT ORDER ID", "SYMBOL", "SIDE", "QUANTITY", "KIND", "WHY",
         "LAST SEEN"),
        (
            (one.exchange, one.exchange_order_id, one.client_order_id, one.symbol, one.side,
             f"{one.quantity:f}", one.kind, one.why, short_time(one.last_seen))
            for one in found
        ),
    )  # fmt: skip
    out.print(f"{len(found)} foreign orders")


def _state(text: str) -> OrderState:
    wanted = {state.lower(): state for state in RESOLUTIONS}.get(text.lower())
    if wanted is None:
        fail(f"--as {text!r} is none of {_ALLOWED}", ExitCode.USAGE)
    return wanted


def _number(option: str, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(-1)
    if not number.is_finite() or number < 0:
        fail(f"{option} {text!r} is no number such as 0.005", ExitCode.USAGE)
    return number
