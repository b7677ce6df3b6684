"""The last look before a signature: what is refused there has not been sent, on any exchange."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.orders import MarginMode, OrderType, PreparedOrder, Side, TimeInForce
from providers.outcomes import OutcomeClass, Placement, PlacementKind
from tests.unit.providers import binance_stub, bybit_stub, mexc_stub

if TYPE_CHECKING:
    from types import ModuleType

ORDER = PreparedOrder(
    client_order_id="tw-0001",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.001"),
    reduce_only=False,
    time_in_force=TimeInForce.IOC,
    leverage=10,
    margin_mode=MarginMode.CROSS,
)
VENUES: list[tuple[ModuleType, str]] = [
    (bybit_stub, "BybitStub"),
    (binance_stub, "BinanceStub"),
    (mexc_stub, "MexcStub"),
]


async def ready(venue: ModuleType, name: str) -> tuple[Any, Any]:
    """A client and its stub, with whatever preparing an order reads read already."""
    stub = getattr(venue, name)()
    client = venue.make_client(stub)
    if venue is mexc_stub:
        await client.instrument("BTCUSDT")
    stub.requests.clear()
    return client, stub


def refused(placement: Placement) -> None:
    assert placement.kind is PlacementKind.DEFERRED
    assert placement.outcome_class is OutcomeClass.NOT_PERMITTED
    assert placement.message == "no more"
    assert (placement.signed_at, placement.sent_at) == (None, None)


@pytest.mark.parametrize(("venue", "name"), VENUES)
async def test_nothing_is_signed_or_sent_without_the_permit(venue: ModuleType, name: str) -> None:
    client, stub = await ready(venue, name)

    refused(await client.place(ORDER, lambda: "no more"))

    assert stub.requests == []


async def test_the_second_try_after_a_clock_error_needs_a_permit_too() -> None:
    client, stub = await ready(bybit_stub, "BybitStub")
    stub.answers["/v5/order/create"] = [bybit_stub.business(10002), bybit_stub.accepted()]
    answers = iter([None, "no more"])

    refused(await client.place(ORDER, lambda: next(answers)))

    assert len(stub.seen("/v5/order/create")) == 1
