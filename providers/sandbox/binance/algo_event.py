"""What the user data stream says of a conditional order: ALGO_UPDATE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.sandbox.binance import shapes

if TYPE_CHECKING:
    from decimal import Decimal

    from providers.sandbox.binance.algo import Algo


def event(algo: Algo, step: Decimal, now_ms: int) -> dict[str, Any]:
    """The event for where a conditional order stands now."""
    order = algo.order
    average = order.average if order is not None else None
    body = {
        "caid": algo.client_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": str(algo.type),
        "s": algo.symbol,
        "S": shapes.SIDES[algo.side],
        "ps": shapes.LEGS[algo.leg],
        "f": shapes.TIMES_IN_FORCE[algo.time_in_force],
        "q": shapes.on_step(algo.qty, step),
        "X": str(algo.status),
        "ai": order.order_id if order is not None else "",
        "ap": shapes.money(average) if average is not None else "0.00000",
        "aq": shapes.on_step(order.filled, step) if order is not None else "0.00000",
        "act": shapes.KINDS[order.kind] if order is not None else "0",
        "tp": shapes.plain(algo.trigger.price),
        "p": shapes.plain(algo.price) if algo.price is not None else "0",
        "V": "EXPIRE_MAKER",
        "wt": shapes.WORKING[algo.trigger.by],
        "pm": "NONE",
        "cp": algo.close_position,
        "pP": algo.price_protect,
        "R": algo.reduce_only,
        "tt": algo.triggered_ms,
        "gtd": 0,
        "rm": algo.refusal,
    }
    return {"e": "ALGO_UPDATE", "E": now_ms, "T": algo.updated_ms, "o": body}
