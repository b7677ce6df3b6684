"""The Binance client against the sandbox exchange, over real HTTP: whole flows, and every fault.

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

from providers.binance import PROVIDER
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

    from providers.binance.client import BinanceClient
    from providers.orders import OrderView

VENUE = "binance"
SYMBOL = "BTCUSDT"
ORDER = "/fapi/v1/order"
ALGO = "/fapi/v1/algoOrder"
IDS = (f"tw-flow-{number:04d}" for number in count())
DEADLINE = 10.0


def settings_for(sandbox: RunningSandbox, key: str = "", secret: str = "") -> ExchangeSettings:
    return ExchangeSettings(
        binance_api_key=SecretStr(key or sandbox.key(VENUE)),
        binance_api_secret=SecretStr(secret or sandbox.secret(VENUE)),
        binance_base_url=HttpUrl(sandbox.base_url(VENUE)),
        exchange_request_timeout=0.5,
        exchange_connect_timeout=0.5,
    )


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(limits="off") as running:
        yield running


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[BinanceClient]:
    made = PROVIDER.create_client(settings_for(sandbox))
    await made.start()
    yield made
    await made.aclose()


@pytest.fixture
async def hedger(sandbox: RunningSandbox) -> AsyncIterator[BinanceClient]:
    keys = Credentials(name="hedger", key="hedge-key", secret="hedge-secret")
    sandbox.sandbox.add_account(VENUE, keys, balance=Decimal(100_000), hedge=True)
    made = PROVIDER.create_client(settings_for(sandbox, keys.key, keys.secret))
    yield made
    await made.aclose()


@pytest.fixture
def preparation(client: BinanceClient) -> Preparation:
    return Preparation(client, 300.0)


def request(action: Action = Action.LONG, quantity: str = "0.01") -> TradeRequest:
    return TradeRequest(SYMBOL, action, Decimal(quantity))


def fault(sandbox: RunningSandbox, kind: FaultKind, **values: object) -> None:
    """Spoil the next placing of an order."""
    rule = FaultRule(kind=kind, endpoint="POST order", venue=VENUE, count=1, **values)  # type: ignore[arg-type]  # any
    sandbox.sandbox.faults.add(rule, sandbox.sandbox.clock.now_ms())


def accepted(sandbox: RunningSandbox, client_order_id: str) -> int:
    """How many orders of that id the exchange has really accepted."""
    return sum(order.client_order_id == client_order_id for order in sandbox.sandbox.truth.orders)


def sent(sandbox: RunningSandbox, path: str = ORDER, method: str = "POST") -> int:
    """How many calls of that kind the exchange has seen."""
    recent = sandbox.sandbox.truth.recent
    return sum((seen.method, seen.path) == (method, path) for seen in recent)


async def final(client: BinanceClient, client_order_id: str) -> OrderView:
    """Ask until the order is final."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.find_order(SYMBOL, client_order_id)
            if found is not None and found.status.final:
                return found
            await asyncio.sleep(0.002)


