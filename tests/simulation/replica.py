"""A worker process that can end, or stand still, at every point at which it waits.

Every task of a replica is driven through `Steps`, which counts each time one of them goes on after
an await. So "crash at step k" for every k is a crash at every await point there is. What ended
never runs again, not even its `finally` blocks, as after SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_replica: contextvars.ContextVar[Life] = contextvars.ContextVar("replica")


class Life:
    """One life of a replica: it counts steps, and ends when told to.

    Attributes:
        steps: how often one of its tasks went on.
        crash_at: the step before which it ends; None for never.
        ended: whether it has.
        frozen_until: the loop's time before which nothing of it goes on.
    """

    def __init__(self, name: str, on_end: Callable[[], None], crash_at: int | None = None) -> None:
        self.name = name
        self.steps = 0
        self.crash_at = crash_at
        self.ended = False
        self.frozen_until = 0.0
        self.context = contextvars.copy_context()
        self.context.run(_replica.set, self)
        self._corpses: list[Coroutine[Any, Any, Any]] = []  # kept, or Python would close them
        self._never: list[asyncio.Future[None]] = []
        self._on_end = on_end

    def keep(self, work: Coroutine[Any, Any, Any]) -> None:
        """Keep a coroutine from being closed, which would run its `finally` blocks."""
        self._corpses.append(work)

    def never(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Something to wait for that does not come; kept, or its task would be said to be lost."""
        self._never.append(loop.create_future())
        return self._never[-1]

    def end(self) -> None:
        """End, now."""
        if not self.ended:
            self.ended = True
            self._on_end()

    def bury(self) -> None:
        """Let what is left of it go, when nobody looks any more."""
        self.ended = True
        for corpse in self._corpses:
            with contextlib.suppress(RuntimeError):  # one that would wait in its `finally`
                corpse.close()
        self._corpses.clear()

    def may_go_on(self) -> bool:
        """Count a step; false if the life ends before it."""
        self.steps += 1
        if self.crash_at is not None and self.steps >= self.crash_at:
            self.end()
        return not self.ended


class Steps(Coroutine[Any, Any, Any]):
    """A coroutine that goes on only as long as its replica lives, and not while it is frozen."""

    def __init__(self, inner: Coroutine[Any, Any, Any], life: Life) -> None:
        self._inner = inner
        self._life = life
        life.keep(inner)

    def send(self, value: Any) -> Any:  # noqa: ANN401 - the protocol of coroutines
        """Go on, or wait: until the thaw, or for ever."""
        life = self._life
        loop = asyncio.get_running_loop()
        if loop.time() < life.frozen_until and not life.ended:
            thaw = loop.create_future()
            loop.call_at(life.frozen_until, thaw.set_result, None)
            return _waited_for(thaw)
        if not life.may_go_on():
            return _waited_for(life.never(loop))
        return self._inner.send(value)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:  # noqa: ANN401 - the protocol of coroutines
        """Raise inside, unless there is no inside any more."""
        del val, tb
        error = typ if isinstance(typ, BaseException) else typ()
        if not self._life.may_go_on():
            raise error
        return self._inner.throw(error)

    def close(self) -> None:
        """Close, if it lives."""
        if not self._life.ended:
            self._inner.close()

    def __await__(self) -> Any:  # noqa: ANN401 - the protocol of coroutines
        raise NotImplementedError


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Make every task that is created within a life one of that life."""

    def factory(
        loop: asyncio.AbstractEventLoop,
        work: Any,  # noqa: ANN401 - a coroutine
        context: contextvars.Context | None = None,
        **about: Any,  # noqa: ANN401 - a task's name
    ) -> asyncio.Task[Any]:
        life = (context or contextvars.copy_context()).get(_replica)
        if life is not None:
            work = Steps(work, life)
        return asyncio.Task(work, loop=loop, context=context, **about)

    loop.set_task_factory(factory)


def _waited_for(future: asyncio.Future[None]) -> asyncio.Future[None]:
    """What a coroutine yields to say that it waits for a future."""
    future._asyncio_future_blocking = True
    return future
