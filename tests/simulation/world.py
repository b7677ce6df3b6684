"""Replicas, a broker, an exchange and a database in virtual time; what happens to them, by a seed.

Everything random comes from one generator in the order in which it is asked for, so that a seed
tells every step.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import orjson

from consumer.controls.registry import KILL_SWITCH
from consumer.execution.reconciler import Reconciler
from consumer.queue.topology import Topology
from consumer.watching.vitals import Vitals
from consumer.worker import Parts, Worker
from storage.orders import OrderEvent
from tests.chaos.checks import SLACK, is_over, judge
from tests.chaos.evidence import DeadLetter, Evidence, Halt, Pause
from tests.chaos.traffic import Kind, Message
from tests.chaos.wire import Send
from tests.fakes.messages import body, settings
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import START, VirtualClock
from tests.simulation.broker import Broker, Channel, SimPublisher
from tests.simulation.exchange import KIND, Fate, SimExchange, draw_fate
from tests.simulation.replica import Life, install

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from consumer.queue.delivery import Acknowledger
    from consumer.settings import Settings
    from providers.sandbox.values import Order

SETTINGS: dict[str, Any] = {
    "retry_delays": "1s,2s,4s,8s,15s,30s,30s,30s,60s,60s",
    "reconcile_interval": 4.0,
}


@functools.cache
def _settings() -> Settings:
    """Read once: that takes longer than a whole run."""
    return settings(**SETTINGS)


_SETTLED_WITHIN = 3600.0  # virtual seconds
_EVERY = 5.0


@dataclass
class Troubles:
    """What can still go wrong; empty when all is well.

    Attributes:
        fates: of the next orders at the exchange; then `draw` chooses, or they are kind.
        crashes: for each new life of a replica, the step at which it ends.
    """

    draw: random.Random | None = None
    fates: deque[Fate] = field(default_factory=deque)
    crashes: deque[int] = field(default_factory=deque)
    look_fails: float = 0.0
    publish_fails: float = 0.0

    def next_fate(self) -> Fate:
        """What happens to the next order."""
        if self.fates:
            return self.fates.popleft()
        return draw_fate(self.draw) if self.draw is not None else KIND

    def look_up_fails(self) -> bool:
        """Whether the next look-up fails."""
        return self.draw is not None and self.draw.random() < self.look_fails

    def publish_fault(self) -> str | None:
        """What happens to the next dead letter."""
        if self.draw is None or self.draw.random() >= self.publish_fails:
            return None
        return self.draw.choice(["lost", "unconfirmed"])


class Replica:
    """One replica's place: a life after another."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self.number = number
        self.lives = 0
        self.start()

    def start(self) -> None:
        """Begin a life, on the ledger's rows and the exchange that all share."""
        world = self._world
        self.lives += 1
        self.name = f"replica {self.number}.{self.lives}"
        troubles = world.troubles
        crash_at = troubles.crashes.popleft() if troubles.crashes else None
        self.life = Life(self.name, self._ended, crash_at)
        world.lives.append(self.life)
        self.life.context.run(self._assemble)
        world.say(f"{self.name} starts")

    def _assemble(self) -> None:
        world = self._world
        self.stage = stage = Stage(beside=world.stage)
        publisher = SimPublisher(world.broker, stage.settings, world.troubles.publish_fault)
        self.worker = Worker(
            Parts(
                settings=stage.settings,
                topology=world.topology,
                ledger=stage.ledger,
                gate=stage.gate,
                executor=stage.executor,
                publisher=publisher,
                clock=stage.clock,
                vitals=Vitals(10),
                controls=stage.controls,
            )
        )
        stage.controls.put(dict(world.config))
        reconciler = Reconciler(
            stage.ledger, stage.router, stage.settings, stage.gate, stage.clock, stage.controls
        )
        self.reconciling = asyncio.ensure_future(reconciler.run())
        self.connect()

    def connect(self) -> None:
        """Begin to take messages."""
        self.channel = Channel(self.name, 10, self._take, lambda: self.stage.gate.is_open)
        self._world.broker.open(self.channel)

    def reconnect(self) -> None:
        """Lose the connection to the broker, and make another."""
        if self.life.ended:
            return
        self._world.say(f"{self.name} loses its channel")
        self._world.broker.close(self.channel)
        self.connect()

    def freeze(self, seconds: float) -> None:
        """Stand still for a while."""
        self._world.say(f"{self.name} stands still for {seconds:g} s")
        now = asyncio.get_running_loop().time()
        self.life.frozen_until = now + seconds
        began = self._world.clock.now().timestamp()
        self._world.pauses.append(Pause(self.number, began, began + seconds))

    def _take(self, message: Any, acknowledger: Acknowledger) -> None:  # noqa: ANN401 - the broker's
        """Have a message arrive, when the process runs."""
        life = self.life
        loop = asyncio.get_running_loop()

        def arrive() -> None:
            if not life.ended and not acknowledger.closed:
                life.context.run(self.worker.arrived, message, acknowledger)

        loop.call_at(max(loop.time(), life.frozen_until), arrive)

    def _ended(self) -> None:
        self._world.say(f"{self.name} ends at step {self.life.steps}")
        self._world.broker.close(self.channel)
        delay = self._world.restart_after()
        asyncio.get_running_loop().call_later(delay, self.start)


