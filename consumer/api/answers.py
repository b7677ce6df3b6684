"""From an outcome and its order's row to an answer: status, result or error. Tables, pure."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from consumer.api.errors import RETRY_AFTER, ApiError
from consumer.documents import plain_number
from consumer.execution.meaning import EXCHANGE_CANCELED, OUTCOME_UNKNOWN, exchange_says
from consumer.outcome import OutcomeKind
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.outcome import Outcome
    from storage.orders import OrderRow

STATUS: MappingProxyType[OrderState, str] = MappingProxyType(
    {
        state: "".join(word.title() for word in state.split("_"))
        for state in OrderState
        if state is not OrderState.ACCEPTED
    }
    | {OrderState.ACCEPTED: "New"}
)

# What a refusal or a wait is answered with, by its reason; anything else: `_REFUSED`, `_LATER`.
_REFUSED_WITH: MappingProxyType[str, tuple[int, str | None]] = MappingProxyType(
    {
        "KILL_SWITCH_ACTIVE": (503, "KILL_SWITCH_ACTIVE"),
        "EXCHANGE_DISABLED": (403, None),
        "DUPLICATE_REQUEST": (409, None),
        "EXCHANGE_REJECTED": (500, None),
        "EXCHANGE_REFUSED": (500, None),
        "NOT_CONFIGURED": (500, None),
        "QUARANTINED": (500, None),
        "VALIDATION_ERROR": (400, "VALIDATION_ERROR"),
    }
)
_LATER_WITH: MappingProxyType[str, int] = MappingProxyType(
    {"RATE_LIMITED": 429, "CLOCK_SKEW": 401, "INTERNAL_ERROR": 500}
)
_FINAL = "this requestId is settled; a new try is a new requestId"
_CLOCK = "Timestamp verification failed. Check system NTP sync."
_REFUSED_STATES = frozenset({OrderState.DENIED, OrderState.EXPIRED, OrderState.REJECTED})


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer; `pending` means that the order is not finished yet."""

    result: Mapping[str, object]
    pending: bool


def answer_of(outcome: Outcome, row: OrderRow | None) -> Answer:
    """Work out the answer.

    Args:
        outcome: what execution said.
        row: the order as the ledger has it now.

    Raises:
        ApiError: it is a failure.
    """
    match outcome.kind:
        case OutcomeKind.REFUSED if outcome.reason != EXCHANGE_CANCELED:
            raise _refused(outcome.reason or "REFUSED", outcome.error, outcome.request_id)
        case OutcomeKind.RETRY | OutcomeKind.RELEASED | OutcomeKind.ABANDONED:
            if outcome.reason != OUTCOME_UNKNOWN or row is None:
                raise _later(outcome)
            return Answer(result_of(row), pending=True)
        case _:
            return stored(row, outcome.request_id)


def stored(row: OrderRow | None, request_id: str | None) -> Answer:
    """Give the answer that an order's row is, whenever it is asked for.

    Raises:
        ApiError: the order was refused.
    """
    if row is None:
        raise ApiError(500, "the ledger has no such order", request_id=request_id)
    if row.state is OrderState.REJECTED:
        said = exchange_says(row.exchange, row.code, row.message)
        raise _refused("EXCHANGE_REJECTED", said, request_id)
    if row.state in _REFUSED_STATES:
        raise _refused(row.code or row.state, row.message, request_id)
    return Answer(result_of(row), pending=not row.state.final)


def result_of(row: OrderRow) -> dict[str, object]:
    """Give an order as the API shows it; numbers as text."""
    return {
        "orderId": row.exchange_order_id,
        "clientOrderId": row.client_order_id,
        "status": STATUS[row.state],
        "exchange": row.exchange,
        "symbol": row.symbol,
        "side": row.side,
        "quantity": plain_number(row.order_quantity or row.quantity),
        "price": plain_number(row.average_price or row.order_price),
        "executedQty": plain_number(row.filled_quantity),
        "fee": plain_number(row.fee),
        "feeCurrency": row.fee_currency,
        "code": row.code,
        "message": row.message,
    }


def _refused(reason: str, error: str | None, request_id: str | None) -> ApiError:
    status, code = _REFUSED_WITH.get(reason, (400, None))
    message = error or reason
    if reason in ("EXCHANGE_REJECTED", "EXCHANGE_REFUSED"):
        message = f"Exchange API Reject: {message}"
    details = {"reason": reason}
    if reason != "QUARANTINED":  # what a person says of it is still to come
        details["retry"] = _FINAL
    return ApiError(status, message, code=code, details=details, request_id=request_id)


def _later(outcome: Outcome) -> ApiError:
    reason = outcome.reason or "NOT_NOW"
    status = _LATER_WITH.get(reason, 503)
    message = outcome.error or "it could not be done now"
    if status == 401:
        message = _CLOCK
    if status == 500:
        message = "something went wrong here; it is in the log"
    return ApiError(
        status,
        message,
        details={"reason": reason, "retry": "the same request may be sent again"},
        request_id=outcome.request_id,
        retry_after=RETRY_AFTER if status in (429, 503) else None,
    )
