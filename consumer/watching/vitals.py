"""Whether a worker is started, ready and alive, and why not. Pure but for the record of facts.

A worker that looks healthy and no longer consumes is the most reported fault of queue workers:
so `live` compares the backlog with the last delivery, and says so when they disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

STARTING = "still starting"
_AT_ONCE = timedelta(0)
_LEFT_FOR = timedelta(seconds=10)
_BUSY = 0.4  # beyond it, every turn of the event loop is waited for noticeably


@dataclass(slots=True)
class Vitals:
    """What is known of the worker; moments are on the monotonic clock, None for never.

    Attributes:
        started: the exchanges, the ledger and the topology were looked at once.
        consuming: a consumer is on the queue now.
        paused: why nothing is taken on purpose (ledger away, config stale), or None.
        draining: the worker was told to stop.
        taken_at: when a message arrived last.
        consuming_since: when the present consumer was made.
        in_flight: messages taken and not settled.
        most_in_flight: the prefetch; at that number the broker sends no more.
        backlog: messages ready in the queue when it was looked at last.
        backlog_since: since when every look found messages; None if the last found none.
        loop_lag: how late the event loop was when it was looked at last, seconds.
        busy: the part of the time that the event loop's thread has lately been at work, 0 to 1.
    """

    most_in_flight: int
    started: bool = False
    consuming: bool = False
    paused: str | None = None
    draining: bool = False
    taken_at: float | None = None
    consuming_since: float | None = None
    in_flight: int = 0
    backlog: int = 0
    backlog_since: float | None = None
    loop_lag: float = 0.0
    busy: float = 0.0

    def took(self, now: float) -> None:
        """A message arrived."""
        self.taken_at = now
        self.in_flight += 1

    @property
    def left_for(self) -> timedelta:
        """How long what follows an order is left once it is due: orders go first in a rush."""
        many = self.in_flight > self.most_in_flight // 4 > 0
        return _LEFT_FOR if many or self.busy > _BUSY else _AT_ONCE

    def saw_backlog(self, ready: int, now: float) -> None:
        """Remember how many messages wait."""
        self.backlog = ready
        if ready == 0:
            self.backlog_since = None
        elif self.backlog_since is None:
            self.backlog_since = now


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a worker may look dead before it counts as dead, seconds.

    Attributes:
        silence: a backlog, room for more, and no delivery.
        lag: an event loop that runs late.
    """

    silence: float
    lag: float


def faults_of_life(vitals: Vitals, now: float, patience: Patience) -> tuple[str, ...]:
    """Say why the process should be ended and started again; empty if it should not. Pure."""
    faults = []
    if vitals.loop_lag > patience.lag:
        faults.append(f"the event loop runs {vitals.loop_lag:.1f} s late")
    silent = _silence(vitals, now)
    if silent is not None and silent > patience.silence:
        faults.append(
            f"{vitals.backlog} messages wait in the queue and none was delivered for {silent:.0f} s"
        )
    return tuple(faults)


def faults_of_readiness(vitals: Vitals) -> tuple[str, ...]:
    """Say why the worker takes no messages; empty if it does. Pure."""
    faults = []
    if not vitals.started:
        faults.append(STARTING)
    if vitals.draining:
        faults.append("draining")
    if vitals.paused is not None:
        faults.append(vitals.paused)
    if not vitals.consuming and not vitals.draining and vitals.paused is None:
        faults.append("not connected to RabbitMQ")
    return tuple(faults)


def _silence(vitals: Vitals, now: float) -> float | None:
    """Seconds without a delivery although there should have been one; None if all is well."""
    expecting = (
        vitals.started
        and vitals.paused is None
        and not vitals.draining
        and vitals.in_flight < vitals.most_in_flight
    )
    if not expecting or vitals.backlog_since is None:
        return None
    since = max(
        moment
        for moment in (vitals.backlog_since, vitals.taken_at, vitals.consuming_since)
        if moment is not None
    )
    return now - since
