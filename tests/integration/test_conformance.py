"""The conformance suite over the three exchanges, each on its side of the sandbox.

All cases are under way at once, a few at a time; every one is a test with a name of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from providers.conformance import Turns, runs
from providers.conformance.builtin import VENUES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUNS = {run.name: run for venue in VENUES for run in runs(venue)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def under_way(
    request: pytest.FixtureRequest,
) -> AsyncIterator[Mapping[str, asyncio.Task[None]]]:
    wanted = {
        item.callspec.params.get("name")
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.module is request.module
        and hasattr(item, "callspec")
    }
    turns = Turns()
    tasks = {
        name: asyncio.create_task(turns.carry_out(run), name=name)
        for name, run in RUNS.items()
        if name in wanted
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("name", RUNS)
async def test_conforms(under_way: Mapping[str, asyncio.Task[None]], name: str) -> None:
    await under_way[name]
