"""What a run left behind, gathered from the broker, the ledger and the exchange's own book."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consumer.controls.registry import KILL_SWITCH
from storage.config import list_config
from storage.orders import OrderEvent, OrderRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from providers.sandbox.values import Order
    from storage.postgres import Database
    from tests.chaos.scene import Scene
    from tests.chaos.traffic import Message
    from tests.chaos.wire import Send


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message among the dead letters, as a worker collected it."""

    body: bytes
    reason: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fill in the ledger."""

    request_id: str
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Pause:
    """Wall-clock seconds during which a worker stood still."""

    worker: int
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Halt:
    """Wall-clock seconds from when a kill switch was certainly on until it was lifted."""

    began: float
    ended: float


@dataclass(slots=True)
class Evidence:
    """Everything that the checks look at; values only.

    Attributes:
        published: the messages that the broker confirmed.
        rows: the ledger, by request id.
        book: every order that the exchange accepted from a customer.
        fills: every fill in the ledger.
        depths: messages left, by queue.
        alarms: the kill switches that are on at the end; nobody but a false alarm threw them.
        exits: how the workers ended that were asked to stop at the end.
    """

    published: Sequence[Message]
    rows: Mapping[str, OrderRow]
    events: Mapping[str, Sequence[OrderEvent]]
    dead: Sequence[DeadLetter]
    book: Sequence[Order]
    fills: Sequence[Recorded] = ()
    sends: Sequence[Send] = ()
    depths: Mapping[str, int] = field(default_factory=dict)
    alarms: Sequence[str] = ()
    exits: Sequence[int | None] = ()
    pauses: Sequence[Pause] = ()
    halts: Sequence[Halt] = ()


async def gather(
    scene: Scene,
    published: Sequence[Message],
    pauses: Sequence[Pause],
    halts: Sequence[Halt],
    exits: Sequence[int | None],
) -> Evidence:
    """Gather it, once nothing moves any more."""
    scene.sandbox.sandbox.advance()
    orders = scene.sandbox.sandbox.truth.orders
    return Evidence(
        published=published,
        rows=await _rows(scene.database),
        events=await _events(scene.database),
        dead=await _letters(scene.database),
        fills=await _fills(scene.database),
        book=[order for order in orders if order.origin == "client"],
        sends=[
            send for place in scene.places for wire in place.wires.values() for send in wire.sends
        ],
        depths=await scene.depths(),
        alarms=[row.key for row in await list_config(scene.database) if KILL_SWITCH in row.key],
        exits=exits,
        pauses=pauses,
        halts=halts,
    )


async def _letters(database: Database) -> list[DeadLetter]:
    rows = await database.fetch("SELECT body, reason, request_id FROM dead_letters ORDER BY id")
    return [DeadLetter(row["body"], row["reason"], row["request_id"]) for row in rows]


async def _fills(database: Database) -> list[Recorded]:
    rows = await database.fetch("SELECT request_id, quantity, price FROM fills")
    return [Recorded(row["request_id"], row["quantity"], row["price"]) for row in rows]


async def _rows(database: Database) -> dict[str, OrderRow]:
    rows = [OrderRow.read(row) for row in await database.fetch("SELECT * FROM orders")]
    return {row.request_id: row for row in rows}


async def _events(database: Database) -> dict[str, list[OrderEvent]]:
    events: defaultdict[str, list[OrderEvent]] = defaultdict(list)
    for row in await database.fetch("SELECT * FROM order_events ORDER BY id"):
        events[row["request_id"]].append(OrderEvent.read(row))
    return events
