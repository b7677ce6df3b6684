"""The Binance client: what goes out, what each kind of answer becomes, what is never done twice."""

from __future__ import annotations

import asyncio
import gc
import hmac
import logging
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from providers.errors import ExchangeError, ExchangeRefusal, ExchangeUnavailable, NotConfigured
from providers.exchange import AccountPositionMode, ProtectsAfterFill
from providers.orders import (
    MarginMode,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    PreparedOrder,
    Side,
    TimeInForce,
)
from providers.outcomes import OutcomeClass, PlacementKind
from tests.unit.providers import binance_stub as sample
from tests.unit.providers.binance_stub import (
    ALL_ORDERS,
    BALANCE,
    BRACKETS,
    CANCEL,
    CONFIG,
    INFO,
    KEY,
    LEVERAGE,
    MARGIN,
    MARK,
    MODE,
    OPEN_ORDER,
    OPEN_ORDERS,
    PLACE,
    POSITIONS,
    QUERY,
    SECRET,
    TIME,
    TRADES,
    BinanceStub,
    accepted,
    make_client,
    name_of,
    ok,
    parameters,
    refused,
    success,
)
from tests.unit.providers.helpers import START, FakeClock

if TYPE_CHECKING:
    from providers.binance.client import BinanceClient

PREPARED = PreparedOrder(
    client_order_id="tw-0001",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.001"),
    reduce_only=False,
    time_in_force=TimeInForce.IOC,
)
HTML = httpx.Response(502, content=b"<html>Bad Gateway</html>")
NO_ORDER = refused(-2013, "Order does not exist.")


@pytest.fixture
def stub() -> BinanceStub:
    return BinanceStub()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(stub: BinanceStub, clock: FakeClock) -> BinanceClient:
    return make_client(stub, clock)


def assert_signed(sent: httpx.Request) -> None:
    """Everything stands in the query, the signature last, made of just what stands before it."""
    message, _, last = sent.url.query.rpartition(b"&signature=")
    assert hmac.digest(SECRET.encode(), message, "sha256").hex() == last.decode()
    assert message.endswith(b"recvWindow=5000&timestamp=1700000000000")
    assert sent.headers["x-mbx-apikey"] == KEY
    assert sent.content == b""


# Placing.


async def test_what_is_sent_is_what_is_signed(stub: BinanceStub, client: BinanceClient) -> None:
    stub.answers[PLACE] = [accepted()]
    placement = await client.place(PREPARED)
    (sent,) = stub.requests
    assert_signed(sent)
    assert str(sent.url).startswith(
        "https://binance.test/fapi/v1/order?symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001"
        "&newClientOrderId=tw-0001&newOrderRespType=ACK&recvWindow=5000&timestamp=1700000000000"
        "&signature="
    )
    assert placement.kind is PlacementKind.ACCEPTED
    assert placement.exchange_order_id == "8886774001"
    assert (placement.signed_at, placement.sent_at) == (START, START)


