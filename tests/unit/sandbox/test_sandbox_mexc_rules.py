"""MEXC's tables and readers: refusals, texts, signatures, exact JSON, fields, routes, contracts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.sandbox.mexc import codes, encoding, fields, routes
from providers.sandbox.mexc.codes import Code, MexcError
from providers.sandbox.mexc.contracts import CONTRACTS
from providers.sandbox.mexc.gate import signature, signed_query
from providers.sandbox.values import EndCause, OrderKind, Refusal, TimeInForce

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "testsecret-abcdef-0123456789"
KEY = "mx0TESTKEY123"
STAMP = "1700000000000"


def test_every_refusal_and_code_has_an_answer() -> None:
    assert set(codes.REFUSALS) == set(Refusal)
    assert set(codes.ORDER_ERRORS) == set(EndCause)
    assert not {Code.OK, Code.OK_TOO} & set(codes.REFUSALS.values())
    assert set(Code) - {Code.OK, Code.OK_TOO} <= set(codes.TEXTS)
    for chinese, english in codes.TEXTS.values():
        assert english.isascii()
        assert not chinese.isascii()


# Produced with three independent programs under a stopped clock.
VECTORS = [
    ("", "c26ec57aa74d818d09bd2984a963c0c74e95e6685f37d9fcad30b4746d1003e3"),
    ("symbol=BTC_USDT", "850441222dd0f60863732642b1806f71d9ea636641dc24fcdf3f511016aa56dd"),
    ("[101716841474621953]", "ffb04d29e48e63ff0f3ba30183e6f474576f2001f117221d108592ecf6af9af4"),
]


@pytest.mark.parametrize(("text", "expected"), VECTORS)
def test_signature(text: str, expected: str) -> None:
    assert signature(SECRET, KEY, STAMP, text) == expected


@pytest.mark.parametrize(
    ("query", "encoded", "raw"),
    [
        ("", "", ""),
        ("b=2&a=1", "a=1&b=2", "a=1&b=2"),
        ("s=3%2C4", "s=3%2C4", "s=3,4"),
        ("s=3,4", "s=3%2C4", "s=3,4"),
        ("s=a%20b&t=", "s=a%20b&t=", "s=a b&t="),
    ],
)
def test_signed_query(query: str, encoded: str, raw: str) -> None:
    assert signed_query(query, encoded=True) == encoded
    assert signed_query(query, encoded=False) == raw


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12))
def test_json_numbers_are_exact(value: Decimal) -> None:
    raw = encoding.encode({"n": value})
    assert encoding.decode(raw)["n"] == value
    assert b"E" not in raw
    assert b'"n":"' not in raw


@pytest.mark.parametrize("raw", [b"", b"{", b"NaN", b"[Infinity]", b"[" * 200_000])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encoding.decode(raw)


def code_of(action: Callable[[], object]) -> int:
    with pytest.raises(MexcError) as caught:
        action()
    return caught.value.code


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{}", None),
        (b'{"n":null}', None),
        (b'{"n":5}', Decimal(5)),
        (b'{"n":0.10}', Decimal("0.1")),
        (b'{"n":1e-8}', Decimal("0.00000001")),
        (b'{"n":"5"}', 600),
        (b'{"n":true}', 600),
        (b'{"n":[5]}', 600),
        (b'{"n":1e19}', 600),
        (b'{"n":1e-19}', 600),
        (b'{"n":1e999999999}', 600),
    ],
)
def test_numbers(raw: bytes, expected: Decimal | int | None) -> None:
    params = encoding.decode(raw)
    if isinstance(expected, int):
        assert code_of(lambda: fields.number(params, "n")) == expected
    else:
        assert fields.number(params, "n") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 7),
        ("", 7),
        (5, 5),
        ("5", 5),
        (Decimal("5.0"), 5),
        (Decimal("5.5"), None),
        (Decimal("1E+999999"), None),
        (10, None),
        (-1, None),
        (True, None),
        ("x", None),
        ([], None),
    ],
)
def test_whole_numbers(value: object, expected: int | None) -> None:
    params: dict[str, Any] = {"n": value}
    if expected is None:
        refused = code_of(lambda: fields.whole(params, "n", 7, (0, 9), code=Code.SIDE))
        assert refused == Code.SIDE
    else:
        assert fields.whole(params, "n", 7, (0, 9)) == expected


@pytest.mark.parametrize("value", [0, "0", 812345678901234567, "812345678901234567"])
def test_ids_may_be_numbers_or_text(value: object) -> None:
    assert fields.order_id(value) == str(value)


@pytest.mark.parametrize("value", [None, True, -1, "", "x", 10**19, Decimal("1.5"), []])
def test_what_is_no_id_is_refused(value: object) -> None:
    assert code_of(lambda: fields.order_id(value)) == Code.PARAMETER


def test_external_ids_have_thirty_two_characters_at_most() -> None:
    assert fields.external_id({"externalOid": "x" * 32}) == "x" * 32
    longer = {"externalOid": "x" * 33}
    assert code_of(lambda: fields.external_id(longer)) == Code.EXTERNAL_ID_TOO_LONG


@pytest.mark.parametrize(
    ("path", "name", "parameters"),
    [
        ("contract/detail", "contract/detail", {}),
        ("contract/detail/country", "contract/detail/country", {}),
        (
            "private/order/external/BTC_USDT/a%2Fb",
            "order/external",
            {"symbol": "BTC_USDT", "externalOid": "a/b"},
        ),
        ("private/order/get/5", "order/get", {"orderId": "5"}),
        ("private/order/list/open_orders", "order/list/open_orders", {}),
        (
            "private/order/list/open_orders/BTC_USDT",
            "order/list/open_orders",
            {"symbol": "BTC_USDT"},
        ),
        ("private/order/list/order_deals/v3", "order/list/order_deals/v3", {}),
    ],
)
def test_routes(path: str, name: str, parameters: dict[str, str]) -> None:
    found = routes.find("GET", f"/api/v1/{path}")
    assert found is not None
    assert (found[0].name, found[1]) == (name, parameters)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/api/v1/private/order/get", "/api/v1/private/order/get/", "/api/v1/order/get/5"],
)
def test_paths_that_are_none(path: str) -> None:
    assert routes.find("GET", path) is None


@pytest.mark.parametrize("item", CONTRACTS, ids=lambda item: item.name)
def test_contracts_are_whole_multiples_of_their_unit(item: Any) -> None:  # noqa: ANN401 - a contract
    instrument = item.instrument
    assert item.vol(instrument.step) == item.unit
    assert item.base(item.vol(instrument.max_qty)) == instrument.max_qty
    assert instrument.start_price % instrument.tick == 0
    assert item.vol(instrument.max_market_qty) == item.max_vol < item.max_limit_vol


@pytest.mark.parametrize(
    ("cause", "kind", "force", "reason", "expected"),
    [
        (EndCause.NONE, OrderKind.MARKET, TimeInForce.IOC, "", 0),
        (EndCause.NO_LIQUIDITY, OrderKind.MARKET, TimeInForce.IOC, "", 21),
        (EndCause.NO_LIQUIDITY, OrderKind.LIMIT, TimeInForce.IOC, "", 18),
        (EndCause.NO_LIQUIDITY, OrderKind.LIMIT, TimeInForce.FOK, "", 19),
        (EndCause.POST_ONLY_WOULD_TAKE, OrderKind.LIMIT, TimeInForce.POST_ONLY, "", 20),
        (EndCause.REJECTED, OrderKind.LIMIT, TimeInForce.GTC, "7", 7),
        (EndCause.REJECTED, OrderKind.LIMIT, TimeInForce.GTC, "why", 999),
    ],
)
def test_order_errors(
    cause: EndCause, kind: OrderKind, force: TimeInForce, reason: str, expected: int
) -> None:
    assert codes.order_error(cause, kind, force, reason) == expected
