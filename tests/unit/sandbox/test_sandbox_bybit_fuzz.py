"""Whatever a caller sends, the Bybit side answers in its own words and the books still balance."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any, Final

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.sandbox.bybit.facade import BybitFacade
from providers.sandbox.bybit.routes import ROUTES
from providers.sandbox.caller import signed_headers
from providers.sandbox.truth import Truth
from providers.sandbox.wire import Inbound, Reply

KEY: Final = "key"
SECRET: Final = "secret"

numbers = st.one_of(
    st.sampled_from(["0", "0.001", "0.01", "1", "5", "100000", "99000.1", "0.0000000001"]),
    st.decimals(0, 10**15, allow_nan=False, allow_infinity=False, places=9).map(str),
    st.decimals(0, 10**15, allow_nan=False, allow_infinity=False).map(lambda d: f"{d:f}"),
)
anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=40), st.lists(st.integers()), numbers
)
FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "category": st.sampled_from(["linear", "linear", "linear", "spot"]),
    "symbol": st.sampled_from(["BTCUSDT", "DOGEUSDT", "EOSUSDT", "NOSUCHUSDT", ""]),
    "side": st.sampled_from(["Buy", "Sell"]),
    "orderType": st.sampled_from(["Market", "Limit"]),
    "qty": numbers,
    "price": numbers,
    "timeInForce": st.sampled_from(["GTC", "IOC", "FOK", "PostOnly", "", "GTX"]),
    "positionIdx": st.integers(-1, 4),
    "reduceOnly": st.booleans(),
    "closeOnTrigger": st.booleans(),
    "orderLinkId": st.sampled_from(["", "a", "b", "c d", "x" * 40]),
    "orderId": st.sampled_from(["", "unknown"]),
    "takeProfit": numbers,
    "stopLoss": numbers,
    "triggerPrice": numbers,
    "triggerDirection": st.integers(0, 3),
    "mode": st.sampled_from([0, 3, 1]),
    "coin": st.sampled_from(["USDT", "BTC", ""]),
    "settleCoin": st.sampled_from(["USDT", ""]),
    "buyLeverage": numbers,
    "sellLeverage": numbers,
    "setMarginMode": st.sampled_from(["ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN"]),
    "accountType": st.sampled_from(["UNIFIED", "SPOT"]),
    "limit": st.integers(-1, 300),
    "cursor": st.sampled_from(["", "3:1", "1", "x"]),
    "openOnly": st.integers(0, 2),
    "startTime": st.integers(0, 2**45),
    "endTime": st.integers(0, 2**45),
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """A route and fields for it, most of the right kind."""
    method, path = draw(st.sampled_from(sorted(ROUTES)))
    names = draw(st.sets(st.sampled_from(sorted(FIELDS))))
    fields = {name: draw(FIELDS[name]) for name in sorted(names | {"category", "symbol"})}
    if draw(st.integers(0, 4)) == 0:
        fields[draw(st.sampled_from(sorted(FIELDS)))] = draw(anything)
    return method, path, fields


def send(facade: BybitFacade, method: str, path: str, fields: dict[str, Any]) -> Reply:
    now_ms = time.time_ns() // 1_000_000
    query = "&".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    query = query.encode("ascii", "xmlcharrefreplace").decode()
    body = json.dumps(fields).encode()
    inbound = Inbound(
        method=method,
        path=path,
        query=query if method == "GET" else "",
        headers=signed_headers(KEY, SECRET, query if method == "GET" else body, now_ms),
        body=body if method == "POST" else b"",
        arrived_ms=now_ms,
        arrived_ns=0,
    )
    call = facade.read(inbound)
    return facade.admit(call, now_ms) or facade.execute(call, now_ms)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(requests(), min_size=1, max_size=25), st.sampled_from([0, 3]))
def test_every_request_is_answered(
    wanted: list[tuple[str, str, dict[str, Any]]], delay_ms: int
) -> None:
    truth = Truth()
    facade = BybitFacade(truth, seed=1, fill_delay_ms=delay_ms, splits=1, limits="off")
    account = facade.new_account("main", KEY, SECRET, "1000000")
    facade.engine.add_account(account)
    for method, path, fields in wanted:
        reply = send(facade, method, path, fields)
        answer = orjson.loads(reply.body)
        assert reply.status == 200
        assert isinstance(answer["retCode"], int)
        assert answer["retMsg"]
    spent = sum((f.value * f.side.sign + f.fee for f in truth.fills), Decimal(0))
    held = sum((p.cost for p in account.positions.values()), Decimal(0))
    assert account.wallet - held == account.start_balance - spent
