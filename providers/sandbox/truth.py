"""What really happened: every accepted order in order of acceptance, every fill, and counters.

Tests compare this with what the worker believes. It is the one part of the sandbox that grows with
the number of orders; everything else is bounded.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from providers.sandbox.values import Fill, Order

RECENT_REQUESTS: Final = 2000
"""How many requests are remembered; older ones leave only their counters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as served: no query, header or body, so no secret can be in it.

    Attributes:
        outcome: what the caller was sent: an HTTP status, or `dropped`.
        code: the venue's own code in the answer, empty when there was none.
        faults: kinds of faults injected into it.
    """

    arrived_ms: int
    venue: str
    method: str
    path: str
    endpoint: str
    symbol: str
    client_order_id: str
    outcome: str
    code: str
    faults: tuple[str, ...]


@dataclass(slots=True)
class Truth:
    """The ledger all venues of one sandbox write to."""

    orders: list[Order] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    duplicates_refused: Counter[str] = field(default_factory=Counter)
    recent: deque[Seen] = field(default_factory=lambda: deque(maxlen=RECENT_REQUESTS))

    def seen(self, request: Seen) -> None:
        """Count and remember a request."""
        self.requests[request.venue, request.endpoint or "unknown"] += 1
        if request.code:
            self.codes[request.venue, request.code] += 1
        self.recent.append(request)

    def reset(self) -> None:
        """Forget everything."""
        self.orders.clear()
        self.fills.clear()
        self.requests.clear()
        self.codes.clear()
        self.duplicates_refused.clear()
        self.recent.clear()

    def counters(self) -> dict[str, Any]:
        """All counters as plain values: by venue, then by endpoint or code."""
        return {
            "orders": len(self.orders),
            "fills": len(self.fills),
            "duplicates_refused": dict(self.duplicates_refused),
            "requests": _nested(self.requests),
            "codes": _nested(self.codes),
        }


def order_view(order: Order) -> dict[str, Any]:
    """An order as the control API shows it; decimals stay `Decimal` for the encoder."""
    return {
        "sequence": order.sequence,
        "venue": order.venue,
        "account": order.account,
        "symbol": order.symbol,
        "side": order.side,
        "leg": order.leg,
        "kind": order.kind,
        "time_in_force": order.time_in_force,
        "client_order_id": order.client_order_id,
        "order_id": order.order_id,
        "qty": order.qty,
        "asked_qty": order.asked_qty,
        "price": order.price,
        "reduce_only": order.reduce_only,
        "take_profit": order.protection.take_profit,
        "stop_loss": order.protection.stop_loss,
        "state": order.state,
        "end_cause": order.end_cause,
        "reject_reason": order.reject_reason,
        "filled": order.filled,
        "avg_price": order.average,
        "fee": order.fee,
        "executions": len(order.fills),
        "origin": order.origin,
        "arrived_at": order.arrived_ms,
        "arrived_ns": order.arrived_ns,
        "accepted_at": order.accepted_ms,
        "updated_at": order.updated_ms,
    }


def fill_view(fill: Fill) -> dict[str, Any]:
    """A fill as the control API shows it."""
    return {
        "sequence": fill.sequence,
        "venue": fill.venue,
        "account": fill.account,
        "symbol": fill.symbol,
        "side": fill.side,
        "leg": fill.leg,
        "client_order_id": fill.client_order_id,
        "order_id": fill.order_id,
        "fill_id": fill.fill_id,
        "price": fill.price,
        "qty": fill.qty,
        "value": fill.value,
        "fee": fill.fee,
        "maker": fill.maker,
        "closed_qty": fill.closed_qty,
        "realised": fill.realised,
        "filled_at": fill.at_ms,
    }


def seen_view(seen: Seen) -> dict[str, Any]:
    """A remembered request as the control API shows it."""
    return {
        "arrived_at": seen.arrived_ms,
        "venue": seen.venue,
        "method": seen.method,
        "path": seen.path,
        "endpoint": seen.endpoint,
        "symbol": seen.symbol,
        "client_order_id": seen.client_order_id,
        "outcome": seen.outcome,
        "code": seen.code,
        "faults": list(seen.faults),
    }


def _nested(counter: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    result: dict[str, dict[str, int]] = {}
    for (venue, name), count in counter.items():
        result.setdefault(venue, {})[name] = count
    return result
