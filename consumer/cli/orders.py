"""`trade-worker orders`: what the ledger knows."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli import upkeep
from consumer.cli.common import load_settings, run_with_database
from consumer.cli.output import (
    ExitCode,
    counted,
    fail,
    out,
    print_json,
    print_table,
    short_time,
)
from consumer.documents import order_document, plain_number
from consumer.settings import parse_delay
from providers.symbols import normalise
from storage.fills import get_fills, list_positions
from storage.orders import (
    OrderEvent,
    OrderFilter,
    OrderRow,
    get_events,
    get_order,
    list_orders,
)
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.orders import Fill
    from storage.fills import KeptPosition
    from storage.postgres import Database

app = typer.Typer(help="List and show orders in the ledger.", no_args_is_help=True)
upkeep.register(app)
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    *,
    state: Annotated[OrderState | None, typer.Option(help="Only orders in this state.")] = None,
    exchange: Annotated[str | None, typer.Option(help="Only this exchange.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.")] = None,
    since: Annotated[str | None, typer.Option(help="Only the last 30s, 5m, 2h, …")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="Most orders.")] = 50,
    as_json: _Json = False,
) -> None:
    """List orders, newest first.

    Example: trade-worker orders list --state UNKNOWN --since 1h
    """
    try:
        wanted = OrderFilter(
            state=state,
            exchange=exchange.lower() if exchange else None,
            symbol=normalise(symbol) if symbol else None,
            since=datetime.now(UTC) - _span(since) if since else None,
            limit=limit,
        )
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)

    async def work(database: Database) -> list[OrderRow]:
        return list(await list_orders(database, wanted))

    rows = run_with_database(load_settings(), work)
    if as_json:
        print_json([order_document(row) for row in rows])
        return
    print_table(
        ("REQUEST ID", "EXCHANGE", "SYMBOL", "ACTION", "QUANTITY", "PRICE", "STATE", "CODE",
         "ATTEMPTS", "RECEIVED"),
        (
            (row.request_id, row.exchange, row.symbol, row.action, quantity_of(row),
             price_of(row), row.state, row.code, row.attempts, short_time(row.received_at))
            for row in rows
        ),
    )  # fmt: skip
    first = f" (the first {limit})" if len(rows) == limit else ""
    out.print(counted(len(rows), "order") + first)


@app.command("show")
def show(
    request_id: Annotated[str, typer.Argument(help="The order's request id.")],
    *,
    as_json: _Json = False,
) -> None:
    """Show one order and everything that happened to it; exit 4 if there is none.

    Example: trade-worker orders show c7f1b1de-2f5e-4a4e-8f0e-1b9d4f6b2a10
    """

    async def work(
        database: Database,
    ) -> tuple[OrderRow, Sequence[OrderEvent], Sequence[Fill]] | None:
        row = await get_order(database, request_id)
        if row is None:
            return None
        return row, await get_events(database, request_id), await get_fills(database, request_id)

    found = run_with_database(load_settings(), work)
    if found is None:
        fail(f"no order has the request id {request_id!r}", ExitCode.NOT_FOUND)
    row, events, fills = found
    if as_json:
        print_json(
            {
                **order_document(row),
                "fills": [_fill_document(fill) for fill in fills],
                "events": [asdict(event) for event in events],
            }
        )
        return
    document = order_document(row)
    print_table(("FIELD", "VALUE"), ((k, v) for k, v in document.items() if v is not None))
    if fills:
        out.print()
        print_table(
            ("FILL", "PRICE", "QUANTITY", "FEE", "CURRENCY", "MAKER", "AT"),
            (tuple(_fill_document(fill).values()) for fill in fills),
        )
    out.print()
    print_table(
        ("AT", "STATE", "ATTEMPT", "CODE", "MESSAGE"),
        (
            (f"{event.at:%H:%M:%S.%f}"[:-3], event.after, event.attempt, event.code, event.message)
            for event in events
        ),
    )


@app.command("positions")
def positions(*, as_json: _Json = False) -> None:
    """Show the positions as the exchanges showed them after the last fills.

    Example: trade-worker orders positions --json
    """

    async def work(database: Database) -> Sequence[KeptPosition]:
        return await list_positions(database)

    documents = [
        {
            "exchange": one.exchange,
            "account": one.account,
            "symbol": one.position.symbol,
            "leg": one.position.side,
            "quantity": plain_number(one.position.quantity),
            "entryPrice": plain_number(one.position.entry_price),
            "leverage": plain_number(one.position.leverage),
            "readAt": one.read_at,
        }
        for one in run_with_database(load_settings(), work)
    ]
    if as_json:
        print_json(documents)
        return
    print_table(
        ("EXCHANGE", "ACCOUNT", "SYMBOL", "LEG", "QUANTITY", "ENTRY PRICE", "LEVERAGE", "READ AT"),
        (tuple(document.values()) for document in documents),
    )


def _fill_document(fill: Fill) -> dict[str, object]:
    return {
        "fillId": fill.fill_id,
        "price": plain_number(fill.price),
        "quantity": plain_number(fill.quantity),
        "fee": plain_number(fill.fee),
        "feeCurrency": fill.fee_currency,
        "maker": fill.maker,
        "executedAt": fill.executed_at,
    }


def quantity_of(row: OrderRow) -> str:
    """Give the quantity that was filled, else sent, else asked for."""
    return plain_number(row.filled_quantity or row.order_quantity or row.quantity) or ""


def price_of(row: OrderRow) -> str | None:
    """Give the average price of the fills, else the limit price."""
    return plain_number(row.average_price or row.order_price)


def _span(text: str) -> timedelta:
    return parse_delay(text)
