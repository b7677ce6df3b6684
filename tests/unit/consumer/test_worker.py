"""The worker: from a message that arrived to a delivery that is settled."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from consumer.errors import BrokerUnavailable, PublishRefused
from consumer.outcome import Outcome, OutcomeKind
from consumer.queue.delivery import Settlement
from storage.states import OrderState
from tests.fakes.bench import PLACED, Bench
from tests.fakes.broker import FakeAcknowledger
from tests.fakes.messages import body, message
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import on_virtual_time, turns

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    Logs = list[MutableMapping[str, Any]]

K = OutcomeKind
DENIED = Outcome(K.REFUSED, "LEVERAGE_TOO_HIGH", "at most 50", OrderState.DENIED, request_id="r-1")


# Settling.


@pytest.mark.parametrize(
    ("outcome", "journal"),
    [
        (PLACED, ["ack"]),
        (Outcome(K.ALREADY_DONE), ["ack"]),
        (Outcome(K.NOTHING_TO_DO, "TEST"), ["ack"]),
        (Outcome(K.RETRY, "RATE_LIMITED"), ["nack"]),
        (Outcome(K.RELEASED), ["requeue"]),
        (DENIED, ["publish", "mark r-1", "ack"]),
        (Outcome(K.REFUSED, "DUPLICATE_REQUEST", request_id="r-1"), ["publish", "ack"]),
    ],
)
@on_virtual_time
async def test_an_outcome_is_settled(outcome: Outcome, journal: list[str]) -> None:
    bench = Bench()
    bench.fake.plan.append(outcome)
    taker = bench.arrive()
    await taker.settled.wait()
    assert bench.journal == journal


@on_virtual_time
async def test_a_malformed_message_is_among_the_dead_before_it_is_acknowledged() -> None:
    bench = Bench()
    taker = bench.arrive(b"\xff\xfe", message_id="m-7", headers={"tenant": "blue"})
    await taker.settled.wait()
    assert bench.journal == ["publish", "ack"]
    (letter,) = bench.publisher.published
    assert letter.body == b"\xff\xfe", "untouched"
    assert letter.exchange == bench.topology.dead_exchange
    assert letter.message_id == "m-7"
    assert letter.headers["tenant"] == "blue"
    assert letter.headers["trade-reason"] == "NOT_UTF8"
    assert "byte 0 is 0xff" in str(letter.headers["trade-error"])
    assert letter.headers["trade-attempts"] == 1
    assert bench.fake.asked == []


@on_virtual_time
async def test_a_malformed_message_is_buried_with_the_request_id_it_has() -> None:
    bench = Bench()
    await bench.arrive(body(quantity=0)).settled.wait()
    (letter,) = bench.publisher.published
    assert letter.headers["trade-request-id"] == "r-1"
    assert letter.headers["trade-error"] == (
        "quantity: Quantity parameter must be greater than zero."
    )
    assert bench.journal == ["publish", "ack"], "it has no order to be marked"


@pytest.mark.parametrize(
    "poison",
    [
        b'{"\\ud800": 1}',
        b'{"\\u0000": 1}',
        b'{"requestId": "\\ud800"}',
        b'{"requestId": "r-1", "leverage": 1e99999999}',
        b'{"requestId": "r-1", "queuedAt": 1e99999999}',
        b'{"requestId": "r-1", "expiresAt": "0001-01-01T00:00:00+14:00"}',
        b'{"requestId": "r-1", "quantity": 1e9999999999999999999999}',
        b"[" * 60_000,
        b"x" * 100_000,
        b"",
    ],
)
@on_virtual_time
async def test_a_poisonous_message_is_buried_at_its_first_delivery(poison: bytes) -> None:
    bench = Bench()
    taker = bench.arrive(poison)
    bench.arrive(body(requestId="r-2"))
    await taker.settled.wait()
    await turns()
    assert sorted(bench.journal) == ["ack", "ack", "publish"]
    assert bench.fake.done == ["r-2"]


@pytest.mark.parametrize(
    "error", [BrokerUnavailable("RabbitMQ: no answer in time"), PublishRefused("no queue took it")]
)
@on_virtual_time
async def test_a_dead_letter_that_can_not_be_published_is_tried_until_it_is(
    error: Exception,
) -> None:
    bench = Bench()
    bench.publisher.plan = deque([error] * 5)
    taker = bench.arrive(b"{}")
    await taker.settled.wait()
    assert bench.journal == [*["publish failed"] * 5, "publish", "ack"]


@on_virtual_time
async def test_a_dead_letter_that_fails_in_another_way_goes_up_the_ladder(logs: Logs) -> None:
    """It is not left unsettled: that would take up a place of the prefetch for good."""
    bench = Bench()
    bench.publisher.plan.append(ZeroDivisionError())
    taker = bench.arrive(b"{}")
    await taker.settled.wait()
    assert bench.journal == ["publish failed", "nack"]
    assert [line for line in logs if line["event"] == "dead letter not published"]


@on_virtual_time
async def test_a_dead_letter_is_acknowledged_only_when_the_ledger_knows_of_it() -> None:
    """Or the reconciler would wait for the message of an order that is absent, for ever."""
    bench = Bench()
    bench.fake.plan.append(DENIED)
    bench.ledger.fail_next("mark_dead_lettered")
    taker = bench.arrive()
    await taker.settled.wait()
    assert bench.journal == ["publish", "mark r-1", "ack"]
    assert bench.gate.is_open


@on_virtual_time
async def test_without_a_ledger_a_dead_letter_goes_back_when_the_worker_stops() -> None:
    bench = Bench()
    bench.fake.plan.append(DENIED)
    bench.ledger.away = True
    taker = bench.arrive()
    await turns()
    assert bench.journal == ["publish"]
    await bench.worker.drain()
    assert bench.journal == ["publish", "requeue"]
    assert taker.settled.is_set()
    await bench.gate.aclose()


@on_virtual_time
async def test_the_last_attempt_ends_among_the_dead_with_a_reason() -> None:
    bench = Bench()
    bench.fake.plan.append(
        Outcome(K.RETRY, "RATE_LIMITED", "too many", OrderState.DEFERRED, request_id="r-1")
    )
    taker = bench.arrive(routing_key="retry.5")
    await taker.settled.wait()
    assert bench.fake.asked == [("r-1", 6)]
    assert bench.journal == ["publish", "mark r-1", "ack"]
    (letter,) = bench.publisher.published
    assert letter.headers["trade-reason"] == "RETRIES_EXHAUSTED"
    assert letter.headers["trade-error"] == (
        "given up after 6 attempts; last: RATE_LIMITED: too many"
    )
    assert letter.headers["trade-attempts"] == 6


@pytest.mark.parametrize(
    ("routing_key", "attempt", "journal"),
    [
        ("trade-execution", 1, ["nack"]),
        ("retry.4", 5, ["nack"]),
        ("retry.5", 6, ["publish", "ack"]),
        ("retry.17", 18, ["publish", "ack"]),
    ],
)
@on_virtual_time
async def test_a_defect_in_the_execution_goes_up_the_ladder(
    routing_key: str, attempt: int, journal: list[str], logs: Logs
) -> None:
    bench = Bench()
    bench.fake.plan.append(ZeroDivisionError("secret words"))
    taker = bench.arrive(routing_key=routing_key)
    await taker.settled.wait()
    assert bench.fake.asked == [("r-1", attempt)]
    assert bench.journal == journal
    assert [line for line in logs if line["event"] == "execution failed"]
    for letter in bench.publisher.published:
        assert letter.headers["trade-error"] == (
            f"given up after {attempt} attempts; last: INTERNAL_ERROR: ZeroDivisionError"
        )


@on_virtual_time
async def test_a_delivery_whose_channel_is_gone_is_neither_executed_nor_settled() -> None:
    bench = Bench()
    bench.arrive(acknowledger=FakeAcknowledger(bench.journal, closed=True))
    await turns()
    assert bench.fake.asked == []
    assert bench.journal == []


@pytest.mark.parametrize("raw", [b"{}", body(quantity=0)])
@on_virtual_time
async def test_nor_is_it_put_among_the_dead_for_it_will_come_again(raw: bytes) -> None:
    bench = Bench()
    bench.arrive(raw, FakeAcknowledger(bench.journal, closed=True))
    await turns()
    assert bench.journal == []


@on_virtual_time
async def test_a_channel_that_goes_during_the_execution_leaves_the_delivery_to_the_broker(
    logs: Logs,
) -> None:
    bench = Bench()
    bench.fake.hold("r-1")
    taker = bench.arrive()
    await turns()
    taker.closed = True
    bench.fake.held["r-1"].set()
    await turns()
    assert bench.fake.done == ["r-1"], "what was begun is finished"
    assert bench.journal == []
    (line,) = [line for line in logs if line["event"] == "settled"]
    assert line["settlement"] is Settlement.ABANDON


@on_virtual_time
async def test_a_dead_letter_is_given_up_once_the_channel_is_gone() -> None:
    bench = Bench()
    bench.publisher.plan = deque([BrokerUnavailable("away")] * 100)
    taker = bench.arrive(b"{}")
    await bench.publisher.failed.wait()
    taker.closed = True
    await bench.worker.drain()
    assert "publish" not in bench.journal
    assert "ack" not in bench.journal


@on_virtual_time
async def test_a_settlement_that_fails_does_not_stop_the_lane(logs: Logs) -> None:
    bench = Bench()
    bench.arrive(acknowledger=FakeAcknowledger(error=ZeroDivisionError()))
    second = bench.arrive(body(requestId="r-2"))
    await second.settled.wait()
    assert bench.journal == ["ack"]
    assert [line for line in logs if line["event"].startswith("settling failed")]


@on_virtual_time
async def test_what_became_of_a_message_is_one_log_line(logs: Logs) -> None:
    bench = Bench()
    bench.fake.plan.append(Outcome(K.PLACED, None, None, OrderState.ACCEPTED, None, "r-1", "fake"))
    bench.fake.hold("r-1")
    taker = bench.arrive(message_id="m-3", routing_key="retry.2")
    await asyncio.sleep(2.5)
    bench.fake.held["r-1"].set()
    await taker.settled.wait()
    await turns()
    (line,) = [line for line in logs if line["event"] == "settled"]
    assert line["settlement"] is Settlement.ACK
    assert line["outcome"] is K.PLACED
    assert (line["request_id"], line["message_id"], line["attempt"]) == ("r-1", "m-3", 3)
    assert (line["exchange"], line["state"]) == ("fake", OrderState.ACCEPTED)
    assert line["seconds"] == pytest.approx(2.5)
    assert line["batch_id"]


# Batches and lanes.


@on_virtual_time
async def test_eager_begins_at_once_whatever_the_batch_does(logs: Logs) -> None:
    bench = Bench(max_batch_size=3)
    for number in range(4):
        bench.arrive(body(requestId=f"r-{number}", symbol=f"C{number}USDT"))
    await turns()
    assert len(bench.fake.done) == 4
    assert bench.clock.monotonic() == 1000, "no time has passed"
    closed = [line for line in logs if line["event"] == "batch closed"]
    assert [line["messages"] for line in closed] == [3]
    await asyncio.sleep(1)
    closed = [line for line in logs if line["event"] == "batch closed"]
    assert [line["messages"] for line in closed] == [3, 1]


@on_virtual_time
async def test_on_close_waits_for_the_batch_to_fill() -> None:
    bench = Bench(batch_dispatch="on_close", max_batch_size=3)
    for number in range(2):
        bench.arrive(body(requestId=f"r-{number}"))
    await turns()
    assert bench.fake.asked == []
    bench.arrive(body(requestId="r-2"))
    await turns()
    assert bench.fake.done == ["r-0", "r-1", "r-2"]
    assert bench.clock.monotonic() == 1000


@on_virtual_time
async def test_on_close_waits_no_longer_than_the_batch_is_open(logs: Logs) -> None:
    bench = Bench(batch_dispatch="on_close", max_batch_timeout=1.0)
    bench.arrive(body(requestId="r-0"))
    await asyncio.sleep(0.75)
    bench.arrive(body(requestId="r-1"))
    await asyncio.sleep(0.2)
    assert bench.fake.asked == []
    await asyncio.sleep(0.1)
    assert bench.fake.done == ["r-0", "r-1"]
    # The next batch has its own second, counted from its own first message.
    bench.arrive(body(requestId="r-2"))
    await asyncio.sleep(0.95)
    assert len(bench.fake.done) == 2
    await asyncio.sleep(0.1)
    assert bench.fake.done == ["r-0", "r-1", "r-2"]
    batches = [line["messages"] for line in logs if line["event"] == "batch closed"]
    assert batches == [2, 1]


@on_virtual_time
async def test_a_full_batch_does_not_leave_its_timer_to_the_next_one() -> None:
    bench = Bench(batch_dispatch="on_close", max_batch_size=2)
    bench.arrive(body(requestId="r-0"))
    await asyncio.sleep(0.9)
    bench.arrive(body(requestId="r-1"))  # fills the batch
    bench.arrive(body(requestId="r-2"))  # opens another
    await asyncio.sleep(0.5)
    assert bench.fake.done == ["r-0", "r-1"]
    await asyncio.sleep(0.6)
    assert bench.fake.done == ["r-0", "r-1", "r-2"]


@on_virtual_time
async def test_one_lane_keeps_its_order_and_others_do_not_wait() -> None:
    bench = Bench()
    bench.fake.hold("btc-1")
    bench.arrive(body(requestId="btc-1", symbol="BTC-USDT"))
    bench.arrive(body(requestId="btc-2", symbol="btc/usdt"))
    bench.arrive(body(requestId="eth-1", symbol="ETHUSDT"))
    bench.arrive(body(requestId="btc-else", symbol="BTCUSDT", exchange="other"))
    bench.arrive(b"{}")
    await turns()
    assert bench.fake.done == ["eth-1", "btc-else"]
    assert len(bench.publisher.published) == 1
    bench.fake.held["btc-1"].set()
    await turns()
    assert bench.fake.done == ["eth-1", "btc-else", "btc-1", "btc-2"]


@on_virtual_time
async def test_the_default_exchange_and_its_name_are_one_lane() -> None:
    bench = Bench(default_exchange="fake")
    bench.fake.hold("r-1")
    bench.arrive(body(requestId="r-1", exchange=None))
    bench.arrive(body(requestId="r-2", exchange="FAKE"))
    await turns()
    assert bench.fake.asked == [("r-1", 1)]
    bench.fake.held["r-1"].set()
    await turns()
    assert bench.fake.done == ["r-1", "r-2"]


# With the real executor.


@on_virtual_time
async def test_from_bytes_to_an_order_and_an_acknowledgement() -> None:
    stage = Stage()
    bench = Bench(executor=stage.executor)
    await bench.arrive(body(quantity="0.0050")).settled.wait()
    assert bench.journal == ["ack"]
    (order,) = stage.exchange.sends
    assert (order.symbol, order.quantity) == ("BTCUSDT", message().quantity)
    await bench.arrive(body(quantity="5e-3"), redelivered=True).settled.wait()
    assert bench.journal == ["ack", "ack"]
    assert stage.sends == 1


@on_virtual_time
async def test_an_expired_message_is_a_dead_letter() -> None:
    stage = Stage()
    bench = Bench(executor=stage.executor)
    expired = (stage.clock.now() - timedelta(seconds=1)).isoformat()
    await bench.arrive(body(expiresAt=expired)).settled.wait()
    assert bench.journal == ["publish", "mark r-1", "ack"]
    assert bench.publisher.published[0].headers["trade-reason"] == "EXPIRED"
    assert stage.sends == 0
