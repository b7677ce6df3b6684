"""Client order ids and fingerprints: the same for ever, and different where they must be."""

from __future__ import annotations

import base64
import hashlib
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.orders import Action, OrderType
from storage.identity import client_order_id, fingerprint

PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=128)
SMALL = st.text("ab-|/:", min_size=1, max_size=3)

TERMS: dict[str, object] = {
    "exchange": "bybit",
    "action": Action.LONG,
    "symbol": "BTCUSDT",
    "quantity": Decimal("0.005"),
    "price": None,
    "orderType": OrderType.MARKET,
    "leverage": 10,
    "expiresAt": None,
    "account": "default",
    "test": None,
}


@pytest.mark.parametrize(
    ("request_id", "account", "leg", "expected"),
    [
        ("r-1", "default", "main", "tw-37gt63mni7bduqvl6w7q4d43xo"),
        (
            "c7f1b1de-2f5e-4a4e-8f0e-1b9d4f6b2a10",
            "default",
            "main",
            "tw-nkfgmuxlfhw4nzwt6m2fexbwld",
        ),
        ("übung-№5", "default", "main", "tw-g25rw2nyiq344zlstadbzsfh6x"),
        ("r-1", "second", "stop", "tw-gdw55snh7qf77hpnbznwumddnr"),
    ],
)
def test_an_id_never_changes(request_id: str, account: str, leg: str, expected: str) -> None:
    """Another value here would let a running system place its open orders a second time."""
    assert client_order_id(request_id, account, leg) == expected


@given(PRINTABLE, PRINTABLE, SMALL)
def test_an_id_is_the_digest_in_base32(request_id: str, account: str, leg: str) -> None:
    digest = hashlib.sha256(f"{account}\x00{request_id}\x00{leg}".encode()).digest()
    text = base64.b32encode(digest).decode().lower()
    assert client_order_id(request_id, account, leg) == f"tw-{text[:26]}"


@given(PRINTABLE, PRINTABLE)
def test_every_exchange_accepts_an_id(request_id: str, account: str) -> None:
    derived = client_order_id(request_id, account)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,32}", derived)
    assert derived == client_order_id(request_id, account)


@given(
    st.tuples(SMALL, SMALL, SMALL) | st.tuples(PRINTABLE, PRINTABLE, PRINTABLE),
    st.tuples(SMALL, SMALL, SMALL) | st.tuples(PRINTABLE, PRINTABLE, PRINTABLE),
)
def test_different_orders_have_different_ids(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (client_order_id(*one) == client_order_id(*other)) == (one == other)


@given(PRINTABLE)
def test_moving_the_border_between_two_parts_makes_another_id(text: str) -> None:
    borders = range(1, len(text))
    by_account = {client_order_id(text[:at], text[at:]) for at in borders}
    by_leg = {client_order_id(text[:at], "a", text[at:]) for at in borders}
    assert len(by_account) == len(by_leg) == len(borders)


@pytest.mark.parametrize("written", ["0.005", "0.0050", "5e-3", "0.5E-2", "50E-4", "0.00500000"])
def test_one_quantity_has_one_fingerprint(written: str) -> None:
    assert fingerprint({**TERMS, "quantity": Decimal(written)}) == fingerprint(TERMS)


def test_a_fingerprint_never_changes() -> None:
    """Another value here would turn every redelivery of an open order into a conflict."""
    assert fingerprint(TERMS).hex() == (
        "172420283ae47f9679f51a5284706dd68185a7e607d6bbe7e7e10a8dddb4c1bb"
    )
    whole = {"quantity": Decimal(100), "price": Decimal("1E+2"), "takeProfit": Decimal("20000.50")}
    assert fingerprint(whole).hex() == (
        "a1f72b5035e1ac1b66b9748823cdb9fe10b014dd756e5c189877ff2ea59416fe"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("exchange", None),
        ("exchange", "binance"),
        ("action", Action.SHORT),
        ("symbol", "ETHUSDT"),
        ("quantity", Decimal("0.0051")),
        ("quantity", Decimal("0.05")),
        ("price", Decimal("0.005")),
        ("orderType", OrderType.LIMIT),
        ("leverage", 11),
        ("leverage", None),
        ("takeProfit", Decimal(1)),
        ("stopLoss", Decimal(1)),
        ("expiresAt", "2026-01-31T12:00:00+00:00"),
        ("account", "second"),
        ("test", True),
    ],
)
def test_any_other_term_is_another_trade(field: str, value: object) -> None:
    assert fingerprint({**TERMS, field: value}) != fingerprint(TERMS)


@given(st.randoms(use_true_random=False), st.sets(st.text("abc", min_size=4), max_size=3))
def test_order_and_absent_fields_do_not_matter(random: Any, absent: set[str]) -> None:  # noqa: ANN401 - random.Random
    names = list(TERMS)
    random.shuffle(names)
    shuffled = {name: TERMS[name] for name in names} | dict.fromkeys(absent)
    assert fingerprint(shuffled) == fingerprint(TERMS)


NUMBERS = st.builds(
    lambda digits, places: Decimal(f"{digits}e-{places}"),
    st.integers(1, 10**50),
    st.integers(0, 30),
)


@given(NUMBERS, NUMBERS)
def test_numbers_differ_when_they_differ_however_long(one: Decimal, other: Decimal) -> None:
    same = fingerprint({"quantity": one}) == fingerprint({"quantity": other})
    assert same == (one == other)


@given(NUMBERS, st.integers(1, 30))
def test_a_difference_in_the_last_of_many_digits_counts(number: Decimal, places: int) -> None:
    # Arithmetic would round to 28 digits; the text does not.
    longer = Decimal(f"{number:f}" + ("" if "." in f"{number:f}" else ".") + "0" * places + "1")
    assert fingerprint({"quantity": longer}) != fingerprint({"quantity": number})
    padded = Decimal(f"{number:f}" + ("" if "." in f"{number:f}" else ".") + "0" * places)
    assert fingerprint({"quantity": padded}) == fingerprint({"quantity": number})