async def test_every_kind_of_call_is_signed_over_what_is_sent(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[QUERY] = stub.answers[OPEN_ORDER] = [NO_ORDER]
    stub.answers[ALL_ORDERS] = [ok([])]
    stub.answers[CANCEL] = [ok(sample.ORDER)]
    stub.answers[BALANCE] = [ok([])]
    stub.answers[LEVERAGE] = [ok({"leverage": 5})]
    await client.find_order("BTCUSDT", "a:b/c.d_e-f")
    await client.cancel("BTCUSDT", "a:b/c.d_e-f")
    await client.balances()
    await client.set_leverage("BTCUSDT", 5, None)
    assert len(stub.requests) == 6
    for sent in stub.requests:
        assert_signed(sent)
    assert b"origClientOrderId=a%3Ab%2Fc.d_e-f&" in stub.requests[0].url.query


@pytest.mark.parametrize(
    ("reply", "kind", "outcome_class", "code"),
    [
        (refused(-1015, status=429), PlacementKind.DEFERRED, OutcomeClass.RATE_ACCOUNT, "-1015"),
        (refused(-1003, status=429), PlacementKind.DEFERRED, OutcomeClass.RATE_IP, "-1003"),
        (refused(-1008, status=503), PlacementKind.DEFERRED, OutcomeClass.OVERLOAD, "-1008"),
        (refused(-2019), PlacementKind.REJECTED, OutcomeClass.MARGIN, "-2019"),
        (refused(-4164), PlacementKind.REJECTED, OutcomeClass.FILTER, "-4164"),
        (refused(-4061), PlacementKind.REJECTED, OutcomeClass.PARAMETER, "-4061"),
        (refused(-2015, status=401), PlacementKind.REJECTED, OutcomeClass.AUTH, "-2015"),
        (refused(-2022), PlacementKind.REJECTED, OutcomeClass.REDUCE_ONLY, "-2022"),
        (refused(-4140), PlacementKind.REJECTED, OutcomeClass.NOT_TRADABLE, "-4140"),
        (refused(0, status=451), PlacementKind.REJECTED, OutcomeClass.AUTH, "http-451"),
        (refused(-4116), PlacementKind.DUPLICATE, OutcomeClass.DUPLICATE_ID, "-4116"),
        (refused(-1007, status=408), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-408"),
        (refused(-1007), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "-1007"),
        (refused(-1001, status=503), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "-1001"),
        (refused(-987654), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "-987654"),
        (refused(-4046), PlacementKind.UNKNOWN, OutcomeClass.BENIGN, "-4046"),
        (refused(-2013), PlacementKind.UNKNOWN, OutcomeClass.NOT_FOUND, "-2013"),
        (
            httpx.Response(
                503, text="Unknown error, please check your request or try again later."
            ),
            PlacementKind.UNKNOWN,
            OutcomeClass.UNKNOWN,
            "http-503",
        ),
        (
            httpx.Response(503, text="Service Unavailable."),
            PlacementKind.DEFERRED,
            OutcomeClass.OVERLOAD,
            "http-503",
        ),
        (HTML, PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-502"),
        (httpx.Response(307), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-307"),
        (httpx.Response(404), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "http-404"),
        (httpx.Response(200, text="OK"), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "not-json"),
        (httpx.ReadTimeout(""), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "ReadTimeout"),
        (httpx.ReadError(""), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "ReadError"),
        (httpx.WriteError(""), PlacementKind.UNKNOWN, OutcomeClass.UNKNOWN, "WriteError"),
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
    stub: BinanceStub,
    client: BinanceClient,
    reply: httpx.Response | Exception,
    kind: PlacementKind,
    outcome_class: OutcomeClass,
    code: str,
) -> None:
    stub.answers[PLACE] = [reply]
    placement = await client.place(PREPARED)
    assert (placement.kind, placement.outcome_class, placement.code) == (kind, outcome_class, code)
    assert placement.signed_at == START
    assert placement.exchange_order_id is None
    assert len(stub.seen(PLACE)) == 1


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ConnectTimeout(""), httpx.PoolTimeout("")]
)
async def test_without_a_connection_nothing_was_sent(
    stub: BinanceStub, client: BinanceClient, error: Exception
) -> None:
    stub.answers[PLACE] = [error]
    placement = await client.place(PREPARED)
    assert placement.kind is PlacementKind.DEFERRED
    assert placement.outcome_class is OutcomeClass.NOT_SENT
    assert (placement.signed_at, placement.sent_at) == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"code": 200, "msg": "success"},
        {"orderId": 1},
        {"orderId": None, "clientOrderId": "tw-0001"},
        {"orderId": "", "clientOrderId": "tw-0001"},
        {"orderId": 1, "clientOrderId": "of-another-order"},
        {"orderId": [1], "clientOrderId": ["tw-0001"]},
    ],
)
async def test_an_acceptance_that_does_not_name_our_order_is_unknown(
    stub: BinanceStub, client: BinanceClient, body: object
) -> None:
    stub.answers[PLACE] = [ok(body)]
    placement = await client.place(PREPARED)
    assert (placement.kind, placement.code) == (PlacementKind.UNKNOWN, "malformed-reply")


