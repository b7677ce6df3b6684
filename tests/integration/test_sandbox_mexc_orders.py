"""The sandbox's MEXC orders over HTTP: ids, states, look-ups, duplicates, cancels, deals."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from providers.sandbox import FaultKind, RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.mexc import encoding
from providers.sandbox.mexc.caller import MexcCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SYMBOL = "BTC_USDT"
PRICE = Decimal(100_000)


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=7, limits="off", fill_delay=0) as running:
        running.sandbox.set_price("BTCUSDT", PRICE)
        yield running


@pytest.fixture
async def control(sandbox: RunningSandbox) -> AsyncIterator[SandboxControl]:
    async with SandboxControl(sandbox.origin) as client:
        yield client


@pytest.fixture
async def caller(sandbox: RunningSandbox) -> AsyncIterator[MexcCaller]:
    credentials = sandbox.base_url("mexc"), sandbox.key("mexc"), sandbox.secret("mexc")
    async with MexcCaller(*credentials) as client:
        yield client


def body(**fields: object) -> dict[str, Any]:
    """A market order that opens a long of ten contracts, one-way and isolated."""
    usual = {
        "symbol": SYMBOL,
        "price": 0,
        "vol": 10,
        "side": 1,
        "type": 5,
        "openType": 1,
        "leverage": 5,
        "positionMode": 2,
    }
    return {name: value for name, value in {**usual, **fields}.items() if value is not None}


async def create(caller: MexcCaller, **fields: object) -> str:
    return str((await caller.write("order/create", body(**fields)))["orderId"])


async def order(caller: MexcCaller, order_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await caller.read(f"order/get/{order_id}")
    return found


async def test_a_market_order_fills(caller: MexcCaller) -> None:
    answer = await caller.write("order/create", body(externalOid="tw-0001"))
    assert set(answer) == {"orderId", "ts"}
    assert isinstance(answer["orderId"], str)
    assert 18 <= len(answer["orderId"]) <= 19
    found = await caller.read(f"order/external/{SYMBOL}/tw-0001")
    assert found == await order(caller, answer["orderId"])
    expected = {
        "orderId": answer["orderId"],
        "symbol": SYMBOL,
        "state": 3,
        "errorCode": 0,
        "externalOid": "tw-0001",
        "vol": 10,
        "dealVol": 10,
        "dealAvgPrice": PRICE,
        "side": 1,
        "orderType": 5,
        "openType": 1,
        "leverage": 5,
        "positionMode": 2,
        "category": 1,
        "feeCurrency": "USDT",
        "takerFee": Decimal("0.08"),  # 10 contracts x 0.0001 x 100000 x 0.0008
        "makerFee": 0,
        "totalFee": Decimal("0.08"),
        "reduceOnly": False,
    }
    assert {name: found[name] for name in expected} == expected
    deals = await caller.read(f"order/deal_details/{answer['orderId']}")
    assert len(deals) == 1
    assert deals[0]["isTaker"] is True
    assert (deals[0]["vol"], deals[0]["price"], deals[0]["fee"]) == (10, PRICE, Decimal("0.08"))
    listed = await caller.read("order/list/order_deals/v3", symbol=SYMBOL)
    assert [(row["id"], row["taker"]) for row in listed] == [(deals[0]["id"], True)]


async def test_numbers_are_json_numbers(sandbox: RunningSandbox, caller: MexcCaller) -> None:
    order_id = await create(caller)
    raw = (await caller.get(f"order/deal_details/{order_id}")).text
    assert '"vol":10,"price":100000,"fee":0.08,' in raw
    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"{sandbox.base_url('mexc')}/api/v1/contract/detail"
        detail = (await client.get(url, params={"symbol": SYMBOL})).text
        assert '"contractSize":0.0001,' in detail
        pepe = (await client.get(url, params={"symbol": "PEPE_USDT"})).text
        assert '"priceUnit":0.0000000001,' in pepe
        country = await client.get(f"{url}/country")
        assert len(country.json()["data"]) == len((await client.get(url)).json()["data"])


async def test_public_prices(sandbox: RunningSandbox) -> None:
    async with httpx.AsyncClient(base_url=f"{sandbox.base_url('mexc')}/api/v1/contract") as client:

        async def data(path: str) -> Any:  # noqa: ANN401 - JSON
            answer = encoding.decode((await client.get(path)).content)
            assert answer["success"], answer
            return answer["data"]

        assert isinstance(await data("/ping"), int)
        assert (await data(f"/fair_price/{SYMBOL}"))["fairPrice"] == PRICE
        assert (await data(f"/index_price/{SYMBOL}"))["indexPrice"] == PRICE
        row = await data(f"/ticker?symbol={SYMBOL}")
        assert (row["lastPrice"], row["fairPrice"]) == (PRICE, PRICE)
        assert (row["bid1"], row["ask1"]) == (Decimal("99999.9"), Decimal("100000.1"))
        assert (row["minAskPrice"], row["maxBidPrice"]) == (90_000, 110_000)
        assert {item["symbol"] for item in await data("/ticker")} >= {SYMBOL, "ETH_USDT"}
        unknown = encoding.decode((await client.get("/fair_price/NO_USDT")).content)
        assert unknown["code"] == 1001


@pytest.mark.parametrize(("variant", "kind"), [("object", dict), ("string", str), ("number", int)])
async def test_what_create_answers_is_a_switch(
    caller: MexcCaller, control: SandboxControl, variant: str, kind: type
) -> None:
    await control.set_variant("mexc", "create_reply", variant)
    answer = await caller.write("order/create", body(externalOid="a"))
    assert type(answer) is kind
    shown = answer["orderId"] if isinstance(answer, dict) else str(answer)
    assert (await caller.read(f"order/external/{SYMBOL}/a"))["orderId"] == shown


async def test_the_older_path_answers_with_the_bare_id(caller: MexcCaller) -> None:
    answer = await caller.write("order/submit", body())
    assert isinstance(answer, str)
    assert (await order(caller, answer))["state"] == 3


async def test_states_of_a_resting_order(caller: MexcCaller, control: SandboxControl) -> None:
    order_id = await create(caller, type=1, price=99_000)
    assert (await order(caller, order_id))["state"] == 2
    await control.set_price("BTCUSDT", "99000")
    found = await order(caller, order_id)
    assert (found["state"], found["dealAvgPrice"]) == (3, 99_000)
    assert (found["takerFee"], found["makerFee"]) == (0, Decimal("0.0594"))


async def test_states_follow_each_other_with_a_delay(control: SandboxControl) -> None:
    async with await start_sandbox(seed=7, limits="off", fill_delay=1, splits=2) as running:
        running.sandbox.set_price("BTCUSDT", PRICE)
        async with (
            SandboxControl(running.origin) as here,
            MexcCaller(
                running.base_url("mexc"), running.key("mexc"), running.secret("mexc")
            ) as slow,
        ):
            await here.set_clock(frozen_at_ms=running.sandbox.clock.now_ms())
            order_id = await create(slow)
            seen = [(await order(slow, order_id))["state"]]
            for _ in range(2):
                await here.set_clock(advance_ms=1000)
                found = await order(slow, order_id)
                seen.append(found["state"])
            assert seen == [1, 2, 3]
            assert found["dealVol"] == 10
            assert len(await slow.read(f"order/deal_details/{order_id}")) == 2
    assert (await control.truth()).orders == []


@pytest.mark.parametrize(
    ("fault", "fields", "state", "error", "dealt"),
    [
        ({"kind": FaultKind.REJECT_LATER, "message": "2"}, {}, 5, 2, 0),
        ({"kind": FaultKind.REJECT_LATER, "message": "no reason"}, {}, 5, 999, 0),
        ({"kind": FaultKind.PARTIAL_CANCEL, "fraction": "0.5"}, {}, 4, 21, 5),
        ({"kind": FaultKind.PARTIAL_CANCEL, "fraction": "0"}, {}, 4, 21, 0),
        (
            {"kind": FaultKind.PARTIAL_CANCEL, "fraction": "0.3"},
            {"type": 3, "price": 100_100},
            4,
            18,
            3,
        ),
        (
            {"kind": FaultKind.PARTIAL_CANCEL, "fraction": "0.3"},
            {"type": 4, "price": 100_100},
            4,
            19,
            0,
        ),
        (None, {"type": 2, "price": 100_100}, 4, 20, 0),
        (None, {"type": 3, "price": 99_000}, 4, 18, 0),
        (None, {"type": 6, "price": None}, 3, 0, 10),
    ],
)
async def test_how_orders_end(
    caller: MexcCaller,
    control: SandboxControl,
    fault: dict[str, Any] | None,
    fields: dict[str, Any],
    state: int,
    error: int,
    dealt: int,
) -> None:
    if fault:
        await control.add_fault(fault["kind"], **{k: v for k, v in fault.items() if k != "kind"})
    order_id = await create(caller, **fields)
    await control.clear_faults()
    found = await order(caller, order_id)
    assert (found["state"], found["errorCode"], found["dealVol"]) == (state, error, dealt)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"symbol": "NO_USDT"}, 1001),
        ({"symbol": None}, 600),
        ({"symbol": 5}, 600),
        ({"symbol": "EOS_USDT", "vol": 100}, 1002),
        ({"side": 5}, 2001),
        ({"side": None}, 2001),
        ({"openType": 3}, 2002),
        ({"openType": None}, 2002),
        ({"type": 7}, 2029),
        ({"type": 1, "price": 110_000.1}, 2003),
        ({"type": 1, "price": 89_999, "side": 3}, 2004),
        ({"vol": 1_000_000_000}, 2028),
        ({"vol": 390_000, "leverage": 1}, 2005),
        ({"leverage": 501}, 2006),
        ({"leverage": 0}, 2006),
        ({"leverage": None}, 2006),
        ({"leverage": 2.5}, 2006),
        ({"type": 1, "price": 0}, 2007),
        ({"type": 1, "price": None}, 2007),
        ({"type": 1, "price": -5}, 2007),
        ({"side": 4}, 2009),
        ({"side": 2}, 2009),
        ({"reduceOnly": True}, 2009),
        ({"vol": 0}, 2011),
        ({"vol": None}, 2011),
        ({"vol": "10"}, 600),
        ({"vol": True}, 600),
        ({"vol": 1.5}, 2015),
        ({"symbol": "SUI_USDT", "vol": 15}, 2015),
        ({"type": 1, "price": 99_000.05}, 2015),
        ({"externalOid": "x" * 33}, 2030),
        ({"takeProfitPrice": 90_000}, 5003),
        ({"stopLossPrice": 110_000}, 5003),
        ({"positionMode": 1}, 7002),
        ({"symbol": "PEPE_USDT", "vol": 100, "openType": 2}, 9070),
        ({"symbol": "OP_USDT", "vol": 100, "openType": 1}, 9071),
    ],
)
async def test_refusals(
    caller: MexcCaller, control: SandboxControl, fields: dict[str, Any], code: int
) -> None:
    # A float here is what a client's JSON says; the sandbox reads its digits, not a double.
    asked = {k: Decimal(str(v)) if isinstance(v, float) else v for k, v in fields.items()}
    before = await caller.read("position/leverage", symbol=SYMBOL)
    answer = (await caller.post("order/create", body(**asked))).json()
    assert (answer["success"], answer["code"]) == (False, code)
    assert answer["message"]
    assert "data" not in answer
    assert (await control.truth()).orders == []
    assert await caller.read("position/leverage", symbol=SYMBOL) == before


async def test_market_price_may_be_required(caller: MexcCaller, control: SandboxControl) -> None:
    assert await caller.code("order/create", body(price=None)) == 0
    await control.set_variant("mexc", "market_price", "required")
    assert await caller.code("order/create", body(price=None)) == 600
    assert await caller.code("order/create", body(price=0)) == 0


async def test_an_unknown_order_is_a_success_without_data(
    caller: MexcCaller, control: SandboxControl
) -> None:
    paths = (f"order/external/{SYMBOL}/nobody", "order/get/812345678901234567")
    for path in paths:
        assert (await caller.get(path)).json() == {"success": True, "code": 0}
    await control.set_variant("mexc", "not_found", "2040")
    for path in paths:
        assert (await caller.get(path)).json()["code"] == 2040
    await create(caller, externalOid="a")
    assert (await caller.get("order/external/ETH_USDT/a")).json()["code"] == 2040


async def test_a_repeated_id_is_refused(caller: MexcCaller, control: SandboxControl) -> None:
    order_id = await create(caller, externalOid="a")
    assert await caller.code("order/create", body(externalOid="a")) == 2042
    assert (await caller.read(f"order/external/{SYMBOL}/a"))["orderId"] == order_id
    report = await control.truth()
    assert (len(report.orders), report.counters["duplicates_refused"]) == (1, {"mexc": 1})


async def test_a_repeated_id_may_answer_with_the_first_order(
    caller: MexcCaller, control: SandboxControl
) -> None:
    await control.set_variant("mexc", "duplicate_ids", "existing")
    first = await create(caller, externalOid="a")
    assert await create(caller, externalOid="a", vol=20) == first
    assert len((await control.truth()).orders) == 1


async def test_a_repeated_id_may_make_a_second_order(
    caller: MexcCaller, control: SandboxControl
) -> None:
    await control.set_variant("mexc", "duplicate_ids", "accepted")
    first, second = [await create(caller, externalOid="a") for _ in range(2)]
    assert first != second
    assert (await caller.read(f"order/external/{SYMBOL}/a"))["orderId"] == second
    assert (await caller.read("position/open_positions"))[0]["holdVol"] == 20


async def test_a_repeated_id_may_be_rejected_later(
    caller: MexcCaller, control: SandboxControl
) -> None:
    await control.set_variant("mexc", "duplicate_ids", "rejected_later")
    await create(caller, externalOid="a")
    found = await order(caller, await create(caller, externalOid="a"))
    assert (found["state"], found["errorCode"], found["dealVol"]) == (5, 23, 0)
    assert (await caller.read("position/open_positions"))[0]["holdVol"] == 10


async def test_cancels_answer_item_by_item(caller: MexcCaller) -> None:
    filled = await create(caller)
    resting = await create(caller, type=1, price=90_000, externalOid="r")
    unknown = 812345678901234567
    rows = await caller.write("order/cancel", [int(resting), filled, unknown])
    assert [(row["orderId"], row["errorCode"]) for row in rows] == [
        (int(resting), 0),
        (int(filled), 2041),
        (unknown, 2040),
    ]
    found = await order(caller, resting)
    assert (found["state"], found["errorCode"]) == (4, 15)
    assert (await caller.write("order/cancel", [resting]))[0]["errorCode"] == 2041
    assert await caller.code("order/cancel", []) == 600
    assert await caller.code("order/cancel", ["x"]) == 600
    assert await caller.code("order/cancel", [1] * 51) == 2013


@pytest.mark.parametrize("path", ["batch_cancel_with_external", "cancel_with_external"])
async def test_cancels_by_client_id(caller: MexcCaller, path: str) -> None:
    resting = await create(caller, type=1, price=90_000, externalOid="r")
    asked = [
        {"symbol": SYMBOL, "externalOid": "r"},
        {"symbol": SYMBOL, "externalOid": "nobody"},
        {"symbol": "ETH_USDT", "externalOid": "r"},
    ]
    rows = await caller.write(f"order/{path}", asked)
    assert [(row["externalOid"], row["orderId"], row["errorCode"]) for row in rows] == [
        ("r", int(resting), 0),
        ("nobody", None, 2040),
        ("r", None, 2040),
    ]
    await create(caller, type=1, price=90_000, externalOid="s")
    single = await caller.write(f"order/{path}", {"symbol": SYMBOL, "externalOid": "s"})
    assert [row["errorCode"] for row in single] == [0]


async def test_cancel_all(caller: MexcCaller) -> None:
    await create(caller, type=1, price=90_000)
    eth = await create(caller, symbol="ETH_USDT", type=1, price=3000, vol=1)
    await caller.write("order/cancel_all", {"symbol": SYMBOL})
    rows = await caller.read("order/list/open_orders")
    assert [row["orderId"] for row in rows] == [eth]
    await caller.write("order/cancel_all", b'""')
    assert await caller.read("order/list/open_orders") == []


async def test_open_orders(caller: MexcCaller) -> None:
    ids = [await create(caller, type=1, price=90_000 + n) for n in range(3)]
    eth = await create(caller, symbol="ETH_USDT", type=1, price=3000, vol=1)

    async def listed(path: str, **params: object) -> list[str]:
        return [row["orderId"] for row in await caller.read(path, **params)]

    assert await listed("order/list/open_orders") == [eth, *reversed(ids)]
    assert await listed("order/list/open_orders", page_num=2, page_size=3) == [ids[0]]
    assert await listed(f"order/list/open_orders/{SYMBOL}") == list(reversed(ids))
    assert await listed("order/list/open_orders", symbol="ETH_USDT") == [eth]
    too_large = await caller.get("order/list/open_orders", page_size=101)
    assert too_large.json()["code"] == 600


async def test_history(caller: MexcCaller, control: SandboxControl) -> None:
    filled = await create(caller)
    resting = await create(caller, type=1, price=90_000)
    canceled = await create(caller, type=3, price=90_000)
    path = "order/list/history_orders"

    async def listed(**params: object) -> list[str]:
        return [row["orderId"] for row in await caller.read(path, **params)]

    assert await listed() == [canceled, filled]
    assert await listed(states="3") == [filled]
    assert await listed(states="2,4", symbol=SYMBOL) == [canceled, resting]
    assert await listed(symbol="ETH_USDT") == []
    await control.set_clock(advance_ms=8 * 86_400_000)
    assert (await caller.get(path)).json()["code"] == 513
    await control.set_clock(offset_ms=0)
    wide = await caller.get(path, start_time=1, end_time=1 + 91 * 86_400_000)
    assert wide.json()["code"] == 600
    assert (await caller.get(path, states="6")).json()["code"] == 600
    await control.set_variant("mexc", "history_rows", "resultList")
    data = await caller.read(path)
    assert [row["orderId"] for row in data["resultList"]] == [canceled, filled]
    assert data["totalCount"] == 2


async def test_many_at_once(caller: MexcCaller) -> None:
    ids = [await create(caller, externalOid=f"m{n}") for n in range(2)]
    rows = await caller.read("order/batch_query", order_ids=f"{ids[0]},{ids[1]},5")
    assert [row["orderId"] for row in rows] == ids
    asked = [{"symbol": SYMBOL, "externalOid": name} for name in ("m1", "nobody", "m0")]
    rows = await caller.write("order/batch_query_with_external", asked)
    assert [row["externalOid"] for row in rows] == ["m1", "m0"]
    too_many = await caller.get("order/batch_query", order_ids=",".join(["1"] * 51))
    assert too_many.json()["code"] == 2034
    assert await caller.code("order/batch_query_with_external", asked * 17) == 2034


async def test_batch_placing(caller: MexcCaller) -> None:
    first = await create(caller, externalOid="a")
    asked = [body(externalOid="a"), body(externalOid="b"), body(externalOid="c", vol=0)]
    rows = await caller.write("order/submit_batch", asked)
    assert [(row["externalOid"], row["errorCode"]) for row in rows] == [
        ("a", 0),
        ("b", 0),
        ("c", 2011),
    ]
    assert rows[0]["orderId"] == first
    assert await caller.code("order/submit_batch", [body()] * 51) == 2014


async def test_amending(caller: MexcCaller) -> None:
    resting = await create(caller, type=1, price=90_000)
    assert (
        await caller.write(
            "order/change_limit_order", {"orderId": resting, "price": 91_000, "vol": 20}
        )
        == resting
    )
    found = await order(caller, resting)
    assert (found["price"], found["vol"], found["state"]) == (91_000, 20, 2)
    path = "order/change_limit_order"
    assert await caller.code(path, {"orderId": 5, "price": 1, "vol": 1}) == 2040
    assert await caller.code(path, {"orderId": resting, "price": 120_000}) == 2003
    await caller.write("order/cancel", [resting])
    assert await caller.code(path, {"orderId": resting, "price": 92_000, "vol": 1}) == 2041


async def test_hidden_orders(caller: MexcCaller, control: SandboxControl) -> None:
    await control.add_fault(FaultKind.HIDE, endpoint="order/create", ms=60_000, count=1)
    order_id = await create(caller, externalOid="h", type=1, price=90_000)
    lookups = (f"order/external/{SYMBOL}/h", f"order/get/{order_id}")
    for path in lookups:
        assert (await caller.get(path)).json() == {"success": True, "code": 0}
    assert await caller.read("order/list/open_orders") == []
    # Rules of one look-up only: the order exists, this answer denies it.
    order_id = await create(caller, externalOid="v")
    await control.add_fault(FaultKind.HIDE, endpoint="order/external", ms=1, count=1)
    path = f"order/external/{SYMBOL}/v"
    assert await caller.read(path) is None
    assert (await caller.read(path))["orderId"] == order_id


async def test_faults_know_symbol_and_client_id(
    caller: MexcCaller, control: SandboxControl
) -> None:
    await control.add_fault(
        FaultKind.SERVER_ERROR,
        venue="mexc",
        symbol="BTCUSDT",
        client_order_id_prefix="lost-",
        execute=True,
        status=502,
    )
    assert await caller.code("order/create", body(externalOid="kept-1")) == 0
    assert (await caller.post("order/create", body(externalOid="lost-1"))).status_code == 502
    found = await caller.post(
        "order/batch_query_with_external", [{"symbol": SYMBOL, "externalOid": "lost-1"}]
    )
    assert found.status_code == 502
    assert [row["client_order_id"] for row in (await control.truth()).orders] == [
        "kept-1",
        "lost-1",
    ]


async def test_an_order_may_have_to_be_worth_something(
    caller: MexcCaller, control: SandboxControl
) -> None:
    small = body(symbol="ADA_USDT", vol=1)
    assert await caller.code("order/create", small) == 0
    await control.set_variant("mexc", "least_value", "5")
    assert await caller.code("order/create", small) == 7008
    close = body(symbol="ADA_USDT", vol=1, side=4, reduceOnly=True)
    assert await caller.code("order/create", close) == 0


PLAN = {"triggerType": 2, "executeCycle": 1, "orderType": 5, "trend": 1}


async def guarded(caller: MexcCaller, **fields: object) -> int:
    """A position of ten contracts, guarded afterwards; the guard's number."""
    await create(caller)
    (held,) = await caller.read("position/open_positions")
    prices = {"takeProfitPrice": 110_000, "stopLossPrice": 90_000, "vol": 4}
    wanted = {"positionId": held["positionId"], **prices, **fields}
    answer = await caller.write("stoporder/place", {k: v for k, v in wanted.items() if v})
    return int(answer["id"])


