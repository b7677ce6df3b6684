"""The MEXC client looking for orders: by client id, in the book, in history, page by page."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from providers.errors import ExchangeRefusal, ExchangeUnavailable
from providers.orders import OrderStatus
from providers.outcomes import OutcomeClass
from tests.unit.providers.helpers import FakeClock
from tests.unit.providers.mexc_stub import (
    BY_CLIENT_ID,
    CONTRACT,
    HISTORY,
    HTML,
    INSTRUMENTS,
    OPEN_ORDERS,
    ORDER_ID,
    ORDER_ROW,
    POSITION_ROW,
    POSITIONS,
    MexcStub,
    make_client,
    nothing,
    ok,
    refused,
)

if TYPE_CHECKING:
    from providers.mexc.client import MexcClient

REJECTED = {**ORDER_ROW, "state": 5, "dealVol": 0}
NOT_THERE = [nothing(), refused(2040)]


@pytest.fixture
def stub() -> MexcStub:
    return MexcStub()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(stub: MexcStub, clock: FakeClock) -> MexcClient:
    return make_client(stub, clock)


def pages(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a list with ids of their own."""
    return [
        {**row, "orderId": str(number), "externalOid": f"o-{number}"}
        for number, row in enumerate(rows)
    ]


# Finding.


async def test_the_look_up_by_client_id_comes_first_and_suffices(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[BY_CLIENT_ID] = [ok(ORDER_ROW)]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert (found.status, found.exchange_order_id) == (OrderStatus.FILLED, ORDER_ID)
    (sent,) = stub.private
    assert str(sent.url).endswith("/private/order/external/BTC_USDT/tw-0001")


@pytest.mark.parametrize("absent", NOT_THERE)
async def test_open_orders_come_next(
    stub: MexcStub, client: MexcClient, absent: httpx.Response
) -> None:
    stub.answers[BY_CLIENT_ID] = [absent]
    other = {**ORDER_ROW, "orderId": "1", "externalOid": "another", "symbol": "NEW_USDT"}
    stub.answers[OPEN_ORDERS] = [ok([other, {**ORDER_ROW, "state": 2, "dealVol": 4}])]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert (found.status, found.filled_quantity) == (
        OrderStatus.PARTIALLY_FILLED,
        Decimal("0.0004"),
    )


@pytest.mark.parametrize("absent", NOT_THERE)
@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"resultList": rows}])
async def test_history_comes_last(
    stub: MexcStub,
    client: MexcClient,
    absent: httpx.Response,
    wrap: Any,  # noqa: ANN401 - a column of the table
) -> None:
    stub.answers[BY_CLIENT_ID] = [absent]
    stub.answers[OPEN_ORDERS] = [ok([])]
    stub.answers[HISTORY] = [ok(wrap([{**ORDER_ROW, "state": 4, "dealVol": 4}]))]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert (found.status, found.filled_quantity) == (OrderStatus.CANCELED, Decimal("0.0004"))
    (sent,) = stub.seen(HISTORY)
    assert sent.url.query == b"page_num=1&page_size=100&symbol=BTC_USDT"


@pytest.mark.parametrize("absent", NOT_THERE)
async def test_an_order_that_is_nowhere_is_none(
    stub: MexcStub, client: MexcClient, absent: httpx.Response
) -> None:
    stub.answers[BY_CLIENT_ID] = [absent]
    stub.answers[OPEN_ORDERS] = [ok([])]
    stub.answers[HISTORY] = [ok([{**ORDER_ROW, "externalOid": "another"}])]
    assert await client.find_order("BTCUSDT", "tw-0001") is None
    assert [sent.url.path for sent in stub.private] == [BY_CLIENT_ID, OPEN_ORDERS, HISTORY]


@pytest.mark.parametrize(
    "reply", [HTML, httpx.ReadTimeout(""), refused(500), refused(4711), ok("x"), ok([5])]
)
@pytest.mark.parametrize("path", [BY_CLIENT_ID, OPEN_ORDERS, HISTORY])
async def test_a_failed_look_up_is_never_none(
    stub: MexcStub, client: MexcClient, path: str, reply: httpx.Response | Exception
) -> None:
    stub.answers[BY_CLIENT_ID] = [nothing()]
    stub.answers[OPEN_ORDERS] = [ok([])]
    stub.answers[HISTORY] = [ok([])]
    stub.answers[path] = [reply]
    with pytest.raises(ExchangeUnavailable):
        await client.find_order("BTCUSDT", "tw-0001")


@pytest.mark.parametrize("path", [OPEN_ORDERS, HISTORY])
async def test_a_list_without_data_is_not_an_empty_list(
    stub: MexcStub, client: MexcClient, path: str
) -> None:
    stub.answers[BY_CLIENT_ID] = [nothing()]
    stub.answers[OPEN_ORDERS] = [ok([])]
    stub.answers[path] = [nothing()]
    with pytest.raises(ExchangeUnavailable, match="data"):
        await client.find_order("BTCUSDT", "tw-0001")


