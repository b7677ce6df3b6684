"""What a simulated run is made of: from a seed, or every crash of one message's way."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import structlog

from providers.outcomes import OutcomeClass
from tests.chaos.traffic import Kind
from tests.fakes.virtual_time import run
from tests.simulation.exchange import (
    KIND,
    LONGEST_FLIGHT,
    LONGEST_LAG,
    LONGEST_SIGNING,
    Fate,
)
from tests.simulation.world import Troubles, World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence

    Scenario = Callable[[list[str]], Coroutine[Any, Any, tuple[World, int]]]

# What the exchange does to an order while its sender is crashed at every step.
FATES: dict[str, Fate] = {
    "kind": KIND,
    "mute": Fate(mute=True),
    "mute and slow to show it": Fate(mute=True, lag=LONGEST_LAG),
    "as late as can be": Fate(
        signing=LONGEST_SIGNING, flight=LONGEST_FLIGHT, mute=True, lag=LONGEST_LAG
    ),
    "lost": Fate(flight=None),
    "taken, then 502": Fate(answer=OutcomeClass.UNKNOWN),
    "rate limited": Fate(answer=OutcomeClass.RATE_IP),
    "cancelled": Fate(fills_after=None),
    "cancelled, and mute": Fate(fills_after=None, mute=True),
    "rejected later": Fate(rejected=True),
    "rejected later, and mute": Fate(rejected=True, mute=True),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run; `steps` are those of the first replica's first life."""

    broken: list[str]
    steps: int
    trace: list[str]


@dataclass(frozen=True, slots=True)
class Crash:
    """The end of a worker at one await point of one message's way; as text, how to see it again."""

    fate: str
    step: int | None
    frees_ids: bool
    ready: bool

    def __str__(self) -> str:
        step = f" --step {self.step}" if self.step is not None else ""
        keeps = "" if self.frees_ids else " --keeps-ids"
        ready = " --ready" if self.ready else ""
        return f'python -m tests.simulation --fate "{self.fate}"{step}{keeps}{ready} -v'


def again(seed: int) -> str:
    """The command that shows a seed's run."""
    return f"python -m tests.simulation --seed {seed} -v"


def every_crash(
    fates: Iterable[str] = FATES, *, ids: Sequence[bool] = (True, False)
) -> Iterator[tuple[Crash, Result]]:
    """Crash the worker at every await point of a message's way, whatever the exchange does.

    Args:
        fates: what the exchange does.
        ids: whether it frees client ids after a fill.
    """
    for fate, frees_ids, ready in product(fates, ids, (False, True)):
        whole = crash_at(None, FATES[fate], frees_ids=frees_ids, ready=ready)
        yield Crash(fate, None, frees_ids, ready), whole
        for step in range(1, whole.steps + 1):
            result = crash_at(step, FATES[fate], frees_ids=frees_ids, ready=ready)
            yield Crash(fate, step, frees_ids, ready), result


def crash_at(
    step: int | None,
    fate: Fate,
    *,
    frees_ids: bool = True,
    ready: bool = False,
    trace: bool = False,
) -> Result:
    """One message; the replica that has it ends before its `step`th step.

    Args:
        step: None lets it live.
        fate: what the exchange does.
        frees_ids: whether it frees client ids after a fill.
        ready: whether the order's intent is committed with its claim.
        trace: whether to tell of it.
    """

    async def scenario(lines: list[str]) -> tuple[World, int]:
        troubles = Troubles(fates=deque([fate]), crashes=deque([step] if step else []))
        world = World(
            troubles,
            replicas=2,
            frees_ids=frees_ids,
            ready=ready,
            listen=lines.append if trace else None,
        )
        first = world.replicas[0].life
        world.publish(Kind.GOOD, "r-1")
        await world.settle()
        steps = first.steps
        # A duplicate long after the end finds a free id, and must not use it.
        world.publish(Kind.DUPLICATE, "r-1")
        await world.settle()
        return world, steps

    return _run(scenario)


