"""Weighing an opening order against the limits: fetches what they need, and no more than that.

Without limits it costs nothing. The decisions are `consumer.controls.limits`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from consumer.controls import limits as rules
from consumer.controls import registry as keys
from consumer.controls.values import plain
from providers.values import value
from storage.claims import IntentLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from consumer.controls.permission import Denial
    from consumer.controls.snapshot import Snapshot
    from providers.exchange import ExchangeClient, MarkPrice
    from providers.orders import PreparedOrder
    from providers.preparation import Preparation

_MARK_AGE = timedelta(seconds=5)


@value(frozen=True, slots=True)
class Weighed:
    """An order that passed.

    Attributes:
        limits: what is judged in the commit of the intent; None if nothing is.
        detail: what the event of it says; None if there was nothing to weigh.
        mark: the mark price that it was weighed by; None if none was needed.
        mark_life: how old that may be.
    """

    limits: IntentLimits | None = None
    detail: Mapping[str, object] | None = None
    mark: MarkPrice | None = None
    mark_life: timedelta = _MARK_AGE

    def outdated(self, symbol: str, preparation: Preparation) -> bool:
        """True if the mark price has become too old since, or there is a newer one."""
        if self.mark is None:
            return False
        return preparation.known_mark(symbol, max_age=self.mark_life) is not self.mark


def at_hand(snapshot: Snapshot, order: PreparedOrder, preparation: Preparation) -> bool:
    """Say whether `weigh` would ask the exchange for nothing. Does no I/O."""
    limits = snapshot.limits_for(order.symbol)
    if limits.max_position_size is not None:
        return False
    if not rules.needs_mark(snapshot, limits, order):
        return True
    life = snapshot.max_mark_age or _MARK_AGE
    return preparation.known_mark(order.symbol, max_age=life) is not None


async def weigh(
    snapshot: Snapshot,
    order: PreparedOrder,
    client: ExchangeClient,
    preparation: Preparation,
    now: Callable[[], datetime],
) -> Weighed | Denial:
    """Say whether an opening order passes.

    Args:
        snapshot: the config.
        order: ready to be sent.
        client: of its exchange.
        preparation: of the same; it remembers mark prices.
        now: the database's clock.

    Raises:
        ExchangeError: the mark price or the position is needed and can't be read.
    """
    limits = snapshot.limits_for(order.symbol)
    denial = rules.leverage_denial(limits, order.leverage)
    if denial is not None:
        return denial
    passed: dict[str, str] = {}
    read: MarkPrice | None = None
    mark = None
    life = snapshot.max_mark_age or _MARK_AGE
    if rules.needs_mark(snapshot, limits, order):
        read = await preparation.mark_price(order.symbol, max_age=life)
        mark = read.price
        passed["mark"] = plain(mark)
    denial = rules.order_denial(limits, order, mark)
    if denial is not None:
        return denial
    judged = None
    if limits.max_position_size is not None or limits.max_orders is not None:
        held, held_at = None, None
        if limits.max_position_size is not None:
            held_at = now()
            held = rules.held_on_side(await client.positions(order.symbol), order)
            passed["held"] = plain(held)
        judged = IntentLimits(
            position_control=keys.MAX_POSITION_SIZE,
            max_position=limits.max_position_size,
            price=mark,
            held=held,
            held_at=held_at,
            orders_control=keys.MAX_ORDERS,
            max_orders=limits.max_orders.most if limits.max_orders else None,
            window=timedelta(seconds=limits.max_orders.seconds) if limits.max_orders else None,
        )
    detail = {"weighed": passed} if passed or judged is not None else None
    return Weighed(judged, detail, read, life)
