"""The instrument book: one reading at a time, and none that an order waits for without need."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from providers.errors import ExchangeUnavailable, RequestRefused
from providers.instruments import InstrumentBook
from providers.outcomes import OutcomeClass
from tests.unit.providers.helpers import BTC, FakeClock, btc

if TYPE_CHECKING:
    from providers.orders import Instrument

DOWN = ExchangeUnavailable("fake", "down", outcome_class=OutcomeClass.UNKNOWN)


class Listing:
    """What the exchange lists; counts readings, and can fail or be held up."""

    def __init__(self) -> None:
        self.listed: dict[str, Instrument] = {"BTCUSDT": BTC}
        self.readings = 0
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self) -> dict[str, Instrument]:
        self.readings += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return self.listed


@pytest.fixture
async def listing() -> Listing:
    return Listing()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def book(listing: Listing, clock: FakeClock) -> InstrumentBook:
    return InstrumentBook("fake", listing.load, clock, 3600.0)


async def settled() -> None:
    """Let tasks that are ready run to their next wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_that_ask_at_once_cause_one_reading(
    listing: Listing, book: InstrumentBook
) -> None:
    listing.gate.clear()
    asking = [asyncio.create_task(book.get("BTCUSDT")) for _ in range(20)]
    await settled()
    listing.gate.set()
    assert await asyncio.gather(*asking) == [BTC] * 20
    assert listing.readings == 1


async def test_one_that_stops_waiting_does_not_end_the_reading(
    listing: Listing, book: InstrumentBook
) -> None:
    listing.gate.clear()
    first = asyncio.create_task(book.get("BTCUSDT"))
    second = asyncio.create_task(book.get("BTCUSDT"))
    await settled()
    first.cancel()
    await settled()
    listing.gate.set()
    assert await second == BTC
    assert listing.readings == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_old_rules_serve_while_new_ones_are_read(
    listing: Listing, clock: FakeClock, book: InstrumentBook
) -> None:
    await book.get("BTCUSDT")
    clock.advance(3601)
    listing.listed = {"BTCUSDT": btc(max_leverage=50)}
    listing.gate.clear()
    assert await book.get("BTCUSDT") == BTC
    listing.gate.set()
    await settled()
    assert (await book.get("BTCUSDT")).max_leverage == 50
    assert listing.readings == 2


async def test_a_failed_reading_behind_is_not_repeated_at_once(
    listing: Listing, clock: FakeClock, book: InstrumentBook
) -> None:
    await book.get("BTCUSDT")
    clock.advance(3601)
    listing.failure = DOWN
    for _ in range(10):
        assert await book.get("BTCUSDT") == BTC
        await settled()
    assert listing.readings == 2
    clock.advance(31)
    listing.failure = None
    await book.get("BTCUSDT")
    await settled()
    assert listing.readings == 3


async def test_an_unknown_symbol_is_looked_for_at_most_once_a_minute(
    listing: Listing, clock: FakeClock, book: InstrumentBook
) -> None:
    for _ in range(3):
        with pytest.raises(RequestRefused) as caught:
            await book.get("NEWUSDT")
        assert caught.value.code == "UNKNOWN_SYMBOL"
    assert listing.readings == 1
    clock.advance(61)
    listing.listed = {"BTCUSDT": BTC, "NEWUSDT": btc(symbol="NEWUSDT")}
    assert (await book.get("NEWUSDT")).symbol == "NEWUSDT"
    assert listing.readings == 2


async def test_a_first_reading_that_fails_is_an_error_and_tried_by_the_next(
    listing: Listing, book: InstrumentBook
) -> None:
    listing.failure = DOWN
    with pytest.raises(ExchangeUnavailable):
        await book.get("BTCUSDT")
    listing.failure = None
    assert await book.get("BTCUSDT") == BTC


async def test_closing_ends_a_reading(listing: Listing, book: InstrumentBook) -> None:
    listing.gate.clear()
    asking = asyncio.create_task(book.get("BTCUSDT"))
    await settled()
    await book.aclose()
    await asyncio.wait([asking])
    assert len(asyncio.all_tasks()) == 1
