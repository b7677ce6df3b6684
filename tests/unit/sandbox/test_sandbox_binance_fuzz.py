"""Whatever a caller sends, Binance answers in its own words and the books still balance."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.sandbox.binance.codes import TEXTS, Code
from providers.sandbox.binance.facade import BinanceFacade
from providers.sandbox.binance.gate import KEY_HEADER, signature
from providers.sandbox.binance.routes import ROUTES, Security
from providers.sandbox.truth import Truth
from providers.sandbox.wire import Inbound

if TYPE_CHECKING:
    from providers.sandbox.wire import Reply

KEY: Final = "key"
SECRET: Final = "secret"
KNOWN: Final = frozenset({*map(int, Code), *TEXTS})

numbers = st.one_of(
    st.sampled_from(["0", "0.001", "0.01", "1", "5", "100000", "99000.1", "0.0000000001", "1e3"]),
    st.decimals(0, 10**15, allow_nan=False, allow_infinity=False, places=9).map(str),
    st.decimals(0, 10**15, allow_nan=False, allow_infinity=False).map(lambda d: f"{d:f}"),
)
flags = st.sampled_from(["true", "false", "TRUE", "1"])
prices = st.sampled_from(["94000", "94500", "90000", "100000.1", "9"])
ids = st.sampled_from(["a", "b", "c d", "x" * 40, ""])
numbered = st.sampled_from(["8389765520000000001", "1000001522000001", "5", "x", "9" * 30])
FIELDS: Final[dict[str, st.SearchStrategy[str]]] = {
    "symbol": st.sampled_from(["BTCUSDT", "BTCUSDT", "SUIUSDT", "EOSUSDT", "NOSUCHUSDT", ""]),
    "side": st.sampled_from(["BUY", "SELL", "Buy"]),
    "type": st.sampled_from(["MARKET", "LIMIT", "STOP_MARKET", "TAKE_PROFIT", "STOP"]),
    "algoType": st.sampled_from(["CONDITIONAL", "VP"]),
    "quantity": st.one_of(st.sampled_from(["0.01", "0.02"]), numbers),
    "price": st.one_of(prices, numbers),
    "triggerPrice": st.one_of(prices, numbers),
    "timeInForce": st.sampled_from(["GTC", "IOC", "FOK", "GTX", "GTD"]),
    "positionSide": st.sampled_from(["BOTH", "LONG", "SHORT", "UP"]),
    "reduceOnly": flags,
    "closePosition": flags,
    "newClientOrderId": ids,
    "origClientOrderId": ids,
    "clientAlgoId": ids,
    "orderId": numbered,
    "algoId": numbered,
    "fromId": numbered,
    "leverage": st.sampled_from(["1", "20", "125", "126", "0", "2.5"]),
    "marginType": st.sampled_from(["ISOLATED", "CROSSED", "NONE"]),
    "dualSidePosition": flags,
    "countdownTime": st.sampled_from(["0", "1", "100000", "-1"]),
    "newOrderRespType": st.sampled_from(["ACK", "RESULT", "FULL"]),
    "workingType": st.sampled_from(["MARK_PRICE", "CONTRACT_PRICE", "INDEX"]),
    "limit": st.integers(-1, 1200).map(str),
    "startTime": st.integers(0, 2**45).map(str),
    "endTime": st.integers(0, 2**45).map(str),
}


ORDER: Final = ("POST", "/fapi/v1/order")
ALGO: Final = ("POST", "/fapi/v1/algoOrder")
PATHS: Final = [*sorted(ROUTES), *[ORDER] * 30, *[ALGO] * 10]
MOSTLY: Final[dict[tuple[str, str], dict[str, st.SearchStrategy[str]]]] = {
    ORDER: {
        "symbol": st.just("BTCUSDT"),
        "side": st.sampled_from(["BUY", "SELL"]),
        "type": st.just("MARKET"),
        "quantity": st.sampled_from(["0.01", "0.5"]),
    },
    ALGO: {
        "algoType": st.just("CONDITIONAL"),
        "symbol": st.just("BTCUSDT"),
        "side": st.sampled_from(["BUY", "SELL"]),
        "type": st.sampled_from(["STOP_MARKET", "TAKE_PROFIT_MARKET"]),
        "quantity": st.sampled_from(["0.01", "0.5"]),
        "triggerPrice": st.sampled_from(["90000", "99000"]),
    },
}
LIMIT: Final = {
    "type": st.just("LIMIT"),
    "price": prices,
    "timeInForce": st.sampled_from(["GTC", "IOC", "FOK", "GTX"]),
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str]]:
    """A route and fields for it, most of the right names and kinds."""
    method, path = draw(st.sampled_from(PATHS))
    usual = MOSTLY.get((method, path))
    if usual is not None and draw(st.integers(0, 5)):
        limit = LIMIT if (method, path) == ORDER and draw(st.booleans()) else {}
        wanted = {name: draw(value) for name, value in {**usual, **limit}.items()}
        extra = draw(st.sampled_from(["", "reduceOnly", "positionSide", "clientAlgoId", "price"]))
        if extra and draw(st.booleans()):
            wanted[extra] = draw(FIELDS[extra])
        return method, path, wanted
    route = ROUTES[method, path]
    names = sorted(name for name in FIELDS if name in route.params)
    chosen = draw(st.sets(st.sampled_from(names))) if names else set()
    if "symbol" in route.params and draw(st.integers(0, 9)):
        chosen |= {"symbol"}
    fields = {name: draw(FIELDS[name]) for name in sorted(chosen)}
    if draw(st.integers(0, 9)) == 0:
        fields[draw(st.sampled_from(sorted(FIELDS)))] = draw(st.text(max_size=40))
    return method, path, fields


def send(facade: BinanceFacade, method: str, path: str, fields: dict[str, str]) -> Reply:
    now_ms = time.time_ns() // 1_000_000
    query = "&".join(f"{name}={quote(value, errors='replace')}" for name, value in fields.items())
    if ROUTES[method, path].security is not Security.NONE:
        query += f"&timestamp={now_ms}&recvWindow=60000"
        query += f"&signature={signature(SECRET, query.encode())}"
    inbound = Inbound(
        method=method,
        path=path,
        query=query,
        headers={KEY_HEADER: KEY},
        body=b"",
        arrived_ms=now_ms,
        arrived_ns=0,
    )
    call = facade.read(inbound)
    return facade.admit(call, now_ms) or facade.execute(call, now_ms)


def check(reply: Reply) -> None:
    answer: Any = orjson.loads(reply.body)
    assert "X-MBX-USED-WEIGHT-1M" in reply.headers
    if reply.status == 200:
        assert isinstance(answer, dict | list)
        return
    assert reply.status == 400
    assert answer["code"] in KNOWN
    assert answer["msg"]
    assert set(answer) == {"code", "msg"}


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(requests(), min_size=1, max_size=25), st.sampled_from([0, 3]))
def test_every_request_is_answered(
    wanted: list[tuple[str, str, dict[str, str]]], delay_ms: int
) -> None:
    truth = Truth()
    facade = BinanceFacade(truth, seed=1, fill_delay_ms=delay_ms, splits=1, limits="off")
    account = facade.new_account("main", KEY, SECRET, "1000000")
    facade.engine.add_account(account)
    for method, path, fields in wanted:
        check(send(facade, method, path, fields))
    spent = sum((f.value * f.side.sign + f.fee for f in truth.fills), Decimal(0))
    held = sum((p.cost for p in account.positions.values()), Decimal(0))
    assert account.wallet - held == account.start_balance - spent
    assert account.order_margin == sum((o.reserved for o in account.open.values()), Decimal(0))
