"""Orders whose answer got lost, was late, or meant nothing: each is placed exactly once.

All cases run at the same time on one worker, each with a symbol and a fault of its own, and are
then looked at one by one. The waits are as short as the settings allow: a request counts as dead
`recv window + clock tolerance + margin` = 3 s after its answer failed to come.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from providers.sandbox.faults import FaultKind
from providers.sandbox.values import OrderState as AtExchange
from storage.orders import get_events
from storage.states import OrderState
from tests.support.messages import trade
from tests.support.world import PATIENT_LADDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.orders import OrderRow
    from tests.conftest import NewWorld
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATE = "order/create"
ASK = "order/*"


@dataclass(frozen=True, slots=True)
class Case:
    """What goes wrong with one order.

    Attributes:
        faults: rules for the order's requests.
        creates: how the placements were answered, oldest first; None where that may vary.
        state: where the order ends.
    """

    symbol: str
    quantity: str
    faults: tuple[dict[str, Any], ...]
    creates: tuple[str, ...] | None
    state: OrderState = OrderState.FILLED
    message: Mapping[str, object] = field(default_factory=dict)


ACCEPTED = "200/0"
DROPPED = "dropped"

CASES = {
    "the answer is lost": Case(
        "BTCUSDT", "0.005", ({"kind": FaultKind.DROP_AFTER, "count": 1},), (f"{DROPPED}/0",)
    ),
    "the answer is lost of an order that rests in the book": Case(
        "DOTUSDT",
        "10",
        ({"kind": FaultKind.DROP_AFTER, "count": 1},),
        (f"{DROPPED}/0",),
        OrderState.ACCEPTED,
        {"orderType": "LIMIT", "price": "4.8"},
    ),
    "the request is lost": Case(
        "BNBUSDT", "0.1", ({"kind": FaultKind.DROP_BEFORE, "count": 1},), (f"{DROPPED}/", ACCEPTED)
    ),
    "two requests are lost": Case(
        "SUIUSDT",
        "10",
        ({"kind": FaultKind.DROP_BEFORE, "count": 2},),
        (f"{DROPPED}/", f"{DROPPED}/", ACCEPTED),
    ),
    "the answer is late": Case(
        "SOLUSDT", "1", ({"kind": FaultKind.DELAY_REPLY, "ms": 900, "count": 1},), (ACCEPTED,)
    ),
    "the order itself is late": Case(
        "XRPUSDT", "50", ({"kind": FaultKind.DELAY_PROCESSING, "ms": 900, "count": 1},), (ACCEPTED,)
    ),
    "the order is so late that it counts as too old": Case(
        "ADAUSDT",
        "100",
        ({"kind": FaultKind.DELAY_PROCESSING, "ms": 2500, "count": 1, "recheck_window": True},),
        ("200/10002", ACCEPTED),
    ),
    "a gateway's error page, and the order is there": Case(
        "AVAXUSDT",
        "3",
        ({"kind": FaultKind.SERVER_ERROR, "status": 502, "execute": True, "count": 1},),
        ("502/",),
    ),
    "a gateway's error page, and the order is not there": Case(
        "LINKUSDT",
        "3",
        ({"kind": FaultKind.SERVER_ERROR, "status": 503, "count": 1},),
        ("503/", ACCEPTED),
    ),
    "a code that no table has, and the order is there": Case(
        "LTCUSDT",
        "1",
        ({"kind": FaultKind.ANSWER, "code": "987654", "execute": True, "count": 1},),
        ("200/987654",),
    ),
    "a code that no table has, and the order is not there": Case(
        "TRXUSDT",
        "100",
        ({"kind": FaultKind.ANSWER, "code": "987654", "count": 1},),
        ("200/987654", ACCEPTED),
    ),
    "the answer is lost and the order is hidden for a while": Case(
        "NEARUSDT",
        "10",
        (
            {"kind": FaultKind.DROP_AFTER, "count": 1},
            {"kind": FaultKind.HIDE, "ms": 2000, "count": 1},
        ),
        (f"{DROPPED}/0",),
    ),
    "the order is hidden for longer than any margin": Case(
        "ETHUSDT",
        "0.2",
        (
            {"kind": FaultKind.DROP_AFTER, "count": 1},
            {"kind": FaultKind.HIDE, "ms": 6000, "count": 1},
        ),
        (f"{DROPPED}/0", "200/110072"),
    ),
    "the answer is lost and look-ups fail at first": Case(
        "APTUSDT",
        "5",
        (
            {"kind": FaultKind.DROP_AFTER, "count": 1},
            {"kind": FaultKind.DROP_BEFORE, "endpoint": "order/realtime", "count": 5},
        ),
        (f"{DROPPED}/0",),
    ),
    "the answer is lost and the exchange rejects the order later": Case(
        "ARBUSDT",
        "100",
        (
            {"kind": FaultKind.DROP_AFTER, "count": 1},
            {"kind": FaultKind.REJECT_LATER, "message": "EC_PostOnlyWillTakeLiquidity", "count": 1},
        ),
        (f"{DROPPED}/0",),
        OrderState.REJECTED,
    ),
    "maintenance": Case(
        "OPUSDT", "50", ({"kind": FaultKind.MAINTENANCE, "count": 1},), ("200/10016", ACCEPTED)
    ),
    "a duplicate-id answer to a first request": Case(
        "BCHUSDT",
        "0.1",
        ({"kind": FaultKind.ANSWER, "code": "110072", "execute": True, "count": 1},),
        ("200/110072",),
    ),
    "filled in part before its answer got lost": Case(
        "1000PEPEUSDT",
        "5000",
        (
            {"kind": FaultKind.DROP_AFTER, "count": 1},
            {"kind": FaultKind.PARTIAL_CANCEL, "fraction": Decimal("0.5"), "count": 1},
        ),
        (f"{DROPPED}/0",),
        OrderState.CANCELED,
    ),
}


@dataclass(slots=True)
class Ended:
    """How a case ended."""

    case: Case
    request_id: str
    row: OrderRow


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(new_module_world: NewWorld) -> World:
    """A world of this module's own."""
    return await new_module_world(retry_delays=PATIENT_LADDER)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(world: World) -> dict[str, Ended]:
    """Every case, played to its end."""
    messages = {
        name: trade(symbol=case.symbol, quantity=case.quantity, **case.message)
        for name, case in CASES.items()
    }
    for name, case in CASES.items():
        for fault in case.faults:
            world.fault(**{"endpoint": CREATE, "request_id": messages[name]["requestId"], **fault})
    await world.start_worker()
    await world.publish(*messages.values())
    ended = {}
    for name, case in CASES.items():
        (row,) = await world.reached([messages[name]["requestId"]], case.state, within=25)
        ended[name] = Ended(case, row.request_id, row)
    return ended


