"""Binance signatures against known answers: published by Binance, or made by public clients."""

from __future__ import annotations

from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.binance.signing import make_signer, query_of
from providers.hashing import signature

SECRET = "testsecret-abcdef-0123456789"
FUTURES_SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
SPOT_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
TIMESTAMP = 1700000000000

# Published, the even ones with a part in the query and a part in the body, without a separator.
PUBLISHED = {
    "N1": (
        FUTURES_SECRET,
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
            "&recvWindow=5000&timestamp=1591702613943"
        ),
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
    ),
    "N2": (
        FUTURES_SECRET,
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=9000"
            "&recvWindow=5000&timestamp=1591702613943"
        ),
        "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
    ),
    "N3": (
        SPOT_SECRET,
        (
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
            "&recvWindow=5000&timestamp=1499827319559"
        ),
        "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
    ),
    "N4": (
        SPOT_SECRET,
        (
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=0.1"
            "&recvWindow=5000&timestamp=1499827319559"
        ),
        "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
    ),
}
# In another order of parameters, and as the WebSocket API signs them.
OTHER_ORDERS = {
    "N10": (
        (
            "timestamp=1700000000000&symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001"
            "&newClientOrderId=tw-0001&newOrderRespType=RESULT&recvWindow=5000"
        ),
        "00c0e5dfc83668298d7de96f9eb65d6a429dd820e6682b35711111f94a9e1bfc",
    ),
    "N11": (
        "timestamp=1700000000000&symbol=BTCUSDT&origClientOrderId=tw-0001&recvWindow=5000",
        "57c944fec2eae1b05253ae2ded7c5936abcb20dafda937ce5b7d1d69db7bd0d0",
    ),
    "N12": (
        "timestamp=1700000000000&symbol=BTCUSDT&leverage=5&recvWindow=5000",
        "c012c3a6b91bcb8420921f6f893798dde29a2a708b7bb6808a4d11666d028ee7",
    ),
    "N13": (
        "timestamp=1700000000000&symbol=BTCUSDT&origClientOrderId=a%3Ab%2Fc.d_e-f&recvWindow=5000",
        "867dcef3710c9f3ad5f85fe235095ee7211919a274bfe4de735c252334f1c4da",
    ),
    "N14": (
        (
            "apiKey=TESTKEY123456&newClientOrderId=tw-0001&quantity=0.001&side=BUY&symbol=BTCUSDT"
            "&timestamp=1700000000000&type=MARKET"
        ),
        "78584da217ba21a0e528fdc0f00967813cc6141b089a95fc04f00f03304537ec",
    ),
    "N15": (
        "apiKey=TESTKEY123456&origClientOrderId=tw-0001&symbol=BTCUSDT&timestamp=1700000000000",
        "193a86a4e5cf676742081e08aa20edd06e4aadd808e4ee53e52ec43ecb37d7f8",
    ),
}
# Parameters, as our signer is given them, before the window and the timestamp are added.
SIGNED = {
    "N5": (
        {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "MARKET",
            "quantity": "0.001",
            "newClientOrderId": "tw-0001",
            "newOrderRespType": "RESULT",
        },
        "28fb803eec7341abbb0ed7ab58af116b42bc2ff2a364ba49ca1826cacccc6147",
    ),
    "N6": (
        {"symbol": "BTCUSDT", "origClientOrderId": "tw-0001"},
        "7bef56ab68c3fbe19b30a553ee8344829448caafe6ec2cbfa8cd9f7c7f86b6ec",
    ),
    "N7": (
        {"symbol": "BTCUSDT", "leverage": "5"},
        "db3680d622dc458a73df77bc0540a7142ed8b635b8a034cdf6f213e80a7021ea",
    ),
    "N8": (
        {"symbol": "BTCUSDT", "origClientOrderId": "a:b/c.d_e-f"},
        "08b1d94999b151ab0fa953454d3f34afb883eb5ed949e83ec4c4e43abbe1f83d",
    ),
    "N9": ({}, "bc0d2f06c166f7e219e52347b57b4cb26ac4f4e3df804d1b3cde792a3f766cb6"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_answers(name: str) -> None:
    secret, message, expected = PUBLISHED[name]
    assert signature(secret.encode(), message.encode()) == expected


def test_the_answer_printed_beside_n2_is_that_of_another_text() -> None:
    secret, message, expected = PUBLISHED["N2"]
    printed = "f9d0ae5e813ef6ccf15c2b5a434047a0181cb5a342b903b367ca6d27a66e36f2"
    with_a_stray_space = message.replace("timestamp=", "timestamp= ")
    assert signature(secret.encode(), message.encode()) == expected != printed
    assert signature(secret.encode(), with_a_stray_space.encode()) == printed


@pytest.mark.parametrize("name", OTHER_ORDERS)
def test_known_answers_in_other_orders(name: str) -> None:
    message, expected = OTHER_ORDERS[name]
    assert signature(SECRET.encode(), message.encode()) == expected


@pytest.mark.parametrize("name", SIGNED)
def test_the_signer_gives_the_known_answers(name: str) -> None:
    parameters, expected = SIGNED[name]
    signed = make_signer(SECRET, 5000)(TIMESTAMP, query_of(parameters))
    head, _, last = signed.rpartition("&signature=")
    assert last == expected
    assert head.endswith("recvWindow=5000&timestamp=1700000000000")


def test_the_signer_shows_no_secret() -> None:
    assert SECRET not in repr(make_signer(SECRET, 5000))


@given(st.dictionaries(st.from_regex("[A-Za-z]{1,12}", fullmatch=True), st.text(min_size=1)))
def test_what_is_signed_is_what_is_sent_whatever_the_values(values: dict[str, str]) -> None:
    signed = make_signer(SECRET, 5000)(TIMESTAMP, query_of(values))
    sent = httpx.Request("POST", httpx.URL(f"https://binance.test/x?{signed}")).url
    assert sent.query == signed.encode()
    assert sent.raw_path == b"/x?" + signed.encode()
    message, _, last = sent.query.rpartition(b"&signature=")
    assert signature(SECRET.encode(), message).encode() == last
    assert parse_qsl(message.decode(), keep_blank_values=True)[: len(values)] == list(
        values.items()
    )
