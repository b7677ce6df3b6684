"""What an exchange's answer means for an order and for its message. Tables and pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from consumer.controls.checks import EXPIRED
from consumer.outcome import Outcome, OutcomeKind
from providers.orders import TimeInForce
from providers.outcomes import OutcomeClass, PlacementKind, advised
from storage.claims import Letter
from storage.states import OrderState

if TYPE_CHECKING:
    from providers.orders import OrderView
    from providers.outcomes import Placement
    from storage.ledger import ChangeDetails
    from storage.orders import OrderRow

RATE_LIMITED = "RATE_LIMITED"
EXCHANGE_REJECTED = "EXCHANGE_REJECTED"
EXCHANGE_CANCELED = "EXCHANGE_CANCELED"
OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
QUARANTINED = "QUARANTINED"
NOT_SHOWN = "NOT_SHOWN"

CONFIRM_AFTER = timedelta(milliseconds=100)  # fills of market orders are there by then
CONFIRM_TOGETHER = timedelta(seconds=2)  # where one list shows them all, and requests are short
ASK_AFTER = timedelta(seconds=2)  # the reconciler asks about an unknown outcome before the retry

# How long until the next look, by the number of looks that showed nothing new.
_NEXT_LOOK = tuple(timedelta(seconds=s) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60))

STATE_OF_PLACEMENT: MappingProxyType[PlacementKind, OrderState] = MappingProxyType(
    {
        PlacementKind.ACCEPTED: OrderState.ACCEPTED,
        PlacementKind.REJECTED: OrderState.REJECTED,
        PlacementKind.DEFERRED: OrderState.DEFERRED,
        PlacementKind.DUPLICATE: OrderState.UNKNOWN,
        PlacementKind.UNKNOWN: OrderState.UNKNOWN,
    }
)

# Refusals after which what is cached about the symbol is not trusted any more.
CACHE_IN_DOUBT = frozenset({OutcomeClass.FILTER, OutcomeClass.PARAMETER, OutcomeClass.NOT_TRADABLE})

# Refusals of a close that may only mean that there is nothing left to close.
NOTHING_LEFT = frozenset({OutcomeClass.REDUCE_ONLY, OutcomeClass.NO_POSITION})

_REASON_OF_CLASS: MappingProxyType[OutcomeClass, str] = MappingProxyType(
    {
        OutcomeClass.RATE_ACCOUNT: RATE_LIMITED,
        OutcomeClass.RATE_IP: RATE_LIMITED,
        OutcomeClass.CLOCK: "CLOCK_SKEW",
        OutcomeClass.OVERLOAD: "EXCHANGE_OVERLOADED",
        OutcomeClass.NOT_SENT: "EXCHANGE_UNREACHABLE",
        OutcomeClass.NOT_PERMITTED: "NOT_PERMITTED",
        OutcomeClass.REDUCE_ONLY: "NOTHING_TO_CLOSE",
        OutcomeClass.NO_POSITION: "NOTHING_TO_CLOSE",
    }
)


def reason_to_wait(outcome_class: OutcomeClass) -> str:
    """Name why a message is tried again later."""
    return _REASON_OF_CLASS.get(outcome_class, "EXCHANGE_UNREACHABLE")


def next_look(looks: int) -> timedelta:
    """Say how long to wait after so many looks that showed nothing new. Pure."""
    return _NEXT_LOOK[min(looks, len(_NEXT_LOOK) - 1)]


def state_after(placement: Placement, *, opens: bool) -> OrderState:
    """Say which state an order is in after a placement was answered."""
    if placement.outcome_class in NOTHING_LEFT and not opens:
        return OrderState.DEFERRED  # the next attempt reads the position again
    return STATE_OF_PLACEMENT[placement.kind]


def confirm_after(now: datetime, *, together: bool) -> timedelta:
    """Say how long after it was taken an order is looked at first. Pure.

    Together means: all that are taken within two seconds are due at the same moment.
    """
    if not together:
        return CONFIRM_AFTER
    into = timedelta(seconds=now.timestamp() % CONFIRM_TOGETHER.total_seconds())
    return CONFIRM_AFTER + CONFIRM_TOGETHER - into


def details_of_placement(
    placement: Placement,
    after: OrderState,
    acceptance_window: timedelta,
    confirm_in: timedelta = CONFIRM_AFTER,
) -> ChangeDetails:
    """Give what the ledger records of a placement."""
    text = advised(placement.message, placement.outcome_class) or None
    details: ChangeDetails = {
        "code": placement.code if after is not OrderState.ACCEPTED else None,
        "message": text if after is not OrderState.ACCEPTED else None,
        "exchange_order_id": placement.exchange_order_id,
        "sent_at": placement.sent_at,
    }
    if after is OrderState.ACCEPTED:
        details["check_in"] = confirm_in
    elif placement.kind is PlacementKind.DUPLICATE:
        details["keep_lease"] = True  # it is looked up at once
        details["may_land_for"] = acceptance_window
    elif after is OrderState.UNKNOWN:
        details["may_land_for"] = acceptance_window
        details["check_in"] = ASK_AFTER
    return details


def outcome_of_placement(
    placement: Placement, after: OrderState, exchange: str, text: str | None
) -> Outcome:
    """Say what a placement means for its message."""
    said = exchange_says(exchange, placement.code, text)
    match after:
        case OrderState.ACCEPTED:
            return Outcome(OutcomeKind.PLACED, state=after, exchange=exchange)
        case OrderState.REJECTED:
            return Outcome(OutcomeKind.REFUSED, EXCHANGE_REJECTED, said, after, exchange=exchange)
        case OrderState.DEFERRED:
            reason = reason_to_wait(placement.outcome_class)
            return Outcome(OutcomeKind.RETRY, reason, said, after, exchange=exchange)
        case _:
            return Outcome(OutcomeKind.RETRY, OUTCOME_UNKNOWN, said, after, exchange=exchange)


def details_of_view(found: OrderView, after: OrderState) -> ChangeDetails:
    """Give what the ledger records of an order as the exchange shows it."""
    return {
        "code": EXCHANGE_REJECTED if after is OrderState.REJECTED else None,
        "message": found.reject_reason if after is OrderState.REJECTED else None,
        "exchange_order_id": found.exchange_order_id,
        "filled_quantity": found.filled_quantity,
        "average_price": found.average_price,
        "fee": found.fee,
        "fee_currency": found.fee_currency,
        "check_in": None if after.final else CONFIRM_AFTER,
    }


def came_to_nothing(row: OrderRow, state: OrderState) -> bool:
    """True if an order that was at an exchange is over without a fill, and not by its terms.

    An immediate-or-cancel order that finds nothing to take has done what was asked of it.
    """
    if row.payload.get("timeInForce") in (TimeInForce.IOC, TimeInForce.FOK):
        return False
    return state is OrderState.CANCELED and not row.filled_quantity


def letter_of_end(row: OrderRow, after: OrderState, found: OrderView) -> Letter | None:
    """Say what dead letter an order becomes at its end; None if it becomes none. Pure.

    Its message was acknowledged when the exchange had taken the order, unless it is a dead letter
    already: given up while the outcome was not known.
    """
    if row.dead_lettered_at is not None or found.filled_quantity:
        return None
    if after is OrderState.REJECTED:
        why = found.reject_reason or "no reason given"
        says = exchange_says(row.exchange, None, f"rejected after it was accepted: {why}")
        return Letter(EXCHANGE_REJECTED, says)
    if came_to_nothing(row, after):
        return Letter(EXCHANGE_CANCELED, _says_canceled(row.exchange, found.reject_reason))
    return None


def outcome_of_nothing(row: OrderRow, why: str | None) -> Outcome:
    """Say what an order that came to nothing means for its message, if that is still to be had."""
    says = _says_canceled(row.exchange, why)
    return Outcome(
        OutcomeKind.REFUSED,
        EXCHANGE_CANCELED,
        says,
        OrderState.CANCELED,
        row,
        exchange=row.exchange,
    )


def _says_canceled(exchange: str, why: str | None) -> str:
    text = "canceled or expired before anything was filled"
    return exchange_says(exchange, None, f"{text}: {why}" if why else text)


def not_shown(row: OrderRow, now: datetime) -> tuple[str, timedelta]:
    """Say since when an exchange has not shown an order that it has taken, and for how long. Pure.

    The row remembers it, for all workers: its code is NOT_SHOWN, the instant ends its message.
    """
    since = now
    if row.code == NOT_SHOWN and row.message is not None:
        since = datetime.fromisoformat(row.message.rpartition(" ")[2])
    return f"{row.exchange} took it and has not shown it since {since.isoformat()}", now - since


def exchange_says(exchange: str, code: str | None, message: str | None) -> str:
    """Name the exchange, its code and its message in one line."""
    head = f"{exchange} {code}" if code else exchange
    return f"{head}: {message}" if message else head


def outcome_of_row(row: OrderRow) -> Outcome:
    """Say what a finished order means for a message that asks for it again.

    One that was refused and whose message never reached the dead letters (the worker ended in
    between) is refused again, so that nobody misses it.
    """
    refused = {
        OrderState.DENIED: row.code or "DENIED",
        OrderState.EXPIRED: EXPIRED,
        OrderState.REJECTED: EXCHANGE_REJECTED,
        OrderState.QUARANTINED: QUARANTINED,
    }
    if row.dead_lettered_at is not None:
        return Outcome(OutcomeKind.ALREADY_DONE, None, None, row.state, row, exchange=row.exchange)
    if row.state in refused:
        error = row.message
        if row.state is OrderState.REJECTED:
            error = exchange_says(row.exchange, row.code, row.message)
        return Outcome(
            OutcomeKind.REFUSED, refused[row.state], error, row.state, row, exchange=row.exchange
        )
    if row.exchange_order_id is not None and came_to_nothing(row, row.state):
        return outcome_of_nothing(row, None)
    return Outcome(OutcomeKind.ALREADY_DONE, None, None, row.state, row, exchange=row.exchange)