@pytest.mark.parametrize("name", CASES)
async def test_the_order_is_placed_once_and_ends_where_it_should(
    world: World, ended: dict[str, Ended], name: str
) -> None:
    end = ended[name]
    orders = world.placed(end.request_id)

    assert len(orders) == 1, world.creates(end.request_id)
    if end.case.creates is not None:
        assert tuple(world.creates(end.request_id)) == end.case.creates
    assert end.row.state is end.case.state
    assert end.row.sends == len(world.creates(end.request_id))
    assert end.row.exchange_order_id == orders[0].order_id
    if end.case.state is OrderState.FILLED:
        assert orders[0].state is AtExchange.FILLED
        assert end.row.filled_quantity == orders[0].qty


@pytest.mark.parametrize("name", CASES)
async def test_nothing_was_sent_again_before_the_exchange_had_been_asked(
    world: World, ended: dict[str, Ended], name: str
) -> None:
    request_id = ended[name].request_id
    events = await get_events(world.database, request_id)
    steps = [event.after for event in events]
    for number, step in enumerate(steps):
        if step is OrderState.SENDING and OrderState.SENDING in steps[:number]:
            # Absence was concluded, which takes look-ups, before it was sent again.
            assert events[number - 1].code == "ABSENT"
    if steps.count(OrderState.SENDING) > 1:
        sent = [event.at for event in events if event.after is OrderState.SENDING]
        for earlier, later in itertools.pairwise(sent):
            # recv window 1 s, clock tolerance 1 s, margin 1 s
            assert (later - earlier).total_seconds() > 3


async def test_no_client_order_id_was_used_twice_and_nothing_was_buried_wrongly(
    world: World, ended: dict[str, Ended]
) -> None:
    world.assert_none_doubled()
    assert len(world.truth) == len(CASES)
    letters = await world.amqp.drain(world.topology.dead_letter_queue)
    rejected = {end.request_id for end in ended.values() if end.row.state is OrderState.REJECTED}
    assert {letter.headers["trade-request-id"] for letter in letters} == rejected
    await world.empty()
