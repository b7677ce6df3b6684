"""Signals in a real database: kept as they came, found by every filter, read page by page."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from storage.signals import (
    SIGNALS_MOST,
    NewSignal,
    Signal,
    SignalFilter,
    add_signal,
    get_signal,
    list_signals,
)

if TYPE_CHECKING:
    from storage.postgres import Database

MADE = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
LONG = NewSignal(
    signaled_at=MADE,
    symbol="BTCUSDT",
    signal_type="LONG",
    source="tradingview",
    exchange="bybit",
    price=Decimal("60000.123456789012345678901"),
    raw='{"symbol": "btc-usdt",  "note": "\\u0000 \\ud800", "price": 1.10}',
)


async def test_a_signal_is_kept_as_it_came(database: Database) -> None:
    kept = await add_signal(database, LONG)

    assert await get_signal(database, LONG.signal_id) == kept
    for name in ("signal_id", "signaled_at", "symbol", "signal_type", "source", "exchange"):
        assert getattr(kept, name) == getattr(LONG, name)
    assert kept.price == LONG.price  # no float in between
    assert kept.raw == LONG.raw  # to the last space
    assert abs(kept.received_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert await get_signal(database, uuid4()) is None


async def test_the_same_signal_twice_is_one(database: Database) -> None:
    first = await add_signal(database, LONG)
    again = await add_signal(database, replace(LONG, signal_type="SHORT"))

    assert again == first
    assert (await list_signals(database, SignalFilter())).signals == [first]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (SignalFilter(), "dcba"),
        (SignalFilter(symbol="ETHUSDT"), "b"),
        (SignalFilter(signal_type="SHORT"), "c"),
        (SignalFilter(source="email"), "db"),
        (SignalFilter(exchange="mexc"), "d"),
        (SignalFilter(since=MADE + timedelta(hours=1)), "dcb"),
        (SignalFilter(until=MADE + timedelta(hours=2)), "ba"),
        (SignalFilter(source="email", exchange="mexc"), "d"),
        (SignalFilter(symbol="XRPUSDT"), ""),
    ],
)
async def test_every_filter_finds_its_own(
    database: Database, wanted: SignalFilter, found: str
) -> None:
    signals = {
        "a": LONG,
        "b": replace(LONG, symbol="ETHUSDT", source="email"),
        "c": replace(LONG, signal_type="SHORT"),
        "d": replace(LONG, source="email", exchange="mexc"),
    }
    names = {}
    for hours, (name, signal) in enumerate(signals.items()):
        made = MADE + timedelta(hours=hours)
        kept = await add_signal(database, replace(signal, signal_id=uuid4(), signaled_at=made))
        names[kept.signal_id] = name

    page = await list_signals(database, wanted)

    assert "".join(names[one.signal_id] for one in page.signals) == found


async def test_pages_hold_each_signal_once_while_more_arrive(database: Database) -> None:
    there = [
        await add_signal(database, replace(LONG, signal_id=uuid4(), source="old"))
        for _ in range(11)
    ]
    seen: list[Signal] = []
    before = None
    while True:
        page = await list_signals(database, SignalFilter(limit=5, before=before))
        await asyncio.gather(
            *(add_signal(database, replace(LONG, signal_id=uuid4())) for _ in range(3))
        )
        seen.extend(page.signals)
        before = page.next
        if before is None:
            break

    assert seen == there[::-1]


@pytest.mark.parametrize("limit", [0, -1, SIGNALS_MOST + 1])
def test_a_page_has_a_sensible_size(limit: int) -> None:
    with pytest.raises(ValueError, match="must be 1 to 100"):
        SignalFilter(limit=limit)
