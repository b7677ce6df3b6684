"""Our requests mean what ccxt's mean, for any order; where they do not, a table says why.

The table is held to the truth from both sides: a difference that is not in it fails, and an entry
whose difference no longer occurs fails too (ccxt is pinned, so it changes only with a new version).
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.bybit.signing import message as bybit_message
from providers.hashing import signature
from providers.mexc.signing import message as mexc_message
from providers.orders import (
    MarginMode,
    OrderType,
    PositionSide,
    PreparedOrder,
    Side,
    TimeInForce,
)
from tests.unit.oracle.two_clients import NOW, NUMBERS, SYMBOL, UNIFIED, Pair, Sent, pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

VENUES = ("bybit", "binance", "mexc")
ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """One parameter that the two are known to write differently, and who is right.

    Attributes:
        when: tells from our order and both values whether this is it.
    """

    venue: str
    name: str
    when: Callable[[PreparedOrder, Any, Any], bool]
    why: str


DIFFERENCES = (
    Difference(
        "bybit",
        "reduceOnly",
        lambda order, ours, theirs: (
            order.reduce_only
            and order.position_side is not None
            and (ours, theirs) == (True, False)
        ),
        "ccxt leaves it out of hedge closes; Bybit asks for it, and it keeps a late close harmless",
    ),
    Difference(
        "binance",
        "newOrderRespType",
        lambda _, ours, theirs: (ours, theirs) == ("ACK", "RESULT"),
        "since the engines merged a reply is an acknowledgement either way; we ask for the order",
    ),
    Difference(
        "mexc",
        "type",
        lambda order, ours, theirs: (
            order.order_type is OrderType.MARKET and (ours, theirs) == (5, 6)
        ),
        "ccxt's market order is type 6, turned into a limit at the current price, which may rest",
    ),
    Difference(
        "mexc",
        "price",
        lambda order, ours, theirs: order.price is None and ours == 0 and theirs is ABSENT,
        "the documentation calls price mandatory for market orders too; ccxt leaves it out",
    ),
    Difference(
        "mexc",
        "positionMode",
        lambda order, ours, theirs: order.position_side is None and ours == 2 and theirs is ABSENT,
        "documented default is hedge in one place, the account's in another: we say it always",
    ),
    Difference(
        "mexc",
        "side",
        lambda order, ours, theirs: (
            order.reduce_only
            and order.position_side is not None
            and {int(ours), int(theirs)} == {2, 4}
        ),
        "ccxt's hedge closes are turned round: its buy closes the long (4), its sell the short (2)",
    ),
    Difference(
        "mexc",
        "reduceOnly",
        lambda order, ours, theirs: (
            order.reduce_only and order.position_side is None and ours is True and theirs is ABSENT
        ),
        "whether sides 2 and 4 alone reduce in one-way mode is not documented: we say it",
    ),
    Difference(
        "mexc",
        "leverage",
        lambda order, ours, theirs: order.reduce_only and ours is ABSENT and theirs == 5,
        "leverage is asked for on opening only; a close keeps that of its position",
    ),
)

DEFAULTS: dict[str, dict[str, Any]] = {
    "bybit": {"positionIdx": Decimal(0), "reduceOnly": False, "tpslMode": "Full"},
    "binance": {"positionSide": "BOTH", "reduceOnly": False, "newOrderRespType": "ACK"},
    "mexc": {},
}
"""What a parameter means that is not sent."""


def order_of(
    *,
    side: Side,
    kind: OrderType,
    force: TimeInForce,
    reduce_only: bool,
    hedge: bool,
    lots: int,
    ticks: int,
    margin: MarginMode,
    guarded: bool,
) -> PreparedOrder:
    opens_long = (side is Side.BUY) is not reduce_only
    limit = kind is OrderType.LIMIT
    guard = Decimal("0.1") * ticks if guarded and not reduce_only else None
    return PreparedOrder(
        client_order_id=f"tw-{next(NUMBERS):06d}",
        symbol=SYMBOL,
        side=side,
        order_type=kind,
        quantity=Decimal("0.001") * lots,
        reduce_only=reduce_only,
        price=Decimal("0.1") * ticks if limit else None,
        time_in_force=force if limit else TimeInForce.IOC,
        position_side=(PositionSide.LONG if opens_long else PositionSide.SHORT) if hedge else None,
        leverage=5,
        margin_mode=margin,
        take_profit=guard,
        stop_loss=guard,
    )


ORDERS = st.builds(
    order_of,
    side=st.sampled_from(Side),
    kind=st.sampled_from(OrderType),
    force=st.sampled_from(TimeInForce),
    reduce_only=st.booleans(),
    hedge=st.booleans(),
    lots=st.integers(1, 100_000),
    ticks=st.integers(10_000, 15_000_000),
    margin=st.sampled_from(MarginMode),
    guarded=st.booleans(),
)
EVERY_KIND = [
    order_of(
        side=side,
        kind=kind,
        force=TimeInForce.GTC,
        reduce_only=reduce_only,
        hedge=hedge,
        lots=10,
        ticks=943_215,
        margin=MarginMode.ISOLATED,
        guarded=False,
    )
    for side, kind, reduce_only, hedge in itertools.product(
        Side, OrderType, (False, True), (False, True)
    )
]
_MEXC_LIMITS = {TimeInForce.POST_ONLY: 2, TimeInForce.IOC: 3, TimeInForce.FOK: 4}


def theirs_of(pair: Pair, order: PreparedOrder) -> Callable[[Any], object]:
    """The call of ccxt that a person would make for the same order."""
    params: dict[str, Any] = {"clientOrderId": order.client_order_id}
    kind: Any = order.order_type.value.lower()
    amount = order.quantity
    limit = order.order_type is OrderType.LIMIT
    if order.reduce_only:
        params["reduceOnly"] = True
    if order.position_side is not None:
        params["hedged"] = True
    if pair.venue == "mexc":
        amount = order.quantity * 10_000
        params |= {"leverage": 5, "openType": 1 if order.margin_mode is MarginMode.ISOLATED else 2}
        kind = _MEXC_LIMITS.get(order.time_in_force, kind) if limit else kind
        for name, level in (
            ("takeProfitPrice", order.take_profit),
            ("stopLossPrice", order.stop_loss),
        ):
            if level is not None:
                params[name] = float(level)
    elif limit:
        force = order.time_in_force
        params["timeInForce"] = "PO" if force is TimeInForce.POST_ONLY else force.value
    if pair.venue == "bybit":
        for name, level in (("takeProfit", order.take_profit), ("stopLoss", order.stop_loss)):
            if level is not None:
                params[name] = {"triggerPrice": float(level)}
    price = None if order.price is None else float(order.price)
    side = order.side.value.lower()
    return lambda client: client.create_order(UNIFIED, kind, side, float(amount), price, params)


def differences(pair: Pair, order: PreparedOrder) -> set[Difference]:
    """The known differences that showed; anything else fails here."""
    ours = pair.we_send(pair.ours.place(order))
    theirs = pair.they_send(theirs_of(pair, order))
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    assert signed_by_both(pair, ours, theirs)
    found = set()
    for name, mine, other in unlike(pair, order, ours, theirs):
        known = [
            one
            for one in DIFFERENCES
            if (one.venue, one.name) == (pair.venue, name) and one.when(order, mine, other)
        ]
        assert known, f"{pair.venue} {name}: we send {mine!r}, ccxt {other!r}, for {order}"
        found.update(known)
    return found


def unlike(
    pair: Pair, order: PreparedOrder, ours: Sent, theirs: Sent
) -> Iterator[tuple[str, Any, Any]]:
    defaults = dict(DEFAULTS[pair.venue])
    if pair.venue == "bybit":  # market orders are always IOC there, whatever is said
        limit = order.order_type is OrderType.LIMIT
        defaults["timeInForce"] = "GTC" if limit else "IOC"
    mine, other = defaults | ours.meaning, defaults | theirs.meaning
    for name in sorted(mine.keys() | other.keys()):
        pair_of = mine.get(name, ABSENT), other.get(name, ABSENT)
        if pair_of[0] != pair_of[1]:
            yield name, *pair_of


def signed_by_both(pair: Pair, ours: Sent, theirs: Sent) -> bool:
    """Whether our signature of either's bytes is the one that was sent with them."""
    return all(signature_of(pair, sent) == signature_in(pair, sent) for sent in (ours, theirs))


