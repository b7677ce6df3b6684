"""What goes wrong during a chaos run, from a seed; and how often it really did.

Four tracks run beside each other: what happens to workers, to servers, on the wires to the
exchanges, and at the exchanges. Every kind is counted where it had its effect, never from the plan.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from consumer.controls.registry import KILL_SWITCH
from providers.sandbox.faults import FaultKind, FaultRule
from storage import config_writing
from tests.chaos.evidence import Halt, Pause
from tests.chaos.traffic import VENUES
from tests.chaos.wire import Act
from tests.support.breaking import killed, stopped
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from deploy.local_services import Server
    from providers.sandbox.truth import Seen
    from tests.chaos.scene import Place, Scene
    from tests.support.proxy import Proxy

# Of the orders on a wire, how many meet what; the rest pass.
_ON_THE_WIRE = {
    Act.CUT_BEFORE: 0.01,
    Act.CUT_AFTER: 0.02,
    Act.DELAY_REPLY: 0.015,
    Act.GARBLE: 0.015,
}
# Every so often a worker meets one of these.
_WORKER_ENDS = ("kill", "kill", "kill_before", "kill_after", "kill_after", "freeze", "drain")
_AIM_SECONDS = 3.0  # how long to wait for an order to strike at
_PLACES = ("order/create", "v1/order", "private/order/create")
# Who is banned by another exchange stays away for ten minutes, as its documentation asks.
_NAMES_ITS_END = "binance"
_REJECTED = "1"  # a reason that every exchange can show; it is a code of MEXC's
_SERVER_GONE = (2.0, 4.0)  # seconds a server stays away, beyond its restart
_OUTAGE = (3.0, 6.0)
_AT_LEAST_RUNNING = 2
_ORDERS_PER_END = 8
_PATIENCE = 20.0  # seconds
_OBEYED_WITHIN = 1.0  # seconds from a switch's commit until every worker heeds it
_OUTAGES = 20  # of servers in a run, if they took no time
_FLOW_SECONDS = 60.0

WORKER_KILLED = "worker_killed"
WORKER_FROZEN = "worker_frozen"
WORKER_DRAINED = "worker_drained"
EXCHANGE_KINDS = {
    FaultKind.SERVER_ERROR: "5xx_after_accept",
    FaultKind.DELAY_PROCESSING: "accepted_late",
    FaultKind.HIDE: "lookup_lag",
    FaultKind.REJECT_LATER: "rejected_later",
    FaultKind.RATE_LIMIT: "rate_limited",
    FaultKind.BAN: "banned",
    FaultKind.MAINTENANCE: "maintenance",
    FaultKind.CLOCK_SKEW: "clock_skew",
}
HALTED = "halted"
SERVER_KINDS = (
    "broker_killed",
    "broker_restarted",
    "database_killed",
    "database_restarted",
    "broker_unreachable",
    "database_unreachable",
    "worker_cut_off",
    HALTED,
)
KINDS = (
    WORKER_KILLED,
    Act.KILL_BEFORE.value,
    Act.KILL_AFTER.value,
    WORKER_FROZEN,
    WORKER_DRAINED,
    *(act.value for act in _ON_THE_WIRE),
    *EXCHANGE_KINDS.values(),
    *SERVER_KINDS,
)


class Faults:
    """The tracks and their counts.

    Args:
        seed: tells what happens, and in which order.
        orders: about how many are to be traded; outages are spread over them.

    Attributes:
        pauses: when workers stood still.
        halts: when the kill switch was on.
        denied: orders that it has denied, as counted after its last time.
    """

    def __init__(self, seed: int, orders: int) -> None:
        self._wire_draw = _draw(seed, "wires")
        self._worker_draw = _draw(seed, "workers")
        self._server_draw = _draw(seed, "servers")
        self._exchange_draw = _draw(seed, "exchanges")
        self._between = orders // _OUTAGES
        self._aimed: dict[int, Act] = {}
        self._counts: Counter[str] = Counter()
        self._serving = asyncio.Lock()  # a server's outage and a worker's end come apart
        self.calm = False
        self.denied = 0
        self.pauses: list[Pause] = []
        self.halts: list[Halt] = []

    def decide(self, worker: int) -> Act:
        """Say what happens to the next order of a worker."""
        if self.calm:
            return Act.PASS
        aimed = self._aimed.pop(worker, None)
        if aimed is not None:
            return aimed
        dice = self._wire_draw.random()
        for act, share in _ON_THE_WIRE.items():
            dice -= share
            if dice < 0:
                return act
        return Act.PASS

    def counts(self, scene: Scene) -> dict[str, int]:
        """How often each kind had its effect so far."""
        counts = Counter(self._counts)
        for place in scene.places:
            for wire in place.wires.values():
                counts.update({act.value: n for act, n in wire.injected.items()})
        for seen in scene.sandbox.sandbox.truth.recent:
            for kind in _effects(seen):
                counts[EXCHANGE_KINDS[kind]] += 1
        return {kind: counts[kind] for kind in KINDS}

    def missing(self, scene: Scene) -> list[str]:
        """The kinds that did not happen."""
        return [kind for kind, count in self.counts(scene).items() if not count]

    async def run(self, scene: Scene) -> None:
        """Let things go wrong until cancelled."""
        self._spoil_orders(scene)
        async with asyncio.TaskGroup() as tracks:
            tracks.create_task(self._workers(scene))
            tracks.create_task(self._servers(scene))
            tracks.create_task(self._exchanges(scene))

    def make_calm(self, scene: Scene) -> None:
        """Let nothing go wrong any more."""
        self.calm = True
        self._aimed.clear()
        scene.sandbox.sandbox.faults.clear()
        for place in scene.places:
            if place.frozen:
                place.thaw()

    # Workers.

    async def _workers(self, scene: Scene) -> None:
        draw = self._worker_draw
        orders = scene.sandbox.sandbox.truth.orders
        turns: list[str] = []
        while True:
            await asyncio.sleep(draw.uniform(0.8, 2.4))
            await scene.running(_AT_LEAST_RUNNING)
            # On a slow machine a worker takes long to start; in between some orders have to flow.
            enough = len(orders) + _ORDERS_PER_END
            await _within(_PATIENCE, lambda: len(orders) >= enough)  # noqa: B023 - awaited here
            turns = turns or draw.sample(_WORKER_ENDS, len(_WORKER_ENDS))
            place = draw.choice([one for one in scene.places if one.consuming] or scene.places)
            await self._meet(scene, place, turns.pop())

    async def _meet(self, scene: Scene, place: Place, end: str) -> None:
        life = len(place.lives)
        scene.say(f"worker {place.number}: {end}")
        match end:
            case "kill":
                place.kill()
                self._counts[WORKER_KILLED] += await _ended(place, life) == -signal.SIGKILL
            case "kill_before" | "kill_after":
                act = Act.KILL_BEFORE if end == "kill_before" else Act.KILL_AFTER
                self._aimed[place.number] = act
                await _within(_AIM_SECONDS, lambda: len(place.lives) > life)
                self._aimed.pop(place.number, None)
            case "freeze":
                began = time.time()
                if await place.freeze():
                    await asyncio.sleep(self._worker_draw.uniform(1.0, 4.0))
                    self._counts[WORKER_FROZEN] += 1
                place.thaw()
                self.pauses.append(Pause(place.number, began, time.time()))
            case _:
                place.process.send(signal.SIGTERM)
                self._counts[WORKER_DRAINED] += await _ended(place, life) == 0

    # Servers.

    async def _servers(self, scene: Scene) -> None:
        draw = self._server_draw
        rabbitmq, postgres = scene.services.rabbitmq, scene.services.postgres
        actions: dict[str, Callable[[], Coroutine[Any, Any, bool]]] = {
            "broker_killed": lambda: self._away(killed, rabbitmq),
            "broker_restarted": lambda: self._away(stopped, rabbitmq),
            "database_killed": lambda: self._away(killed, postgres),
            "database_restarted": lambda: self._away(stopped, postgres),
            "broker_unreachable": lambda: self._cut_off(scene.places, ("broker",)),
            "database_unreachable": lambda: self._cut_off(scene.places, ("database",)),
            "worker_cut_off": lambda: self._cut_off(
                [draw.choice(scene.places)], ("broker", "database")
            ),
            HALTED: lambda: self._halt(scene),
        }
        while True:
            for name in draw.sample(SERVER_KINDS, len(SERVER_KINDS)):
                await self._flows(scene)
                scene.say(name)
                self._counts[name] += await _to_its_end(actions[name]())

    async def _halt(self, scene: Scene) -> bool:
        """Throw the kill switch for a while; whether it denied any order."""
        denied = "SELECT count(*) AS n FROM orders WHERE code = 'KILL_SWITCH_ACTIVE'"
        before = int((await scene.database.fetch(denied))[0]["n"])
        await config_writing.change(scene.database, {KILL_SWITCH: "on"}, who="chaos", why="a drill")
        began = time.time() + _OBEYED_WITHIN
        await asyncio.sleep(_OBEYED_WITHIN + self._server_draw.uniform(2.0, 4.0))
        self.halts.append(Halt(began, time.time()))
        await config_writing.change(
            scene.database, {KILL_SWITCH: None}, who="chaos", why="it is over"
        )
        self.denied = int((await scene.database.fetch(denied))[0]["n"])
        return self.denied > before

    async def _flows(self, scene: Scene) -> None:
        """Wait until orders flow again, so that each outage meets some."""
        orders = scene.sandbox.sandbox.truth.orders
        spread = self._server_draw.uniform(0.5, 1.5)
        enough = len(orders) + max(10, int(self._between * spread))
        if not await _within(_FLOW_SECONDS, lambda: len(orders) >= enough):
            scene.say("orders hardly flow; going on all the same")

    async def _away(
        self, way: Callable[[Server], AbstractAsyncContextManager[None]], server: Server
    ) -> bool:
        async with way(server):
            await asyncio.sleep(self._server_draw.uniform(*_SERVER_GONE) - 1.5)
        return True

    async def _cut_off(self, places: list[Place], what: tuple[str, ...]) -> bool:
        """Refuse connections for a while; whether somebody was cut off or refused."""
        proxies: list[Proxy] = [getattr(place, name) for place in places for name in what]
        before = sum(proxy.cuts + proxy.refused for proxy in proxies)
        with ExitStack() as stack:
            for proxy in proxies:
                silent = self._server_draw.random() < 0.5
                stack.enter_context(proxy.silent() if silent else proxy.refusing())
            await asyncio.sleep(self._server_draw.uniform(*_OUTAGE))
            if any(proxy.connections for proxy in proxies):
                before -= 1  # silence met somebody
        return sum(proxy.cuts + proxy.refused for proxy in proxies) > before

    # Exchanges.

    def _spoil_orders(self, scene: Scene) -> None:
        """Rules that strike a share of the orders for the whole run."""
        draw = self._exchange_draw

        def strike(kind: FaultKind, share: float, **values: Any) -> None:  # noqa: ANN401 - a rule's fields
            for endpoint in _PLACES:
                seed = draw.randrange(2**32)
                rule = FaultRule(
                    kind=kind,
                    method="POST",
                    endpoint=endpoint,
                    probability=share,
                    seed=seed,
                    **values,
                )
                _add(scene, rule)

        status = draw.choice([500, 502, 503, 504])
        strike(FaultKind.SERVER_ERROR, 0.015, execute=True, status=status)
        strike(FaultKind.DELAY_PROCESSING, 0.01, ms=1300, recheck_window=True)
        strike(FaultKind.HIDE, 0.05, ms=2500)
        strike(FaultKind.REJECT_LATER, 0.01, message=_REJECTED)

    async def _exchanges(self, scene: Scene) -> None:
        draw = self._exchange_draw
        while True:
            weather = [
                FaultRule(kind=FaultKind.RATE_LIMIT, for_ms=2000, venue=draw.choice(VENUES)),
                FaultRule(kind=FaultKind.BAN, ms=2000, count=1, venue=_NAMES_ITS_END),
                FaultRule(kind=FaultKind.MAINTENANCE, for_ms=1500, venue=draw.choice(VENUES)),
                FaultRule(
                    kind=FaultKind.CLOCK_SKEW,
                    ms=draw.choice([-9000, -3500, 3500, 9000]),
                    for_ms=3000,
                    venue=draw.choice(VENUES),
                ),
            ]
            for rule in draw.sample(weather, len(weather)):
                await asyncio.sleep(draw.uniform(1.0, 3.0))
                scene.say(f"{rule.venue}: {rule.kind}")
                _add(scene, rule)


def _add(scene: Scene, rule: FaultRule) -> None:
    inside = scene.sandbox.sandbox
    inside.faults.add(rule, inside.clock.now_ms())


def _effects(seen: Seen) -> list[FaultKind]:
    """Which faults a served request shows the effect of."""
    effects = []
    for name in seen.faults:
        kind = FaultKind(name)
        if kind is FaultKind.SERVER_ERROR and not seen.outcome.startswith("5"):
            continue  # refused before it came so far
        if kind in EXCHANGE_KINDS:
            effects.append(kind)
    return effects


async def _ended(place: Place, life: int) -> int | None:
    """How a life ended."""
    process = place.lives[life - 1]
    return await process.ended(within=60)


async def _to_its_end(action: Coroutine[Any, Any, bool]) -> bool:
    """Do something to its end, also when cancelled: a server that was taken away is put back."""
    task = asyncio.create_task(action)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until something is so, but no longer than some seconds; whether it is."""
    try:
        return await eventually(condition, within=seconds, every=0.05)
    except AssertionError:
        return False


def _draw(seed: int, track: str) -> random.Random:
    return random.Random(f"{seed}-{track}")  # noqa: S311 - reproducible, nothing secret
