"""The worker while the ledger is away, while it drains, and with any mixture of messages."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.errors import BrokerUnavailable
from consumer.outcome import Outcome, OutcomeKind
from storage.errors import LedgerUnavailable
from storage.states import OrderState
from tests.fakes.bench import PLACED, Bench
from tests.fakes.broker import FakeAcknowledger
from tests.fakes.messages import body
from tests.fakes.virtual_time import on_virtual_time, run, turns

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    Logs = list[MutableMapping[str, Any]]

K = OutcomeKind
DENIED = Outcome(K.REFUSED, "LEVERAGE_TOO_HIGH", "at most 50", OrderState.DENIED, request_id="r-1")


# The ledger goes away.


@on_virtual_time
async def test_a_message_waits_for_the_ledger_and_is_executed_when_it_is_back() -> None:
    bench = Bench()
    bench.ledger.away = True
    bench.fake.plan.append(LedgerUnavailable("PostgreSQL: connection refused"))
    taker = bench.arrive()
    other = bench.arrive(body(requestId="r-2", symbol="ETHUSDT"))
    await asyncio.sleep(6)
    assert bench.journal == ["ack"], "the one that was on its way was not asked to wait"
    late = bench.arrive(body(requestId="r-3", symbol="XRPUSDT"))
    await asyncio.sleep(6)
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
async def test_what_waits_for_the_ledger_for_long_is_given_back_for_others_to_have() -> None:
    bench = Bench(lane_wait=15.0)
    bench.ledger.away = True
    bench.gate.report(LedgerUnavailable("away"))
    for number in range(3):  # in one lane: they do not wait one after the other
        bench.arrive(body(requestId=f"r-{number}"))
    await asyncio.sleep(14)
    assert bench.journal == []
    await asyncio.sleep(2)
    assert bench.journal == ["requeue"] * 3
    assert bench.fake.asked == []
    await bench.gate.aclose()


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


@settings(max_examples=50)
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
