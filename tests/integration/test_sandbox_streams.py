"""The sandbox's WebSockets by hand: listen keys, routes, what faults do, what a cut loses."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest

from providers.sandbox import RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.binance.caller import BinanceCaller
from providers.sandbox.binance.gate import signature as binance_signature
from providers.sandbox.bybit.gate import signature as bybit_signature
from providers.sandbox.caller import BybitCaller
from providers.sandbox.mexc.caller import MexcCaller
from providers.sandbox.mexc.gate import signature as mexc_signature

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOUR_MS = 3_600_000
DEADLINE = 30.0
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
UPDATE = "ORDER_TRADE_UPDATE"


class Ear:
    """A WebSocket that is read with a deadline."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self) -> dict[str, Any]:
        """The next text."""
        async with asyncio.timeout(DEADLINE):
            message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        found: dict[str, Any] = orjson.loads(message.data)
        return found

    async def ask(self, message: object) -> dict[str, Any]:
        """What is answered."""
        await self.socket.send_str(orjson.dumps(message).decode())
        return await self.next()

    async def ends(self) -> bool:
        """Whether the connection breaks without another text."""
        async with asyncio.timeout(DEADLINE):
            message = await self.socket.receive()
        return message.type is not aiohttp.WSMsgType.TEXT


class Listeners:
    """Opens WebSockets of one sandbox."""

    def __init__(self, running: RunningSandbox, http: aiohttp.ClientSession) -> None:
        self.running = running
        self._http = http

    async def open(self, venue: str, path: str) -> Ear:
        return Ear(await self._http.ws_connect(f"{self.running.base_url(venue)}{path}"))


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=7, fill_delay=0, limits="off") as running:
        yield running


@pytest.fixture
async def control(sandbox: RunningSandbox) -> AsyncIterator[SandboxControl]:
    async with SandboxControl(sandbox.origin) as client:
        await client.set_price("BTCUSDT", "100000")
        yield client


@pytest.fixture
async def listeners(sandbox: RunningSandbox) -> AsyncIterator[Listeners]:
    async with aiohttp.ClientSession() as http:
        yield Listeners(sandbox, http)


@pytest.fixture
async def binance(sandbox: RunningSandbox) -> AsyncIterator[BinanceCaller]:
    base, key, secret = (
        getattr(sandbox, part)("binance") for part in ("base_url", "key", "secret")
    )
    async with BinanceCaller(base, key, secret) as caller:
        yield caller


async def listen_key(sandbox: RunningSandbox, verb: str = "POST") -> str:
    url = f"{sandbox.base_url('binance')}/fapi/v1/listenKey"
    headers = {"X-MBX-APIKEY": sandbox.key("binance")}
    async with (
        aiohttp.ClientSession() as http,
        http.request(verb, url, headers=headers) as response,
    ):
        return str((await response.json()).get("listenKey", ""))


async def buy(binance: BinanceCaller, client_id: str) -> None:
    order = {**BUY, "newClientOrderId": client_id}
    await binance.ask("POST", "v1/order", **order)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/private/ws/{key}", True),
        ("/private/ws?listenKey={key}", True),
        (f"/private/ws?listenKey={{key}}&events=ACCOUNT_UPDATE/{UPDATE}", True),
        ("/private/stream?streams={key}", True),
        ("/ws/{key}", False),
        ("/public/ws/{key}", False),
        ("/private/ws/0123456789abcdef", False),
    ],
)
async def test_user_data_comes_over_private_only(
    sandbox: RunningSandbox,
    listeners: Listeners,
    binance: BinanceCaller,
    path: str,
    told: bool,  # noqa: FBT001 - a table column
) -> None:
    key = await listen_key(sandbox)
    ear = await listeners.open("binance", path.format(key=key))
    await buy(binance, "r-1")
    first = await ear.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    if not told:
        assert first["id"] == 1  # what was told would have come before
        return
    event = first.get("data", first)
    assert (event["e"], event["o"]["c"], event["o"]["X"]) == (UPDATE, "r-1", "NEW")
    rest = [await ear.next() for _ in range(2 if "events" in path else 3)]
    assert rest[-1].get("data", rest[-1])["o"]["X"] == "FILLED"


async def test_unrouted_paths_can_be_made_to_tell_all(
    sandbox: RunningSandbox, control: SandboxControl, listeners: Listeners, binance: BinanceCaller
) -> None:
    await control.set_variant("binance", "unrouted_streams", "all")
    ear = await listeners.open("binance", f"/ws/{await listen_key(sandbox)}")
    await buy(binance, "u-1")
    assert (await ear.next())["e"] == UPDATE


