"""The broker's side of a delivery and of publishing, in memory, with faults on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from consumer.queue.delivery import Arrival, Delivery
from consumer.queue.publisher import Publisher
from consumer.settings import BrokerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pamqp.common import FieldValue


@dataclass
class FakeAcknowledger:
    """Writes down how a delivery was settled, into a journal that others may share."""

    journal: list[str] = field(default_factory=list)
    closed: bool = False
    error: Exception | None = None
    gate: asyncio.Event | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    async def ack(self) -> None:
        await self._settle("ack")

    async def nack(self, *, requeue: bool) -> None:
        await self._settle("requeue" if requeue else "nack")

    async def _settle(self, how: str) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.journal.append(how)
        self.settled.set()


@dataclass(frozen=True)
class Published:
    """A message as it was handed to the broker."""

    body: bytes
    exchange: str
    routing_key: str
    message_id: str | None
    headers: Mapping[str, FieldValue]


class FakePublisher(Publisher):
    """Keeps what is published; `plan` holds what the next calls raise, None lets one pass."""

    def __init__(self, journal: list[str] | None = None) -> None:
        super().__init__(BrokerSettings())
        self.journal = journal if journal is not None else []
        self.plan: deque[Exception | None] = deque()
        self.published: list[Published] = []
        self.failed = asyncio.Event()

    async def publish(
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        message_id: str | None = None,
        headers: Mapping[str, FieldValue] | None = None,
        content_type: str = "application/json",
    ) -> None:
        del content_type
        await asyncio.sleep(0)
        error = self.plan.popleft() if self.plan else None
        if error is not None:
            self.journal.append("publish failed")
            self.failed.set()
            raise error
        self.journal.append("publish")
        self.published.append(
            Published(body, exchange, routing_key, message_id, dict(headers or {}))
        )


def incoming(
    body: bytes,
    *,
    routing_key: str = "trade-execution",
    headers: dict[str, Any] | None = None,
    message_id: str | None = "m-1",
    redelivered: bool = False,
) -> Arrival:
    """A message as the broker hands it over."""
    return Arrival(body, headers or {}, message_id, routing_key, "trade", redelivered)


def delivery(
    body: bytes = b"{}",
    acknowledger: FakeAcknowledger | None = None,
    **changes: Any,  # noqa: ANN401 - any field of a delivery
) -> Delivery:
    """A delivery, its first try."""
    fields: dict[str, Any] = {
        "headers": {},
        "message_id": "m-1",
        "routing_key": "trade-execution",
        "redelivered": False,
        "attempt": 1,
        "last_attempt": False,
        "received_at": datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC),
        "batch_id": "b-1",
    }
    return Delivery(
        body=body, acknowledger=acknowledger or FakeAcknowledger(), **{**fields, **changes}
    )
