"""Flows that run at the same time in one loop, each of them a test with a name of its own.

Most of a flow is waiting (for a ladder, a lease, a process), so a module's flows together take
hardly longer than the longest. In a module::

    together = Together()

    @together
    async def an_order_is_filled(new_world: NewWorld) -> None: ...

    under_way = together.fixture()

    @pytest.mark.parametrize("flow", together.names)
    async def test_together(under_way: UnderWay, flow: str) -> None:
        await under_way[flow]
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from tests.conftest import NewWorld

    Flow = Callable[[NewWorld], Coroutine[Any, Any, None]]
    UnderWay = Mapping[str, asyncio.Task[None]]


class Together:
    """The flows of a module."""

    def __init__(self) -> None:
        self._flows: dict[str, Flow] = {}

    def __call__(self, flow: Flow) -> Flow:
        """Add a flow; its name is its function's."""
        self._flows[flow.__name__] = flow
        return flow

    @property
    def names(self) -> list[str]:
        """The names of the flows so far."""
        return list(self._flows)

    def fixture(self) -> Any:  # noqa: ANN401 - what pytest makes of a fixture
        """Make the module's fixture: all flows whose tests are wanted, started at once."""

        @pytest_asyncio.fixture(scope="module", loop_scope="module")
        async def under_way(
            request: pytest.FixtureRequest, new_module_world: NewWorld
        ) -> AsyncIterator[UnderWay]:
            wanted = {
                item.callspec.params.get("flow")
                for item in request.session.items
                if isinstance(item, pytest.Function)
                and item.module is request.module
                and hasattr(item, "callspec")
            }
            tasks = {
                name: asyncio.create_task(flow(new_module_world), name=name)
                for name, flow in self._flows.items()
                if name in wanted
            }
            yield tasks
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

        return under_way
