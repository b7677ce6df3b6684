"""Batches: up to so many messages, or so many seconds after the first. Pure; time is an argument.

A batch is the unit that logs, dead letters and replays speak of. It does not hold a message
back: with eager dispatch a message is started when it arrives, and its batch is only closed
later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(slots=True)
class Batch(Generic[T]):
    """Some messages that belong together. `opened_at` is monotonic seconds."""

    batch_id: str
    opened_at: float
    items: list[T] = field(default_factory=list)


class Batcher(Generic[T]):
    """Gathers items into batches.

    Args:
        size: most items in a batch.
        seconds: most seconds between a batch's first item and its closing.
        new_id: makes a batch id.
    """

    def __init__(self, size: int, seconds: float, new_id: Callable[[], str]) -> None:
        self._size = size
        self._seconds = seconds
        self._new_id = new_id
        self._open: Batch[T] | None = None

    @property
    def deadline(self) -> float | None:
        """When the open batch must close; None if none is open."""
        return None if self._open is None else self._open.opened_at + self._seconds

    def batch_for(self, now: float) -> Batch[T]:
        """Return the batch that an item arriving now belongs to."""
        if self._open is None:
            self._open = Batch(self._new_id(), now)
        return self._open

    def add(self, item: T, now: float) -> Batch[T] | None:
        """Add an item; returns the batch if that closed it."""
        batch = self.batch_for(now)
        batch.items.append(item)
        return self._close() if len(batch.items) >= self._size else None

    def expire(self, now: float) -> Batch[T] | None:
        """Close the open batch if its time is over."""
        deadline = self.deadline
        return self._close() if deadline is not None and now >= deadline else None

    def flush(self) -> Batch[T] | None:
        """Close the open batch whatever the time."""
        return self._close() if self._open is not None else None

    def _close(self) -> Batch[T] | None:
        closed, self._open = self._open, None
        return closed