def by_seed(seed: int, *, trace: bool = False) -> Result:
    """A run in which everything goes wrong, as the seed says."""

    async def scenario(lines: list[str]) -> tuple[World, int]:
        draw = random.Random(seed)  # noqa: S311 - reproducible, nothing secret
        troubles = Troubles(
            draw=draw,
            crashes=deque(draw.choice([20, 60, 150, 400]) + draw.randrange(150) for _ in range(6)),
            look_fails=draw.choice([0.0, 0.2]),
            publish_fails=draw.choice([0.0, 0.3]),
        )
        world = World(
            troubles,
            replicas=draw.randint(2, 3),
            frees_ids=draw.random() < 0.7,
            ready=seed % 2 == 0,
            restart_after=lambda: draw.choice([0.0, 1.0, 10.0, 40.0]),
            listen=lines.append if trace else None,
        )
        publishing = asyncio.ensure_future(_publish(world, draw))
        for _ in range(draw.randint(3, 8)):
            await asyncio.sleep(draw.choice([0.0, 0.1, 1.0, 6.0, 12.0, 31.0]))
            _disturb(world, draw)
        await publishing
        world.be_well()
        await world.settle()
        return world, 0

    return _run(scenario)


async def _publish(world: World, draw: random.Random) -> None:
    for number in range(draw.randint(1, 3)):
        name = f"r-{number + 1}"
        symbol = draw.choice(["BTCUSDT", "ETHUSDT"])
        late = draw.random() < 0.3
        expiry: dict[str, Any] = (
            {"expires_in": draw.choice([-1.0, 3.0, 20.0, 60.0])} if late else {}
        )
        world.publish(Kind.EXPIRING if late else Kind.GOOD, name, symbol=symbol, **expiry)
        await asyncio.sleep(draw.choice([0.0, 0.0, 0.05, 2.0, 20.0]))
        dice = draw.random()
        if dice < 0.3:
            first = next(one for one in world.published if one.request_id == name)
            world.publish(Kind.DUPLICATE, name, first.body)
        elif dice < 0.4 and not late:
            world.publish(Kind.CONFLICT, name, symbol=symbol, quantity=0.009)
        elif dice < 0.5:
            world.publish(Kind.MALFORMED, None, b"{" + bytes([33 + number]))


def _disturb(world: World, draw: random.Random) -> None:
    """Do something to a replica, or to what lies between it and the rest."""
    replica = draw.choice(world.replicas)
    ledger = replica.stage.ledger
    loop = asyncio.get_running_loop()
    call = draw.choice(["claim", "begin_sending", "record", "mark_dead_lettered", "due_checks"])
    match draw.randrange(8):
        case 0:
            replica.life.end()
        case 1:
            replica.freeze(draw.choice([0.5, 5.0, 31.0, 36.0]))
        case 2:
            replica.reconnect()
        case 3:
            world.say(f"{replica.name}: the answer to {call} gets lost")
            ledger.fail_next(call, committed=draw.random() < 0.5)
        case 4:
            world.say(f"{replica.name}: {call} is slow")
            ledger.slow_next(call, draw.choice([1.0, 4.9, 40.0]))
        case 5:
            world.say(f"{replica.name}: the ledger is away")
            ledger.away = True
            loop.call_later(draw.choice([0.5, 5.0, 40.0]), setattr, ledger, "away", False)
        case 6:
            world.halt(draw.choice([0.5, 4.0, 20.0]))
        case _:
            pass


def _run(scenario: Scenario) -> Result:
    lines: list[str] = []
    random.seed(1)  # the jitter of the gates
    with_logs = structlog.get_config()
    structlog.configure(
        processors=[_quiet],
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        return run(_told(scenario, lines))
    finally:
        structlog.configure(**with_logs)


async def _told(scenario: Scenario, lines: list[str]) -> Result:
    world, steps = await scenario(lines)
    broken = world.broken()
    world.close()
    return Result(broken, steps, lines)


def _quiet(*_: object) -> str:
    raise structlog.DropEvent
