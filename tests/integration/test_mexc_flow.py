"""The MEXC client against the sandbox exchange, over real HTTP: whole flows and refusals."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from providers.errors import (
    ExchangeRefusal,
    NothingToClose,
    RequestRefused,
)
from providers.mexc import PROVIDER
from providers.orders import (
    Action,
    MarginMode,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    QuantityUnit,
    Side,
    TimeInForce,
)
from providers.outcomes import OutcomeClass, PlacementKind
from providers.preparation import Preparation
from providers.router import ExchangeRouter
from providers.sandbox.server import RunningSandbox, start_sandbox
from tests.integration.mexc_side import (
    CHANGE_LEVERAGE,
    CREATE,
    IDS,
    SYMBOL,
    VENUE,
    accepted,
    client_of,
    final,
    posted,
    request,
    settings_for,
    trade,
    turn,
    until_held,
    until_resting,
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


@pytest.fixture(params=[PositionMode.ONE_WAY, PositionMode.HEDGE])
async def either(
    request: pytest.FixtureRequest, sandbox: RunningSandbox
) -> AsyncIterator[MexcClient]:
    """A client of an account in each position mode."""
    made = await client_of(sandbox, hedge=request.param is PositionMode.HEDGE)
    yield made
    await made.aclose()


@pytest.fixture
def preparation(client: MexcClient) -> Preparation:
    return Preparation(client, 300.0)


# Whole flows.


async def test_open_find_fills_position_close(either: MexcClient) -> None:
    preparation = Preparation(either, 300.0)
    order, view = await trade(either, preparation, replace(request(), leverage=5))
    assert (view.status, view.side, view.quantity) == (
        OrderStatus.FILLED,
        Side.BUY,
        order.quantity,
    )
    fills = await either.fills(SYMBOL, view)
    assert sum(fill.quantity for fill in fills) == view.filled_quantity == order.quantity
    assert view.average_price == fills[0].price
    assert view.fee == sum(fill.fee for fill in fills)
    assert {fill.fee_currency for fill in fills} == {view.fee_currency} == {"USDT"}
    (position,) = await either.positions(SYMBOL)
    assert (position.side, position.quantity) == (PositionSide.LONG, order.quantity)
    assert (position.leverage, position.closable) == (Decimal(5), order.quantity)
    closing, closed = await trade(either, preparation, request(Action.CLOSE, "99"))
    assert (closing.side, closing.reduce_only) == (Side.SELL, True)
    assert closing.quantity == closed.filled_quantity == order.quantity
    assert await either.positions() == []
    with pytest.raises(NothingToClose):
        await preparation.prepare(request(Action.CLOSE), next(IDS))
    totals = {balance.currency: balance.total for balance in await either.balances()}
    assert totals["USDT"] < 1_000_000  # fees were paid


async def test_a_short_is_closed_by_a_buy_in_parts(either: MexcClient) -> None:
    preparation = Preparation(either, 300.0)
    await trade(either, preparation, request(Action.SHORT, "0.03"))
    order, _ = await trade(either, preparation, request(Action.CLOSE_SHORT, "0.01"))
    assert order.side is Side.BUY
    (position,) = await either.positions(SYMBOL)
    assert (position.side, position.quantity) == (PositionSide.SHORT, Decimal("0.02"))
    with pytest.raises(NothingToClose):
        await preparation.prepare(request(Action.CLOSE_LONG), next(IDS))


async def test_a_hedge_account_keeps_both_legs_apart(sandbox: RunningSandbox) -> None:
    client = await client_of(sandbox, hedge=True)
    preparation = Preparation(client, 300.0)
    try:
        await trade(client, preparation, request(Action.LONG, "0.02"))
        await trade(client, preparation, request(Action.SHORT, "0.01"))
        legs = {leg.side: leg.quantity for leg in await client.positions(SYMBOL)}
        assert legs == {PositionSide.LONG: Decimal("0.02"), PositionSide.SHORT: Decimal("0.01")}
        with pytest.raises(RequestRefused) as caught:
            await preparation.prepare(request(Action.CLOSE), next(IDS))
        assert caught.value.code == "AMBIGUOUS_CLOSE"
        await trade(client, preparation, request(Action.CLOSE_LONG, "9"))
        await trade(client, preparation, request(Action.CLOSE, "9"))
        assert await client.positions(SYMBOL) == []
    finally:
        await client.aclose()


async def test_a_position_mode_that_was_changed_is_noticed_after_a_refusal(
    sandbox: RunningSandbox, client: MexcClient, preparation: Preparation
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    wrong = replace(order, position_side=PositionSide.LONG)
    placement = await client.place(wrong)
    assert (placement.kind, placement.code) == (PlacementKind.REJECTED, "7002")
    preparation.forget(SYMBOL, placement.outcome_class)
    await trade(client, preparation, request())
    assert accepted(sandbox, wrong.client_order_id) == 0


async def test_a_limit_order_rests_and_is_cancelled(
    either: MexcClient,
) -> None:
    preparation = Preparation(either, 300.0)
    mark = await preparation.mark_price(SYMBOL)
    wanted = replace(
        request(),
        order_type=OrderType.LIMIT,
        price=mark.price * Decimal("0.97"),
        time_in_force=TimeInForce.POST_ONLY,
        take_profit=mark.price * 2,
        stop_loss=mark.price / 2,
    )
    order = await preparation.prepare(wanted, next(IDS))
    assert (await either.place(order)).kind is PlacementKind.ACCEPTED
    resting = await until_resting(either)
    assert [view.client_order_id for view in resting] == [order.client_order_id]
    assert resting[0].status is OrderStatus.NEW
    await either.cancel(SYMBOL, order.client_order_id)
    view = await final(either, order.client_order_id)
    assert (view.status, view.filled_quantity) == (OrderStatus.CANCELED, Decimal(0))
    assert await either.fills(SYMBOL, view) == []
    await either.cancel(SYMBOL, order.client_order_id)  # final already: no error
    await either.cancel(SYMBOL, "tw-never-was")  # not there: no error
    assert await either.open_orders() == []


async def test_a_resting_close_reserves_what_a_second_one_can_not_take(
    either: MexcClient,
) -> None:
    preparation = Preparation(either, 300.0)
    await trade(either, preparation, request(quantity="0.03"))
    mark = await preparation.mark_price(SYMBOL)
    target = replace(
        request(Action.CLOSE_LONG, "0.01"),
        order_type=OrderType.LIMIT,
        price=mark.price * Decimal("1.03"),
    )
    resting = await preparation.prepare(target, next(IDS))
    assert (await either.place(resting)).kind is PlacementKind.ACCEPTED
    await until_resting(either)
    (position,) = await either.positions(SYMBOL)
    assert (position.quantity, position.closable) == (Decimal("0.03"), Decimal("0.02"))
    order, _ = await trade(either, preparation, request(Action.CLOSE_LONG, "9"))
    assert order.quantity == Decimal("0.02")
    with pytest.raises(RequestRefused) as caught:
        await preparation.prepare(request(Action.CLOSE_LONG, "9"), next(IDS))
    assert caught.value.code == "POSITION_RESERVED"
    placement = await either.place(replace(order, client_order_id=next(IDS)))
    assert (placement.kind, placement.outcome_class) == (
        PlacementKind.REJECTED,
        OutcomeClass.REDUCE_ONLY,
    )


async def test_a_quote_quantity_is_traded_at_its_leverage(
    sandbox: RunningSandbox, client: MexcClient, preparation: Preparation
) -> None:
    sandbox.sandbox.set_price(SYMBOL, Decimal(50_000))
    wanted = replace(request(quantity="100"), quantity_unit=QuantityUnit.QUOTE, leverage=10)
    _, view = await trade(client, preparation, wanted)
    assert view.filled_quantity == Decimal("0.02")


@pytest.mark.parametrize(
    ("symbol", "asked", "traded"),
    [("PEPEUSDT", "12345678", "12300000"), ("SUIUSDT", "29", "20"), ("DOGEUSDT", "250", "200")],
)
async def test_whole_contracts_are_traded_and_coins_are_told(
    client: MexcClient, preparation: Preparation, symbol: str, asked: str, traded: str
) -> None:
    order = await preparation.prepare(
        replace(request(quantity=asked), symbol=symbol), next(IDS), default_leverage=3
    )
    assert order.quantity == Decimal(traded)
    assert (await client.place(order)).kind is PlacementKind.ACCEPTED
    position = await until_held(client, symbol)
    assert position.quantity == Decimal(traded)


@pytest.mark.parametrize(
    ("symbol", "quantity", "mode"),
    [("OPUSDT", "100", MarginMode.CROSS), ("PEPEUSDT", "10000000", MarginMode.ISOLATED)],
)
async def test_a_contract_with_one_margin_mode_is_traded_in_it(
    client: MexcClient, preparation: Preparation, symbol: str, quantity: str, mode: MarginMode
) -> None:
    wanted = replace(request(quantity=quantity), symbol=symbol, leverage=4)
    order = await preparation.prepare(wanted, next(IDS))
    assert (await client.place(order)).kind is PlacementKind.ACCEPTED
    position = await until_held(client, symbol)
    assert (position.margin_mode, position.leverage) == (mode, Decimal(4))
    other = MarginMode.CROSS if mode is MarginMode.ISOLATED else MarginMode.ISOLATED
    with pytest.raises(RequestRefused) as caught:
        await preparation.prepare(replace(wanted, margin_mode=other), next(IDS))
    assert caught.value.code == "MARGIN_MODE_CONFLICT"


async def test_leverage_and_margin_mode_are_set_once(
    sandbox: RunningSandbox, client: MexcClient, preparation: Preparation
) -> None:
    before = await client.symbol_setup(SYMBOL)
    mode = MarginMode.CROSS if before.margin_mode is MarginMode.ISOLATED else MarginMode.ISOLATED
    wanted = replace(request(), leverage=7, margin_mode=mode)
    for _ in range(3):
        await trade(client, preparation, wanted)
    setup = await client.symbol_setup(SYMBOL)
    assert (setup.leverage, setup.margin_mode) == (Decimal(7), mode)
    assert posted(sandbox, CHANGE_LEVERAGE) == 2  # once for each direction
    await client.set_leverage(SYMBOL, 7, None)
    assert posted(sandbox, CHANGE_LEVERAGE) == 2
    with pytest.raises(ExchangeRefusal):
        await client.set_leverage(SYMBOL, 100_000, None)


async def test_a_position_in_the_other_margin_mode_is_a_clear_refusal(
    client: MexcClient, preparation: Preparation
) -> None:
    await trade(client, preparation, replace(request(), margin_mode=MarginMode.ISOLATED))
    with pytest.raises(RequestRefused) as caught:
        await preparation.prepare(replace(request(), margin_mode=MarginMode.CROSS), next(IDS))
    assert caught.value.code == "MARGIN_MODE_CONFLICT"
    await trade(client, preparation, request(Action.CLOSE, "9"))


async def test_once_verified_an_order_is_a_single_request(
    sandbox: RunningSandbox, client: MexcClient, preparation: Preparation
) -> None:
    await trade(client, preparation, replace(request(), leverage=5))
    before = len(sandbox.sandbox.truth.recent)
    order = await preparation.prepare(replace(request(), leverage=5), next(IDS))
    await client.place(order)
    new = [seen.path for seen in list(sandbox.sandbox.truth.recent)[before:]]
    assert new == [CREATE]


async def test_the_router_starts_what_is_configured(sandbox: RunningSandbox) -> None:
    router = ExchangeRouter({VENUE: PROVIDER}, settings_for(sandbox))
    try:
        assert await router.start() == {}
        order = await router.preparation(VENUE).prepare(request(), next(IDS))
        placement = await router.client(VENUE).place(order)
        assert placement.kind is PlacementKind.ACCEPTED
    finally:
        await router.aclose()


# What the documentation leaves open.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("create_reply", "string"),
        ("create_reply", "number"),
        ("signed_values", "raw"),
        ("success_code", "200"),
        ("missing_position_mode", "account"),
        ("one_way_closes", "net"),
        ("hedge_reduce_only", "ignored"),
        ("not_found", "2040"),
        ("history_rows", "resultList"),
        ("market_price", "required"),
    ],
)
async def test_a_flow_works_however_the_open_questions_are_answered(
    sandbox: RunningSandbox, either: MexcClient, name: str, value: str
) -> None:
    turn(sandbox, name, value)
    preparation = Preparation(either, 300.0)
    assert await either.find_order(SYMBOL, "tw-never-was") is None
    order, view = await trade(either, preparation, replace(request(), leverage=6))
    assert view.filled_quantity == order.quantity
    await trade(either, preparation, request(Action.CLOSE, "9"))
    assert await either.positions() == []


@pytest.mark.parametrize(
    ("duplicates", "kind", "orders"),
    [
        ("refused", PlacementKind.DUPLICATE, 1),
        ("existing", PlacementKind.ACCEPTED, 1),
        ("rejected_later", PlacementKind.ACCEPTED, 2),
    ],
)
async def test_an_id_used_twice_leads_to_the_order_that_worked(
    sandbox: RunningSandbox,
    client: MexcClient,
    preparation: Preparation,
    duplicates: str,
    kind: PlacementKind,
    orders: int,
) -> None:
    turn(sandbox, "duplicate_ids", duplicates)
    order, view = await trade(client, preparation, request())
    assert (await client.place(order)).kind is kind
    found = await client.find_order(SYMBOL, order.client_order_id)
    assert found is not None
    assert accepted(sandbox, order.client_order_id) == orders
    final_view = await final(client, order.client_order_id)
    assert final_view.exchange_order_id == view.exchange_order_id
    assert final_view.status is OrderStatus.FILLED
    (position,) = await client.positions(SYMBOL)
    assert position.quantity == order.quantity


# Refusals.


@pytest.mark.parametrize(
    ("change", "outcome_class"),
    [
        ({"quantity": Decimal(39), "leverage": 1}, OutcomeClass.MARGIN),
        ({"quantity": Decimal(50)}, OutcomeClass.FILTER),
        ({"quantity": Decimal("0.00015")}, OutcomeClass.FILTER),
        ({"reduce_only": True, "side": Side.SELL}, OutcomeClass.NO_POSITION),
        ({"leverage": 1000}, OutcomeClass.PARAMETER),
        ({"client_order_id": "x" * 40}, OutcomeClass.PARAMETER),
        ({"symbol": "NOSUCHUSDT"}, OutcomeClass.PARAMETER),
    ],
)
async def test_what_the_exchange_refuses_is_rejected(
    sandbox: RunningSandbox,
    client: MexcClient,
    preparation: Preparation,
    change: dict[str, object],
    outcome_class: OutcomeClass,
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    placement = await client.place(replace(order, **change))  # type: ignore[arg-type]  # any field
    assert placement.kind is PlacementKind.REJECTED, placement
    assert placement.outcome_class is outcome_class, placement
    assert not sandbox.sandbox.truth.orders


async def test_a_wrong_secret_is_an_auth_refusal(sandbox: RunningSandbox) -> None:
    client = PROVIDER.create_client(settings_for(sandbox, secret="not-the-secret"))
    try:
        with pytest.raises(ExchangeRefusal) as caught:
            await client.positions(SYMBOL)
        assert caught.value.outcome_class is OutcomeClass.AUTH
    finally:
        await client.aclose()


async def test_an_unknown_symbol_is_refused_before_anything_is_sent(
    preparation: Preparation,
) -> None:
    with pytest.raises(RequestRefused) as caught:
        await preparation.prepare(replace(request(), symbol="NOSUCHUSDT"), next(IDS))
    assert caught.value.code == "UNKNOWN_SYMBOL"
