"""JSON with exact numbers, and contracts against coins: nothing is ever rounded."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import RequestRefused
from providers.fields import MalformedReply
from providers.mexc.contracts import Contract
from providers.mexc.exact import dumps, loads, number
from providers.orders import Instrument, MarginMode
from tests.unit.providers.mexc_stub import BTC_CONTRACT

FINITE = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=Decimal("-1e30"), max_value=Decimal("1e30")
)
JSON = st.recursive(
    st.booleans() | st.integers(-(2**80), 2**80) | FINITE | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


def contract(size: Decimal, step: int = 1) -> Contract:
    instrument: Instrument = replace(
        BTC_CONTRACT.instrument, contract_size=size, lot=size * step, min_quantity=size
    )
    return Contract(instrument, frozenset(MarginMode))


# JSON.


@given(JSON)
def test_what_is_written_reads_back_to_the_last_digit(value: Any) -> None:  # noqa: ANN401 - any JSON
    assert loads(dumps(value)) == value


@given(FINITE)
def test_a_decimal_is_a_plain_number_whatever_the_context(value: Decimal) -> None:
    with localcontext(prec=3):
        text = dumps({"price": value}).decode()
    assert text.startswith('{"price":')
    assert not set(text.removeprefix('{"price":')) & set('eE"+')
    assert Decimal(text.removeprefix('{"price":').removesuffix("}")) == value


@given(st.text(st.characters(codec="utf-8")))
def test_a_text_can_not_break_out(text: str) -> None:
    assert orjson.loads(dumps([text, {text: 1}])) == [text, {text: 1}]


@pytest.mark.parametrize("value", [0.1, None, object(), {"a": 1.5}, [float("nan")], b"x"])
def test_what_has_no_exact_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        dumps(value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_not_finite_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        dumps(Decimal(value))


@pytest.mark.parametrize("value", ["1E+41", "1E-41", "1E+999999", "-1E-999999"])
def test_a_number_of_absurd_length_is_no_answer(value: str) -> None:
    with pytest.raises(MalformedReply, match="vol has more than 40 digits"):
        number({"vol": Decimal(value)}, "vol")


# Contracts.


@given(
    st.integers(1, 10**9),
    st.integers(1, 10**6),
    st.integers(-4, 12),
    st.integers(1, 1000),
)
def test_coins_to_contracts_and_back(count: int, mantissa: int, places: int, step: int) -> None:
    size = Decimal(mantissa).scaleb(-places)
    found = contract(size, step)
    with localcontext(prec=5):
        volume = found.volume(_times(size, count * step))
        coins = found.coins(Decimal(volume))
    assert volume == count * step
    assert coins == _times(size, count * step)


@given(st.integers(1, 10**6), st.integers(1, 9))
def test_a_part_of_a_contract_is_refused(count: int, tenths: int) -> None:
    size = Decimal("0.0001")
    quantity = size * count + size * tenths / 10
    with pytest.raises(RequestRefused) as caught:
        contract(size).volume(quantity)
    assert caught.value.code == "NOT_WHOLE_CONTRACTS"


@pytest.mark.parametrize("quantity", ["0", "-0.0001", "0.0003"])
def test_what_is_not_on_the_step_of_the_volume_is_refused(quantity: str) -> None:
    with pytest.raises(RequestRefused, match=r"steps of 0\.0005"):
        contract(Decimal("0.0001"), step=5).volume(Decimal(quantity))


def _times(size: Decimal, count: int) -> Decimal:
    with localcontext(prec=80):
        return size * count