def signature_of(pair: Pair, sent: Sent) -> str:
    tail = sent.body or sent.query.encode()
    secret = pair.secret.encode()
    match pair.venue:
        case "bybit":
            return signature(secret, bybit_message(NOW, pair.key, 5000, tail))
        case "mexc":
            return signature(secret, mexc_message(pair.key, NOW, tail))
        case _:
            return signature(secret, tail.rpartition(b"&signature=")[0])


def signature_in(pair: Pair, sent: Sent) -> str:
    if pair.venue == "binance":
        return (sent.body or sent.query.encode()).rpartition(b"&signature=")[2].decode()
    return sent.headers["x-bapi-sign" if pair.venue == "bybit" else "signature"]


@pytest.fixture(scope="module")
def both() -> Iterator[dict[str, Pair]]:
    with asyncio.Runner() as runner:
        yield pairs(runner)


@pytest.fixture(scope="module")
def untouched() -> Iterator[dict[str, Pair]]:
    """Pairs whose accounts no order has changed, so that every setting is still to be made."""
    with asyncio.Runner() as runner:
        yield pairs(runner)


@pytest.mark.parametrize("venue", VENUES)
def test_orders_mean_the_same(both: dict[str, Pair], venue: str) -> None:
    @settings(max_examples=80, deadline=None)
    @given(ORDERS)
    def check(order: PreparedOrder) -> None:
        differences(both[venue], order)

    check()


