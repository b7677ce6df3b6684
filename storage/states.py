"""The states of an order in the ledger and which may follow which. No I/O.

The same table is enforced in the database (`orders_state_guard` in the migrations); a test holds
the two against each other. `RECEIVED` is the state an order is born in.

    RECEIVED ──▶ DENIED | EXPIRED | CANCELED (nothing to close) | DEFERRED ⇄ SENDING
    SENDING  ──▶ ACCEPTED | REJECTED (a listed, definitive code only) | DEFERRED | UNKNOWN
    UNKNOWN  ──▶ asks the exchange: found → adopted; certainly absent → DEFERRED;
                 does not match → QUARANTINED
    ACCEPTED ──▶ PARTIALLY_FILLED ──▶ FILLED | CANCELED | REJECTED
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from providers.orders import OrderStatus


class OrderState(StrEnum):
    """What the ledger knows of an order."""

    RECEIVED = "RECEIVED"
    DENIED = "DENIED"
    EXPIRED = "EXPIRED"
    DEFERRED = "DEFERRED"
    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    QUARANTINED = "QUARANTINED"

    @property
    def final(self) -> bool:
        """True if the order will never change again by itself."""
        return self in FINAL

    @property
    def at_exchange(self) -> bool:
        """True if the exchange has the order in its book, as far as is known."""
        return self in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)

    @property
    def unresolved(self) -> bool:
        """True if a request may have left and its outcome is not known."""
        return self in (OrderState.SENDING, OrderState.UNKNOWN)


FINAL = frozenset(
    {
        OrderState.DENIED,
        OrderState.EXPIRED,
        OrderState.FILLED,
        OrderState.CANCELED,
        OrderState.REJECTED,
        OrderState.QUARANTINED,
    }
)

_S = OrderState
_ADOPTED = frozenset(
    {_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.QUARANTINED}
)

FOLLOWS: MappingProxyType[OrderState, frozenset[OrderState]] = MappingProxyType(
    {
        _S.RECEIVED: frozenset({_S.DENIED, _S.EXPIRED, _S.CANCELED, _S.DEFERRED, _S.SENDING}),
        _S.DEFERRED: frozenset({_S.DENIED, _S.EXPIRED, _S.CANCELED, _S.SENDING}),
        _S.SENDING: frozenset({_S.ACCEPTED, _S.REJECTED, _S.DEFERRED, _S.UNKNOWN}),
        _S.UNKNOWN: _ADOPTED | {_S.DEFERRED},
        _S.ACCEPTED: frozenset(
            {_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.QUARANTINED}
        ),
        _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.CANCELED, _S.QUARANTINED}),
        # A person decides what a quarantined order was.
        _S.QUARANTINED: frozenset({_S.ACCEPTED, _S.FILLED, _S.CANCELED, _S.REJECTED}),
        _S.DENIED: frozenset(),
        _S.EXPIRED: frozenset(),
        _S.FILLED: frozenset(),
        _S.CANCELED: frozenset(),
        _S.REJECTED: frozenset(),
    }
)

STATE_OF_STATUS: MappingProxyType[OrderStatus, OrderState] = MappingProxyType(
    {
        OrderStatus.NEW: OrderState.ACCEPTED,
        OrderStatus.PARTIALLY_FILLED: OrderState.PARTIALLY_FILLED,
        OrderStatus.FILLED: OrderState.FILLED,
        OrderStatus.CANCELED: OrderState.CANCELED,
        OrderStatus.REJECTED: OrderState.REJECTED,
    }
)


# Ended without reaching the exchange's book: a replay, and nothing else, may take such an order up
# again, as DEFERRED or, where a request had left, as UNKNOWN. The database allows it only together
# with a count of the replays and a new fencing number.
REOPENED = frozenset({_S.DENIED, _S.EXPIRED, _S.REJECTED})


def may_follow(before: OrderState, after: OrderState) -> bool:
    """True if `after` may follow `before`. Staying in a state is always allowed."""
    return before is after or after in FOLLOWS[before]
