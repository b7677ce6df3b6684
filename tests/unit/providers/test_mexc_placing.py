"""The MEXC client placing orders: what goes out, and what each kind of answer becomes."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import pytest

from providers.errors import ExchangeUnavailable, RequestRefused
from providers.mexc.exact import loads
from providers.orders import PreparedOrder, Side
from providers.outcomes import OutcomeClass, PlacementKind
from tests.unit.providers.helpers import START, FakeClock
from tests.unit.providers.mexc_stub import (
    API,
    ASSETS,
    CREATE,
    EDGE_PAGE,
    HTML,
    KEY,
    ORDER,
    ORDER_ID,
    POSITIONS,
    SECRET,
    TIME,
    MexcStub,
    accepted,
    make_client,
    nothing,
    ok,
    refused,
)

if TYPE_CHECKING:
    from providers.mexc.client import MexcClient

CLOSE = replace(ORDER, side=Side.SELL, reduce_only=True)


@pytest.fixture
def stub() -> MexcStub:
    return MexcStub()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(stub: MexcStub, clock: FakeClock) -> MexcClient:
    client = make_client(stub, clock)
    await client.instrument("BTCUSDT")  # preparing an order has read them before it is placed
    stub.requests.clear()
    return client


# Placing.


async def test_what_is_sent_is_what_is_signed(stub: MexcStub, client: MexcClient) -> None:
    stub.answers[CREATE] = [accepted()]
    placement = await client.place(ORDER)
    (sent,) = stub.requests
    assert str(sent.url) == f"https://mexc.test{API}/private/order/create"
    signed = f"{KEY}1700000000000".encode() + sent.content
    assert sent.headers["signature"] == hmac.digest(SECRET.encode(), signed, "sha256").hex()
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["language"] == "en-US"
    assert "recv-window" not in sent.headers
    body = loads(sent.content)
    assert isinstance(body, dict)
    assert (body["externalOid"], body["vol"]) == ("tw-0001", 10)
    assert placement.kind is PlacementKind.ACCEPTED
    assert placement.exchange_order_id == ORDER_ID
    assert (placement.signed_at, placement.sent_at) == (START, START)


async def test_a_query_is_signed_as_it_is_sent_and_a_path_is_not(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[POSITIONS] = [ok([])]
    stub.answers[ASSETS] = [ok([])]
    await client.positions("BTCUSDT")
    await client.balances()
    queries = [sent.url.query for sent in stub.requests]
    assert queries == [b"symbol=BTC_USDT", b""]
    for sent in stub.requests:
        signed = f"{KEY}1700000000000".encode() + sent.url.query
        assert sent.headers["signature"] == hmac.digest(SECRET.encode(), signed, "sha256").hex()
        assert sent.content == b""


async def test_public_reads_carry_no_key(stub: MexcStub, client: MexcClient) -> None:
    await client.server_time()
    assert not {"apikey", "signature", "request-time"} & set(stub.requests[0].headers)
    assert stub.requests[0].headers["language"] == "en-US"


@pytest.mark.parametrize(
    ("reply", "kind", "outcome_class", "code"),
    [
        (refused(510), PlacementKind.DEFERRED, OutcomeClass.RATE_ACCOUNT, "510"),
        (refused(2037), PlacementKind.DEFERRED, OutcomeClass.RATE_ACCOUNT, "2037"),
        (refused(604), PlacementKind.DEFERRED, OutcomeClass.OVERLOAD, "604"),
        (refused(801), PlacementKind.DEFERRED, OutcomeClass.OVERLOAD, "801"),
        (refused(2005), PlacementKind.REJECTED, OutcomeClass.MARGIN, "2005"),
        (refused(2011), PlacementKind.REJECTED, OutcomeClass.FILTER, "2011"),
        (refused(7002), PlacementKind.REJECTED, OutcomeClass.PARAMETER, "7002"),
        (refused(602), PlacementKind.REJECTED, OutcomeClass.AUTH, "602"),
        (refused(2008), PlacementKind.REJECTED, OutcomeClass.REDUCE_ONLY, "2008"),
        (refused(7005), PlacementKind.REJECTED, OutcomeClass.REDUCE_ONLY, "7005"),
        (refused(2009), PlacementKind.REJECTED, OutcomeClass.NO_POSITION, "2009"),
        (refused(1002), PlacementKind.REJECTED, OutcomeClass.NOT_TRADABLE, "1002"),
        (refused(2042), PlacementKind.DUPLICATE, OutcomeClass.DUPLICATE_ID, "2042"),
        (refused(603), PlacementKind.DUPLICATE, OutcomeClass.DUPLICATE_ID, "603"),
        (refused(500), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "500"),
        (refused(9999), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "9999"),
        (refused(6008), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "6008"),
        (refused(987654), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "987654"),
        (refused(2040), PlacementKind.UNKNOWN, OutcomeClass.NOT_FOUND, "2040"),
        (HTML, PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-502"),
        (httpx.Response(429), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-429"),
        (httpx.Response(403), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-403"),
        (
            httpx.Response(429, content=EDGE_PAGE),
            PlacementKind.DEFERRED,
            OutcomeClass.RATE_IP,
            "http-429",
        ),
        (
            httpx.Response(403, content=EDGE_PAGE),
            PlacementKind.DEFERRED,
            OutcomeClass.RATE_IP,
            "http-403",
        ),
        (httpx.Response(307), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-307"),
        (httpx.Response(404), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-404"),
        (httpx.Response(200, text="OK"), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "not-json"),
        (httpx.Response(200, text="{}"), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "no-code"),
        (httpx.ReadTimeout(""), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "ReadTimeout"),
        (httpx.WriteTimeout(""), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "WriteTimeout"),
        (httpx.ReadError(""), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "ReadError"),
        (
            httpx.RemoteProtocolError(""),
            PlacementKind.UNKNOWN,
            OutcomeClass.UNKNOWN,
            "RemoteProtocolError",
        ),
        (RuntimeError(), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "RuntimeError"),
    ],
)
async def test_what_each_answer_becomes(
    stub: MexcStub,
    client: MexcClient,
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
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ConnectTimeout(""), httpx.PoolTimeout("")]
)
async def test_without_a_connection_nothing_was_sent(
    stub: MexcStub, client: MexcClient, error: Exception
) -> None:
    stub.answers[CREATE] = [error]
    placement = await client.place(ORDER)
    assert placement.kind is PlacementKind.DEFERRED
    assert placement.outcome_class is OutcomeClass.NOT_SENT
    assert (placement.signed_at, placement.sent_at) == (None, None)


@pytest.mark.parametrize("data", [ORDER_ID, int(ORDER_ID), {"orderId": int(ORDER_ID), "ts": 1}])
async def test_an_order_id_comes_in_any_of_its_forms(
    stub: MexcStub, client: MexcClient, data: object
) -> None:
    stub.answers[CREATE] = [ok(data, code=200)]
    placement = await client.place(ORDER)
    assert (placement.kind, placement.exchange_order_id) == (PlacementKind.ACCEPTED, ORDER_ID)


@pytest.mark.parametrize("reply", [nothing(), ok({}), ok([]), ok(""), ok(Decimal("8.1"))])
async def test_an_acceptance_without_an_order_id_is_unknown(
    stub: MexcStub, client: MexcClient, reply: httpx.Response
) -> None:
    stub.answers[CREATE] = [reply]
    placement = await client.place(ORDER)
    assert (placement.kind, placement.code) == (PlacementKind.UNKNOWN, "malformed-reply")


# Refused here, before anything is sent.


@pytest.mark.parametrize(
    ("order", "outcome_class", "code"),
    [
        (
            replace(ORDER, quantity=Decimal("0.00015")),
            OutcomeClass.FILTER,
            "NOT_WHOLE_CONTRACTS",
        ),
        (replace(ORDER, margin_mode=None), OutcomeClass.PARAMETER, "MARGIN_MODE_REQUIRED"),
        (replace(ORDER, leverage=None), OutcomeClass.PARAMETER, "LEVERAGE_REQUIRED"),
        (
            replace(ORDER, client_order_id="x" * 33),
            OutcomeClass.PARAMETER,
            "INVALID_CLIENT_ORDER_ID",
        ),
        (replace(ORDER, symbol="NEWUSDT"), OutcomeClass.PARAMETER, "UNKNOWN_SYMBOL"),
    ],
)
async def test_what_can_not_be_written_is_rejected_unsent(
    stub: MexcStub,
    client: MexcClient,
    order: PreparedOrder,
    outcome_class: OutcomeClass,
    code: str,
) -> None:
    placement = await client.place(order)
    assert (placement.kind, placement.outcome_class, placement.code) == (
        PlacementKind.REJECTED,
        outcome_class,
        code,
    )
    assert (placement.signed_at, stub.requests) == (None, [])


async def test_without_contracts_nothing_is_sent_and_they_are_not_waited_for(
    stub: MexcStub,
) -> None:
    placement = await make_client(stub).place(ORDER)
    assert (placement.kind, placement.outcome_class) == (
        PlacementKind.DEFERRED,
        OutcomeClass.NOT_SENT,
    )
    assert stub.requests == []


async def test_while_opening_is_off_only_closes_go_out(stub: MexcStub) -> None:
    client = make_client(stub, allow_opening=False)
    await client.instrument("BTCUSDT")
    stub.requests.clear()
    stub.answers[CREATE] = [accepted()]
    with pytest.raises(RequestRefused, match="trade-worker doctor") as caught:
        client.check_opening("BTCUSDT")
    assert caught.value.code == "EXCHANGE_NOT_CLEARED"
    placement = await client.place(ORDER)
    assert (placement.kind, placement.code) == (PlacementKind.REJECTED, "EXCHANGE_NOT_CLEARED")
    assert stub.requests == []
    assert (await client.place(CLOSE)).kind is PlacementKind.ACCEPTED


# The clock.


async def test_a_clock_error_is_followed_by_a_sync_and_one_more_try(
    stub: MexcStub, clock: FakeClock, client: MexcClient
) -> None:
    clock.wall += timedelta(seconds=30)
    stub.answers[CREATE] = [refused(513), accepted()]
    placement = await client.place(ORDER)
    assert placement.kind is PlacementKind.ACCEPTED
    assert [request.url.path for request in stub.requests] == [CREATE, TIME, CREATE]
    first, second = (int(request.headers["request-time"]) for request in stub.seen(CREATE))
    assert (first, second) == (1700000030000, 1700000000000)
    assert placement.signed_at == START


async def test_a_second_clock_error_is_not_followed_by_a_third_try(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[CREATE] = [refused(513)]
    placement = await client.place(ORDER)
    assert (placement.kind, placement.outcome_class) == (
        PlacementKind.DEFERRED,
        OutcomeClass.CLOCK,
    )
    assert len(stub.seen(CREATE)) == 2


async def test_after_a_clock_error_an_unknown_second_try_is_unknown(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[CREATE] = [refused(513), httpx.ReadTimeout("")]
    assert (await client.place(ORDER)).kind is PlacementKind.UNKNOWN
    assert len(stub.seen(CREATE)) == 2


@pytest.mark.parametrize("reply", [HTML, ok("noon"), nothing()])
async def test_without_the_time_there_is_no_second_try(
    stub: MexcStub, client: MexcClient, reply: httpx.Response
) -> None:
    stub.answers[CREATE] = [refused(513)]
    stub.answers[TIME] = [reply]
    assert (await client.place(ORDER)).outcome_class is OutcomeClass.CLOCK
    assert len(stub.seen(CREATE)) == 1


def test_the_window_is_ten_seconds_and_two_that_may_lie_ahead(stub: MexcStub) -> None:
    assert make_client(stub).acceptance_window == timedelta(seconds=12)


# Limits.


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 2.0), ({"Retry-After": "1"}, 2.0), ({"Retry-After": "7"}, 7.0)]
)
async def test_an_account_limit_is_waited_out_for_two_seconds_at_least(
    stub: MexcStub, client: MexcClient, headers: dict[str, str], seconds: float
) -> None:
    reply = refused(510)
    reply.headers.update(headers)
    stub.answers[CREATE] = [reply]
    stub.answers[POSITIONS] = [reply]
    assert (await client.place(ORDER)).retry_after == pytest.approx(seconds)
    with pytest.raises(ExchangeUnavailable) as caught:
        await client.positions("BTCUSDT")
    assert caught.value.retry_after == pytest.approx(seconds)


async def test_a_refusal_by_the_edge_stops_every_request_for_a_while(
    stub: MexcStub, clock: FakeClock, client: MexcClient
) -> None:
    stub.answers[CREATE] = [httpx.Response(403, content=EDGE_PAGE), accepted()]
    assert (await client.place(ORDER)).retry_after == pytest.approx(600.0)
    second = await client.place(ORDER)
    assert (second.kind, second.signed_at) == (PlacementKind.DEFERRED, None)
    with pytest.raises(ExchangeUnavailable):
        await client.positions("BTCUSDT")
    assert len(stub.requests) == 1
    clock.advance(601)
    assert (await client.place(ORDER)).kind is PlacementKind.ACCEPTED
