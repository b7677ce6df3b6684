"""The MEXC client around orders: fills, positions, leverage, cancelling."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import pytest

from providers.errors import ExchangeError, ExchangeRefusal, ExchangeUnavailable, RequestRefused
from providers.mexc.exact import loads
from providers.orders import MarginMode, PositionMode, PositionSide
from tests.unit.providers.helpers import FakeClock
from tests.unit.providers.mexc_stub import (
    ASSET_ROW,
    ASSETS,
    BY_CLIENT_ID,
    CANCEL,
    CHANGE_LEVERAGE,
    FAIR_PRICE,
    FILL_ROW,
    FILLS,
    HTML,
    LEVERAGE,
    ORDER_ID,
    ORDER_ROW,
    POSITION_MODE,
    POSITION_ROW,
    POSITIONS,
    MexcStub,
    leverage_row,
    make_client,
    nothing,
    ok,
    refused,
)

if TYPE_CHECKING:
    from providers.mexc.client import MexcClient

AT_5 = ok([leverage_row(1), leverage_row(2)])


@pytest.fixture
def stub() -> MexcStub:
    return MexcStub()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(stub: MexcStub, clock: FakeClock) -> MexcClient:
    return make_client(stub, clock)


# Fills, positions, balances, prices.


async def test_fills_of_an_order(stub: MexcStub, client: MexcClient) -> None:
    stub.answers[BY_CLIENT_ID] = [ok(ORDER_ROW)]
    stub.answers[FILLS] = [ok([FILL_ROW, {**FILL_ROW, "id": 1, "orderId": "1"}])]
    order = await client.find_order("BTCUSDT", "tw-0001")
    assert order is not None
    (fill,) = await client.fills("BTCUSDT", order)
    assert (fill.fill_id, fill.quantity) == ("998877", order.filled_quantity)


@pytest.mark.parametrize("reply", [HTML, httpx.ReadTimeout(""), nothing(), ok({}), ok([[]])])
async def test_positions_that_can_not_be_read_are_never_flat(
    stub: MexcStub, client: MexcClient, reply: httpx.Response | Exception
) -> None:
    stub.answers[POSITIONS] = [reply]
    for symbol in ("BTCUSDT", None):
        with pytest.raises(ExchangeUnavailable):
            await client.positions(symbol)


async def test_positions_in_both_directions(stub: MexcStub, client: MexcClient) -> None:
    short = {**POSITION_ROW, "positionType": 2, "holdVol": 3, "frozenVol": 1}
    stub.answers[POSITIONS] = [ok([POSITION_ROW, short])]
    found = await client.positions()
    assert [(one.side, one.quantity, one.closable) for one in found] == [
        (PositionSide.LONG, Decimal("0.001"), Decimal("0.001")),
        (PositionSide.SHORT, Decimal("0.0003"), Decimal("0.0002")),
    ]


async def test_balances(stub: MexcStub, client: MexcClient) -> None:
    stub.answers[ASSETS] = [ok([ASSET_ROW])]
    (balance,) = await client.balances()
    assert (balance.currency, balance.total) == ("USDT", Decimal(1000))


async def test_the_mark_price_is_the_fair_price(
    stub: MexcStub, clock: FakeClock, client: MexcClient
) -> None:
    stub.answers[FAIR_PRICE] = [ok({"symbol": "BTC_USDT", "fairPrice": Decimal("94330.1")})]
    mark = await client.mark_price("BTCUSDT")
    assert (mark.price, mark.read_at) == (Decimal("94330.1"), clock.now())


@pytest.mark.parametrize("symbol", ["NEWUSDT", "BTC_USDT", "BTCUSD", ""])
async def test_an_unlisted_symbol_is_refused_everywhere(client: MexcClient, symbol: str) -> None:
    calls = [
        client.instrument(symbol),
        client.mark_price(symbol),
        client.symbol_setup(symbol),
        client.positions(symbol),
        client.find_order(symbol, "tw-0001"),
        client.open_orders(symbol),
        client.cancel(symbol, "tw-0001"),
        client.set_leverage(symbol, 5, None),
    ]
    for call in calls:
        with pytest.raises(RequestRefused, match="not a USDT perpetual"):
            await call


# Setup.


@pytest.mark.parametrize(("data", "mode"), [(1, PositionMode.HEDGE), (2, PositionMode.ONE_WAY)])
async def test_a_setup_is_read_each_time(
    stub: MexcStub, client: MexcClient, data: int, mode: PositionMode
) -> None:
    stub.answers[POSITION_MODE] = [ok(data)]
    stub.answers[LEVERAGE] = [AT_5]
    for _ in range(2):
        setup = await client.symbol_setup("BTCUSDT")
        assert (setup.position_mode, setup.leverage) == (mode, Decimal(5))
    assert len(stub.private) == 4


@pytest.mark.parametrize("path", [POSITION_MODE, LEVERAGE])
@pytest.mark.parametrize("reply", [HTML, nothing(), ok([]), refused(510)])
async def test_a_setup_that_can_not_be_read_is_not_guessed(
    stub: MexcStub, client: MexcClient, path: str, reply: httpx.Response
) -> None:
    stub.answers[POSITION_MODE] = [ok(1)]
    stub.answers[LEVERAGE] = [AT_5]
    stub.answers[path] = [reply]
    with pytest.raises(ExchangeUnavailable):
        await client.symbol_setup("BTCUSDT")


async def test_leverage_is_set_for_both_legs_only_where_it_differs(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[LEVERAGE] = [AT_5]
    stub.answers[POSITIONS] = [ok([])]
    stub.answers[CHANGE_LEVERAGE] = [nothing()]
    await client.set_leverage("BTCUSDT", 5, MarginMode.ISOLATED)
    assert not stub.seen(CHANGE_LEVERAGE)
    await client.set_leverage("BTCUSDT", 7, None)
    sent = [loads(request.content) for request in stub.seen(CHANGE_LEVERAGE)]
    assert sent == [
        {"openType": 1, "leverage": 7, "symbol": "BTC_USDT", "positionType": leg} for leg in (1, 2)
    ]


async def test_a_margin_mode_is_set_with_the_leverage(stub: MexcStub, client: MexcClient) -> None:
    stub.answers[LEVERAGE] = [AT_5]
    stub.answers[POSITIONS] = [ok([])]
    stub.answers[CHANGE_LEVERAGE] = [nothing()]
    await client.set_margin_mode("BTCUSDT", MarginMode.CROSS, None)
    sent = [loads(request.content) for request in stub.seen(CHANGE_LEVERAGE)]
    assert [(body["openType"], body["leverage"]) for body in sent if isinstance(body, dict)] == [
        (2, 5),
        (2, 5),
    ]


@pytest.mark.parametrize("code", [2027, 5006, 7003, 9070, 9071])
async def test_a_margin_mode_conflict_is_a_clear_refusal(
    stub: MexcStub, client: MexcClient, code: int
) -> None:
    stub.answers[LEVERAGE] = [AT_5]
    stub.answers[POSITIONS] = [ok([])]
    stub.answers[CHANGE_LEVERAGE] = [refused(code, "")]
    with pytest.raises(RequestRefused, match="margin") as caught:
        await client.set_margin_mode("BTCUSDT", MarginMode.CROSS, 5)
    assert caught.value.code == "MARGIN_MODE_CONFLICT"


async def test_a_position_in_the_other_margin_mode_is_not_touched(
    stub: MexcStub, client: MexcClient
) -> None:
    stub.answers[LEVERAGE] = [AT_5]
    stub.answers[POSITIONS] = [ok([POSITION_ROW])]
    with pytest.raises(RequestRefused, match="LONG position is in ISOLATED") as caught:
        await client.set_margin_mode("BTCUSDT", MarginMode.CROSS, 5)
    assert caught.value.code == "MARGIN_MODE_CONFLICT"
    assert not stub.seen(CHANGE_LEVERAGE)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refused(2006, "too high"), ExchangeRefusal),
        (refused(2019, "open orders"), ExchangeRefusal),
        (refused(2026, "cross position"), ExchangeRefusal),
        (refused(510), ExchangeUnavailable),
        (refused(1234567), ExchangeUnavailable),
        (HTML, ExchangeUnavailable),
        (httpx.ReadTimeout(""), ExchangeUnavailable),
    ],
)
async def test_leverage_that_can_not_be_set_is_an_error_and_not_repeated(
    stub: MexcStub,
    client: MexcClient,
    reply: httpx.Response | Exception,
    error: type[ExchangeError],
) -> None:
    stub.answers[LEVERAGE] = [AT_5]
    stub.answers[POSITIONS] = [ok([])]
    stub.answers[CHANGE_LEVERAGE] = [reply]
    with pytest.raises(error):
        await client.set_leverage("BTCUSDT", 7, None)
    assert len(stub.seen(CHANGE_LEVERAGE)) == 1


# Cancelling.


@pytest.mark.parametrize("code", [0, 2040, 2041])
async def test_cancelling_what_is_final_is_no_error(
    stub: MexcStub, client: MexcClient, code: int
) -> None:
    stub.answers[CANCEL] = [ok([{"orderId": ORDER_ID, "errorCode": code, "errorMsg": ""}])]
    await client.cancel("BTCUSDT", "tw-0001")
    (sent,) = stub.private
    assert sent.content == b'[{"symbol":"BTC_USDT","externalOid":"tw-0001"}]'


@pytest.mark.parametrize("code", [2040, 2041])
async def test_the_envelope_may_say_it_too(stub: MexcStub, client: MexcClient, code: int) -> None:
    stub.answers[CANCEL] = [refused(code)]
    await client.cancel("BTCUSDT", "tw-0001")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (ok([{"errorCode": 602, "errorMsg": "signature"}]), ExchangeRefusal),
        (ok([{"errorCode": 500, "errorMsg": "busy"}]), ExchangeUnavailable),
        (ok([{"errorCode": 4711}]), ExchangeUnavailable),
        (ok([]), ExchangeUnavailable),
        (ok([{}]), ExchangeUnavailable),
        (nothing(), ExchangeUnavailable),
        (refused(602), ExchangeRefusal),
        (httpx.ReadTimeout(""), ExchangeUnavailable),
    ],
)
async def test_success_of_the_envelope_is_not_success_of_the_cancel(
    stub: MexcStub,
    client: MexcClient,
    reply: httpx.Response | Exception,
    error: type[ExchangeError],
) -> None:
    stub.answers[CANCEL] = [reply]
    with pytest.raises(error):
        await client.cancel("BTCUSDT", "tw-0001")
    assert len(stub.private) == 1
