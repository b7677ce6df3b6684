"""Following every order that is not final to its end, and asking about those of unknown outcome.

Works from the ledger, not from memory: what one replica leaves, another takes up. Never sends an
order. A borrowed order is pushed out of the others' sight for a while before it is looked at.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from consumer import protection
from consumer.claimed import ClaimedOrder, Recorder
from consumer.meaning import details_of_view, next_look
from consumer.protection import UNPROTECTED, Progress
from consumer.resolver import Resolver
from providers.errors import ProviderError
from storage.errors import ClaimLost, LedgerUnavailable
from storage.states import STATE_OF_STATUS, OrderState, may_follow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.gate import LedgerGate
    from consumer.settings import Settings
    from providers.clock import Clock
    from providers.orders import OrderView
    from providers.router import ExchangeRouter
    from storage.ledger import Claimed, Ledger

_log = structlog.get_logger(__name__)

_AT_ONCE = 8  # look-ups under way at the same time
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


class Reconciler:
    """Looks at orders when they are due."""

    def __init__(
        self,
        ledger: Ledger,
        router: ExchangeRouter,
        settings: Settings,
        gate: LedgerGate,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._router = router
        self._gate = gate
        self._clock = clock
        self._interval = settings.reconcile_interval
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
                due = await self._ledger.due_checks(_MOST, _BORROW)
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
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(claim: Claimed) -> None:
            async with places:
                await self.look(claim)

        await asyncio.gather(*(one(claim) for claim in due))

    async def look(self, claim: Claimed) -> None:
        """Look at one order and record what is new; never raises for the exchange's sake."""
        order = ClaimedOrder.of(claim, self._clock)
        try:
            if order.state is OrderState.SENDING:
                await self._resolver.mark_interrupted(order)
            if order.state is OrderState.UNKNOWN:
                await self._resolver.resolve(order, may_send=False)
            elif order.state.at_exchange:
                await self._follow(order)
        except ClaimLost:
            return  # somebody works on it, who knows better
        except Exception:  # noqa: BLE001 - one order must not keep the others from being looked at
            _log.exception("look at an order failed", request_id=claim.row.request_id)

    async def _follow(self, order: ClaimedOrder) -> None:
        row = order.row
        later = next_look(row.checks + 1)
        try:
            client = self._router.client(row.exchange)
            found = await client.find_order(row.symbol, row.client_order_id)
        except ProviderError as error:
            _log.warning("order not read", request_id=row.request_id, error=str(error))
            await self._recorder.record(order, order.state, check_in=later, quiet=True)
            return
        if found is None:
            await self._recorder.record(order, order.state, check_in=later, quiet=True)
            return
        step = progress(order.state, row.filled_quantity, found)
        if not step.news:
            await self._recorder.record(order, order.state, check_in=later, quiet=True)
            return
        details = details_of_view(found, step.after)
        if step.after.final and found.filled_quantity and protection.wanted(client, row):
            # Not finished before what was asked for with it is in force, or certainly refused.
            protected = await protection.protect(client, row, found)
            if protected.progress is Progress.AGAIN:
                _log.warning(
                    "protection not placed yet", request_id=row.request_id, error=protected.says
                )
                wait = max(later, client.acceptance_window)
                await self._recorder.record(order, order.state, check_in=wait, quiet=True)
                return
            if protected.progress is Progress.REFUSED:
                _log.error("position unprotected", request_id=row.request_id, error=protected.says)
                details |= {"code": UNPROTECTED, "message": protected.says}
        await self._recorder.record(order, step.after, **details)
        _log.info(
            "order moved on",
            request_id=row.request_id,
            exchange=row.exchange,
            symbol=row.symbol,
            state=step.after,
            filled=found.filled_quantity,
            price=found.average_price,
        )
