"""One message's way: claim, resolve, check, prepare, commit the intent, place, record.

An order for which nothing has to be asked first is checked and prepared before it is claimed, and
its intent is committed with the claim (`consumer.execution.ready`); all others go step by step.

Returns an `Outcome`; settles nothing itself. The order of the steps is the promise: an intent is
committed before a byte leaves, and a message is settled only after what became of it is in the
ledger. An order of unknown outcome is never sent again before the exchange was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from consumer.controls.limits import exceeded
from consumer.controls.permission import Denial
from consumer.controls.weighing import Weighed, weigh
from consumer.execution.claimed import ClaimedOrder, Recorder, new_order
from consumer.execution.meaning import (
    CACHE_IN_DOUBT,
    confirm_after,
    details_of_placement,
    outcome_of_placement,
    outcome_of_row,
    reason_to_wait,
    state_after,
)
from consumer.execution.ready import Readiness
from consumer.execution.resolver import Resolver
from consumer.execution.sending import LastLook, sent
from consumer.outcome import Outcome, OutcomeKind
from consumer.watching.measuring import count_order
from consumer.watching.trail import Stage, taken, timed
from providers.errors import (
    ExchangeError,
    ExchangeUnavailable,
    NotConfigured,
    NothingToClose,
    ProviderError,
    RequestRefused,
    UnknownExchange,
)
from providers.exchange import ReadsMany, TellsLoad, offers
from providers.limits.limiter import Joined
from providers.outcomes import OutcomeClass, PlacementKind
from providers.values import value
from storage.errors import ClaimLost, LedgerUnavailable, LimitExceeded
from storage.ledger import Busy, Claimed, Conflict, Intent, Lane, Settled
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from consumer.contract.message import TradeMessage
    from consumer.controls.controls import Controls
    from consumer.execution.ready import ReadyOrder
    from consumer.execution.start_gate import StartGate
    from consumer.gate import LedgerGate
    from consumer.settings import Settings
    from providers.clock import Clock
    from providers.exchange import ExchangeClient
    from providers.orders import PreparedOrder
    from providers.outcomes import Placement
    from providers.router import ExchangeRouter
    from storage.ledger import Claim, Ledger, NewOrder

_ASK_FIRST = 0.01  # seconds until the first second try; each later one waits twice as long
_ASK_AGAIN = 0.05  # at most, until an order, or its lane, is asked for again
BUSY = "BUSY"
ACCOUNT_GATED = "ACCOUNT_GATED"
NOT_BEGUN = frozenset({BUSY, ACCOUNT_GATED})  # reasons with which nothing was touched


@dataclass(slots=True)
class _Job:
    """A claimed order with the message that wants it, and where it is to go."""

    message: TradeMessage
    order: ClaimedOrder
    exchange: str
    attempt: int


@value(frozen=True, slots=True)
class _Began:
    """When the commit of an intent was begun: monotonic seconds, and the time."""

    monotonic: float
    at: datetime


class Executor:
    """Turns messages into outcomes; one for a process, used by many tasks at once."""

    def __init__(
        self,
        ledger: Ledger,
        router: ExchangeRouter,
        settings: Settings,
        gate: LedgerGate,
        clock: Clock,
        controls: Controls,
        start_gate: StartGate | None = None,
    ) -> None:
        self._controls = controls
        self._ledger = ledger
        self._router = router
        self._settings = settings
        self._clock = clock
        self._start_gate = start_gate
        self._hurry = asyncio.Event()
        self._recorder = Recorder(ledger, gate)
        self._resolver = Resolver(router, self._recorder, clock, settings.absence_margin)
        # The latest moment a request may be signed, counted from the start of the intent's
        # commit: `place` may wait for a connection, meet a clock error and sign once more.
        self._sign_within = timedelta(
            seconds=settings.send_within
            + 2 * (settings.exchange_connect_timeout + settings.exchange_request_timeout)
            + 2 * settings.slot_wait  # a slot that was missed, and one for the second signature
        )
        self._readiness = Readiness(router, controls, self._sign_within)

    def hurry(self) -> None:
        """Wait for no other worker from now on: this one is to end."""
        self._hurry.set()

    async def execute(
        self,
        message: TradeMessage,
        *,
        attempt: int,
        received_at: datetime,
        more: Callable[[], bool] = lambda: False,
        exchange: str | None = None,
    ) -> Outcome:
        """Work on one message until something durable can be said about it.

        Args:
            message: what is wanted.
            attempt: which try this is, from 1.
            received_at: when the message reached us.
            more: tells whether more messages for the same lane wait here.
            exchange: where to send it, if that was decided with its lane; else it is now. An
                order that may be at another exchange is asked about there first.

        Raises:
            LedgerUnavailable: nothing was sent by this call; call again when the ledger is back,
                or the config store.
        """
        if not self._controls.live.fresh:
            raise self._controls.live.unbelievable()
        if exchange is None:
            exchange = self._controls.route(message)
        new = new_order(message, exchange, received_at)
        if message.action.opens and not await self._may_open(exchange, message.account):
            why = f"orders of unknown outcome at {exchange} are not looked at yet"
            return Outcome(
                OutcomeKind.RETRY, ACCOUNT_GATED, why, None, None, message.request_id, exchange
            )
        try:
            outcome = await self._claim_and_work(new, message, attempt, more)
        finally:
            if not more():
                # Whatever happened: a lane that nobody works on here is for the others.
                with contextlib.suppress(LedgerUnavailable):
                    await self._ledger.leave_lane(Lane(exchange, message.account, message.symbol))
        return outcome.of(message.request_id)

    async def _claim_and_work(
        self, new: NewOrder, message: TradeMessage, attempt: int, more: Callable[[], bool]
    ) -> Outcome:
        ready = await self._readiness.of(message, new)
        began = self._now()
        with timed(Stage.CLAIM):
            claim = await self._claim(new, ready)
        match claim:
            case Claimed():
                order = ClaimedOrder.of(claim, self._clock, more)
                job = _Job(message, order, new.exchange, attempt)
                if ready is None or not (claim.begun or claim.exceeded):
                    outcome = await self._work(job)
                else:
                    outcome = await self._work_on_ready(job, claim, ready, began)
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
                    OutcomeKind.RETRY,
                    BUSY,
                    f"another worker is on this order, or on {new.exchange} {new.symbol}",
                    row.state if row is not None else None,
                    row,
                )
        return outcome

    async def _may_open(self, exchange: str, account: str) -> bool:
        """Wait a little for the start gate of an account."""
        gate = self._start_gate
        if gate is None or gate.is_open(exchange, account):
            return True
        deadline = self._clock.monotonic() + self._settings.lane_wait
        while self._clock.monotonic() < deadline and not self._hurry.is_set():
            await self._pause()
            if gate.is_open(exchange, account):
                return True
        return False

    async def _claim(self, new: NewOrder, ready: ReadyOrder | None) -> Claim:
        """Claim an order; one that another worker has, or whose lane it has, is waited for.

        What was ready before a wait may be so no more.
        """
        deadline = self._clock.monotonic() + self._settings.lane_wait
        pause = _ASK_FIRST
        claim = await self._ledger.claim(new, None if ready is None else ready.intent)
        while True:
            patient = self._clock.monotonic() < deadline and not self._hurry.is_set()
            if not isinstance(claim, Busy) or not patient:
                return claim
            await self._pause(pause)
            pause = min(pause * 2, _ASK_AGAIN)
            claim = await self._ledger.claim(new)

    async def _pause(self, seconds: float = _ASK_AGAIN) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)

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

    async def _work_on_ready(
        self, job: _Job, claim: Claimed, ready: ReadyOrder, began: _Began
    ) -> Outcome:
        """Go on with an order whose intent is committed, or of which a limit is known."""
        try:
            if claim.exceeded is not None:
                return await self._deny(job, exceeded(claim.exceeded))
            slot = claim.slot
            answered = self._clock.monotonic()
            ready.slots.slot_taken(
                ready.prepared,
                Joined(began.monotonic, answered)
                if slot is None
                else Joined(began.monotonic, answered, slot.at_s, slot.used),
            )
            count_order(job.exchange, OrderState.SENDING)
            return await self._dispatch(job, ready.client, ready.prepared, began)
        except ClaimLost as lost:
            return Outcome(OutcomeKind.RETRY, "CLAIM_LOST", str(lost), job.order.state)

    async def _send(self, job: _Job) -> Outcome:
        denial = self._denial(job)
        if denial is not None:
            return await self._deny(job, denial)
        ready = await self._prepare(job)
        if isinstance(ready, Outcome):
            return ready
        if isinstance(ready, Denial):
            return await self._deny(job, ready)
        denial = self._denial(job)  # once more, for preparing takes time, and a slot may too
        if denial is not None:
            return await self._deny(job, denial)
        return await self._place(job, *ready)

    async def _prepare(
        self, job: _Job
    ) -> tuple[ExchangeClient, PreparedOrder, Weighed] | Denial | Outcome:
        """Make the order, and have a request slot for it; or say why it goes no further."""
        denial = self._controls.leverage_denial(job.message)
        if denial is not None:
            return denial
        try:
            client = self._router.client(job.exchange)
            preparation = self._router.preparation(job.exchange)
            with timed(Stage.PREPARE):
                prepared = await preparation.prepare(
                    job.message.trade,
                    job.order.row.client_order_id,
                    default_leverage=self._controls.default_leverage,
                )
                weighed = await self._weigh(job, client, prepared)
            if isinstance(weighed, Denial):
                return weighed
            if not job.message.test:
                with timed(Stage.LIMITER):
                    await client.reserve(prepared)
                if weighed.outdated(prepared.symbol, preparation):
                    weighed = await self._weigh(job, client, prepared)
                    if isinstance(weighed, Denial):
                        return weighed
        except ProviderError as error:
            return await self._unprepared(job, error)
        if job.message.test:
            return await self._leave(job, "TEST", "a test message: checked, sized, not sent")
        return client, prepared, weighed

    async def _weigh(
        self, job: _Job, client: ExchangeClient, prepared: PreparedOrder
    ) -> Weighed | Denial:
        """Hold an opening order against the limits; a close is never asked about."""
        if not job.message.action.opens:
            return Weighed()
        return await weigh(
            self._controls.live.snapshot,
            prepared,
            client,
            self._router.preparation(job.exchange),
            partial(job.order.database_time, self._clock),
        )

    async def _place(
        self, job: _Job, client: ExchangeClient, prepared: PreparedOrder, weighed: Weighed
    ) -> Outcome:
        """Commit the intent, look once more, and send."""
        began = self._now()
        try:
            with timed(Stage.INTENT):
                await self._commit_intent(job, client, prepared, weighed)
        except LimitExceeded as found:
            return await self._deny(job, exceeded(found))
        return await self._dispatch(job, client, prepared, began)

    async def _dispatch(
        self, job: _Job, client: ExchangeClient, prepared: PreparedOrder, began: _Began
    ) -> Outcome:
        """Send an order whose intent is committed, if that did not take too long."""
        if self._clock.monotonic() - began.monotonic > self._settings.send_within:
            return await self._defer(
                job, "TOO_SLOW", "the intent's commit took too long; nothing was sent"
            )
        look = LastLook(partial(self._denial, job), partial(self._too_late, began))
        placement = await sent(client, prepared, look)
        if look.denial is not None and placement.outcome_class is OutcomeClass.NOT_PERMITTED:
            return await self._deny(job, look.denial)
        return await self._placed(job, client, placement)

    def _now(self) -> _Began:
        return _Began(self._clock.monotonic(), self._clock.now())

    def _too_late(self, began: _Began) -> str | None:
        """Say that a signature would come too late for its intent, or None.

        A process that stood still since may find that others count the request as over, and have
        sent the order themselves. By both clocks, for a machine that sleeps may stop either.
        """
        passed = timedelta(seconds=self._clock.monotonic() - began.monotonic)
        if max(passed, self._clock.now() - began.at) <= self._sign_within:
            return None
        return "the intent to send it is too old; nothing was sent"

    def _denial(self, job: _Job) -> Denial | None:
        """Say what forbids to send an order now, or None; by what is in memory."""
        return self._controls.denial(job.message, job.exchange, job.order.row)

    async def _deny(self, job: _Job, denial: Denial) -> Outcome:
        """Record a denial, and say what it means for the message. Nothing was sent."""
        if job.order.state is OrderState.SENDING and denial.then is not OrderState.DEFERRED:
            await self._recorder.record(
                job.order,
                OrderState.DEFERRED,
                code=denial.code,
                message=denial.says,
                keep_lease=True,
            )
        await self._recorder.record(
            job.order, denial.then, code=denial.code, message=denial.says, detail=denial.detail
        )
        kind = OutcomeKind.RETRY if denial.then is OrderState.DEFERRED else OutcomeKind.REFUSED
        return Outcome(kind, denial.code, denial.says, denial.then, exchange=job.exchange)

    async def _commit_intent(
        self, job: _Job, client: ExchangeClient, prepared: PreparedOrder, weighed: Weighed
    ) -> None:
        """Make the intent durable. Whatever it raises: then send nothing."""
        await self._ledger.begin_sending(
            Intent(
                request_id=job.order.row.request_id,
                fence=job.order.row.fence,
                before=job.order.state,
                lane=Lane(job.exchange, job.order.row.account, job.order.row.symbol),
                order=prepared,
                may_land_for=self._sign_within + client.acceptance_window,
                limits=weighed.limits,
                detail=weighed.detail,
            )
        )
        job.order.state = OrderState.SENDING
        count_order(job.exchange, OrderState.SENDING)
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
        taken(placement.exchange_order_id)
        after = state_after(placement, opens=job.message.action.opens)
        together = offers(client, ReadsMany) and offers(client, TellsLoad) and client.busy
        confirm_in = confirm_after(self._clock.now(), together=together)
        details = details_of_placement(placement, after, client.acceptance_window, confirm_in)
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
