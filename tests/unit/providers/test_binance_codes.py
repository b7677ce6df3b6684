"""Binance's outcome table: every listed code, the HTTP layer, and nothing guessed."""

from __future__ import annotations

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.binance import limits
from providers.binance.codes import CODES, classify
from providers.calls import Verdict
from providers.outcomes import PLACEMENT_OF_CLASS, OutcomeClass, PlacementKind

# What each documented code must lead to when an order is placed. Written from the exchange's
# documentation, on its own, so that a slip in the table shows.
REJECTED = [
    -1002, -1010, -1013, -1014, -1020, -1022, -1099, -1100, -1101, -1102, -1103, -1104, -1105,
    -1106, -1108, -1111, -1112, -1114, -1115, -1116, -1117, -1118, -1119, -1121, -1122, -1125,
    -1128, -1130, -1136, -2010, -2014, -2015, -2017, -2018, -2019, -2020, -2021, -2022, -2023,
    -2024, -2025, -2026, -2027, -2028, -4001, -4002, -4003, -4004, -4005, -4006, -4007, -4013,
    -4014, -4015, -4016, -4023, -4024, -4028, -4045, -4047, -4048, -4050, -4051, -4060, -4061,
    -4062, -4067, -4068, -4087, -4088, -4109, -4118, -4120, -4129, -4130, -4131, -4136, -4137,
    -4138, -4140, -4141, -4142, -4161, -4164, -4167, -4168, -4171, -4183, -4184, -4192, -4202,
    -4203, -4205, -4206, -4208, -4209, -4210, -4211, -4400, -4401, -4402, -4403, -4509, -4531,
    -5021, -5022, -5024, -5025, -5026, -5027, -5037, -5038, -5039, -5040, -5041,
]  # fmt: skip
DEFERRED = [-1003, -1008, -1015, -1016, -1021, -1109, -5028, 239999]
DUPLICATE = [-4116]
UNKNOWN = [-1000, -1001, -1006, -1007, -2011, -2012, -2013, -4046, -4059]

# The class matters too: it tells people why, and what is looked at again.
CLASSES = {
    OutcomeClass.CLOCK: [-1021, -5028],
    OutcomeClass.RATE_IP: [-1003],
    OutcomeClass.RATE_ACCOUNT: [-1015],
    OutcomeClass.OVERLOAD: [-1008, -1016, -1109, 239999],
    OutcomeClass.AUTH: [-1002, -1022, -2014, -2015, -2017, -4087, -4088, -4109, -4192, -4400],
    OutcomeClass.FILTER: [-1111, -1112, -2020, -4004, -4014, -4016, -4023, -4024, -4131, -4164],
    OutcomeClass.MARGIN: [-2018, -2019, -2024, -2027, -2028, -4050, -4051, -4118],
    OutcomeClass.REDUCE_ONLY: [-2022],
    OutcomeClass.NO_POSITION: [-4129, -4509],
    OutcomeClass.NOT_TRADABLE: [-1122, -2023, -4140, -4141],
    OutcomeClass.BENIGN: [-4046, -4059],
    OutcomeClass.NOT_FOUND: [-2011, -2013],
    OutcomeClass.PARAMETER: [-1106, -1121, -2010, -2021, -4015, -4061, -4067, -4120, -5022],
}
UNKNOWN_503 = "Unknown error, please check your request or try again later."
INTERNAL_503 = "Internal error; unable to process your request. Please try again."
THROTTLED_503 = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
    "Please try again."
)


def answer(code: object, message: str = "said so") -> bytes:
    return orjson.dumps({"code": code, "msg": message})


@pytest.mark.parametrize(
    ("code", "kind"),
    [(code, PlacementKind.REJECTED) for code in REJECTED]
    + [(code, PlacementKind.DEFERRED) for code in DEFERRED]
    + [(code, PlacementKind.DUPLICATE) for code in DUPLICATE]
    + [(code, PlacementKind.UNKNOWN) for code in UNKNOWN],
)
def test_what_a_listed_code_does_to_an_order(code: int, kind: PlacementKind) -> None:
    verdict = classify(400, answer(code))
    assert PLACEMENT_OF_CLASS[verdict.outcome_class] is kind
    assert (verdict.code, verdict.message) == (str(code), "said so")


@pytest.mark.parametrize(
    ("code", "outcome_class"),
    [(code, outcome_class) for outcome_class, codes in CLASSES.items() for code in codes],
)
def test_why(code: int, outcome_class: OutcomeClass) -> None:
    assert classify(400, answer(code)).outcome_class is outcome_class


