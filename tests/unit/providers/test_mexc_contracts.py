"""MEXC's contracts in base coins, and both of their names."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from providers.mexc.contracts import contract, read_listing
from providers.orders import (
    MarginMode,
)
from tests.unit.providers.mexc_stub import (
    CONTRACT,
    parsed,
)


def test_a_contract_in_coins() -> None:
    found = contract(parsed({**CONTRACT, "limitMaxVol": 900000, "volUnit": 5}))
    rules = found.instrument
    assert (rules.symbol, rules.venue_symbol) == ("BTCUSDT", "BTC_USDT")
    assert (rules.tick, rules.lot) == (Decimal("0.1"), Decimal("0.0005"))
    assert (rules.min_quantity, rules.max_quantity) == (Decimal("0.0001"), Decimal(90))
    assert (rules.max_market_quantity, rules.contract_size) == (Decimal(40), Decimal("0.0001"))
    assert (rules.min_leverage, rules.max_leverage) == (1, 500)
    assert rules.tradable
    assert found.margin_modes == frozenset(MarginMode)


@pytest.mark.parametrize("state", [1, 2, 3, 4])
def test_only_enabled_contracts_are_tradable(state: int) -> None:
    assert not contract({**CONTRACT, "state": state}).instrument.tradable
    assert not contract({**CONTRACT, "isHidden": True}).instrument.tradable


@pytest.mark.parametrize(("code", "mode"), [(1, MarginMode.ISOLATED), (2, MarginMode.CROSS)])
def test_a_contract_may_offer_one_margin_mode_only(code: int, mode: MarginMode) -> None:
    assert contract({**CONTRACT, "positionOpenType": code}).margin_modes == frozenset({mode})


@pytest.mark.parametrize(
    "change",
    [
        {"contractSize": 0},
        {"contractSize": 0.0001},
        {"volUnit": Decimal("0.5")},
        {"priceUnit": None},
        {"symbol": "BTCUSDT"},
        {"symbol": "_USDT"},
        {"symbol": "BTC_USDT_240628"},
        {"symbol": "A_BTC_USDT"},
        {"state": "open"},
        {"positionOpenType": 4},
    ],
)
def test_one_unreadable_contract_does_not_hide_the_others(change: dict[str, Any]) -> None:
    odd = {**CONTRACT, "symbol": "ODD_USDT", **change}
    listing, unreadable = read_listing({"data": [odd, CONTRACT]})
    assert list(listing.by_symbol) == ["BTCUSDT"]
    assert len(unreadable) == 1
    assert not listing.knows(odd["symbol"])


def test_a_contract_goes_by_its_own_name_not_by_its_coin() -> None:
    named = {**CONTRACT, "symbol": "FILECOIN_USDT", "baseCoin": "FIL"}
    listing, _ = read_listing({"data": [named]})
    assert list(listing.by_symbol) == ["FILECOINUSDT"]


def test_what_is_no_usdt_perpetual_is_known_but_not_traded() -> None:
    coin_margined = {**CONTRACT, "symbol": "BTC_USD", "quoteCoin": "USD", "settleCoin": "BTC"}
    usdc = {**CONTRACT, "symbol": "BTC_USDC", "quoteCoin": "USDC", "settleCoin": "USDC"}
    listing, unreadable = read_listing({"data": [coin_margined, usdc, CONTRACT]})
    assert (list(listing.by_symbol), unreadable) == (["BTCUSDT"], [])
    assert listing.others == {"BTC_USD", "BTC_USDC"}


def test_a_single_contract_comes_as_an_object() -> None:
    listing, _ = read_listing({"data": CONTRACT})
    assert list(listing.by_symbol) == ["BTCUSDT"]
