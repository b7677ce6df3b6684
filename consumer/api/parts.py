"""What the routes work with; made in `consumer.assembly`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from consumer.api.keys import Keys
    from consumer.contract.message import TradeMessage
    from consumer.controls.registry import Registry
    from consumer.outcome import Outcome
    from consumer.queue.publisher import Publisher
    from consumer.queue.topology import Topology
    from consumer.settings import Settings
    from providers.clock import Clock
    from providers.router import ExchangeRouter
    from storage.objects.store import ObjectStore
    from storage.postgres import Database


class Executes(Protocol):
    """Works on trades in their lanes: the worker."""

    async def execute(
        self, message: TradeMessage, received_at: datetime, traceparent: str | None = None
    ) -> Outcome:
        """Work on one; see `consumer.worker.Worker.execute`."""


@dataclass(frozen=True, slots=True)
class ApiParts:
    """Everything behind the routes.

    Attributes:
        faults_of_life: why the process should be started again.
        faults_of_readiness: why it takes no work.
    """

    settings: Settings
    topology: Topology
    database: Database
    worker: Executes
    publisher: Publisher
    router: ExchangeRouter
    reports: ObjectStore
    registry: Registry
    keys: Keys
    clock: Clock
    faults_of_life: Callable[[], Sequence[str]]
    faults_of_readiness: Callable[[], Sequence[str]]
