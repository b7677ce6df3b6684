"""Bybit signatures against known answers, made by running public client libraries once."""

from __future__ import annotations

import pytest

from providers.bybit.signing import make_signer, message
from providers.hashing import signature

KEY = "TESTKEY123456"
SECRET = "testsecret-abcdef-0123456789"
TIMESTAMP = 1700000000000
PLACE = (
    '{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.001",'
    '"positionIdx":0,"reduceOnly":false,"orderLinkId":"tw-0001"}'
)
LEVERAGE = '{"category":"linear","symbol":"BTCUSDT","buyLeverage":"5","sellLeverage":"5"}'


def spaced(compact: str) -> str:
    return compact.replace(",", ", ").replace(":", ": ")


VECTORS = {
    "B1": (
        "category=linear&symbol=BTCUSDT&orderLinkId=tw-0001",
        "2033b59f26057fb397712a0a527e21bedd8c23a286ffb1d3d1b7740c7972fb60",
    ),
    "B2": (
        "category=linear&orderLinkId=tw-0001&symbol=BTCUSDT",
        "d54ca71bced678c64d5986615345327e70ef66a2a07bd10553bbd2e1c85ecfa0",
    ),
    "B3": (PLACE, "f95a97aeb232fed51ad7bd10ff3ff3fe4e12870a8fb58f3ca3899e6b83d1bab8"),
    "B4": (spaced(PLACE), "21617c47cfd583cb7da5a19d59e4b42fdf2304d119ccb5c681ce3c1e239fb1f7"),
    "B5": (LEVERAGE, "5a6b7f43cf24699da951b2e06a6355ec1c88a1588ba069027e406028d498cd76"),
    "B6": (spaced(LEVERAGE), "13e51b3a489fb80c10b7b69dde5d6fc224aca536b972428c6d2e2cb6dcd24d10"),
    "B7": (
        "accountType=UNIFIED&coin=USDT",
        "a62e0c26be20eb933591cade404da0c7ad444ed5d729de2a3428bd1279a966a1",
    ),
    "B8": ("", "bed4d293bb6cfd4cec8cd02a7fd055c0a898c78084707b01b18381b734e0890e"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_known_answers(name: str) -> None:
    tail, expected = VECTORS[name]
    signed = message(TIMESTAMP, KEY, 5000, tail.encode())
    assert signature(SECRET.encode(), signed) == expected


def test_the_known_answer_of_a_websocket_login() -> None:
    """B9: the same function over a text without key and window, ten seconds ahead of the clock."""
    text = f"GET/realtime{TIMESTAMP + 10_000}".encode()
    expected = "8cf3342b188328a6332ef6066c44591e24f38096c0f3cffdbc1ad2773fab20bb"
    assert signature(SECRET.encode(), text) == expected


def test_the_signer_gives_the_headers_and_shows_no_secret() -> None:
    sign = make_signer(KEY, SECRET, 5000)
    assert sign(TIMESTAMP, PLACE.encode()) == {
        "X-BAPI-API-KEY": KEY,
        "X-BAPI-TIMESTAMP": "1700000000000",
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": VECTORS["B3"][1],
    }
    assert SECRET not in repr(sign)
