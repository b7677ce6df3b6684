"""Orders that are ready when they arrive: nothing has to be asked of their exchange first.

Claim, request slot and intent of such an order need one commit in place of three, which is most
of the time between a delivery and the wire. An order with anything in its way, be it a denial, goes
step by step, where that is found again and recorded: here nothing is decided but that nothing is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.controls.permission import Denial
from consumer.controls.weighing import at_hand, weigh
from consumer.watching.trail import Stage, timed
from providers.errors import ProviderError
from providers.exchange import JoinsCommit, offers
from providers.values import value
from storage.claims import Ready

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from consumer.contract.message import TradeMessage
    from consumer.controls.controls import Controls
    from providers.exchange import ExchangeClient
    from providers.orders import PreparedOrder
    from providers.router import ExchangeRouter
    from storage.claims import NewOrder


@value(frozen=True, slots=True)
class ReadyOrder:
    """An order as it can be sent, and what the ledger needs to commit its intent with the claim."""

    client: ExchangeClient
    slots: JoinsCommit  # the same
    prepared: PreparedOrder
    intent: Ready


class Readiness:
    """Says which orders are ready.

    Args:
        router: leads to the exchanges.
        controls: what forbids orders.
        sign_within: how long after the commit of an intent a request may still be signed.
    """

    def __init__(self, router: ExchangeRouter, controls: Controls, sign_within: timedelta) -> None:
        self._router = router
        self._controls = controls
        self._sign_within = sign_within

    async def of(self, message: TradeMessage, new: NewOrder) -> ReadyOrder | None:
        """Make an order ready, or None if that takes a request, or it may not be sent."""
        if not message.action.opens or message.test:
            return None
        if not self._allowed(message, new.exchange, new.received_at):
            return None
        try:
            client = self._router.client(new.exchange)
            slots: object = client
            if not offers(slots, JoinsCommit):
                return None
            with timed(Stage.PREPARE):
                return await self._prepared(message, new, client, slots)
        except ProviderError:
            return None

    def _allowed(self, message: TradeMessage, exchange: str, received_at: datetime) -> bool:
        return (
            self._controls.allows_new(message, exchange, received_at)
            and self._controls.leverage_denial(message) is None
        )

    async def _prepared(
        self, message: TradeMessage, new: NewOrder, client: ExchangeClient, slots: JoinsCommit
    ) -> ReadyOrder | None:
        preparation = self._router.preparation(new.exchange)
        leverage = self._controls.default_leverage
        if not preparation.at_hand(message.trade, default_leverage=leverage):
            return None
        order = await preparation.prepare(
            message.trade, new.client_order_id, default_leverage=leverage
        )
        snapshot = self._controls.live.snapshot
        if not at_hand(snapshot, order, preparation):
            return None
        weighed = await weigh(snapshot, order, client, preparation, lambda: new.received_at)
        if isinstance(weighed, Denial):
            return None
        want = slots.slot_to_take(order)
        if want is None:
            return None
        intent = Ready(
            order=order,
            may_land_for=self._sign_within + client.acceptance_window,
            want=want if want.needs else None,
            limits=weighed.limits,
            detail=weighed.detail,
        )
        return ReadyOrder(client, slots, order, intent)
