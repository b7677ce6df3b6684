"""The MEXC client against the sandbox exchange when something goes wrong on the way.

After each fault the sandbox's own record says what really happened; the client must never claim
to know more than it can.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from providers.errors import (
    ExchangeUnavailable,
)
from providers.mexc import PROVIDER
from providers.orders import (
    OrderStatus,
)
from providers.outcomes import OutcomeClass, PlacementKind
from providers.preparation import Preparation
from providers.sandbox.faults import FaultKind
from providers.sandbox.server import RunningSandbox, start_sandbox
from tests.integration.mexc_side import (
    CREATE,
    IDS,
    SYMBOL,
    accepted,
    client_of,
    fault,
    final,
    posted,
    request,
    settings_for,
    trade,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from providers.mexc.client import MexcClient


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(limits="off") as running:
        yield running


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[MexcClient]:
    """A client of an account in one-way mode."""
    made = await client_of(sandbox, hedge=False)
    yield made
    await made.aclose()


@pytest.fixture
def preparation(client: MexcClient) -> Preparation:
    return Preparation(client, 300.0)


@pytest.mark.parametrize(
    ("kind", "values", "executed"),
    [
        (FaultKind.DROP_BEFORE, {}, 0),
        (FaultKind.DROP_AFTER, {}, 1),
        (FaultKind.DELAY_REPLY, {"ms": 1500}, 1),
        (FaultKind.SERVER_ERROR, {"status": 502}, 0),
        (FaultKind.SERVER_ERROR, {"status": 502, "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "500"}, 0),
        (FaultKind.ANSWER, {"code": "500", "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "6008", "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "987654", "execute": True}, 1),
    ],
)
async def test_after_an_ambiguous_fault_the_exchange_is_asked(
    sandbox: RunningSandbox,
    client: MexcClient,
    preparation: Preparation,
    kind: FaultKind,
    values: dict[str, object],
    executed: int,
) -> None:
    fault(sandbox, kind, **values)
    order = await preparation.prepare(request(), next(IDS))
    placement = await client.place(order)
    assert placement.kind is PlacementKind.UNKNOWN, placement
    assert placement.signed_at is not None
    assert accepted(sandbox, order.client_order_id) == executed
    assert posted(sandbox, CREATE) <= 1  # one that still waits for its answer is not recorded yet
    if executed:
        view = await final(client, order.client_order_id)
        assert view.status is OrderStatus.FILLED
    else:
        assert await client.find_order(SYMBOL, order.client_order_id) is None


@pytest.mark.parametrize(
    ("kind", "values", "outcome_class"),
    [
        (FaultKind.RATE_LIMIT, {}, OutcomeClass.RATE_ACCOUNT),
        (FaultKind.BAN, {"ms": 1000}, OutcomeClass.RATE_IP),
    ],
)
async def test_a_limit_defers_and_nothing_is_executed(
    sandbox: RunningSandbox,
    client: MexcClient,
    preparation: Preparation,
    kind: FaultKind,
    values: dict[str, object],
    outcome_class: OutcomeClass,
) -> None:
    fault(sandbox, kind, **values)
    order = await preparation.prepare(request(), next(IDS))
    placement = await client.place(order)
    assert (placement.kind, placement.outcome_class) == (PlacementKind.DEFERRED, outcome_class)
    assert placement.retry_after is not None
    assert placement.retry_after >= 2  # the exchange's limits run over two seconds
    assert not sandbox.sandbox.truth.orders


async def test_more_orders_than_the_endpoint_takes_are_deferred_not_lost() -> None:
    async with await start_sandbox(limits="published") as sandbox:
        client = PROVIDER.create_client(settings_for(sandbox))
        try:
            order = await Preparation(client, 300.0).prepare(request(), next(IDS))
            orders = [replace(order, client_order_id=next(IDS)) for _ in range(6)]
            placements = await asyncio.gather(*map(client.place, orders))
            classes = [placement.outcome_class for placement in placements]
            assert classes.count(OutcomeClass.ACCEPTED) == 4
            assert classes.count(OutcomeClass.RATE_ACCOUNT) == 2
            for order, placement in zip(orders, placements, strict=True):
                was_accepted = placement.kind is PlacementKind.ACCEPTED
                assert accepted(sandbox, order.client_order_id) == was_accepted
        finally:
            await client.aclose()


@pytest.mark.parametrize("ms", [-60_000, 60_000])
async def test_a_clock_that_is_off_for_one_request_costs_one_more_try(
    sandbox: RunningSandbox, client: MexcClient, preparation: Preparation, ms: int
) -> None:
    fault(sandbox, FaultKind.CLOCK_SKEW, ms=ms)
    order = await preparation.prepare(request(), next(IDS))
    assert (await client.place(order)).kind is PlacementKind.ACCEPTED
    assert accepted(sandbox, order.client_order_id) == 1


async def test_the_exchanges_clock_is_followed(
    sandbox: RunningSandbox, client: MexcClient, preparation: Preparation
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    sandbox.sandbox.change_clock(lambda clock: clock.advance(3_600_000))
    placement = await client.place(order)
    assert placement.kind is PlacementKind.ACCEPTED
    assert placement.signed_at is not None
    assert placement.sent_at is not None
    assert (placement.signed_at - placement.sent_at).total_seconds() > 3500


async def test_an_order_that_fills_in_part_is_cancelled_with_fills(
    sandbox: RunningSandbox, client: MexcClient, preparation: Preparation
) -> None:
    fault(sandbox, FaultKind.PARTIAL_CANCEL, fraction=Decimal("0.3"))
    order, view = await trade(client, preparation, request(quantity="0.01"))
    assert (view.status, view.filled_quantity) == (OrderStatus.CANCELED, Decimal("0.003"))
    fills = await client.fills(SYMBOL, view)
    assert sum(fill.quantity for fill in fills) == Decimal("0.003")
    assert order.quantity == view.quantity


async def test_an_order_that_is_rejected_later_says_why(
    sandbox: RunningSandbox, client: MexcClient, preparation: Preparation
) -> None:
    fault(sandbox, FaultKind.REJECT_LATER, message="2")
    _, view = await trade(client, preparation, request())
    assert view.status is OrderStatus.REJECTED
    assert view.reject_reason == "balance too low (errorCode 2)"


async def test_fills_in_parts_add_up(
    sandbox: RunningSandbox, client: MexcClient, preparation: Preparation
) -> None:
    fault(sandbox, FaultKind.SPLIT, parts=3)
    _, view = await trade(client, preparation, request(quantity="0.01"))
    fills = await client.fills(SYMBOL, view)
    assert len(fills) == 3
    assert sum(fill.quantity for fill in fills) == view.filled_quantity == Decimal("0.01")
    assert [fill.executed_at for fill in fills] == sorted(fill.executed_at for fill in fills)


async def test_an_exchange_that_is_gone_is_not_sent_and_comes_back() -> None:
    sandbox = await start_sandbox(limits="off")
    port = sandbox.port
    client = PROVIDER.create_client(settings_for(sandbox))
    preparation = Preparation(client, 300.0)
    try:
        order = await preparation.prepare(request(), next(IDS))
        await sandbox.close()
        with pytest.raises(ExchangeUnavailable):
            await client.find_order(SYMBOL, order.client_order_id)
        placement = await client.place(order)
        assert (placement.kind, placement.outcome_class) == (
            PlacementKind.DEFERRED,
            OutcomeClass.NOT_SENT,
        )
        async with await start_sandbox(port=port, limits="off"):
            assert (await client.place(order)).kind is PlacementKind.ACCEPTED
            assert (await final(client, order.client_order_id)).status is OrderStatus.FILLED
    finally:
        await client.aclose()
