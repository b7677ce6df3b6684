"""What an exchange's answer means: classes, what each class does, and the value `place` returns.

The classes are shared; which code falls into which class is a table in each venue's `codes.py`.
A code that is not in its table is `UNKNOWN`: the order may exist, so the exchange is asked by
client order id before anything is sent again.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from providers.values import value

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class OutcomeClass(StrEnum):
    """What a code says. The comment tells whether the order can have been executed."""

    ACCEPTED = "ACCEPTED"  # yes, it is in the book or on its way there
    RATE_ACCOUNT = "RATE_ACCOUNT"  # no: a limit of the account or endpoint
    RATE_IP = "RATE_IP"  # no: a limit or ban of the address; every request must stop
    CLOCK = "CLOCK"  # no: timestamp outside the window
    AUTH = "AUTH"  # no: key, signature, permission, region
    PARAMETER = "PARAMETER"  # no: the command itself is wrong
    FILTER = "FILTER"  # no: tick, lot, minimum, price band
    MARGIN = "MARGIN"  # no: balance, risk limit
    REDUCE_ONLY = "REDUCE_ONLY"  # no: it would not reduce
    NO_POSITION = "NO_POSITION"  # no: there is nothing to close
    NOT_TRADABLE = "NOT_TRADABLE"  # no: the instrument or the account may not open
    OVERLOAD = "OVERLOAD"  # no, documented so: overload, maintenance
    NOT_SENT = "NOT_SENT"  # no: the connection failed before a byte was written
    NOT_PERMITTED = "NOT_PERMITTED"  # no: we thought better of it before it was signed
    DUPLICATE_ID = "DUPLICATE_ID"  # an order with this client id exists: proof of an earlier send
    BENIGN = "BENIGN"  # the wanted state is in force already (setters only)
    NOT_FOUND = "NOT_FOUND"  # look-ups only
    UNKNOWN = "UNKNOWN"  # maybe


class PlacementKind(StrEnum):
    """What is to be done after `place`, five ways and no more."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    DEFERRED = "DEFERRED"
    DUPLICATE = "DUPLICATE"
    UNKNOWN = "UNKNOWN"


PLACEMENT_OF_CLASS: MappingProxyType[OutcomeClass, PlacementKind] = MappingProxyType(
    {
        OutcomeClass.ACCEPTED: PlacementKind.ACCEPTED,
        OutcomeClass.RATE_ACCOUNT: PlacementKind.DEFERRED,
        OutcomeClass.RATE_IP: PlacementKind.DEFERRED,
        OutcomeClass.CLOCK: PlacementKind.DEFERRED,
        OutcomeClass.OVERLOAD: PlacementKind.DEFERRED,
        OutcomeClass.NOT_SENT: PlacementKind.DEFERRED,
        OutcomeClass.NOT_PERMITTED: PlacementKind.DEFERRED,
        OutcomeClass.AUTH: PlacementKind.REJECTED,
        OutcomeClass.PARAMETER: PlacementKind.REJECTED,
        OutcomeClass.FILTER: PlacementKind.REJECTED,
        OutcomeClass.MARGIN: PlacementKind.REJECTED,
        OutcomeClass.REDUCE_ONLY: PlacementKind.REJECTED,
        OutcomeClass.NO_POSITION: PlacementKind.REJECTED,
        OutcomeClass.NOT_TRADABLE: PlacementKind.REJECTED,
        OutcomeClass.DUPLICATE_ID: PlacementKind.DUPLICATE,
        # Neither of these answers a placement; if one comes all the same, we know nothing.
        OutcomeClass.BENIGN: PlacementKind.UNKNOWN,
        OutcomeClass.NOT_FOUND: PlacementKind.UNKNOWN,
        OutcomeClass.UNKNOWN: PlacementKind.UNKNOWN,
    }
)

# What a person can do about it. Classes left out need nobody: the work goes on by itself.
ADVICE: MappingProxyType[OutcomeClass, str] = MappingProxyType(
    {
        OutcomeClass.RATE_ACCOUNT: "Send fewer requests with this account.",
        OutcomeClass.RATE_IP: "Send fewer requests from this address; nothing is sent meanwhile.",
        OutcomeClass.CLOCK: "Timestamp verification failed. Check system NTP sync.",
        OutcomeClass.AUTH: "Check the key, its secret, its permissions and its bound addresses.",
        OutcomeClass.PARAMETER: "The same again will be refused again: correct what was asked for.",
        OutcomeClass.FILTER: "Correct quantity or price to the symbol's rules.",
        OutcomeClass.MARGIN: "Add margin, or trade less.",
        OutcomeClass.REDUCE_ONLY: "Look at the position: there is nothing to reduce on that side.",
        OutcomeClass.NO_POSITION: "Look at the position: there is none on that side.",
        OutcomeClass.NOT_TRADABLE: "Wait until the symbol may be traded again.",
        OutcomeClass.OVERLOAD: "Try again later.",
        OutcomeClass.NOT_SENT: "Check the base URL and the network.",
    }
)


def advised(message: str | None, outcome_class: OutcomeClass) -> str:
    """An exchange's message, and what to do about it."""
    advice = ADVICE.get(outcome_class, "")
    said = (message or "").strip()
    if said and advice and said[-1] not in ".!?。":
        said += "."
    return f"{said} {advice}".strip()


# Asked immediately before each signature of a placement, after every wait: None lets it be sent, a
# text says why it must not be. Does no I/O and never raises.
Permit: TypeAlias = "Callable[[], str | None]"


def permitted() -> str | None:
    """The permit of who has nothing against it."""
    return None


@value(frozen=True, slots=True)
class Placement:
    """The answer to placing one order.

    Attributes:
        kind: what is to be done now.
        outcome_class: why, for tables, metrics and people.
        code: the exchange's own code as text, `http-503`, or the name of a transport error.
        message: the exchange's message, cut to a sane length, or ours.
        exchange_order_id: set when ACCEPTED.
        signed_at: the exchange-clock time that was signed; None if nothing was sent.
        sent_at: local time just before the bytes were handed to the transport; None if not sent.
        retry_after: seconds the exchange asked us to stay away, or None.
    """

    kind: PlacementKind
    outcome_class: OutcomeClass
    code: str | None = None
    message: str | None = None
    exchange_order_id: str | None = None
    signed_at: datetime | None = None
    sent_at: datetime | None = None
    retry_after: float | None = None
