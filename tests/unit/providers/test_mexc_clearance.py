"""The gate of MEXC: only the word of this key at this host opens it there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.mexc.clearance import clearance, is_real, may_open, opening

REAL = "api.mexc.com"
WORD = clearance("key", "secret", REAL)


@pytest.mark.parametrize(
    ("setting", "host", "allowed"),
    [
        (None, REAL, False),
        ("", REAL, False),
        ("true", REAL, False),
        ("yes", REAL, False),
        ("checked-000000000000", REAL, False),
        (WORD, REAL, True),
        (f" {WORD} ", REAL, True),
        ("false", REAL, False),
        (None, "127.0.0.1", True),
        ("true", "127.0.0.1", True),
        ("false", "127.0.0.1", False),
        ("OFF", "127.0.0.1", False),
        ("réel", REAL, False),
    ],
)
def test_what_opens_the_gate(setting: str | None, host: str, *, allowed: bool) -> None:
    assert may_open(setting, WORD, host) is allowed
    assert opening(setting, "key", "secret", host).allowed is allowed


def test_the_word_is_of_one_key_one_secret_and_one_host() -> None:
    words = {
        WORD,
        clearance("key2", "secret", REAL),
        clearance("key", "secret2", REAL),
        clearance("key", "secret", "contract.mexc.com"),
    }
    assert len(words) == 4
    assert clearance("key", "secret", "API.MEXC.COM.") == WORD


@given(st.text(min_size=8), st.text(min_size=8))
def test_the_word_holds_neither_key_nor_secret(key: str, secret: str) -> None:
    word = clearance(key, secret, REAL)
    assert key not in word
    assert secret not in word
    assert word.startswith("checked-")


@pytest.mark.parametrize(
    ("host", "real"),
    [
        ("mexc.com", True),
        ("api.mexc.com", True),
        ("API.MEXC.COM.", True),
        ("notmexc.com", False),
        ("mexc.com.example.org", False),
        ("127.0.0.1", False),
        ("", False),
    ],
)
def test_which_hosts_are_the_real_exchange(host: str, *, real: bool) -> None:
    assert is_real(host) is real
