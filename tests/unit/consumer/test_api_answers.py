"""From outcomes to answers, and from keys to leave: the tables of the REST API."""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

from consumer.api.answers import STATUS, answer_of, stored
from consumer.api.app import create_app
from consumer.api.errors import ApiError, failure, translated
from consumer.api.guard import Guard
from consumer.api.keys import Keys
from consumer.outcome import Outcome, OutcomeKind
from storage.errors import LedgerUnavailable
from storage.states import OrderState
from tests.fakes.finished_orders import FILLED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CLOSED = "Service configuration error"


def refused(work: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        work()
    return caught.value


@pytest.mark.parametrize(
    ("kind", "reason", "status", "code", "waits"),
    [
        (OutcomeKind.REFUSED, "KILL_SWITCH_ACTIVE", 503, "KILL_SWITCH_ACTIVE", False),
        (OutcomeKind.REFUSED, "EXCHANGE_DISABLED", 403, "FORBIDDEN", False),
        (OutcomeKind.REFUSED, "DUPLICATE_REQUEST", 409, "DUPLICATE_REQUEST", False),
        (OutcomeKind.REFUSED, "EXCHANGE_REJECTED", 500, "INTERNAL_ERROR", False),
        (OutcomeKind.REFUSED, "BELOW_MIN_QUANTITY", 400, "BAD_REQUEST", False),
        (OutcomeKind.REFUSED, "ANYTHING_NEW", 400, "BAD_REQUEST", False),
        (OutcomeKind.RETRY, "RATE_LIMITED", 429, "RATE_LIMITED", True),
        (OutcomeKind.RETRY, "CLOCK_SKEW", 401, "UNAUTHORIZED", False),
        (OutcomeKind.RETRY, "LEDGER_UNAVAILABLE", 503, "UNAVAILABLE", True),
        (OutcomeKind.RETRY, "INTERNAL_ERROR", 500, "INTERNAL_ERROR", False),
        (OutcomeKind.RETRY, "OUTCOME_UNKNOWN", 503, "UNAVAILABLE", True),  # and no row to show
        (OutcomeKind.RELEASED, None, 503, "UNAVAILABLE", True),
    ],
)
def test_every_failure_has_its_status_and_says_when_to_come_back_only_if_that_helps(
    kind: OutcomeKind, reason: str | None, status: int, code: str, *, waits: bool
) -> None:
    error = refused(lambda: answer_of(Outcome(kind, reason, "because", request_id="r"), None))
    assert (error.status, error.code, error.request_id) == (status, code, "r")
    assert ("retry-after" in failure(error).headers) is waits


@given(st.sampled_from(OrderState))
def test_what_the_ledger_has_is_answered_the_same_whenever_it_is_asked(state: OrderState) -> None:
    row = replace(FILLED, state=state, code="X", message="because")
    if state in (OrderState.DENIED, OrderState.EXPIRED, OrderState.REJECTED):
        assert refused(lambda: stored(row, "r")).request_id == "r"
    else:
        answer = stored(row, "r")
        assert answer.result["status"] == STATUS[state]
        assert answer.pending is not state.final


def test_nothing_of_a_defect_is_told() -> None:
    error = translated(RuntimeError("the password is 1234"))
    assert (error.status, error.code) == (500, "INTERNAL_ERROR")
    assert b"1234" not in failure(error).body


KEYS = Keys.of(SecretStr("one, two"), SecretStr("three"))


@pytest.mark.parametrize("key", ["one", "two"])
def test_any_of_the_execute_keys_may_do_both(key: str) -> None:
    KEYS.check(key, execute=True)
    KEYS.check(key, execute=False)


def test_a_read_key_may_read_only() -> None:
    KEYS.check("three", execute=False)
    assert refused(lambda: KEYS.check("three", execute=True)).status == 403


@given(st.text() | st.none())
def test_no_other_key_opens_anything(key: str | None) -> None:
    if key in ("one", "two", "three"):
        return
    for execute in (True, False):
        assert refused(lambda e=execute: KEYS.check(key, execute=e)).status == 401  # type: ignore[misc]  # bound


@given(st.text() | st.none(), st.sampled_from([None, SecretStr(""), SecretStr(" , ")]))
def test_without_keys_it_is_closed_never_open(key: str | None, none: SecretStr | None) -> None:
    for execute in (True, False):
        error = refused(lambda e=execute: Keys.of(none, none).check(key, execute=e))  # type: ignore[misc]  # bound
        assert (error.status, error.message) == (500, CLOSED)
    assert refused(lambda: Keys.of(None, SecretStr("r")).check("r", execute=True)).status == 500


@pytest.mark.parametrize("key", [None, "", "wrong", "one", "three"])
def test_whatever_the_key_it_is_compared_with_all_that_hold_in_constant_time(
    key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((given, known))
        return hmac.compare_digest(given, known)

    monkeypatch.setattr("consumer.api.keys.hmac", SimpleNamespace(compare_digest=compare))
    with suppress(ApiError):
        KEYS.check(key, execute=True)
    assert len(compared) == 3
    assert {len(part) for pair in compared for part in pair} == {32}  # digests, whatever was given


async def test_what_takes_too_long_is_given_up_and_said_so() -> None:
    app = create_app()
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async def drip() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    app.add_api_route("/slow", slow, methods=["GET", "POST"])
    guard = Guard(app, app.routes, most=1000, seconds=0.05)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(guard), base_url="http://here"
    ) as client:
        late = await client.get("/slow")
        unread = await client.post("/slow", content=drip())
    assert (late.status_code, late.json()["error"]["code"]) == (503, "UNAVAILABLE")
    assert late.headers["retry-after"] == "1"
    assert cancelled.is_set()
    assert (unread.status_code, unread.headers["connection"]) == (408, "close")


async def test_a_body_that_is_too_large_is_read_to_its_end_so_that_its_sender_sees_the_answer() -> (
    None
):
    app = create_app()
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(20):
            sent += 1
            yield b" " * 1000

    guard = Guard(app, app.routes, most=2500, seconds=5)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(guard), base_url="http://here"
    ) as client:
        answer = await client.post("/anywhere", content=chunks())
        known = await client.post(
            "/anywhere", content=chunks(), headers={"Content-Length": "20000"}
        )
    assert (answer.status_code, known.status_code) == (413, 413)
    assert sent == 40


async def test_what_is_away_is_named_to_the_caller_and_told_to_operators() -> None:
    app = create_app()

    async def away() -> None:
        raise LedgerUnavailable("PostgreSQL: permission denied for table orders")

    app.add_api_route("/away", away)
    with capture_logs() as logs:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://here"
        ) as client:
            answer = await client.get("/away")
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        503, "the ledger can't be reached now",
    )  # fmt: skip
    (line,) = logs
    assert (line["event"], line["path"]) == ("request not served", "/away")
    assert "permission denied" in line["error"]


async def test_what_nobody_foresaw_is_answered_in_the_envelope_and_tells_nothing() -> None:
    app = create_app()

    async def broken() -> None:
        raise RuntimeError("the password is 1234")

    app.add_api_route("/broken", broken)
    guard = Guard(app, app.routes, most=1000, seconds=5)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(guard), base_url="http://here"
    ) as client:
        answer = await client.get("/broken")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "INTERNAL_ERROR"
    assert "1234" not in answer.text
