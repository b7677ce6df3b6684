"""What one message leaves behind while it is worked on: how long each stage took, and what it was.

Read by the canonical log line, the metrics and the traces when the message is settled. A stage
that runs twice (a wait, a second try) adds up. Like a trace's span, the trail of the message that a
task works on is the context's, so that no signature on the way has to carry it; and with it the ids
that every log line of that work has.

The contexts are classes: they are entered a dozen times for an order, and a generator takes longer.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from contextlib import AbstractContextManager
    from contextvars import Token


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
    """The trail of one message. `arrived` is monotonic seconds; `ids` are for the log."""

    arrived: float = field(default_factory=time.monotonic)
    seconds: dict[Stage, float] = field(default_factory=dict)
    to_wire: float | None = None
    exchange_order_id: str | None = None
    ids: Mapping[str, object] = field(default_factory=dict)

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


class _Followed:
    """See `followed`."""

    __slots__ = ("_token", "_trail")

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    def __enter__(self) -> None:
        self._token: Token[Trail | None] = _current.set(self._trail)

    def __exit__(self, *_: object) -> None:
        try:  # noqa: SIM105 - a context manager of Python's costs an order more than this one
            _current.reset(self._token)
        except ValueError:
            pass  # the task was collected without having ended, in the middle of another's work


class _Timed:
    """See `timed`."""

    __slots__ = ("_began", "_stage", "_trail")

    def __init__(self, stage: Stage, trail: Trail | None) -> None:
        self._stage = stage
        self._trail = trail

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        if self._trail is not None:
            self._trail.add(self._stage, time.monotonic() - self._began)


def followed(trail: Trail) -> AbstractContextManager[None]:
    """Make a trail the one that `timed`, `left` and the log go by, for the task's present work."""
    return _Followed(trail)


def timed(stage: Stage) -> AbstractContextManager[None]:
    """Time a stage of whatever message is being worked on, whatever becomes of it."""
    return _Timed(stage, _current.get())


def with_ids(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Add the ids of whatever message is being worked on to a log line; a processor."""
    trail = _current.get()
    return event if trail is None else {**trail.ids, **event}


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
