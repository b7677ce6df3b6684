"""The sandbox's Binance gate over HTTP: signatures, age, keys, limits, bans and their headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest

from providers.sandbox import RunningSandbox, SandboxControl, start_sandbox
from providers.sandbox.binance.caller import BinanceCaller, signed
from providers.sandbox.binance.gate import signature
from providers.sandbox.binance.limits import GRACE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VENUE = "binance"
KEY = "TESTKEY123456"
SECRET = "testsecret-abcdef-0123456789"
FROZEN = 1_700_000_000_000
DOCS_KEY = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83"
DOCS_SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
DOCS_FROZEN = 1_591_702_613_943
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Vector(NamedTuple):
    """A request whose signature is known, and what it answers when nothing was placed before."""

    method: str
    path: str
    signed: str
    signature: str
    code: int


TAIL = f"recvWindow=5000&timestamp={FROZEN}"
BUY = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&newClientOrderId=tw-0001"

# Produced with Binance's connector and SDK under a stopped clock.
VECTORS = {
    "N5": Vector(
        "POST",
        "order",
        f"{BUY}&newOrderRespType=RESULT&{TAIL}",
        "28fb803eec7341abbb0ed7ab58af116b42bc2ff2a364ba49ca1826cacccc6147",
        0,
    ),
    "N6": Vector(
        "GET",
        "order",
        f"symbol=BTCUSDT&origClientOrderId=tw-0001&{TAIL}",
        "7bef56ab68c3fbe19b30a553ee8344829448caafe6ec2cbfa8cd9f7c7f86b6ec",
        -2013,
    ),
    "N7": Vector(
        "POST",
        "leverage",
        f"symbol=BTCUSDT&leverage=5&{TAIL}",
        "db3680d622dc458a73df77bc0540a7142ed8b635b8a034cdf6f213e80a7021ea",
        0,
    ),
    "N8": Vector(
        "GET",
        "order",
        f"symbol=BTCUSDT&origClientOrderId=a%3Ab%2Fc.d_e-f&{TAIL}",
        "08b1d94999b151ab0fa953454d3f34afb883eb5ed949e83ec4c4e43abbe1f83d",
        -2013,
    ),
    "N9": Vector(
        "GET",
        "accountConfig",
        TAIL,
        "bc0d2f06c166f7e219e52347b57b4cb26ac4f4e3df804d1b3cde792a3f766cb6",
        0,
    ),
}

HEAD = f"timestamp={FROZEN}"

# Produced with ccxt under a stopped clock, which sends a POST as a form.
FORMS = {
    "N10": Vector(
        "POST",
        "order",
        f"{HEAD}&{BUY}&newOrderRespType=RESULT&recvWindow=5000",
        "00c0e5dfc83668298d7de96f9eb65d6a429dd820e6682b35711111f94a9e1bfc",
        0,
    ),
    "N12": Vector(
        "POST",
        "leverage",
        f"{HEAD}&symbol=BTCUSDT&leverage=5&recvWindow=5000",
        "c012c3a6b91bcb8420921f6f893798dde29a2a708b7bb6808a4d11666d028ee7",
        0,
    ),
}


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with await start_sandbox(seed=7, fill_delay=0) as running:
        yield running


@pytest.fixture
async def control(sandbox: RunningSandbox) -> AsyncIterator[SandboxControl]:
    async with SandboxControl(sandbox.origin) as client:
        yield client


@pytest.fixture
async def caller(sandbox: RunningSandbox) -> AsyncIterator[BinanceCaller]:
    async with BinanceCaller(
        sandbox.base_url(VENUE), sandbox.key(VENUE), sandbox.secret(VENUE)
    ) as client:
        yield client


@pytest.fixture
async def frozen(sandbox: RunningSandbox, control: SandboxControl) -> RunningSandbox:
    await control.add_account(VENUE, "vectors", key=KEY, secret=SECRET)
    await control.set_clock(frozen_at_ms=FROZEN)
    return sandbox


async def send(
    sandbox: RunningSandbox, method: str, path: str, query: str = "", form: str = "", key: str = KEY
) -> httpx.Response:
    """These very bytes."""
    url = f"{sandbox.base_url(VENUE)}/fapi/v1/{path}"
    headers = {"X-MBX-APIKEY": key} if key else {}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(
            method,
            f"{url}?{query}" if query else url,
            content=form.encode() if form else None,
            headers=headers | FORM if form else headers,
        )


def code_of(response: httpx.Response) -> int:
    answer = response.json()
    if response.is_success:
        return 0
    assert set(answer) == {"code", "msg"}
    return int(answer["code"])


def sign(text: str) -> str:
    return f"{text}&signature={signature(SECRET, text.encode())}"


# -- signatures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VECTORS)
async def test_known_signatures_are_accepted(frozen: RunningSandbox, name: str) -> None:
    known = VECTORS[name]
    query = f"{known.signed}&signature={known.signature}"
    assert code_of(await send(frozen, known.method, known.path, query)) == known.code


@pytest.mark.parametrize("name", FORMS)
async def test_known_signatures_of_forms_are_accepted(frozen: RunningSandbox, name: str) -> None:
    known = FORMS[name]
    form = f"{known.signed}&signature={known.signature}"
    assert code_of(await send(frozen, known.method, known.path, form=form)) == known.code


async def test_the_published_order_is_accepted(
    sandbox: RunningSandbox, control: SandboxControl
) -> None:
    await control.add_account(VENUE, "docs", key=DOCS_KEY, secret=DOCS_SECRET)
    await control.set_clock(frozen_at_ms=DOCS_FROZEN)
    query = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
        f"&timestamp={DOCS_FROZEN}"
        "&signature=3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    )
    response = await send(sandbox, "POST", "order", query, key=DOCS_KEY)
    assert code_of(response) == 0
    assert (response.json()["price"], response.json()["origQty"]) == ("9000", "1.000")


async def test_the_published_order_in_query_and_form_is_accepted(
    sandbox: RunningSandbox, control: SandboxControl
) -> None:
    await control.add_account(VENUE, "docs", key=DOCS_KEY, secret=DOCS_SECRET)
    await control.set_clock(frozen_at_ms=DOCS_FROZEN)
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
    form = f"quantity=1&price=9000&recvWindow=5000&timestamp={DOCS_FROZEN}"
    good = "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"
    separated = signature(DOCS_SECRET, f"{query}&{form}".encode())
    for value, code in ((good, 0), (separated, -1022)):
        response = await send(
            sandbox, "POST", "order", query, f"{form}&signature={value}", key=DOCS_KEY
        )
        assert code_of(response) == code


@pytest.mark.parametrize("name", VECTORS)
async def test_a_changed_request_is_refused(frozen: RunningSandbox, name: str) -> None:
    known = VECTORS[name]
    for changed in (known.signed.replace("5000", "5001"), f"{known.signed}&x=1"):
        query = f"{changed}&signature={known.signature}"
        response = await send(frozen, known.method, known.path, query)
        assert (response.status_code, code_of(response)) == (400, -1022)
    assert frozen.sandbox.truth.orders == []


async def test_the_same_value_encoded_otherwise_is_refused(frozen: RunningSandbox) -> None:
    known = VECTORS["N8"]
    plain = known.signed.replace("%3A", ":").replace("%2F", "/")
    response = await send(frozen, "GET", "order", f"{plain}&signature={known.signature}")
    assert code_of(response) == -1022


async def test_the_signature_may_stand_anywhere_and_in_upper_case(frozen: RunningSandbox) -> None:
    known = VECTORS["N7"]
    head, _, tail = known.signed.partition("&")
    for query in (
        f"signature={known.signature}&{known.signed}",
        f"{head}&signature={known.signature.upper()}&{tail}",
    ):
        assert code_of(await send(frozen, "POST", "leverage", query)) == 0


async def test_the_query_wins_over_the_form(frozen: RunningSandbox) -> None:
    query, form = "symbol=BTCUSDT&leverage=7", f"leverage=9&{TAIL}"
    text = signature(SECRET, f"{query}{form}".encode())
    response = await send(frozen, "POST", "leverage", f"{query}", f"{form}&signature={text}")
    assert response.json()["leverage"] == 7


async def test_a_body_that_is_no_form_is_not_read(frozen: RunningSandbox) -> None:
    text = sign(f"symbol=BTCUSDT&leverage=9&{TAIL}")
    url = f"{frozen.base_url(VENUE)}/fapi/v1/leverage"
    headers = {"X-MBX-APIKEY": KEY, "Content-Type": "application/json"}
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(url, content=text, headers=headers)
    assert code_of(response) == -1102


async def test_bytes_that_are_no_text_get_an_answer(frozen: RunningSandbox) -> None:
    response = await send(frozen, "GET", "order", sign(f"symbol=%FF%FE&orderId=1&{TAIL}"))
    assert code_of(response) == -1121


# -- age, keys, parameters -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset_ms", "window", "code"),
    [
        (-5001, "", -1021),
        (-5000, "", 0),
        (0, "", 0),
        (999, "", 0),
        (1000, "", -1021),
        (-60_000, "60000", 0),
        (-11, "10", -1021),
        (0, "60001", -1130),
        (0, "soon", -1102),
    ],
)
async def test_age(frozen: RunningSandbox, offset_ms: int, window: str, code: int) -> None:
    text = f"timestamp={FROZEN + offset_ms}"
    if window:
        text += f"&recvWindow={window}"
    response = await send(frozen, "GET", "accountConfig", sign(text))
    assert code_of(response) == code
    if code == -1021:
        ahead = offset_ms > 0
        assert ("1000ms ahead" if ahead else "outside of the recvWindow") in response.json()["msg"]


async def test_keys(frozen: RunningSandbox) -> None:
    query = sign(TAIL)
    for key, code in (("", -2014), ("no key", -2014), ("nobody", -2015)):
        response = await send(frozen, "GET", "accountConfig", query, key=key)
        assert (response.status_code, code_of(response)) == (401, code)


@pytest.mark.parametrize(
    "query", ["", "timestamp=now", f"timestamp={FROZEN}", "signature=ff", "timestamp=&signature=ff"]
)
async def test_time_and_signature_must_be_sent(frozen: RunningSandbox, query: str) -> None:
    response = await send(frozen, "GET", "accountConfig", query)
    assert (response.status_code, code_of(response)) == (400, -1102)


async def test_superfluous_parameters(
    frozen: RunningSandbox, caller: BinanceCaller, control: SandboxControl
) -> None:
    query = sign(f"symbol=BTCUSDT&leverage=5&colour=red&{TAIL}")
    assert code_of(await send(frozen, "POST", "leverage", query)) == 0
    await control.set_variant(VENUE, "unknown_parameters", "refused")
    response = await send(frozen, "POST", "leverage", query)
    assert (response.status_code, code_of(response)) == (400, -1104)
    assert "colour" in response.json()["msg"]
    twice = sign(f"symbol=BTCUSDT&leverage=5&leverage=6&{TAIL}")
    assert code_of(await send(frozen, "POST", "leverage", twice)) == -1101
    assert caller.key


async def test_paths(caller: BinanceCaller) -> None:
    for method, path in (("GET", "v1/nothing"), ("PUT", "v1/leverage"), ("GET", "v9/order")):
        assert await caller.refused(method, path) == (404, -5000)


async def test_public_endpoints_ask_for_nothing(frozen: RunningSandbox) -> None:
    assert (await send(frozen, "GET", "ping", key="")).json() == {}
    assert (await send(frozen, "GET", "time", key="")).json() == {"serverTime": FROZEN}


async def test_a_listen_key_needs_the_key_alone(
    frozen: RunningSandbox, control: SandboxControl
) -> None:
    assert code_of(await send(frozen, "POST", "listenKey", key="")) == -2014
    assert code_of(await send(frozen, "PUT", "listenKey")) == -1125
    made = (await send(frozen, "POST", "listenKey")).json()["listenKey"]
    assert len(made) == 64
    await control.set_clock(advance_ms=3_599_999)
    assert (await send(frozen, "POST", "listenKey")).json()["listenKey"] == made
    await control.set_clock(advance_ms=3_599_999)
    assert (await send(frozen, "PUT", "listenKey")).json()["listenKey"] == made
    await control.set_clock(advance_ms=3_600_000)
    assert code_of(await send(frozen, "PUT", "listenKey")) == -1125
    other = (await send(frozen, "POST", "listenKey")).json()["listenKey"]
    assert other != made
    assert (await send(frozen, "DELETE", "listenKey")).json() == {}
    assert code_of(await send(frozen, "PUT", "listenKey")) == -1125


# -- limits --------------------------------------------------------------------------------------

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
WEIGHT = "X-MBX-USED-WEIGHT-1M"
TENS = "X-MBX-ORDER-COUNT-10S"
MINUTES = "X-MBX-ORDER-COUNT-1M"


@pytest.fixture
async def still(
    frozen: RunningSandbox, control: SandboxControl
) -> AsyncIterator[tuple[httpx.AsyncClient, SandboxControl]]:
    """A client whose requests are signed for the frozen clock by hand."""
    async with httpx.AsyncClient(
        base_url=f"{frozen.base_url(VENUE)}/fapi/",
        headers={"X-MBX-APIKEY": KEY},
        trust_env=False,
    ) as client:
        yield client, control


def order(now_ms: int = FROZEN) -> str:
    return f"v1/order?{signed(SECRET, ORDER, now_ms)}"


def config(now_ms: int = FROZEN) -> str:
    return f"v1/accountConfig?{signed(SECRET, {}, now_ms)}"


async def test_headers_count_weight_and_orders(
    still: tuple[httpx.AsyncClient, SandboxControl],
) -> None:
    client, control = still
    first = await client.get("v1/time")
    assert (first.headers[WEIGHT], TENS in first.headers) == ("1", False)
    assert (await client.get(config())).headers[WEIGHT] == "6"
    placed = await client.post(order())
    assert (placed.headers[WEIGHT], placed.headers[TENS], placed.headers[MINUTES]) == (
        "6",
        "1",
        "1",
    )
    all_open = await client.get(f"v1/openOrders?{signed(SECRET, {}, FROZEN)}")
    assert all_open.headers[WEIGHT] == "46"
    now = await control.set_clock(advance_ms=10_000)
    placed = await client.post(order(now))
    assert (placed.headers[TENS], placed.headers[MINUTES]) == ("1", "2")
    now = await control.set_clock(advance_ms=60_000)
    placed = await client.post(order(now))
    assert (placed.headers[WEIGHT], placed.headers[MINUTES]) == ("0", "1")


async def test_rejected_orders_show_counts_only_from_the_engine(
    still: tuple[httpx.AsyncClient, SandboxControl],
) -> None:
    client, _ = still

    async def refused(**changed: str) -> tuple[int, bool]:
        query = signed(SECRET, ORDER | changed, FROZEN)
        response = await client.post(f"v1/order?{query}")
        return code_of(response), TENS in response.headers

    assert await refused(side="UP") == (-1117, False)
    assert await refused(quantity="0.0001") == (-1111, False)
    assert await refused(reduceOnly="true") == (-2022, True)


async def test_the_order_limits(still: tuple[httpx.AsyncClient, SandboxControl]) -> None:
    client, control = still
    await control.set_limits({"orders_10s": 2, "orders_1m": 3})
    responses = [await client.post(order()) for _ in range(3)]
    assert [r.status_code for r in responses] == [200, 200, 429]
    assert code_of(responses[-1]) == -1015
    assert TENS not in responses[-1].headers
    limits = (await client.get(f"v1/rateLimit/order?{signed(SECRET, {}, FROZEN)}")).json()
    assert [(row["intervalNum"], row["interval"], row["limit"]) for row in limits] == [
        (10, "SECOND", 2),
        (1, "MINUTE", 3),
    ]
    now = await control.set_clock(advance_ms=10_000)
    assert (await client.post(order(now))).status_code == 429  # the third of the minute was counted
    now = await control.set_clock(advance_ms=60_000)
    assert (await client.post(order(now))).status_code == 200
    assert (await control.truth()).counters["codes"]["binance"]["-1015"] == 2


async def test_the_weight_limit_and_the_ban(
    still: tuple[httpx.AsyncClient, SandboxControl],
) -> None:
    client, control = still
    await control.set_limits({"ip": 12}, VENUE)
    statuses = [(await client.get(config())).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    for _ in range(GRACE - 1):
        assert (await client.get(config())).status_code == 429
    banned = await client.get(config())
    assert (banned.status_code, code_of(banned)) == (418, -1003)
    assert f"banned until {FROZEN + 120_000}" in banned.json()["msg"]
    now = await control.set_clock(advance_ms=119_999)
    again = await client.get("v1/time")
    assert again.status_code == 418
    assert f"banned until {FROZEN + 120_000}" in again.json()["msg"]
    now = await control.set_clock(advance_ms=1)
    assert (await client.get(config(now))).status_code == 200


async def test_the_published_weight_limit(
    still: tuple[httpx.AsyncClient, SandboxControl],
) -> None:
    client, control = still
    query = f"v1/positionSide/dual?{signed(SECRET, {}, FROZEN)}"
    answers = [await client.get(query) for _ in range(81)]
    assert [a.status_code for a in answers] == [200] * 80 + [429]
    assert code_of(answers[-1]) == -1003
    assert answers[-2].headers[WEIGHT] == "2400"
    assert "Retry-After" not in answers[-1].headers
    assert (await client.post(order())).status_code == 429  # weight 0 finds no room either
    await control.set_variant(VENUE, "retry_after", "sent")
    refused = await client.get(query)
    assert refused.headers["Retry-After"] == str(60 - FROZEN // 1000 % 60)
    now = await control.set_clock(advance_ms=60_000)
    assert (await client.get(config(now))).status_code == 200


async def test_no_limits(still: tuple[httpx.AsyncClient, SandboxControl]) -> None:
    client, control = still
    await control.set_limits({"ip": 1}, VENUE)
    await control.set_limits("off")
    answers = [await client.get(config()) for _ in range(20)]
    assert {a.status_code for a in answers} == {200}
    assert answers[-1].headers[WEIGHT] == "100"


async def test_accounts_count_orders_apart(
    still: tuple[httpx.AsyncClient, SandboxControl], sandbox: RunningSandbox
) -> None:
    client, control = still
    await control.set_limits({"orders_10s": 1})
    assert (await client.post(order())).status_code == 200
    query = signed(sandbox.secret(VENUE), ORDER, FROZEN)
    other = await client.post(f"v1/order?{query}", headers={"X-MBX-APIKEY": sandbox.key(VENUE)})
    assert other.status_code == 200
    assert (await client.post(order())).status_code == 429
