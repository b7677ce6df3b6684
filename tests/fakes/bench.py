"""A worker with everything around it in memory, and an executor that does what it is told."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from consumer.execution.executor import Executor
from consumer.gate import LedgerGate
from consumer.outcome import Outcome, OutcomeKind
from consumer.queue.topology import Topology
from consumer.watching.vitals import Vitals
from consumer.worker import Parts, Worker
from storage.states import OrderState
from tests.fakes.broker import FakeAcknowledger, FakePublisher, incoming
from tests.fakes.controls import FakeControls
from tests.fakes.ledger import FakeLedger
from tests.fakes.messages import body
from tests.fakes.messages import settings as worker_settings
from tests.fakes.virtual_time import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from consumer.contract.message import TradeMessage


PLACED = Outcome(OutcomeKind.PLACED, state=OrderState.ACCEPTED)


class FakeExecutor(Executor):
    """Gives the outcomes it was told to, in the order asked; can be held up by request id."""

    def __init__(self) -> None:
        self.plan: deque[Outcome | Exception] = deque()
        self.asked: list[tuple[str, int]] = []
        self.exchanges: list[tuple[str, str | None]] = []
        self.running: set[str] = set()
        self.done: list[str] = []
        self.held: dict[str, asyncio.Event] = defaultdict(_open)

    def hurry(self) -> None: ...

    async def execute(
        self,
        message: TradeMessage,
        *,
        attempt: int,
        received_at: datetime,
        more: Callable[[], bool] = lambda: False,
        exchange: str | None = None,
    ) -> Outcome:
        del more
        self.exchanges.append((message.request_id, exchange))
        assert received_at.tzinfo is not None
        name = message.request_id
        self.asked.append((name, attempt))
        assert name not in self.running
        self.running.add(name)
        try:
            await self.held[name].wait()
            await asyncio.sleep(0)
            step = self.plan.popleft() if self.plan else PLACED
            if isinstance(step, Exception):
                raise step
            self.done.append(name)
            return step
        finally:
            self.running.discard(name)

    def hold(self, *names: str) -> None:
        for name in names:
            self.held[name].clear()


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


class JournalLedger(FakeLedger):
    """A ledger that writes its marks into the journal of the broker's fakes."""

    journal: list[str]

    async def mark_dead_lettered(self, request_id: str) -> None:
        await super().mark_dead_lettered(request_id)
        self.journal.append(f"mark {request_id}")


class Bench:
    """A worker with everything around it in memory, and one journal of what the broker sees."""

    def __init__(
        self,
        executor: Executor | None = None,
        **changed: Any,  # noqa: ANN401 - any setting
    ) -> None:
        self.clock = VirtualClock()
        self.settings = worker_settings(**changed)
        self.topology = Topology.of(self.settings)
        self.journal: list[str] = []
        self.publisher = FakePublisher(self.journal)
        self.ledger = JournalLedger(self.clock)
        self.ledger.journal = self.journal
        self.gate = LedgerGate(self.ledger.probe)
        self.controls = FakeControls(self.settings, self.clock)
        self.fake = FakeExecutor()
        self.vitals = Vitals(most_in_flight=self.settings.max_batch_size)
        self.worker = Worker(
            Parts(
                self.settings,
                self.topology,
                self.ledger,
                self.gate,
                executor or self.fake,
                self.publisher,
                self.clock,
                self.vitals,
                self.controls,
            )
        )

    def arrive(
        self,
        raw: bytes | None = None,
        acknowledger: FakeAcknowledger | None = None,
        **about: Any,  # noqa: ANN401 - any field of a broker's message
    ) -> FakeAcknowledger:
        """Hand a message to the worker as the broker's callback does."""
        taker = acknowledger or FakeAcknowledger(self.journal)
        self.worker.arrived(incoming(body() if raw is None else raw, **about), taker)
        return taker
