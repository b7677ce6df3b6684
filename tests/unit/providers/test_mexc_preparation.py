"""What preparation does for venues such as MEXC: the opening gate, reserved and mixed legs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest

from providers.errors import ExchangeUnavailable, RequestRefused
from providers.orders import (
    Action,
    MarginMode,
    Position,
    PositionMode,
    PositionSide,
)
from providers.outcomes import OutcomeClass
from providers.preparation import Preparation
from tests.unit.providers.helpers import FakeClient, request

DOWN = ExchangeUnavailable("fake", "down", outcome_class=OutcomeClass.UNKNOWN)


@dataclass
class GatedClient(FakeClient):
    """A client with a say in openings and a position mode that can be read alone."""

    cleared: bool = False

    def check_opening(self, symbol: str) -> None:
        if not self.cleared:
            raise RequestRefused("EXCHANGE_NOT_CLEARED", f"{symbol} can't be opened")

    async def position_mode(self) -> PositionMode:
        await self._called("position_mode")
        return self.setup.position_mode


def held(closable: str | None, mode: MarginMode | None = None, quantity: str = "1.5") -> Position:
    return Position(
        "BTCUSDT",
        PositionSide.LONG,
        Decimal(quantity),
        Decimal(20000),
        Decimal(10),
        None if closable is None else Decimal(closable),
        mode,
    )


@pytest.fixture
async def client() -> GatedClient:
    return GatedClient()


@pytest.fixture
async def preparation(client: GatedClient) -> Preparation:
    return Preparation(client, 300.0, client.clock)


@pytest.mark.parametrize("action", [Action.LONG, Action.SHORT])
async def test_a_closed_gate_refuses_openings_before_the_account_is_touched(
    client: GatedClient, preparation: Preparation, action: Action
) -> None:
    with pytest.raises(RequestRefused) as caught:
        await preparation.prepare(request(action, leverage=7), "tw-1")
    assert caught.value.code == "EXCHANGE_NOT_CLEARED"
    assert client.calls == []
    client.cleared = True
    assert (await preparation.prepare(request(action, leverage=7), "tw-1")).leverage == 7


async def test_a_closed_gate_lets_closes_through(
    client: GatedClient, preparation: Preparation
) -> None:
    client.open_positions = [held(None)]
    order = await preparation.prepare(request(Action.CLOSE, "1"), "tw-1")
    assert order.reduce_only


@pytest.mark.parametrize(
    ("closable", "expected"), [(None, "1.5"), ("1.5", "1.5"), ("0.4", "0.4"), ("0.0009999", None)]
)
async def test_a_close_takes_what_other_closes_have_left(
    client: GatedClient, preparation: Preparation, closable: str | None, expected: str | None
) -> None:
    client.open_positions = [held(closable)]
    if expected is None:
        with pytest.raises(RequestRefused):
            await preparation.prepare(request(Action.CLOSE, "9"), "tw-1")
    else:
        order = await preparation.prepare(request(Action.CLOSE, "9"), "tw-1")
        assert order.quantity == Decimal(expected)


async def test_a_position_that_is_reserved_whole_is_refused_by_name(
    client: GatedClient, preparation: Preparation
) -> None:
    client.open_positions = [held("0")]
    with pytest.raises(RequestRefused, match=r"all 1\.5 of the LONG position") as caught:
        await preparation.prepare(request(Action.CLOSE_LONG), "tw-1")
    assert caught.value.code == "POSITION_RESERVED"


@pytest.mark.parametrize(
    ("of_position", "expected"),
    [(MarginMode.ISOLATED, MarginMode.ISOLATED), (None, MarginMode.CROSS)],
)
async def test_a_close_is_in_the_margin_mode_of_its_position(
    client: GatedClient,
    preparation: Preparation,
    of_position: MarginMode | None,
    expected: MarginMode,
) -> None:
    client.open_positions = [held(None, of_position)]
    order = await preparation.prepare(request(Action.CLOSE), "tw-1")
    assert order.margin_mode is expected


async def test_a_close_goes_on_with_the_position_mode_alone_and_keeps_nothing(
    client: GatedClient, preparation: Preparation
) -> None:
    client.failing["symbol_setup"] = DOWN
    client.open_positions = [held("1.5", MarginMode.ISOLATED)]
    order = await preparation.prepare(request(Action.CLOSE), "tw-1")
    assert (order.position_side, order.margin_mode) == (None, MarginMode.ISOLATED)
    client.cleared = True
    with pytest.raises(ExchangeUnavailable):
        await preparation.prepare(request(Action.LONG), "tw-2")


async def test_a_client_without_that_leaves_it_at_the_failure() -> None:
    client = FakeClient(open_positions=[held(None)], failing={"symbol_setup": DOWN})
    with pytest.raises(ExchangeUnavailable):
        await Preparation(client, 300.0, client.clock).prepare(request(Action.CLOSE), "tw-1")