class World:
    """One simulated run; make it inside a virtual loop."""

    def __init__(
        self,
        troubles: Troubles,
        *,
        replicas: int = 2,
        frees_ids: bool = True,
        ready: bool = False,
        restart_after: Callable[[], float] = lambda: 1.0,
        listen: Callable[[str], None] | None = None,
    ) -> None:
        install(asyncio.get_running_loop())
        self.troubles = troubles
        self.restart_after = restart_after
        self._listen = listen
        self.clock = VirtualClock()
        self.exchange = SimExchange(
            self.clock,
            troubles.next_fate,
            troubles.look_up_fails,
            self.say,
            frees_ids=frees_ids,
        )
        self.exchange.ready = ready
        self.stage = Stage(exchange=self.exchange, settings=_settings())
        self.topology = Topology.of(self.stage.settings)
        self.broker = Broker(self.topology, self.say)
        self.config: dict[str, str | None] = {}
        self.halts: list[Halt] = []
        self.published: list[Message] = []
        self.pauses: list[Pause] = []
        self.lives: list[Life] = []
        self.replicas = [Replica(self, number) for number in range(replicas)]

    def say(self, line: str) -> None:
        """Add to the trace."""
        if self._listen is not None:
            seconds = (self.clock.now() - START).total_seconds()
            self._listen(f"{seconds:8.2f} s  {line}")

    def publish(
        self,
        kind: Kind,
        request_id: str | None,
        raw: bytes | None = None,
        *,
        expires_in: float | None = None,
        **changes: Any,  # noqa: ANN401 - any field of a message
    ) -> None:
        """Publish a message and keep it for the checks."""
        message = Message(len(self.published), kind, request_id, None)
        if expires_in is not None:
            message.expires_at = self.clock.now() + timedelta(seconds=expires_in)
            changes["expiresAt"] = message.expires_at.isoformat()
        message.body = raw if raw is not None else body(requestId=request_id, **changes)
        self.published.append(message)
        self.say(f"published: {kind} {request_id}")
        self.broker.publish(message.body, f"m{message.number}")

    def halt(self, seconds: float) -> None:
        """Throw the kill switch, and lift it after a while."""
        if self.config.get(KILL_SWITCH) is not None:
            return
        began = self.clock.now().timestamp()
        self.halts.append(Halt(began - SLACK, began + seconds))
        self._switch("on")
        asyncio.get_running_loop().call_later(seconds, self._switch, None)

    def _switch(self, value: str | None) -> None:
        self.say(f"kill switch: {value or 'off'}")
        self.config[KILL_SWITCH] = value
        for replica in self.replicas:
            replica.stage.controls.put({KILL_SWITCH: value})

    def be_well(self) -> None:
        """Let nothing go wrong any more."""
        self.say("all is well again")
        self.troubles.draw = None
        self.troubles.fates.clear()
        self.troubles.crashes.clear()
        for replica in self.replicas:
            replica.life.crash_at = None
            replica.stage.ledger.away = False
            replica.stage.ledger.forget_faults()

    async def settle(self) -> None:
        """Wait until nothing moves any more, but not for ever."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SETTLED_WITHIN
        while loop.time() < deadline:
            await asyncio.sleep(_EVERY)
            self.broker.pump()
            rows = self.stage.rows.by_id.values()
            if not self.broker.left and all(is_over(row) for row in rows):
                return

    def close(self) -> None:
        """Let nothing go on any more, and nothing be said about what never did."""
        for life in self.lives:
            life.bury()

    def broken(self) -> list[str]:
        """Every promise that was broken, and how."""
        return self.exchange.wrong + [
            f"{verdict.promise}: {fault}"
            for verdict in judge(self._evidence())
            for fault in verdict.wrong
        ]

    def _evidence(self) -> Evidence:
        events: dict[str, list[OrderEvent]] = {name: [] for name in self.stage.rows.by_id}
        for name, before, after in self.stage.rows.steps:
            event = OrderEvent(START, before, after, 1, 1, None, None, {})
            events[name].append(event)
        return Evidence(
            published=self.published,
            rows=self.stage.rows.by_id,
            events=events,
            dead=[*self.broker.dead, *self._letters()],
            book=self._book(),
            sends=[Send("fake", 0, name, at, passed=True) for name, at in self.exchange.sent_at],
            depths={"broker": self.broker.left},
            pauses=self.pauses,
            halts=self.halts,
        )

    def _letters(self) -> list[DeadLetter]:
        """What orders became at their end whose messages were acknowledged before."""
        return [
            DeadLetter(orjson.dumps(row.payload), letter.reason, row.request_id)
            for row, letter in self.stage.rows.letters
        ]

    def _book(self) -> Sequence[Order]:
        return [
            cast(
                "Order",
                SimpleNamespace(
                    client_order_id=one.view.client_order_id,
                    venue="fake",
                    state=one.view.status.lower(),
                    filled=one.view.filled_quantity,
                    average=one.view.average_price,
                    fee=one.view.fee,
                    fills=[],
                ),
            )
            for taken in self.exchange.executions.values()
            for one in taken
        ]
