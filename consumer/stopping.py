"""How a worker stops: the table, and what is in which phase.

    phase      takes and begins   finishes and settles what it has     /ready
    working    yes                yes                                  200, once it has started
    draining   no                 yes, for at most DRAIN_TIMEOUT       503, "draining"
    closing    no                 no: the broker redelivers the rest   the port is closed
    stopped    exit code 0
    ended      at once, exit code 130: as safe as SIGKILL

A worker that waits for its ledger or its broker is working, with nothing to finish.
"""

from __future__ import annotations

import asyncio
import os
from enum import StrEnum
from types import MappingProxyType

import structlog

_log = structlog.get_logger(__name__)
_ENDED_AT_ONCE = 130


class Phase(StrEnum):
    """Where a worker is on its way to its end."""

    WORKING = "working"
    DRAINING = "draining"
    CLOSING = "closing"
    STOPPED = "stopped"
    ENDED = "ended"


class Sign(StrEnum):
    """What leads from one phase to another."""

    SIGNAL = "SIGTERM or SIGINT"
    IDLE = "nothing is in flight"
    TIMED_OUT = "DRAIN_TIMEOUT"
    CLOSED = "connections are closed"


AFTER: MappingProxyType[tuple[Phase, Sign], Phase] = MappingProxyType(
    {
        (Phase.WORKING, Sign.SIGNAL): Phase.DRAINING,
        (Phase.DRAINING, Sign.IDLE): Phase.CLOSING,
        (Phase.DRAINING, Sign.TIMED_OUT): Phase.CLOSING,
        (Phase.DRAINING, Sign.SIGNAL): Phase.ENDED,
        (Phase.CLOSING, Sign.SIGNAL): Phase.ENDED,
        (Phase.CLOSING, Sign.CLOSED): Phase.STOPPED,
    }
)


class Stopping:
    """The phase of this process.

    Attributes:
        phase: the present one.
        wanted: set once nothing more may be taken.
    """

    def __init__(self) -> None:
        self.phase = Phase.WORKING
        self.wanted = asyncio.Event()

    def see(self, sign: Sign) -> None:
        """Go where a sign leads; one that leads nowhere is not heeded. May end the process."""
        after = AFTER.get((self.phase, sign))
        if after is None:
            return
        self.phase = after
        _log.debug("phase", phase=after, because=sign)
        if after is Phase.DRAINING:
            self.wanted.set()
        elif after is Phase.ENDED:
            os._exit(_ENDED_AT_ONCE)
