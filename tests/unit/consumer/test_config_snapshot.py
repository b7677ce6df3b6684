"""What execution sees of the config, and how long it is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from consumer.controls.live import LiveConfig
from consumer.controls.registry import Registry
from consumer.controls.snapshot import Lifted, Limits, Snapshot, parse
from consumer.controls.values import Switch
from storage.config import MOST_KEYS, Move, Stored
from tests.unit.providers.helpers import FakeClock

REGISTRY = Registry({"bybit", "binance", "mexc"})
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def seen(values: dict[str, str], *moves: Move, version: int = 1) -> Snapshot:
    return parse(Stored(version, values, moves), REGISTRY)


def test_an_empty_table_bars_nothing() -> None:
    assert seen({}) == Snapshot(version=1)


def test_a_symbol_has_its_own_limits_where_it_has_them() -> None:
    snapshot = seen(
        {
            "trade:max_leverage": "20",
            "trade:max_order_notional": "1000",
            "trade:max_leverage:BTCUSDT": "50",
        }
    )

    assert snapshot.limits_for("BTCUSDT") == Limits(50, None, Decimal(1000))
    assert snapshot.limits_for("ETHUSDT") == Limits(20, None, Decimal(1000))


def test_what_a_hand_spoiled_is_held_and_only_that() -> None:
    snapshot = seen(
        {
            "exchanges:routing:SOLUSDT": "bybt",
            "exchanges:mexc:enabled": "nope",
            "trade:max_leverage": "20",
        }
    )

    assert set(snapshot.held) == {"SOLUSDT", "mexc"}
    assert "expected: the name of an exchange" in snapshot.held["SOLUSDT"].says
    assert set(snapshot.closes_held) == {"SOLUSDT"}  # where is the position to close?
    assert snapshot.limits.max_leverage == 20


def test_a_key_that_nobody_knows_holds_everything() -> None:
    snapshot = seen({"trade:max_levrage": "5"})

    assert list(snapshot.held) == [None]
    assert snapshot.held[None].key == "trade:max_levrage"


def test_a_table_that_got_out_of_hand_holds_everything_and_is_not_read() -> None:
    snapshot = seen({f"trade:max_leverage:C{number}USDT": "5" for number in range(MOST_KEYS + 1)})

    assert list(snapshot.held) == list(snapshot.closes_held) == [None]
    assert snapshot.values == {}


def test_a_spoiled_kill_switch_holds_closes_too() -> None:
    for key, scope in (("trade:kill_switch:mexc", "mexc"), ("trade:kill_swich", None)):
        snapshot = seen({key: "stop!"})
        assert set(snapshot.held) == {scope}
        assert set(snapshot.closes_held) == ({scope} if "switch" in key else set())


def test_the_past_of_a_kill_switch_is_known() -> None:
    def move(old: str, new: str | None, minutes: int, scope: str = "") -> Move:
        return Move(f"trade:kill_switch{scope}", old, new, NOON + timedelta(minutes=minutes))

    snapshot = seen(
        {"trade:kill_switch:mexc": "on"},
        move("off", "on", 0),
        move("on", "reduce_only", 1),
        move("reduce_only", "off", 2),
        move("garbage", None, 3, ":BTCUSDT"),
        move("off", "on", 4, ":mexc"),
    )

    assert snapshot.switches == {"mexc": Switch.ON}
    assert snapshot.lifted == {
        None: Lifted(NOON + timedelta(minutes=2), NOON + timedelta(minutes=1)),
        "BTCUSDT": Lifted(NOON + timedelta(minutes=3), NOON + timedelta(minutes=3)),
    }


def test_a_snapshot_is_believed_for_a_while_only() -> None:
    clock = FakeClock()
    live = LiveConfig(REGISTRY, 3.0, clock)
    believed = [live.fresh]

    live.take(Stored(7, {"trade:max_leverage": "20"}), clock.monotonic())
    first = live.snapshot
    believed.append(live.fresh)
    clock.advance(3.5)
    believed.append(live.fresh)
    assert "3.5 s" in str(live.unbelievable())
    # another version: what we have is not what the store has
    assert not live.confirm(6, clock.now(), clock.monotonic())
    believed.append(live.fresh)
    assert live.confirm(7, clock.now(), clock.monotonic())
    believed.append(live.fresh)

    assert believed == [False, True, False, False, True]
    assert live.snapshot is first


def test_an_older_answer_does_not_undo_a_newer_one() -> None:
    clock = FakeClock()
    live = LiveConfig(REGISTRY, 3.0, clock)
    asked_first = clock.monotonic()
    clock.advance(0.1)

    live.take(Stored(8, {"trade:max_leverage": "10"}), clock.monotonic())
    live.take(Stored(7, {"trade:max_leverage": "20"}), asked_first)

    assert live.snapshot.limits.max_leverage == 10
    # A store that was put back to an older state is followed, all the same.
    clock.advance(0.1)
    live.take(Stored(5, {}), clock.monotonic())
    assert live.snapshot.limits.max_leverage is None


def test_a_newer_version_counts_though_it_was_asked_for_earlier() -> None:
    """Two ask at once; the kill switch is thrown in between, and the first is answered last."""
    clock = FakeClock()
    live = LiveConfig(REGISTRY, 3.0, clock)
    asked_first = clock.monotonic()
    clock.advance(0.1)
    asked_last = clock.monotonic()

    live.take(Stored(8, {}), asked_last)
    live.take(Stored(9, {"trade:kill_switch": "on"}), asked_first)

    assert live.snapshot.switches == {None: Switch.ON}
    clock.advance(3.05)
    assert not live.fresh, "the older question makes nothing younger"


@pytest.mark.parametrize(
    ("ours", "took", "fresh", "says"),
    [
        (1.9, 0.0, True, ""),
        (2.1, 0.0, False, "2.1 s ahead of"),
        (-1.9, 0.0, True, ""),
        (-3600.0, 0.0, False, "3600.0 s behind"),
        (2.5, 1.0, True, ""),  # the answer may have been under way for as long
        (3.5, 1.0, False, "2.5 s ahead of"),
        (-2.5, 1.0, False, "2.5 s behind"),
    ],
)
def test_nothing_is_believed_while_the_clocks_disagree(
    ours: float, took: float, says: str, *, fresh: bool
) -> None:
    clock = FakeClock()
    live = LiveConfig(REGISTRY, 3.0, clock, 2.0)
    asked_at = clock.monotonic()
    clock.advance(took)

    live.take(Stored(1, {}, (), clock.now() - timedelta(seconds=ours)), asked_at)

    assert live.fresh is fresh
    if not fresh:
        assert says in str(live.unbelievable())
        assert live.confirm(1, clock.now(), clock.monotonic())
        assert live.fresh, "it was set right"
