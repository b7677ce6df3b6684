"""The order ledger: claim an order, commit the intent to send it, record what became of it.

Every write is a compare-and-set on the order's fencing number and state, and appends its event
in the same statement. Writes that are wanted at the same time share a statement and a commit.
Reading for people is in `storage.orders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import asyncpg
import orjson

from storage.errors import ClaimLost, IllegalTransition
from storage.group_commit import GroupCommit
from storage.orders import OrderRow, get_order, get_orders
from storage.postgres import statement
from storage.states import OrderState, may_follow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from decimal import Decimal
    from uuid import UUID

    from providers.orders import PreparedOrder
    from storage.postgres import Database

_MESSAGE_MOST = 500  # characters of an exchange's message that are worth keeping


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True)
class Claimed:
    """The order is ours to work on until the lease ends. `now` is the database's clock."""

    row: OrderRow
    now: datetime


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
    """Another owner holds the lease."""

    row: OrderRow


Claim = Claimed | Settled | Conflict | Busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is about to be sent. `may_land_for` counts from the commit."""

    request_id: str
    fence: int
    before: OrderState
    exchange: str
    order: PreparedOrder
    may_land_for: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of an order; None leaves a column as it is.

    Attributes:
        keep_lease: the caller goes on working on the order.
        may_land_for: time from now in which a request that was sent may still be accepted.
        check_in: time from now until the reconciler looks; None takes it off the list.
        quiet: nothing happened worth an event.
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


class Ledger:
    """The ledger as one owner sees it.

    Args:
        database: where it is kept.
        owner: unique to this process, never a host's or pod's name.
        lease: how long a claim holds without a sign of life.
    """

    def __init__(self, database: Database, owner: UUID, lease: timedelta) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease
        self._claims = GroupCommit(self._claim_group, key=_request_id, alone=_own_fault)
        self._intents = GroupCommit(self._send_group, key=_request_id, alone=_own_fault)
        self._changes = GroupCommit(self._record_group, key=_request_id, alone=_own_fault)

    @property
    def database(self) -> Database:
        """The database the ledger is kept in."""
        return self._database

    async def claim(self, order: NewOrder) -> Claim:
        """Claim an order, making its row if it is new. Safe to repeat after any error."""
        return await self._claims.submit(order)

    async def begin_sending(self, intent: Intent) -> None:
        """Commit the intent to send an order. Only after this returned may a byte leave.

        Raises:
            ClaimLost: the order is not ours, or not in the state we think; send nothing.
            LedgerUnavailable: it is not known whether the intent is committed; send nothing.
        """
        if not may_follow(intent.before, OrderState.SENDING):
            raise IllegalTransition(f"{intent.request_id}: SENDING may not follow {intent.before}")
        if not await self._intents.submit(intent):
            raise ClaimLost(intent.request_id)

    async def record(self, change: Change) -> None:
        """Record what became of an order. Safe to repeat after `LedgerUnavailable`.

        Raises:
            ClaimLost: the order was taken over, or is not in the state we think.
        """
        if not may_follow(change.before, change.after):
            raise IllegalTransition(
                f"{change.request_id}: {change.after} may not follow {change.before}"
            )
        if await self._changes.submit(change):
            return
        # A try whose answer got lost may have written it already.
        row = await get_order(self._database, change.request_id)
        if row is None or row.fence != change.fence or row.state is not change.after:
            raise ClaimLost(change.request_id)

    async def mark_dead_lettered(self, request_id: str) -> None:
        """Remember that the order's message is among the dead letters."""
        await self._database.execute(
            "UPDATE orders SET dead_lettered_at = now() WHERE request_id = $1", request_id
        )

    async def due_checks(self, most: int, lease: timedelta) -> Sequence[Claimed]:
        """Borrow orders that are due a look by the reconciler."""
        rows = await self._database.fetch(statement("due_checks"), most, lease)
        return [Claimed(OrderRow.read(row), row["now"]) for row in rows]

    async def adopt_orphans(self, grace: timedelta) -> int:
        """Put orders whose owner vanished on the reconciler's list; returns how many."""
        tag = await self._database.execute(statement("orphans"), grace)
        return int(tag.rsplit(" ", 1)[-1])

    async def _claim_group(self, group: Sequence[NewOrder]) -> Sequence[Claim]:
        ordered = sorted(group, key=_request_id)  # one order for all replicas: no deadlocks
        columns = _columns(
            [
                (
                    new.request_id,
                    new.client_order_id,
                    new.fingerprint,
                    orjson.dumps(new.payload).decode(),
                    new.exchange,
                    new.account,
                    new.symbol,
                    new.action,
                    new.quantity,
                    new.price,
                    new.queued_at,
                    new.received_at,
                )
                for new in ordered
            ]
        )
        rows = await self._database.fetch(statement("claim"), *columns, self._owner, self._lease)
        claims: dict[str, Claim] = {
            row["request_id"]: Claimed(OrderRow.read(row), row["now"]) for row in rows
        }
        missed = {new.request_id: new for new in group if new.request_id not in claims}
        if missed:
            for row in await get_orders(self._database, list(missed)):
                claims[row.request_id] = _why_not(row, missed[row.request_id])
        return [claims[new.request_id] for new in group]

    async def _send_group(self, group: Sequence[Intent]) -> Sequence[bool]:
        ordered = sorted(group, key=_request_id)
        columns = _columns(
            [
                (
                    intent.request_id,
                    intent.fence,
                    intent.before,
                    intent.exchange,
                    intent.order.side,
                    intent.order.order_type,
                    intent.order.quantity,
                    intent.order.price,
                    intent.order.reduce_only,
                    intent.may_land_for,
                    intent.order.position_side,
                    intent.order.take_profit,
                    intent.order.stop_loss,
                )
                for intent in ordered
            ]
        )
        rows = await self._database.fetch(statement("begin_sending"), *columns, self._lease)
        done = {row["request_id"] for row in rows}
        return [intent.request_id in done for intent in group]

    async def _record_group(self, group: Sequence[Change]) -> Sequence[bool]:
        ordered = sorted(group, key=_request_id)
        columns = _columns(
            [
                (
                    change.request_id,
                    change.fence,
                    change.before,
                    change.after,
                    _text(change.code),
                    _text(change.message),
                    change.exchange_order_id,
                    change.sent_at,
                    change.filled_quantity,
                    change.average_price,
                    change.fee,
                    change.fee_currency,
                    change.keep_lease,
                    change.may_land_for,
                    change.check_in,
                    change.quiet,
                )
                for change in ordered
            ]
        )
        rows = await self._database.fetch(statement("record"), *columns)
        done = {row["request_id"] for row in rows}
        return [change.request_id in done for change in group]


def _why_not(row: OrderRow, new: NewOrder) -> Claim:
    """Say why a row could not be claimed. Pure."""
    if row.fingerprint != new.fingerprint:
        return Conflict(row)
    if row.state.final or row.state.at_exchange:
        return Settled(row)
    return Busy(row)


def _request_id(item: NewOrder | Intent | Change) -> str:
    return item.request_id


def _text(said: str | None) -> str | None:
    """Cut what an exchange said to what is worth keeping and PostgreSQL can hold. Pure."""
    if not said:
        return None
    return said[:_MESSAGE_MOST].replace("\x00", "").encode(errors="replace").decode()


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Turn rows into columns, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def _own_fault(error: Exception) -> bool:
    """True if a group may have failed because of one of its items."""
    return isinstance(
        error,
        asyncpg.DataError
        | asyncpg.IntegrityConstraintViolationError
        | asyncpg.RaiseError
        | asyncpg.UnknownPostgresError,  # the guards' own codes, TW001 and TW002
    )
