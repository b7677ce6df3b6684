"""The ledger in memory: the same compare-and-set, with faults on demand.

Several owners may share one `Rows`. The database's clock runs 7 s ahead of the worker's, so that
code which compares the two without care is found out.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from storage.claims import why_not
from storage.errors import ClaimLost, IllegalTransition, LedgerUnavailable, LimitExceeded
from storage.ledger import (
    Busy,
    Change,
    Claim,
    Claimed,
    Intent,
    Lane,
    Ledger,
    Letter,
    NewOrder,
    Ready,
    SlotTaken,
    Unresolved,
)
from storage.orders import OrderRow
from storage.states import OrderState, may_follow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.clock import Clock

_AHEAD = timedelta(seconds=7)


@dataclass
class LaneRow:
    """Who has a lane; nobody if `owner` is None."""

    owner: UUID | None
    fence: int = 1


@dataclass
class Rows:
    """What the database holds: rows by request id, and every step of a state."""

    by_id: dict[str, OrderRow] = field(default_factory=dict)
    lanes: dict[Lane, LaneRow] = field(default_factory=dict)
    alive_until: dict[UUID, datetime] = field(default_factory=dict)
    letters: list[tuple[OrderRow, Letter]] = field(default_factory=list)
    steps: list[tuple[str, OrderState | None, OrderState]] = field(default_factory=list)

    def path(self, request_id: str) -> list[OrderState]:
        """The states an order went through, each once in a row."""
        path: list[OrderState] = []
        for name, _, after in self.steps:
            if name == request_id and (not path or path[-1] is not after):
                path.append(after)
        return path


@dataclass(frozen=True)
class _Fault:
    """What happens to a call: time passes, an error comes, before or after the write."""

    error: Exception | None = None
    committed: bool = False
    seconds: float = 0.0


class FakeLedger(Ledger):
    """One owner's view of `Rows`.

    Faults: `fail_next("record", …)` makes the next call of that name fail once.
    """

    def __init__(
        self,
        clock: Clock,
        rows: Rows | None = None,
        *,
        lease: timedelta = timedelta(seconds=30),
        alive_for: timedelta = timedelta(seconds=10),
        send_within: timedelta = timedelta(seconds=5),
    ) -> None:
        self._owner: UUID = uuid4()
        self.rows = rows if rows is not None else Rows()
        self.lease = lease
        self.alive_for = alive_for
        self.send_within = send_within
        self.held: dict[Lane, int] = {}
        self.clock = clock
        self.calls: list[str] = []
        self.away = False
        self._faults: dict[str, deque[_Fault]] = defaultdict(deque)

    def fail_next(
        self, call: str, error: Exception | None = None, *, committed: bool = False
    ) -> None:
        """Make the next `call` raise; `committed` means after it was written."""
        fault = error if error is not None else LedgerUnavailable("the database went away")
        self._faults[call].append(_Fault(fault, committed))

    def slow_next(self, call: str, seconds: float) -> None:
        """Make the answer to the next `call` late; what it writes is written at once."""
        self._faults[call].append(_Fault(seconds=seconds))

    def forget_faults(self) -> None:
        """Let every call be well again."""
        self._faults.clear()

    async def probe(self) -> None:
        """What the gate asks: is the ledger there?"""
        if self.away:
            raise LedgerUnavailable("the database is still away")

    def now(self) -> datetime:
        """The database's clock."""
        return self.clock.now() + _AHEAD

    def row(self, request_id: str) -> OrderRow:
        return self.rows.by_id[request_id]

    def put(self, row: OrderRow) -> None:
        """Have a row there from before."""
        self.rows.by_id[row.request_id] = row
        self.rows.steps.append((row.request_id, None, row.state))

    async def claim(self, order: NewOrder, ready: Ready | None = None) -> Claim:
        fault = await self._begin("claim")
        claim = self._claim(order)
        if ready is not None and isinstance(claim, Claimed) and claim.row.fence == 1:
            claim = self._begin_ready(claim, ready)
        await self._end(fault)
        return claim

    def _begin_ready(self, claim: Claimed, ready: Ready) -> Claimed:
        """Commit the intent of an order that was born just now, as the statement does."""
        assert claim.lane is not None
        intent = Intent(
            request_id=claim.row.request_id,
            fence=1,
            before=OrderState.RECEIVED,
            lane=claim.lane,
            order=ready.order,
            may_land_for=ready.may_land_for,
            limits=ready.limits,
        )
        slot = None if ready.want is None else SlotTaken(self.now().timestamp(), ())
        try:
            self._judge(intent)
        except LimitExceeded as found:
            return replace(claim, slot=slot, exceeded=found)
        self._write_intent(claim.row, intent)
        return replace(claim, row=self.row(claim.row.request_id), slot=slot)

    async def begin_sending(self, intent: Intent) -> None:
        if not may_follow(intent.before, OrderState.SENDING):
            raise IllegalTransition(f"{intent.request_id}: SENDING after {intent.before}")
        fault = await self._begin("begin_sending")
        row = self._matching(intent.request_id, intent.fence, intent.before)
        lane = self.rows.lanes.get(intent.lane)
        ours = lane is not None and (lane.owner, lane.fence) == (
            self.owner,
            self.held.get(intent.lane),
        )
        alive = self.rows.alive_until[self.owner] >= self.now() + self.send_within
        if row is None or not ours or not alive:
            raise ClaimLost(intent.request_id)
        self._judge(intent)
        self._write_intent(row, intent)
        await self._end(fault)

    def _write_intent(self, row: OrderRow, intent: Intent) -> None:
        self._write(
            row,
            state=OrderState.SENDING,
            code=None,
            message=None,
            sends=row.sends + 1,
            exchange=intent.lane.exchange,
            side=intent.order.side,
            order_type=intent.order.order_type,
            order_quantity=intent.order.quantity,
            order_price=intent.order.price,
            reduce_only=intent.order.reduce_only,
            position_side=intent.order.position_side,
            take_profit=intent.order.take_profit,
            stop_loss=intent.order.stop_loss,
            intended_at=self.now(),
            may_land_until=self.now() + intent.may_land_for,
            lease_until=self.now() + self.lease,
        )

    def _judge(self, intent: Intent) -> None:
        """Judge an intent's limits, as the statement does."""
        limits, order = intent.limits, intent.order
        if limits is None:
            return
        lane = [
            row
            for row in self.rows.by_id.values()
            if Lane(row.exchange, row.account, row.symbol) == intent.lane
            and row.request_id != intent.request_id
            and row.intended_at is not None
            and not row.reduce_only
        ]
        if limits.max_position is not None:
            assert limits.price is not None
            assert limits.held is not None
            assert limits.held_at is not None
            value = limits.price * (
                limits.held
                + order.quantity
                + sum(
                    (_may_fill(row, limits.held_at) for row in lane if row.side == order.side),
                    Decimal(0),
                )
            )
            if value > limits.max_position:
                raise LimitExceeded(
                    limits.position_control, f"{limits.max_position:f}", f"{value:f}"
                )
        if limits.max_orders is not None:
            assert limits.window is not None
            since = self.now() - limits.window
            count = 1 + sum(row.intended_at > since for row in lane if row.intended_at)
            if count > limits.max_orders:
                most = f"{limits.max_orders}/{limits.window.total_seconds():g}s"
                raise LimitExceeded(limits.orders_control, most, str(count))

    async def record(self, change: Change) -> None:
        if not may_follow(change.before, change.after):
            raise IllegalTransition(
                f"{change.request_id}: {change.after} may not follow {change.before}"
            )
        fault = await self._begin("record")
        row = self._matching(change.request_id, change.fence, change.before)
        if row is None:
            row = self.rows.by_id.get(change.request_id)
            if row is None or row.fence != change.fence or row.state is not change.after:
                raise ClaimLost(change.request_id)
            return
        now = self.now()
        self._write(
            row,
            state=change.after,
            code=change.code,
            message=change.message,
            exchange_order_id=change.exchange_order_id or row.exchange_order_id,
            sent_at=row.sent_at or change.sent_at,
            filled_quantity=_either(change.filled_quantity, row.filled_quantity),
            average_price=_either(change.average_price, row.average_price),
            fee=_either(change.fee, row.fee),
            fee_currency=change.fee_currency or row.fee_currency,
            lease_until=row.lease_until if change.keep_lease else None,
            may_land_until=(
                row.may_land_until if change.may_land_for is None else now + change.may_land_for
            ),
            check_at=None if change.check_in is None else now + change.check_in,
            checks=row.checks + 1 if change.after is change.before else 0,
            finished_at=now if change.after.final else None,
            dead_lettered_at=row.dead_lettered_at if change.letter is None else now,
        )
        if change.letter is not None:
            self.rows.letters.append((row, change.letter))
        if change.lane is not None and not change.more:
            self._free(change.lane)
        await self._end(fault)

    async def leave_lane(self, lane: Lane) -> None:
        if lane in self.held:
            fault = await self._begin("leave_lane")
            self._free(lane)
            await self._end(fault)

    async def unresolved(self, among: Sequence[str] | None = None) -> Sequence[Unresolved]:
        fault = await self._begin("unresolved")
        now = self.now()
        rows = [
            row
            for row in self.rows.by_id.values()
            if row.state.unresolved and (among is None or row.request_id in among)
        ]
        await self._end(fault)
        return [Unresolved(Claimed(row, now), self._leased(row)) for row in rows]

    async def mark_dead_lettered(self, request_id: str) -> None:
        fault = await self._begin("mark_dead_lettered")
        row = self.rows.by_id.get(request_id)
        if row is not None:
            self._write(row, dead_lettered_at=self.now())
        await self._end(fault)

    async def due_checks(
        self, most: int, lease: timedelta, overdue: timedelta = timedelta(0)
    ) -> Sequence[Claimed]:
        fault = await self._begin("due_checks")
        now = self.now()
        due = [
            row
            for row in self.rows.by_id.values()
            if row.check_at is not None
            and row.check_at <= now
            and (row.check_at <= now - overdue or row.state.unresolved or _to_protect(row))
        ]
        due.sort(key=lambda row: row.check_at or now)
        for row in due[:most]:
            self._write(row, check_at=now + lease)
        await self._end(fault)
        return [Claimed(self.row(row.request_id), now) for row in due[:most]]

    async def adopt_orphans(self, grace: timedelta) -> int:
        fault = await self._begin("adopt_orphans")
        limit = self.now() - grace
        orphans = [
            row
            for row in self.rows.by_id.values()
            if row.check_at is None
            and (row.state.unresolved or row.state.at_exchange)
            and (row.lease_until is None or row.lease_until < limit)
        ]
        for row in orphans:
            self._write(row, check_at=self.now())
        await self._end(fault)
        return len(orphans)

    def _claim(self, order: NewOrder) -> Claim:
        now = self.now()
        alive_until = self.rows.alive_until.get(self.owner, now)
        self.rows.alive_until[self.owner] = max(alive_until, now + self.alive_for)
        lane = Lane(order.exchange, order.account, order.symbol)
        row = self.rows.by_id.get(order.request_id)
        held = self._take(lane)
        if row is None and not held:
            return Busy(None)
        if row is None:
            row = born(order, self.owner, now, now + self.lease)
            self.put(row)
            return Claimed(row, now, lane)
        leased = self._leased(row)
        open_ = not row.state.final and not row.state.at_exchange
        if row.fingerprint == order.fingerprint and open_ and not leased and held:
            self._write(
                row,
                owner=self.owner,
                fence=row.fence + 1,
                attempts=row.attempts + 1,
                lease_until=now + self.lease,
                check_at=None,
                dead_lettered_at=None,
            )
            return Claimed(self.row(order.request_id), now, lane)
        why = why_not(row, order)
        assert leased or not held or not isinstance(why, Busy)
        return why

    def _take(self, lane: Lane) -> bool:
        """Take a lane, if nobody who is alive has it."""
        there = self.rows.lanes.setdefault(lane, LaneRow(self.owner))
        if there.owner is None or (there.owner != self.owner and self._gone(there.owner)):
            there.owner = self.owner
            there.fence += 1
        if there.owner == self.owner:
            self.held[lane] = there.fence
        return there.owner == self.owner

    def _free(self, lane: Lane) -> None:
        there = self.rows.lanes.get(lane)
        if there is not None and there.owner == self.owner:
            there.owner = None
        self.held.pop(lane, None)

    def _gone(self, owner: UUID | None) -> bool:
        """True if a worker that was there once gives no sign of life any more."""
        until = self.rows.alive_until.get(owner) if owner is not None else None
        return until is not None and until <= self.now()

    def _leased(self, row: OrderRow) -> bool:
        return (
            row.lease_until is not None
            and row.lease_until >= self.now()
            and row.owner != self.owner
            and not self._gone(row.owner)
        )

    def _matching(self, request_id: str, fence: int, before: OrderState) -> OrderRow | None:
        row = self.rows.by_id.get(request_id)
        return row if row is not None and row.fence == fence and row.state is before else None

    def _write(self, row: OrderRow, **changes: object) -> None:
        after = replace(row, updated_at=self.now(), **changes)  # type: ignore[arg-type]  # by name
        assert may_follow(row.state, after.state)
        self.rows.by_id[row.request_id] = after
        if after.state is not row.state:
            self.rows.steps.append((row.request_id, row.state, after.state))

    async def _begin(self, call: str) -> _Fault:
        self.calls.append(call)
        await asyncio.sleep(0)
        if self.away:
            raise LedgerUnavailable("the database is away")
        fault = self._faults[call].popleft() if self._faults[call] else _Fault()
        if fault.error is not None and not fault.committed:
            raise fault.error
        return fault

    async def _end(self, fault: _Fault) -> None:
        await asyncio.sleep(fault.seconds)  # the answer travels: a crash may come before it
        if fault.error is not None:
            raise fault.error


