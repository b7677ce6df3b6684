"""What is said to the ledger and what it answers, as values. No I/O.

A lane is one (exchange, account, symbol): the order that goes there is worked on by one replica at
a time, the one that holds the lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from providers.values import value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from decimal import Decimal

    from providers.limits.plan import Want
    from providers.orders import PreparedOrder
    from storage.errors import LimitExceeded
    from storage.orders import OrderRow
    from storage.states import OrderState


class Lane(NamedTuple):
    """Where an order goes: two orders for the same position never race."""

    exchange: str
    account: str
    symbol: str


@value(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """What a message asks for, as the ledger keeps it."""

    request_id: str
    client_order_id: str
    fingerprint: bytes
    payload: Mapping[str, object]
    exchange: str
    account: str
    symbol: str
    action: str
    quantity: Decimal
    price: Decimal | None
    queued_at: datetime | None
    received_at: datetime


@value(frozen=True, slots=True)
class SlotTaken:
    """A request slot that was free at once. `at_s` is the database's clock, Unix seconds.

    `used` is how many slots of each need's bucket lie in its period.
    """

    at_s: float
    used: tuple[int, ...]


@value(frozen=True, slots=True)
class Claimed:
    """The order is ours to work on until the lease ends. `now` is the database's clock.

    Attributes:
        lane: held by us with it; None for an order that is only looked at.
        slot: taken with the claim, if the order came ready.
        exceeded: the limit that a ready order would break.
    """

    row: OrderRow
    now: datetime
    lane: Lane | None = None
    slot: SlotTaken | None = None
    exceeded: LimitExceeded | None = None

    @property
    def begun(self) -> bool:
        """True if the intent of an order that came ready is committed with the claim."""
        return self.row.fence == 1 and self.row.sends == 1


@dataclass(frozen=True, slots=True)
class Settled:
    """The order is done, or in the exchange's book: there is nothing left to do for a message."""

    row: OrderRow


@dataclass(frozen=True, slots=True)
class Conflict:
    """The request id was used before, for a different trade."""

    row: OrderRow


@dataclass(frozen=True, slots=True)
class Busy:
    """Another owner holds the order, or its lane; `row` is None if the order is not born yet."""

    row: OrderRow | None


@dataclass(frozen=True, slots=True)
class Unresolved:
    """An order of unknown outcome; `in_work` if another worker, who is alive, has it now."""

    claim: Claimed
    in_work: bool


Claim = Claimed | Settled | Conflict | Busy


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentLimits:
    """Limits of an opening order that only the commit of its intent can judge; None is no limit.

    Attributes:
        position_control: the name of the limit on the position.
        max_position: largest worth of what is held in the order's direction, with everything that
            is open, under way or of unknown outcome, and this order.
        price: by which coins are valued.
        held: what the exchange shows as held in the order's direction, in base coins.
        held_at: just before the exchange was asked for it, by the database's clock.
        orders_control: the name of the limit on the number of orders.
        max_orders: most opening orders of the lane in any `window`, this one counted.
        window: how far back they are counted.
    """

    position_control: str
    max_position: Decimal | None
    price: Decimal | None
    held: Decimal | None
    held_at: datetime | None
    orders_control: str
    max_orders: int | None
    window: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is about to be sent, and where to. `may_land_for` counts from the commit.

    `limits` are judged with the commit; `detail` is what its event says besides.
    """

    request_id: str
    fence: int
    before: OrderState
    lane: Lane
    order: PreparedOrder
    may_land_for: timedelta
    limits: IntentLimits | None = None
    detail: Mapping[str, object] | None = None


@value(frozen=True, slots=True, kw_only=True)
class Ready:
    """What the intent of an order needs that was ready to be sent before it was claimed.

    Attributes:
        order: as it is to be sent.
        may_land_for: as of an `Intent`.
        want: the request slot that it needs; None if requests are not counted.
        limits: as of an `Intent`; none on a position.
        detail: as of an `Intent`.
    """

    order: PreparedOrder
    may_land_for: timedelta
    want: Want | None = None
    limits: IntentLimits | None = None
    detail: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """The dead letter that an order becomes whose message was acknowledged when it was taken."""

    reason: str
    error: str


@value(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of an order; None leaves a column as it is.

    Attributes:
        keep_lease: the caller goes on working on the order.
        may_land_for: time from now in which a request that was sent may still be accepted.
        check_in: time from now until the reconciler looks; None takes it off the list.
        quiet: nothing happened worth an event.
        detail: what the event says besides.
        letter: the dead letter that is written with it.
        lane: handed over with this record, unless `more` work for it waits here; then only if
            another replica asked for it and we have had it for a while.
    """

    request_id: str
    fence: int
    before: OrderState
    after: OrderState
    code: str | None = None
    message: str | None = None
    exchange_order_id: str | None = None
    sent_at: datetime | None = None
    filled_quantity: Decimal | None = None
    average_price: Decimal | None = None
    fee: Decimal | None = None
    fee_currency: str | None = None
    keep_lease: bool = False
    may_land_for: timedelta | None = None
    check_in: timedelta | None = None
    quiet: bool = False
    detail: Mapping[str, object] | None = None
    letter: Letter | None = None
    lane: Lane | None = None
    more: bool = False


class ChangeDetails(TypedDict, total=False):
    """The optional fields of a `Change`, for callers that pass them on."""

    code: str | None
    message: str | None
    exchange_order_id: str | None
    sent_at: datetime | None
    filled_quantity: Decimal | None
    average_price: Decimal | None
    fee: Decimal | None
    fee_currency: str | None
    keep_lease: bool
    may_land_for: timedelta | None
    check_in: timedelta | None
    quiet: bool
    detail: Mapping[str, object] | None
    letter: Letter | None


def why_not(row: OrderRow, new: NewOrder) -> Claim:
    """Say why a row could not be claimed. Pure."""
    if row.fingerprint != new.fingerprint:
        return Conflict(row)
    if row.state.final or row.state.at_exchange:
        return Settled(row)
    return Busy(row)