def test_the_table_lists_no_code_that_no_test_knows() -> None:
    assert set(CODES) == {*REJECTED, *DEFERRED, *DUPLICATE, *UNKNOWN}


@given(st.integers(-(2**40), 2**40).filter(lambda code: code not in CODES))
def test_a_code_that_is_not_listed_is_unknown(code: int) -> None:
    assert classify(400, answer(code)).outcome_class is OutcomeClass.UNKNOWN


@pytest.mark.parametrize("code", [-1003, -2019, -4116, -2013])
def test_a_good_status_does_not_make_a_listed_refusal_good(code: int) -> None:
    verdict = classify(200, answer(code))
    assert (verdict.outcome_class, verdict.code) == (CODES[code], str(code))


@pytest.mark.parametrize(
    ("status", "body", "outcome_class", "code"),
    [
        # The four kinds of 503.
        (503, UNKNOWN_503.encode(), OutcomeClass.UNKNOWN, "http-503"),
        (
            503,
            orjson.dumps({"timestamp": 1, "path": "/fapi/v1/order", "msg": UNKNOWN_503}),
            OutcomeClass.UNKNOWN,
            "http-503",
        ),
        (503, answer(-1000, UNKNOWN_503), OutcomeClass.UNKNOWN, "-1000"),
        (503, b"Service Unavailable.\n", OutcomeClass.OVERLOAD, "http-503"),
        (503, orjson.dumps({"msg": "Service Unavailable."}), OutcomeClass.OVERLOAD, "http-503"),
        (503, answer(-1008, THROTTLED_503), OutcomeClass.OVERLOAD, "-1008"),
        (503, answer(-1001, INTERNAL_503), OutcomeClass.UNKNOWN, "-1001"),
        (503, orjson.dumps({"msg": INTERNAL_503}), OutcomeClass.UNKNOWN, "http-503"),
        # A gateway's own page is none of them.
        (503, b"<html><h1>503 Service Unavailable</h1>", OutcomeClass.UNKNOWN, "http-503"),
        (503, b"Service Unavailable", OutcomeClass.UNKNOWN, "http-503"),
        (503, b"", OutcomeClass.UNKNOWN, "http-503"),
        (503, answer(-1016), OutcomeClass.OVERLOAD, "-1016"),
        (503, answer(-2019), OutcomeClass.UNKNOWN, "-2019"),
        (503, answer(200), OutcomeClass.UNKNOWN, "200"),
        (500, b"", OutcomeClass.UNKNOWN, "http-500"),
        (500, b"Service Unavailable.", OutcomeClass.UNKNOWN, "http-500"),
        (502, b"<html>Bad Gateway</html>", OutcomeClass.UNKNOWN, "http-502"),
        (502, answer(-2019), OutcomeClass.UNKNOWN, "-2019"),
        (504, answer(-1008), OutcomeClass.UNKNOWN, "-1008"),
        (504, b"", OutcomeClass.UNKNOWN, "http-504"),
        (403, b"<html>blocked</html>", OutcomeClass.RATE_IP, "http-403"),
        (403, answer(-2015), OutcomeClass.AUTH, "-2015"),
        (408, b"", OutcomeClass.UNKNOWN, "http-408"),
        (408, answer(-1021), OutcomeClass.UNKNOWN, "http-408"),
        (418, answer(-1003, "banned"), OutcomeClass.RATE_IP, "http-418"),
        (418, b"", OutcomeClass.RATE_IP, "http-418"),
        (429, answer(-1003), OutcomeClass.RATE_IP, "-1003"),
        (429, answer(-1015), OutcomeClass.RATE_ACCOUNT, "-1015"),
        (429, b"", OutcomeClass.RATE_IP, "http-429"),
        (429, answer(-123456), OutcomeClass.UNKNOWN, "-123456"),
        (451, answer(0, "restricted location"), OutcomeClass.AUTH, "http-451"),
        (401, answer(-2014), OutcomeClass.AUTH, "-2014"),
        (401, b"", OutcomeClass.UNKNOWN, "http-401"),
        (400, b"", OutcomeClass.UNKNOWN, "http-400"),
        (400, b"<html>Bad Request</html>", OutcomeClass.UNKNOWN, "http-400"),
        (400, answer(200), OutcomeClass.UNKNOWN, "200"),
        (404, b"<html>", OutcomeClass.UNKNOWN, "http-404"),
        (301, answer(-2019), OutcomeClass.UNKNOWN, "http-301"),
        (202, answer(200), OutcomeClass.UNKNOWN, "http-202"),
        (204, b"", OutcomeClass.UNKNOWN, "http-204"),
    ],
)
def test_the_http_layer(status: int, body: bytes, outcome_class: OutcomeClass, code: str) -> None:
    verdict = classify(status, body)
    assert (verdict.outcome_class, verdict.code) == (outcome_class, code)


