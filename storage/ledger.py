"""The order ledger: claim an order, commit the intent to send it, record what became of it.

Every write is a compare-and-set on the order's fencing number and state, and appends its event
in the same statement. Writes that are wanted at the same time share a statement and a commit.
Reading for people is in `storage.orders`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import orjson

from storage.beginning import arguments, claimed
from storage.claims import (
    Busy,
    Change,
    ChangeDetails,
    Claim,
    Claimed,
    Conflict,
    Intent,
    Lane,
    Letter,
    NewOrder,
    Ready,
    Settled,
    SlotTaken,
    Unresolved,
    why_not,
)
from storage.dead_letters import error_group
from storage.errors import ClaimLost, IllegalTransition, LimitExceeded
from storage.group_commit import GroupCommit
from storage.orders import OrderRow, get_order, get_orders
from storage.postgres import own_fault, statement
from storage.states import OrderState, may_follow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    import asyncpg

    from storage.claims import IntentLimits
    from storage.postgres import Database

__all__ = [
    "Busy",
    "Change",
    "ChangeDetails",
    "Claim",
    "Claimed",
    "Conflict",
    "Intent",
    "Lane",
    "Ledger",
    "Letter",
    "NewOrder",
    "Ready",
    "Settled",
    "SlotTaken",
    "Unresolved",
]

_MESSAGE_MOST = 500  # characters of an exchange's message that are worth keeping
_ASKED_FOR = timedelta(seconds=1)  # how long a lane that was asked for is kept for who asked
_TURN = timedelta(milliseconds=500)  # how long a lane that others ask for may be kept
_NOT_READY = (None,) * 14
_NO_NEEDS: tuple[list[object], ...] = ([], [], [], [], [], [], [])

_Wanted = tuple[NewOrder, Ready | None]


class Ledger:
    """The ledger as one owner sees it.

    Args:
        database: where it is kept.
        owner: unique to this process, never a host's or pod's name.
        lease: how long a claim holds without a sign of life.
        alive_for: how long a worker counts as alive after its last sign of life; then its lanes
            and orders are others'.
            At least twice `send_within` is taken.
        send_within: how long after the start of an intent's commit its send may begin; an intent
            is refused unless we certainly count as alive for that long.
    """

    def __init__(
        self,
        database: Database,
        owner: UUID,
        lease: timedelta,
        *,
        alive_for: timedelta = timedelta(seconds=10),
        send_within: timedelta = timedelta(seconds=5),
    ) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease
        self.alive_for = max(alive_for, 2 * send_within)
        self._send_within = send_within
        self._held: dict[Lane, int] = {}  # lanes that are ours, with their fencing numbers
        # The next statement is on its way before the orders of the last one are sent.
        self._begins = GroupCommit(self._begin_group, key=_wanted_id, alone=own_fault, turns=0)
        self._claims = GroupCommit(self._claim_group, key=_wanted_id, alone=own_fault)
        # One intent of a lane at a time: its limits count what was committed before.
        self._intents = GroupCommit(self._send_group, key=_lane, alone=own_fault)
        # What became of an order is not urgent, so that more of it can share a commit.
        self._changes = GroupCommit(self._record_group, key=_request_id, alone=own_fault, turns=24)

    @property
    def database(self) -> Database:
        """The database the ledger is kept in."""
        return self._database

    @property
    def owner(self) -> UUID:
        """Who claims."""
        return self._owner

    async def claim(self, order: NewOrder, ready: Ready | None = None) -> Claim:
        """Claim an order and its lane, making its row if it is new. Safe to repeat after any error.

        An order whose lane another owner has is not touched, and the lane is asked for: claim
        again soon, or somebody else gets it.

        A new order that is ready, whose request slot is free now and that breaks no limit, has
        its intent committed with the claim: `Claimed.begun`. Only then may a byte leave. If this
        raises, that may have been committed too; send nothing.
        """
        if ready is not None and ready.limits is None:
            begun = await self._begins.submit((order, ready))
            if begun is not None:
                return begun
        return await self._claims.submit((order, ready))

    async def begin_sending(self, intent: Intent) -> None:
        """Commit the intent to send an order. Only after this returned may a byte leave.

        Raises:
            ClaimLost: the order or its lane is not ours, the order is not in the state we think,
                or we may count as gone before it is sent; send nothing.
            LimitExceeded: the order would break one of its limits; nothing was written.
            LedgerUnavailable: it is not known whether the intent is committed; send nothing.
        """
        if not may_follow(intent.before, OrderState.SENDING):
            raise IllegalTransition(f"{intent.request_id}: SENDING may not follow {intent.before}")
        committed = intent.lane in self._held and await self._intents.submit(intent)
        if isinstance(committed, LimitExceeded):
            raise committed
        if not committed:
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

    async def leave_lane(self, lane: Lane) -> None:
        """Hand a lane over if it is ours still: there is no work for it here."""
        if lane in self._held:
            await self._database.execute(
                "UPDATE lanes SET owner = NULL "
                "WHERE exchange = $1 AND account = $2 AND symbol = $3 AND owner = $4",
                *lane,
                self._owner,
            )
            self._held.pop(lane, None)

    async def mark_dead_lettered(self, request_id: str) -> None:
        """Remember that the order's message is among the dead letters."""
        await self._database.execute(
            "UPDATE orders SET dead_lettered_at = now() WHERE request_id = $1", request_id
        )

    async def unresolved(self, among: Sequence[str] | None = None) -> Sequence[Unresolved]:
        """List the orders of unknown outcome, or those of some that are."""
        ids = None if among is None else list(among)
        rows = await self._database.fetch(statement("unresolved"), self._owner, ids)
        return [Unresolved(Claimed(OrderRow.read(row), row["now"]), row["in_work"]) for row in rows]

    async def due_checks(
        self, most: int, lease: timedelta, overdue: timedelta = timedelta(0)
    ) -> Sequence[Claimed]:
        """Borrow orders that are due a look by the reconciler.

        Those that only have to be followed to their end are left until they are `overdue`.
        """
        rows = await self._database.fetch(statement("due_checks"), most, lease, overdue)
        return [Claimed(OrderRow.read(row), row["now"]) for row in rows]

    async def adopt_orphans(self, grace: timedelta) -> int:
        """Put orders whose owner vanished on the reconciler's list; returns how many."""
        tag = await self._database.execute(statement("orphans"), grace)
        return int(tag.rsplit(" ", 1)[-1])

    async def _begin_group(
        self, group: Sequence[tuple[NewOrder, Ready]]
    ) -> Sequence[Claimed | None]:
        """Claim and begin orders, one of each lane; where not all can, all are as they were.

        Gives None for an order that has not begun.
        """
        firsts = {_lane_of(new): (new, ready) for new, ready in sorted(group, key=_wanted_id)}
        some = sorted(firsts.values(), key=_wanted_id)  # one order for all replicas: no deadlocks
        rows = await self._database.fetch(
            statement("begin_ready"),
            self._owner,
            self._lease,
            self._send_within,
            *arguments(some),
        )
        by_id = {new.request_id: (new, ready) for new, ready in some}
        begun: dict[str, Claimed] = {}
        for row in rows:
            new, ready = by_id[row["request_id"]]
            self._held[_lane_of(new)] = row["lane_fence"]
            begun[new.request_id] = claimed(new, ready, row, owner=self._owner, lease=self._lease)
        return [begun.get(new.request_id) for new, _ in group]

    async def _claim_group(self, group: Sequence[_Wanted]) -> Sequence[Claim]:
        ordered = sorted(group, key=_wanted_id)  # one order for all replicas: no deadlocks
        begun: set[Lane] = set()  # one intent of a lane at a time, here too
        ready: list[Ready | None] = []
        for new, one in ordered:
            ready.append(None if _lane_of(new) in begun else one)
            begun.add(_lane_of(new))
        rows = await self._database.fetch(
            statement("claim"),
            *_columns([_of_order(new) for new, _ in ordered]),
            self._owner,
            self._lease,
            self.alive_for,
            _ASKED_FOR,
            self._send_within,
            *_columns([_of_ready(one) for one in ready]),
            *_needs(ordered, ready),
        )
        limits = {new.request_id: one for (new, _), one in zip(ordered, ready, strict=True)}
        claims: dict[str, Claim] = {}
        for row in rows:
            lane = Lane(row["lane_exchange"], row["lane_account"], row["lane_symbol"])
            self._held[lane] = row["lane_fence"]
            if row["request_id"] is not None:
                claims[row["request_id"]] = _claimed(row, lane, limits[row["request_id"]])
        missed = {new.request_id: new for new, _ in group if new.request_id not in claims}
        if missed:
            for found in await get_orders(self._database, list(missed)):
                claims[found.request_id] = why_not(found, missed[found.request_id])
        return [claims.get(new.request_id, Busy(None)) for new, _ in group]

    async def _send_group(self, group: Sequence[Intent]) -> Sequence[bool | LimitExceeded]:
        ordered = sorted(group, key=_request_id)
        columns = _columns(
            [
                (
                    intent.request_id,
                    intent.fence,
                    intent.before,
                    intent.lane.exchange,
                    intent.order.side,
                    intent.order.order_type,
                    intent.order.quantity,
                    intent.order.price,
                    intent.order.reduce_only,
                    intent.may_land_for,
                    intent.order.position_side,
                    intent.order.take_profit,
                    intent.order.stop_loss,
                    intent.lane.account,
                    intent.lane.symbol,
                    self._held.get(intent.lane),
                )
                for intent in ordered
            ]
        )
        limits = _columns([_limits(intent) for intent in ordered])
        rows = await self._database.fetch(
            statement("begin_sending"),
            *columns,
            self._lease,
            self._owner,
            self._send_within,
            *limits,
        )
        found = {row["request_id"]: row for row in rows}
        return [_committed(intent, found.get(intent.request_id)) for intent in group]

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
                    change.lane.exchange if change.lane is not None else None,
                    change.more,
                    _json(change.detail),
                    _letter(change.letter),
                )
                for change in ordered
            ]
        )
        letters = columns.pop()
        rows = await self._database.fetch(
            statement("record"), *columns, self._owner, _TURN, letters
        )
        done = {row["request_id"] for row in rows}
        freed = {row["request_id"] for row in rows if row["freed"]}
        for change in group:
            if change.lane is not None and change.request_id in freed:
                self._held.pop(change.lane, None)
        return [change.request_id in done for change in group]