async def until_resting(client: BinanceClient) -> Sequence[OrderView]:
    """Ask until an order rests in the book."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.open_orders(SYMBOL)
            if found:
                return found
            await asyncio.sleep(0.002)


async def until_flat(client: BinanceClient) -> None:
    """Ask until no position is left."""
    async with asyncio.timeout(DEADLINE):
        while True:
            if not await client.positions(SYMBOL):
                return
            await asyncio.sleep(0.01)


async def trade(
    client: BinanceClient, preparation: Preparation, wanted: TradeRequest
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
    client: BinanceClient, preparation: Preparation
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
    assert view.fee == sum(fill.fee for fill in fills) > 0
    assert {fill.fee_currency for fill in fills} == {view.fee_currency} == {"USDT"}
    (position,) = await client.positions(SYMBOL)
    assert (position.side, position.quantity) == (PositionSide.LONG, order.quantity)
    assert (await client.symbol_setup(SYMBOL)).leverage == 5
    closing, closed = await trade(client, preparation, request(Action.CLOSE, "99"))
    assert (closing.side, closing.reduce_only) == (Side.SELL, True)
    assert closing.quantity == closed.filled_quantity == order.quantity
    assert await client.positions() == []
    with pytest.raises(NothingToClose):
        await preparation.prepare(request(Action.CLOSE), next(IDS))
    balances = {balance.currency: balance for balance in await client.balances()}
    assert 0 < balances["USDT"].total < 1_000_000  # fees were paid


async def test_a_short_is_closed_by_a_buy_in_parts(
    client: BinanceClient, preparation: Preparation
) -> None:
    await trade(client, preparation, request(Action.SHORT, "0.03"))
    order, _ = await trade(client, preparation, request(Action.CLOSE_SHORT, "0.01"))
    assert order.side is Side.BUY
    (position,) = await client.positions(SYMBOL)
    assert (position.side, position.quantity) == (PositionSide.SHORT, Decimal("0.02"))
    with pytest.raises(NothingToClose):
        await preparation.prepare(request(Action.CLOSE_LONG), next(IDS))


async def test_a_hedge_account_keeps_both_legs_apart(hedger: BinanceClient) -> None:
    preparation = Preparation(hedger, 300.0)
    assert (await hedger.symbol_setup(SYMBOL)).position_mode is PositionMode.HEDGE
    await trade(hedger, preparation, request(Action.LONG, "0.02"))
    await trade(hedger, preparation, request(Action.SHORT, "0.01"))
    legs = {leg.side: leg.quantity for leg in await hedger.positions(SYMBOL)}
    assert legs == {PositionSide.LONG: Decimal("0.02"), PositionSide.SHORT: Decimal("0.01")}
    with pytest.raises(RequestRefused) as caught:
        await preparation.prepare(request(Action.CLOSE), next(IDS))
    assert caught.value.code == "AMBIGUOUS_CLOSE"
    await trade(hedger, preparation, request(Action.CLOSE_LONG, "9"))
    await trade(hedger, preparation, request(Action.CLOSE, "9"))
    assert await hedger.positions(SYMBOL) == []


async def test_a_position_mode_that_was_changed_is_noticed_after_a_refusal(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    wrong = replace(order, position_side=PositionSide.LONG)
    placement = await client.place(wrong)
    assert (placement.kind, placement.code) == (PlacementKind.REJECTED, "-4061")
    asked = sent(sandbox, "/fapi/v1/positionSide/dual", "GET")
    preparation.forget(SYMBOL, placement.outcome_class)
    await trade(client, preparation, request())
    assert sent(sandbox, "/fapi/v1/positionSide/dual", "GET") == asked + 1
    assert accepted(sandbox, wrong.client_order_id) == 0


async def test_a_limit_order_rests_and_is_cancelled(
    client: BinanceClient, preparation: Preparation
) -> None:
    mark = await preparation.mark_price(SYMBOL)
    wanted = replace(
        request(),
        order_type=OrderType.LIMIT,
        price=mark.price * Decimal("0.97"),
        time_in_force=TimeInForce.POST_ONLY,
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


@pytest.mark.parametrize(
    ("time_in_force", "factor", "code"),
    [(TimeInForce.FOK, "0.97", "-5021"), (TimeInForce.POST_ONLY, "1.03", "-5022")],
)
async def test_a_limit_order_that_can_not_be_as_it_was_asked_for_is_rejected(
    client: BinanceClient,
    preparation: Preparation,
    time_in_force: TimeInForce,
    factor: str,
    code: str,
) -> None:
    mark = await preparation.mark_price(SYMBOL)
    wanted = replace(
        request(),
        order_type=OrderType.LIMIT,
        price=mark.price * Decimal(factor),
        time_in_force=time_in_force,
    )
    order = await preparation.prepare(wanted, next(IDS))
    placement = await client.place(order)
    assert (placement.kind, placement.code) == (PlacementKind.REJECTED, code)


async def test_a_quote_quantity_is_traded_at_its_leverage(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    sandbox.sandbox.set_price(SYMBOL, Decimal(50_000))
    wanted = replace(request(quantity="100"), quantity_unit=QuantityUnit.QUOTE, leverage=10)
    _, view = await trade(client, preparation, wanted)
    assert view.filled_quantity == Decimal("0.02")


async def test_leverage_and_margin_mode_are_set_once(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    wanted = replace(request(), leverage=7, margin_mode=MarginMode.ISOLATED)
    for _ in range(3):
        await trade(client, preparation, wanted)
    setup = await client.symbol_setup(SYMBOL)
    assert (setup.leverage, setup.margin_mode) == (Decimal(7), MarginMode.ISOLATED)
    assert sent(sandbox, "/fapi/v1/leverage") == 1
    assert sent(sandbox, "/fapi/v1/marginType") == 1
    await client.set_leverage(SYMBOL, 7, None)  # the same again: success
    await client.set_margin_mode(SYMBOL, MarginMode.ISOLATED, None)
    with pytest.raises(ExchangeRefusal):
        await client.set_leverage(SYMBOL, 1000, None)
    with pytest.raises(ExchangeRefusal):  # a position is open
        await client.set_margin_mode(SYMBOL, MarginMode.CROSS, None)


async def test_once_verified_an_order_is_a_single_request(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    await trade(client, preparation, replace(request(), leverage=5))
    before = len(sandbox.sandbox.truth.recent)
    order = await preparation.prepare(replace(request(), leverage=5), next(IDS))
    await client.place(order)
    new = [(seen.method, seen.path) for seen in list(sandbox.sandbox.truth.recent)[before:]]
    assert new == [("POST", ORDER)]


async def test_the_instruments_are_those_of_the_exchange(client: BinanceClient) -> None:
    found = await client.instrument(SYMBOL)
    assert (found.tick, found.lot, found.min_notional) == (
        Decimal("0.10"),
        Decimal("0.001"),
        Decimal(50),
    )
    assert (found.max_market_quantity, found.max_leverage) == (Decimal(120), 125)
    assert (await client.instrument("SOLUSDT")).max_leverage == 100
    assert not (await client.instrument("EOSUSDT")).tradable


async def test_the_router_starts_what_is_configured(sandbox: RunningSandbox) -> None:
    router = ExchangeRouter({VENUE: PROVIDER}, settings_for(sandbox))
    try:
        assert await router.start() == {}
        order = await router.preparation(VENUE).prepare(request(), next(IDS))
        placement = await router.client(VENUE).place(order)
        assert placement.kind is PlacementKind.ACCEPTED
    finally:
        await router.aclose()


# Take-profit and stop-loss.


def with_levels(mark: Decimal, wanted: TradeRequest) -> TradeRequest:
    long = wanted.action is Action.LONG
    up, down = mark * Decimal("1.02"), mark * Decimal("0.98")
    return replace(
        wanted, take_profit=up if long else down, stop_loss=down if long else up, leverage=5
    )


@pytest.mark.parametrize("action", [Action.LONG, Action.SHORT])
@pytest.mark.parametrize("mode", [PositionMode.ONE_WAY, PositionMode.HEDGE])
@pytest.mark.parametrize("move", ["1.03", "0.97"])
async def test_a_position_is_protected_once_and_closed_at_its_levels(
    sandbox: RunningSandbox,
    client: BinanceClient,
    hedger: BinanceClient,
    action: Action,
    mode: PositionMode,
    move: str,
) -> None:
    trader = client if mode is PositionMode.ONE_WAY else hedger
    sandbox.sandbox.set_price(SYMBOL, Decimal(50_000))
    order, view = await trade(
        trader, Preparation(trader, 300.0), with_levels(Decimal(50_000), request(action))
    )
    placed = await trader.protect(order, view)
    assert [placement.kind for placement in placed] == [PlacementKind.ACCEPTED] * 2, placed
    again = await trader.protect(order, view)
    assert [placement.kind for placement in again] == [PlacementKind.DUPLICATE] * 2
    assert [one.exchange_order_id for one in again] == [one.exchange_order_id for one in placed]
    assert sent(sandbox, ALGO) == 2
    sandbox.sandbox.set_price(SYMBOL, Decimal(50_000) * Decimal(move))
    await until_flat(trader)
    stop, target = await trader.protect(order, view)
    up = Decimal(move) > 1
    reached = target if up is (action is Action.LONG) else stop
    assert "is NEW" not in (reached.message or "")
    assert sent(sandbox, ALGO) == 2


async def test_an_answer_to_protecting_that_is_lost_is_found_the_next_time(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    sandbox.sandbox.set_price(SYMBOL, Decimal(50_000))
    wanted = replace(with_levels(Decimal(50_000), request()), take_profit=None)
    order, view = await trade(client, preparation, wanted)
    rule = FaultRule(kind=FaultKind.DROP_AFTER, endpoint="POST algoOrder", venue=VENUE, count=1)
    sandbox.sandbox.faults.add(rule, sandbox.sandbox.clock.now_ms())
    (first,) = await client.protect(order, view)
    (second,) = await client.protect(order, view)
    assert (first.kind, second.kind) == (PlacementKind.UNKNOWN, PlacementKind.DUPLICATE)
    assert sent(sandbox, ALGO) == 1


# Refusals.


async def test_an_id_in_use_is_a_duplicate_and_the_first_is_found(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    mark = await preparation.mark_price(SYMBOL)
    wanted = replace(request(), order_type=OrderType.LIMIT, price=mark.price * Decimal("0.97"))
    order = await preparation.prepare(wanted, next(IDS))
    first = await client.place(order)
    await until_resting(client)
    again = await client.place(order)
    assert (again.kind, again.code) == (PlacementKind.DUPLICATE, "-4116")
    found = await client.find_order(SYMBOL, order.client_order_id)
    assert found is not None
    assert found.exchange_order_id == first.exchange_order_id
    assert accepted(sandbox, order.client_order_id) == 1


@pytest.mark.parametrize(
    ("change", "outcome_class"),
    [
        ({"quantity": Decimal(110)}, OutcomeClass.MARGIN),
        ({"quantity": Decimal("0.0001")}, OutcomeClass.FILTER),
        ({"quantity": Decimal("0.00001")}, OutcomeClass.FILTER),
        ({"quantity": Decimal(121)}, OutcomeClass.FILTER),
        ({"reduce_only": True, "side": Side.SELL}, OutcomeClass.REDUCE_ONLY),
        ({"client_order_id": "x" * 40}, OutcomeClass.PARAMETER),
        ({"symbol": "NOSUCHUSDT"}, OutcomeClass.PARAMETER),
    ],
)
async def test_what_the_exchange_refuses_is_rejected(
    sandbox: RunningSandbox,
    client: BinanceClient,
    preparation: Preparation,
    change: dict[str, object],
    outcome_class: OutcomeClass,
) -> None:
    order = await preparation.prepare(replace(request(), leverage=5), next(IDS))
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


# Faults.


@pytest.mark.parametrize(
    ("kind", "values", "executed"),
    [
        (FaultKind.DROP_BEFORE, {}, 0),
        (FaultKind.DROP_AFTER, {}, 1),
        (FaultKind.DELAY_REPLY, {"ms": 1500}, 1),
        (FaultKind.SERVER_ERROR, {"status": 502}, 0),
        (FaultKind.SERVER_ERROR, {"status": 502, "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "-1007", "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "-1006", "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "-1000"}, 0),
        (FaultKind.ANSWER, {"code": "-1001", "execute": True}, 1),
        (FaultKind.ANSWER, {"code": "-987654", "execute": True}, 1),
        (FaultKind.ANSWER, {"status": 503, "execute": True}, 1),
        (FaultKind.ANSWER, {"status": 408, "execute": True}, 1),
    ],
)
async def test_after_an_ambiguous_fault_the_exchange_is_asked(
    sandbox: RunningSandbox,
    client: BinanceClient,
    preparation: Preparation,
    kind: FaultKind,
    values: dict[str, object],
    executed: int,
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    fault(sandbox, kind, **values)
    placement = await client.place(order)
    assert placement.kind is PlacementKind.UNKNOWN, placement
    assert placement.signed_at is not None
    assert accepted(sandbox, order.client_order_id) == executed
    assert sent(sandbox) <= 1  # a request that still waits for its answer is not recorded yet
    if executed:
        view = await final(client, order.client_order_id)
        assert view.status is OrderStatus.FILLED
    else:
        assert await client.find_order(SYMBOL, order.client_order_id) is None


async def test_an_order_that_look_ups_do_not_show_yet_appears(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    fault(sandbox, FaultKind.HIDE, ms=300)
    await client.place(order)
    assert await client.find_order(SYMBOL, order.client_order_id) is None
    assert (await final(client, order.client_order_id)).status is OrderStatus.FILLED


@pytest.mark.parametrize(
    ("kind", "values", "outcome_class"),
    [
        (FaultKind.RATE_LIMIT, {}, OutcomeClass.RATE_ACCOUNT),
        (FaultKind.BAN, {"ms": 1000}, OutcomeClass.RATE_IP),
        (FaultKind.ANSWER, {"code": "-1008"}, OutcomeClass.OVERLOAD),
    ],
)
async def test_a_limit_defers_and_nothing_is_executed(
    sandbox: RunningSandbox,
    client: BinanceClient,
    preparation: Preparation,
    kind: FaultKind,
    values: dict[str, object],
    outcome_class: OutcomeClass,
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    fault(sandbox, kind, **values)
    placement = await client.place(order)
    assert (placement.kind, placement.outcome_class) == (PlacementKind.DEFERRED, outcome_class)
    assert (placement.retry_after is None) is (outcome_class is OutcomeClass.OVERLOAD)
    assert not sandbox.sandbox.truth.orders


@pytest.mark.parametrize("ms", [-60_000, 60_000])
async def test_a_clock_that_is_off_for_one_request_costs_one_more_try(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation, ms: int
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    fault(sandbox, FaultKind.CLOCK_SKEW, ms=ms)
    assert (await client.place(order)).kind is PlacementKind.ACCEPTED
    assert accepted(sandbox, order.client_order_id) == 1


async def test_the_exchanges_clock_is_followed(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    order = await preparation.prepare(request(), next(IDS))
    sandbox.sandbox.change_clock(lambda clock: clock.advance(3_600_000))
    placement = await client.place(order)
    assert placement.kind is PlacementKind.ACCEPTED
    assert placement.signed_at is not None
    assert placement.sent_at is not None
    assert (placement.signed_at - placement.sent_at).total_seconds() > 3500


async def test_an_order_that_fills_in_part_is_cancelled_with_fills(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    wanted = await preparation.prepare(request(quantity="0.01"), next(IDS))
    fault(sandbox, FaultKind.PARTIAL_CANCEL, fraction=Decimal("0.3"))
    assert (await client.place(wanted)).kind is PlacementKind.ACCEPTED
    view = await final(client, wanted.client_order_id)
    assert (view.status, view.filled_quantity) == (OrderStatus.CANCELED, Decimal("0.003"))
    fills = await client.fills(SYMBOL, view)
    assert sum(fill.quantity for fill in fills) == Decimal("0.003")
    assert view.fee == sum(fill.fee for fill in fills)


async def test_fills_in_parts_add_up(
    sandbox: RunningSandbox, client: BinanceClient, preparation: Preparation
) -> None:
    wanted = await preparation.prepare(request(quantity="0.01"), next(IDS))
    fault(sandbox, FaultKind.SPLIT, parts=3)
    await client.place(wanted)
    view = await final(client, wanted.client_order_id)
    fills = await client.fills(SYMBOL, view)
    assert len(fills) == 3
    assert sum(fill.quantity for fill in fills) == view.filled_quantity == Decimal("0.01")
    assert [fill.executed_at for fill in fills] == sorted(fill.executed_at for fill in fills)


@pytest.mark.parametrize(("asset", "currency"), [("BNB", "BNB"), ("mixed", None)])
async def test_fees_in_other_coins_are_told_where_they_are_of_one_kind(
    sandbox: RunningSandbox,
    client: BinanceClient,
    preparation: Preparation,
    asset: str,
    currency: str | None,
) -> None:
    sandbox.sandbox.facade(VENUE).variants.set("commission_asset", asset)
    wanted = await preparation.prepare(request(quantity="0.01"), next(IDS))
    fault(sandbox, FaultKind.SPLIT, parts=2)
    await client.place(wanted)
    view = await final(client, wanted.client_order_id)
    assert view.fee_currency == currency
    assert (view.fee is None) is (currency is None)


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
