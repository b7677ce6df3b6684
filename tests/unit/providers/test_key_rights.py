"""What a key may do, as the exchanges tell it."""

from __future__ import annotations

from typing import Any

import pytest

from providers.binance import rights as binance
from providers.bybit import rights as bybit
from providers.exchange import KeyRights
from providers.fields import MalformedReply

ALL = {"ContractTrade": ["Order", "Position"], "Wallet": ["AccountTransfer", "Withdraw"]}
NO_WITHDRAWAL = {"ContractTrade": ["Order"], "Wallet": ["AccountTransfer"]}


def of_bybit(permissions: Any, ips: Any, read_only: int = 0) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"readOnly": read_only, "permissions": permissions, "ips": ips}


@pytest.mark.parametrize(
    ("answer", "rights"),
    [
        (of_bybit(NO_WITHDRAWAL, ["*"]), KeyRights(True, False, False)),
        (of_bybit(NO_WITHDRAWAL, ["192.0.2.1"]), KeyRights(True, False, True)),
        (of_bybit(ALL, ["192.0.2.1"]), KeyRights(True, True, True)),
        (of_bybit(ALL, ["*"], read_only=1), KeyRights(False, False, False)),
        (of_bybit({"Wallet": []}, []), KeyRights(False, False, None)),
        (of_bybit({"ContractTrade": None}, None), KeyRights(False, False, None)),
    ],
)
def test_bybit_tells_rights(answer: dict[str, Any], rights: KeyRights) -> None:
    assert bybit.key_rights(answer) == rights


@pytest.mark.parametrize("answer", [{}, {"readOnly": 0}, {"readOnly": "x", "permissions": {}}])
def test_bybits_answer_must_be_readable(answer: dict[str, Any]) -> None:
    with pytest.raises(MalformedReply):
        bybit.key_rights(answer)


def test_binance_tells_rights() -> None:
    answer = {"enableFutures": True, "enableWithdrawals": False, "ipRestrict": True}
    assert binance.key_rights(answer) == KeyRights(True, False, True)
    with pytest.raises(MalformedReply, match="enableWithdrawals"):
        binance.key_rights({**answer, "enableWithdrawals": "false"})


@pytest.mark.parametrize(
    ("base_url", "host", "asked"),
    [
        ("https://fapi.binance.com", "fapi.binance.com", "https://api.binance.com"),
        ("https://demo-fapi.binance.com", "demo-fapi.binance.com", None),
        ("https://testnet.binancefuture.com", "testnet.binancefuture.com", None),
        ("http://127.0.0.1:8790/binance", "127.0.0.1", "http://127.0.0.1:8790/binance"),
    ],
)
def test_where_binance_is_asked(base_url: str, host: str, asked: str | None) -> None:
    assert binance.base_url_for_rights(base_url, host) == asked
