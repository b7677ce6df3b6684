"""`trade-worker orders`: what the ledger knows."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.common import load_settings, run_with_database
from consumer.cli.output import ExitCode, fail, out, print_json, print_table, short_time
from consumer.settings import parse_delay
from providers.symbols import normalise
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
    from storage.postgres import Database

app = typer.Typer(help="List and show orders in the ledger.", no_args_is_help=True)
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
    out.print(f"{len(rows)} orders" + (f" (the first {limit})" if len(rows) == limit else ""))


@app.command("show")
def show(
    request_id: Annotated[str, typer.Argument(help="The order's request id.")],
    *,
    as_json: _Json = False,
) -> None:
    """Show one order and everything that happened to it; exit 4 if there is none.

    Example: trade-worker orders show c7f1b1de-2f5e-4a4e-8f0e-1b9d4f6b2a10
    """

    async def work(database: Database) -> tuple[OrderRow, list[OrderEvent]] | None:
        row = await get_order(database, request_id)
        return (row, list(await get_events(database, request_id))) if row is not None else None

    found = run_with_database(load_settings(), work)
    if found is None:
        fail(f"no order has the request id {request_id!r}", ExitCode.NOT_FOUND)
    row, events = found
    if as_json:
        print_json({**order_document(row), "events": [asdict(event) for event in events]})
        return
    document = order_document(row)
    print_table(("FIELD", "VALUE"), ((k, v) for k, v in document.items() if v is not None))
    out.print()
    print_table(
        ("AT", "STATE", "ATTEMPT", "CODE", "MESSAGE"),
        (
            (f"{event.at:%H:%M:%S.%f}"[:-3], event.after, event.attempt, event.code, event.message)
            for event in events
        ),
    )


def order_document(row: OrderRow) -> dict[str, object]:
    """Give an order as JSON shows it: camelCase, the columns that people and scripts want."""
    return {
        "requestId": row.request_id,
        "state": row.state,
        "code": row.code,
        "message": row.message,
        "exchange": row.exchange,
        "account": row.account,
        "symbol": row.symbol,
        "action": row.action,
        "requested": row.payload,
        "side": row.side,
        "orderType": row.order_type,
        "quantity": _text(row.order_quantity),
        "price": _text(row.order_price),
        "reduceOnly": row.reduce_only,
        "clientOrderId": row.client_order_id,
        "exchangeOrderId": row.exchange_order_id,
        "filledQuantity": _text(row.filled_quantity),
        "averagePrice": _text(row.average_price),
        "fee": _text(row.fee),
        "feeCurrency": row.fee_currency,
        "attempts": row.attempts,
        "sends": row.sends,
        "queuedAt": row.queued_at,
        "receivedAt": row.received_at,
        "sentAt": row.sent_at,
        "finishedAt": row.finished_at,
        "deadLetteredAt": row.dead_lettered_at,
        "secondsToWire": row.wire_seconds,
    }


def quantity_of(row: OrderRow) -> str:
    """Give the quantity that was filled, else sent, else asked for."""
    return _text(row.filled_quantity or row.order_quantity or row.quantity) or ""


def price_of(row: OrderRow) -> str | None:
    """Give the average price of the fills, else the limit price."""
    return _text(row.average_price or row.order_price)


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _span(text: str) -> timedelta:
    return parse_delay(text)
