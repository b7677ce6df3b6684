"""Building and signing an order, ours beside ccxt's: from the order to the bytes and the headers.

Both have read the markets and are stopped where they would send. What each then would send means
the same, which the tests in tests/unit/oracle hold them to.
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from providers.orders import MarginMode, OrderType, PreparedOrder, Side
from tests.bench.figures import Spread, ratios
from tests.unit.oracle.two_clients import NOW, SYMBOL, UNIFIED, Pair, StoppedError, pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CLIENT_ORDER_ID = "tw-abcdefghijklmnopqrstuvwxyz"
_WARM = 0.1  # of the repeats are done before, and not counted


def measure(*, rounds: int, repeats: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Let both sign on each exchange in turn; gives the results.

    Args:
        repeats: of ours in a round; theirs, which takes longer, a tenth of it.
    """
    taken: dict[str, list[tuple[float, float]]] = {}
    with asyncio.Runner() as runner:
        for pair in pairs(runner).values():
            ours, theirs = _ways(pair)
            for number in range(rounds):
                both = ((ours, repeats), (theirs, repeats // 10))
                turn = both if number % 2 else both[::-1]
                found = {way: _micros(way, times) for way, times in turn}
                taken.setdefault(pair.venue, []).append((found[ours], found[theirs]))
            mine, other = (Spread.of(one).median for one in zip(*taken[pair.venue], strict=True))
            say(f"signing: {pair.venue} {mine:.1f} µs, ccxt {other:.1f} µs")
    return summary(taken)


def _ways(pair: Pair) -> tuple[Callable[[], object], Callable[[], object]]:
    order = PreparedOrder(
        client_order_id=CLIENT_ORDER_ID,
        symbol=SYMBOL,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("0.005"),
        price=Decimal("50000.1"),
        reduce_only=False,
        leverage=10,
        margin_mode=MarginMode.CROSS,
    )

    def ours() -> object:
        return pair.ours._sign(pair.ours._order_call(order), NOW)

    def stop(*_: object, **__: object) -> None:
        raise StoppedError

    pair.theirs.fetch = stop
    client = pair.theirs
    amount = 0.005
    params: dict[str, object] = {"clientOrderId": CLIENT_ORDER_ID, "timeInForce": "GTC"}
    if pair.venue == "mexc":  # counts contracts, of 0.0001 each
        amount = 50
        params = {"externalOid": CLIENT_ORDER_ID, "leverage": 10, "openType": 2}

    def theirs() -> object:
        try:
            return client.create_order(UNIFIED, "limit", "buy", amount, 50000.1, params)
        except StoppedError:
            return None

    return ours, theirs


def _micros(way: Callable[[], object], times: int) -> float:
    for _ in range(max(1, int(times * _WARM))):
        way()
    began = time.perf_counter()
    for _ in range(times):
        way()
    return (time.perf_counter() - began) / times * 1e6


def summary(taken: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Any]:
    """Medians, spreads and ratios; the ratio of all is that of the slowest exchange. Pure."""
    document: dict[str, Any] = {}
    for venue, rounds in taken.items():
        ours, theirs = zip(*rounds, strict=True)
        faster = ratios(theirs, ours)
        document[venue] = {
            "ours_us": Spread.of(ours).document,
            "ccxt_us": Spread.of(theirs).document,
            "ratio_to_ccxt": faster.document,
        }
    slowest = min(document.values(), key=lambda one: one["ratio_to_ccxt"]["median"])
    return {
        "ratio_to_ccxt": slowest["ratio_to_ccxt"]["median"],
        "ratio_to_ccxt_spread": slowest["ratio_to_ccxt"],
        **document,
    }
