"""What users see of an error names the exchange, its code, its message and what to do."""

from __future__ import annotations

import pytest

from providers.errors import ExchangeRefusal, ExchangeUnavailable
from providers.outcomes import ADVICE, PLACEMENT_OF_CLASS, OutcomeClass, PlacementKind, advised


def test_every_refusal_and_every_reason_to_wait_comes_with_advice() -> None:
    asks_for_a_person = {
        one
        for one, kind in PLACEMENT_OF_CLASS.items()
        if kind in (PlacementKind.REJECTED, PlacementKind.DEFERRED)
    }
    assert set(ADVICE) == asks_for_a_person - {OutcomeClass.NOT_PERMITTED}  # says why itself


@pytest.mark.parametrize(
    ("said", "outcome_class", "text"),
    [
        ("ab not enough", OutcomeClass.MARGIN, "ab not enough. Add margin, or trade less."),
        ("Stop!", OutcomeClass.OVERLOAD, "Stop! Try again later."),
        (None, OutcomeClass.CLOCK, "Timestamp verification failed. Check system NTP sync."),
        ("who knows", OutcomeClass.UNKNOWN, "who knows"),
        (None, OutcomeClass.UNKNOWN, ""),
    ],
)
def test_advice_follows_the_message(
    said: str | None, outcome_class: OutcomeClass, text: str
) -> None:
    assert advised(said, outcome_class) == text


def test_an_error_is_one_line_with_everything_in_it() -> None:
    refused = ExchangeRefusal(
        "bybit",
        "GET /v5/position/list: API key is invalid.",
        outcome_class=OutcomeClass.AUTH,
        code="10003",
    )
    assert str(refused) == (
        "bybit 10003: GET /v5/position/list: API key is invalid. Check the key, its secret, its "
        "permissions and its bound addresses."
    )
    assert (refused.said, refused.advice) == (
        "GET /v5/position/list: API key is invalid.",
        ADVICE[OutcomeClass.AUTH],
    )
    away = ExchangeUnavailable("mexc", "ReadTimeout", outcome_class=OutcomeClass.UNKNOWN)
    assert str(away) == "mexc: ReadTimeout"