async def test_an_order_of_another_id_is_not_taken_for_ours(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[BY_CLIENT_ID] = [ok({**ORDER_ROW, "externalOid": "another"})]
    stub.answers[OPEN_ORDERS] = [ok([])]
    stub.answers[HISTORY] = [ok([])]
    assert await client.find_order("BTCUSDT", "tw-0001") is None


async def test_a_rejected_order_is_believed_once_no_other_has_its_id(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[BY_CLIENT_ID] = [ok({**REJECTED, "errorCode": 2})]
    stub.answers[OPEN_ORDERS] = [ok([])]
    stub.answers[HISTORY] = [ok([{**REJECTED, "errorCode": 2}])]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert (found.status, found.reject_reason) == (
        OrderStatus.REJECTED,
        "balance too low (errorCode 2)",
    )


@pytest.mark.parametrize("error_code", [2, 22, 23])
async def test_the_order_that_worked_is_found_behind_its_rejected_double(
    stub: MexcStub, client: MexcClient, error_code: int
) -> None:
    double = {**REJECTED, "orderId": "2", "errorCode": error_code}
    stub.answers[BY_CLIENT_ID] = [ok(double)]
    stub.answers[OPEN_ORDERS] = [ok([])]
    stub.answers[HISTORY] = [ok([double, ORDER_ROW])]
    found = await client.find_order("BTCUSDT", "tw-0001")
    assert found is not None
    assert (found.exchange_order_id, found.status) == (ORDER_ID, OrderStatus.FILLED)


@pytest.mark.parametrize("error_code", [22, 23])
async def test_a_rejected_double_alone_decides_nothing(
    stub: MexcStub, client: MexcClient, error_code: int
) -> None:
    stub.answers[BY_CLIENT_ID] = [ok({**REJECTED, "errorCode": error_code})]
    stub.answers[OPEN_ORDERS] = [ok([])]
    stub.answers[HISTORY] = [ok([])]
    with pytest.raises(ExchangeUnavailable, match="used before"):
        await client.find_order("BTCUSDT", "tw-0001")


async def test_a_refused_read_is_not_tried_again(stub: MexcStub, client: MexcClient) -> None:
    stub.answers[BY_CLIENT_ID] = [refused(602, "Confirming signature failed")]
    with pytest.raises(ExchangeRefusal, match="Confirming signature failed") as caught:
        await client.find_order("BTCUSDT", "tw-0001")
    assert (caught.value.code, caught.value.outcome_class) == ("602", OutcomeClass.AUTH)
    assert len(stub.private) == 1


async def test_a_read_survives_faults_and_a_clock_error(stub: MexcStub, client: MexcClient) -> None:
    stub.answers[BY_CLIENT_ID] = [HTML, httpx.ConnectError(""), refused(513), ok(ORDER_ROW)]
    assert await client.find_order("BTCUSDT", "tw-0001") is not None


# Lists.


async def test_open_orders_come_from_every_page_each_once(
    stub: MexcStub, client: MexcClient
) -> None:
    live = pages(*({**ORDER_ROW, "state": 2, "dealVol": 0} for _ in range(130)))
    stub.answers[OPEN_ORDERS] = [ok(live[:100]), ok(live[99:125]), ok(live[125:]), ok([])]
    found = await client.open_orders()
    assert [view.client_order_id for view in found] == [f"o-{number}" for number in range(130)]
    assert [sent.url.query for sent in stub.private] == [
        b"page_num=1&page_size=100",
        b"page_num=2&page_size=100",
        b"page_num=3&page_size=100",
    ]


async def test_open_orders_of_one_symbol_leave_out_others_and_final_ones(
    stub: MexcStub, client: MexcClient
) -> None:
    live = {**ORDER_ROW, "state": 2, "dealVol": 0}
    rows = pages({**live, "symbol": "NEW_USDT"}, live, ORDER_ROW)
    stub.answers[OPEN_ORDERS] = [ok(rows)]
    assert [view.client_order_id for view in await client.open_orders("BTCUSDT")] == ["o-1"]


async def test_a_server_that_repeats_its_page_is_not_asked_for_ever(
    stub: MexcStub, client: MexcClient
) -> None:
    live = pages(*({**ORDER_ROW, "state": 2, "dealVol": 0} for _ in range(100)))
    stub.answers[OPEN_ORDERS] = [ok(live)]
    assert len(await client.open_orders("BTCUSDT")) == 100
    assert len(stub.private) == 2


async def test_a_list_without_an_end_is_an_error(stub: MexcStub, client: MexcClient) -> None:
    live = pages(*({**ORDER_ROW, "state": 2, "dealVol": 0} for _ in range(60 * 20)))
    stub.answers[OPEN_ORDERS] = [ok(live[start : start + 20]) for start in range(0, 1200, 20)]
    with pytest.raises(ExchangeUnavailable, match="no end"):
        await client.open_orders("BTCUSDT")
    assert len(stub.private) == 50


async def test_history_is_read_for_a_few_pages_only(stub: MexcStub, client: MexcClient) -> None:
    rows = pages(*(ORDER_ROW for _ in range(400)))
    stub.answers[BY_CLIENT_ID] = [nothing()]
    stub.answers[OPEN_ORDERS] = [ok([])]
    stub.answers[HISTORY] = [ok(rows[start : start + 100]) for start in (0, 100, 200, 300)]
    assert await client.find_order("BTCUSDT", "tw-0001") is None
    assert len(stub.seen(HISTORY)) == 3


async def test_rows_of_a_contract_that_was_listed_meanwhile_are_read(
    stub: MexcStub, clock: FakeClock, client: MexcClient
) -> None:
    await client.instrument("BTCUSDT")
    clock.advance(120)
    listed = [CONTRACT, {**CONTRACT, "symbol": "NEW_USDT", "contractSize": 10}]
    stub.answers[INSTRUMENTS] = [ok(listed)]
    stub.answers[POSITIONS] = [ok([{**POSITION_ROW, "symbol": "NEW_USDT"}])]
    (found,) = await client.positions()
    assert (found.symbol, found.quantity) == ("NEWUSDT", Decimal(100))


async def test_rows_of_a_contract_nobody_lists_are_no_answer(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[POSITIONS] = [ok([POSITION_ROW, {**POSITION_ROW, "symbol": "NEW_USDT"}])]
    with pytest.raises(ExchangeUnavailable, match="NEW_USDT"):
        await client.positions()
    assert len(await client.positions("BTCUSDT")) == 1
