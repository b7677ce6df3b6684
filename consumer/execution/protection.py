"""Take-profit and stop-loss where the exchange does not take them with the order.

They are placed once the order has filled, and an order counts as finished only when they are in
force or certainly refused: until then the reconciler comes back to it, after a crash too. Each
has a client id of its own, so asking again never places one twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from providers.exchange import ProtectsAfterFill, offers
from providers.orders import OrderType, PositionSide, PreparedOrder, Side
from providers.outcomes import PlacementKind
from storage.states import OrderState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from consumer.controls.permission import Denial
    from providers.exchange import ExchangeClient
    from providers.orders import OrderView
    from providers.outcomes import Placement
    from storage.orders import OrderRow

UNPROTECTED = "UNPROTECTED"


class Progress(StrEnum):
    """How far the protection of an order is."""

    DONE = "done"
    AGAIN = "again"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Protection:
    """What came of protecting an order; `says` tells why where it is not done."""

    progress: Progress
    says: str | None = None


def wanted(client: ExchangeClient, row: OrderRow) -> bool:
    """Tell whether an order still needs something placed after its fill."""
    asked = row.take_profit is not None or row.stop_loss is not None
    return asked and offers(client, ProtectsAfterFill)


def judge(answers: Sequence[Placement]) -> Protection:
    """Say what the answers mean together. Pure.

    One that may come later keeps the order open, even if another is refused already.
    """
    later = [a for a in answers if a.kind in (PlacementKind.DEFERRED, PlacementKind.UNKNOWN)]
    if later:
        return Protection(Progress.AGAIN, later[0].message)
    refused = [a for a in answers if a.kind is PlacementKind.REJECTED]
    if refused:
        return Protection(
            Progress.REFUSED,
            "the position is without its protection: "
            + "; ".join(f"{a.code}: {a.message}" for a in refused),
        )
    return Protection(Progress.DONE)


async def protect(
    client: ExchangeClient,
    row: OrderRow,
    found: OrderView,
    denial: Callable[[], Denial | None],
) -> Protection:
    """Place what protects a filled order; safe to call again.

    Args:
        client: of the exchange it is at.
        row: the order.
        found: what the exchange shows of it.
        denial: says what forbids to send something now. Under a kill switch that is `on` the
            position stays without its protection, and the order says so.
    """
    if not isinstance(client, ProtectsAfterFill):
        return Protection(Progress.DONE)
    denied = denial()
    if denied is not None and denied.then is OrderState.DENIED:
        return Protection(
            Progress.REFUSED, f"the position is without its protection: {denied.says}"
        )

    def permit() -> str | None:
        now = denial()
        return None if now is None else now.says

    return judge(await client.protect(as_sent(row, found), found, permit))


def as_sent(row: OrderRow, found: OrderView) -> PreparedOrder:
    """Rebuild an order as it was sent from the ledger. Pure."""
    return PreparedOrder(
        client_order_id=row.client_order_id,
        symbol=row.symbol,
        side=Side(row.side) if row.side else found.side,
        order_type=OrderType(row.order_type) if row.order_type else OrderType.MARKET,
        quantity=row.order_quantity if row.order_quantity is not None else found.quantity,
        reduce_only=bool(row.reduce_only),
        price=row.order_price,
        position_side=PositionSide(row.position_side) if row.position_side else None,
        take_profit=row.take_profit,
        stop_loss=row.stop_loss,
    )
