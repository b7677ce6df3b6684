"""Binance's tables and signature: every refusal has a code, published vectors are reproduced."""

from __future__ import annotations

import pytest

from providers.sandbox.binance import codes
from providers.sandbox.binance.codes import ENDINGS, REFUSALS, TEXTS, BinanceError, Code
from providers.sandbox.binance.gate import signature, signed_text
from providers.sandbox.values import EndCause, Refusal

DOCS_SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
SECRET = "testsecret-abcdef-0123456789"
STAMP = "timestamp=1700000000000"
LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT"
ORDER = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001"


def test_every_refusal_has_a_code() -> None:
    assert set(REFUSALS) == set(Refusal)
    assert set(ENDINGS) == set(EndCause)


def test_a_code_has_its_own_text_and_status() -> None:
    assert BinanceError(Code.KEY_FORMAT).status == 401
    assert BinanceError(Code.MARGIN).text == TEXTS[-2019]
    assert BinanceError(Code.MARGIN, "5 are needed").text == "Margin is insufficient: 5 are needed"
    assert BinanceError(Code.TOO_MANY_REQUESTS, status=codes.BANNED).status == 418
    assert BinanceError(-4444, text="own words").status == 400
    assert BinanceError(-4444).text


# Published in Binance's futures documentation (the mixed one with its misprint put right), or
# produced with its connector, its SDK and ccxt under a stopped clock.
VECTORS = {
    "published": (
        DOCS_SECRET,
        f"{LIMIT}&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
        "",
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
    ),
    "published, query and form": (
        DOCS_SECRET,
        f"{LIMIT}&timeInForce=GTC",
        "quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943",
        "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
    ),
    "connector and SDK": (
        SECRET,
        f"{ORDER}&newClientOrderId=tw-0001&newOrderRespType=RESULT&recvWindow=5000&{STAMP}",
        "",
        "28fb803eec7341abbb0ed7ab58af116b42bc2ff2a364ba49ca1826cacccc6147",
    ),
    "escaped": (
        SECRET,
        f"symbol=BTCUSDT&origClientOrderId=a%3Ab%2Fc.d_e-f&recvWindow=5000&{STAMP}",
        "",
        "08b1d94999b151ab0fa953454d3f34afb883eb5ed949e83ec4c4e43abbe1f83d",
    ),
    "ccxt, form": (
        SECRET,
        "",
        f"{STAMP}&{ORDER}&newClientOrderId=tw-0001&newOrderRespType=RESULT&recvWindow=5000",
        "00c0e5dfc83668298d7de96f9eb65d6a429dd820e6682b35711111f94a9e1bfc",
    ),
    "ccxt, leverage": (
        SECRET,
        "",
        f"{STAMP}&symbol=BTCUSDT&leverage=5&recvWindow=5000",
        "c012c3a6b91bcb8420921f6f893798dde29a2a708b7bb6808a4d11666d028ee7",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_signature(name: str) -> None:
    secret, query, form, expected = VECTORS[name]
    assert signature(secret, signed_text(query, form.encode())) == expected


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("a=1&b=2&signature=ff", ""),
        ("signature=ff&a=1&b=2", ""),
        ("a=1&signature=ff&b=2", ""),
        ("a=1&b", "=2&signature=ff"),
        ("a=1&b=2", "signature=ff"),
    ],
)
def test_the_signature_itself_is_left_out_wherever_it_is(query: str, form: str) -> None:
    assert signed_text(query, form.encode()) == b"a=1&b=2"


def test_nothing_stands_between_query_and_form() -> None:
    assert signed_text("a=1", b"b=2") == b"a=1b=2"


def test_bytes_that_are_no_text_are_signed_as_they_came() -> None:
    raw = b"a=\xff\xfe"
    assert signed_text(raw.decode("utf-8", "surrogateescape"), b"") == raw
