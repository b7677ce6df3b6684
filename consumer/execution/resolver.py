"""Finding out what became of an order whose outcome is not known: asking the exchange.

The decision is `consumer.execution.resolution`; here are the look-ups and the records around it.
Nothing here sends an order.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from consumer.execution import protection
from consumer.execution.meaning import (
    ASK_AFTER,
    EXCHANGE_REJECTED,
    OUTCOME_UNKNOWN,
    QUARANTINED,
    came_to_nothing,
    details_of_view,
    next_look,
    outcome_of_nothing,
)
from consumer.execution.resolution import Expected, Verdict, judge, mismatch
from consumer.outcome import Outcome, OutcomeKind
from consumer.watching.trail import taken
from providers.errors import ProviderError
from storage.states import STATE_OF_STATUS, OrderState

if TYPE_CHECKING:
    from consumer.execution.claimed import ClaimedOrder, Recorder
    from providers.clock import Clock
    from providers.exchange import ExchangeClient
    from providers.orders import OrderView
    from providers.router import ExchangeRouter

_log = structlog.get_logger(__name__)
_LOOK_GAP = 0.5  # seconds between two look-ups that must agree
INTERRUPTED = "INTERRUPTED"


class Resolver:
    """Asks about orders and records what it learns.

    Args:
        margin: seconds allowed for look-ups that lag behind.
    """

    def __init__(
        self, router: ExchangeRouter, recorder: Recorder, clock: Clock, margin: float
    ) -> None:
        self._router = router
        self._recorder = recorder
        self._clock = clock
        self._margin = timedelta(seconds=margin)

    async def mark_interrupted(self, order: ClaimedOrder) -> None:
        """Turn an order that was being sent when its worker ended into one of unknown outcome."""
        await self._recorder.record(
            order,
            OrderState.UNKNOWN,
            code=INTERRUPTED,
            message="the worker that was sending it ended before it recorded the answer",
            keep_lease=True,
        )

    async def resolve(self, order: ClaimedOrder, *, may_send: bool = True) -> Outcome | None:
        """Ask the exchange where the order was sent.

        Args:
            order: of unknown outcome.
            may_send: the caller has the message and goes on to send it when it is absent. If
                not, an absent order is released as DEFERRED only if its message is among the
                dead letters; otherwise it is left to the message, which comes back.

        Returns:
            What the order turned out to be, or a retry while that is open. None means that it
            is certainly not there and can't come any more: the order is DEFERRED now, still
            ours, and may be sent.

        Raises:
            ClaimLost: the order was taken over in the meantime.
        """
        row = order.row
        expected = Expected(row.symbol, row.side, row.order_quantity, bool(row.reduce_only))
        absent = 0
        while True:
            asked_at = order.database_time(self._clock)
            try:
                client = self._router.client(row.exchange)
                found = await client.find_order(row.symbol, row.client_order_id)
            except ProviderError as error:
                order.asked = False
                return await self._still_unknown(order, f"could not ask: {error}")
            verdict = judge(
                found,
                expected,
                now=asked_at,
                may_land_until=row.may_land_until,
                margin=self._margin,
                absent_before=absent,
            )
            if found is not None:
                if verdict is Verdict.ADOPT:
                    return await self._adopt(order, found, client)
                return await self._quarantine(order, mismatch(found, expected))
            if verdict is Verdict.ABSENT and not may_send and row.dead_lettered_at is None:
                return await self._still_unknown(order, "absent; its message will come back")
            if verdict is Verdict.ABSENT:
                await self._recorder.record(
                    order,
                    OrderState.DEFERRED,
                    code="ABSENT",
                    message=f"{row.exchange} does not have it and can't get it any more",
                    keep_lease=may_send,
                )
                return None
            if verdict is Verdict.WAIT:
                return await self._still_unknown(
                    order, f"{row.exchange} does not show it, but may still accept it"
                )
            absent += 1
            await asyncio.sleep(_LOOK_GAP)

    async def _adopt(
        self, order: ClaimedOrder, found: OrderView, client: ExchangeClient
    ) -> Outcome:
        after = STATE_OF_STATUS[found.status]
        if after.final and found.filled_quantity and protection.wanted(client, order.row):
            after = OrderState.ACCEPTED  # the reconciler finishes it, with its protection
        await self._recorder.record(order, after, **details_of_view(found, after))
        taken(found.exchange_order_id)
        _log.info(
            "order adopted",
            request_id=order.row.request_id,
            client_order_id=order.row.client_order_id,
            exchange_order_id=found.exchange_order_id,
            state=after,
        )
        if after is OrderState.REJECTED:
            return Outcome(
                OutcomeKind.REFUSED,
                EXCHANGE_REJECTED,
                found.reject_reason,
                after,
                exchange=order.row.exchange,
            )
        if not found.filled_quantity and came_to_nothing(order.row, after):
            return outcome_of_nothing(order.row, found.reject_reason)
        return Outcome(OutcomeKind.PLACED, state=after, exchange=order.row.exchange)

    async def _quarantine(self, order: ClaimedOrder, fault: str | None) -> Outcome:
        why = f"the exchange has another order under our id: {fault}"
        await self._recorder.record(order, OrderState.QUARANTINED, code="MISMATCH", message=why)
        _log.error("order quarantined", request_id=order.row.request_id, error=why)
        return Outcome(
            OutcomeKind.REFUSED, QUARANTINED, why, order.state, exchange=order.row.exchange
        )

    async def _still_unknown(self, order: ClaimedOrder, why: str) -> Outcome:
        await self._recorder.record(
            order,
            OrderState.UNKNOWN,
            code=order.row.code,
            message=why,
            check_in=max(ASK_AFTER, next_look(order.row.checks + 1)),
            quiet=True,
        )
        return Outcome(
            OutcomeKind.RETRY, OUTCOME_UNKNOWN, why, order.state, exchange=order.row.exchange
        )