@pytest.mark.parametrize("venue", VENUES)
def test_every_known_difference_still_occurs(both: dict[str, Pair], venue: str) -> None:
    seen = {one for order in EVERY_KIND for one in differences(both[venue], order)}
    assert seen == {one for one in DIFFERENCES if one.venue == venue}


# What else is asked of an exchange: each of our calls, and ccxt's for the same thing.

CALLS: dict[str, tuple[str, Callable[[Any], Coroutine[Any, Any, object]], Callable[[Any], object]]]
CALLS = {
    "query": (
        "bybit",
        lambda ours: ours.find_order(SYMBOL, "tw-0001"),
        lambda theirs: theirs.privateGetV5OrderRealtime(
            {"category": "linear", "symbol": SYMBOL, "orderLinkId": "tw-0001"}
        ),
    ),
    "cancel": (
        "bybit",
        lambda ours: ours.cancel(SYMBOL, "tw-0001"),
        lambda theirs: theirs.cancel_order(None, UNIFIED, {"orderLinkId": "tw-0001"}),
    ),
    "leverage": (
        "bybit",
        lambda ours: ours.set_leverage(SYMBOL, 7, MarginMode.CROSS),
        lambda theirs: theirs.set_leverage(7, UNIFIED),
    ),
    "margin mode": (
        "bybit",
        lambda ours: ours.set_margin_mode(SYMBOL, MarginMode.ISOLATED, None),
        lambda theirs: theirs.set_margin_mode("isolated", UNIFIED),
    ),
    "positions": (
        "bybit",
        lambda ours: ours.positions(SYMBOL),
        lambda theirs: theirs.fetch_position(UNIFIED),
    ),
    "balance": (
        "bybit",
        lambda ours: ours.balances(),
        lambda theirs: theirs.fetch_balance(),
    ),
    "query at Binance": (
        "binance",
        lambda ours: ours.find_order(SYMBOL, "tw-0001"),
        lambda theirs: theirs.fetch_order(None, UNIFIED, {"origClientOrderId": "tw-0001"}),
    ),
    "cancel at Binance": (
        "binance",
        lambda ours: ours.cancel(SYMBOL, "tw-0001"),
        lambda theirs: theirs.cancel_order(None, UNIFIED, {"origClientOrderId": "tw-0001"}),
    ),
    "leverage at Binance": (
        "binance",
        lambda ours: ours.set_leverage(SYMBOL, 7, MarginMode.CROSS),
        lambda theirs: theirs.set_leverage(7, UNIFIED),
    ),
    "margin mode at Binance": (
        "binance",
        lambda ours: ours.set_margin_mode(SYMBOL, MarginMode.ISOLATED, None),
        lambda theirs: theirs.set_margin_mode("isolated", UNIFIED),
    ),
    "position mode at Binance": (
        "binance",
        lambda ours: ours.position_mode(),
        lambda theirs: theirs.fapiPrivateGetAccountConfig(),
    ),
    "query at MEXC": (
        "mexc",
        lambda ours: ours.find_order(SYMBOL, "tw-0001"),
        lambda theirs: theirs.contractPrivateGetOrderExternalSymbolExternalOid(
            {"symbol": "BTC_USDT", "external_oid": "tw-0001"}
        ),
    ),
    "position mode at MEXC": (
        "mexc",
        lambda ours: ours.position_mode(),
        lambda theirs: theirs.fetch_position_mode(UNIFIED),
    ),
    "leverage at MEXC": (
        "mexc",
        lambda ours: ours.set_leverage(SYMBOL, 7, MarginMode.ISOLATED),
        lambda theirs: theirs.set_leverage(7, UNIFIED, {"openType": 1, "positionType": 1}),
    ),
    "balance at MEXC": (
        "mexc",
        lambda ours: ours.balances(),
        lambda theirs: theirs.fetch_balance(),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_other_calls_mean_the_same(untouched: dict[str, Pair], name: str) -> None:
    venue, ours, theirs = CALLS[name]
    pair = untouched[venue]
    other = pair.they_send(theirs)
    pair.we_send(ours(pair.ours))
    mine = [
        sent for sent in pair.recorded if (sent.method, sent.path) == (other.method, other.path)
    ]
    assert mine, [(sent.method, sent.path) for sent in pair.recorded]
    assert all(signed_by_both(pair, sent, other) for sent in mine)
    assert other.meaning in [sent.meaning for sent in mine]
