"""An event loop whose time jumps to the next timer instead of waiting for it, and its clock.

Tests of time-outs, back-off and batches take no time this way, and a test that waits for
something that nobody will ever do fails at once instead of hanging.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")
START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


class Deadlock(RuntimeError):  # noqa: N818 - names say the condition
    """Every task waits, and no timer is set."""


class _JumpingSelector(selectors.DefaultSelector):
    """Lets the loop's time pass where another selector would sleep."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Deadlock("every task waits for another, and no timer is set")
        if timeout > 0:
            self.loop.advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with a time of its own, which begins at 1000 s."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self._seconds = 1000.0
        super().__init__(selector)

    def time(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let time pass at once, as while something blocks."""
        self._seconds += seconds


class VirtualClock:
    """A `providers.clock.Clock` that shows the running loop's time; `START` when it was made."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop), "this test needs the virtual loop"
        self._loop = loop
        self._began = loop.time()

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time() - self._began)

    def monotonic(self) -> float:
        return self._loop.time()

    def advance(self, seconds: float) -> None:
        """Let time pass at once; timers that are due run when the loop is next idle."""
        self._loop.advance(seconds)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def on_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a test that is a coroutine function run on a virtual loop of its own."""

    @functools.wraps(test)
    def on_its_own_loop(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(test(*args, **kwargs))

    return on_its_own_loop


async def turns(count: int = 20) -> None:
    """Let every task that can go on do so, without any time passing."""
    for _ in range(count):
        await asyncio.sleep(0)
