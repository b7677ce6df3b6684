"""MEXC signatures against known answers, made by running public client libraries once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from providers.hashing import signature
from providers.mexc.signing import make_signer, message, query
from providers.mexc.wire import order_body
from tests.unit.providers.mexc_stub import BTC_CONTRACT, ORDER

KEY = "mx0TESTKEY123"
SECRET = "testsecret-abcdef-0123456789"
TIMESTAMP = 1700000000000
PLACE = (
    '{"symbol":"BTC_USDT","price":0,"vol":1,"side":1,"type":5,"openType":1,"leverage":5,'
    '"externalOid":"tw-0001","positionMode":1}'
)
LEVERAGE = '{"openType":1,"leverage":5,"symbol":"BTC_USDT","positionType":1}'
VECTORS = {
    "M1": ("", "c26ec57aa74d818d09bd2984a963c0c74e95e6685f37d9fcad30b4746d1003e3"),
    "M2": ("symbol=BTC_USDT", "850441222dd0f60863732642b1806f71d9ea636641dc24fcdf3f511016aa56dd"),
    "M3": (
        "page_num=1&page_size=20&states=3%2C4&symbol=BTC_USDT",
        "ef1fa254112f04d6080c86138a049ae993ec4cc2cbb672739062f155a264584b",
    ),
    "M4": (
        "page_num=1&page_size=20&states=3,4&symbol=BTC_USDT",
        "b4ab4691689a3d81920ea22287d7d91f0eb7ae8683c6e9ca32945789d05b9037",
    ),
    "M5": (PLACE, "ff50b77d787131e3227e3dc290a68b9a5ee262604a95af686dda4d0294bf5fe6"),
    "M6": (LEVERAGE, "3211a1e78139ff27a1fd14c5f27c6301c21c59149e1e9c4841bd0592f34e8e01"),
    "M7": (
        LEVERAGE.replace(",", ", ").replace(":", ": "),
        "7a7a86a3b71e7b52be2fd483c5b8efe49570d015bf6bd19b588e513d6b21a022",
    ),
    "M8": (
        "[101716841474621953]",
        "ffb04d29e48e63ff0f3ba30183e6f474576f2001f117221d108592ecf6af9af4",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_known_answers(name: str) -> None:
    parameters, expected = VECTORS[name]
    signed = message(KEY, TIMESTAMP, parameters.encode())
    assert signature(SECRET.encode(), signed) == expected


def test_the_signer_gives_the_headers_and_shows_no_secret() -> None:
    sign = make_signer(KEY, SECRET)
    assert sign(TIMESTAMP, PLACE.encode()) == {
        "ApiKey": KEY,
        "Request-Time": "1700000000000",
        "Signature": VECTORS["M5"][1],
        "Content-Type": "application/json",
        "Language": "en-US",
    }
    assert SECRET not in repr(sign)


def test_a_query_is_sorted_and_encoded_as_the_signed_example_is() -> None:
    parameters: dict[str, str | int] = {
        "symbol": "BTC_USDT",
        "states": "3,4",
        "page_size": 20,
        "page_num": 1,
    }
    assert query(parameters) == VECTORS["M3"][0]
    assert query({}) == ""


def test_an_order_is_written_as_the_signed_example_is() -> None:
    order = replace(ORDER, quantity=Decimal("0.0001"))
    assert order_body(order, BTC_CONTRACT).decode() == PLACE
