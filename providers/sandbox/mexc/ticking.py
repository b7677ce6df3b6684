"""MEXC's public subscriptions: which there are, and what each pushes: the rows of the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from providers.sandbox import tape
from providers.sandbox.mexc import charts, public
from providers.sandbox.mexc.contracts import BY_NAME
from providers.sandbox.wire import Call, Inbound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from providers.sandbox.mexc.desk import Desk


class Subscription(NamedTuple):
    """One subscription; `kind` is the channel, such as `ticker` or `fair.price`."""

    kind: str
    symbol: str
    interval: str

    @property
    def name(self) -> str:
        """What tells it from others."""
        return " ".join(filter(None, self))


def read(kind: str, params: Mapping[str, Any]) -> Subscription | None:
    """The subscription that parameters ask for, None if there is none such."""
    if kind == "tickers":
        return Subscription(kind, "", "")
    symbol, interval = str(params.get("symbol", "")), str(params.get("interval", ""))
    kind = "depth" if kind.startswith("depth") else kind
    if kind not in _ROWS or symbol not in BY_NAME:
        return None
    if kind == "kline":
        return Subscription(kind, symbol, interval) if interval in charts.INTERVALS else None
    return Subscription(kind, symbol, "")


def row(desk: Desk, one: Subscription, now_ms: int) -> Any:  # noqa: ANN401 - an object or a list
    """What is pushed now."""
    return _ROWS[one.kind](desk, one, now_ms)


def _call(one: Subscription, **more: str) -> Call:
    """The HTTP request that would be answered with the same."""
    params = {**({"symbol": one.symbol} if one.symbol else {}), **more}
    return Call(
        inbound=Inbound(
            method="GET", path="", query="", headers={}, body=b"", arrived_ms=0, arrived_ns=0
        ),
        params=params,
    )


def _price(
    handler: Callable[[Desk, Call, int], Any], name: str
) -> Callable[[Desk, Subscription, int], Any]:
    def shown(desk: Desk, one: Subscription, now_ms: int) -> dict[str, Any]:
        return {"symbol": one.symbol, "price": handler(desk, _call(one), now_ms)[name]}

    return shown


def _rate(desk: Desk, one: Subscription, now_ms: int) -> dict[str, Any]:
    found = charts.funding_rate(desk, _call(one), now_ms)
    return {
        "symbol": one.symbol,
        "rate": found["fundingRate"],
        "nextSettleTime": found["nextSettleTime"],
    }


def _candle(desk: Desk, one: Subscription, now_ms: int) -> dict[str, Any]:
    item = BY_NAME[one.symbol]
    length_ms = charts.INTERVALS[one.interval]
    start_ms = now_ms // length_ms * length_ms
    found = tape.candle(desk.engine.market, item.instrument.symbol, start_ms, length_ms, now_ms)
    prices = {"o": found.open, "c": found.close, "h": found.high, "l": found.low}
    return {
        "symbol": one.symbol,
        "interval": one.interval,
        "t": start_ms // 1000,
        "a": found.turnover,
        "q": item.vol(found.volume),
        **prices,
        **{f"r{name}": value for name, value in prices.items()},
    }


_ROWS: Final[dict[str, Callable[[Desk, Subscription, int], Any]]] = {
    "ticker": lambda desk, one, now: public.ticker(desk, _call(one), now),
    "tickers": lambda desk, one, now: public.ticker(desk, _call(one), now),
    "fair.price": _price(public.fair_price, "fairPrice"),
    "index.price": _price(public.index_price, "indexPrice"),
    "funding.rate": _rate,
    "deal": lambda desk, one, now: charts.deals(desk, _call(one, limit="1"), now),
    "depth": lambda desk, one, now: charts.depth(desk, _call(one), now),
    "kline": _candle,
}
