"""How a MEXC account is set up: reading it, and which leverage calls would be made."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.errors import RequestRefused
from providers.fields import MalformedReply
from providers.mexc import setup
from providers.mexc.exact import loads
from providers.orders import MarginMode, PositionMode
from tests.unit.providers.mexc_stub import BTC_CONTRACT, POSITION_ROW, leverage_row

if TYPE_CHECKING:
    from collections.abc import Sequence

ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS
BOTH_AT_5 = (leverage_row(1), leverage_row(2))


def changes(
    rows: Sequence[dict[str, Any]],
    mode: MarginMode | None,
    leverage: int | None,
    positions: Sequence[dict[str, Any]] = (),
    margin_modes: frozenset[MarginMode] = frozenset(MarginMode),
) -> list[Any]:
    contract = replace(BTC_CONTRACT, margin_modes=margin_modes)
    current = setup.account_setup(contract, {"data": list(rows)}, positions)
    return [loads(body) for body in setup.changes(contract, current, mode, leverage)]


def change(position_type: int, leverage: int, open_type: int = 1) -> dict[str, Any]:
    return {
        "openType": open_type,
        "leverage": leverage,
        "symbol": "BTC_USDT",
        "positionType": position_type,
    }


# Reading.


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (1, PositionMode.HEDGE),
        (2, PositionMode.ONE_WAY),
        ("2", PositionMode.ONE_WAY),
        ({"positionMode": 1}, PositionMode.HEDGE),
    ],
)
def test_the_position_mode_comes_bare_or_in_an_object(data: object, mode: PositionMode) -> None:
    assert setup.position_mode({"data": data}) is mode


@pytest.mark.parametrize("data", [None, 0, 3, [], {}, "hedge", True, Decimal(1)])
def test_no_position_mode_is_guessed(data: object) -> None:
    with pytest.raises(MalformedReply):
        setup.position_mode({"data": data})


@pytest.mark.parametrize(
    ("rows", "leverage", "mode"),
    [
        (BOTH_AT_5, Decimal(5), ISOLATED),
        ((leverage_row(1, 2, 5), leverage_row(2, 2, 5)), Decimal(5), CROSS),
        ((leverage_row(1, 1, 5), leverage_row(2, 1, 10)), None, ISOLATED),
        ((leverage_row(1, 1, 5), leverage_row(2, 2, 5)), Decimal(5), None),
        ((leverage_row(1),), Decimal(5), ISOLATED),
    ],
)
def test_what_differs_between_the_legs_is_not_in_force(
    rows: Sequence[dict[str, Any]], leverage: Decimal | None, mode: MarginMode | None
) -> None:
    found = setup.symbol_setup(BTC_CONTRACT, PositionMode.HEDGE, {"data": list(rows)})
    assert (found.leverage, found.margin_mode) == (leverage, mode)


@pytest.mark.parametrize(
    "data",
    [None, [], [{}], [{**leverage_row(1), "openType": 3}], [{**leverage_row(1), "leverage": 0}]],
)
def test_unreadable_leverages_are_no_answer(data: object) -> None:
    with pytest.raises(MalformedReply):
        setup.symbol_setup(BTC_CONTRACT, PositionMode.HEDGE, {"data": data})


# Changing.


def test_what_is_in_force_is_not_set_again() -> None:
    assert changes(BOTH_AT_5, None, 5) == []
    assert changes(BOTH_AT_5, ISOLATED, 5) == []
    assert changes(BOTH_AT_5, ISOLATED, None) == []


def test_a_leverage_is_set_for_both_legs_as_the_signed_example_is_written() -> None:
    rows = {"data": [leverage_row(1, 1, 10), leverage_row(2, 1, 10)]}
    current = setup.account_setup(BTC_CONTRACT, rows, ())
    assert setup.changes(BTC_CONTRACT, current, None, 5) == [
        b'{"openType":1,"leverage":5,"symbol":"BTC_USDT","positionType":1}',
        b'{"openType":1,"leverage":5,"symbol":"BTC_USDT","positionType":2}',
    ]


def test_only_the_leg_that_differs_is_changed() -> None:
    rows = (leverage_row(1, 1, 5), leverage_row(2, 1, 10))
    assert changes(rows, None, 5) == [change(2, 5)]


def test_a_leg_that_was_never_set_is() -> None:
    assert changes((leverage_row(1),), ISOLATED, 5) == [change(2, 5)]


def test_a_margin_mode_goes_with_the_leverage() -> None:
    assert changes(BOTH_AT_5, CROSS, 10) == [change(1, 10, 2), change(2, 10, 2)]
    # No leverage named: each leg keeps its own.
    rows = (leverage_row(1, 1, 5), leverage_row(2, 1, 20))
    assert changes(rows, CROSS, None) == [change(1, 5, 2), change(2, 20, 2)]


def test_rows_for_both_margin_modes_are_told_apart() -> None:
    rows = [
        leverage_row(leg, open_type, leverage)
        for leg in (1, 2)
        for open_type, leverage in ((1, 5), (2, 10))
    ]
    assert changes(rows, ISOLATED, 5) == []
    assert changes(rows, CROSS, 5) == [change(1, 5, 2), change(2, 5, 2)]


def test_the_leverage_of_a_position_is_changed_by_its_id() -> None:
    assert changes(BOTH_AT_5, None, 10, [POSITION_ROW]) == [
        {"positionId": 1394650, "leverage": 10},
        change(2, 10),
    ]
    assert changes(BOTH_AT_5, None, 5, [POSITION_ROW]) == []
    assert changes(BOTH_AT_5, ISOLATED, None, [POSITION_ROW]) == []
    # A position of another contract, or a closed one, is none.
    other = {**POSITION_ROW, "symbol": "ETH_USDT"}
    flat = {**POSITION_ROW, "holdVol": 0}
    assert changes(BOTH_AT_5, None, 10, [other, flat]) == [change(1, 10), change(2, 10)]


@pytest.mark.parametrize(
    ("rows", "mode", "leverage", "positions", "code"),
    [
        (BOTH_AT_5, CROSS, 5, [POSITION_ROW], "MARGIN_MODE_CONFLICT"),
        ((leverage_row(1, 1), leverage_row(1, 2)), None, 5, [], "MARGIN_MODE_REQUIRED"),
        ((leverage_row(1),), None, 5, [], "MARGIN_MODE_REQUIRED"),
        ((leverage_row(1),), ISOLATED, None, [], "LEVERAGE_REQUIRED"),
    ],
)
def test_what_can_not_be_set_up_is_refused(
    rows: Sequence[dict[str, Any]],
    mode: MarginMode | None,
    leverage: int | None,
    positions: Sequence[dict[str, Any]],
    code: str,
) -> None:
    with pytest.raises(RequestRefused) as caught:
        changes(rows, mode, leverage, positions)
    assert caught.value.code == code


def test_a_margin_mode_that_the_contract_lacks_is_refused() -> None:
    with pytest.raises(RequestRefused, match="offers ISOLATED") as caught:
        changes(BOTH_AT_5, CROSS, 5, margin_modes=frozenset({ISOLATED}))
    assert caught.value.code == "MARGIN_MODE_CONFLICT"


def test_a_contract_with_one_margin_mode_needs_none_to_be_named() -> None:
    only = replace(BTC_CONTRACT, margin_modes=frozenset({CROSS}))
    found = setup.symbol_setup(only, PositionMode.HEDGE, {"data": list(BOTH_AT_5)})
    assert (found.leverage, found.margin_mode) == (Decimal(5), CROSS)
    assert changes((), None, 7, margin_modes=frozenset({CROSS})) == [
        change(1, 7, 2),
        change(2, 7, 2),
    ]
