"""`POST /process` and `POST /webhook`: a trade, executed as one from the queue is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import orjson
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from consumer.api import examples
from consumer.api.answers import Answer, answer_of, stored
from consumer.api.bodies import raw
from consumer.api.errors import ApiError, success
from consumer.api.routing import EXECUTE, answers, parts_of
from consumer.contract.decoding import parse_object, validate
from consumer.contract.generated import message_schema
from consumer.execution.meaning import OUTCOME_UNKNOWN
from consumer.outcome import OutcomeKind
from consumer.watching.tracing import PARENT, trace_id
from storage.identity import fingerprint
from storage.orders import get_order
from storage.states import OrderState

if TYPE_CHECKING:
    from consumer.api.parts import ApiParts
    from consumer.contract.message import TradeMessage
    from storage.orders import OrderRow

_LOOKS = (0.05, 0.05, 0.1, 0.2, 0.3)  # seconds between looks at the ledger; the last goes on
_REQUEST_ID_MOST = 128
_EXAMPLE = {
    "requestId": examples.REQUEST_ID,
    "payload": {
        "exchange": "bybit", "action": "LONG", "symbol": "BTCUSDT", "quantity": 0.005,
        "leverage": 10,
    },
}  # fmt: skip
_ACCEPTED = {202: "Not finished yet; the same request id asks again."}

router = APIRouter(dependencies=EXECUTE, tags=["trading"])


def _body(example: object, *, needs_id: bool) -> dict[str, Any]:
    """Describe the body of a trade, with or without its envelope."""
    flat = {
        key: value for key, value in message_schema().items() if key not in ("$schema", "title")
    }
    inside = {**flat, "required": [name for name in flat["required"] if name != "requestId"]}
    envelope = {
        "type": "object",
        "additionalProperties": False,
        "required": ["requestId", "payload"],
        "properties": {"requestId": flat["properties"]["requestId"], "payload": inside},
    }
    probe = {
        "type": "object",
        "additionalProperties": False,
        "required": ["probe"],
        "properties": {"probe": {"const": True}},
    }
    forms = [envelope, flat] if needs_id else [inside, probe]
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": forms}, "example": example}},
        }
    }


@router.post(
    "/process",
    openapi_extra=_body(_EXAMPLE, needs_id=True),
    responses=answers(
        404, 409, 415, 429, example=examples.RESULT, request_id=examples.REQUEST_ID, also=_ACCEPTED
    ),
)
async def process(
    request: Request, prefer: Annotated[str | None, Header(max_length=200)] = None
) -> Response:
    """Execute a trade and wait for its end; `Prefer: respond-async` only puts it on the queue."""
    parts = parts_of(request)
    message = validate(parse_object(await raw(request), parts.settings.message_max_bytes))
    if "respond-async" in {part.strip().lower() for part in (prefer or "").split(",")}:
        return await _enqueue(parts, message, _traceparent(request))
    return await _execute(parts, message, _traceparent(request))


@router.post(
    "/webhook",
    openapi_extra=_body(_EXAMPLE["payload"], needs_id=False),
    responses=answers(
        404, 409, 415, 429, example=examples.RESULT, request_id=examples.REQUEST_ID, also=_ACCEPTED
    ),
)
async def webhook(
    request: Request,
    x_request_id: Annotated[
        str | None, Header(min_length=1, max_length=_REQUEST_ID_MOST, pattern=r"^[!-~]+$")
    ] = None,
) -> Response:
    """Execute a bare trade; `{"probe": true}` only shows that this is the right place and key."""
    parts = parts_of(request)
    value = parse_object(await raw(request), parts.settings.message_max_bytes)
    if value == {"probe": True} and value["probe"] is True:
        return success(200, {"probe": True}, x_request_id)
    inner = value.setdefault("requestId", x_request_id or str(uuid4()))
    if x_request_id is not None and inner != x_request_id:
        raise ApiError(400, "requestId: differs from X-Request-ID", code="VALIDATION_ERROR")
    return await _execute(parts, validate(value), _traceparent(request))


def _traceparent(request: Request) -> str | None:
    """The caller's trace, which a message that is put on the queue carries on."""
    given = request.headers.get(PARENT)
    return given if trace_id(given) is not None else None


async def _execute(parts: ApiParts, message: TradeMessage, parent: str | None) -> Response:
    outcome = await parts.worker.execute(message, parts.clock.now(), parent)
    row = await get_order(parts.database, message.request_id)
    if row is not None and outcome.kind in (OutcomeKind.PLACED, OutcomeKind.ALREADY_DONE):
        row = await _finished(parts, row)
    answer = answer_of(outcome, row)
    if outcome.reason == OUTCOME_UNKNOWN:
        # From here on the queue's ladder brings it back until the exchange has told.
        await _publish(parts, message, parent)
    return _answered(answer, message)


async def _enqueue(parts: ApiParts, message: TradeMessage, parent: str | None) -> Response:
    row = await get_order(parts.database, message.request_id)
    if row is not None and row.fingerprint != fingerprint(message.terms):
        raise ApiError(
            409,
            "requestId was used for another trade; a new trade needs a new requestId",
            request_id=message.request_id,
        )
    if row is not None and (row.state.final or row.state.at_exchange):
        return _answered(stored(row, message.request_id), message)
    await _publish(parts, message, parent)
    return success(202, {"status": "Queued"}, message.request_id)


async def _publish(parts: ApiParts, message: TradeMessage, parent: str | None) -> None:
    await parts.publisher.publish(
        orjson.dumps(message.document),
        exchange=parts.topology.exchange,
        routing_key=parts.topology.queue,
        message_id=message.request_id,
        headers={PARENT: parent} if parent is not None else None,
    )


async def _finished(parts: ApiParts, row: OrderRow) -> OrderRow:
    """Wait until an order is finished, at most as long as the settings say; gives it as it is."""
    deadline = parts.clock.monotonic() + parts.settings.api_fill_wait
    look = 0
    while not _ended(row) and (left := deadline - parts.clock.monotonic()) > 0:
        await asyncio.sleep(min(_LOOKS[min(look, len(_LOOKS) - 1)], left))
        look += 1
        row = await get_order(parts.database, row.request_id) or row
    return row


def _ended(row: OrderRow) -> bool:
    return row.state.final or row.state is OrderState.QUARANTINED


def _answered(answer: Answer, message: TradeMessage) -> Response:
    return success(202 if answer.pending else 200, answer.result, message.request_id)
