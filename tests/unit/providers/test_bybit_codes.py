"""Bybit's outcome table: every listed code, the HTTP layer, and nothing guessed."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.bybit.codes import CODES, classify
from providers.outcomes import PLACEMENT_OF_CLASS, OutcomeClass, PlacementKind

# What each documented code must lead to when an order is placed. Written from the exchange's
# documentation, on its own, so that a slip in the table shows.
REJECTED = [
    10001, 10003, 10004, 10005, 10007, 10008, 10009, 10010, 10017, 10024, 10027, 10028, 10029,
    10404, 33004, 30208, 30209, 30228, 110003, 110004, 110006, 110007, 110009, 110011, 110012,
    110013, 110014, 110017, 110020, 110021, 110022, 110023, 110024, 110028, 110029, 110033,
    110034, 110036, 110038, 110040, 110042, 110044, 110045, 110046, 110051, 110052, 110053,
    110057, 110058, 110061, 110063, 110066, 110073, 110074, 110086, 110087, 110089, 110090,
    110092, 110093, 110094, 110095, 110098, 110103, 110118, 110120, 110121, 110123, 110124,
    110125, 110131, 110132, 3400045,
]  # fmt: skip
DEFERRED = [-1, 10002, 10006, 10018, 10403, 20003]
DUPLICATE = [10014, 110072]
UNKNOWN = [
    429, 10000, 10016, 10019, 10429, 20006, 40004, 110001, 110008, 110010, 110025, 110026, 110027,
    110043, 110079, 34040, 170001, 170005, 170007, 170032, 500000,
]  # fmt: skip


def answer(code: object, message: str = "said so", result: object = None) -> bytes:
    return orjson.dumps({"retCode": code, "retMsg": message, "result": result or {}, "time": 1})


@pytest.mark.parametrize(
    ("code", "kind"),
    [(0, PlacementKind.ACCEPTED)]
    + [(code, PlacementKind.REJECTED) for code in REJECTED]
    + [(code, PlacementKind.DEFERRED) for code in DEFERRED]
    + [(code, PlacementKind.DUPLICATE) for code in DUPLICATE]
    + [(code, PlacementKind.UNKNOWN) for code in UNKNOWN],
)
def test_what_a_listed_code_does_to_an_order(code: int, kind: PlacementKind) -> None:
    verdict = classify(200, answer(code))
    assert PLACEMENT_OF_CLASS[verdict.outcome_class] is kind
    assert (verdict.code, verdict.message) == (str(code), "said so")


def test_the_table_lists_no_code_that_no_test_knows() -> None:
    assert set(CODES) == {0, *REJECTED, *DEFERRED, *DUPLICATE, *UNKNOWN}


@given(st.integers(-(2**40), 2**40).filter(lambda code: code not in CODES))
def test_a_code_that_is_not_listed_is_unknown(code: int) -> None:
    assert classify(200, answer(code)).outcome_class is OutcomeClass.UNKNOWN


@pytest.mark.parametrize(
    ("status", "body", "outcome_class"),
    [
        (400, b"", OutcomeClass.PARAMETER),
        (401, b"", OutcomeClass.AUTH),
        (403, b'{"retMsg":"access too frequent"}', OutcomeClass.RATE_IP),
        (403, b"", OutcomeClass.RATE_IP),
        (403, b"<html>not available in your country</html>", OutcomeClass.AUTH),
        (403, b"Access too frequent from this region", OutcomeClass.RATE_IP),
        (404, b"", OutcomeClass.PARAMETER),
        (408, b"", OutcomeClass.UNKNOWN),
        (429, b"", OutcomeClass.UNKNOWN),
        (500, b"", OutcomeClass.UNKNOWN),
        (502, b"<html>Bad Gateway</html>", OutcomeClass.UNKNOWN),
        (503, b"", OutcomeClass.UNKNOWN),
        (504, b"", OutcomeClass.UNKNOWN),
        (301, b"", OutcomeClass.UNKNOWN),
        (204, b"", OutcomeClass.UNKNOWN),
        (503, answer(0), OutcomeClass.UNKNOWN),
        (502, answer(110007), OutcomeClass.UNKNOWN),
    ],
)
def test_the_http_layer(status: int, body: bytes, outcome_class: OutcomeClass) -> None:
    verdict = classify(status, body)
    assert verdict.outcome_class is outcome_class
    assert verdict.code == f"http-{status}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html></html>",
        b"[]",
        b"null",
        b"0",
        b'"retCode"',
        b"{}",
        b'{"retCode":null}',
        b'{"retCode":"0"}',
        b'{"retCode":0.0}',
        b'{"retCode":false}',
        b'{"retCode":true}',
        b'{"retCode":[0]}',
        b'{"retCode":0',
        b"\xff\xfe",
        b'{"retCode":NaN}',
    ],
)
def test_an_answer_that_is_not_the_envelope_is_unknown(body: bytes) -> None:
    assert classify(200, body).outcome_class is OutcomeClass.UNKNOWN


@given(st.integers(100, 599), st.binary(max_size=300))
def test_nothing_makes_it_raise_or_accept(status: int, body: bytes) -> None:
    assert classify(status, body).outcome_class is not OutcomeClass.ACCEPTED


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("retCode"), inner),
    )
)
def test_any_json_is_judged(value: object) -> None:
    verdict = classify(200, orjson.dumps(value))
    if verdict.outcome_class is OutcomeClass.ACCEPTED:
        assert isinstance(value, dict)
        assert value["retCode"] == 0


def test_the_reasons_of_a_refused_margin_mode_are_told() -> None:
    reasons = {"reasons": [{"reasonCode": "3400001", "reasonMsg": "open orders"}, None, {}]}
    assert classify(200, answer(3400045, "failed", reasons)).message == "failed; open orders"
