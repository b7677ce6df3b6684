"""Trades from the queue to the sandbox exchange and back into the ledger, with one real worker."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from providers.sandbox.faults import FaultKind
from providers.sandbox.values import OrderKind, OrderState, Side
from storage.fills import get_fills, list_positions
from tests.support.messages import encode, trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import NewWorld
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(new_module_world: NewWorld) -> World:
    """One worker for all tests here; each uses a symbol and request ids of its own."""
    world = await new_module_world(concurrent_batches=10)
    await world.start_worker()
    return world


async def test_a_market_order_is_filled_and_told_in_full(shared: World) -> None:
    message = trade(symbol="btc/usdt", queuedAt="2026-01-31T12:00:00Z")

    await shared.publish(message)

    (row,) = await shared.reached([message["requestId"]], "FILLED")
    (order,) = shared.placed(message["requestId"])
    assert (order.symbol, order.side, order.kind) == ("BTCUSDT", Side.BUY, OrderKind.MARKET)
    assert (order.qty, order.reduce_only) == (Decimal("0.005"), False)
    assert (row.exchange_order_id, row.client_order_id) == (order.order_id, order.client_order_id)
    assert (row.filled_quantity, row.average_price) == (Decimal("0.005"), order.average)
    assert (row.fee, row.fee_currency) == (order.fee, "USDT")
    assert (row.attempts, row.sends, row.side) == (1, 1, "BUY")
    assert row.intended_at is not None
    assert row.sent_at is not None
    assert row.intended_at <= row.sent_at
    assert row.finished_at is not None
    assert row.wire_seconds is not None

    fills = await eventually(lambda: get_fills(shared.database, row.request_id), what="the fills")
    assert sum(fill.quantity for fill in fills) == order.filled
    assert sum(fill.fee for fill in fills) == order.fee
    assert {fill.exchange_order_id for fill in fills} == {order.order_id}

    async def position() -> list[Decimal]:
        kept = await list_positions(shared.database)
        return [one.position.quantity for one in kept if one.position.symbol == "BTCUSDT"]

    assert await eventually(position, what="the position") == [Decimal("0.005")]


async def test_a_close_takes_the_whole_position_and_no_more(shared: World) -> None:
    opening = trade(symbol="ETHUSDT", quantity="0.30")
    closing = trade(symbol="ETH-USDT", action="CLOSE", quantity="9", leverage=None)
    await shared.publish(opening)
    await shared.reached([opening["requestId"]], "FILLED")

    await shared.publish(closing)

    (row,) = await shared.reached([closing["requestId"]], "FILLED")
    (order,) = shared.placed(closing["requestId"])
    assert (order.side, order.reduce_only, order.filled) == (Side.SELL, True, Decimal("0.30"))
    assert (row.side, row.reduce_only) == ("SELL", True)


async def test_a_close_without_a_position_is_tried_again_and_then_let_be(shared: World) -> None:
    message = trade(symbol="DOTUSDT", action="CLOSE_LONG", quantity="1", leverage=None)

    await shared.publish(message)

    (row,) = await shared.reached([message["requestId"]], "CANCELED")
    assert (row.code, row.attempts) == ("NOTHING_TO_CLOSE", 2)
    assert shared.placed(message["requestId"]) == []


async def test_a_limit_order_rests_until_the_price_comes(shared: World) -> None:
    market = shared.sandbox.sandbox.facade("bybit").engine.market
    market.hold("SOLUSDT", Decimal("180.00"))
    message = trade(symbol="SOLUSDT", quantity="2", orderType="LIMIT", price="175.50")
    await shared.publish(message)
    (row,) = await shared.reached([message["requestId"]], "ACCEPTED")
    assert row.order_price == Decimal("175.50")
    (order,) = shared.placed(message["requestId"])
    assert order.state is OrderState.NEW

    market.hold("SOLUSDT", Decimal("175.00"))

    (row,) = await shared.reached([message["requestId"]], "FILLED", within=20)
    assert row.filled_quantity == Decimal(2)
    assert row.average_price is not None
    assert row.average_price <= Decimal("175.50")


async def test_a_message_that_comes_many_times_is_one_order(shared: World) -> None:
    message = trade(symbol="XRPUSDT", quantity="50")

    await asyncio.gather(*(shared.publish(message) for _ in range(20)))

    (row,) = await shared.reached([message["requestId"]], "FILLED")
    (running,) = shared.workers
    settled = [one["settlement"] for one in await _settled(shared, message["requestId"], 20)]
    assert settled == ["ack"] * 20
    assert len(shared.placed(message["requestId"])) == 1
    assert (row.attempts, row.sends) == (1, 1)
    assert running.exit_code is None


async def test_numbers_written_otherwise_are_the_same_trade(shared: World) -> None:
    message = trade(symbol="ADAUSDT", quantity="100", leverage=10)
    same = (
        f'{{"requestId": "{message["requestId"]}", "action": "long", "symbol": "ada_usdt", '
        '"quantity": 100.000, "leverage": 10}'
    )

    await shared.publish(message, same.encode())

    await shared.reached([message["requestId"]], "FILLED")
    settled = await _settled(shared, message["requestId"], 2)
    assert sorted(str(one["outcome"]) for one in settled) == ["already_done", "placed"]


async def test_the_envelope_of_the_rest_interface_is_taken_too(shared: World) -> None:
    message = trade(symbol="LINKUSDT", quantity="3")
    envelope = {"requestId": message.pop("requestId"), "payload": message}

    await shared.amqp.publish(encode(envelope), shared.topology.queue)  # straight to the queue

    await shared.reached([envelope["requestId"]], "FILLED")


async def test_a_test_message_is_sized_and_recorded_but_never_sent(shared: World) -> None:
    message = trade(symbol="LTCUSDT", quantity="1", test=True)

    await shared.publish(message)

    (row,) = await shared.reached([message["requestId"]], "CANCELED")
    assert (row.code, row.sends, row.sent_at) == ("TEST", 0, None)
    assert shared.creates(message["requestId"]) == []


async def test_a_quantity_in_quote_currency_is_worked_out(shared: World) -> None:
    market = shared.sandbox.sandbox.facade("bybit").engine.market
    market.hold("BNBUSDT", Decimal("800.0"))
    message = trade(symbol="BNBUSDT", quantity="100", quantityUnit="quote", leverage=10)

    await shared.publish(message)

    (row,) = await shared.reached([message["requestId"]], "FILLED")
    assert row.order_quantity == Decimal("1.25")


async def test_orders_of_one_symbol_arrive_in_the_order_they_were_published(
    shared: World,
) -> None:
    messages = [trade(symbol="DOGEUSDT", quantity=str(100 + number)) for number in range(60)]
    # Some of the others take longer, which must not let later ones of this symbol pass.
    noise = [trade(symbol="AVAXUSDT", quantity=f"{number + 1}.5") for number in range(30)]
    shared.fault(FaultKind.LATENCY, symbol="DOGEUSDT", ms=30, probability=0.3, seed=3)

    await asyncio.gather(shared.publish(*messages), shared.publish(*noise))

    await shared.reached([one["requestId"] for one in messages], "FILLED")
    arrived = [order.qty for order in shared.truth if order.symbol == "DOGEUSDT"]
    assert arrived == [Decimal(str(one["quantity"])) for one in messages]


async def test_nothing_was_lost_doubled_or_buried_on_the_way(shared: World) -> None:
    shared.assert_none_doubled()
    await shared.empty()
    assert await shared.amqp.depth(shared.topology.dead_letter_queue) == 0


async def _settled(world: World, request_id: object, count: int) -> list[dict[str, object]]:
    """Wait until the worker has settled so many deliveries of one request."""
    (running,) = world.workers

    def lines() -> list[dict[str, object]] | None:
        found = [one for one in running.events("settled") if one["request_id"] == request_id]
        return found if len(found) >= count else None

    return await eventually(lines, what=f"{count} settlements of {request_id}")
