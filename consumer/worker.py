"""The worker: from a message that arrived to a delivery that is settled, and draining.

The phases of stopping are a table in `consumer.stopping`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from consumer.contract.decoding import decode
from consumer.errors import BrokerUnavailable, MalformedMessage, PublishRefused
from consumer.execution.executor import NOT_BEGUN
from consumer.outcome import Outcome, OutcomeKind
from consumer.queue.batching import Batch, Batcher
from consumer.queue.dead_letters import bury, dead_letter_headers
from consumer.queue.delivery import Delivery, Settlement
from consumer.queue.lanes import Lanes
from consumer.queue.settlement import decide
from consumer.queue.topology import UNANSWERED_MOST
from consumer.settings import Dispatch
from consumer.watching import metrics
from consumer.watching.measuring import canonical, count_settled
from consumer.watching.tracing import NO_TRACING
from consumer.watching.trail import Trail, followed
from storage.claims import Lane
from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from datetime import datetime

    from consumer.contract.message import TradeMessage
    from consumer.controls.controls import Controls
    from consumer.execution.executor import Executor
    from consumer.gate import LedgerGate
    from consumer.queue.delivery import Acknowledger, Arrival
    from consumer.queue.publisher import Publisher
    from consumer.queue.settlement import Decision
    from consumer.queue.topology import Topology
    from consumer.settings import Settings
    from consumer.watching.tracing import Tracing
    from consumer.watching.vitals import Vitals
    from providers.clock import Clock
    from storage.ledger import Ledger

_log = structlog.get_logger(__name__)
LEDGER_AWAY = "LEDGER_UNAVAILABLE"
_BURY_AGAIN = 1.0  # seconds between tries to publish a dead letter


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker works with; made in `consumer.assembly`."""

    settings: Settings
    topology: Topology
    ledger: Ledger
    gate: LedgerGate
    executor: Executor
    publisher: Publisher
    clock: Clock
    vitals: Vitals
    controls: Controls
    tracing: Tracing = NO_TRACING


