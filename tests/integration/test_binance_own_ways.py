"""What Binance does in its own way, over real HTTP; what all exchanges do is in the suite."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from providers.binance.client import BinanceClient
from providers.conformance.builtin import BINANCE
from providers.conformance.trader import Trader
from providers.conformance.venue import Fault, What
from providers.orders import PositionMode
from providers.outcomes import PlacementKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from providers.conformance.sandboxed import SandboxStage


@pytest.fixture
async def stage() -> AsyncIterator[SandboxStage]:
    async with BINANCE.stage(PositionMode.ONE_WAY) as opened:
        await opened.hold_price(BINANCE.price)
        yield opened


@pytest.fixture
async def trader(stage: SandboxStage) -> AsyncIterator[Trader]:
    client = stage.connect()
    yield Trader(BINANCE, stage, PositionMode.ONE_WAY, client)
    await client.aclose()


async def test_the_instruments_are_those_of_the_exchange(trader: Trader) -> None:
    found = await trader.client.instrument("BTCUSDT")
    assert (found.tick, found.lot, found.min_notional) == (
        Decimal("0.10"),
        Decimal("0.001"),
        Decimal(50),
    )
    assert (found.max_market_quantity, found.max_leverage) == (Decimal(120), 125)
    assert (await trader.client.instrument("SOLUSDT")).max_leverage == 100
    assert not (await trader.client.instrument("EOSUSDT")).tradable


@pytest.mark.parametrize(("asset", "currency"), [("BNB", "BNB"), ("mixed", None)])
async def test_fees_in_other_coins_are_told_where_they_are_of_one_kind(
    stage: SandboxStage, trader: Trader, asset: str, currency: str | None
) -> None:
    stage.turn("commission_asset", asset)
    done = await trader.spoiled(Fault(What.SPLIT))
    assert done.view.fee_currency == currency
    assert (done.view.fee is None) is (currency is None)


async def test_protecting_again_tells_which_level_was_reached(
    stage: SandboxStage, trader: Trader
) -> None:
    client = trader.client
    assert isinstance(client, BinanceClient)
    wanted = trader.request(take_profit=Decimal(51_000), stop_loss=Decimal(49_000))
    done = await trader.trade(wanted)
    placed = await client.protect(done.order, done.view)
    assert [one.kind for one in placed] == [PlacementKind.ACCEPTED] * 2, placed
    stop, target = await client.protect(done.order, done.view)
    assert "is NEW" in (stop.message or "")
    assert "is NEW" in (target.message or "")
    assert [stop.exchange_order_id, target.exchange_order_id] == [
        one.exchange_order_id for one in placed
    ]
    await stage.hold_price(Decimal(51_500))

    async def flat() -> bool | None:
        return None if await client.positions("BTCUSDT") else True

    await trader.until(flat, "the position to be closed")
    _, target = await client.protect(done.order, done.view)
    assert "is NEW" not in (target.message or "")
