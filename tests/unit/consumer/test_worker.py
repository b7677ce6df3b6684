"""The worker: from a message that arrived to a delivery that is settled, and the way to stop."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.delivery import Settlement
from consumer.errors import BrokerUnavailable, PublishRefused
from consumer.execution import Executor
from consumer.gate import LedgerGate
from consumer.outcome import Outcome, OutcomeKind
from consumer.topology import Topology
from consumer.worker import Parts, Worker
from storage.errors import LedgerUnavailable
from storage.states import OrderState
from tests.fakes.broker import FakeAcknowledger, FakePublisher, incoming
from tests.fakes.ledger import FakeLedger
from tests.fakes.messages import body, message
from tests.fakes.messages import settings as worker_settings
from tests.fakes.stage import Stage
from tests.fakes.virtual_time import VirtualClock, on_virtual_time, run, turns

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from datetime import datetime

    from consumer.message import TradeMessage

    Logs = list[MutableMapping[str, Any]]

K = OutcomeKind
PLACED = Outcome(K.PLACED, state=OrderState.ACCEPTED)
DENIED = Outcome(K.REFUSED, "LEVERAGE_TOO_HIGH", "at most 50", OrderState.DENIED, request_id="r-1")


class FakeExecutor(Executor):
    """Gives the outcomes it was told to, in the order asked; can be held up by request id."""

    def __init__(self) -> None:
        self.plan: deque[Outcome | Exception] = deque()
        self.asked: list[tuple[str, int]] = []
        self.running: set[str] = set()
        self.done: list[str] = []
        self.held: dict[str, asyncio.Event] = defaultdict(_open)

    async def execute(
        self, message: TradeMessage, *, attempt: int, received_at: datetime
    ) -> Outcome:
        assert received_at.tzinfo is not None
        name = message.request_id
        self.asked.append((name, attempt))
        assert name not in self.running
        self.running.add(name)
        try:
            await self.held[name].wait()
            await asyncio.sleep(0)
            step = self.plan.popleft() if self.plan else PLACED
            if isinstance(step, Exception):
                raise step
            self.done.append(name)
            return step
        finally:
            self.running.discard(name)

    def hold(self, *names: str) -> None:
        for name in names:
            self.held[name].clear()


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


class JournalLedger(FakeLedger):
    """A ledger that writes its marks into the journal of the broker's fakes."""

    journal: list[str]

    async def mark_dead_lettered(self, request_id: str) -> None:
        await super().mark_dead_lettered(request_id)
        self.journal.append(f"mark {request_id}")


class Bench:
    """A worker with everything around it in memory, and one journal of what the broker sees."""

    def __init__(
        self,
        executor: Executor | None = None,
        **changed: Any,  # noqa: ANN401 - any setting
    ) -> None:
        self.clock = VirtualClock()
        self.settings = worker_settings(**changed)
        self.topology = Topology.of(self.settings)
        self.journal: list[str] = []
        self.publisher = FakePublisher(self.journal)
        self.ledger = JournalLedger(self.clock)
        self.ledger.journal = self.journal
        self.gate = LedgerGate(self.ledger.probe)
        self.fake = FakeExecutor()
        self.worker = Worker(
            Parts(
                self.settings,
                self.topology,
                self.ledger,
                self.gate,
                executor or self.fake,
                self.publisher,
                self.clock,
            )
        )

    def arrive(
        self,
        raw: bytes | None = None,
        acknowledger: FakeAcknowledger | None = None,
        **about: Any,  # noqa: ANN401 - any field of a broker's message
    ) -> FakeAcknowledger:
        """Hand a message to the worker as the broker's callback does."""
        taker = acknowledger or FakeAcknowledger(self.journal)
        self.worker.arrived(incoming(body() if raw is None else raw, **about), taker)
        return taker


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
    bench.publisher.plan.append(RuntimeError("a defect"))
    taker = bench.arrive(b"{}")
    await taker.settled.wait()
    assert bench.journal == ["publish failed", "nack"]
    assert [line for line in logs if line["event"] == "dead letter not published"]


