"""What MEXC does in its own way, over real HTTP; what all exchanges do is in the suite."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from providers.conformance.builtin import MEXC
from providers.conformance.trader import Trader
from providers.conformance.venue import Doing
from providers.errors import RequestRefused
from providers.orders import Action, MarginMode, OrderStatus, PositionMode
from providers.outcomes import OutcomeClass, PlacementKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from providers.conformance.sandboxed import SandboxStage
    from providers.orders import Position

ONE_WAY, HEDGE = PositionMode.ONE_WAY, PositionMode.HEDGE


@pytest.fixture(params=[ONE_WAY])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[SandboxStage]:
    async with MEXC.stage(request.param) as opened:
        await opened.hold_price(MEXC.price)
        yield opened


@pytest.fixture
async def trader(stage: SandboxStage) -> AsyncIterator[Trader]:
    client = stage.connect()
    await client.start()
    yield Trader(MEXC, stage, stage.mode, client)
    await client.aclose()


async def held(trader: Trader, symbol: str) -> Position:
    async def look() -> Position | None:
        return next(iter(await trader.client.positions(symbol)), None)

    return await trader.until(look, f"a position in {symbol}")


@pytest.mark.parametrize("stage", [ONE_WAY, HEDGE], indirect=True)
async def test_a_resting_close_reserves_what_a_second_one_can_not_take(trader: Trader) -> None:
    await trader.trade(trader.request(quantity=Decimal("0.03")))
    target = trader.limit(Decimal(51_500), Action.CLOSE_LONG, quantity=Decimal("0.01"))
    resting, _ = await trader.place(target)
    await trader.resting(resting.client_order_id)
    position = await held(trader, "BTCUSDT")
    assert (position.quantity, position.closable) == (Decimal("0.03"), Decimal("0.02"))
    closed = await trader.trade(trader.request(Action.CLOSE_LONG, Decimal(9)))
    assert closed.true.filled == Decimal("0.02")
    with pytest.raises(RequestRefused) as caught:
        await trader.prepare(trader.request(Action.CLOSE_LONG, Decimal(9)))
    assert caught.value.code == "POSITION_RESERVED"
    again = replace(closed.order, client_order_id=trader.new_id())
    placement = await trader.client.place(again)
    assert (placement.kind, placement.outcome_class) == (
        PlacementKind.REJECTED,
        OutcomeClass.REDUCE_ONLY,
    )


@pytest.mark.parametrize(
    ("symbol", "asked", "traded"),
    [("PEPEUSDT", "12345678", "12300000"), ("SUIUSDT", "29", "20"), ("DOGEUSDT", "250", "200")],
)
async def test_whole_contracts_are_traded_and_coins_are_told(
    trader: Trader, symbol: str, asked: str, traded: str
) -> None:
    order, _ = await trader.place(
        trader.request(quantity=Decimal(asked), symbol=symbol, leverage=3)
    )
    assert order.quantity == Decimal(traded)
    assert (await held(trader, symbol)).quantity == Decimal(traded)


@pytest.mark.parametrize(
    ("symbol", "quantity", "mode"),
    [("OPUSDT", "100", MarginMode.CROSS), ("PEPEUSDT", "10000000", MarginMode.ISOLATED)],
)
async def test_a_contract_with_one_margin_mode_is_traded_in_it(
    trader: Trader, symbol: str, quantity: str, mode: MarginMode
) -> None:
    wanted = trader.request(quantity=Decimal(quantity), symbol=symbol, leverage=4)
    await trader.place(wanted)
    position = await held(trader, symbol)
    assert (position.margin_mode, position.leverage) == (mode, Decimal(4))
    other = MarginMode.CROSS if mode is MarginMode.ISOLATED else MarginMode.ISOLATED
    with pytest.raises(RequestRefused) as caught:
        await trader.prepare(replace(wanted, margin_mode=other))
    assert caught.value.code == "MARGIN_MODE_CONFLICT"


async def test_leverage_is_set_once_for_each_direction(trader: Trader) -> None:
    for _ in range(3):
        await trader.trade(trader.request(leverage=7))
    assert await trader.arrived(Doing.SET_LEVERAGE) == 2


async def test_a_position_in_the_other_margin_mode_is_a_clear_refusal(trader: Trader) -> None:
    await trader.trade(trader.request(margin_mode=MarginMode.ISOLATED))
    with pytest.raises(RequestRefused) as caught:
        await trader.prepare(trader.request(margin_mode=MarginMode.CROSS))
    assert caught.value.code == "MARGIN_MODE_CONFLICT"
    await trader.trade(trader.request(Action.CLOSE))


# What the documentation leaves open.


@pytest.mark.parametrize("stage", [ONE_WAY, HEDGE], indirect=True)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("create_reply", "string"),
        ("create_reply", "number"),
        ("signed_values", "encoded"),
        ("signed_values", "raw"),
        ("success_code", "200"),
        ("missing_position_mode", "hedge"),
        ("one_way_closes", "net"),
        ("hedge_reduce_only", "ignored"),
        ("not_found", "2040"),
        ("history_rows", "resultList"),
        ("market_price", "required"),
        ("least_value", "5"),
    ],
)
async def test_a_flow_works_however_the_open_questions_are_answered(
    stage: SandboxStage, trader: Trader, name: str, value: str
) -> None:
    stage.turn(name, value)
    assert await trader.client.find_order("BTCUSDT", trader.new_id()) is None
    opened = await trader.trade(trader.request(leverage=6))
    assert opened.view.filled_quantity == trader.quantity
    await trader.trade(trader.request(Action.CLOSE))
    assert await trader.client.positions("BTCUSDT") == []


@pytest.mark.parametrize(
    ("duplicates", "kind", "orders"),
    [
        ("refused", PlacementKind.DUPLICATE, 1),
        ("existing", PlacementKind.ACCEPTED, 1),
        ("rejected_later", PlacementKind.ACCEPTED, 2),
    ],
)
async def test_an_id_used_twice_leads_to_the_order_that_worked(
    stage: SandboxStage, trader: Trader, duplicates: str, kind: PlacementKind, orders: int
) -> None:
    stage.turn("duplicate_ids", duplicates)
    done = await trader.trade()
    name = done.order.client_order_id
    assert (await trader.client.place(done.order)).kind is kind
    assert await trader.accepted(name) == orders
    view = await trader.final(name)
    assert view.exchange_order_id == done.view.exchange_order_id
    assert view.status is OrderStatus.FILLED
    assert (await held(trader, "BTCUSDT")).quantity == trader.quantity


async def test_more_orders_than_the_endpoint_takes_are_deferred_not_lost(
    stage: SandboxStage, trader: Trader
) -> None:
    order = await trader.prepare()
    stage.limit("published")
    orders = [replace(order, client_order_id=trader.new_id()) for _ in range(6)]
    placements = await asyncio.gather(*map(trader.client.place, orders))
    classes = [placement.outcome_class for placement in placements]
    assert classes.count(OutcomeClass.ACCEPTED) == 4
    assert classes.count(OutcomeClass.RATE_ACCOUNT) == 2
    for order, placement in zip(orders, placements, strict=True):
        was_accepted = placement.kind is PlacementKind.ACCEPTED
        assert await trader.accepted(order.client_order_id) == was_accepted
