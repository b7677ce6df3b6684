"""Waiting in tests: a condition with a deadline, never a sleep that hopes."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T | None]],
    *,
    within: float = 10.0,
    what: str = "the condition",
    every: float = 0.02,
) -> T: ...


@overload
async def eventually(
    condition: Callable[[], T | None],
    *,
    within: float = 10.0,
    what: str = "the condition",
    every: float = 0.02,
) -> T: ...


async def eventually(
    condition: Callable[[], object],
    *,
    within: float = 10.0,
    what: str = "the condition",
    every: float = 0.02,
) -> object:
    """Ask until the answer is truthy, and return it.

    Args:
        condition: what to ask; a plain or an async function.
        within: seconds until giving up.
        what: named in the failure.
        every: seconds between two questions.

    Raises:
        AssertionError: it did not become true, with the last answer.
    """
    deadline = asyncio.get_running_loop().time() + within
    while True:
        asked = condition()
        answer = await asked if inspect.isawaitable(asked) else asked
        if answer:
            return answer
        if asyncio.get_running_loop().time() >= deadline:
            raise AssertionError(f"{what}: not within {within:g} s; the last answer was {answer!r}")
        await asyncio.sleep(every)


async def never(
    condition: Callable[[], object], *, during: float, what: str = "the condition"
) -> None:
    """Watch for a while that something does not happen.

    Raises:
        AssertionError: it did.
    """
    deadline = asyncio.get_running_loop().time() + during
    while asyncio.get_running_loop().time() < deadline:
        asked = condition()
        answer = await asked if inspect.isawaitable(asked) else asked
        assert not answer, f"{what} happened: {answer!r}"
        await asyncio.sleep(0.02)
