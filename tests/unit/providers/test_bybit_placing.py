"""Placing on Bybit: what goes out, what each answer becomes, what is never done twice."""

from __future__ import annotations

import asyncio
import gc
import hmac
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from providers.errors import (
    ExchangeRefusal,
    ExchangeUnavailable,
    NotConfigured,
)
from providers.outcomes import OutcomeClass, PlacementKind
from tests.unit.providers.bybit_stub import (
    CREATE,
    EXECUTIONS,
    HTML,
    KEY,
    ORDER,
    POSITIONS,
    REALTIME,
    ROW,
    SECRET,
    TIME,
    BybitStub,
    accepted,
    business,
    make_client,
    ok,
    page,
)
from tests.unit.providers.helpers import START, FakeClock

if TYPE_CHECKING:
    from providers.bybit.client import BybitClient


@pytest.fixture
def stub() -> BybitStub:
    return BybitStub()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(stub: BybitStub, clock: FakeClock) -> BybitClient:
    return make_client(stub, clock)


# Placing.


async def test_what_is_sent_is_what_is_signed(stub: BybitStub, client: BybitClient) -> None:
    stub.answers[CREATE] = [accepted()]
    placement = await client.place(ORDER)
    (sent,) = stub.requests
    assert str(sent.url) == "https://bybit.test/v5/order/create"
    signed = f"1700000000000{KEY}5000".encode() + sent.content
    assert sent.headers["x-bapi-sign"] == hmac.digest(SECRET.encode(), signed, "sha256").hex()
    assert sent.headers["content-type"] == "application/json"
    assert orjson.loads(sent.content)["orderLinkId"] == "tw-0001"
    assert placement.kind is PlacementKind.ACCEPTED
    assert placement.exchange_order_id == "5f1c0d3a"
    assert (placement.signed_at, placement.sent_at) == (START, START)


async def test_a_query_is_signed_as_it_is_sent(stub: BybitStub, client: BybitClient) -> None:
    stub.answers[EXECUTIONS] = [page({"execType": "Funding"}, cursor="a%3A1%2C2%3D"), page()]
    stub.answers[REALTIME] = [page(ROW)]
    order = await client.find_order("BTCUSDT", "tw-0001")
    assert order is not None
    assert await client.fills("BTCUSDT", order) == []
    _, second = stub.seen(EXECUTIONS)
    assert second.url.query.endswith(b"&cursor=a%3A1%2C2%3D")
    for sent in stub.requests:
        signed = f"1700000000000{KEY}5000".encode() + sent.url.query
        assert sent.headers["x-bapi-sign"] == hmac.digest(SECRET.encode(), signed, "sha256").hex()
        assert sent.content == b""


@pytest.mark.parametrize(
    ("reply", "kind", "outcome_class", "code"),
    [
        (business(10006), PlacementKind.DEFERRED, OutcomeClass.RATE_ACCOUNT, "10006"),
        (business(110007), PlacementKind.REJECTED, OutcomeClass.MARGIN, "110007"),
        (business(110094), PlacementKind.REJECTED, OutcomeClass.FILTER, "110094"),
        (business(10001), PlacementKind.REJECTED, OutcomeClass.PARAMETER, "10001"),
        (business(10003), PlacementKind.REJECTED, OutcomeClass.AUTH, "10003"),
        (business(110017), PlacementKind.REJECTED, OutcomeClass.REDUCE_ONLY, "110017"),
        (business(110033), PlacementKind.REJECTED, OutcomeClass.NO_POSITION, "110033"),
        (business(110066), PlacementKind.REJECTED, OutcomeClass.NOT_TRADABLE, "110066"),
        (business(110072), PlacementKind.DUPLICATE, OutcomeClass.DUPLICATE_ID, "110072"),
        (business(10016), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "10016"),
        (business(429), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "429"),
        (business(987654), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "987654"),
        (business(110043), PlacementKind.UNKNOWN, OutcomeClass.BENIGN, "110043"),
        (business(110001), PlacementKind.UNKNOWN, OutcomeClass.NOT_FOUND, "110001"),
        (HTML, PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-502"),
        (httpx.Response(429), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-429"),
        (httpx.Response(307), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-307"),
        (httpx.Response(404), PlacementKind.REJECTED, OutcomeClass.PARAMETER, "http-404"),
        (httpx.Response(200, text="OK"), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "not-json"),
        (httpx.ReadTimeout(""), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "ReadTimeout"),
        (httpx.ReadError(""), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "ReadError"),
        (RuntimeError(), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "RuntimeError"),
    ],
)
async def test_what_each_answer_becomes(
    stub: BybitStub,
    client: BybitClient,
    reply: httpx.Response | Exception,
    kind: PlacementKind,
    outcome_class: OutcomeClass,
    code: str,
) -> None:
    stub.answers[CREATE] = [reply]
    placement = await client.place(ORDER)
    assert (placement.kind, placement.outcome_class, placement.code) == (kind, outcome_class, code)
    assert placement.signed_at == START
    assert placement.exchange_order_id is None
    assert len(stub.seen(CREATE)) == 1


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ConnectTimeout(""), httpx.PoolTimeout("")]
)
async def test_without_a_connection_nothing_was_sent(
    stub: BybitStub, client: BybitClient, error: Exception
) -> None:
    stub.answers[CREATE] = [error]
    placement = await client.place(ORDER)
    assert placement.kind is PlacementKind.DEFERRED
    assert placement.outcome_class is OutcomeClass.NOT_SENT
    assert (placement.signed_at, placement.sent_at) == (None, None)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"orderId": "x"},
        {"orderId": "", "orderLinkId": "tw-0001"},
        {"orderId": 7, "orderLinkId": "tw-0001"},
        {"orderId": "x", "orderLinkId": "of-another-order"},
    ],
)
async def test_an_acceptance_that_does_not_name_our_order_is_unknown(
    stub: BybitStub, client: BybitClient, result: dict[str, Any]
) -> None:
    stub.answers[CREATE] = [ok(result)]
    placement = await client.place(ORDER)
    assert (placement.kind, placement.code) == (PlacementKind.UNKNOWN, "malformed-reply")