def _request_id(item: Intent | Change) -> str:
    return item.request_id


def _wanted_id(item: _Wanted) -> str:
    return item[0].request_id


def _lane_of(new: NewOrder) -> Lane:
    return Lane(new.exchange, new.account, new.symbol)


def _of_order(new: NewOrder) -> tuple[object, ...]:
    """Give the columns of an order. Pure."""
    return (
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


def _of_ready(ready: Ready | None) -> tuple[object, ...]:
    """Give the columns of what an intent needs; all None without it. Pure."""
    if ready is None:
        return _NOT_READY
    order, limits, want = ready.order, ready.limits, ready.want
    return (
        order.side,
        order.order_type,
        order.quantity,
        order.price,
        order.reduce_only,
        order.position_side,
        order.take_profit,
        order.stop_loss,
        ready.may_land_for,
        None if limits is None else limits.max_orders,
        None if limits is None else limits.window,
        _json(ready.detail),
        None if want is None else want.address,
        None if want is None else want.urgent,
    )


def _needs(
    ordered: Sequence[_Wanted], ready: Sequence[Ready | None]
) -> tuple[list[object], ...] | list[list[object]]:
    """Give the columns of the slots that ready orders need. Pure."""
    rows = [
        (
            new.request_id,
            need.bucket,
            need.units,
            need.pace.general,
            need.pace.reserved,
            need.pace.period_ms,
            need.pace.lent_ms,
        )
        for (new, _), one in zip(ordered, ready, strict=True)
        if one is not None and one.want is not None
        for need in one.want.needs
    ]
    return _columns(rows) if rows else _NO_NEEDS


def _claimed(row: asyncpg.Record, lane: Lane, ready: Ready | None) -> Claimed:
    """Read what a claim has come to. Pure."""
    slot, exceeded = None, None
    if row["slot_at_s"] is not None:
        slot = SlotTaken(row["slot_at_s"], tuple(row["slot_used"]))
    if row["orders"] is not None and ready is not None and ready.limits is not None:
        exceeded = _too_many(ready.limits, row["orders"])
    return Claimed(OrderRow.read(row), row["now"], lane, slot, exceeded)


def _too_many(limits: IntentLimits, orders: int) -> LimitExceeded | None:
    """Say that there would be too many orders. Pure."""
    if limits.window is None:
        return None
    most = f"{limits.max_orders}/{limits.window.total_seconds():g}s"
    return LimitExceeded(limits.orders_control, most, str(orders))


def _lane(intent: Intent) -> Lane:
    return intent.lane


def _limits(intent: Intent) -> tuple[object, ...]:
    """Give the columns of an intent's limits. Pure."""
    limits, detail = intent.limits, _json(intent.detail)
    if limits is None:
        return (None, None, None, None, None, None, detail)
    return (
        limits.max_position,
        limits.price,
        limits.held,
        limits.held_at,
        limits.max_orders,
        limits.window,
        detail,
    )


def _committed(intent: Intent, row: asyncpg.Record | None) -> bool | LimitExceeded:
    """Say what the commit made of an intent. Pure."""
    limits = intent.limits
    if row is None or row["sending"] or limits is None:
        return row is not None and bool(row["sending"])
    if row["position"] is not None:
        return LimitExceeded(
            limits.position_control, f"{limits.max_position:f}", f"{row['position']:f}"
        )
    if row["orders"] is not None:
        return _too_many(limits, row["orders"]) or False
    return False


def _json(detail: Mapping[str, object] | None) -> str | None:
    """Write the detail of an event; numbers in it as text. Pure."""
    return None if detail is None else orjson.dumps(detail, default=str).decode()


def _letter(letter: Letter | None) -> str | None:
    """Give a dead letter as the statement takes it. Pure."""
    if letter is None:
        return None
    error = _text(letter.error) or ""
    return _json({"reason": letter.reason, "error": error, "error_group": error_group(error)})


def _text(said: str | None) -> str | None:
    """Cut what an exchange said to what is worth keeping and PostgreSQL can hold. Pure."""
    if not said:
        return None
    return said[:_MESSAGE_MOST].replace("\x00", "").encode(errors="replace").decode()


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Turn rows into columns, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)]
