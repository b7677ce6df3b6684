"""The examples of the README, run as they stand there."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING

from deploy.generate_docs import README
from tests.support.worker import environment_of

if TYPE_CHECKING:
    from tests.support.world import World


def example(name: str) -> str:
    """The code block that follows the comment of this name."""
    text = README.read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", text, flags=re.DOTALL)
    assert found is not None, f"the README has no example {name!r}"
    return found[1]


async def test_the_producer_publishes_a_trade_that_is_filled(world: World) -> None:
    await world.start_worker()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        example("producer"),
        env=environment_of(world.settings),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0
    (order,) = await world.reached([out.decode().strip()], "FILLED", within=60)
    assert (order.action, order.symbol, str(order.quantity)) == ("LONG", "BTCUSDT", "0.005")
