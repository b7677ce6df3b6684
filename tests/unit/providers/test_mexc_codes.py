"""MEXC's outcome table: every listed code, the HTTP layer, and nothing guessed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.mexc.codes import CODES, classify
from providers.outcomes import PLACEMENT_OF_CLASS, OutcomeClass, PlacementKind

# What each documented code must mean. Written from the exchange's documentation, on its own, so
# that a slip in the table shows.
MEANING: dict[OutcomeClass, list[int]] = {
    OutcomeClass.RATE_ACCOUNT: [510, 2037],
    OutcomeClass.CLOCK: [513],
    OutcomeClass.AUTH: [
        401, 402, 406, 506, 511, 602, 701, 702, 703, 704, 200005, 200006, 300000, 300001, 300002,
    ],
    OutcomeClass.DUPLICATE_ID: [603, 2042],
    OutcomeClass.OVERLOAD: [604, 801],
    OutcomeClass.PARAMETER: [
        600, 601, 1000, 1001, 1003, 1004, 2001, 2002, 2006, 2013, 2014, 2016, 2019, 2021, 2022,
        2026, 2027, 2029, 2030, 2034, 2035, 2036, 2043, *range(3001, 3016), *range(5001, 5007),
        7001, 7002, 7003, 7004, 8817, 8931, 9069, 9070, 9071,
    ],
    OutcomeClass.FILTER: [
        2003, 2004, 2007, 2011, 2015, 2028, 2032, 2033, 2039, 2051, 2057, 7008,
    ],
    OutcomeClass.MARGIN: [
        2005, 2018, 2031, 2038, 2044, 2049, 7009, 8012, 8815, 8816, 8818, 8819, 8820, 8821, 8917,
        8919,
    ],
    OutcomeClass.REDUCE_ONLY: [2008, 7005],
    OutcomeClass.NO_POSITION: [2009],
    OutcomeClass.NOT_TRADABLE: [
        1002, 6001, 6002, 6005, 6009, 8920, 8921, 8922, 8930, 8932, 8934, 9068, 9998,
    ],
    OutcomeClass.NOT_FOUND: [2040, 2041],
    OutcomeClass.UNKNOWN: [500, 501, 2056, 6008, 9999],
}  # fmt: skip
KIND = {
    OutcomeClass.RATE_ACCOUNT: PlacementKind.DEFERRED,
    OutcomeClass.CLOCK: PlacementKind.DEFERRED,
    OutcomeClass.OVERLOAD: PlacementKind.DEFERRED,
    OutcomeClass.DUPLICATE_ID: PlacementKind.DUPLICATE,
    OutcomeClass.NOT_FOUND: PlacementKind.UNKNOWN,
    OutcomeClass.UNKNOWN: PlacementKind.UNKNOWN,
}
PAGE = b"\n <!DOCTYPE html><html><body>Access Denied</body></html>"


def error(code: object, message: str = "said so") -> bytes:
    return orjson.dumps({"success": False, "code": code, "message": message})


@pytest.mark.parametrize(
    ("code", "outcome_class"),
    [(code, outcome_class) for outcome_class, codes in MEANING.items() for code in codes],
)
def test_what_a_listed_code_means_and_does_to_an_order(
    code: int, outcome_class: OutcomeClass
) -> None:
    verdict = classify(200, error(code))
    assert verdict.outcome_class is outcome_class
    assert PLACEMENT_OF_CLASS[outcome_class] is KIND.get(outcome_class, PlacementKind.REJECTED)
    assert verdict.code == str(code)
    assert verdict.message.startswith("said so")


def test_the_table_lists_no_code_that_no_test_knows() -> None:
    assert set(CODES) == {code for codes in MEANING.values() for code in codes}


@given(st.integers(-(2**40), 2**40).filter(lambda code: code not in CODES))
def test_a_code_that_is_not_listed_is_unknown(code: int) -> None:
    assert classify(200, error(code)).outcome_class is OutcomeClass.UNKNOWN


@pytest.mark.parametrize("code", [0, 200])
def test_both_codes_of_success(code: int) -> None:
    verdict = classify(200, orjson.dumps({"success": True, "code": code, "data": [1]}))
    assert verdict.outcome_class is OutcomeClass.ACCEPTED
    assert verdict.result["data"] == [1]


@pytest.mark.parametrize(
    ("success", "code"),
    [
        (True, 2005),
        (True, 2042),
        (True, 1),
        (False, 0),
        (False, 200),
        (None, 0),
        (1, 0),
        ("true", 0),
    ],
)
def test_an_envelope_that_contradicts_itself_is_unknown(success: object, code: int) -> None:
    body = orjson.dumps({"success": success, "code": code, "data": {"orderId": "1"}})
    assert classify(200, body).outcome_class is OutcomeClass.UNKNOWN


@pytest.mark.parametrize(
    ("status", "body", "outcome_class"),
    [
        (403, PAGE, OutcomeClass.RATE_IP),
        (418, PAGE, OutcomeClass.RATE_IP),
        (429, PAGE, OutcomeClass.RATE_IP),
        # From the API itself, or from nobody knows where: not the edge's page.
        (403, b"", OutcomeClass.UNKNOWN),
        (403, error(602), OutcomeClass.UNKNOWN),
        (429, error(510), OutcomeClass.UNKNOWN),
        (429, b"too many", OutcomeClass.UNKNOWN),
        (400, error(600), OutcomeClass.UNKNOWN),
        (401, error(402), OutcomeClass.UNKNOWN),
        (404, PAGE, OutcomeClass.UNKNOWN),
        (408, b"", OutcomeClass.UNKNOWN),
        (500, PAGE, OutcomeClass.UNKNOWN),
        (502, PAGE, OutcomeClass.UNKNOWN),
        (503, b"", OutcomeClass.UNKNOWN),
        (504, b"", OutcomeClass.UNKNOWN),
        (301, b"", OutcomeClass.UNKNOWN),
        (204, b"", OutcomeClass.UNKNOWN),
        (201, b'{"success":true,"code":0,"data":"1"}', OutcomeClass.UNKNOWN),
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
        PAGE,
        b"[]",
        b"null",
        b"0",
        b'"success"',
        b"{}",
        b'{"success":true}',
        b'{"success":true,"code":null}',
        b'{"success":true,"code":"0"}',
        b'{"success":true,"code":0.0}',
        b'{"success":true,"code":false}',
        b'{"success":true,"code":0',
        b'{"success":true,"code":0,"data":NaN}',
        b'{"success":true,"code":0,"data":1e99999999999999999999}',
        b'{"success":true,"code":' + b"9" * 5000 + b"}",
        b'{"success":true,"code":0,"data":"\\ud800"}',
        b'{"success":true,"code":0,"data":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"\xff\xfe",
        b'\xef\xbb\xbf{"success":true,"code":0}',
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
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["success", "code", "data", "message"]), inner)
        ),
    )
)
def test_any_json_is_judged(value: Any) -> None:  # noqa: ANN401 - any JSON
    verdict = classify(200, orjson.dumps(value))
    if verdict.outcome_class is OutcomeClass.ACCEPTED:
        assert value["success"] is True
        assert value["code"] in (0, 200)


def test_numbers_of_the_answer_stay_exact() -> None:
    body = b'{"success":true,"code":0,"data":{"orderId":812345678901234567,"price":0.1000}}'
    data = classify(200, body).result["data"]
    assert data["orderId"] == 812345678901234567
    assert str(data["price"]) == "0.1000"


def test_a_message_that_leaves_one_without_a_clue_is_explained() -> None:
    message = classify(200, error(513, "Invalid request")).message
    assert message.startswith("Invalid request; ")
    assert "clock" in message
    assert "margin" in classify(200, orjson.dumps({"success": False, "code": 7003})).message
