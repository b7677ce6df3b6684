"""What the integration tests share beyond `tests/conftest.py`: a flow that really waits 30 s."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from consumer.settings import Settings
from providers.sandbox.faults import FaultKind
from tests.support.background import Background
from tests.support.messages import trade
from tests.support.waiting import eventually
from tests.support.world import Place, open_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aio_pika.abc import AbstractIncomingMessage

    from deploy.local_services import LocalServices
    from storage.orders import OrderRow
    from tests.support.databases import Databases

DEFAULT_LADDER = str(Settings.model_fields["retry_delays"].default)


@dataclass(frozen=True, slots=True)
class RealDelay:
    """An order that was rate-limited once, on the default ladder.

    Attributes:
        seen: what the broker passed on: exchange, routing key, monotonic seconds.
        creates: when and how each placement was answered: ms, `status/code`.
    """

    row: OrderRow
    seen: list[tuple[str, str, float]]
    creates: list[tuple[int, str]]
    placed: int


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    """Start the 30 s wait before the first test, if a test will ask for it: it runs last."""
    if any("real_delay" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("real_delay")


@pytest.fixture(scope="session")
def real_delay(
    services: LocalServices, migrated: Databases, log_folder: Path
) -> Iterator[Background[RealDelay]]:
    """The flow, under way while other tests run."""
    flow = Background(_wait_for_real(services.amqp_url, migrated, log_folder))
    yield flow
    flow.stop()


async def _wait_for_real(amqp_url: str, migrated: Databases, folder: Path) -> RealDelay:
    name = f"t{os.getpid()}_real"
    seen: list[tuple[str, str, float]] = []

    async def note(message: AbstractIncomingMessage) -> None:
        seen.append((message.exchange or "", message.routing_key or "", time.monotonic()))
        await message.ack()

    async with migrated.lent(name) as database_url:
        place = Place(name=name, amqp_url=amqp_url, database_url=database_url, folder=folder)
        # Answers that come late, with all that goes on at the start, would be another story.
        async with open_world(
            place, retry_delays=DEFAULT_LADDER, exchange_request_timeout=5.0
        ) as world:
            await world.start_worker()
            topology = world.topology
            message = trade()
            create = {"request_id": message["requestId"], "endpoint": "order/create"}
            world.fault(FaultKind.RATE_LIMIT, count=1, **create)
            async with world.amqp.channel() as channel:
                spy = await channel.declare_queue(exclusive=True)
                await spy.bind(topology.retry_exchange, "#")
                await spy.bind(topology.exchange, "#")
                await spy.consume(note)
                await world.publish(message)
                (row,) = await world.reached([message["requestId"]], "FILLED", within=60)
                await eventually(lambda: len(seen) >= 3, what="the message's return")
            creates = [
                (one.arrived_ms, f"{one.outcome}/{one.code}")
                for one in world.sandbox.sandbox.truth.recent
                if one.endpoint == "order/create"
            ]
            return RealDelay(row, seen, creates, len(world.placed(message["requestId"])))
