"""Binance's limits: windows that begin on whole multiples, and bans for going on regardless."""

from __future__ import annotations

from providers.sandbox.binance.limits import BANS_MS, GRACE, Address, AlignedWindow, OrderCounts
from providers.sandbox.limits import Cap

MINUTE = 60_000
NOW = 1_700_000_000_000 // MINUTE * MINUTE


def test_a_window_empties_on_the_whole_minute() -> None:
    window = AlignedWindow(Cap(3, MINUTE))
    assert window.add(NOW + 59_000, 3)
    assert not window.add(NOW + 59_999)
    assert window.used(NOW + 59_999) == 4
    assert window.next_ms(NOW + 59_999) == NOW + MINUTE
    assert window.add(NOW + MINUTE, 3)
    assert window.used(NOW + MINUTE) == 3


def test_a_window_starts_anew_when_the_clock_goes_back() -> None:
    window = AlignedWindow(Cap(1, MINUTE))
    assert window.add(NOW)
    assert window.add(NOW - MINUTE)


def test_going_on_regardless_is_banned_longer_each_time() -> None:
    address = Address(Cap(1, MINUTE))
    now = NOW
    for length in (*BANS_MS, BANS_MS[-1]):
        for _ in range(GRACE):
            address.offend(now)
            assert address.banned_until(now) is None
        address.offend(now)
        assert address.banned_until(now) == now + length
        assert address.banned_until(now + length - 1) == now + length
        assert address.banned_until(now + length) is None
        now += length


def test_a_few_refusals_a_minute_are_forgiven() -> None:
    address = Address(Cap(1, MINUTE))
    for minute in range(5):
        for _ in range(GRACE):
            address.offend(NOW + minute * MINUTE)
    assert address.banned_until(NOW + 4 * MINUTE) is None


def test_a_ban_keeps_its_length_when_the_clock_goes_back() -> None:
    address = Address(Cap(1, MINUTE))
    address.ban(NOW + 5_000)
    address.rewind(100_000)
    assert address.banned_until(NOW - 100_000) == NOW - 95_000


def test_accounts_count_their_orders_apart() -> None:
    counts = OrderCounts({"orders_10s": Cap(2, 10_000), "orders_1m": Cap(3, MINUTE)})
    tens, minutes = counts.of("one")
    assert [tens.add(NOW), tens.add(NOW), tens.add(NOW)] == [True, True, False]
    assert minutes.used(NOW) == 0
    assert counts.of("two")[0].used(NOW) == 0
    assert counts.of("one")[0] is tens
