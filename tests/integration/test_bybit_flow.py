"""The Bybit client against the sandbox exchange, over real HTTP: whole flows, and every fault.

After each fault the sandbox's own record says what really happened; the client must never claim
to know more than it can.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING

import pytest
from pydantic import HttpUrl, SecretStr

from providers.bybit import PROVIDER
from providers.errors import (
    ExchangeRefusal,
    ExchangeUnavailable,
    NothingToClose,
    RequestRefused,
)
from providers.orders import (
    Action,
    MarginMode,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    PreparedOrder,
    QuantityUnit,
    Side,
    TimeInForce,
    TradeRequest,
)
from providers.outcomes import OutcomeClass, PlacementKind
from providers.preparation import Preparation
from providers.router import ExchangeRouter
from providers.sandbox.faults import FaultKind, FaultRule
from providers.sandbox.sandbox import Credentials
from providers.sandbox.server import RunningSandbox, start_sandbox
from providers.settings import ExchangeSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from providers.bybit.client import BybitClient
    from providers.orders import OrderView

SYMBOL = "BTCUSDT"
IDS = (f"tw-flow-{number:04d}" for number in count())
DEADLINE = 10.0


def settings_for(sandbox: RunningSandbox, key: str = "", secret: str = "") -> ExchangeSettings:
    return ExchangeSettings(
        bybit_api_key=SecretStr(key or sandbox.key()),
        bybit_api_secret=SecretStr(secret or sandbox.secret()),
        bybit_base_url=HttpUrl(sandbox.base_url()),
        exchange_request_timeout=0.5,
        exchange_connect_timeout=0.5,
    )


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(limits="off") as running:
        yield running


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[BybitClient]:
    made = PROVIDER.create_client(settings_for(sandbox))
    await made.start()
    yield made
    await made.aclose()


@pytest.fixture
def preparation(client: BybitClient) -> Preparation:
    return Preparation(client, 300.0)


def request(action: Action = Action.LONG, quantity: str = "0.01") -> TradeRequest:
    return TradeRequest(SYMBOL, action, Decimal(quantity))


def fault(sandbox: RunningSandbox, kind: FaultKind, **values: object) -> None:
    rule = FaultRule(kind=kind, endpoint="order/create", count=1, **values)  # type: ignore[arg-type]  # any
    sandbox.sandbox.faults.add(rule, sandbox.sandbox.clock.now_ms())


def accepted(sandbox: RunningSandbox, client_order_id: str) -> int:
    """How many orders of that id the exchange has really accepted."""
    return sum(order.client_order_id == client_order_id for order in sandbox.sandbox.truth.orders)


async def final(client: BybitClient, client_order_id: str) -> OrderView:
    """Ask until the order is final."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.find_order(SYMBOL, client_order_id)
            if found is not None and found.status.final:
                return found
            await asyncio.sleep(0.002)


