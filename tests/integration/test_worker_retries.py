"""Orders that can't be placed now: they wait on the broker's ladder and come back."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from consumer.queue.topology import UNANSWERED_MOST
from providers.sandbox.faults import FaultKind
from storage.orders import get_events
from storage.states import OrderState
from tests.support.messages import trade
from tests.support.together import Together

if TYPE_CHECKING:
    from tests.conftest import NewWorld
    from tests.support.together import UnderWay

pytestmark = pytest.mark.asyncio(loop_scope="module")

together = Together()


@together
async def a_burst_over_the_rate_limit_is_filled_in_the_end(new_world: NewWorld) -> None:
    world = await new_world(
        limits="published", fill_delay=0.005, retry_delays="300ms,600ms,1s,1s,1s,2s"
    )
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")
    quantities = ("0.005", "0.1", "1", "50", "100")
    messages = [
        trade(symbol=symbols[number % 5], quantity=quantities[number % 5]) for number in range(25)
    ]
    running = await world.start_worker()

    await world.publish(*messages)

    rows = await world.reached([one["requestId"] for one in messages], "FILLED", within=25)

    assert len(world.truth) == len(messages)
    world.assert_none_doubled()
    retried = [row for row in rows if row.attempts > 1]
    assert retried, "nothing was rate-limited: the test proves nothing"
    settled = Counter(str(one["settlement"]) for one in running.events("settled"))
    assert settled["ack"] == len(messages)
    assert settled["nack"] == sum(row.attempts for row in rows) - len(messages)
    assert {one.get("reason") for one in running.events("settled")} == {None, "RATE_LIMITED"}
    for row in retried:
        events = await get_events(world.database, row.request_id)
        assert events[-1].after is OrderState.FILLED
        assert row.sends == sum(event.after is OrderState.SENDING for event in events)


@together
async def what_never_gets_through_is_given_up_with_its_reason(new_world: NewWorld) -> None:
    world = await new_world()
    message = trade()
    world.fault(FaultKind.RATE_LIMIT, request_id=message["requestId"], endpoint="order/create")
    running = await world.start_worker(retry_delays="100ms,200ms,300ms")

    await world.publish(message)

    (letter,) = await world.dead_letters(1)
    assert letter.headers["trade-reason"] == "RETRIES_EXHAUSTED"
    assert letter.headers["trade-attempts"] == 4
    assert "given up after 4 attempts; last: RATE_LIMITED: bybit 10006" in str(
        letter.headers["trade-error"]
    )
    (row,) = await world.reached([message["requestId"]], "DEFERRED")
    assert (row.attempts, row.sends) == (4, 4)
    assert world.placed(message["requestId"]) == []
    assert [one["attempt"] for one in running.events("settled")] == [1, 2, 3, 4]
    assert len(world.creates(message["requestId"])) == 4


@together
async def a_trade_that_expires_while_it_waits_is_never_sent(new_world: NewWorld) -> None:
    world = await new_world(retry_delays="2500ms")
    world.fault(FaultKind.RATE_LIMIT, endpoint="order/create", count=1)
    await world.start_worker()
    message = trade(expiresAt=(datetime.now(UTC) + timedelta(seconds=2)).isoformat())

    await world.publish(message)

    (letter,) = await world.dead_letters(1)
    assert letter.headers["trade-reason"] == "EXPIRED"
    assert letter.headers["trade-attempts"] == 2
    (row,) = await world.reached([message["requestId"]], "EXPIRED")
    assert row.sends == 1
    assert world.creates(message["requestId"]) == ["200/10006"]
    assert world.placed(message["requestId"]) == []


@together
async def an_exchange_that_can_be_read_only_now_and_then_is_waited_for(
    new_world: NewWorld,
) -> None:
    world = await new_world()
    message = trade(symbol="SOLUSDT", quantity="1")
    # The account's setup has to be known before an order is sized.
    rule = world.fault(FaultKind.DROP_BEFORE, endpoint="position/list", count=6)
    running = await world.start_worker()

    await world.publish(message)

    (row,) = await world.reached([message["requestId"]], "FILLED")
    assert rule.injected == 6
    assert row.attempts > 1
    assert row.sends == 1
    *reasons, last = [one.get("reason") for one in running.events("settled")]
    assert set(reasons) == {"EXCHANGE_UNREACHABLE"}
    assert last is None
    assert len(world.creates(message["requestId"])) == 1


@together
async def a_shorter_ladder_gives_up_what_had_climbed_higher(new_world: NewWorld) -> None:
    """A message that waits on a rung that the new ladder does not have ends like any other."""
    world = await new_world()
    message = trade()
    world.fault(FaultKind.RATE_LIMIT, request_id=message["requestId"], endpoint="order/create")
    first = await world.start_worker(retry_delays="100ms,150ms,2s,3s")
    await world.publish(message)
    await first.says("settled", 3)  # now it waits on the third rung
    await first.stop()

    await world.start_worker(retry_delays="250ms")

    (letter,) = await world.dead_letters(1)
    assert letter.headers["trade-reason"] == "RETRIES_EXHAUSTED"
    assert letter.headers["trade-attempts"] == 4


@together
async def a_message_that_killed_its_workers_too_often_waits_and_is_tried_again(
    new_world: NewWorld,
) -> None:
    """Refused unseen, so that it can't kill once more at once; it is not lost, and not buried."""
    world = await new_world()
    first = await world.start_worker()
    await first.stop()
    message = trade()
    await world.publish(message)
    connection = await world.amqp.connection()
    for _ in range(UNANSWERED_MOST):
        channel = await connection.channel()
        queue = await channel.get_queue(world.topology.queue, ensure=False)
        await queue.get()
        await channel.close()  # with the message unanswered

    running = await world.start_worker()

    (row,) = await world.reached([message["requestId"]], "FILLED")
    refused, placed = running.events("settled")
    assert (refused["settlement"], refused["reason"]) == ("nack", "UNANSWERED")
    assert (placed["settlement"], placed["attempt"]) == ("ack", 2)
    assert (row.attempts, row.sends) == (1, 1)
    assert await world.amqp.depth(world.topology.dead_letter_queue) == 0


under_way = together.fixture()


@pytest.mark.parametrize("flow", together.names)
async def test_together(under_way: UnderWay, flow: str) -> None:
    await under_way[flow]
