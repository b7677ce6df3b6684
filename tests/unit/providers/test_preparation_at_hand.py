"""What is at hand needs no request: `at_hand` never promises more than `prepare` keeps."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import ProviderError
from providers.exchange import SymbolSetup
from providers.orders import Action, MarginMode, OrderType, PositionMode, QuantityUnit
from providers.outcomes import OutcomeClass
from providers.preparation import Preparation
from tests.unit.providers.helpers import FakeClient, request

TTL = 300.0
requests = st.fixed_dictionaries(
    {
        "leverage": st.sampled_from([None, 10, 20]),
        "margin_mode": st.sampled_from([None, MarginMode.CROSS, MarginMode.ISOLATED]),
        "quantity_unit": st.sampled_from(list(QuantityUnit)),
        "limit": st.booleans(),
    }
)
MEANWHILE = ("nothing", "long", "refused", "filter")


async def _verified(client: FakeClient) -> Preparation:
    preparation = Preparation(client, TTL, client.clock)
    await preparation.prepare(request(), "tw-0")
    client.calls.clear()
    return preparation


def _request(action: Action, limit: bool, **fields: Any) -> Any:  # noqa: ANN401, FBT001
    if limit:
        fields |= {"order_type": OrderType.LIMIT, "price": Decimal(20000)}
    return request(
        action, "100" if fields["quantity_unit"] is QuantityUnit.QUOTE else "0.005", **fields
    )


@given(
    st.sampled_from([Action.LONG, Action.SHORT, Action.CLOSE_LONG, Action.CLOSE]),
    requests,
    st.sampled_from([None, 10, 20]),
    st.sampled_from(MEANWHILE),
)
def test_what_is_at_hand_asks_and_sets_nothing(
    action: Action, fields: dict[str, Any], default: int | None, meanwhile: str
) -> None:
    async def check() -> None:
        client = FakeClient()
        client.setup = SymbolSetup(PositionMode.ONE_WAY, Decimal(10), MarginMode.CROSS)
        preparation = await _verified(client)
        if meanwhile == "long":
            client.clock.advance(TTL + 1)
        elif meanwhile != "nothing":
            refused = OutcomeClass.FILTER if meanwhile == "filter" else OutcomeClass.PARAMETER
            preparation.forget("BTCUSDT", refused)
        wanted = _request(action, **fields)
        if not preparation.at_hand(wanted, default_leverage=default):
            return
        with contextlib.suppress(ProviderError):
            await preparation.prepare(wanted, "tw-1", default_leverage=default)
        assert client.calls == []

    asyncio.run(check())


@pytest.mark.parametrize("action", [Action.LONG, Action.SHORT])
async def test_an_opening_order_is_at_hand_once_its_symbol_is_verified(action: Action) -> None:
    client = FakeClient()
    preparation = Preparation(client, TTL, client.clock)
    wanted = request(action, leverage=10)
    assert not preparation.at_hand(wanted)
    await preparation.prepare(wanted, "tw-0")
    assert preparation.at_hand(wanted)
    assert not preparation.at_hand(request(action, leverage=20))
    assert not preparation.at_hand(request(Action.CLOSE_LONG))