@on_virtual_time
async def test_a_mark_that_can_not_be_made_does_not_hold_the_message_up() -> None:
    bench = Bench()
    bench.fake.plan.append(DENIED)
    bench.ledger.fail_next("mark_dead_lettered")
    taker = bench.arrive()
    await taker.settled.wait()
    assert bench.journal == ["publish", "ack"]
    await bench.gate.wait_open()


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
    bench.arrive(acknowledger=FakeAcknowledger(error=RuntimeError("a defect")))
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


# The ledger goes away.


@on_virtual_time
async def test_a_message_waits_for_the_ledger_and_is_executed_when_it_is_back() -> None:
    bench = Bench()
    bench.ledger.away = True
    bench.fake.plan.append(LedgerUnavailable("PostgreSQL: connection refused"))
    taker = bench.arrive()
    other = bench.arrive(body(requestId="r-2", symbol="ETHUSDT"))
    await asyncio.sleep(100)
    assert bench.journal == ["ack"], "the one that was on its way was not asked to wait"
    late = bench.arrive(body(requestId="r-3", symbol="XRPUSDT"))
    await asyncio.sleep(100)
    assert len(bench.fake.asked) == 2, "nothing is begun while it is away"
    bench.ledger.away = False
    for one in (taker, other, late):
        await one.settled.wait()
    assert bench.journal == ["ack"] * 3
    assert bench.fake.asked[2:] == [("r-1", 1), ("r-3", 1)] or bench.fake.asked[2:] == [
        ("r-3", 1),
        ("r-1", 1),
    ]


@on_virtual_time
async def test_a_delivery_that_goes_stale_while_it_waits_is_left() -> None:
    bench = Bench()
    bench.ledger.away = True
    bench.gate.report(LedgerUnavailable("away"))
    taker = bench.arrive()
    await asyncio.sleep(5)
    taker.closed = True
    bench.ledger.away = False
    await bench.gate.wait_open()
    await turns()
    assert bench.fake.asked == []
    assert bench.journal == []


# Draining.


@on_virtual_time
async def test_a_drain_finishes_what_was_begun_and_gives_back_what_was_not() -> None:
    bench = Bench()
    bench.fake.hold("r-1")
    bench.arrive(body(requestId="r-1"))
    bench.arrive(body(requestId="r-2"))  # behind it, in the same lane
    await turns()
    draining = asyncio.ensure_future(bench.worker.drain())
    await turns()
    bench.arrive(body(requestId="r-3", symbol="ETHUSDT"))  # a straggler of the broker's
    await turns()
    assert bench.journal == ["requeue"]
    assert not draining.done()
    bench.fake.held["r-1"].set()
    await draining
    assert bench.journal == ["requeue", "ack", "requeue"]
    assert bench.fake.asked == [("r-1", 1)]


@on_virtual_time
async def test_a_drain_gives_back_what_waits_in_an_open_batch() -> None:
    bench = Bench(batch_dispatch="on_close")
    for number in range(3):
        bench.arrive(body(requestId=f"r-{number}", symbol=f"C{number}USDT"))
    await bench.worker.drain()
    assert bench.journal == ["requeue"] * 3
    assert bench.fake.asked == []
    await asyncio.sleep(10)
    assert bench.journal == ["requeue"] * 3, "its timer is gone too"


@on_virtual_time
async def test_a_drain_gives_back_what_waits_for_the_ledger() -> None:
    bench = Bench()
    bench.ledger.away = True
    bench.gate.report(LedgerUnavailable("away"))
    bench.arrive()
    await asyncio.sleep(5)
    await bench.worker.drain()
    assert bench.journal == ["requeue"]
    assert bench.fake.asked == []
    await bench.gate.aclose()


