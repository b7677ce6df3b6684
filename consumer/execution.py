"""One message's way: claim, resolve, check, prepare, commit the intent, place, record.

Returns an `Outcome`; settles nothing itself. The order of the steps is the promise: an intent is
committed before a byte leaves, and a message is settled only after what became of it is in the
ledger. An order of unknown outcome is never sent again before the exchange was asked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from consumer.checks import stale
from consumer.claimed import ClaimedOrder, Recorder
from consumer.meaning import (
    CACHE_IN_DOUBT,
    EXPIRED,
    details_of_placement,
    outcome_of_placement,
    outcome_of_row,
    reason_to_wait,
    state_after,
)
from consumer.outcome import Outcome, OutcomeKind
from consumer.resolver import Resolver
from consumer.routing import route
from providers.errors import (
    ExchangeError,
    ExchangeUnavailable,
    NotConfigured,
    NothingToClose,
    ProviderError,
    RequestRefused,
    UnknownExchange,
)
from providers.outcomes import OutcomeClass, Placement, PlacementKind
from storage.errors import ClaimLost
from storage.identity import client_order_id, fingerprint
from storage.ledger import Busy, Claimed, Conflict, Intent, NewOrder, Settled
from storage.states import OrderState

if TYPE_CHECKING:
    from datetime import datetime

    from consumer.gate import LedgerGate
    from consumer.message import TradeMessage
    from consumer.settings import Settings
    from providers.clock import Clock
    from providers.exchange import ExchangeClient
    from providers.orders import PreparedOrder
    from providers.router import ExchangeRouter
    from storage.ledger import Ledger

_log = structlog.get_logger(__name__)
_BUSY_WAIT = 0.5  # seconds to wait once for another worker to finish with an order


@dataclass(slots=True)
class _Job:
    """A claimed order with the message that wants it, and where it is to go."""

    message: TradeMessage
    order: ClaimedOrder
    exchange: str
    attempt: int


class Executor:
    """Turns messages into outcomes; one for a process, used by many tasks at once."""

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
        self._settings = settings
        self._clock = clock
        self._recorder = Recorder(ledger, gate)
        self._resolver = Resolver(router, self._recorder, clock, settings.absence_margin)
        # The latest moment a request may be signed, counted from the start of the intent's
        # commit: `place` may wait for a connection, meet a clock error and sign once more.
        self._sign_within = timedelta(
            seconds=settings.send_within
            + 2 * (settings.exchange_connect_timeout + settings.exchange_request_timeout)
        )

    async def execute(
        self, message: TradeMessage, *, attempt: int, received_at: datetime
    ) -> Outcome:
        """Work on one message until something durable can be said about it.

        Args:
            message: what is wanted.
            attempt: which try this is, from 1.
            received_at: when the message reached us.

        Raises:
            LedgerUnavailable: nothing was sent by this call; call again when the ledger is back.
        """
        exchange = route(message, self._settings.default_exchange)
        new = _new_order(message, exchange, received_at)
        claim = await self._ledger.claim(new)
        if isinstance(claim, Busy):
            await asyncio.sleep(_BUSY_WAIT)
            claim = await self._ledger.claim(new)
        match claim:
            case Claimed():
                order = ClaimedOrder.of(claim, self._clock)
                outcome = await self._work(_Job(message, order, exchange, attempt))
            case Settled(row):
                outcome = outcome_of_row(row)
            case Conflict(row):
                outcome = Outcome(
                    OutcomeKind.REFUSED,
                    "DUPLICATE_REQUEST",
                    f"requestId {row.request_id} was used for another trade at "
                    f"{row.received_at.isoformat()}; a new trade needs a new requestId",
                )
            case Busy(row):
                outcome = Outcome(
                    OutcomeKind.RETRY, "BUSY", "another worker is on this order", row.state, row
                )
        return replace(outcome, request_id=message.request_id)

    async def _work(self, job: _Job) -> Outcome:
        try:
            if job.order.state is OrderState.SENDING:
                await self._resolver.mark_interrupted(job.order)
            if job.order.state is OrderState.UNKNOWN:
                resolved = await self._resolver.resolve(job.order)
                if resolved is not None:
                    return resolved
            return await self._send(job)
        except ClaimLost as lost:
            return Outcome(OutcomeKind.RETRY, "CLAIM_LOST", str(lost), job.order.state)

    async def _send(self, job: _Job) -> Outcome:
        late = stale(job.message, self._clock.now())
        if late is not None:
            return await self._refuse(job, OrderState.EXPIRED, EXPIRED, late)
        try:
            client = self._router.client(job.exchange)
            prepared = await self._router.preparation(job.exchange).prepare(
                job.message.trade,
                job.order.row.client_order_id,
                default_leverage=self._settings.default_leverage,
            )
        except ProviderError as error:
            return await self._unprepared(job, error)
        if job.message.test:
            return await self._leave(job, "TEST", "a test message: checked, sized, not sent")
        began = self._clock.monotonic()
        await self._commit_intent(job, client, prepared)
        late = stale(job.message, self._clock.now())
        if late is not None:
            await self._recorder.record(
                job.order, OrderState.DEFERRED, code=EXPIRED, message=late, keep_lease=True
            )
            return await self._refuse(job, OrderState.EXPIRED, EXPIRED, late)
        if self._clock.monotonic() - began > self._settings.send_within:
            return await self._defer(
                job, "TOO_SLOW", "the intent's commit took too long; nothing was sent"
            )
        return await self._placed(job, client, await _place(client, prepared))

    async def _commit_intent(
        self, job: _Job, client: ExchangeClient, prepared: PreparedOrder
    ) -> None:
        """Make the intent durable. Raises `ClaimLost`, `LedgerUnavailable`: then send nothing."""
        await self._ledger.begin_sending(
            Intent(
                request_id=job.order.row.request_id,
                fence=job.order.row.fence,
                before=job.order.state,
                exchange=job.exchange,
                order=prepared,
                may_land_for=self._sign_within + client.acceptance_window,
            )
        )
        job.order.state = OrderState.SENDING
        job.order.row = replace(
            job.order.row,
            exchange=job.exchange,
            side=prepared.side,
            order_quantity=prepared.quantity,
            reduce_only=prepared.reduce_only,
            position_side=prepared.position_side,
            take_profit=prepared.take_profit,
            stop_loss=prepared.stop_loss,
            may_land_until=None,  # what an earlier send left there says nothing about this one
        )

    async def _placed(self, job: _Job, client: ExchangeClient, placement: Placement) -> Outcome:
        """Record the answer to a placement and say what it means for the message."""
        if placement.outcome_class in CACHE_IN_DOUBT:
            self._router.preparation(job.exchange).forget(
                job.order.row.symbol, placement.outcome_class
            )
        after = state_after(placement, opens=job.message.action.opens)
        details = details_of_placement(placement, after, client.acceptance_window)
        await self._recorder.record(job.order, after, **details)
        if placement.kind is PlacementKind.DUPLICATE:
            # Proof that an earlier request worked: the order is there, so look it up now.
            resolved = await self._resolver.resolve(job.order)
            if resolved is not None:
                return resolved
        return outcome_of_placement(placement, after, job.exchange, details.get("message"))

    async def _unprepared(self, job: _Job, error: ProviderError) -> Outcome:
        """Say what a failed preparation means. Nothing was sent."""
        text = str(error)
        match error:
            case NothingToClose() if job.attempt > 1:
                outcome = await self._leave(job, error.code, text)
            case NothingToClose():
                # Once may be a look-up that lags behind an open; a close is not dropped for it.
                outcome = await self._defer(job, error.code, text)
            case RequestRefused():
                outcome = await self._refuse(job, OrderState.DENIED, error.code, text)
            case NotConfigured():
                outcome = await self._refuse(job, OrderState.DENIED, "NOT_CONFIGURED", text)
            case UnknownExchange():
                outcome = await self._refuse(job, OrderState.DENIED, "UNKNOWN_EXCHANGE", text)
            case ExchangeUnavailable():
                outcome = await self._defer(job, reason_to_wait(error.outcome_class), text)
            case ExchangeError():
                outcome = await self._refuse(job, OrderState.DENIED, "EXCHANGE_REFUSED", text)
            case _:
                outcome = await self._defer(job, "PREPARATION_FAILED", text)
        return outcome

    async def _refuse(self, job: _Job, state: OrderState, code: str, why: str) -> Outcome:
        await self._recorder.record(job.order, state, code=code, message=why)
        return Outcome(OutcomeKind.REFUSED, code, why, state, exchange=job.exchange)

    async def _defer(self, job: _Job, code: str, why: str) -> Outcome:
        await self._recorder.record(job.order, OrderState.DEFERRED, code=code, message=why)
        return Outcome(OutcomeKind.RETRY, code, why, job.order.state, exchange=job.exchange)

    async def _leave(self, job: _Job, code: str, why: str) -> Outcome:
        await self._recorder.record(job.order, OrderState.CANCELED, code=code, message=why)
        return Outcome(OutcomeKind.NOTHING_TO_DO, code, why, job.order.state, exchange=job.exchange)


async def _place(client: ExchangeClient, order: PreparedOrder) -> Placement:
    """Place an order; an exception out of a client means that nothing is known."""
    try:
        return await client.place(order)
    except Exception as error:  # noqa: BLE001 - whatever it is, the order may have been sent
        _log.error(
            "placing raised; the outcome counts as unknown",
            exchange=client.name,
            error=type(error).__name__,
        )
        return Placement(
            PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, type(error).__name__, "internal error"
        )


def _new_order(message: TradeMessage, exchange: str, received_at: datetime) -> NewOrder:
    return NewOrder(
        request_id=message.request_id,
        client_order_id=client_order_id(message.request_id, message.account),
        fingerprint=fingerprint(message.terms),
        payload=message.document,
        exchange=exchange,
        account=message.account,
        symbol=message.symbol,
        action=message.action,
        quantity=message.quantity,
        price=message.price,
        queued_at=message.queued_at,
        received_at=received_at,
    )
