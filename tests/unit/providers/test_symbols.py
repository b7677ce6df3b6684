"""The one spelling of a symbol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.symbols import normalise

ALPHANUMERIC = st.text(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20
)


@pytest.mark.parametrize(
    "text", ["BTCUSDT", "BTC-USDT", "BTC_USDT", "btc/usdt", "btcusdt", "Btc-uSdt"]
)
def test_all_spellings_mean_the_same(text: str) -> None:
    assert normalise(text) == "BTCUSDT"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "BTC-",
        "-USDT",
        "BTC--USDT",
        "BTC-USDT-PERP",
        "BTC/USDT:USDT",
        " BTCUSDT",
        "BTCUSDT\n",
        "BTC USDT",
        "BTC&symbol=ETHUSDT",
        "BTCÜSDT",
        "ＢＴＣUSDT",  # noqa: RUF001 - full-width letters look like the real ones
        "٣USDT",
        "B" * 500,
    ],
)
def test_anything_else_is_refused_and_told_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match="for example BTCUSDT or BTC-USDT"):
        normalise(text)


@given(ALPHANUMERIC, st.sampled_from(["", "-", "_", "/"]), ALPHANUMERIC)
def test_normalising_twice_changes_nothing(base: str, separator: str, quote: str) -> None:
    once = normalise(base + separator + quote)
    assert once == (base + quote).upper()
    assert normalise(once) == once
