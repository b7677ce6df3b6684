"""Following every order that is not final to its end, and asking about those of unknown outcome.

Works from the ledger, not from memory: what one replica leaves, another takes up. Never sends an
order. A borrowed order is pushed out of the others' sight for a while before it is looked at.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from consumer.execution import protection
from consumer.execution.claimed import ClaimedOrder, Recorder
from consumer.execution.listed import listed_orders
from consumer.execution.meaning import (
    NOT_SHOWN,
    QUARANTINED,
    details_of_view,
    letter_of_end,
    next_look,
    not_shown,
)
from consumer.execution.protection import UNPROTECTED, Progress
from consumer.execution.resolution import Expected, mismatch
from consumer.execution.resolver import Resolver
from consumer.watching.measuring import count_dead_letter
from providers.errors import ProviderError
from storage.claims import Letter
from storage.errors import ClaimLost, LedgerUnavailable
from storage.states import STATE_OF_STATUS, OrderState, may_follow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from consumer.controls.controls import Controls
    from consumer.gate import LedgerGate
    from consumer.settings import Settings
    from providers.clock import Clock
    from providers.orders import OrderView
    from providers.router import ExchangeRouter
    from storage.ledger import Claimed, Ledger
    from storage.orders import OrderRow

_log = structlog.get_logger(__name__)

_AT_ONCE = 8  # look-ups under way at the same time
# Of a list: those of a statement. More would keep the event loop from orders for too long.
_RECORDED_AT_ONCE = 8
_BORROW = timedelta(seconds=30)
_MOST = 50
_ORPHAN_EVERY = 10.0  # seconds
_AFTER_A_FAULT = 5.0  # seconds
_ORPHAN_GRACE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Step:
    """What a look at an order means for the ledger."""

    after: OrderState
    news: bool


def progress(before: OrderState, filled_before: object, found: OrderView) -> Step:
    """Compare the ledger with what the exchange shows. Pure.

    A step back (the exchange shows NEW for an order known to be filled in part) is read as
    "nothing new": some views lag.
    """
    after = STATE_OF_STATUS[found.status]
    if not may_follow(before, after):
        return Step(before, news=False)
    return Step(after, news=after is not before or found.filled_quantity != filled_before)


def _another(row: OrderRow, found: OrderView) -> str | None:
    """Say why an order under our id is not the one that the exchange took; None if it is. Pure.

    By the exchange's own id, where it was told: a person may have amended the order since.
    """
    if row.exchange_order_id is not None:
        if row.exchange_order_id == found.exchange_order_id:
            return None
        return f"it is order {found.exchange_order_id}, ours was {row.exchange_order_id}"
    expected = Expected(row.symbol, row.side, row.order_quantity, bool(row.reduce_only))
    return mismatch(found, expected)


class Reconciler:
    """Looks at orders when they are due.

    Args:
        left_for: how long orders that only have to be followed are left.
    """

    def __init__(
        self,
        ledger: Ledger,
        router: ExchangeRouter,
        settings: Settings,
        gate: LedgerGate,
        clock: Clock,
        controls: Controls,
        left_for: Callable[[], timedelta] = timedelta,
    ) -> None:
        self._controls = controls
        self._left_for = left_for
        self._ledger = ledger
        self._router = router
        self._gate = gate
        self._clock = clock
        self._interval = settings.reconcile_interval
        self._missing_after = timedelta(seconds=settings.missing_after)
        self._recorder = Recorder(ledger, gate)
        self._resolver = Resolver(router, self._recorder, clock, settings.absence_margin)

    async def run(self) -> None:
        """Work until cancelled."""
        adopt_at = 0.0
        while True:
            await self._gate.wait_open()
            try:
                if self._clock.monotonic() >= adopt_at:
                    await self._ledger.adopt_orphans(_ORPHAN_GRACE)
                    adopt_at = self._clock.monotonic() + _ORPHAN_EVERY
                due = await self._ledger.due_checks(_MOST, _BORROW, self._left_for())
            except LedgerUnavailable as error:
                self._gate.report(error)
                continue
            except Exception:  # noqa: BLE001 - if it ended here, nobody would follow the orders
                _log.exception("reconciling failed, going on")
                await asyncio.sleep(_AFTER_A_FAULT)
                continue
            if due:
                await self._look_at_all(due)
            if len(due) < _MOST:
                await asyncio.sleep(self._interval)

    async def _look_at_all(self, due: Sequence[Claimed]) -> None:
        shown = await listed_orders(self._router, [claim.row for claim in due])
        looking, recording = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_RECORDED_AT_ONCE)

        async def one(claim: Claimed) -> None:
            found = shown.get(claim.row.request_id)
            async with looking if found is None else recording:
                await self.look(claim, found)

        await asyncio.gather(*(one(claim) for claim in due))

    async def look(self, claim: Claimed, found: OrderView | None = None) -> bool:
        """Look at one order and record what is new; never raises for the exchange's sake.

        Args:
            claim: the order.
            found: as the exchange has just shown it; it is not asked again.

        Returns:
            False if nothing was learned: the exchange could not be asked, or somebody else has
            the order.
        """
        order = ClaimedOrder.of(claim, self._clock)
        try:
            if order.state is OrderState.SENDING:
                await self._resolver.mark_interrupted(order)
            if order.state is OrderState.UNKNOWN:
                await self._resolver.resolve(order, may_send=False)
            elif order.state.at_exchange:
                await self._follow(order, found)
        except ClaimLost:
            return False  # somebody works on it, who knows better
        except Exception:  # noqa: BLE001 - one order must not keep the others from being looked at
            _log.exception("look at an order failed", request_id=claim.row.request_id)
            return False
        return order.asked

    async def _follow(self, order: ClaimedOrder, found: OrderView | None) -> None:
        row = order.row
        later = next_look(row.checks + 1)
        try:
            client = self._router.client(row.exchange)
            found = found or await client.find_order(row.symbol, row.client_order_id)
        except ProviderError as error:
            _log.warning("order not read", request_id=row.request_id, error=str(error))
            await self._recorder.record(
                order, order.state, code=row.code, message=row.message, check_in=later, quiet=True
            )
            return
        if found is None:
            await self._missing(order, later)
            return
        fault = _another(row, found)
        if fault is not None:
            await self._quarantine(
                order, "MISMATCH", f"the exchange has another order under our id: {fault}"
            )
            return
        step = progress(order.state, row.filled_quantity, found)
        if not step.news:
            await self._recorder.record(order, order.state, check_in=later, quiet=True)
            return
        details = details_of_view(found, step.after)
        if step.after.final and found.filled_quantity and protection.wanted(client, row):
            # Not finished before what was asked for with it is in force, or certainly refused.
            protected = await protection.protect(
                client, row, found, partial(self._controls.protection_denial, row)
            )
            if protected.progress is Progress.AGAIN:
                wait = max(later, client.acceptance_window)
                await self._unprotected_yet(order, protected.says, wait)
                return
            if protected.progress is Progress.REFUSED:
                _log.error("position unprotected", request_id=row.request_id, error=protected.says)
                details |= {"code": UNPROTECTED, "message": protected.says}
        letter = letter_of_end(row, step.after, found)
        if letter is not None:
            details["letter"] = letter
        await self._recorder.record(order, step.after, **details)
        if letter is not None:
            count_dead_letter(letter.reason)
            _log.warning(
                "order came to nothing",
                request_id=row.request_id,
                exchange=row.exchange,
                reason=letter.reason,
                error=letter.error,
            )
        _log.info(
            "order moved on",
            request_id=row.request_id,
            exchange=row.exchange,
            symbol=row.symbol,
            client_order_id=row.client_order_id,
            exchange_order_id=found.exchange_order_id,
            state=step.after,
            filled=found.filled_quantity,
            price=found.average_price,
        )

    async def _unprotected_yet(self, order: ClaimedOrder, why: str | None, wait: timedelta) -> None:
        _log.warning("protection not placed yet", request_id=order.row.request_id, error=why)
        await self._recorder.record(order, order.state, check_in=wait, quiet=True)

    async def _missing(self, order: ClaimedOrder, later: timedelta) -> None:
        """Wait for an order that is not shown, which says nothing of it; but not for ever."""
        says, missing = not_shown(order.row, order.database_time(self._clock))
        if missing > self._missing_after:
            await self._quarantine(order, NOT_SHOWN, says)
            return
        await self._recorder.record(
            order, order.state, code=NOT_SHOWN, message=says, check_in=later, quiet=True
        )

    async def _quarantine(self, order: ClaimedOrder, code: str, why: str) -> None:
        """Leave an order to a person; its message is gone, so a dead letter speaks of it."""
        row = order.row
        letter = Letter(QUARANTINED, why) if row.dead_lettered_at is None else None
        await self._recorder.record(
            order, OrderState.QUARANTINED, code=code, message=why, letter=letter
        )
        if letter is not None:
            count_dead_letter(letter.reason)
        _log.error("order quarantined", request_id=row.request_id, error=why)
