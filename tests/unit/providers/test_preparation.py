"""From a request to an order: legs, closes, prices, and what is forgotten after a refusal."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import (
    ExchangeRefusal,
    ExchangeUnavailable,
    NothingToClose,
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
    QuantityUnit,
    Side,
    TimeInForce,
)
from providers.outcomes import OutcomeClass
from providers.preparation import Preparation, resolve_close
from tests.unit.providers.helpers import FakeClient, request

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


# Legs.


@pytest.mark.parametrize(
    ("action", "mode", "side", "position_side", "reduce_only"),
    [
        (Action.LONG, PositionMode.ONE_WAY, Side.BUY, None, False),
        (Action.SHORT, PositionMode.ONE_WAY, Side.SELL, None, False),
        (Action.LONG, PositionMode.HEDGE, Side.BUY, PositionSide.LONG, False),
        (Action.SHORT, PositionMode.HEDGE, Side.SELL, PositionSide.SHORT, False),
        (Action.CLOSE_LONG, PositionMode.HEDGE, Side.SELL, PositionSide.LONG, True),
        (Action.CLOSE_SHORT, PositionMode.HEDGE, Side.BUY, PositionSide.SHORT, True),
    ],
)
async def test_an_action_becomes_a_leg(
    client: FakeClient,
    preparation: Preparation,
    action: Action,
    mode: PositionMode,
    side: Side,
    position_side: PositionSide | None,
    reduce_only: bool,  # noqa: FBT001 - a column of the table
) -> None:
    client.setup = SymbolSetup(mode, Decimal(10), MarginMode.CROSS)
    client.open_positions = [SHORT, LONG]
    order = await preparation.prepare(request(action), "tw-1")
    assert (order.side, order.position_side, order.reduce_only) == (
        side,
        position_side,
        reduce_only,
    )
    assert (order.client_order_id, order.quantity) == ("tw-1", Decimal("0.005"))
    assert (order.leverage, order.margin_mode) == (10, MarginMode.CROSS)
    assert order.time_in_force is TimeInForce.IOC


@pytest.mark.parametrize(
    ("position", "action", "side"),
    [
        (LONG, Action.CLOSE, Side.SELL),
        (LONG, Action.CLOSE_LONG, Side.SELL),
        (SHORT, Action.CLOSE, Side.BUY),
        (SHORT, Action.CLOSE_SHORT, Side.BUY),
    ],
)
async def test_a_close_in_one_way_mode_reduces_what_is_open(
    client: FakeClient, preparation: Preparation, position: Position, action: Action, side: Side
) -> None:
    client.open_positions = [position, held(PositionSide.LONG, "9", "ETHUSDT")]
    order = await preparation.prepare(request(action, "999"), "tw-1")
    assert (order.side, order.position_side, order.reduce_only) == (side, None, True)
    assert order.quantity == position.quantity


@pytest.mark.parametrize(
    ("action", "open_positions"),
    [
        (Action.CLOSE, []),
        (Action.CLOSE, [held(PositionSide.LONG, "9", "ETHUSDT")]),
        (Action.CLOSE_LONG, [SHORT]),
        (Action.CLOSE_SHORT, [LONG]),
    ],
)
async def test_nothing_open_on_that_side_is_nothing_to_close(
    client: FakeClient, preparation: Preparation, action: Action, open_positions: list[Position]
) -> None:
    client.open_positions = open_positions
    with pytest.raises(NothingToClose, match="BTCUSDT"):
        await preparation.prepare(request(action), "tw-1")


async def test_a_close_with_both_legs_open_must_say_which(
    client: FakeClient, preparation: Preparation
) -> None:
    client.open_positions = [LONG, SHORT]
    with pytest.raises(RequestRefused) as caught:
        await preparation.prepare(request(Action.CLOSE), "tw-1")
    assert caught.value.code == "AMBIGUOUS_CLOSE"


@given(
    st.sampled_from([Action.CLOSE, Action.CLOSE_LONG, Action.CLOSE_SHORT]),
    st.lists(
        st.builds(
            held,
            st.sampled_from(PositionSide),
            st.integers(0, 5).map(str),
            st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        ),
        max_size=4,
    ),
)
def test_a_close_always_goes_against_the_position_it_names(
    action: Action, positions: list[Position]
) -> None:
    try:
        leg, position = resolve_close(action, "BTCUSDT", positions)
    except RequestRefused:
        return
    assert leg.reduce_only
    assert position.quantity > 0
    assert (position.symbol, position.side) == ("BTCUSDT", leg.position_side)
    assert leg.side is (Side.SELL if position.side is PositionSide.LONG else Side.BUY)
    if action is not Action.CLOSE:
        assert action == f"CLOSE_{position.side}"


# Prices.


async def test_a_quote_quantity_reads_the_mark_price_each_time(
    client: FakeClient, preparation: Preparation
) -> None:
    wanted = request(quantity="100", quantity_unit=QuantityUnit.QUOTE, leverage=10)
    assert (await preparation.prepare(wanted, "tw-1")).quantity == Decimal("0.05")
    client.clock.advance(1)
    client.mark = Decimal(40000)
    assert (await preparation.prepare(wanted, "tw-2")).quantity == Decimal("0.025")
    assert client.count("mark_price") == 2


async def test_a_quote_quantity_without_a_leverage_uses_the_one_in_force(
    client: FakeClient, preparation: Preparation
) -> None:
    wanted = request(quantity="100", quantity_unit=QuantityUnit.QUOTE)
    assert (await preparation.prepare(wanted, "tw-1")).quantity == Decimal("0.05")
    client.setup = SymbolSetup(PositionMode.ONE_WAY, None, None)
    preparation.forget("BTCUSDT")
    with pytest.raises(RequestRefused) as caught:
        await preparation.prepare(wanted, "tw-2")
    assert caught.value.code == "LEVERAGE_REQUIRED"


async def test_a_quote_quantity_of_a_limit_order_needs_no_mark_price(
    client: FakeClient, preparation: Preparation
) -> None:
    wanted = request(
        quantity="100",
        quantity_unit=QuantityUnit.QUOTE,
        order_type=OrderType.LIMIT,
        price=Decimal(10000),
        leverage=10,
        time_in_force=TimeInForce.POST_ONLY,
    )
    order = await preparation.prepare(wanted, "tw-1")
    assert (order.quantity, order.price) == (Decimal("0.1"), Decimal(10000))
    assert order.time_in_force is TimeInForce.POST_ONLY
    assert client.count("mark_price") == 0


async def test_a_close_in_quote_currency_uses_the_positions_leverage(
    client: FakeClient, preparation: Preparation
) -> None:
    client.open_positions = [LONG]
    wanted = request(Action.CLOSE, "1000", quantity_unit=QuantityUnit.QUOTE, leverage=3)
    assert (await preparation.prepare(wanted, "tw-1")).quantity == Decimal("0.5")


async def test_a_remembered_price_checks_the_notional_of_market_orders_for_a_minute(
    client: FakeClient, preparation: Preparation
) -> None:
    client.mark = Decimal(4000)
    await preparation.mark_price("BTCUSDT")
    with pytest.raises(RequestRefused) as caught:
        await preparation.prepare(request(quantity="0.001"), "tw-1")
    assert caught.value.code == "BELOW_MIN_NOTIONAL"
    client.clock.advance(61)
    await preparation.prepare(request(quantity="0.001"), "tw-2")
    assert client.count("mark_price") == 1


async def test_a_mark_price_is_read_again_when_it_is_too_old_for_the_caller(
    client: FakeClient, preparation: Preparation
) -> None:
    await preparation.mark_price("BTCUSDT")
    client.clock.advance(2)
    await preparation.mark_price("BTCUSDT", max_age=timedelta(seconds=5))
    assert client.count("mark_price") == 1
    await preparation.mark_price("BTCUSDT", max_age=timedelta(seconds=1))
    assert client.count("mark_price") == 2
    assert preparation.known_mark("ETHUSDT") is None


async def test_a_clock_that_is_set_back_makes_no_old_mark_price_young(
    client: FakeClient, preparation: Preparation
) -> None:
    await preparation.mark_price("BTCUSDT")
    client.clock.advance(6)
    client.clock.wall -= timedelta(hours=1)
    assert preparation.known_mark("BTCUSDT", max_age=timedelta(seconds=7)) is not None
    assert preparation.known_mark("BTCUSDT", max_age=timedelta(seconds=5)) is None


# After a refusal.


async def test_forgetting_makes_the_setup_be_read_again(
    client: FakeClient, preparation: Preparation
) -> None:
    await preparation.prepare(request(), "tw-1")
    preparation.forget("BTCUSDT", OutcomeClass.PARAMETER)
    client.setup = SymbolSetup(PositionMode.HEDGE, Decimal(10), MarginMode.CROSS)
    order = await preparation.prepare(request(), "tw-2")
    assert order.position_side is PositionSide.LONG
    assert client.count("refresh_instruments") == 0


async def test_a_filter_refusal_makes_instruments_be_read_once(
    client: FakeClient, preparation: Preparation
) -> None:
    for number in range(5):
        preparation.forget("BTCUSDT", OutcomeClass.FILTER)
        await preparation.prepare(request(), f"tw-{number}")
    assert client.count("refresh_instruments") == 1
    client.clock.advance(61)
    await preparation.prepare(request(), "tw-9")
    await preparation.prepare(request(), "tw-10")
    assert client.count("refresh_instruments") == 2


async def test_instruments_that_can_not_be_read_again_do_not_stop_an_order(
    client: FakeClient, preparation: Preparation
) -> None:
    client.failing["refresh_instruments"] = DOWN
    preparation.forget("BTCUSDT", OutcomeClass.FILTER)
    await preparation.prepare(request(), "tw-1")
    client.failing.clear()
    client.clock.advance(61)
    await preparation.prepare(request(), "tw-2")
    assert client.count("refresh_instruments") == 2