async def volume(caller: MexcCaller) -> int:
    rows = await caller.read("position/open_positions")
    return int(rows[0]["holdVol"]) if rows else 0


@pytest.mark.parametrize(("price", "side"), [("110000", 1), ("89000", 2)])
async def test_part_of_a_position_is_guarded(
    caller: MexcCaller, control: SandboxControl, price: str, side: int
) -> None:
    number = await guarded(caller)
    (row,) = await caller.read("stoporder/open_orders", symbol=SYMBOL)
    assert (row["id"], row["state"], row["vol"], row["triggerSide"]) == (number, 1, 4, 0)
    assert (row["takeProfitPrice"], row["stopLossPrice"]) == (110_000, 90_000)
    assert await caller.read("order/list/open_orders") == []
    assert await caller.read("planorder/list/orders") == []
    await control.set_price("BTCUSDT", price)
    assert await volume(caller) == 6
    (row,) = await caller.read("stoporder/list/orders", is_finished=1)
    assert (row["state"], row["triggerSide"], row["realityVol"]) == (3, side, 4)


async def test_a_guard_is_changed_and_cancelled(
    caller: MexcCaller, control: SandboxControl
) -> None:
    number = await guarded(caller, vol=0)
    change = {"stopPlanOrderId": number, "stopLossPrice": 80_000}
    await caller.write("stoporder/change_plan_price", change)
    await control.set_price("BTCUSDT", "89000")
    assert await volume(caller) == 10
    await caller.write("stoporder/cancel", [{"stopPlanOrderId": number}])
    assert await caller.code("stoporder/cancel", [{"stopPlanOrderId": number}]) == 2040
    await control.set_price("BTCUSDT", "79000")
    assert await volume(caller) == 10
    assert await caller.code("stoporder/place", {"positionId": 1, "stopLossPrice": 1}) == 2009