async def test_a_listen_key_dies_unless_kept(
    sandbox: RunningSandbox, control: SandboxControl, listeners: Listeners
) -> None:
    key = await listen_key(sandbox)
    ear = await listeners.open("binance", f"/private/ws/{key}")
    await control.set_clock(advance_ms=HOUR_MS - 60_000)
    assert await listen_key(sandbox, "PUT") == key
    await control.set_clock(advance_ms=HOUR_MS - 60_000)
    assert (await control.streams())[0]["account"] == "main"
    await control.set_clock(advance_ms=60_000)
    event = await ear.next()
    assert (event["e"], event["listenKey"]) == ("listenKeyExpired", key)
    assert await listen_key(sandbox) != key


async def test_a_change_of_leverage_is_told(
    sandbox: RunningSandbox, listeners: Listeners, binance: BinanceCaller
) -> None:
    ear = await listeners.open("binance", f"/private/ws/{await listen_key(sandbox)}")
    for leverage in ("7", "7"):
        await binance.ask("POST", "v1/leverage", symbol="BTCUSDT", leverage=leverage)
    event = await ear.next()
    assert (event["e"], event["ac"]) == ("ACCOUNT_CONFIG_UPDATE", {"s": "BTCUSDT", "l": 7})
    assert (await ear.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1}))["id"] == 1