@pytest.mark.parametrize("body", [answer(200, "success"), answer("200", "success")])
def test_what_setters_answer_is_success(body: bytes) -> None:
    assert classify(200, body).outcome_class is OutcomeClass.ACCEPTED


def test_a_list_is_a_good_answer_and_stands_under_a_name() -> None:
    verdict = classify(200, b'[{"orderId":1}]')
    assert (verdict.outcome_class, verdict.result) == (
        OutcomeClass.ACCEPTED,
        {"list": [{"orderId": 1}]},
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html></html>",
        b"null",
        b"0",
        b'"code"',
        b'{"code":null}',
        b'{"code":"soon"}',
        b'{"code":0.0}',
        b'{"code":false}',
        b'{"code":0}',
        b'{"code":[200]}',
        b'{"code":200',
        b"\xff\xfe",
        b'{"code":NaN}',
    ],
)
def test_an_answer_that_says_nothing_readable_is_unknown(body: bytes) -> None:
    assert classify(200, body).outcome_class is OutcomeClass.UNKNOWN


@given(st.integers(100, 599).filter(lambda status: status != 200), st.binary(max_size=300))
def test_no_other_status_is_ever_an_acceptance(status: int, body: bytes) -> None:
    assert classify(status, body).outcome_class is not OutcomeClass.ACCEPTED


@given(
    st.integers(100, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["code", "msg"]), inner)
        ),
    ),
)
def test_any_json_is_judged(status: int, value: object) -> None:
    verdict = classify(status, orjson.dumps(value))
    if verdict.outcome_class is OutcomeClass.ACCEPTED:
        assert status == 200
        assert isinstance(value, list | dict)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>no page at /fapi/v1/order?symbol=BTCUSDT&signature=abc123&x</html>",
        b'{"code":-1100,"msg":"bad request: ?timestamp=1&signature=abc123"}',
        b"x" * 190 + b"signature=abc123",
    ],
)
def test_a_signature_that_an_answer_repeats_is_hidden(body: bytes) -> None:
    assert "abc" not in classify(400, body).message


# How long to stay away. The clock stands at 22:13:20, so 40 s are left of its minute.

NOW = 1700000000000


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Way too many requests; IP(10.0.0.1) banned until 1700000120500. Please use", 120.5),
        ("Way too many requests; IP banned until 1699999999000.", 1.0),
        ("banned until 9999999999999", 3 * 86400.0),
        ("banned until tomorrow", None),
        ("banned until 17000001205001234", None),
        ("", None),
    ],
)
def test_the_end_of_a_ban_is_read_from_its_message(message: str, seconds: float | None) -> None:
    assert limits.left_of_ban(message, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-MBX-USED-WEIGHT-1M": "2401"}, 40.0),
        ({"X-MBX-USED-WEIGHT-1M": "2399"}, None),
        ({"X-MBX-ORDER-COUNT-1M": "1200", "X-MBX-ORDER-COUNT-10S": "300"}, 40.0),
        ({"X-MBX-ORDER-COUNT-1M": "900", "X-MBX-ORDER-COUNT-10S": "300"}, 10.0),
        ({"X-MBX-USED-WEIGHT-1M": "many", "X-MBX-ORDER-COUNT-10S": "9" * 40}, None),
        ({}, None),
    ],
)
def test_the_counting_headers_tell_which_window_is_full(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert limits.left_of_counted(httpx.Headers(headers), NOW) == seconds


@pytest.mark.parametrize(
    ("code", "message", "seconds"),
    [
        ("-1003", "Too many requests; current limit is 2400 requests per minute.", 40.0),
        ("http-429", "", 40.0),
        ("-1015", "Too many new orders; current limit is 300 orders per TEN_SECONDS.", 10.0),
        ("-1015", "Too many new orders; current limit is 1200 orders per MINUTE.", 40.0),
        ("http-418", "", None),
        ("http-403", "", None),
    ],
)
def test_a_refusal_tells_which_window_it_means(
    code: str, message: str, seconds: float | None
) -> None:
    assert limits.left_after(Verdict(OutcomeClass.RATE_IP, code, message), NOW) == seconds


@given(st.integers(0, 2**42), st.sampled_from(["-1003", "-1015"]))
def test_a_window_is_never_longer_than_itself(now_ms: int, code: str) -> None:
    left = limits.left_after(Verdict(OutcomeClass.RATE_IP, code, ""), now_ms)
    assert left is not None
    assert 0 < left <= 60