async def test_a_trigger_order_waits_beside_the_book(
    caller: MexcCaller, control: SandboxControl
) -> None:
    await create(caller)
    close = body(side=4, **PLAN)
    number = await caller.write("planorder/place", {**close, "triggerPrice": 99_000})
    other = await caller.write("planorder/place/v2", {**close, "triggerPrice": "98000.5"})
    assert isinstance(number, int)
    waiting = await caller.read("planorder/list/orders", symbol=SYMBOL, states="1")
    assert [(row["id"], row["triggerPrice"]) for row in waiting] == [
        (str(other), Decimal("98000.5")),
        (str(number), 99_000),
    ]
    await caller.write("order/cancel_all", {"symbol": SYMBOL})
    assert await caller.read("order/list/open_orders") == []
    await caller.write("planorder/cancel", [{"symbol": SYMBOL, "orderId": other}])
    assert await caller.code("planorder/cancel", [{"symbol": SYMBOL, "orderId": other}]) == 2040
    await control.set_price("BTCUSDT", "99000")
    assert await caller.read("position/open_positions") == []
    states = {row["id"]: row["state"] for row in await caller.read("planorder/list/orders")}
    assert states == {str(number): 3, str(other): 2}
    assert (await caller.read(f"order/get/{number}"))["state"] == 3


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"triggerPrice": 0}, 3004),
        ({"triggerPrice": "soon"}, 600),
        ({"triggerType": 3}, 600),
        ({"executeCycle": 9}, 600),
        ({"orderType": 6}, 2029),
        ({"trend": 4}, 600),
    ],
)
async def test_what_is_wrong_with_a_trigger_order(
    caller: MexcCaller, wrong: dict[str, Any], code: int
) -> None:
    asked = {**body(side=1), **PLAN, "triggerPrice": 99_000, **wrong}
    assert await caller.code("planorder/place", asked) == code
    await caller.write("planorder/cancel_all", {})
    assert await caller.read("planorder/list/orders") == []


async def test_attached_protection_closes_the_position(
    caller: MexcCaller, control: SandboxControl
) -> None:
    await create(caller, takeProfitPrice=101_000, stopLossPrice=99_000)
    await control.set_price("BTCUSDT", "101000")
    assert await caller.read("position/open_positions") == []
    latest = (await caller.read("order/list/history_orders"))[0]
    assert (latest["side"], latest["state"], latest["profit"]) == (4, 3, 1)
