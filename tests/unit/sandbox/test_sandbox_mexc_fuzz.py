"""Whatever a caller sends, the MEXC side answers in its own words and the books still balance."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.sandbox.mexc import encoding, gate
from providers.sandbox.mexc.account import MexcAccount
from providers.sandbox.mexc.caller import signed_headers
from providers.sandbox.mexc.desk import VARIANTS
from providers.sandbox.mexc.facade import MexcFacade
from providers.sandbox.mexc.routes import ROUTES
from providers.sandbox.truth import Truth
from providers.sandbox.wire import Inbound, Reply

KEY: Final = "key"
SECRET: Final = "secret"

whole = st.one_of(st.integers(0, 30), st.integers(-5, 10**20))
decimals = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=9)
numbers = st.one_of(whole, decimals)
prices = st.one_of(st.sampled_from([0, 90_000, 94_000, 95_000, 100_000]), numbers)
anything = st.one_of(
    st.none(), st.booleans(), st.text(max_size=40), st.lists(st.integers()), numbers
)
symbols = st.sampled_from(["BTC_USDT", "BTC_USDT", "DOGE_USDT", "EOS_USDT", "OP_USDT", "NO", ""])
externals = st.sampled_from(["", "a", "b", "c d", "x" * 40])
ids = st.sampled_from([1, "x", "5", 812346000001000003, "812346000002000006", 1394001, 1394002])
FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "symbol": symbols,
    "side": st.sampled_from([1, 2, 3, 4, 1, 2, 3, 4, 0, 5]),
    "type": st.sampled_from([1, 2, 3, 4, 5, 5, 6, 7]),
    "openType": st.integers(1, 2),
    "vol": st.one_of(st.integers(1, 20), st.integers(1, 20), numbers),
    "price": prices,
    "leverage": st.sampled_from([5, 5, 5, 10, 0, 1000]),
    "externalOid": externals,
    "positionMode": st.sampled_from([1, 2, 3]),
    "positionId": ids,
    "positionType": st.integers(0, 3),
    "reduceOnly": st.booleans(),
    "takeProfitPrice": prices,
    "stopLossPrice": prices,
    "profitTrend": st.integers(1, 4),
    "orderId": ids,
    "order_ids": st.sampled_from(["", "1,2", "x"]),
    "states": st.sampled_from(["", "3", "3,4", "9"]),
    "page_num": st.integers(0, 3),
    "page_size": st.integers(0, 101),
    "start_time": st.integers(0, 2**45),
    "end_time": st.integers(0, 2**45),
}
USUAL: Final = {
    "symbol": "BTC_USDT",
    "side": 1,
    "type": 5,
    "openType": 1,
    "vol": 10,
    "leverage": 5,
}
ROUTE_KEYS: Final = sorted(ROUTES)
CREATE: Final = ("POST", "/api/v1/private/order/create", 0)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A method, a path and what goes with it, most of the right kind."""
    key = draw(st.sampled_from([*ROUTE_KEYS, *[CREATE] * len(ROUTE_KEYS)]))
    method, path, count = key
    path = "/".join([path, *(str(draw(st.one_of(symbols, ids, externals))) for _ in range(count))])
    names = draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=3))
    if key == CREATE:
        names |= draw(st.sampled_from([set(), {"side"}, {"side", "type", "price"}]))
    given_fields: dict[str, Any] = {**USUAL, **{name: draw(FIELDS[name]) for name in sorted(names)}}
    if draw(st.integers(0, 9)) == 9:
        given_fields[draw(st.sampled_from(sorted(FIELDS)))] = draw(anything)
    if method == "GET":
        chosen = sorted(names)
        return method, path, {name: given_fields[name] for name in chosen}
    shape = draw(st.integers(0, 9)) if key == CREATE else draw(st.integers(6, 9))
    if shape == 8:
        return method, path, [given_fields, draw(anything)]
    return method, path, draw(st.lists(ids, max_size=3)) if shape == 9 else given_fields


def send(facade: MexcFacade, method: str, path: str, asked: Any) -> Reply:  # noqa: ANN401 - JSON
    now_ms = time.time_ns() // 1_000_000
    query, body = "", b""
    if method == "GET":
        query = "&".join(f"{n}={quote(str(v), safe='')}" for n, v in sorted(asked.items()))
    else:
        body = encoding.encode(asked) if _fits(asked) else b"{}"
    tail = body if method == "POST" else gate.signed_query(query, encoded=True).encode()
    inbound = Inbound(
        method=method,
        path=quote(path),
        query=query,
        headers=signed_headers(KEY, SECRET, tail, now_ms),
        body=body,
        arrived_ms=now_ms,
        arrived_ns=0,
    )
    call = facade.read(inbound)
    return facade.admit(call, now_ms) or facade.execute(call, now_ms)


def _fits(value: object) -> bool:
    """Whether orjson can write it: its integers have 64 bits, its text is Unicode."""
    if isinstance(value, dict):
        return all(map(_fits, value.values()))
    if isinstance(value, list):
        return all(map(_fits, value))
    if isinstance(value, str):
        return not any("\ud800" <= one <= "\udfff" for one in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**64


@settings(deadline=None, max_examples=60)  # a busy machine is no failure
@given(
    st.lists(requests(), min_size=10, max_size=25),
    st.sampled_from([0, 3]),
    st.booleans(),
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VARIANTS.items()}),
)
def test_every_request_is_answered(
    wanted: list[tuple[str, str, Any]],
    delay_ms: int,
    hedge: bool,  # noqa: FBT001 - drawn
    variants: dict[str, str],
) -> None:
    truth = Truth()
    facade = MexcFacade(truth, seed=1, fill_delay_ms=delay_ms, splits=1, limits="off")
    for name, value in variants.items():
        facade.variants.set(name, value)
    facade.variants.set("signed_values", "either")
    facade.variants.set("missing_position_mode", "account")
    account = facade.new_account("main", KEY, SECRET, "1000000", hedge=hedge)
    assert isinstance(account, MexcAccount)
    facade.engine.add_account(account)
    for method, path, asked in wanted:
        reply = send(facade, method, path, asked)
        answer = encoding.decode(reply.body)
        assert reply.status in (200, 404)
        assert isinstance(answer["code"], int)
        assert answer["success"] is not bool(answer.get("message"))
    spent = sum((f.value * f.side.sign + f.fee for f in truth.fills), Decimal(0))
    held = sum((p.cost for p in account.positions.values()), Decimal(0))
    assert account.wallet - held == account.start_balance - spent
    assert account.order_margin == sum((o.reserved for o in account.open.values()), Decimal(0))
    check_holdings(account)


def check_holdings(account: MexcAccount) -> None:
    """What is open by the numbered positions is what the engine holds, and profits add up."""
    profits = Decimal(0)
    for (symbol, leg), position in account.positions.items():
        holding = account.holdings.current(account, symbol, leg)
        assert (holding is not None) is bool(position.size)
        if holding is not None:
            assert holding.opened - holding.closed == abs(position.size)
            profits += holding.profit
        profits += sum(
            (h.profit for h in account.holdings.history if (h.symbol, h.leg) == (symbol, leg)),
            Decimal(0),
        )
    assert profits == sum((p.realised_ever for p in account.positions.values()), Decimal(0))
    numbers_seen = [holding.position_id for holding in account.holdings.history]
    assert len(numbers_seen) == len(set(numbers_seen))
