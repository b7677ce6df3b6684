"""Take-profit and stop-loss on Binance: conditional orders of their own, placed after a fill.

Binance can't attach them to an entry. They go to the algo service as market orders that close
the whole position of their side once the last price reaches the trigger, which is what a full
take-profit or stop-loss is elsewhere. Such an order needs a position to be there and ends with
it, so none is left over to close a later position; and there is at most one of each kind on a
side of a symbol, so the levels of a further entry are refused while those of an earlier one are
in force. Pure. Source: Binance API docs, USDⓈ-M futures, pages "New Algo Order" and "Query Algo
Order".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from providers.binance.signing import query_of
from providers.fields import text, whole
from providers.orders import PositionSide, Side
from providers.sizing import plain

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.fields import Row
    from providers.orders import OrderView, PreparedOrder


class Kind(StrEnum):
    """What an order protects from, or takes; the value is Binance's order type."""

    STOP_LOSS = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT_MARKET"


# Client ids of orders have at most 32 characters here, those of algo orders at most 36 there.
_SUFFIXES = {Kind.STOP_LOSS: "-sl", Kind.TAKE_PROFIT: "-tp"}


@dataclass(frozen=True, slots=True)
class ProtectiveOrder:
    """One conditional order that closes a position."""

    kind: Kind
    client_algo_id: str
    symbol: str
    side: Side
    position_side: PositionSide | None
    trigger: Decimal


def protective_orders(order: PreparedOrder, filled: OrderView) -> tuple[ProtectiveOrder, ...]:
    """The orders that protect what was filled: the stop-loss first, then the take-profit.

    None for an order that only reduces, or of which nothing was filled.
    """
    if order.reduce_only or filled.filled_quantity <= 0:
        return ()
    leaving = Side.SELL if order.side is Side.BUY else Side.BUY
    wanted = ((Kind.STOP_LOSS, order.stop_loss), (Kind.TAKE_PROFIT, order.take_profit))
    return tuple(
        ProtectiveOrder(
            kind,
            f"{order.client_order_id}{_SUFFIXES[kind]}",
            order.symbol,
            leaving,
            order.position_side,
            trigger,
        )
        for kind, trigger in wanted
        if trigger is not None
    )


def placing_query(order: ProtectiveOrder) -> str:
    """The query that places one."""
    parameters = {"algoType": "CONDITIONAL", "symbol": order.symbol, "side": order.side.value}
    if order.position_side is not None:
        parameters["positionSide"] = order.position_side.value
    parameters |= {
        "type": order.kind.value,
        "triggerPrice": plain(order.trigger),
        "workingType": "CONTRACT_PRICE",
        "closePosition": "true",
        "clientAlgoId": order.client_algo_id,
    }
    return query_of(parameters)


def lookup_query(order: ProtectiveOrder) -> str:
    """The query that finds one, open or ended."""
    return query_of({"clientAlgoId": order.client_algo_id})


def id_and_status(result: Row) -> tuple[str, str]:
    """Which algo order was found, and what has become of it."""
    return str(whole(result, "algoId")), text(result, "algoStatus")
