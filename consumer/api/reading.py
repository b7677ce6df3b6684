"""What can be read: orders, positions, reports, signals."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from pydantic import WithJsonSchema
from pydantic.alias_generators import to_camel
from starlette.responses import Response, StreamingResponse

from consumer.api import examples
from consumer.api.bodies import SignalBody, body_of, raw, read
from consumer.api.errors import ApiError, success
from consumer.api.routing import EXECUTE, READ, answers, failing, parts_of
from consumer.contract.message import Instant
from consumer.documents import order_document
from providers.errors import ProviderError
from providers.symbols import normalise
from storage.orders import OrderFilter, get_events, get_order, list_orders
from storage.signals import NewSignal, SignalFilter, add_signal, list_signals
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from consumer.api.parts import ApiParts
    from providers.orders import Position
    from storage.signals import Signal

_REPORTS = "trade-reports/"
_CHUNK = 65_536
_Name = Annotated[str | None, Query(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_/.:-]+$")]
_Moment = Annotated[
    Annotated[Instant, WithJsonSchema({"type": "string", "format": "date-time"})] | None, Query()
]
_Limit = Annotated[int, Query(ge=1, le=1000)]
_SIGNAL = {
    "signaledAt": "2026-01-31T12:00:00Z", "symbol": "BTCUSDT", "signalType": "LONG",
    "source": "strategy-7", "price": 64250.1,
}  # fmt: skip

_REPORT = {
    **failing(404),
    200: {
        "description": "The report of a finished order.",
        "content": {"application/json": {"schema": {"type": "object"}}},
        "headers": {"ETag": {"schema": {"type": "string"}}},
    },
    304: {"description": "Not modified: the ETag is the one in If-None-Match."},
}

router = APIRouter(tags=["reading"])


@router.get("/orders", dependencies=READ, responses=answers(example={"orders": [examples.ORDER]}))
async def orders(
    request: Request,
    state: OrderState | None = None,
    exchange: _Name = None,
    symbol: _Name = None,
    limit: _Limit = 50,
) -> Response:
    """List orders, newest first."""
    wanted = OrderFilter(
        state=state,
        exchange=exchange.lower() if exchange else None,
        symbol=_symbol(symbol),
        limit=limit,
    )
    rows = await list_orders(parts_of(request).database, wanted)
    return success(200, {"orders": [order_document(row) for row in rows]})


@router.get(
    "/orders/{requestId:path}",
    dependencies=READ,
    responses=answers(
        404, example={**examples.ORDER, "events": [examples.EVENT]}, request_id=examples.REQUEST_ID
    ),
)
async def order(
    request: Request,
    request_id: Annotated[str, PathParameter(alias="requestId", min_length=1, max_length=128)],
) -> Response:
    """Show one order and everything that happened to it."""
    database = parts_of(request).database
    row = None if "\x00" in request_id else await get_order(database, request_id)
    if row is None:
        raise ApiError(404, "no order has this request id")
    events = [_camel(asdict(event)) for event in await get_events(database, request_id)]
    for event in events:
        event["detail"] = _camel(event["detail"])
    return success(200, {**order_document(row), "events": events}, request_id)


@router.get(
    "/positions",
    dependencies=READ,
    responses=answers(example={"positions": [examples.POSITION], "errors": {}}),
)
async def positions(request: Request, exchange: _Name = None, symbol: _Name = None) -> Response:
    """Read the open positions from the exchanges, now; one that fails is named in `errors`."""
    parts = parts_of(request)
    names = parts.router.configured
    if exchange is not None:
        names = tuple(name for name in names if name == exchange.lower())
    results = await asyncio.gather(*(_positions(parts, name, _symbol(symbol)) for name in names))
    found = [document for one in results if isinstance(one, list) for document in one]
    errors = {name: one for name, one in zip(names, results, strict=True) if isinstance(one, str)}
    return success(200, {"positions": found, "errors": errors})


@router.get("/report", dependencies=READ, responses=_REPORT)
async def report(
    request: Request, key: Annotated[str, Query(min_length=1, max_length=1024)]
) -> Response:
    """Stream a report; only what lies under `trade-reports/`."""
    if not key.startswith(_REPORTS) or ".." in key.split("/"):
        raise ApiError(404, "there is no such report")
    # A key has %XX in it; who put it into a query as it is has them decoded here.
    body = await parts_of(request).reports.get(quote(key, safe="/%"))
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Accept-Ranges": "none"}
    known = {one.strip().removeprefix("W/") for one in
             request.headers.get("if-none-match", "").split(",")}  # fmt: skip
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(len(body))
    return StreamingResponse(_chunks(body), headers=headers, media_type="application/json")


@router.get(
    "/api/signals",
    dependencies=READ,
    responses=answers(example={"signals": [examples.SIGNAL], "next": None}),
)
async def signals(
    request: Request,
    symbol: _Name = None,
    signal_type: Annotated[_Name, Query(alias="signalType")] = None,
    source: _Name = None,
    exchange: _Name = None,
    since: _Moment = None,
    until: _Moment = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """List signals, newest first; `before` takes the `next` of the page before."""
    page = await list_signals(
        parts_of(request).database,
        SignalFilter(
            symbol=_symbol(symbol),
            signal_type=signal_type.upper() if signal_type else None,
            source=source,
            exchange=exchange.lower() if exchange else None,
            since=since,
            until=until,
            limit=limit,
            before=before,
        ),
    )
    return success(200, {"signals": [_signal(one) for one in page.signals], "next": page.next})


@router.post(
    "/api/signals",
    status_code=201,
    dependencies=EXECUTE,
    openapi_extra=body_of(SignalBody, _SIGNAL),
    responses=answers(415, status=201, example=examples.SIGNAL),
)
async def add(request: Request) -> Response:
    """Keep a signal; nothing is traded from it."""
    parts = parts_of(request)
    body = await read(request, SignalBody, parts.settings.message_max_bytes)
    kept = await add_signal(
        parts.database,
        NewSignal(
            signaled_at=body.signaled_at or parts.clock.now(),
            symbol=body.symbol,
            signal_type=body.signal_type.upper(),
            raw=(await raw(request)).decode(),
            source=body.source,
            exchange=body.exchange.lower() if body.exchange else None,
            price=body.price,
        ),
    )
    return success(201, _signal(kept))


async def _positions(parts: ApiParts, name: str, symbol: str | None) -> list[dict[str, Any]] | str:
    try:
        found = await parts.router.client(name).positions(symbol)
    except ProviderError as error:
        return str(error)
    return [_position(name, one) for one in found]


def _position(exchange: str, position: Position) -> dict[str, Any]:
    return {"exchange": exchange, **_camel(asdict(position))}


def _signal(signal: Signal) -> dict[str, Any]:
    fields = _camel(asdict(signal))
    fields.pop("raw")
    return fields


def _camel(values: Mapping[str, Any]) -> dict[str, Any]:
    return {to_camel(name): value for name, value in values.items()}


def _symbol(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return normalise(text)
    except ValueError as error:
        raise ApiError(400, f"symbol: {error}", code="VALIDATION_ERROR") from None


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _CHUNK):
        yield body[start : start + _CHUNK]
