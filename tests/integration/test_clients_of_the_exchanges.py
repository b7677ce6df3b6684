"""The exchanges' own clients trade against the sandbox, unchanged, told nothing but where it is.

pybit for Bybit, and both of Binance's: the older connector and the present, generated SDK. They
block, so each lives in a thread of its own.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from binance.error import ClientError  # type: ignore[import-untyped]
from binance.um_futures import UMFutures  # type: ignore[import-untyped]
from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_derivatives_trading_usds_futures import derivatives_trading_usds_futures as sdk
from pybit.exceptions import InvalidRequestError  # type: ignore[import-untyped]
from pybit.unified_trading import HTTP  # type: ignore[import-untyped]

from providers.sandbox import start_sandbox
from providers.sandbox.sandbox import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from providers.sandbox import RunningSandbox

PRICE = Decimal(100_000)
LOW = "98000.0"
BTC = {"category": "linear", "symbol": "BTCUSDT"}
SYMBOL = {"symbol": "BTCUSDT"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=4, fill_delay=0) as sandbox:
        for facade in sandbox.sandbox.facades.values():
            facade.engine.market.hold("BTCUSDT", PRICE)
        yield sandbox


def account(running: RunningSandbox, venue: str, name: str) -> Credentials:
    keys = Credentials(name=name, key=f"key-{name}", secret=f"secret-{name}")
    running.sandbox.add_account(venue, keys, balance=Decimal(1_000_000))
    return keys


async def test_pybit(running: RunningSandbox) -> None:
    keys = account(running, "bybit", "pybit")

    def live() -> None:
        client = HTTP(testnet=False, api_key=keys.key, api_secret=keys.secret)
        client.endpoint = running.base_url("bybit")
        with client.client:
            pybit_reads(client)
            pybit_trades(client)

    await asyncio.to_thread(live)


def pybit_reads(client: Any) -> None:  # noqa: ANN401 - the library has no types
    assert int(client.get_server_time()["result"]["timeSecond"]) > 0
    listed = client.get_instruments_info(category="linear", limit=1000)["result"]["list"]
    assert {"BTCUSDT", "ETHUSDT"} <= {row["symbol"] for row in listed}
    ticker = client.get_tickers(**BTC)["result"]["list"][0]
    assert Decimal(ticker["lastPrice"]) == PRICE
    book = client.get_orderbook(**BTC)["result"]
    assert Decimal(book["b"][0][0]) < PRICE < Decimal(book["a"][0][0])
    assert client.get_kline(**BTC, interval=1, limit=3)["result"]["list"][0][4] == "100000.00"
    assert client.get_mark_price_kline(**BTC, interval=5)["result"]["list"]
    assert client.get_public_trade_history(**BTC, limit=2)["result"]["list"]
    assert client.get_funding_rate_history(**BTC)["result"]["list"]
    assert client.get_open_interest(**BTC, intervalTime="5min")["result"]["list"]
    assert client.get_risk_limit(**BTC)["result"]["list"]
    key = client.get_api_key_information()["result"]
    assert (key["uta"], key["permissions"]["Wallet"]) == (
        1,
        ["AccountTransfer", "SubMemberTransfer"],
    )
    assert client.get_account_info()["result"]["marginMode"] == "REGULAR_MARGIN"
    assert client.get_fee_rates(**BTC)["result"]["list"][0]["takerFeeRate"] == "0.00055"
    assert client.get_coin_info()["result"]["rows"][0]["coin"] == "USDT"
    balance = client.get_wallet_balance(accountType="UNIFIED", coin="USDT")["result"]["list"][0]
    assert balance["coin"][0]["walletBalance"] == "1000000"


def pybit_trades(client: Any) -> None:  # noqa: ANN401 - the library has no types
    client.set_leverage(**BTC, buyLeverage="5", sellLeverage="5")
    with pytest.raises(InvalidRequestError, match="110043"):
        client.set_leverage(**BTC, buyLeverage="5", sellLeverage="5")
    client.switch_position_mode(**BTC, mode=3)
    client.switch_position_mode(**BTC, mode=0)
    buy = {**BTC, "side": "Buy", "orderType": "Market", "qty": "0.01"}
    order_id = client.place_order(**buy, orderLinkId="p-1")["result"]["orderId"]
    with pytest.raises(InvalidRequestError, match="110072"):
        client.place_order(**buy, orderLinkId="p-1")
    found = client.get_open_orders(**BTC, orderLinkId="p-1")["result"]["list"]
    assert [(row["orderId"], row["orderStatus"]) for row in found] == [(order_id, "Filled")]
    found = client.get_order_history(**BTC, orderId=order_id)["result"]["list"]
    assert [row["avgPrice"] for row in found] == ["100000"]
    assert (
        client.get_executions(**BTC, orderLinkId="p-1")["result"]["list"][0]["execQty"] == "0.010"
    )
    assert client.get_positions(**BTC)["result"]["list"][0]["size"] == "0.010"

    limit = {**buy, "orderType": "Limit", "price": LOW, "takeProfit": "110000", "stopLoss": "90000"}
    client.place_order(**limit, orderLinkId="p-2", timeInForce="PostOnly")
    client.amend_order(**BTC, orderLinkId="p-2", qty="0.02")
    assert client.get_open_orders(**BTC)["result"]["list"][0]["qty"] == "0.020"
    client.cancel_order(**BTC, orderLinkId="p-2")
    with pytest.raises(InvalidRequestError, match="110001"):
        client.cancel_order(**BTC, orderLinkId="p-2")
    stop = {**buy, "side": "Sell", "triggerPrice": "90000", "triggerDirection": 2}
    client.place_order(**stop, reduceOnly=True, orderLinkId="p-3")
    stops = client.get_open_orders(**BTC, orderFilter="StopOrder")["result"]["list"]
    assert [row["orderStatus"] for row in stops] == ["Untriggered"]
    assert client.get_open_orders(**BTC, orderFilter="Order")["result"]["list"] == []
    client.cancel_all_orders(**BTC)
    assert client.get_open_orders(**BTC)["result"]["list"] == []
    orders = [{**limit, "orderLinkId": "p-4"}, {**limit, "qty": "0.0001", "orderLinkId": "p-5"}]
    answer = client.place_batch_order(category="linear", request=orders)
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0, 10001]
    client.cancel_all_orders(category="linear", settleCoin="USDT")
    client.set_trading_stop(**BTC, takeProfit="110000", positionIdx=0)

    client.place_order(**{**buy, "side": "Sell"}, reduceOnly=True)
    assert client.get_positions(**BTC)["result"]["list"][0]["size"] == "0.000"
    with pytest.raises(InvalidRequestError, match="110017"):
        client.place_order(**{**buy, "side": "Sell"}, reduceOnly=True)
    assert client.get_closed_pnl(**BTC)["result"]["list"][0]["closedSize"] == "0.01"
    assert len(client.get_transaction_log()["result"]["list"]) == 2


async def test_the_older_client_of_binance(running: RunningSandbox) -> None:
    keys = account(running, "binance", "connector")

    def live() -> None:
        base = running.base_url("binance")
        client = UMFutures(key=keys.key, secret=keys.secret, base_url=base, show_limit_usage=True)
        with client.session:
            connector_reads(client)
            connector_sets_up(client)
            connector_trades(client)
            connector_is_flat(client)

    await asyncio.to_thread(live)


def connector_reads(client: Any) -> None:  # noqa: ANN401 - the library has no types
    assert client.ping()["data"] == {}
    assert client.time()["data"]["serverTime"] > 0
    info = client.exchange_info()
    assert int(info["limit_usage"]["x-mbx-used-weight-1m"]) > 0
    assert "BTCUSDT" in {row["symbol"] for row in info["data"]["symbols"]}
    book = client.depth("BTCUSDT", limit=5)["data"]
    assert Decimal(book["bids"][0][0]) < PRICE < Decimal(book["asks"][0][0])
    with pytest.raises(ClientError) as refused:
        client.depth("BTCUSDT", limit=7)
    assert refused.value.error_code == -4021
    for read in (client.trades, client.historical_trades, client.agg_trades):
        assert len(read("BTCUSDT", limit=3)["data"]) == 3
    assert client.klines("BTCUSDT", "1m", limit=2)["data"][-1][4] == "100000.00"
    assert client.mark_price_klines("BTCUSDT", "1m", limit=2)["data"]
    assert client.continuous_klines("BTCUSDT", "PERPETUAL", "1m", limit=2)["data"]
    assert Decimal(client.mark_price("BTCUSDT")["data"]["markPrice"]) == PRICE
    assert client.funding_rate("BTCUSDT")["data"][-1]["fundingRate"] == "0.00010000"
    assert client.ticker_24hr_price_change("BTCUSDT")["data"]["lastPrice"] == "100000.00"
    assert Decimal(client.ticker_price("BTCUSDT")["data"]["price"]) == PRICE
    assert Decimal(client.book_ticker("BTCUSDT")["data"]["bidPrice"]) < PRICE
    assert client.open_interest("BTCUSDT")["data"]["symbol"] == "BTCUSDT"


def connector_sets_up(client: Any) -> None:  # noqa: ANN401 - the library has no types
    client.change_position_mode(dualSidePosition="true")
    client.change_position_mode(dualSidePosition="false")
    assert client.get_position_mode()["data"] == {"dualSidePosition": False}
    client.change_margin_type(**SYMBOL, marginType="ISOLATED")
    with pytest.raises(ClientError) as refused:
        client.change_margin_type(**SYMBOL, marginType="ISOLATED")
    assert (refused.value.status_code, refused.value.error_code) == (400, -4046)
    assert client.change_leverage(**SYMBOL, leverage=5)["data"]["leverage"] == 5


def connector_trades(client: Any) -> None:  # noqa: ANN401 - the library has no types
    buy = {**SYMBOL, "side": "BUY", "type": "MARKET", "quantity": 0.01}
    answer = client.new_order(**buy, newClientOrderId="u-1", newOrderRespType="RESULT")
    assert answer["limit_usage"]["x-mbx-order-count-10s"] == "1"
    assert not {"avgPrice", "cumQuote"} & answer["data"].keys()
    found = client.query_order(**SYMBOL, origClientOrderId="u-1")["data"]
    assert (found["orderId"], found["status"]) == (answer["data"]["orderId"], "FILLED")
    assert Decimal(found["avgPrice"]) == PRICE
    assert client.new_order(**buy, newClientOrderId="u-1")["data"]["status"] == "NEW"
    assert Decimal(client.get_position_risk(**SYMBOL)["data"][0]["positionAmt"]) == Decimal("0.02")

    limit = {**buy, "type": "LIMIT", "price": LOW, "timeInForce": "GTC"}
    client.new_order(**limit, newClientOrderId="u-2")
    with pytest.raises(ClientError) as refused:
        client.new_order(**limit, newClientOrderId="u-2")
    assert refused.value.error_code == -4116
    named = {**SYMBOL, "origClientOrderId": "u-2"}
    assert client.get_open_orders(**named)["data"]["clientOrderId"] == "u-2"
    changed = client.modify_order(**named, side="BUY", quantity=0.02, price=LOW)["data"]
    assert changed["origQty"] == "0.020"
    assert client.cancel_order(**named)["data"]["status"] == "CANCELED"
    with pytest.raises(ClientError) as refused:
        client.cancel_order(**named)
    assert refused.value.error_code == -2011
    assert client.new_order_test(**limit)["data"]["origQty"] == "0.010"
    rows = [
        {name: str(value) for name, value in {**limit, "price": price}.items()}
        for price in (LOW, 1)
    ]
    placed, failed = client.new_batch_order(rows)["data"]
    assert (placed["status"], failed["code"]) == ("NEW", -4013)
    assert len(client.get_orders(**SYMBOL)["data"]) == 1
    client.cancel_open_orders(**SYMBOL)
    with pytest.raises(ClientError) as refused:
        client.new_order(**{**buy, "side": "SELL", "type": "STOP_MARKET"}, stopPrice=90000)
    assert refused.value.error_code == -4120


def connector_is_flat(client: Any) -> None:  # noqa: ANN401 - the library has no types
    sell = {**SYMBOL, "side": "SELL", "type": "MARKET", "quantity": 0.02, "reduceOnly": "true"}
    client.new_order(**sell)
    assert client.get_position_risk(**SYMBOL)["data"] == []
    with pytest.raises(ClientError) as refused:
        client.new_order(**sell)
    assert refused.value.error_code == -2022
    assert len(client.get_account_trades(**SYMBOL)["data"]) == 3
    assert len(client.get_all_orders(**SYMBOL)["data"]) == 5
    kinds = {row["incomeType"] for row in client.get_income_history()["data"]}
    assert kinds == {"COMMISSION"}
    money = next(row for row in client.balance()["data"] if row["asset"] == "USDT")
    assert 0 < 1_000_000 - Decimal(money["balance"]) < 10
    assert client.account()["data"]["positions"] == []
    assert client.leverage_brackets(**SYMBOL)["data"]["brackets"]
    assert client.commission_rate("BTCUSDT")["data"]["takerCommissionRate"] == "0.000500"
    assert client.new_listen_key()["data"]["listenKey"]


async def test_the_present_client_of_binance(running: RunningSandbox) -> None:
    keys = account(running, "binance", "sdk")
    configuration = ConfigurationRestAPI(
        api_key=keys.key, api_secret=keys.secret, base_path=running.base_url("binance")
    )

    def live() -> None:
        client: Any = sdk.DerivativesTradingUsdsFutures(config_rest_api=configuration)
        sdk_trades(client.rest_api)

    await asyncio.to_thread(live)


def sdk_trades(client: Any) -> None:  # noqa: ANN401 - its models differ by version
    assert client.check_server_time().data().server_time > 0
    names = {row.symbol for row in client.exchange_information().data().symbols}
    assert "BTCUSDT" in names
    assert client.order_book(**SYMBOL, limit=5).data().bids
    assert client.kline_candlestick_data(**SYMBOL, interval="1m", limit=2).data()
    assert client.change_initial_leverage(**SYMBOL, leverage=5).data().leverage == 5
    client.change_position_mode(dual_side_position="true")
    client.change_position_mode(dual_side_position="false")
    client.change_margin_type(**SYMBOL, margin_type="ISOLATED")
    buy = {**SYMBOL, "side": "BUY", "type": "MARKET", "quantity": 0.01}
    placed = client.new_order(**buy, new_client_order_id="s-1")
    assert {row.rateLimitType for row in placed.rate_limits} == {"REQUEST_WEIGHT", "ORDERS"}
    found = client.query_order(**SYMBOL, orig_client_order_id="s-1").data()
    assert (found.order_id, found.status) == (placed.data().order_id, "FILLED")
    assert Decimal(found.avg_price) == PRICE
    limit = {**buy, "type": "LIMIT", "price": float(LOW), "time_in_force": "GTC"}
    client.new_order(**limit, new_client_order_id="s-2")
    named = {**SYMBOL, "orig_client_order_id": "s-2"}
    assert client.query_current_open_order(**named).data().client_order_id == "s-2"
    assert len(client.current_all_open_orders(**SYMBOL).data()) == 1
    assert client.cancel_order(**named).data().status == "CANCELED"
    client.cancel_all_open_orders(**SYMBOL)
    stop = {**buy, "side": "SELL", "type": "STOP_MARKET", "trigger_price": 90000.0}
    client.new_algo_order(algo_type="CONDITIONAL", **stop, client_algo_id="a-1", reduce_only="true")
    assert client.query_algo_order(client_algo_id="a-1").data().algo_status == "NEW"
    assert len(client.current_all_algo_open_orders().data()) == 1
    client.cancel_algo_order(client_algo_id="a-1")
    client.cancel_all_algo_open_orders(**SYMBOL)
    held = client.position_information_v3(**SYMBOL).data()
    assert [row.position_amt for row in held] == ["0.010"]
    client.new_order(**{**buy, "side": "SELL"}, reduce_only="true")
    assert client.position_information_v3(**SYMBOL).data() == []
    assert len(client.account_trade_list(**SYMBOL).data()) == 2
    assert len(client.all_orders(**SYMBOL).data()) == 3
    for read in (
        client.futures_account_balance_v3,
        client.account_information_v3,
        client.account_information_v2,
        client.get_income_history,
        client.symbol_configuration,
        client.futures_account_configuration,
        client.query_user_rate_limit,
        client.get_current_multi_assets_mode,
        client.notional_and_leverage_brackets,
    ):
        assert read().data()
