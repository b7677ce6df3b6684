"""The Bybit client around an order: look-ups, fills, the account, instruments, start and end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from providers.errors import (
    ExchangeError,
    ExchangeRefusal,
    ExchangeUnavailable,
    RequestRefused,
)
from providers.orders import (
    MarginMode,
    OrderStatus,
    PositionMode,
    PositionSide,
)
from providers.outcomes import OutcomeClass
from tests.unit.providers.bybit_stub import (
    ACCOUNT,
    CANCEL,
    EXECUTIONS,
    HISTORY,
    HTML,
    INSTRUMENT,
    INSTRUMENTS,
    LEVERAGE,
    MARGIN,
    POSITIONS,
    REALTIME,
    ROW,
    BybitStub,
    business,
    make_client,
    ok,
    page,
)
from tests.unit.providers.helpers import FakeClock

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


# Finding.


async def test_find_looks_at_realtime_first(stub: BybitStub, client: BybitClient) -> None:
    stub.answers[REALTIME] = [page(ROW)]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert found.status is OrderStatus.FILLED
    assert stub.requests[0].url.query == b"category=linear&symbol=BTCUSDT&orderLinkId=tw-0001"


async def test_find_looks_at_history_next(stub: BybitStub, client: BybitClient) -> None:
    stub.answers[REALTIME] = [page()]
    stub.answers[HISTORY] = [page({**ROW, "orderStatus": "Cancelled", "cumExecQty": "0.0004"})]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert (found.status, found.filled_quantity) == (OrderStatus.CANCELED, Decimal("0.0004"))


async def test_an_order_that_is_nowhere_is_none(stub: BybitStub, client: BybitClient) -> None:
    stub.answers[REALTIME] = [page()]
    stub.answers[HISTORY] = [page({**ROW, "orderLinkId": "of-another-order"})]
    stub.answers[EXECUTIONS] = [page({"orderLinkId": "of-another-order"})]
    assert await client.find_order("BTCUSDT", "tw-0001") is None


async def test_an_order_of_which_only_executions_are_shown_is_not_nowhere(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[REALTIME] = [page()]
    stub.answers[HISTORY] = [page()]
    stub.answers[EXECUTIONS] = [page({"orderLinkId": "tw-0001"})]
    with pytest.raises(ExchangeUnavailable, match="executions of tw-0001 are shown"):
        await client.find_order("BTCUSDT", "tw-0001")


@pytest.mark.parametrize("reply", [HTML, httpx.ReadTimeout(""), business(10016)])
@pytest.mark.parametrize("path", [REALTIME, HISTORY, EXECUTIONS])
async def test_a_failed_look_up_is_never_none(
    stub: BybitStub, client: BybitClient, path: str, reply: httpx.Response | Exception
) -> None:
    stub.answers[REALTIME] = [page()]
    stub.answers[HISTORY] = [page()]
    stub.answers[path] = [reply]
    with pytest.raises(ExchangeUnavailable):
        await client.find_order("BTCUSDT", "tw-0001")
    assert len(stub.seen(path)) == 3


async def test_a_look_up_that_can_not_be_read_is_never_none(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[REALTIME] = [page({**ROW, "orderStatus": "Sleeping"})]
    with pytest.raises(ExchangeUnavailable, match="orderStatus"):
        await client.find_order("BTCUSDT", "tw-0001")


async def test_a_read_is_tried_again(stub: BybitStub, client: BybitClient) -> None:
    stub.answers[REALTIME] = [HTML, httpx.ConnectError(""), page(ROW)]
    assert await client.find_order("BTCUSDT", "tw-0001") is not None


async def test_a_refused_read_is_not_tried_again(stub: BybitStub, client: BybitClient) -> None:
    stub.answers[REALTIME] = [business(10003, "API key is invalid.")]
    with pytest.raises(ExchangeRefusal, match="API key is invalid") as caught:
        await client.find_order("BTCUSDT", "tw-0001")
    assert (caught.value.code, caught.value.outcome_class) == ("10003", OutcomeClass.AUTH)
    assert len(stub.requests) == 1


async def test_open_orders_come_from_every_page(stub: BybitStub, client: BybitClient) -> None:
    live = {**ROW, "orderStatus": "New", "cumExecQty": "0"}
    stub.answers[REALTIME] = [
        page({**live, "orderLinkId": "tw-1"}, cursor="2"),
        page({**live, "orderLinkId": "tw-2"}, ROW, cursor="3"),
        page(),
    ]
    found = await client.open_orders()
    assert [view.client_order_id for view in found] == ["tw-1", "tw-2"]
    assert b"settleCoin=USDT" in stub.requests[0].url.query


def order_rows(*names: str) -> list[dict[str, Any]]:
    return [{**ROW, "orderLinkId": name, "orderId": f"x-{name}"} for name in names]


async def test_the_list_of_latest_orders_is_read_as_far_back_as_it_has_those_that_are_wanted(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[REALTIME] = [
        page(*order_rows("later-1", "later-2"), cursor="2"),
        page(*order_rows("later-3", "tw-1", "tw-2"), cursor="3"),
        page(*order_rows("earlier-1"), cursor="4"),
        page(*order_rows("tw-3"), cursor="5"),
    ]
    wanted = dict.fromkeys(["tw-1", "tw-2", "tw-3"], "BTCUSDT")
    assert set(await client.find_orders(wanted, client._clock.now())) == {"tw-1", "tw-2"}
    assert len(stub.seen(REALTIME)) == 3


async def test_no_page_is_read_after_the_last_order_that_was_wanted(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[REALTIME] = [page(*order_rows("tw-1", "tw-2"), cursor="2")]
    wanted = dict.fromkeys(["tw-1", "tw-2"], "BTCUSDT")
    assert set(await client.find_orders(wanted, client._clock.now())) == set(wanted)
    assert len(stub.seen(REALTIME)) == 1


async def test_where_many_are_not_finished_the_open_orders_are_read_too(
    stub: BybitStub, client: BybitClient
) -> None:
    names = ["tw-1", "tw-2", "tw-3", "tw-4"]
    live = [{**row, "orderStatus": "New", "cumExecQty": "0"} for row in order_rows(*names)]
    stub.answers[REALTIME] = [page(), page(*live)]
    found = await client.find_orders(dict.fromkeys(names, "BTCUSDT"), client._clock.now())
    assert {view.status for view in found.values()} == {OrderStatus.NEW}
    assert [b"openOnly=1" in one.url.query for one in stub.seen(REALTIME)] == [True, False]


async def test_a_list_that_does_not_end_is_left_at_some_point(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[REALTIME] = [page(*order_rows("others"), cursor="same")]
    assert await client.find_orders({"tw-1": "BTCUSDT"}, client._clock.now()) == {}
    assert len(stub.seen(REALTIME)) == 4


async def test_a_list_without_an_end_is_an_error(stub: BybitStub, client: BybitClient) -> None:
    stub.answers[REALTIME] = [page(ROW, cursor="same")]
    with pytest.raises(ExchangeUnavailable, match="no end"):
        await client.open_orders("BTCUSDT")


async def test_fills_belong_to_the_order(stub: BybitStub, client: BybitClient) -> None:
    fill = {
        "execId": "e1",
        "orderId": "5f1c0d3a",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "execType": "Trade",
        "execPrice": "94321.5",
        "execQty": "0.001",
        "execFee": "0.05",
        "feeCurrency": "",
        "isMaker": False,
        "execTime": "1700000000124",
    }
    stub.answers[REALTIME] = [page(ROW)]
    stub.answers[EXECUTIONS] = [page(fill, {**fill, "execId": "e2", "orderId": "another"})]
    order = await client.find_order("BTCUSDT", "tw-0001")
    assert order is not None
    assert [one.fill_id for one in await client.fills("BTCUSDT", order)] == ["e1"]


@pytest.mark.parametrize("code", [0, 110001, 110008, 110010])
async def test_cancelling_what_is_final_is_no_error(
    stub: BybitStub, client: BybitClient, code: int
) -> None:
    stub.answers[CANCEL] = [business(code)]
    await client.cancel("BTCUSDT", "tw-0001")
    assert orjson.loads(stub.requests[0].content)["orderLinkId"] == "tw-0001"


async def test_cancelling_without_an_answer_is_an_error_and_not_repeated(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[CANCEL] = [httpx.ReadTimeout("")]
    with pytest.raises(ExchangeUnavailable):
        await client.cancel("BTCUSDT", "tw-0001")
    assert len(stub.requests) == 1


# The account.


def leg(index: int, side: str = "", size: str = "0") -> dict[str, Any]:
    return {
        "positionIdx": index,
        "symbol": "BTCUSDT",
        "side": side,
        "size": size,
        "avgPrice": "0",
        "leverage": "10",
    }


async def test_setup_reads_the_margin_mode_of_the_account_once(
    stub: BybitStub, clock: FakeClock, client: BybitClient
) -> None:
    stub.answers[ACCOUNT] = [ok({"marginMode": "ISOLATED_MARGIN"})]
    stub.answers[POSITIONS] = [page(leg(2), leg(1))]
    for _ in range(3):
        setup = await client.symbol_setup("BTCUSDT")
    assert (setup.position_mode, setup.leverage) == (PositionMode.HEDGE, Decimal(10))
    assert setup.margin_mode is MarginMode.ISOLATED
    assert len(stub.seen(ACCOUNT)) == 1
    clock.advance(3601)
    await client.symbol_setup("BTCUSDT")
    assert len(stub.seen(ACCOUNT)) == 2


async def test_a_close_can_learn_the_position_mode_without_the_account(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[ACCOUNT] = [business(10016)]
    stub.answers[POSITIONS] = [page(leg(0))]
    setup = await client.symbol_setup("BTCUSDT")
    assert (setup.position_mode, setup.margin_mode) == (PositionMode.ONE_WAY, None)


@pytest.mark.parametrize("code", [0, 110043])
async def test_the_same_leverage_again_is_success(
    stub: BybitStub, client: BybitClient, code: int
) -> None:
    stub.answers[LEVERAGE] = [business(code)]
    await client.set_leverage("BTCUSDT", 5, None)
    assert stub.requests[0].content == (
        b'{"category":"linear","symbol":"BTCUSDT","buyLeverage":"5","sellLeverage":"5"}'
    )


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (business(110013, "too high"), ExchangeRefusal),
        (business(10006), ExchangeUnavailable),
        (business(1234567), ExchangeUnavailable),
        (HTML, ExchangeUnavailable),
        (httpx.ReadTimeout(""), ExchangeUnavailable),
        (httpx.ConnectError(""), ExchangeUnavailable),
    ],
)
async def test_leverage_that_can_not_be_set_is_an_error(
    stub: BybitStub,
    client: BybitClient,
    reply: httpx.Response | Exception,
    error: type[ExchangeError],
) -> None:
    stub.answers[LEVERAGE] = [reply]
    with pytest.raises(error):
        await client.set_leverage("BTCUSDT", 5, None)
    assert len(stub.requests) == 1


@pytest.mark.parametrize("code", [0, 110026])
async def test_the_margin_mode_is_set_for_the_account_and_remembered(
    stub: BybitStub, client: BybitClient, code: int
) -> None:
    stub.answers[ACCOUNT] = [ok({"marginMode": "REGULAR_MARGIN"})]
    stub.answers[MARGIN] = [business(code)]
    stub.answers[POSITIONS] = [page(leg(0))]
    await client.set_margin_mode("BTCUSDT", MarginMode.ISOLATED, 5)
    assert stub.requests[-1].content == b'{"setMarginMode":"ISOLATED_MARGIN"}'
    assert (await client.symbol_setup("BTCUSDT")).margin_mode is MarginMode.ISOLATED


async def test_a_refused_margin_mode_is_told_with_its_reasons_and_read_again(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[ACCOUNT] = [ok({"marginMode": "REGULAR_MARGIN"})]
    reasons = {"reasons": [{"reasonCode": "3400001", "reasonMsg": "orders are open"}]}
    stub.answers[MARGIN] = [business(3400045, "failed", result=reasons)]
    stub.answers[POSITIONS] = [page(leg(0))]
    with pytest.raises(ExchangeRefusal, match="orders are open"):
        await client.set_margin_mode("BTCUSDT", MarginMode.ISOLATED, None)
    await client.symbol_setup("BTCUSDT")
    assert len(stub.seen(ACCOUNT)) == 2


async def test_one_message_does_not_end_portfolio_margin(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[ACCOUNT] = [ok({"marginMode": "PORTFOLIO_MARGIN"})]
    with pytest.raises(RequestRefused) as caught:
        await client.set_margin_mode("BTCUSDT", MarginMode.CROSS, None)
    assert caught.value.code == "MARGIN_MODE_CONFLICT"
    assert not stub.seen(MARGIN)


async def test_positions_of_all_symbols_come_from_every_page(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[POSITIONS] = [
        page(leg(0, "Buy", "0.1"), cursor="2"),
        page({**leg(0, "Sell", "2"), "symbol": "ETHUSDT"}, leg(1)),
    ]
    found = await client.positions()
    assert [(one.symbol, one.side) for one in found] == [
        ("BTCUSDT", PositionSide.LONG),
        ("ETHUSDT", PositionSide.SHORT),
    ]


@pytest.mark.parametrize("reply", [HTML, httpx.ReadTimeout(""), ok({}), ok({"list": [[]]})])
async def test_positions_that_can_not_be_read_are_never_flat(
    stub: BybitStub, client: BybitClient, reply: httpx.Response | Exception
) -> None:
    stub.answers[POSITIONS] = [reply]
    with pytest.raises(ExchangeUnavailable):
        await client.positions("BTCUSDT")


async def test_the_mark_price_is_of_the_symbol(
    stub: BybitStub, clock: FakeClock, client: BybitClient
) -> None:
    stub.answers["/v5/market/tickers"] = [
        page({"symbol": "ETHUSDT", "markPrice": "1"}, {"symbol": "BTCUSDT", "markPrice": "94330.0"})
    ]
    mark = await client.mark_price("BTCUSDT")
    assert (mark.price, mark.read_at) == (Decimal("94330.0"), clock.now())
    assert "x-bapi-sign" not in stub.requests[0].headers


# Instruments.


async def test_instruments_are_read_once_from_every_page(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[INSTRUMENTS] = [
        page(INSTRUMENT, cursor="2"),
        page({**INSTRUMENT, "symbol": "ETHUSDT"}, {**INSTRUMENT, "settleCoin": "USDC"}),
    ]
    assert (await client.instrument("ETHUSDT")).symbol == "ETHUSDT"
    assert (await client.instrument("BTCUSDT")).lot == Decimal("0.001")
    assert [request.url.query for request in stub.requests] == [
        b"category=linear&limit=1000",
        b"category=linear&limit=1000&cursor=2",
    ]


async def test_an_empty_list_of_instruments_is_no_answer(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[INSTRUMENTS] = [page()]
    with pytest.raises(ExchangeUnavailable, match="empty"):
        await client.instrument("BTCUSDT")


# Life.


async def test_start_reads_clock_and_instruments_and_may_be_repeated(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[INSTRUMENTS] = [page(INSTRUMENT)]
    await client.start()
    await client.start()
    assert len(stub.seen(INSTRUMENTS)) == 2
    assert len([task for task in asyncio.all_tasks() if "keep-warm" in task.get_name()]) == 1
    await client.aclose()
    assert not [task for task in asyncio.all_tasks() if "bybit" in task.get_name()]


async def test_after_a_start_that_failed_the_client_is_usable(
    stub: BybitStub, client: BybitClient
) -> None:
    stub.answers[INSTRUMENTS] = [HTML, HTML, HTML, page(INSTRUMENT)]
    with pytest.raises(ExchangeUnavailable):
        await client.start()
    assert (await client.instrument("BTCUSDT")).symbol == "BTCUSDT"
    await client.aclose()


def test_the_window_is_the_receive_window_and_what_may_lie_ahead(stub: BybitStub) -> None:
    assert make_client(stub).acceptance_window == timedelta(seconds=6)