def born(
    order: NewOrder, owner: UUID | None, now: datetime, lease_until: datetime | None
) -> OrderRow:
    """The row of an order that was never seen before."""
    return OrderRow(
        request_id=order.request_id,
        client_order_id=order.client_order_id,
        fingerprint=order.fingerprint,
        payload=order.payload,
        exchange=order.exchange,
        account=order.account,
        symbol=order.symbol,
        action=order.action,
        quantity=order.quantity,
        price=order.price,
        queued_at=order.queued_at,
        received_at=order.received_at,
        state=OrderState.RECEIVED,
        code=None,
        message=None,
        attempts=1,
        sends=0,
        updated_at=now,
        owner=owner,
        fence=1,
        lease_until=lease_until,
        side=None,
        order_type=None,
        order_quantity=None,
        order_price=None,
        reduce_only=None,
        intended_at=None,
        sent_at=None,
        may_land_until=None,
        exchange_order_id=None,
        filled_quantity=Decimal(0),
        average_price=None,
        fee=None,
        fee_currency=None,
        finished_at=None,
        dead_lettered_at=None,
        check_at=None,
        checks=0,
        wanted_at=now,
    )


def _either(new: Decimal | None, old: Decimal | None) -> Decimal | None:
    return old if new is None else new


_COUNTS = {
    OrderState.SENDING,
    OrderState.UNKNOWN,
    OrderState.ACCEPTED,
    OrderState.PARTIALLY_FILLED,
    OrderState.FILLED,
    OrderState.CANCELED,
}


def _may_fill(row: OrderRow, held_at: datetime) -> Decimal:
    """What an order may still add to a position that was read at some time, or has added since."""
    if row.state not in _COUNTS or row.order_quantity is None:
        return Decimal(0)
    if row.finished_at is not None:
        return row.filled_quantity if row.finished_at >= held_at else Decimal(0)
    if row.updated_at < held_at:
        return row.order_quantity - row.filled_quantity
    return row.order_quantity


def _to_protect(row: OrderRow) -> bool:
    return row.take_profit is not None or row.stop_loss is not None
