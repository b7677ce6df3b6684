"""One worker, every exchange: routed, traded, closed, protected; each in its own book."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from consumer.execution.protection import as_sent
from providers.binance import PROVIDER
from providers.outcomes import PlacementKind
from providers.sandbox.faults import FaultKind
from tests.support.messages import trade

if TYPE_CHECKING:
    from tests.conftest import NewWorld
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SECRET = {"binance": "binance_api_secret", "mexc": "mexc_secret_binding"}


def credentials(world: World, venue: str) -> dict[str, Any]:
    """The settings that lead a worker to a venue of the sandbox."""
    return {
        f"{venue}_base_url": world.sandbox.base_url(venue),
        f"{venue}_api_key": world.sandbox.key(venue),
        _SECRET[venue]: world.sandbox.secret(venue),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(new_module_world: NewWorld) -> World:
    world = await new_module_world()
    venues = {k: v for venue in _SECRET for k, v in credentials(world, venue).items()}
    await world.start_worker(**venues)
    return world


@pytest.mark.parametrize("venue", ["bybit", "binance", "mexc"])
async def test_an_order_is_opened_and_closed_where_it_was_sent(shared: World, venue: str) -> None:
    opening = trade(exchange=venue, symbol="SOL-USDT", quantity="3", leverage=5)
    closing = trade(exchange=venue, symbol="SOLUSDT", action="CLOSE", quantity="9", leverage=None)

    await shared.publish(opening)
    (opened,) = await shared.reached([opening["requestId"]], "FILLED")
    await shared.publish(closing)
    (closed,) = await shared.reached([closing["requestId"]], "FILLED")

    assert len(shared.placed(opening["requestId"])) == 1
    assert (opened.exchange, closed.exchange) == (venue, venue)
    assert opened.filled_quantity == closed.filled_quantity == 3
    assert opened.average_price
    assert opened.fee
    assert closed.reduce_only


@pytest.mark.parametrize("venue", ["bybit", "binance", "mexc"])
async def test_a_lost_answer_places_no_second_order(shared: World, venue: str) -> None:
    message = trade(exchange=venue, symbol="XRPUSDT", quantity="100", leverage=5)
    shared.fault(FaultKind.DROP_AFTER, request_id=message["requestId"], method="POST", count=1)

    await shared.publish(message)

    await shared.reached([message["requestId"]], "FILLED")
    assert len(shared.placed(message["requestId"])) == 1


async def test_binance_protects_a_position_after_its_fill(shared: World) -> None:
    message = trade(
        exchange="binance",
        symbol="BTCUSDT",
        quantity="0.005",
        leverage=5,
        takeProfit=150_000,
        stopLoss=50_000,
    )

    await shared.publish(message)

    (row,) = await shared.reached([message["requestId"]], "FILLED")
    assert row.code is None, row.message
    assert (row.take_profit, row.stop_loss) == (Decimal(150_000), Decimal(50_000))

    client = PROVIDER.create_client(shared.changed(**credentials(shared, "binance")))
    try:
        found = await client.find_order("BTCUSDT", row.client_order_id)
        assert found is not None
        again = await client.protect(as_sent(row, found), found)
    finally:
        await client.aclose()
    assert [answer.kind for answer in again] == [PlacementKind.DUPLICATE] * 2, "both are in force"
