"""What one message leaves behind while it is worked on: how long each stage took, and what it was.

Read by the canonical log line, the metrics and the traces when the message is settled. A stage
that runs twice (a wait, a second try) adds up. Like a trace's span, the trail of the message that a
task works on is the context's, so that no signature on the way has to carry it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stage(StrEnum):
    """The stages of a message's way that are timed."""

    QUEUE = "queue"  # from arrival until its lane was free
    CLAIM = "claim"
    PREPARE = "prepare"
    LIMITER = "limiter"
    INTENT = "intent"
    SIGN = "sign"
    WIRE = "wire"  # with the signature, to the exchange's answer
    RECORD = "record"


@dataclass(slots=True)
class Trail:
    """The trail of one message. `arrived` is monotonic seconds."""

    arrived: float = field(default_factory=time.monotonic)
    seconds: dict[Stage, float] = field(default_factory=dict)
    to_wire: float | None = None
    exchange_order_id: str | None = None

    def add(self, stage: Stage, seconds: float) -> None:
        """Add to the time of a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def began(self) -> None:
        """Its lane is free: the wait in the queue is over."""
        self.add(Stage.QUEUE, time.monotonic() - self.arrived)

    def left(self) -> None:
        """Its order goes to the exchange now."""
        if self.to_wire is None:
            self.to_wire = time.monotonic() - self.arrived


_current: ContextVar[Trail | None] = ContextVar("trail", default=None)


@contextmanager
def followed(trail: Trail) -> Iterator[None]:
    """Make a trail the one that `timed` and `left` write to, for the task's present work."""
    token = _current.set(trail)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """Time a stage of whatever message is being worked on, whatever becomes of it."""
    trail = _current.get()
    if trail is None:
        yield
        return
    began = time.monotonic()
    try:
        yield
    finally:
        trail.add(stage, time.monotonic() - began)


def took(stage: Stage, seconds: float) -> None:
    """Add to the time of a stage of whatever message is being worked on."""
    trail = _current.get()
    if trail is not None:
        trail.add(stage, seconds)


def taken(exchange_order_id: str | None) -> None:
    """Note the id that the exchange gave the order."""
    trail = _current.get()
    if trail is not None and exchange_order_id is not None:
        trail.exchange_order_id = exchange_order_id


def left() -> None:
    """Note that the order goes to the exchange now."""
    trail = _current.get()
    if trail is not None:
        trail.left()
