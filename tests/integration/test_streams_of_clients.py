"""Other people's stream clients listen to the sandbox: ccxt.pro, pybit, Binance's own SDK.

Each is unchanged and told nothing but where the sandbox is. They wait for what they look at, so
nothing here sleeps; the flows run side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import ccxt.pro  # type: ignore[import-untyped]
import pybit._websocket_trading  # type: ignore[import-untyped]
import pybit.unified_trading  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_derivatives_trading_usds_futures import derivatives_trading_usds_futures as sdk

from providers.sandbox import start_sandbox
from providers.sandbox.sandbox import Credentials
from tests.integration.test_client_ccxt import turned
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from providers.sandbox import RunningSandbox

SYMBOL = "BTC/USDT:USDT"
PRICE = Decimal(100_000)
DEADLINE = 60.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=5, limits="off") as sandbox:
        for facade in sandbox.sandbox.facades.values():
            facade.engine.market.hold("BTCUSDT", PRICE)
        yield sandbox


def account(running: RunningSandbox, venue: str, name: str) -> Credentials:
    keys = Credentials(name=name, key=f"key-{name}", secret=f"secret-{name}")
    running.sandbox.add_account(venue, keys, balance=Decimal(1_000_000))
    return keys


def listening(running: RunningSandbox, name: str, least: int = 1) -> Callable[[], bool]:
    """Whether so many streams of an account are open and have subscribed to something."""

    def heard() -> bool:
        rows = running.sandbox.streams.view()
        mine = [row for row in rows if row["account"] == name and row["topics"]]
        return len(mine) >= least

    return heard


def streams(running: RunningSandbox, venue: str) -> str:
    return running.base_url(venue).replace("http", "ws", 1)


async def follow(watch: Callable[[], Awaitable[Any]], seen: list[Any]) -> None:
    """Ask again and again, as ccxt.pro wants it."""
    while True:
        found = await watch()
        seen.extend(found if isinstance(found, list) else [found])


@pytest.mark.parametrize(
    ("ccxt_id", "venue", "lot", "extra"),
    [
        ("bybit", "bybit", 0.01, {}),
        ("binanceusdm", "binance", 0.01, {}),
        ("mexc", "mexc", 100, {"openType": 1, "leverage": 5}),
    ],
)
async def test_ccxt_pro(
    running: RunningSandbox, ccxt_id: str, venue: str, lot: float, extra: dict[str, Any]
) -> None:
    keys = account(running, venue, f"pro-{venue}")
    client = getattr(ccxt.pro, ccxt_id)(
        {
            "apiKey": keys.key,
            "secret": keys.secret,
            "enableRateLimit": False,
            "options": {"defaultType": "swap"},
        }
    )
    sockets = client.urls["api"].pop("ws")
    client.urls["api"] = turned(client.urls["api"], running.base_url(venue))
    client.urls["api"]["ws"] = turned(sockets, streams(running, venue))
    orders: list[Any] = []
    trades: list[Any] = []
    balances: list[Any] = []
    positions: list[Any] = []
    async with asyncio.timeout(DEADLINE), contextlib.aclosing(_Closing(client)):
        await client.load_markets()
        tasks = [
            asyncio.create_task(follow(lambda: client.watch_orders(SYMBOL), orders)),
            asyncio.create_task(follow(lambda: client.watch_my_trades(SYMBOL), trades)),
            asyncio.create_task(follow(client.watch_balance, balances)),
        ]
        if venue != "mexc":  # which ccxt does not offer there
            tasks.append(
                asyncio.create_task(follow(lambda: client.watch_positions([SYMBOL]), positions))
            )
        await eventually(listening(running, keys.name), within=DEADLINE)
        assert (await client.watch_ticker(SYMBOL))["last"] == float(PRICE)
        book = await client.watch_order_book(SYMBOL)
        assert book["bids"][0][0] < float(PRICE) < book["asks"][0][0]
        assert (await client.watch_trades(SYMBOL))[-1]["price"] > 0
        assert (await client.watch_ohlcv(SYMBOL, "1m"))[-1][4] == float(PRICE)

        placed = await client.create_order(SYMBOL, "market", "buy", lot, None, extra)
        low = float(PRICE) * 0.98
        limit = await client.create_order(SYMBOL, "limit", "buy", lot, low, extra)
        await client.cancel_order(limit["id"], SYMBOL)

        def told() -> bool:
            ends = {row["id"]: row["status"] for row in orders}
            whole = {placed["id"]: "closed", limit["id"]: "canceled"}
            known = venue == "mexc" or any(row["contracts"] == lot for row in positions)
            return ends == whole and bool(trades) and bool(balances) and known

        await eventually(told, within=DEADLINE)
        assert [(row["order"], row["amount"]) for row in trades] == [(placed["id"], lot)]
        assert trades[0]["fee"]["cost"] > 0
        assert 0 < 1_000_000 - balances[-1]["USDT"]["total"] < 10_000
        if venue != "mexc":  # orders over a socket, which MEXC does not have
            closing = {**extra, "reduceOnly": True}
            sent = await client.create_order_ws(SYMBOL, "market", "sell", lot, None, closing)
            await eventually(
                lambda: any((o["id"], o["status"]) == (sent["id"], "closed") for o in orders),
                within=DEADLINE,
            )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Closing:
    """A ccxt client as something to close."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - the library has no types
        self._client = client

    async def aclose(self) -> None:
        await self._client.close()


