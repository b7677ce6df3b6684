"""Bybit's tables: each refusal has an answer, and signatures equal the published calculation."""

from __future__ import annotations

import pytest

from providers.sandbox.bybit.codes import CANCEL_TYPES, REFUSALS, REJECT_REASONS, Code
from providers.sandbox.bybit.gate import signature
from providers.sandbox.values import EndCause, Refusal

SECRET = "testsecret-abcdef-0123456789"
KEY = "TESTKEY123456"
STAMP = "1700000000000"


def test_every_refusal_has_an_answer() -> None:
    assert set(REFUSALS) == set(Refusal)
    assert set(CANCEL_TYPES) == set(REJECT_REASONS) == set(EndCause)
    assert all(code is not Code.OK and text for code, text in REFUSALS.values())


# Produced with two independent libraries (ccxt, pybit) and a stopped clock.
VECTORS = [
    (
        "category=linear&symbol=BTCUSDT&orderLinkId=tw-0001",
        "2033b59f26057fb397712a0a527e21bedd8c23a286ffb1d3d1b7740c7972fb60",
    ),
    (
        "category=linear&orderLinkId=tw-0001&symbol=BTCUSDT",
        "d54ca71bced678c64d5986615345327e70ef66a2a07bd10553bbd2e1c85ecfa0",
    ),
    (
        "accountType=UNIFIED&coin=USDT",
        "a62e0c26be20eb933591cade404da0c7ad444ed5d729de2a3428bd1279a966a1",
    ),
    ("", "bed4d293bb6cfd4cec8cd02a7fd055c0a898c78084707b01b18381b734e0890e"),
]


@pytest.mark.parametrize(("tail", "expected"), VECTORS)
def test_signature(tail: str, expected: str) -> None:
    assert signature(SECRET, STAMP, KEY, "5000", tail) == expected
