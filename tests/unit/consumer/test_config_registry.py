"""Which keys and values the config store takes, and what is said of the others."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.controls import values
from consumer.controls.registry import KEYS, Registry
from consumer.controls.values import Rate, Switch
from consumer.errors import ConfigRefused

REGISTRY = Registry({"bybit", "binance", "mexc"})

GOOD: list[tuple[str, str, str | None, object]] = [
    ("exchanges:routing:SOLUSDT", "binance", "SOLUSDT", "binance"),
    ("exchanges:default_routing", "mexc", None, "mexc"),
    ("exchanges:bybit:enabled", "false", "bybit", False),
    ("trade:kill_switch", "true", None, Switch.ON),
    ("trade:kill_switch:mexc", "reduce_only", "mexc", Switch.REDUCE_ONLY),
    ("trade:kill_switch:BTCUSDT", "off", "BTCUSDT", Switch.OFF),
    ("trade:max_leverage", "125", None, 125),
    ("trade:max_leverage:BTCUSDT", "1", "BTCUSDT", 1),
    ("trade:max_order_notional", "2500.50", None, Decimal("2500.50")),
    ("trade:max_signal_age_seconds", "0.25", None, timedelta(milliseconds=250)),
    ("trade:price_band_percent", "100", None, Decimal(100)),
    ("trade:max_orders_per_symbol", "10/2m", None, Rate(10, 120)),
    ("trade:symbols", "ETH-USDT, BTCUSDT", None, frozenset({"BTCUSDT", "ETHUSDT"})),
]

BAD: list[tuple[str, str, str]] = [
    ("trade:max_levrage", "5", r"did you mean trade:max_leverage\?"),
    ("exchanges:routing:sol-usdt", "bybit", r"did you mean exchanges:routing:SOLUSDT\?"),
    ("exchange:routing:SOLUSDT", "bybit", r"did you mean exchanges:routing:SOLUSDT\?"),
    ("exchanges:routing:b/t/c", "bybit", "expected: exchanges:routing:<SYMBOL>"),
    ("exchanges:bybt:enabled", "true", r"did you mean exchanges:bybit:enabled\?"),
    ("exchanges:<exchange>:enabled", "true", "did you mean exchanges:.*:enabled"),
    ("nothing:like:it", "5", "config list --all"),
    ("", "5", "config list --all"),
    ("exchanges:routing:SOLUSDT", "bybt", "expected: the name of an exchange: binance, bybit"),
    ("trade:kill_switch:bybt", "on", r"did you mean trade:kill_switch:bybit\?"),
    ("trade:kill_switch:BYBIT", "on", r"did you mean trade:kill_switch:bybit\?"),
    ("trade:kill_switch", "On", "expected: off, reduce_only or on"),
    ("exchanges:bybit:enabled", "no", "expected: true or false"),
    ("trade:max_leverage", "126", "whole number from 1 to 125"),
    ("trade:max_leverage", "0", "whole number from 1 to 125"),
    ("trade:max_leverage", "1" * 5000, "whole number from 1 to 125"),
    ("trade:max_leverage", "000000001999", "whole number from 1 to 125"),
    ("trade:max_leverage", "\u0661\u0660", "whole number from 1 to 125"),
    ("trade:max_order_notional", "1e9", "a number greater than 0"),
    ("trade:max_order_notional", "-1", "a number greater than 0"),
    ("trade:max_order_notional", "0.0", "a number greater than 0"),
    ("trade:max_order_notional", "NaN", "a number greater than 0"),
    ("trade:price_band_percent", "100.1", "at most 100"),
    ("trade:max_signal_age_seconds", "86401", "seconds"),
    ("trade:max_orders_per_symbol", "0/60s", "10/60s"),
    ("trade:symbols", "", "symbols separated by commas"),
    ("trade:symbols", ",".join(["BTCUSDT"] * 3000), "longer than 20000"),
]


@pytest.mark.parametrize(("key", "text", "scope", "value"), GOOD)
def test_good_values_are_read(key: str, text: str, scope: str | None, value: object) -> None:
    known, read = REGISTRY.read(key, text)

    assert (known.scope, read) == (scope, value)


@pytest.mark.parametrize(("key", "text", "says"), BAD)
def test_the_rest_is_refused_with_what_would_be_right(key: str, text: str, says: str) -> None:
    with pytest.raises(ConfigRefused, match=says):
        REGISTRY.accept({key: text})


def test_what_is_stored_is_written_one_way() -> None:
    assert REGISTRY.accept(
        {
            "trade:kill_switch": " true ",
            "trade:max_order_notional": "2500.500",
            "trade:max_signal_age_seconds": "30.0",
            "trade:symbols": "SOLUSDT,BTC-USDT",
            "no:such:key": None,
        }
    ) == {
        "trade:kill_switch": "on",
        "trade:max_order_notional": "2500.5",
        "trade:max_signal_age_seconds": "30",
        "trade:symbols": "BTCUSDT,SOLUSDT",
        "no:such:key": None,
    }


def test_every_key_says_what_it_is() -> None:
    for key in KEYS:
        assert key.meaning.endswith(".")
        assert REGISTRY.expected(key)


_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    values.leverage: st.integers(1, 125),
    values.positive: st.decimals("0.000001", "1000000000000", places=6),
    values.percent: st.decimals("0.01", "100", places=2),
    values.seconds: st.integers(1000, 86_400_000_000).map(lambda us: timedelta(microseconds=us)),
    values.rate: st.builds(Rate, st.integers(1, 1000), st.integers(1, 86400)),
    values.switch: st.sampled_from(Switch),
    values.truth: st.booleans(),
}


@given(st.data(), st.sampled_from(list(_VALUES)))
def test_what_is_written_is_read_as_the_same(data: st.DataObject, parse: Any) -> None:  # noqa: ANN401
    value = data.draw(_VALUES[parse])

    assert parse(values.text_of(value)) == value


@given(st.text(max_size=40), st.sampled_from(list(_VALUES)))
def test_any_text_is_read_or_refused(text: str, parse: Any) -> None:  # noqa: ANN401
    try:
        value = parse(text)
    except ValueError:
        return
    assert parse(values.text_of(value)) == value
