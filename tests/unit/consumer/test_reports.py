"""The report of a finished order: keys that lead nowhere else, and every digit of the ledger's."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.telling.reports import key_part, key_segment, report_body, report_document, report_key
from storage.objects.store import check_key
from storage.states import OrderState
from tests.fakes.finished_orders import DENIED, EVENTS, FILLED, FINISHED

KEY_CHARACTERS = re.compile(r"(?:[A-Za-z0-9._-]|%[0-9A-F]{2})+")
NAME_MOST = 255  # bytes that a file system takes for one name


def ids() -> st.SearchStrategy[str]:
    """What a ledger can hold as a request id, and more; with plenty of awkward characters."""
    awkward = st.text(st.sampled_from("/.\\~%-_:?#&+ é€😀\x00\n"), min_size=1, max_size=128)
    return awkward | st.text(min_size=1, max_size=128) | st.text("a.", min_size=100, max_size=300)


@pytest.mark.parametrize(
    "zone", [UTC, timezone(timedelta(hours=-9, minutes=-30)), timezone(timedelta(hours=14))]
)
def test_key_names_exchange_symbol_time_in_utc_and_id(zone: timezone) -> None:
    row = replace(FILLED, finished_at=FINISHED.astimezone(zone), request_id="c7f1b1de-2f5e")

    assert report_key(row) == (
        "trade-reports/bybit/BTCUSDT/2026-01-31T12-00-00-123Z-c7f1b1de-2f5e.json"
    )


@given(ids(), ids(), ids())
@example("../../etc/passwd", "..", "/")
@example("..", ".", "\x00")
def test_no_key_leads_elsewhere_or_grows_without_bound(
    request_id: str, exchange: str, symbol: str
) -> None:
    key = report_key(replace(FILLED, request_id=request_id, exchange=exchange, symbol=symbol))

    assert check_key(key) == key
    head, *segments = key.split("/")
    assert (head, len(segments)) == ("trade-reports", 3)
    for segment in segments:
        assert KEY_CHARACTERS.fullmatch(segment)
        assert segment.strip(".")
        assert len(segment) <= NAME_MOST


@given(ids(), ids())
def test_different_ids_make_different_keys(one: str, other: str) -> None:
    assert (key_part(one) == key_part(other)) is (one == other)
    assert (key_segment(one) == key_segment(other)) is (one == other)


@given(st.text("ab", min_size=150, max_size=300) | st.text("€a", min_size=1, max_size=200))
def test_an_id_that_spells_another_ones_key_does_not_meet_it(text: str) -> None:
    spelled = key_part(text)

    assert spelled == text or key_part(spelled) != spelled


@given(st.text("abc", min_size=300, max_size=300), st.text("abc", min_size=1, max_size=5))
def test_long_ids_that_differ_only_in_their_tails_stay_apart(head: str, tail: str) -> None:
    assert key_part(head) != key_part(head + tail)


def test_a_plain_id_is_readable_in_its_key() -> None:
    assert key_part("A.b_c-9") == "A.b_c-9"
    assert key_part("a/b~c") == "a%2Fb%7Ec"


@pytest.mark.parametrize("build", [report_key, lambda row: report_document(row, [])])
def test_an_order_that_is_not_finished_has_no_report(build: Any) -> None:  # noqa: ANN401 - either
    row = replace(FILLED, state=OrderState.ACCEPTED, finished_at=None)

    with pytest.raises(ValueError, match="'r-1' is ACCEPTED"):
        build(row)


def test_report_tells_what_was_asked_sent_and_came_of_it() -> None:
    report = json.loads(report_body(FILLED, EVENTS))

    assert report == {
        "version": 1,
        "requestId": "r-1",
        "clientOrderId": "tw-abc",
        "exchange": "bybit",
        "account": "default",
        "symbol": "BTCUSDT",
        "request": {"requestId": "r-1", "action": "LONG", "quantity": "0.0050", "leverage": 10},
        "order": {
            "side": "BUY",
            "orderType": "MARKET",
            "quantity": "0.005",
            "price": None,
            "reduceOnly": False,
        },
        "result": {
            "status": "FILLED",
            "orderId": "e-1",
            "filledQuantity": "0.005",
            "averagePrice": "12345678901234567890.123456789012345678901234567890",
            "fee": "10",
            "feeCurrency": "USDT",
            "code": None,
            "message": None,
        },
        "times": {
            "queuedAt": "2026-01-31T11:59:58.123999Z",
            "receivedAt": "2026-01-31T11:59:58.223999Z",
            "sentAt": "2026-01-31T11:59:59.373999Z",
            "finishedAt": "2026-01-31T12:00:00.123999Z",
            "secondsToWire": 1.25,
        },
        "attempts": 2,
        "sends": 1,
        "events": [
            {
                "at": "2026-01-31T12:00:00.123999Z",
                "before": None,
                "after": "RECEIVED",
                "attempt": 1,
                "code": None,
                "message": None,
                "detail": {},
            },
            {
                "at": "2026-01-31T12:00:00.123999Z",
                "before": "RECEIVED",
                "after": "SENDING",
                "attempt": 2,
                "code": None,
                "message": None,
                "detail": {"orderType": "MARKET", "quantity": "0.0050", "reduceOnly": False},
            },
        ],
    }


def test_an_order_that_never_came_to_an_intent_has_no_order_part() -> None:
    report = json.loads(report_body(DENIED, []))

    assert report["order"] is None
    assert report["result"]["status"] == "DENIED"
    assert report["result"]["code"] == "BELOW_MIN_QUANTITY"
    assert report["times"]["sentAt"] is None
    assert report["times"]["secondsToWire"] is None


def test_what_happens_to_the_message_afterwards_does_not_change_the_report() -> None:
    later = replace(FILLED, dead_lettered_at=FINISHED + timedelta(days=1), owner=None)

    assert report_body(later, EVENTS) == report_body(FILLED, EVENTS)
    assert report_key(later) == report_key(FILLED)


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
)
def test_money_is_text_that_reads_back_the_same(fee: Decimal, price: Decimal) -> None:
    event = replace(EVENTS[1], detail={"price": price})

    report = json.loads(
        report_body(replace(FILLED, fee=fee), [event]), parse_float=Decimal, parse_int=Decimal
    )

    assert Decimal(report["result"]["fee"]) == fee
    assert Decimal(report["events"][0]["detail"]["price"]) == price
    assert "e" not in report["result"]["fee"].lower()
