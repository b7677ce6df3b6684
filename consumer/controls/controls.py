"""What execution asks of the config: where an order goes, and whether it may.

Thin: the answers are `consumer.controls.permission` and `consumer.controls.checks`, over the live
snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.controls import limits, permission
from consumer.controls.checks import EXPIRED, late
from consumer.controls.permission import CONFIG_STALE, Denial
from consumer.controls.routing import route
from storage.states import OrderState

if TYPE_CHECKING:
    from datetime import datetime

    from consumer.contract.message import TradeMessage
    from consumer.controls.live import LiveConfig
    from consumer.settings import Settings
    from providers.clock import Clock
    from storage.orders import OrderRow


class Controls:
    """The config, asked about one order at a time.

    Args:
        live: the config as it is now.
        settings: what holds where the config says nothing.
        clock: local time.
    """

    def __init__(self, live: LiveConfig, settings: Settings, clock: Clock) -> None:
        self.live = live
        self._default_exchange = settings.default_exchange
        self._default_leverage = settings.default_leverage
        self._clock = clock

    @property
    def default_leverage(self) -> int | None:
        """Leverage of orders that name none; None leaves the account's as it is."""
        return self.live.snapshot.default_leverage or self._default_leverage

    def route(self, message: TradeMessage) -> str:
        """Say where a message goes now."""
        return route(message, self.live.snapshot, self._default_exchange)

    def denial(self, message: TradeMessage, exchange: str, row: OrderRow) -> Denial | None:
        """Say why an order may not be sent now, or None. Never raises, does no I/O."""
        return self._denial(
            message, exchange, row.wanted_at, row.received_at, allow_stale=row.allow_stale
        )

    def allows_new(self, message: TradeMessage, exchange: str, received_at: datetime) -> bool:
        """Say whether an order that the ledger does not know yet might be sent now."""
        return self._denial(message, exchange, None, received_at, allow_stale=False) is None

    def _denial(
        self,
        message: TradeMessage,
        exchange: str,
        wanted_at: datetime | None,
        received_at: datetime,
        *,
        allow_stale: bool,
    ) -> Denial | None:
        if not self.live.fresh:
            return self._stale()
        snapshot = self.live.snapshot
        opens = message.action.opens
        denial = permission.forbidden(
            snapshot, exchange, message.symbol, opens=opens, wanted_at=wanted_at
        )
        if denial is not None or allow_stale:
            return denial
        found = late(
            message,
            self._clock.now(),
            received_at=received_at,
            max_age=snapshot.max_signal_age if opens else None,
        )
        if found is None:
            return None
        return Denial(
            EXPIRED, found.control, found.limit, found.value, found.says, OrderState.EXPIRED
        )

    def leverage_denial(self, message: TradeMessage) -> Denial | None:
        """Say why an order may not have the leverage that it names, before it is set anywhere."""
        named = message.leverage or self.default_leverage
        if named is None or not message.action.opens:
            return None  # the account's own is known once the order is prepared
        return limits.leverage_denial(self.live.snapshot.limits_for(message.symbol), named)

    def protection_denial(self, row: OrderRow) -> Denial | None:
        """Say why take-profit and stop-loss of a filled order may not be sent now, or None.

        They only reduce, so `reduce_only` lets them pass; `on` stops them like everything else.
        """
        if not self.live.fresh:
            return self._stale()
        return permission.forbidden(
            self.live.snapshot, row.exchange, row.symbol, opens=False, wanted_at=None
        )

    def _stale(self) -> Denial:
        return Denial(
            CONFIG_STALE,
            "config",
            "fresh",
            None,
            f"{self.live.unbelievable()}; nothing was sent",
            OrderState.DEFERRED,
        )