# The clock.


async def test_a_clock_error_is_followed_by_a_sync_and_one_more_try(
    stub: BybitStub, clock: FakeClock, client: BybitClient
) -> None:
    clock.wall += timedelta(seconds=30)
    stub.answers[CREATE] = [business(10002), accepted()]
    placement = await client.place(ORDER)
    assert placement.kind is PlacementKind.ACCEPTED
    assert [request.url.path for request in stub.requests] == [CREATE, TIME, CREATE]
    first, second = (int(request.headers["x-bapi-timestamp"]) for request in stub.seen(CREATE))
    assert (first, second) == (1700000030000, 1700000000000)
    assert placement.signed_at == START


async def test_a_second_clock_error_is_not_followed_by_a_third_try(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[CREATE] = [business(10002)]
    placement = await client.place(ORDER)
    assert (placement.kind, placement.outcome_class) == (
        PlacementKind.DEFERRED,
        OutcomeClass.CLOCK,
    )
    assert len(stub.seen(CREATE)) == 2


async def test_after_a_clock_error_an_unknown_second_try_is_unknown(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[CREATE] = [business(10002), httpx.ReadTimeout("")]
    placement = await client.place(ORDER)
    assert placement.kind is PlacementKind.UNKNOWN
    assert len(stub.seen(CREATE)) == 2


async def test_without_the_time_there_is_no_second_try(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[CREATE] = [business(10002)]
    stub.answers[TIME] = [HTML]
    placement = await client.place(ORDER)
    assert placement.outcome_class is OutcomeClass.CLOCK
    assert len(stub.seen(CREATE)) == 1


async def test_a_read_survives_a_clock_error_too(stub: BybitStub, client: BybitClient) -> None:
    stub.answers[POSITIONS] = [business(10002), page()]
    assert await client.positions("BTCUSDT") == []


# Limits.


async def test_an_account_limit_says_when_it_ends(stub: BybitStub, client: BybitClient) -> None:
    headers = {"X-Bapi-Limit-Reset-Timestamp": "1700000000750"}
    stub.answers[CREATE] = [business(10006, headers=headers)]
    assert (await client.place(ORDER)).retry_after == pytest.approx(0.75)


@pytest.mark.parametrize("value", ["soon", "", "-5", "٣", "9" * 400])
async def test_an_unreadable_limit_header_does_no_harm(
    stub: BybitStub, client: BybitClient, value: str
) -> None:
    reply = business(10006)
    reply.headers = httpx.Headers(
        [(b"X-Bapi-Limit-Reset-Timestamp", value.encode()), (b"Retry-After", value.encode())]
    )
    stub.answers[CREATE] = [reply]
    placement = await client.place(ORDER)
    assert placement.kind is PlacementKind.DEFERRED


async def test_a_limit_header_on_a_good_answer_means_nothing(
    stub: BybitStub, client: BybitClient
) -> None:
    headers = {"X-Bapi-Limit-Reset-Timestamp": "1700000000750"}
    reply = accepted()
    reply.headers.update(headers)
    stub.answers[CREATE] = [reply]
    assert (await client.place(ORDER)).retry_after is None


async def test_a_ban_of_the_address_stops_every_request_until_it_ends(
    stub: BybitStub, clock: FakeClock, client: BybitClient
) -> None:
    stub.answers[CREATE] = [httpx.Response(403, content=b"access too frequent"), accepted()]
    placement = await client.place(ORDER)
    assert (placement.kind, placement.retry_after) == (PlacementKind.DEFERRED, 600.0)
    clock.advance(599)
    second = await client.place(ORDER)
    assert (second.kind, second.outcome_class) == (PlacementKind.DEFERRED, OutcomeClass.RATE_IP)
    assert second.signed_at is None
    assert second.retry_after == pytest.approx(1.0)
    with pytest.raises(ExchangeUnavailable) as caught:
        await client.positions("BTCUSDT")
    assert caught.value.retry_after == pytest.approx(1.0)
    assert len(stub.requests) == 1
    clock.advance(2)
    assert (await client.place(ORDER)).kind is PlacementKind.ACCEPTED


async def test_retry_after_of_a_ban_is_heeded(
    stub: BybitStub, clock: FakeClock, client: BybitClient
) -> None:
    stub.answers[CREATE] = [httpx.Response(403, headers={"Retry-After": "30"}), accepted()]
    assert (await client.place(ORDER)).retry_after == pytest.approx(30.0)
    clock.advance(31)
    assert (await client.place(ORDER)).kind is PlacementKind.ACCEPTED


# Secrets.


async def test_no_secret_is_printed(
    stub: BybitStub, client: BybitClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stub.answers[CREATE] = [httpx.Response(403, content=b"access too frequent")]
    call = client._order_call(ORDER)
    signed = client._sign(call, 1700000000000)
    placement = await client.place(ORDER)
    try:
        await client.positions()
    except ExchangeUnavailable as error:
        texts = [str(error), repr(error)]
    texts += [repr(client), repr(vars(client)), repr(signed), repr(placement), caplog.text]
    assert signed.headers["X-BAPI-SIGN"]
    for text in texts:
        assert SECRET not in text
        assert KEY not in text
        assert signed.headers["X-BAPI-SIGN"] not in text


async def test_a_message_that_repeats_the_key_is_redacted(
    stub: BybitStub, client: BybitClient
) -> None:
    told = f"error sign! origin_string[1700000000000{KEY}5000category=linear]"
    stub.answers[CREATE] = stub.answers[POSITIONS] = [business(10004, told)]
    message = (await client.place(ORDER)).message
    assert message is not None
    assert message.startswith("error sign! origin_string[1700000000000***")
    with pytest.raises(ExchangeRefusal) as caught:
        await client.positions("BTCUSDT")
    assert KEY not in str(caught.value)


async def test_a_message_that_repeats_a_signature_is_redacted(
    stub: BybitStub, client: BybitClient
) -> None:
    signature = "0123456789abcdef" * 4
    stub.answers[CREATE] = stub.answers[POSITIONS] = [business(10004, f"bad sign {signature}!")]
    assert (await client.place(ORDER)).message == "bad sign ***!"
    with pytest.raises(ExchangeRefusal) as caught:
        await client.positions("BTCUSDT")
    assert signature not in str(caught.value)


async def test_the_provider_makes_clients_only_with_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from providers.bybit import PROVIDER  # noqa: PLC0415 - reads no environment before this test
    from providers.settings import ExchangeSettings  # noqa: PLC0415 - as above

    for name in ("BYBIT_API_KEY", "BYBIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    bare = ExchangeSettings()
    assert not PROVIDER.has_credentials(bare)
    with pytest.raises(NotConfigured, match="bybit"):
        PROVIDER.create_client(bare)
    monkeypatch.setenv("BYBIT_API_KEY", KEY)
    assert not PROVIDER.has_credentials(ExchangeSettings())
    monkeypatch.setenv("BYBIT_API_SECRET", SECRET)
    full = ExchangeSettings()
    assert PROVIDER.has_credentials(full)
    client = PROVIDER.create_client(full)
    assert client.name == PROVIDER.name == "bybit"
    await client.aclose()


async def test_cancelling_a_placement_leaves_nothing_running(clock: FakeClock) -> None:
    entered = asyncio.Event()

    async def hanging(_: httpx.Request) -> httpx.Response:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    stub = BybitStub()
    client = make_client(stub, clock)
    client._http._transport = httpx.MockTransport(hanging)
    task = asyncio.create_task(client.place(replace(ORDER)))
    await asyncio.wait_for(entered.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()
    assert len(asyncio.all_tasks()) == 1
