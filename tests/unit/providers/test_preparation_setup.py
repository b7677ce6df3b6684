"""Modes and leverage: verified once, set where they differ, safe when many ask at once."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from providers.errors import (
    ExchangeRefusal,
    ExchangeUnavailable,
    RequestRefused,
)
from providers.exchange import SymbolSetup
from providers.orders import (
    Action,
    MarginMode,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    TradeRequest,
)
from providers.outcomes import OutcomeClass
from providers.preparation import Preparation
from tests.unit.providers.helpers import FakeClient, btc, request

DOWN = ExchangeUnavailable("fake", "down", outcome_class=OutcomeClass.UNKNOWN)
NO = ExchangeRefusal("fake", "no", outcome_class=OutcomeClass.PARAMETER, code="110013")


def held(side: PositionSide, quantity: str, symbol: str = "BTCUSDT") -> Position:
    return Position(symbol, side, Decimal(quantity), Decimal(20000), Decimal(10))


LONG, SHORT = held(PositionSide.LONG, "1.5"), held(PositionSide.SHORT, "0.7")


@pytest.fixture
async def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
async def preparation(client: FakeClient) -> Preparation:
    return Preparation(client, 300.0, client.clock)


# What is asked of the exchange.


async def test_once_verified_an_opening_order_asks_nothing(
    client: FakeClient, preparation: Preparation
) -> None:
    await preparation.prepare(request(leverage=10), "tw-1")
    assert [call[0] for call in client.calls] == ["symbol_setup"]
    for action in (Action.LONG, Action.SHORT):
        await preparation.prepare(request(action, leverage=10), "tw-2")
    await preparation.prepare(
        request(order_type=OrderType.LIMIT, price=Decimal(20000)), "tw-3", default_leverage=10
    )
    assert len(client.calls) == 1


async def test_what_was_verified_is_read_again_when_it_is_old(
    client: FakeClient, preparation: Preparation
) -> None:
    await preparation.prepare(request(), "tw-1")
    client.clock.advance(301)
    await preparation.prepare(request(), "tw-2")
    assert client.count("symbol_setup") == 2


async def test_setting_leverage_does_not_make_the_rest_look_fresh(
    client: FakeClient, preparation: Preparation
) -> None:
    await preparation.prepare(request(leverage=10), "tw-1")
    client.clock.advance(200)
    await preparation.prepare(request(leverage=5), "tw-2")
    client.clock.advance(200)
    await preparation.prepare(request(leverage=5), "tw-3")
    assert client.count("symbol_setup") == 2


async def test_leverage_and_margin_mode_are_set_only_where_they_differ(
    client: FakeClient, preparation: Preparation
) -> None:
    wanted = request(leverage=5, margin_mode=MarginMode.ISOLATED)
    order = await preparation.prepare(wanted, "tw-1")
    await preparation.prepare(wanted, "tw-2")
    assert client.calls == [
        ("symbol_setup", "BTCUSDT"),
        ("set_margin_mode", "BTCUSDT", MarginMode.ISOLATED, 5),
        ("set_leverage", "BTCUSDT", 5, MarginMode.ISOLATED),
    ]
    assert (order.leverage, order.margin_mode) == (5, MarginMode.ISOLATED)


async def test_what_nobody_names_is_left_as_it_is(
    client: FakeClient, preparation: Preparation
) -> None:
    order = await preparation.prepare(request(), "tw-1")
    assert [call[0] for call in client.calls] == ["symbol_setup"]
    assert (order.leverage, order.margin_mode) == (10, MarginMode.CROSS)


async def test_the_request_wins_over_the_defaults(
    client: FakeClient, preparation: Preparation
) -> None:
    order = await preparation.prepare(
        request(leverage=3), "tw-1", default_leverage=7, default_margin_mode=MarginMode.ISOLATED
    )
    assert (order.leverage, order.margin_mode) == (3, MarginMode.ISOLATED)
    assert client.setup.leverage == 3


async def test_unequal_or_unknown_leverage_is_set(
    client: FakeClient, preparation: Preparation
) -> None:
    client.setup = SymbolSetup(PositionMode.HEDGE, None, None)
    await preparation.prepare(request(leverage=5, margin_mode=MarginMode.CROSS), "tw-1")
    assert (client.count("set_leverage"), client.count("set_margin_mode")) == (1, 1)


@pytest.mark.parametrize("failure", [DOWN, NO])
@pytest.mark.parametrize("call", ["symbol_setup", "set_leverage", "set_margin_mode"])
async def test_what_can_not_be_verified_or_set_stops_an_opening_order(
    client: FakeClient, preparation: Preparation, call: str, failure: Exception
) -> None:
    client.failing[call] = failure
    wanted = request(leverage=5, margin_mode=MarginMode.ISOLATED)
    with pytest.raises(type(failure)):
        await preparation.prepare(wanted, "tw-1")
    client.failing.clear()
    reads = client.count("symbol_setup")
    await preparation.prepare(wanted, "tw-1")
    assert client.count("symbol_setup") == reads + 1  # nothing half-done was trusted


async def test_nothing_is_changed_for_an_order_that_is_refused_anyway(
    client: FakeClient, preparation: Preparation
) -> None:
    for wanted, code in (
        (request(quantity="0.0001", leverage=5), "BELOW_MIN_QUANTITY"),
        (request(leverage=101), "LEVERAGE_TOO_HIGH"),
    ):
        with pytest.raises(RequestRefused) as caught:
            await preparation.prepare(wanted, "tw-1")
        assert caught.value.code == code
    assert client.calls == []


@pytest.mark.parametrize("call", ["set_leverage", "set_margin_mode"])
async def test_leverage_and_margin_mode_never_block_a_close(
    client: FakeClient, preparation: Preparation, call: str
) -> None:
    client.failing[call] = NO
    client.open_positions = [LONG]
    order = await preparation.prepare(
        request(Action.CLOSE, leverage=999, margin_mode=MarginMode.ISOLATED),
        "tw-1",
        default_leverage=50,
    )
    assert order.reduce_only
    assert client.count(call) == 0


async def test_an_old_position_mode_serves_a_close_when_it_can_not_be_read(
    client: FakeClient, preparation: Preparation
) -> None:
    client.setup = SymbolSetup(PositionMode.HEDGE, Decimal(10), None)
    client.open_positions = [LONG]
    await preparation.prepare(request(), "tw-1")
    client.clock.advance(9999)
    client.failing["symbol_setup"] = DOWN
    order = await preparation.prepare(request(Action.CLOSE), "tw-2")
    assert order.position_side is PositionSide.LONG


@pytest.mark.parametrize("call", ["symbol_setup", "positions"])
async def test_a_close_without_mode_or_position_is_an_error(
    client: FakeClient, preparation: Preparation, call: str
) -> None:
    client.open_positions = [LONG]
    client.failing[call] = DOWN
    with pytest.raises(ExchangeUnavailable):
        await preparation.prepare(request(Action.CLOSE), "tw-1")


async def test_the_position_is_read_for_every_close(
    client: FakeClient, preparation: Preparation
) -> None:
    client.open_positions = [LONG]
    await preparation.prepare(request(Action.CLOSE), "tw-1")
    client.open_positions = [held(PositionSide.LONG, "0.002")]
    order = await preparation.prepare(request(Action.CLOSE), "tw-2")
    assert order.quantity == Decimal("0.002")
    assert (client.count("positions"), client.count("symbol_setup")) == (2, 1)


# Many at once.


async def test_many_at_once_verify_and_set_once(
    client: FakeClient, preparation: Preparation
) -> None:
    client.gate = asyncio.Event()
    tasks = [
        asyncio.create_task(preparation.prepare(request(leverage=5), f"tw-{number}"))
        for number in range(20)
    ]
    await asyncio.sleep(0)
    client.gate.set()
    orders = await asyncio.gather(*tasks)
    assert {order.leverage for order in orders} == {5}
    assert (client.count("symbol_setup"), client.count("set_leverage")) == (1, 1)


async def test_one_that_is_cancelled_half_way_leaves_the_others_a_fresh_start(
    client: FakeClient, preparation: Preparation
) -> None:
    await preparation.prepare(request(leverage=10), "tw-0")
    client.gate = asyncio.Event()
    first = asyncio.create_task(preparation.prepare(request(leverage=5), "tw-1"))
    second = asyncio.create_task(preparation.prepare(request(leverage=5), "tw-2"))
    await client.until(lambda: client.count("set_leverage") == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    client.gate.set()
    assert (await second).leverage == 5
    assert (client.count("symbol_setup"), client.count("set_leverage")) == (2, 2)


async def test_symbols_do_not_wait_for_each_other(
    client: FakeClient, preparation: Preparation
) -> None:
    client.instruments["ETHUSDT"] = btc(symbol="ETHUSDT")
    await preparation.prepare(request(), "tw-0")
    client.gate = asyncio.Event()
    blocked = asyncio.create_task(preparation.prepare(request(leverage=5), "tw-1"))
    other = asyncio.create_task(
        preparation.prepare(TradeRequest("ETHUSDT", Action.LONG, Decimal(1)), "tw-2")
    )
    await client.until(lambda: ("symbol_setup", "ETHUSDT") in client.calls)
    client.gate.set()
    await asyncio.gather(blocked, other)