async def test_orders_over_a_socket_suffer_the_faults_of_any_request(
    sandbox: RunningSandbox, control: SandboxControl, listeners: Listeners
) -> None:
    key, secret = sandbox.key("binance"), sandbox.secret("binance")
    api = await listeners.open("binance", "/ws-fapi/v1")
    order: dict[str, Any] = {**BUY, "apiKey": key, "timestamp": time.time_ns() // 1_000_000}

    def signed(client_id: str) -> dict[str, Any]:
        params = {**order, "newClientOrderId": client_id}
        text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
        return {**params, "signature": binance_signature(secret, text.encode())}

    answer = await api.ask({"id": "1", "method": "order.place", "params": signed("s-1")})
    assert (answer["status"], answer["result"]["clientOrderId"]) == (200, "s-1")
    assert [row["count"] for row in answer["rateLimits"]] == [0, 1, 1]
    await control.add_fault("answer", endpoint="POST order", code="-1008", count=1)
    answer = await api.ask({"id": "2", "method": "order.place", "params": signed("s-2")})
    assert (answer["status"], answer["error"]["code"]) == (503, -1008)
    await control.add_fault("drop_after", endpoint="POST order", count=1)
    await api.socket.send_str(
        orjson.dumps({"id": "3", "method": "order.place", "params": signed("s-3")}).decode()
    )
    assert await api.ends()
    accepted = [row["client_order_id"] for row in (await control.truth()).orders]
    assert accepted == ["s-1", "s-3"]


async def test_a_conditional_order_is_told_from_placing_to_the_end(
    sandbox: RunningSandbox, control: SandboxControl, listeners: Listeners, binance: BinanceCaller
) -> None:
    key = await listen_key(sandbox)
    ear = await listeners.open("binance", f"/private/ws?listenKey={key}&events=ALGO_UPDATE")
    await buy(binance, "c-1")
    stop = {**BUY, "side": "SELL", "type": "STOP_MARKET", "triggerPrice": "99000"}
    more = {"algoType": "CONDITIONAL", "reduceOnly": "true", "clientAlgoId": "stop-1"}
    await binance.ask("POST", "v1/algoOrder", **stop, **more)
    assert (await ear.next())["o"]["X"] == "NEW"
    await control.set_price("BTCUSDT", "98000")
    states = [(await ear.next())["o"] for _ in range(2)]
    assert {row["caid"] for row in states} == {"stop-1"}
    assert states[-1]["X"] == "FINISHED"
    assert states[-1]["aq"] == "0.010"


async def test_a_stream_is_cut_and_nothing_is_told_again(
    sandbox: RunningSandbox, control: SandboxControl, listeners: Listeners, binance: BinanceCaller
) -> None:
    path = f"/private/ws?listenKey={await listen_key(sandbox)}&events={UPDATE}"
    ear = await listeners.open("binance", path)
    await control.add_fault("stream_cut", venue="binance", endpoint=UPDATE, after=1, count=1)
    await buy(binance, "d-1")
    assert (await ear.next())["o"]["X"] == "NEW"
    assert await ear.ends()
    await control.add_fault("drop_before", endpoint="stream")
    with pytest.raises(aiohttp.ClientError):
        await listeners.open("binance", path)
    assert (await control.faults())["injected"].keys() == {"stream_cut", "drop_before"}
    await control.clear_faults()
    again = await listeners.open("binance", path)
    await buy(binance, "d-2")
    assert (await again.next())["o"]["c"] == "d-2"
    assert await control.cut_streams("binance") == 1
    assert (await again.next())["o"]["X"] == "FILLED"
    assert await again.ends()


async def test_the_stream_may_know_later_than_look_ups_or_before(
    sandbox: RunningSandbox, control: SandboxControl, listeners: Listeners
) -> None:
    key, secret = sandbox.key(), sandbox.secret()
    ear = await listeners.open("bybit", "/v5/private")
    expires = str(time.time_ns() // 1_000_000 + 60_000)
    auth = [key, expires, bybit_signature(secret, f"GET/realtime{expires}", "", "", "")]
    assert (await ear.ask({"op": "auth", "args": auth}))["success"]
    assert (await ear.ask({"op": "subscribe", "args": ["order", "execution"]}))["success"]
    assert (await ear.ask({"op": "ping"}))["op"] == "pong"
    order = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.010"}
    query = {"category": "linear", "symbol": "BTCUSDT"}
    async with BybitCaller(sandbox.base_url(), key, secret) as caller:
        await control.add_fault("stream_delay", endpoint="execution", ms=200, count=1)
        await caller.write("/v5/order/create", **order, orderLinkId="l-1")
        found = await caller.read("/v5/order/realtime", **query, orderLinkId="l-1")
        assert found["list"][0]["orderStatus"] == "Filled"
        topics = [(await ear.next())["topic"] for _ in range(3)]
        assert topics == ["order", "order", "execution"]
        await control.add_fault("hide", endpoint="order/create", ms=60_000)
        await caller.write("/v5/order/create", **order, orderLinkId="l-2")
        assert (await ear.next())["data"][0]["orderLinkId"] == "l-2"
        found = await caller.read("/v5/order/realtime", **query, orderLinkId="l-2")
        assert found["list"] == []


async def test_mexc_tells_after_a_login(
    sandbox: RunningSandbox, control: SandboxControl, listeners: Listeners
) -> None:
    key, secret = sandbox.key("mexc"), sandbox.secret("mexc")
    ear = await listeners.open("mexc", "/edge")
    assert (await ear.ask({"method": "ping"}))["channel"] == "pong"
    wanted = {"filters": [{"filter": "order"}, {"filter": "order.deal"}]}
    refused = await ear.ask({"method": "personal.filter", "param": wanted})
    assert refused["channel"] == "rs.error"
    stamp = str(time.time_ns() // 1_000_000)
    login = {"apiKey": key, "reqTime": stamp, "signature": mexc_signature(secret, key, stamp, "")}
    wrong = {**login, "signature": login["signature"][::-1]}
    assert (await ear.ask({"method": "login", "param": wrong}))["channel"] == "rs.error"
    answer = await ear.ask({"method": "login", "param": login})
    assert (answer["channel"], answer["data"]) == ("rs.login", "success")
    assert (await ear.ask({"method": "personal.filter", "param": wanted}))["data"] == "success"
    order = {"symbol": "BTC_USDT", "price": 0, "vol": 10, "side": 1, "type": 5, "openType": 1}
    more = {"leverage": 5, "positionMode": 2, "externalOid": "m-1"}
    await control.add_fault("stream_duplicate", endpoint="order.deal", count=1)
    async with MexcCaller(sandbox.base_url("mexc"), key, secret) as caller:
        await caller.write("order/create", {**order, **more})
    frames = [await ear.next() for _ in range(4)]
    channels = [frame["channel"].removeprefix("push.personal.") for frame in frames]
    assert sorted(channels) == ["order", "order", "order.deal", "order.deal"]
    deals = [f["data"] for f in frames if f["channel"].endswith("deal")]
    assert deals[0] == deals[1]
    assert (deals[0]["externalOid"], deals[0]["vol"]) == ("m-1", 10)
    states = [f["data"]["state"] for f in frames if f["channel"].endswith("personal.order")]
    assert states == [1, 3]
    ticker = await ear.ask({"method": "sub.ticker", "param": {"symbol": "BTC_USDT"}})
    assert ticker["channel"] == "rs.sub.ticker"
    assert (await ear.next())["data"]["lastPrice"] == 100_000
