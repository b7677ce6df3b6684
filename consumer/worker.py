"""The worker: from a message that arrived to a delivery that is settled, and the way to stop.

running ──stop──▶ draining: nothing is taken or begun, what is in flight is finished
──idle or drain_timeout──▶ closing: connections are closed with deadlines
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from consumer.batching import Batch, Batcher
from consumer.dead_letters import bury, dead_letter_headers
from consumer.decoding import decode
from consumer.delivery import Delivery, Settlement
from consumer.errors import BrokerUnavailable, MalformedMessage, PublishRefused
from consumer.lanes import Lanes
from consumer.outcome import Outcome, OutcomeKind
from consumer.routing import route
from consumer.settings import Dispatch
from consumer.settlement import decide
from consumer.topology import UNANSWERED_MOST
from storage.errors import LedgerUnavailable

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

    from consumer.delivery import Acknowledger
    from consumer.execution import Executor
    from consumer.gate import LedgerGate
    from consumer.message import TradeMessage
    from consumer.publisher import Publisher
    from consumer.settings import Settings
    from consumer.settlement import Decision
    from consumer.topology import Topology
    from providers.clock import Clock
    from storage.ledger import Ledger

_log = structlog.get_logger(__name__)
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


class Worker:
    """Works on deliveries: batches, lanes, execution, settlement."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._lanes = Lanes()
        self._batcher: Batcher[Delivery] = Batcher(
            parts.settings.max_batch_size,
            parts.settings.max_batch_timeout,
            lambda: uuid4().hex,
        )
        self._batch_timer: asyncio.TimerHandle | None = None
        self._draining = asyncio.Event()

    def arrived(self, message: AbstractIncomingMessage, acknowledger: Acknowledger) -> None:
        """Take a message from the broker into a batch; never blocks."""
        now = asyncio.get_running_loop().time()
        batch = self._batcher.batch_for(now)
        routing_key = message.routing_key or ""
        attempt = self._parts.topology.attempt(routing_key)
        delivery = Delivery(
            body=message.body,
            headers=message.headers or {},
            message_id=message.message_id,
            routing_key=routing_key,
            redelivered=bool(message.redelivered),
            attempt=attempt,
            last_attempt=self._parts.topology.is_last(attempt),
            received_at=self._parts.clock.now(),
            batch_id=batch.batch_id,
            acknowledger=acknowledger,
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

    async def drain(self) -> None:
        """Begin nothing more, finish what is in flight, within the drain time-out."""
        self._draining.set()
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
            self._lanes.submit(delivery, partial(self._finish, delivery, outcome))
            return
        try:
            message = decode(delivery.body, self._settings.message_max_bytes)
            lane = (
                route(message, self._settings.default_exchange),
                message.account,
                message.symbol,
            )
        except MalformedMessage as error:
            outcome = Outcome(
                OutcomeKind.REFUSED, error.code, str(error), request_id=error.request_id
            )
            self._lanes.submit(delivery, partial(self._finish, delivery, outcome))
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("decoding failed", message_id=delivery.message_id)
            outcome = Outcome(OutcomeKind.RETRY, "INTERNAL_ERROR", type(error).__name__)
            self._lanes.submit(delivery, partial(self._finish, delivery, outcome))
        else:
            self._lanes.submit(lane, partial(self._work, delivery, message))

    async def _work(self, delivery: Delivery, message: TradeMessage) -> None:
        try:
            outcome = await self._execute(delivery, message)
        except Exception as error:  # noqa: BLE001 - ends in the ladder, whatever it is
            # A defect, not an outcome: the ledger knows how far it came, the ladder brings it back.
            _log.exception("execution failed", request_id=message.request_id)
            outcome = Outcome(
                OutcomeKind.RETRY,
                "INTERNAL_ERROR",
                type(error).__name__,
                request_id=message.request_id,
            )
        await self._finish(delivery, outcome)

    async def _execute(self, delivery: Delivery, message: TradeMessage) -> Outcome:
        while True:
            if delivery.stale:
                return Outcome(OutcomeKind.ABANDONED, request_id=message.request_id)
            if self._draining.is_set():
                return Outcome(OutcomeKind.RELEASED, request_id=message.request_id)
            if not self._parts.gate.is_open:
                await self._gate_or_drain()
                continue
            try:
                return await self._parts.executor.execute(
                    message, attempt=delivery.attempt, received_at=delivery.received_at
                )
            except LedgerUnavailable as error:
                self._parts.gate.report(error)

    async def _gate_or_drain(self) -> None:
        waits = [
            asyncio.ensure_future(self._parts.gate.wait_open()),
            asyncio.ensure_future(self._draining.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _finish(self, delivery: Delivery, outcome: Outcome) -> None:
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
            settled = await delivery.settle(settlement)
        except Exception:  # noqa: BLE001 - the lane must go on
            _log.exception("settling failed; the broker redelivers", batch_id=delivery.batch_id)
            settled = False
        _log.info(
            "settled",
            settlement=settlement if settled else Settlement.ABANDON,
            outcome=outcome.kind,
            reason=decision.reason,
            error=decision.error,
            request_id=outcome.request_id,
            exchange=outcome.exchange,
            state=outcome.state,
            attempt=delivery.attempt,
            batch_id=delivery.batch_id,
            message_id=delivery.message_id,
            seconds=(self._parts.clock.now() - delivery.received_at).total_seconds(),
        )

    async def _bury(self, delivery: Delivery, outcome: Outcome, decision: Decision) -> Settlement:
        """Publish a dead letter, as often as it takes; returns how to settle the delivery."""
        headers = dead_letter_headers(
            delivery, decision, outcome.request_id, self._parts.clock.now()
        )
        while True:
            if delivery.stale:
                return Settlement.ABANDON
            try:
                await bury(self._parts.publisher, self._parts.topology, delivery, headers)
                break
            except (BrokerUnavailable, PublishRefused) as error:
                _log.warning("dead letter not published, trying again", error=str(error))
            if self._draining.is_set():
                return Settlement.REQUEUE
            await asyncio.sleep(_BURY_AGAIN)
        if outcome.request_id is not None and outcome.state is not None:
            try:
                await self._parts.ledger.mark_dead_lettered(outcome.request_id)
            except LedgerUnavailable as error:
                # Then a redelivery would bury it once more, which collecting absorbs.
                self._parts.gate.report(error)
        return Settlement.DEAD_LETTER
