"""Take-profit and stop-loss after a fill: placed once, found again, and never claimed in vain."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import pytest

from providers.binance import wire
from providers.orders import OrderType, PositionSide, PreparedOrder, Side
from providers.outcomes import OutcomeClass, PlacementKind
from tests.unit.providers import binance_stub as sample
from tests.unit.providers.binance_stub import (
    PLACE,
    PLACE_ALGO,
    QUERY_ALGO,
    TIME,
    BinanceStub,
    accepted,
    make_client,
    name_of,
    ok,
    parameters,
    refused,
)
from tests.unit.providers.helpers import START

if TYPE_CHECKING:
    from providers.binance.client import BinanceClient
    from providers.orders import OrderView

STOPPED = PreparedOrder(
    client_order_id="tw-0001",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.001"),
    reduce_only=False,
    stop_loss=Decimal(90000),
)
BOTH = replace(STOPPED, take_profit=Decimal(100000))
FILLED = wire.order_view(sample.ORDER)
NO_ORDER = refused(-2013, "Order does not exist.")
HTML = httpx.Response(502, content=b"<html>Bad Gateway</html>")


def algo(suffix: str = "-sl", status: str = "NEW", number: int = 2146760) -> httpx.Response:
    return ok({"algoId": number, "clientAlgoId": f"tw-0001{suffix}", "algoStatus": status})


@pytest.fixture
def stub() -> BinanceStub:
    return BinanceStub()


@pytest.fixture
async def client(stub: BinanceStub) -> BinanceClient:
    return make_client(stub)


async def test_an_order_goes_out_without_its_levels(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[PLACE] = [accepted()]
    await client.place(BOTH)
    sent = parameters(stub.requests[0])
    assert not {"stopPrice", "triggerPrice", "takeProfit", "stopLoss"} & sent.keys()


async def test_each_level_is_looked_up_and_then_placed(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[QUERY_ALGO] = [NO_ORDER]
    stub.answers[PLACE_ALGO] = [algo("-sl", number=1), algo("-tp", number=2)]
    stop, target = await client.protect(BOTH, FILLED)
    assert (stop.kind, stop.exchange_order_id) == (PlacementKind.ACCEPTED, "1")
    assert (target.kind, target.exchange_order_id) == (PlacementKind.ACCEPTED, "2")
    assert stop.signed_at == START
    for suffix, order_type in (("-sl", "STOP_MARKET"), ("-tp", "TAKE_PROFIT_MARKET")):
        look, place = (
            (name_of(request), parameters(request))
            for request in stub.requests
            if parameters(request)["clientAlgoId"] == f"tw-0001{suffix}"
        )
        assert (look[0], place[0]) == (QUERY_ALGO, PLACE_ALGO)
        assert (place[1]["type"], place[1]["side"]) == (order_type, "SELL")


@pytest.mark.parametrize("status", ["NEW", "TRIGGERED", "FINISHED", "CANCELED", "EXPIRED"])
async def test_what_was_placed_before_is_not_placed_again(
    stub: BinanceStub, client: BinanceClient, status: str
) -> None:
    stub.answers[QUERY_ALGO] = [algo(status=status)]
    (placement,) = await client.protect(STOPPED, FILLED)
    assert placement.kind is PlacementKind.DUPLICATE
    assert placement.exchange_order_id == "2146760"
    assert status in (placement.message or "")
    assert not stub.seen(PLACE_ALGO)


@pytest.mark.parametrize(
    "reply", [HTML, httpx.ReadTimeout(""), ok([]), ok({}), refused(-1000), refused(-2015)]
)
async def test_what_can_not_be_looked_up_is_not_placed(
    stub: BinanceStub, client: BinanceClient, reply: httpx.Response | Exception
) -> None:
    stub.answers[QUERY_ALGO] = [reply]
    (placement,) = await client.protect(STOPPED, FILLED)
    assert (placement.kind, placement.outcome_class) == (
        PlacementKind.DEFERRED,
        OutcomeClass.NOT_SENT,
    )
    assert placement.signed_at is None
    assert "STOP_MARKET" in (placement.message or "")
    assert not stub.seen(PLACE_ALGO)


@pytest.mark.parametrize(
    ("reply", "kind", "outcome_class"),
    [
        (httpx.ReadTimeout(""), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN),
        (HTML, PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN),
        (ok({}), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN),
        (algo("-tp"), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN),
        (httpx.ConnectError(""), PlacementKind.DEFERRED, OutcomeClass.NOT_SENT),
        (refused(-1008, status=503), PlacementKind.DEFERRED, OutcomeClass.OVERLOAD),
        (refused(-2021), PlacementKind.REJECTED, OutcomeClass.PARAMETER),
        (refused(-4130), PlacementKind.REJECTED, OutcomeClass.PARAMETER),
        (refused(-4509), PlacementKind.REJECTED, OutcomeClass.NO_POSITION),
        (refused(-4116), PlacementKind.DUPLICATE, OutcomeClass.DUPLICATE_ID),
    ],
)
async def test_what_each_answer_becomes(
    stub: BinanceStub,
    client: BinanceClient,
    reply: httpx.Response | Exception,
    kind: PlacementKind,
    outcome_class: OutcomeClass,
) -> None:
    stub.answers[QUERY_ALGO] = [NO_ORDER]
    stub.answers[PLACE_ALGO] = [reply]
    (placement,) = await client.protect(STOPPED, FILLED)
    assert (placement.kind, placement.outcome_class) == (kind, outcome_class)
    assert len(stub.seen(PLACE_ALGO)) == 1


async def test_after_an_unknown_the_next_call_finds_it(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[QUERY_ALGO] = [NO_ORDER, algo()]
    stub.answers[PLACE_ALGO] = [httpx.ReadTimeout("")]
    (first,) = await client.protect(STOPPED, FILLED)
    (second,) = await client.protect(STOPPED, FILLED)
    assert (first.kind, second.kind) == (PlacementKind.UNKNOWN, PlacementKind.DUPLICATE)
    assert len(stub.seen(PLACE_ALGO)) == 1


async def test_a_clock_error_is_followed_by_a_sync_and_one_more_try(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[QUERY_ALGO] = [NO_ORDER]
    stub.answers[PLACE_ALGO] = [refused(-1021), algo()]
    (placement,) = await client.protect(STOPPED, FILLED)
    assert placement.kind is PlacementKind.ACCEPTED
    assert len(stub.seen(PLACE_ALGO)) == 2
    assert len(stub.seen(TIME)) == 1


@pytest.mark.parametrize(
    ("order", "filled"),
    [
        (replace(STOPPED, stop_loss=None), FILLED),
        (replace(BOTH, reduce_only=True, position_side=PositionSide.LONG), FILLED),
        (BOTH, replace(FILLED, filled_quantity=Decimal(0))),
    ],
)
async def test_where_nothing_is_to_be_protected_nothing_is_asked(
    stub: BinanceStub, client: BinanceClient, order: PreparedOrder, filled: OrderView
) -> None:
    assert list(await client.protect(order, filled)) == []
    assert stub.requests == []