async def test_a_fill_in_the_answer_is_not_believed(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[PLACE] = [ok({**sample.ORDER, "status": "REJECTED"})]
    placement = await client.place(PREPARED)
    assert placement.kind is PlacementKind.ACCEPTED
    assert not {"average_price", "filled_quantity"} & set(type(placement).__slots__)


# The clock.


@pytest.mark.parametrize("code", [-1021, -5028])
async def test_a_clock_error_is_followed_by_a_sync_and_one_more_try(
    stub: BinanceStub, clock: FakeClock, client: BinanceClient, code: int
) -> None:
    clock.wall += timedelta(seconds=30)
    stub.answers[PLACE] = [refused(code), accepted()]
    placement = await client.place(PREPARED)
    assert placement.kind is PlacementKind.ACCEPTED
    assert [name_of(request) for request in stub.requests] == [PLACE, TIME, PLACE]
    stamps = [parameters(request)["timestamp"] for request in stub.seen(PLACE)]
    assert stamps == ["1700000030000", "1700000000000"]
    assert placement.signed_at == START


async def test_a_second_clock_error_is_not_followed_by_a_third_try(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[PLACE] = [refused(-1021)]
    placement = await client.place(PREPARED)
    assert (placement.kind, placement.outcome_class) == (PlacementKind.DEFERRED, OutcomeClass.CLOCK)
    assert len(stub.seen(PLACE)) == 2


async def test_without_the_time_there_is_no_second_try(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[PLACE] = [refused(-1021)]
    stub.answers[TIME] = [HTML]
    assert (await client.place(PREPARED)).outcome_class is OutcomeClass.CLOCK
    assert len(stub.seen(PLACE)) == 1


# Limits.


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (refused(-1015, status=429), 10.0),
        (refused(-1015, "current limit is 1200 orders per MINUTE.", status=429), 40.0),
        (refused(-1015, status=429, headers={"X-MBX-ORDER-COUNT-1M": "1200"}), 40.0),
        (refused(-1015, status=429, headers={"Retry-After": "3"}), 3.0),
        (refused(-1003, status=429), 40.0),
        (refused(-1003, status=429, headers={"Retry-After": "7"}), 7.0),
        (httpx.Response(429), 40.0),
        (refused(-1003, "IP banned until 1700000300000.", status=418), 300.0),
        (
            refused(
                -1003,
                "IP banned until 1700090000000.",
                status=418,
                headers={"Retry-After": "90000"},
            ),
            90000.0,
        ),
        (httpx.Response(418), 600.0),
        (httpx.Response(403, text="<html>"), 600.0),
        (refused(-1008, status=503), None),
        (refused(-1008, status=503, headers={"Retry-After": "2"}), 2.0),
    ],
)
async def test_a_limit_says_when_it_ends(
    stub: BinanceStub, client: BinanceClient, reply: httpx.Response, seconds: float | None
) -> None:
    stub.answers[PLACE] = [reply]
    placement = await client.place(PREPARED)
    assert placement.kind is PlacementKind.DEFERRED
    assert placement.retry_after == seconds


async def test_a_ban_of_the_address_stops_every_request_until_it_ends(
    stub: BinanceStub, clock: FakeClock, client: BinanceClient
) -> None:
    banned = refused(-1003, "Way too many requests; IP banned until 1700000120000.", status=418)
    stub.answers[POSITIONS] = [banned]
    stub.answers[PLACE] = [accepted()]
    with pytest.raises(ExchangeUnavailable) as caught:
        await client.positions()
    assert caught.value.retry_after == 120.0
    clock.advance(119)
    placement = await client.place(PREPARED)
    assert (placement.kind, placement.outcome_class) == (
        PlacementKind.DEFERRED,
        OutcomeClass.RATE_IP,
    )
    assert placement.signed_at is None
    with pytest.raises(ExchangeUnavailable):
        await client.find_order("BTCUSDT", "tw-0001")
    assert len(stub.requests) == 1
    clock.advance(2)
    assert (await client.place(PREPARED)).kind is PlacementKind.ACCEPTED


async def test_an_account_limit_stops_no_other_request(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[PLACE] = [refused(-1015, status=429)]
    stub.answers[POSITIONS] = [ok([])]
    await client.place(PREPARED)
    assert await client.positions() == []


# Finding.


async def test_an_order_is_found_with_its_fee(stub: BinanceStub, client: BinanceClient) -> None:
    stub.answers[QUERY] = [ok(sample.ORDER)]
    stub.answers[TRADES] = [ok([sample.TRADE])]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert found.status is OrderStatus.FILLED
    assert found.average_price == Decimal("94321.50")
    assert (found.fee, found.fee_currency) == (Decimal("0.04716075"), "USDT")
    assert parameters(stub.requests[1])["orderId"] == "8886774001"


@pytest.mark.parametrize(
    "reply",
    [
        HTML,
        httpx.ReadTimeout(""),
        refused(-1003, status=429),
        ok({}),
        ok([]),
        ok([{**sample.TRADE, "qty": "0.0009"}]),
        ok(
            [{**sample.TRADE, "commissionAsset": "BNB", "qty": "0.0005"}, {**sample.TRADE, "id": 9}]
        ),
    ],
)
async def test_an_order_is_found_without_a_fee_that_can_not_be_told(
    stub: BinanceStub, client: BinanceClient, reply: httpx.Response | Exception
) -> None:
    stub.answers[QUERY] = [ok(sample.ORDER)]
    stub.answers[TRADES] = [reply]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert (found.status, found.fee, found.fee_currency) == (OrderStatus.FILLED, None, None)
    assert len(stub.seen(TRADES)) == 1


async def test_fees_are_not_read_while_request_weight_is_short(
    stub: BinanceStub, clock: FakeClock, client: BinanceClient
) -> None:
    reply = ok(sample.ORDER)
    reply.headers["X-MBX-USED-WEIGHT-1M"] = "1300"
    stub.answers[QUERY] = [reply, ok(sample.ORDER)]
    stub.answers[TRADES] = [ok([sample.TRADE])]
    first = await client.find_order("BTCUSDT", "tw-0001")
    clock.advance(40)  # the next minute begins
    second = await client.find_order("BTCUSDT", "tw-0001")
    assert first is not None
    assert second is not None
    assert (first.fee, second.fee) == (None, Decimal("0.04716075"))


SECOND = {**sample.ORDER, "orderId": 8886774002, "clientOrderId": "tw-0002"}
WANTED = {"tw-0001": "BTCUSDT", "tw-0002": "BTCUSDT"}


async def test_orders_in_a_list_have_their_fees_from_one_request_a_symbol(
    stub: BinanceStub, clock: FakeClock, client: BinanceClient
) -> None:
    stub.answers[ALL_ORDERS] = [ok([sample.ORDER, SECOND, {**SECOND, "clientOrderId": "web_1"}])]
    other = {**sample.TRADE, "id": 9, "orderId": 8886774002, "commission": "0.05"}
    stub.answers[TRADES] = [ok([sample.TRADE, other])]
    found = await client.find_orders(WANTED, clock.now())
    fees = {name: (view.fee, view.fee_currency) for name, view in found.items()}
    assert fees == {
        "tw-0001": (Decimal("0.04716075"), "USDT"),
        "tw-0002": (Decimal("0.05"), "USDT"),
    }
    assert (len(stub.seen(ALL_ORDERS)), len(stub.seen(TRADES))) == (1, 1)


@pytest.mark.parametrize("reply", [HTML, httpx.ReadTimeout(""), refused(-1003, status=429), ok([])])
async def test_orders_in_a_list_are_found_without_fees_that_can_not_be_told(
    stub: BinanceStub, clock: FakeClock, client: BinanceClient, reply: httpx.Response | Exception
) -> None:
    stub.answers[ALL_ORDERS] = [ok([sample.ORDER, SECOND])]
    stub.answers[TRADES] = [reply]
    found = await client.find_orders(WANTED, clock.now())
    assert {name: view.fee for name, view in found.items()} == {"tw-0001": None, "tw-0002": None}
    assert len(stub.seen(TRADES)) == 1


async def test_an_order_that_goes_on_has_no_fee_yet(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[QUERY] = [
        ok({**sample.ORDER, "status": "PARTIALLY_FILLED", "executedQty": "0.0004"})
    ]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert (found.filled_quantity, found.fee) == (Decimal("0.0004"), None)
    assert not stub.seen(TRADES)


async def test_not_found_is_asked_for_three_times_over(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[QUERY] = stub.answers[OPEN_ORDER] = [NO_ORDER]
    stub.answers[ALL_ORDERS] = [ok([{**sample.ORDER, "clientOrderId": "another"}, {}])]
    assert await client.find_order("BTCUSDT", "tw-0001") is None
    assert [name_of(request) for request in stub.requests] == [QUERY, OPEN_ORDER, ALL_ORDERS]
    query = parameters(stub.requests[0])
    assert (query["symbol"], query["origClientOrderId"]) == ("BTCUSDT", "tw-0001")


async def test_an_order_that_only_the_open_ones_show_is_found(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[QUERY] = [NO_ORDER]
    stub.answers[OPEN_ORDER] = [ok({**sample.ORDER, "status": "NEW", "executedQty": "0"})]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert found.status is OrderStatus.NEW


async def test_an_order_that_only_the_recent_ones_show_is_found(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[QUERY] = stub.answers[OPEN_ORDER] = [NO_ORDER]
    stub.answers[ALL_ORDERS] = [
        ok([{"clientOrderId": "odd"}, {**sample.ORDER, "status": "EXPIRED", "executedQty": "0"}])
    ]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert found.status is OrderStatus.CANCELED


@pytest.mark.parametrize(
    "reply", [HTML, httpx.ReadTimeout(""), refused(-1000), refused(-1008, status=503)]
)
@pytest.mark.parametrize("call", [QUERY, OPEN_ORDER, ALL_ORDERS])
async def test_a_failed_look_up_is_never_none(
    stub: BinanceStub, client: BinanceClient, call: str, reply: httpx.Response | Exception
) -> None:
    stub.answers[QUERY] = [NO_ORDER]
    stub.answers[OPEN_ORDER] = [NO_ORDER]
    stub.answers[ALL_ORDERS] = [ok([])]
    stub.answers[call] = [reply]
    with pytest.raises(ExchangeUnavailable):
        await client.find_order("BTCUSDT", "tw-0001")
    assert len(stub.seen(call)) == 3


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (QUERY, {**sample.ORDER, "status": "SLEEPING"}),
        (QUERY, {}),
        (QUERY, []),
        (ALL_ORDERS, {}),
        (ALL_ORDERS, [7]),
        (ALL_ORDERS, [{"clientOrderId": "tw-0001"}]),
    ],
)
async def test_a_look_up_that_can_not_be_read_is_never_none(
    stub: BinanceStub, client: BinanceClient, call: str, body: object
) -> None:
    stub.answers[QUERY] = stub.answers[OPEN_ORDER] = [NO_ORDER]
    stub.answers[call] = [ok(body)]
    with pytest.raises(ExchangeUnavailable, match="could not be read"):
        await client.find_order("BTCUSDT", "tw-0001")


async def test_a_refused_read_is_not_tried_again(stub: BinanceStub, client: BinanceClient) -> None:
    stub.answers[QUERY] = [refused(-2015, "Invalid API-key, IP, or permissions for action.")]
    with pytest.raises(ExchangeRefusal, match="Invalid API-key") as caught:
        await client.find_order("BTCUSDT", "tw-0001")
    assert (caught.value.code, caught.value.outcome_class) == ("-2015", OutcomeClass.AUTH)
    assert len(stub.requests) == 1


@pytest.mark.parametrize(("symbol", "scoped"), [("BTCUSDT", True), (None, False)])
async def test_open_orders(
    stub: BinanceStub, client: BinanceClient, symbol: str | None, *, scoped: bool
) -> None:
    live = {**sample.ORDER, "status": "NEW", "executedQty": "0"}
    stub.answers[OPEN_ORDERS] = [
        ok([{**live, "clientOrderId": "tw-1"}, sample.ORDER, {**live, "clientOrderId": "tw-2"}])
    ]
    found = await client.open_orders(symbol)
    assert [view.client_order_id for view in found] == ["tw-1", "tw-2"]
    assert ("symbol" in parameters(stub.requests[0])) is scoped


# Fills.


async def found_order(stub: BinanceStub, client: BinanceClient, **changes: Any) -> Any:  # noqa: ANN401 - any field of an order
    stub.answers[QUERY] = [ok({**sample.ORDER, **changes})]
    stub.answers[TRADES] = [HTML]
    found = await client.find_order("BTCUSDT", "tw-0001")
    stub.requests.clear()
    return found


async def test_fills_belong_to_the_order(stub: BinanceStub, client: BinanceClient) -> None:
    order = await found_order(stub, client)
    stub.answers[TRADES] = [ok([sample.TRADE, {**sample.TRADE, "id": 2, "orderId": 5}])]
    assert [fill.fill_id for fill in await client.fills("BTCUSDT", order)] == ["BTCUSDT-698759001"]
    assert_signed(stub.requests[0])


async def test_fills_of_a_large_order_come_from_every_page(
    stub: BinanceStub, client: BinanceClient
) -> None:
    order = await found_order(stub, client, origQty="1.2", executedQty="1.2")
    trades = [{**sample.TRADE, "id": number} for number in range(1, 1201)]
    stub.answers[TRADES] = [ok(trades[:1000]), ok(trades[1000:])]
    found = await client.fills("BTCUSDT", order)
    assert (len(found), sum(fill.quantity for fill in found)) == (1200, Decimal("1.200"))
    first, second = (parameters(request) for request in stub.requests)
    assert ("fromId" in first, second["fromId"]) == (False, "1001")


async def test_a_part_of_the_fills_is_never_given_for_the_whole(
    stub: BinanceStub, client: BinanceClient
) -> None:
    order = await found_order(stub, client, origQty="0.002", executedQty="0.002")
    stub.answers[TRADES] = [ok([sample.TRADE])]
    with pytest.raises(ExchangeUnavailable, match="ask again later"):
        await client.fills("BTCUSDT", order)


# Cancelling.


async def test_cancelling(stub: BinanceStub, client: BinanceClient) -> None:
    stub.answers[CANCEL] = [ok({**sample.ORDER, "status": "CANCELED"})]
    await client.cancel("BTCUSDT", "tw-0001")
    assert parameters(stub.requests[0])["origClientOrderId"] == "tw-0001"


@pytest.mark.parametrize("reply", [ok(sample.ORDER), NO_ORDER])
async def test_cancelling_what_is_final_or_was_never_there_is_no_error(
    stub: BinanceStub, client: BinanceClient, reply: httpx.Response
) -> None:
    stub.answers[CANCEL] = [refused(-2011, "Unknown order sent.")]
    stub.answers[QUERY] = [reply]
    stub.answers[OPEN_ORDER] = [NO_ORDER]
    await client.cancel("BTCUSDT", "tw-0001")


async def test_an_order_that_rests_and_can_not_be_cancelled_is_an_error(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[CANCEL] = [refused(-2011, "Unknown order sent.")]
    stub.answers[QUERY] = [ok({**sample.ORDER, "status": "NEW", "executedQty": "0"})]
    with pytest.raises(ExchangeRefusal, match="Unknown order sent"):
        await client.cancel("BTCUSDT", "tw-0001")


async def test_cancelling_without_an_answer_is_an_error_and_not_repeated(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[CANCEL] = [httpx.ReadTimeout("")]
    with pytest.raises(ExchangeUnavailable):
        await client.cancel("BTCUSDT", "tw-0001")
    assert len(stub.requests) == 1


# The account.


async def test_setup_reads_the_position_mode_of_the_account_once_an_hour(
    stub: BinanceStub, clock: FakeClock, client: BinanceClient
) -> None:
    stub.answers[MODE] = [ok({"dualSidePosition": True})]
    stub.answers[CONFIG] = [ok([sample.CONFIGURED])]
    for _ in range(3):
        setup = await client.symbol_setup("BTCUSDT")
    assert (setup.position_mode, setup.leverage) == (PositionMode.HEDGE, Decimal(21))
    assert setup.margin_mode is MarginMode.CROSS
    assert (len(stub.seen(MODE)), len(stub.seen(CONFIG))) == (1, 3)
    clock.advance(3601)
    await client.symbol_setup("BTCUSDT")
    assert len(stub.seen(MODE)) == 2


@pytest.mark.parametrize("code", [-1106, -4060, -4061, -4062])
async def test_a_refusal_for_the_position_mode_makes_it_be_read_again(
    stub: BinanceStub, client: BinanceClient, code: int
) -> None:
    stub.answers[MODE] = [ok({"dualSidePosition": False}), ok({"dualSidePosition": True})]
    stub.answers[CONFIG] = [ok([sample.CONFIGURED])]
    stub.answers[PLACE] = [refused(code)]
    assert (await client.symbol_setup("BTCUSDT")).position_mode is PositionMode.ONE_WAY
    await client.place(PREPARED)
    assert (await client.symbol_setup("BTCUSDT")).position_mode is PositionMode.HEDGE


async def test_a_close_can_learn_the_position_mode_alone(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[MODE] = [ok({"dualSidePosition": False})]
    stub.answers[CONFIG] = [HTML]
    with pytest.raises(ExchangeUnavailable):
        await client.symbol_setup("BTCUSDT")
    assert isinstance(client, AccountPositionMode)
    assert await client.position_mode() is PositionMode.ONE_WAY


@pytest.mark.parametrize("reply", [ok([]), ok({}), HTML, httpx.ReadTimeout("")])
async def test_a_setup_that_can_not_be_read_is_an_error(
    stub: BinanceStub, client: BinanceClient, reply: httpx.Response | Exception
) -> None:
    stub.answers[MODE] = [ok({"dualSidePosition": False})]
    stub.answers[CONFIG] = [reply]
    with pytest.raises(ExchangeUnavailable):
        await client.symbol_setup("BTCUSDT")


async def test_leverage_is_set(stub: BinanceStub, client: BinanceClient) -> None:
    stub.answers[LEVERAGE] = [ok({"leverage": 5, "maxNotionalValue": "1", "symbol": "BTCUSDT"})]
    await client.set_leverage("BTCUSDT", 5, None)
    sent = parameters(stub.requests[0])
    assert (sent["symbol"], sent["leverage"]) == ("BTCUSDT", "5")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refused(-4028, "Leverage 200 is not valid"), ExchangeRefusal),
        (refused(-4161), ExchangeRefusal),
        (refused(-1003, status=429), ExchangeUnavailable),
        (refused(-987654), ExchangeUnavailable),
        (ok({"leverage": 20, "symbol": "BTCUSDT"}), ExchangeUnavailable),
        (success(), ExchangeUnavailable),
        (HTML, ExchangeUnavailable),
        (httpx.ReadTimeout(""), ExchangeUnavailable),
        (httpx.ConnectError(""), ExchangeUnavailable),
    ],
)
async def test_leverage_that_can_not_be_set_is_an_error(
    stub: BinanceStub,
    client: BinanceClient,
    reply: httpx.Response | Exception,
    error: type[ExchangeError],
) -> None:
    stub.answers[LEVERAGE] = [reply]
    with pytest.raises(error):
        await client.set_leverage("BTCUSDT", 5, None)
    assert len(stub.requests) == 1


@pytest.mark.parametrize("reply", [success(), refused(-4046, "No need to change margin type.")])
async def test_the_margin_mode_is_set(
    stub: BinanceStub, client: BinanceClient, reply: httpx.Response
) -> None:
    stub.answers[CONFIG] = [ok([sample.CONFIGURED])]
    stub.answers[MARGIN] = [reply]
    await client.set_margin_mode("BTCUSDT", MarginMode.ISOLATED, 5)
    (sent,) = stub.seen(MARGIN)
    assert parameters(sent)["marginType"] == "ISOLATED"


async def test_a_margin_mode_that_is_in_force_is_not_set(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[CONFIG] = [ok([sample.CONFIGURED])]
    await client.set_margin_mode("BTCUSDT", MarginMode.CROSS, None)
    assert not stub.seen(MARGIN)


@pytest.mark.parametrize("code", [-4047, -4048, -4067, -4068, -4168])
async def test_a_margin_mode_that_can_not_be_set_is_an_error(
    stub: BinanceStub, client: BinanceClient, code: int
) -> None:
    stub.answers[CONFIG] = [ok([sample.CONFIGURED])]
    stub.answers[MARGIN] = [refused(code, "orders are open")]
    with pytest.raises(ExchangeRefusal, match="orders are open"):
        await client.set_margin_mode("BTCUSDT", MarginMode.ISOLATED, None)


async def test_positions_of_both_modes(stub: BinanceStub, client: BinanceClient) -> None:
    short = {**sample.POSITION, "positionSide": "SHORT", "positionAmt": "-2", "symbol": "ETHUSDT"}
    stub.answers[POSITIONS] = [ok([sample.POSITION, short])]
    found = await client.positions()
    assert [(one.symbol, one.side, one.quantity) for one in found] == [
        ("BTCUSDT", PositionSide.LONG, Decimal("0.001")),
        ("ETHUSDT", PositionSide.SHORT, Decimal(2)),
    ]


async def test_a_symbol_without_a_row_is_flat(stub: BinanceStub, client: BinanceClient) -> None:
    stub.answers[POSITIONS] = [ok([])]
    assert await client.positions("BTCUSDT") == []
    assert parameters(stub.requests[0])["symbol"] == "BTCUSDT"


@pytest.mark.parametrize(
    "reply", [HTML, httpx.ReadTimeout(""), ok({}), success(), ok([[]]), refused(-1000), ok("flat")]
)
async def test_positions_that_can_not_be_read_are_never_flat(
    stub: BinanceStub, client: BinanceClient, reply: httpx.Response | Exception
) -> None:
    stub.answers[POSITIONS] = [reply]
    with pytest.raises(ExchangeUnavailable):
        await client.positions("BTCUSDT")


async def test_balances(stub: BinanceStub, client: BinanceClient) -> None:
    stub.answers[BALANCE] = [ok([sample.ASSET])]
    (found,) = await client.balances()
    assert (found.currency, found.available) == ("USDT", Decimal("980.0"))


async def test_the_mark_price_needs_no_signature(
    stub: BinanceStub, clock: FakeClock, client: BinanceClient
) -> None:
    stub.answers[MARK] = [ok({"symbol": "BTCUSDT", "markPrice": "94330.00000000", "time": 1})]
    mark = await client.mark_price("BTCUSDT")
    assert (mark.price, mark.read_at) == (Decimal(94330), clock.now())
    (sent,) = stub.requests
    assert sent.url.query == b"symbol=BTCUSDT"
    assert "x-mbx-apikey" not in sent.headers


@pytest.mark.parametrize(
    "body", [{"symbol": "ETHUSDT", "markPrice": "1"}, {"symbol": "BTCUSDT", "markPrice": "0"}, []]
)
async def test_a_mark_price_of_something_else_is_no_answer(
    stub: BinanceStub, client: BinanceClient, body: object
) -> None:
    stub.answers[MARK] = [ok(body)]
    with pytest.raises(ExchangeUnavailable):
        await client.mark_price("BTCUSDT")


# Instruments.


async def test_instruments_are_read_once(stub: BinanceStub, client: BinanceClient) -> None:
    other = {**sample.SYMBOL, "symbol": "ETHUSDT"}
    coin = {**sample.SYMBOL, "symbol": "BTCUSDC", "quoteAsset": "USDC"}
    stub.answers[INFO] = [ok({"symbols": [sample.SYMBOL, other, coin, {"filters": 5}]})]
    stub.answers[BRACKETS] = [ok([sample.BRACKET])]
    assert (await client.instrument("ETHUSDT")).max_leverage == 125
    assert (await client.instrument("BTCUSDT")).lot == Decimal("0.001")
    assert len(stub.requests) == 2
    assert stub.seen(INFO)[0].url.query == b""
    assert_signed(stub.seen(BRACKETS)[0])


async def test_without_brackets_the_last_known_serve(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[INFO] = [ok({"symbols": [sample.SYMBOL]})]
    lower = {"symbol": "BTCUSDT", "brackets": [{"initialLeverage": 50}]}
    stub.answers[BRACKETS] = [refused(-2015), ok([lower]), refused(-2015)]
    seen = []
    for _ in range(3):
        await client.refresh_instruments()
        seen.append((await client.instrument("BTCUSDT")).max_leverage)
    assert seen == [125, 50, 50]


@pytest.mark.parametrize("body", [{"symbols": []}, {}, [], {"symbols": {}}])
async def test_a_listing_with_nothing_in_it_is_no_answer(
    stub: BinanceStub, client: BinanceClient, body: object
) -> None:
    stub.answers[INFO] = [ok(body)]
    stub.answers[BRACKETS] = [ok([])]
    with pytest.raises(ExchangeUnavailable):
        await client.instrument("BTCUSDT")


# Life.


async def test_start_reads_clock_and_instruments_and_may_be_repeated(
    stub: BinanceStub, client: BinanceClient
) -> None:
    stub.answers[INFO] = [ok({"symbols": [sample.SYMBOL]})]
    stub.answers[BRACKETS] = [ok([sample.BRACKET])]
    await client.start()
    await client.start()
    assert len(stub.seen(INFO)) == 2
    assert len([task for task in asyncio.all_tasks() if "keep-warm" in task.get_name()]) == 1
    await client.aclose()
    assert not [task for task in asyncio.all_tasks() if "binance" in task.get_name()]


def test_the_window_is_the_receive_window_and_what_may_lie_ahead(stub: BinanceStub) -> None:
    assert make_client(stub).acceptance_window == timedelta(seconds=6)


def test_the_client_says_that_it_protects_after_a_fill(stub: BinanceStub) -> None:
    assert isinstance(make_client(stub), ProtectsAfterFill)


# Secrets.


async def test_no_secret_and_no_signed_url_is_printed(
    stub: BinanceStub, client: BinanceClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    signed = client._sign(client._order_call(PREPARED), 1700000000000)
    signature = signed.url.rpartition("=")[2]
    echo = orjson.dumps({"code": -1100, "msg": f"bad path {signed.url}"})
    texts = [repr(client), repr(vars(client)), repr(signed)]
    for reply in (
        httpx.Response(400, content=echo),
        httpx.Response(502, text=f"<p>{signed.url}</p>"),
        httpx.ReadTimeout(f"at {signed.url}"),
        httpx.ConnectError(f"at {signed.url}"),
        httpx.Response(403, text=f"{signed.url}"),
    ):
        stub.answers[PLACE] = stub.answers[POSITIONS] = [reply]
        texts.append(repr(await client.place(PREPARED)))
        try:
            await client.positions()
        except ExchangeError as error:
            texts += [str(error), repr(error), repr(error.__context__), repr(error.__cause__)]
    texts.append(caplog.text)
    assert len(signature) == 64
    for text in texts:
        assert SECRET not in text
        assert KEY not in text
        assert signature not in text


async def test_the_provider_makes_clients_only_with_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from providers.binance import PROVIDER  # noqa: PLC0415 - reads no environment before this test
    from providers.settings import ExchangeSettings  # noqa: PLC0415 - as above

    for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    bare = ExchangeSettings()
    assert not PROVIDER.has_credentials(bare)
    with pytest.raises(NotConfigured, match="binance"):
        PROVIDER.create_client(bare)
    monkeypatch.setenv("BINANCE_API_KEY", KEY)
    assert not PROVIDER.has_credentials(ExchangeSettings())
    monkeypatch.setenv("BINANCE_API_SECRET", SECRET)
    full = ExchangeSettings()
    assert PROVIDER.has_credentials(full)
    assert str(full.binance_base_url) == "https://fapi.binance.com/"
    assert SECRET not in repr(full)
    client = PROVIDER.create_client(full)
    assert client.name == PROVIDER.name == "binance"
    await client.aclose()


async def test_cancelling_a_placement_leaves_nothing_running(clock: FakeClock) -> None:
    entered = asyncio.Event()

    async def hanging(_: httpx.Request) -> httpx.Response:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    client = make_client(BinanceStub(), clock)
    client._http._transport = httpx.MockTransport(hanging)
    task = asyncio.create_task(client.place(replace(PREPARED)))
    await asyncio.wait_for(entered.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()
    assert len(asyncio.all_tasks()) == 1