class Worker:
    """Works on deliveries: batches, lanes, execution, settlement."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._lanes = Lanes(self._lane_done)
        self._batcher: Batcher[Delivery] = Batcher(
            parts.settings.max_batch_size,
            parts.settings.max_batch_timeout,
            lambda: uuid4().hex,
        )
        self._batch_timer: asyncio.TimerHandle | None = None
        self._draining = asyncio.Event()

    def arrived(self, message: Arrival, acknowledger: Acknowledger) -> None:
        """Take a message from the broker into a batch; never blocks."""
        now = asyncio.get_running_loop().time()
        self._parts.vitals.took(self._parts.clock.monotonic())
        metrics.RECEIVED.inc()
        metrics.LAST_DELIVERY.set_to_current_time()
        batch = self._batcher.batch_for(now)
        attempt = self._parts.topology.attempt(message.routing_key)
        received_at = self._parts.clock.now()
        delivery = Delivery(
            body=message.body,
            headers=message.headers,
            message_id=message.message_id,
            routing_key=message.routing_key,
            redelivered=message.redelivered,
            attempt=attempt,
            last_attempt=self._parts.topology.is_last(attempt),
            received_at=received_at,
            batch_id=batch.batch_id,
            acknowledger=acknowledger,
            batch_order=len(batch.items),
            batch_at=batch.items[0].received_at if batch.items else received_at,
            exchange=message.exchange,
        )
        if self._settings.batch_dispatch is Dispatch.EAGER:
            self._begin(delivery)
        closed = self._batcher.add(delivery, now)
        if closed is not None:
            self._batch_closed(closed)
        elif self._batch_timer is None:
            self._batch_timer = asyncio.get_running_loop().call_at(
                now + self._settings.max_batch_timeout, self._batch_expired
            )

    async def execute(
        self, message: TradeMessage, received_at: datetime, traceparent: str | None = None
    ) -> Outcome:
        """Work once on a trade that somebody waits for, in its lane's turn.

        A shut gate is not waited for. Cancelling the wait does not end the work.
        """
        lane = self._lane(message)
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        async def job() -> None:
            with self._parts.tracing.executing(traceparent) as trace_id:
                trail = Trail(ids={"request_id": message.request_id, "trace_id": trace_id})
                with followed(trail):
                    outcome = await self._execute_once(message, received_at, lane)
            if not done.done():
                done.set_result(outcome)

        self._lanes.submit(lane, job)
        return await done

    async def _execute_once(
        self, message: TradeMessage, received_at: datetime, lane: Lane
    ) -> Outcome:
        error: str | None = None
        if self._draining.is_set():
            reason = "DRAINING"
        elif not self._parts.gate.is_open:
            reason = LEDGER_AWAY
        else:
            try:
                return await self._parts.executor.execute(
                    message,
                    attempt=1,
                    received_at=received_at,
                    more=partial(self._lanes.waiting, lane),
                )
            except LedgerUnavailable as away:
                self._parts.gate.report(away)
                reason = LEDGER_AWAY
            except Exception as failed:  # noqa: BLE001 - the lane must go on
                _log.exception("execution failed", request_id=message.request_id)
                reason, error = "INTERNAL_ERROR", type(failed).__name__
        return Outcome(OutcomeKind.RETRY, reason, error, request_id=message.request_id)

    async def drain(self) -> bool:
        """Begin nothing more, finish what is in flight; False if the drain time-out cut it off."""
        self._draining.set()
        self._parts.vitals.draining = True
        self._parts.executor.hurry()
        left = self._batcher.flush()
        if left is not None:
            self._batch_closed(left)
        if self._lanes.busy:
            _log.info("draining", lanes=self._lanes.busy)
        try:
            await asyncio.wait_for(self._lanes.idle(), self._settings.drain_timeout)
        except TimeoutError:
            _log.warning(
                "drain timed out; the broker redelivers what is left", lanes=self._lanes.busy
            )
            await self._lanes.cancel()
            return False
        return True

    def _batch_expired(self) -> None:
        self._batch_timer = None
        closed = self._batcher.expire(asyncio.get_running_loop().time())
        if closed is not None:
            self._batch_closed(closed)
        elif (deadline := self._batcher.deadline) is not None:
            self._batch_timer = asyncio.get_running_loop().call_at(deadline, self._batch_expired)

    def _batch_closed(self, batch: Batch[Delivery]) -> None:
        if self._batch_timer is not None and self._batcher.deadline is None:
            self._batch_timer.cancel()
            self._batch_timer = None
        self._parts.tracing.received(batch.items)
        metrics.BATCH_SIZE.observe(len(batch.items))
        metrics.BATCH_WAIT.observe(asyncio.get_running_loop().time() - batch.opened_at)
        _log.debug("batch closed", batch_id=batch.batch_id, messages=len(batch.items))
        if self._settings.batch_dispatch is Dispatch.ON_CLOSE:
            for delivery in batch.items:
                self._begin(delivery)

    def _begin(self, delivery: Delivery) -> None:
        """Decode a message and line it up in its lane; must not raise, or nobody settles it."""
        unanswered = delivery.headers.get("x-delivery-count")
        if isinstance(unanswered, int) and unanswered >= UNANSWERED_MOST:
            outcome = Outcome(
                OutcomeKind.RETRY,
                "UNANSWERED",
                f"{unanswered} deliveries in a row were not answered: whoever had it ended",
            )
            self._lanes.submit(delivery, partial(self._work_off, delivery, outcome))
            return
        try:
            message = decode(delivery.body, self._settings.message_max_bytes)
            lane = self._lane(message)
        except MalformedMessage as error:
            outcome = Outcome(
                OutcomeKind.REFUSED, error.code, str(error), request_id=error.request_id
            )
            self._lanes.submit(delivery, partial(self._work_off, delivery, outcome))
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("decoding failed", message_id=delivery.message_id)
            outcome = Outcome(OutcomeKind.RETRY, "INTERNAL_ERROR", type(error).__name__)
            self._lanes.submit(delivery, partial(self._work_off, delivery, outcome))
        else:
            if message.queued_at is not None:
                age = (delivery.received_at - message.queued_at).total_seconds()
                metrics.MESSAGE_AGE.observe(max(age, 0.0))
            self._lanes.submit(lane, partial(self._work, delivery, message, lane))

    def _lane(self, message: TradeMessage) -> Lane:
        return Lane(self._parts.controls.route(message), message.account, message.symbol)

    async def _work(self, delivery: Delivery, message: TradeMessage, lane: Lane) -> None:
        trail = delivery.trail
        trail.began()
        with followed(trail), self._parts.tracing.processing(delivery) as trace_id:
            trail.ids = _ids(delivery, message.request_id, trace_id)
            await self._execute_and_finish(delivery, message, lane)

    async def _work_off(self, delivery: Delivery, outcome: Outcome) -> None:
        """Settle a message that there is nothing to execute of."""
        trail = delivery.trail
        trail.began()
        with followed(trail), self._parts.tracing.processing(delivery) as trace_id:
            trail.ids = _ids(delivery, outcome.request_id, trace_id)
            await self._finish(delivery, outcome)

    async def _execute_and_finish(
        self, delivery: Delivery, message: TradeMessage, lane: Lane
    ) -> None:
        try:
            outcome = await self._execute(delivery, message, lane)
            if outcome is None:
                other = self._lane(message)
                self._lanes.submit(other, partial(self._work, delivery, message, other))
                return
        except Exception as error:  # noqa: BLE001 - ends in the ladder, whatever it is
            # A defect, not an outcome: the ledger knows how far it came, the ladder brings it back.
            _log.exception("execution failed", request_id=message.request_id)
            outcome = Outcome(
                OutcomeKind.RETRY,
                "INTERNAL_ERROR",
                type(error).__name__,
                request_id=message.request_id,
            )
        await self._finish(delivery, outcome, message)

    async def _execute(
        self, delivery: Delivery, message: TradeMessage, lane: Lane
    ) -> Outcome | None:
        """Execute a message as soon as that may be; None if it belongs to another lane now."""
        more = partial(self._lanes.waiting, lane)
        while True:
            if delivery.stale:
                return Outcome(OutcomeKind.ABANDONED, request_id=message.request_id)
            if self._draining.is_set():
                return Outcome(OutcomeKind.RELEASED, request_id=message.request_id)
            if not self._parts.gate.is_open:
                left = self._settings.lane_wait - self._parts.gate.shut_for
                if left <= 0:  # it may be this worker alone that can't: let another have it
                    return Outcome(OutcomeKind.RELEASED, request_id=message.request_id)
                await self._gate_or_drain(within=left)
                continue
            if lane != self._lane(message):
                return None
            try:
                outcome = await self._parts.executor.execute(
                    message,
                    attempt=delivery.attempt,
                    received_at=delivery.received_at,
                    more=more,
                    exchange=lane.exchange,
                )
                if outcome.reason not in NOT_BEGUN or not self._draining.is_set():
                    return outcome
            except LedgerUnavailable as error:
                self._parts.gate.report(error)

    async def _lane_done(self, lane: object) -> None:
        """Leave a lane to the other replicas, whatever became of its last message."""
        while isinstance(lane, Lane) and not self._draining.is_set():
            try:
                await self._parts.ledger.leave_lane(lane)
            except LedgerUnavailable as error:
                self._parts.gate.report(error)
                await self._gate_or_drain()
            else:
                break

    async def _gate_or_drain(self, *, within: float | None = None) -> None:
        waits = [
            asyncio.ensure_future(self._parts.gate.wait_open()),
            asyncio.ensure_future(self._draining.wait()),
        ]
        try:
            await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _finish(
        self, delivery: Delivery, outcome: Outcome, message: TradeMessage | None = None
    ) -> None:
        """Settle a delivery; must not raise, for it ends a lane's job."""
        decision = decide(outcome, attempt=delivery.attempt, last_attempt=delivery.last_attempt)
        settlement = decision.settlement
        try:
            if settlement is Settlement.DEAD_LETTER:
                settlement = await self._bury(delivery, outcome, decision)
        except Exception:  # noqa: BLE001 - left unsettled it would keep its place in the prefetch
            _log.exception("dead letter not published", batch_id=delivery.batch_id)
            settlement = Settlement.NACK
        try:
            with self._parts.tracing.settling(settlement, outcome):
                settled = await delivery.settle(settlement)
        except Exception:  # noqa: BLE001 - the lane must go on
            _log.exception("settling failed; the broker redelivers", batch_id=delivery.batch_id)
            settled = False
        if not settled:
            settlement = Settlement.ABANDON
        seconds = (self._parts.clock.now() - delivery.received_at).total_seconds()
        self._parts.vitals.in_flight -= 1
        count_settled(delivery, settlement, outcome, decision, seconds)
        _log.info("settled", **canonical(delivery, settlement, outcome, decision, message, seconds))

    async def _bury(self, delivery: Delivery, outcome: Outcome, decision: Decision) -> Settlement:
        """Publish a dead letter, as often as it takes; returns how to settle the delivery."""
        headers = dead_letter_headers(delivery, decision, outcome, self._parts.clock.now())
        while True:
            if delivery.stale:
                return Settlement.ABANDON
            try:
                with self._parts.tracing.burying(delivery) as more:
                    await bury(
                        self._parts.publisher, self._parts.topology, delivery, {**headers, **more}
                    )
                break
            except (BrokerUnavailable, PublishRefused) as error:
                _log.warning("dead letter not published, trying again", error=str(error))
            if self._draining.is_set():
                return Settlement.REQUEUE
            await asyncio.sleep(_BURY_AGAIN)
        if outcome.request_id is None or outcome.state is None:
            return Settlement.DEAD_LETTER
        return await self._mark(delivery, outcome.request_id)

    async def _mark(self, delivery: Delivery, request_id: str) -> Settlement:
        """Write down that the order's message is a dead letter; returns how to settle it.

        It is not acknowledged before that: the reconciler leaves an order of unknown outcome that
        is absent to its message, for ever if nobody told it that the message will not come back.
        A redelivery buries it once more; replaying both trades once.
        """
        while True:
            try:
                await self._parts.ledger.mark_dead_lettered(request_id)
            except LedgerUnavailable as error:
                self._parts.gate.report(error)
            else:
                return Settlement.DEAD_LETTER
            if self._draining.is_set():
                return Settlement.REQUEUE
            await self._gate_or_drain()
            if delivery.stale:
                return Settlement.ABANDON


def _ids(delivery: Delivery, request_id: str | None, trace_id: str | None) -> dict[str, object]:
    """Give what every log line about a message has."""
    return {"request_id": request_id, "batch_id": delivery.batch_id, "trace_id": trace_id}