async def test_pybit(running: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = account(running, "bybit", "pybit-ws")
    base = streams(running, "bybit")
    monkeypatch.setattr(pybit.unified_trading, "PRIVATE_WSS", f"{base}/v5/private")
    monkeypatch.setattr(pybit.unified_trading, "PUBLIC_WSS", f"{base}/v5/public/linear")
    monkeypatch.setattr(pybit._websocket_trading, "TRADE_WSS", f"{base}/v5/trade")
    seen: dict[str, list[Any]] = {
        name: [] for name in ("order", "execution", "wallet", "ack", "price")
    }
    signed = {
        "testnet": False,
        "api_key": keys.key,
        "api_secret": keys.secret,
        "private_auth_expire": 60,
    }

    def open_all() -> list[Any]:
        private = pybit.unified_trading.WebSocket(channel_type="private", **signed)
        private.order_stream(seen["order"].append)
        private.execution_stream(seen["execution"].append)
        private.wallet_stream(seen["wallet"].append)
        public = pybit.unified_trading.WebSocket(testnet=False, channel_type="linear")
        public.ticker_stream("BTCUSDT", seen["price"].append)
        return [private, public, pybit.unified_trading.WebSocketTrading(**signed)]

    private, public, trading = sockets = await asyncio.to_thread(open_all)
    try:
        wanted = {"order", "execution", "wallet"}
        await eventually(
            lambda: any(
                row["account"] == keys.name and wanted <= set(row["topics"])
                for row in running.sandbox.streams.view()
            ),
            within=DEADLINE,
        )
        order = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market"}
        trading.place_order(seen["ack"].append, **order, qty="0.01", orderLinkId="w-1")
        await eventually(
            lambda: bool(
                seen["ack"]
                and seen["execution"]
                and seen["price"]
                and len(seen["order"]) == len(seen["wallet"]) == 2
            ),
            within=DEADLINE,
        )
    finally:
        for socket in sockets:
            await asyncio.to_thread(socket.exit)
    assert private is not public
    rows = [row for message in seen["order"] for row in message["data"]]
    assert [(row["orderLinkId"], row["orderStatus"]) for row in rows] == [
        ("w-1", "New"),
        ("w-1", "Filled"),
    ]
    assert seen["ack"][0]["data"]["orderId"] == rows[0]["orderId"]
    assert seen["execution"][0]["data"][0]["execQty"] == "0.010"
    assert Decimal(seen["price"][0]["data"]["lastPrice"]) == PRICE


@pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning")
async def test_the_present_client_of_binance(running: RunningSandbox) -> None:
    keys = account(running, "binance", "sdk-ws")
    base = running.base_url("binance")
    signed: dict[str, Any] = {"api_key": keys.key, "api_secret": keys.secret}
    client: Any = sdk.DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(**signed, base_path=base),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=streams(running, "binance")),
        config_ws_api=ConfigurationWebSocketAPI(
            **signed, stream_url=f"{streams(running, 'binance')}/ws-fapi/v1"
        ),
    )
    started = await asyncio.to_thread(client.rest_api.start_user_data_stream)
    connection = await client.websocket_streams.create_connection()
    api = await client.websocket_api.create_connection()
    told: list[Any] = []
    marks: list[Any] = []
    try:
        user = await connection.user_data(started.data().listen_key)
        user.on("message", lambda event: told.append(event.actual_instance))
        mark = await connection.mark_price_stream("btcusdt")
        mark.on("message", marks.append)
        await eventually(listening(running, keys.name), within=DEADLINE)
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
        placed = await api.new_order(**order, new_client_order_id="a-1")
        assert placed.data().result.status == "NEW"
        await eventually(lambda: len(told) == 4 and bool(marks), within=DEADLINE)
        found = await api.query_order(symbol="BTCUSDT", orig_client_order_id="a-1")
        assert found.data().result.status == "FILLED"
    finally:
        await connection.close_connection(close_session=True)
        await api.close_connection(close_session=True)
    names = [type(event).__name__ for event in told]
    assert names == ["OrderTradeUpdate", "TradeLite", "AccountUpdate", "OrderTradeUpdate"]
    new, _, balance, filled = told
    assert (new.o.x, new.o.X, new.o.c) == ("NEW", "NEW", "a-1")
    assert (filled.o.x, filled.o.X, filled.o.z) == ("TRADE", "FILLED", "0.010")
    assert filled.o.i == placed.data().result.order_id
    assert Decimal(balance.a.P[0].pa) == Decimal("0.01")
    assert Decimal(marks[0].p) == PRICE
