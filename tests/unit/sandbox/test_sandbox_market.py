"""Prices follow from the seed and the clock, move, and stay on the tick; control can hold them."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.sandbox.clock import SandboxClock
from providers.sandbox.instruments import LINEAR, Listing
from providers.sandbox.market import GRID_MS, Market

NOW = 1_700_000_000_000
symbols = st.sampled_from([item.symbol for item in LINEAR])
instants = st.integers(0, 2 * NOW)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 5), symbols, instants)
def test_same_seed_same_price(seed: int, symbol: str, at: int) -> None:
    assert Market(LINEAR, seed).prices(symbol, at) == Market(LINEAR, seed).prices(symbol, at)


@settings(deadline=None)  # a busy machine is no failure
@given(symbols, instants)
def test_prices_are_on_the_tick_and_near_the_start(symbol: str, at: int) -> None:
    market = Market(LINEAR, 1)
    item = market.instruments[symbol]
    for price in market.prices(symbol, at):
        assert price % item.tick == 0
        assert abs(price - item.start_price) <= item.start_price / 50


def test_prices_move_with_time_and_seed() -> None:
    market = Market(LINEAR, 1)
    path = [market.last("BTCUSDT", NOW + step * 1000) for step in range(60)]
    assert len(set(path)) > 30
    other = Market(LINEAR, 2)
    assert path != [other.last("BTCUSDT", NOW + step * 1000) for step in range(60)]


def test_prices_stand_still_between_grid_instants() -> None:
    market = Market(LINEAR, 1)
    start = NOW // GRID_MS * GRID_MS
    assert len({market.last("ETHUSDT", start + ms) for ms in range(GRID_MS)}) == 1


def test_holding_moving_and_releasing() -> None:
    market = Market(LINEAR, 1)
    own = market.prices("BTCUSDT", NOW)
    market.hold("BTCUSDT", Decimal("91234.56"))
    held = market.prices("BTCUSDT", NOW)
    assert held == market.prices("BTCUSDT", NOW + 60_000)
    assert held.last == held.mark == Decimal("91234.6")
    market.move("BTCUSDT", Decimal(90_000), NOW)
    assert market.last("BTCUSDT", NOW) == Decimal(90_000)
    assert market.last("BTCUSDT", NOW + 60_000) != Decimal(90_000)
    market.release("BTCUSDT")
    assert market.prices("BTCUSDT", NOW) == own


def test_the_lists_offer_enough_to_choose_from() -> None:
    trading = {item.symbol for item in LINEAR if item.listing is Listing.TRADING}
    assert {"BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT"} < trading
    for item in LINEAR:
        assert item.min_price <= item.start_price <= item.max_price
        assert item.start_price % item.tick == 0
        assert item.min_qty % item.step == 0
        assert item.max_qty % item.step == 0
        assert item.max_market_qty % item.step == 0


def test_the_clock_runs_stops_and_jumps() -> None:
    clock = SandboxClock()
    clock.freeze(NOW)
    clock.advance(250)
    assert clock.now_ms() == NOW + 250
    clock.set_offset(-60_000)
    behind = clock.now_ms()
    clock.reset()
    assert 59_000 < clock.now_ms() - behind < 61_000
