"""What an observer is told of requests: every one of them, nothing secret, and it can't do harm."""

from __future__ import annotations

import logging

import pytest

from providers.binance.client import BinanceClient
from providers.bybit.client import BybitClient
from providers.calls import Call, Verdict, make_redactor
from providers.clock import SystemClock
from providers.exchange import Observable
from providers.http import Fault, TransportFault
from providers.mexc.client import MexcClient
from providers.observing import CallRecord, CallTeller
from providers.outcomes import OutcomeClass

PLACE = Call("POST", "/v5/order/create", body=b'{"secret": 1}')
LOOK_UP = Call("GET", "/v5/order/realtime", query="signature=abc", client_order_id="tw-1")
CLOCK = Call("GET", "/v5/market/time", signed=False)
GOOD = Verdict(OutcomeClass.ACCEPTED, "0", "OK")
REFUSED = Verdict(OutcomeClass.MARGIN, "110007", "not enough " + "x" * 1000)


@pytest.fixture
def told() -> list[CallRecord]:
    return []


@pytest.fixture
def teller(told: list[CallRecord]) -> CallTeller:
    made = CallTeller("bybit", SystemClock())
    made.observer = told.append
    return made


def test_an_answer_is_told_without_what_was_signed(
    teller: CallTeller, told: list[CallRecord]
) -> None:
    teller.answered(PLACE, 0.0, 200, GOOD, placed="tw-1")
    teller.answered(LOOK_UP, 0.0, 200, REFUSED)
    teller.answered(CLOCK, 0.0, 200, GOOD)

    place, look_up, clock = told
    assert (place.kind, place.client_order_id, place.status) == ("place", "tw-1", 200)
    assert (place.outcome, place.code, place.message) == (OutcomeClass.ACCEPTED, "0", "")
    assert (look_up.kind, look_up.client_order_id) == ("read", "tw-1")
    assert look_up.code == "110007"
    assert look_up.message.startswith("not enough")
    assert len(look_up.message) == 300
    assert clock.kind == "public"
    assert "signature" not in repr(told)
    assert "secret" not in repr(told)


def test_no_answer_is_told_as_well(teller: CallTeller, told: list[CallRecord]) -> None:
    teller.unanswered(PLACE, 0.0, TransportFault(Fault.UNKNOWN, "ReadTimeout"), placed="tw-1")

    (record,) = told
    assert (record.status, record.code) == (None, "ReadTimeout")
    assert record.outcome is OutcomeClass.UNKNOWN


def test_an_observer_that_fails_does_no_harm(
    teller: CallTeller, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_record: CallRecord) -> None:
        raise RuntimeError("no room")

    teller.observer = fail
    with caplog.at_level(logging.ERROR):
        teller.answered(PLACE, 0.0, 200, GOOD, placed="tw-1")

    assert "the observer of requests failed" in caplog.text


def test_nobody_is_told_where_nobody_listens() -> None:
    CallTeller("bybit", SystemClock()).answered(PLACE, 0.0, 200, GOOD)


@pytest.mark.parametrize("client", [BybitClient, BinanceClient, MexcClient])
def test_every_exchange_can_be_observed(client: type) -> None:
    assert issubclass(client, Observable)


@pytest.mark.parametrize(
    ("secrets", "said", "left"),
    [
        (("the-key-1", "the-word-2"), "origin[the-key-1the-word-2]", "origin[******]"),
        (("the-key-1",), "nothing of ours", "nothing of ours"),
        (("key", ""), "a key of some kind", "a key of some kind"),
    ],
)
def test_what_an_exchange_repeats_of_ours_is_taken_out(
    secrets: tuple[str, ...], said: str, left: str
) -> None:
    assert make_redactor(*secrets)(said.encode()).decode() == left