async def until_resting(client: BybitClient) -> Sequence[OrderView]:
    """Ask until an order rests in the book."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.open_orders(SYMBOL)
            if found:
                return found
            await asyncio.sleep(0.002)


async def trade(
    client: BybitClient, preparation: Preparation, wanted: TradeRequest
) -> tuple[PreparedOrder, OrderView]:
    """Prepare, place, and follow an order to its end."""
    order = await preparation.prepare(wanted, next(IDS))
    placement = await client.place(order)
    assert placement.kind is PlacementKind.ACCEPTED, placement
    view = await final(client, order.client_order_id)
    assert view.exchange_order_id == placement.exchange_order_id
    return order, view


# Whole flows.


async def test_open_find_fills_position_close(
    client: BybitClient, preparation: Preparation
) -> None:
    order, view = await trade(client, preparation, replace(request(), leverage=5))
    assert (view.status, view.side, view.quantity) == (
        OrderStatus.FILLED,
        Side.BUY,
        order.quantity,
    )
    fills = await client.fills(SYMBOL, view)
    assert sum(fill.quantity for fill in fills) == view.filled_quantity == order.quantity
    assert view.average_price == fills[0].price
    assert view.fee == sum(fill.fee for fill in fills)
    assert {fill.fee_currency for fill in fills} == {view.fee_currency} == {"USDT"}
    (position,) = await client.positions(SYMBOL)
    assert (position.side, position.quantity) == (PositionSide.LONG, order.quantity)
    assert position.leverage == 5
    closing, closed = await trade(client, preparation, request(Action.CLOSE, "99"))
    assert (closing.side, closing.reduce_only) == (Side.SELL, True)
    assert closing.quantity == closed.filled_quantity == order.quantity
    assert await client.positions() == []
    with pytest.raises(NothingToClose):
        await preparation.prepare(request(Action.CLOSE), next(IDS))
    (balance,) = await client.balances()
    assert balance.currency == "USDT"
    assert balance.total < 1_000_000  # fees were paid


async def test_a_short_is_closed_by_a_buy_in_parts(
    client: BybitClient, preparation: Preparation
) -> None:
    await trade(client, preparation, request(Action.SHORT, "0.03"))
    order, _ = await trade(client, preparation, request(Action.CLOSE_SHORT, "0.01"))
    assert order.side is Side.BUY
    (position,) = await client.positions(SYMBOL)
    assert (position.side, position.quantity) == (PositionSide.SHORT, Decimal("0.02"))
    with pytest.raises(NothingToClose):
        await preparation.prepare(request(Action.CLOSE_LONG), next(IDS))


async def test_a_hedge_account_keeps_both_legs_apart(sandbox: RunningSandbox) -> None:
    keys = Credentials(name="hedger", key="hedge-key", secret="hedge-secret")
    sandbox.sandbox.add_account("bybit", keys, balance=Decimal(100_000), hedge=True)
    client = PROVIDER.create_client(settings_for(sandbox, keys.key, keys.secret))
    preparation = Preparation(client, 300.0)
    try:
        assert (await client.symbol_setup(SYMBOL)).position_mode is PositionMode.HEDGE
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
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    wrong = replace(order, position_side=PositionSide.LONG)
    placement = await client.place(wrong)
    assert (placement.kind, placement.code) == (PlacementKind.REJECTED, "10001")
    preparation.forget(SYMBOL, placement.outcome_class)
    await trade(client, preparation, request())
    assert accepted(sandbox, wrong.client_order_id) == 0


async def test_a_limit_order_rests_and_is_cancelled(
    client: BybitClient, preparation: Preparation
) -> None:
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
    assert (await client.place(order)).kind is PlacementKind.ACCEPTED
    resting = await until_resting(client)
    assert [view.client_order_id for view in resting] == [order.client_order_id]
    assert resting[0].status is OrderStatus.NEW
    await client.cancel(SYMBOL, order.client_order_id)
    view = await final(client, order.client_order_id)
    assert (view.status, view.filled_quantity) == (OrderStatus.CANCELED, Decimal(0))
    await client.cancel(SYMBOL, order.client_order_id)  # final already: no error
    assert await client.open_orders() == []


async def test_a_quote_quantity_is_traded_at_its_leverage(
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation
) -> None:
    sandbox.sandbox.set_price(SYMBOL, Decimal(50_000))
    wanted = replace(request(quantity="100"), quantity_unit=QuantityUnit.QUOTE, leverage=10)
    _, view = await trade(client, preparation, wanted)
    assert view.filled_quantity == Decimal("0.02")


async def test_leverage_and_margin_mode_are_set_once(
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation
) -> None:
    wanted = replace(request(), leverage=7, margin_mode=MarginMode.ISOLATED)
    for _ in range(3):
        await trade(client, preparation, wanted)
    setup = await client.symbol_setup(SYMBOL)
    assert (setup.leverage, setup.margin_mode) == (Decimal(7), MarginMode.ISOLATED)
    requests = [seen.path for seen in sandbox.sandbox.truth.recent if seen.method == "POST"]
    assert requests.count("/v5/position/set-leverage") == 1
    assert requests.count("/v5/account/set-margin-mode") == 1
    await client.set_leverage(SYMBOL, 7, None)  # not modified: success
    with pytest.raises(ExchangeRefusal):
        await client.set_leverage(SYMBOL, 100_000, None)


async def test_once_verified_an_order_is_a_single_request(
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation
) -> None:
    await trade(client, preparation, replace(request(), leverage=5))
    before = len(sandbox.sandbox.truth.recent)
    order = await preparation.prepare(replace(request(), leverage=5), next(IDS))
    await client.place(order)
    new = [seen.path for seen in list(sandbox.sandbox.truth.recent)[before:]]
    assert new == ["/v5/order/create"]


async def test_the_router_starts_what_is_configured(sandbox: RunningSandbox) -> None:
    router = ExchangeRouter({"bybit": PROVIDER}, settings_for(sandbox))
    try:
        assert await router.start() == {}
        order = await router.preparation("bybit").prepare(request(), next(IDS))
        placement = await router.client("bybit").place(order)
        assert placement.kind is PlacementKind.ACCEPTED
    finally:
        await router.aclose()


# Refusals.


async def test_an_id_used_twice_is_a_duplicate_and_the_first_is_found(
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation
) -> None:
    order, view = await trade(client, preparation, request())
    again = await client.place(order)
    assert (again.kind, again.code) == (PlacementKind.DUPLICATE, "110072")
    found = await client.find_order(SYMBOL, order.client_order_id)
    assert found is not None
    assert found.exchange_order_id == view.exchange_order_id
    assert accepted(sandbox, order.client_order_id) == 1


@pytest.mark.parametrize(
    ("change", "outcome_class"),
    [
        ({"quantity": Decimal(400)}, OutcomeClass.MARGIN),
        ({"quantity": Decimal("0.0001")}, OutcomeClass.PARAMETER),
        ({"reduce_only": True, "side": Side.SELL}, OutcomeClass.REDUCE_ONLY),
        ({"client_order_id": "x" * 40}, OutcomeClass.PARAMETER),
        ({"symbol": "NOSUCHUSDT"}, OutcomeClass.PARAMETER),
    ],
)
async def test_what_the_exchange_refuses_is_rejected(
    sandbox: RunningSandbox,
    client: BybitClient,
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


# Faults.


@pytest.mark.parametrize(
    ("kind", "values", "executed"),
    [
        (FaultKind.DROP_BEFORE, {}, 0),
        (FaultKind.DROP_AFTER, {}, 1),
        (FaultKind.DELAY_REPLY, {"ms": 1500}, 1),
        (FaultKind.SERVER_ERROR, {"status": 502}, 0),
        (FaultKind.SERVER_ERROR, {"status": 502, "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "10016"}, 0),
        (FaultKind.ANSWER, {"code": "10016", "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "10000", "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "987654", "execute": True}, 1),
        (FaultKind.ANSWER, {"status": 429, "execute": True}, 1),
    ],
)
async def test_after_an_ambiguous_fault_the_exchange_is_asked(
    sandbox: RunningSandbox,
    client: BybitClient,
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
    creates = [s for s in sandbox.sandbox.truth.recent if s.path == "/v5/order/create"]
    assert len(creates) <= 1  # a request that still waits for its answer is not recorded yet
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
    client: BybitClient,
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
    assert not sandbox.sandbox.truth.orders


@pytest.mark.parametrize("ms", [-60_000, 60_000])
async def test_a_clock_that_is_off_for_one_request_costs_one_more_try(
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation, ms: int
) -> None:
    fault(sandbox, FaultKind.CLOCK_SKEW, ms=ms)
    order = await preparation.prepare(request(), next(IDS))
    assert (await client.place(order)).kind is PlacementKind.ACCEPTED
    assert accepted(sandbox, order.client_order_id) == 1


async def test_the_exchanges_clock_is_followed(
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    sandbox.sandbox.change_clock(lambda clock: clock.advance(3_600_000))
    placement = await client.place(order)
    assert placement.kind is PlacementKind.ACCEPTED
    assert placement.signed_at is not None
    assert placement.sent_at is not None
    assert (placement.signed_at - placement.sent_at).total_seconds() > 3500


async def test_an_order_that_fills_in_part_is_cancelled_with_fills(
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation
) -> None:
    fault(sandbox, FaultKind.PARTIAL_CANCEL, fraction=Decimal("0.3"))
    order, view = await trade(client, preparation, request(quantity="0.01"))
    assert (view.status, view.filled_quantity) == (OrderStatus.CANCELED, Decimal("0.003"))
    fills = await client.fills(SYMBOL, view)
    assert sum(fill.quantity for fill in fills) == Decimal("0.003")
    assert order.quantity == view.quantity


async def test_an_order_that_is_rejected_later_says_why(
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation
) -> None:
    fault(sandbox, FaultKind.REJECT_LATER, message="EC_NoEnoughBalance")
    _, view = await trade(client, preparation, request())
    assert (view.status, view.reject_reason) == (OrderStatus.REJECTED, "EC_NoEnoughBalance")


async def test_fills_in_parts_add_up(
    sandbox: RunningSandbox, client: BybitClient, preparation: Preparation
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