@on_virtual_time
async def test_a_drain_gives_back_a_dead_letter_that_can_not_be_published() -> None:
    bench = Bench()
    bench.publisher.plan = deque([BrokerUnavailable("away")] * 1000)
    bench.arrive(b"{}")
    await bench.publisher.failed.wait()
    await bench.worker.drain()
    assert bench.journal[-1] == "requeue"
    assert "publish" not in bench.journal


@on_virtual_time
async def test_a_drain_does_not_wait_for_ever(logs: Logs) -> None:
    bench = Bench(drain_timeout=20.0)
    bench.fake.hold("r-1")
    bench.arrive(body(requestId="r-1"))
    bench.arrive(body(requestId="r-2"))
    await turns()
    began = bench.clock.monotonic()
    await bench.worker.drain()
    assert bench.clock.monotonic() - began == pytest.approx(20, abs=0.1)
    assert bench.journal == [], "not settled: the broker redelivers when the connection closes"
    assert bench.fake.running == set()
    assert [line for line in logs if line["event"].startswith("drain timed out")]


@on_virtual_time
async def test_an_idle_worker_drains_at_once() -> None:
    bench = Bench()
    await bench.worker.drain()
    assert bench.clock.monotonic() == 1000


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


# Any mixture of messages.

BODIES = st.one_of(
    st.builds(
        lambda number, symbol: body(requestId=f"r-{number}", symbol=symbol),
        st.integers(0, 99),
        st.sampled_from(["BTCUSDT", "ETHUSDT"]),
    ),
    st.sampled_from([b"", b"{}", b"\xff", body(quantity=0), b'{"\\ud800": 1}']),
)
OUTCOMES = st.sampled_from(
    [
        PLACED,
        Outcome(K.ALREADY_DONE),
        Outcome(K.RETRY, "WAIT"),
        DENIED,
        RuntimeError("a defect"),
        LedgerUnavailable("away"),
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            BODIES,
            st.sampled_from(["trade-execution", "retry.3", "retry.5"]),
            st.sampled_from([0.0, 0.3, 2.0]),
            OUTCOMES,
        ),
        max_size=25,
    ),
    st.sampled_from(["eager", "on_close"]),
    st.integers(1, 5),
    st.lists(st.booleans(), max_size=5),
)
def test_every_delivery_is_settled_once_and_every_refusal_has_its_dead_letter(
    arrivals: list[tuple[bytes, str, float, Outcome | Exception]],
    dispatch: str,
    size: int,
    published: list[bool],
) -> None:
    async def live() -> None:
        bench = Bench(batch_dispatch=dispatch, max_batch_size=size)
        bench.fake.plan = deque(outcome for *_, outcome in arrivals)
        bench.publisher.plan = deque(
            None if fine else BrokerUnavailable("away") for fine in published
        )
        takers = []
        for number, (raw, routing_key, pause, _) in enumerate(arrivals):
            # A message id of its own, so that its dead letter is known by it.
            taker = FakeAcknowledger()
            takers.append(taker)
            bench.arrive(
                _renamed(raw, number), taker, routing_key=routing_key, message_id=f"m-{number}"
            )
            await asyncio.sleep(pause)
        await asyncio.sleep(30)
        await bench.worker.drain()
        letters = [letter.message_id for letter in bench.publisher.published]
        assert len(letters) == len(set(letters))
        for number, taker in enumerate(takers):
            assert len(taker.journal) == 1
            assert taker.journal[0] in ("ack", "nack")
            assert (f"m-{number}" in letters) <= (taker.journal == ["ack"])
            if arrivals[number][1] == "retry.5":
                assert taker.journal == ["ack"], "the last attempt is not nacked"
        asked = [name for name, _ in bench.fake.asked]
        assert len(bench.fake.done) <= len(asked)

    run(live())


def _renamed(raw: bytes, number: int) -> bytes:
    """Give a valid message a request id of its own."""
    try:
        fields = json.loads(raw)
    except ValueError:
        return raw
    if fields.get("requestId") is None:
        return raw
    return json.dumps({**fields, "requestId": f"r-{number}"}).encode()
