"""A stand-in for the template's exchange, in memory, and the `Venue` that runs the suite over it.

Writing a stand-in from the exchange's documentation, not from the client, is what makes the suite
worth running: it must be able to contradict the client. Only what the cases need is here.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import httpx
import orjson
from pydantic import HttpUrl, SecretStr

from providers.conformance import Doing, Fault, TrueOrder, What
from providers.orders import PositionMode, Side
from providers.outcomes import OutcomeClass
from providers.settings import ExchangeSettings
from providers.template import PROVIDER, TemplateSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from providers.template.client import TemplateClient

KEY, SECRET = "template-key", "template-secret"
_FEE: Final = Decimal("0.0005")
_AHEAD_MS, _BEHIND_MS = 1000, 5000
_LOT, _TICK, _LEAST, _MOST = Decimal("0.001"), Decimal("0.1"), Decimal("0.001"), Decimal(100)
_PATHS: Final[Mapping[Doing, tuple[str, str]]] = {
    Doing.PLACE: ("POST", "/orders"),
    Doing.LOOK_UP: ("GET", "/orders"),
    Doing.POSITIONS: ("GET", "/positions"),
    Doing.SET_LEVERAGE: ("POST", "/leverage"),
    Doing.READ_SETUP: ("GET", "/leverage"),
    Doing.INSTRUMENTS: ("GET", "/instruments"),
}
_CODES: Final[Mapping[What, int]] = {
    What.UNKNOWN_CODE: 987654,
    What.MAYBE: 500,
    What.RATE_LIMITED: 300,
    What.BANNED: 301,
    What.OVERLOADED: 302,
    What.MAINTENANCE: 302,
}
_REFUSALS: Final[Mapping[OutcomeClass, int]] = {
    OutcomeClass.AUTH: 100,
    OutcomeClass.PARAMETER: 200,
    OutcomeClass.FILTER: 201,
    OutcomeClass.MARGIN: 202,
    OutcomeClass.NOT_TRADABLE: 203,
    OutcomeClass.REDUCE_ONLY: 204,
}


class _No(Exception):  # noqa: N818 - the exchange's answer
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Exchange:
    """One account, one symbol, a price, and faults to come."""

    price: Decimal = Decimal(50_000)
    size: Decimal = Decimal(0)
    entry: Decimal = Decimal(0)
    wallet: Decimal = Decimal(1_000_000)
    leverage: int = 10
    ahead_ms: int = 0
    away: bool = False
    orders: list[dict[str, Any]] = field(default_factory=list)
    arrived: list[tuple[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request as it came, or spoil it."""
        if self.away:
            raise httpx.ConnectError("refused")
        path = request.url.path
        self.arrived.append((request.method, path))
        fault = self._struck(request.method, path)
        what = fault.what if fault else None
        skew = {What.CLOCK_BEHIND: -60_000, What.CLOCK_AHEAD: 60_000}.get(what, 0) if what else 0
        if fault is None or skew or fault.executed or what is What.LATE_REPLY:
            answer = self._answer(request, skew)
            if fault is None or skew:
                return httpx.Response(200, content=orjson.dumps(answer))
        if what in (What.CUT, What.LATE_REPLY):
            raise httpx.ReadError("cut") if what is What.CUT else httpx.ReadTimeout("late")
        if what is What.SERVER_ERROR:
            return httpx.Response(502, content=b"<html>")
        if what is What.NOT_JSON:
            return httpx.Response(200, content=b"injected")
        code = _REFUSALS[fault.outcome_class] if fault.outcome_class else _CODES[fault.what]
        headers = {"Retry-After": "1"} if code in (300, 301) else {}
        body = orjson.dumps({"code": code, "text": "injected"})
        return httpx.Response(200, content=body, headers=headers)

    def _struck(self, method: str, path: str) -> Fault | None:
        for place, fault in enumerate(self.faults):
            if _PATHS.get(fault.doing) == (method, path):
                if fault.times is not None:
                    self.faults.pop(place)
                    if fault.times > 1:
                        self.faults.append(
                            Fault(fault.what, fault.doing, fault.executed, times=fault.times - 1)
                        )
                return fault
        return None

    def _answer(self, request: httpx.Request, skew_ms: int) -> dict[str, Any]:
        try:
            if "Key" in request.headers:
                self._admit(request, skew_ms)
            query = dict(parse_qsl(request.url.query.decode()))
            handler = _HANDLERS[request.method, request.url.path]
            return {"code": 0, **handler(self, query, request.content)}
        except _No as no:
            return {"code": no.code, "text": str(no)}

    def _admit(self, request: httpx.Request, skew_ms: int) -> None:
        stamp = request.headers["Time"]
        signed = stamp.encode() + (request.content or request.url.query)
        expected = hmac.digest(SECRET.encode(), signed, "sha256").hex()
        if request.headers["Key"] != KEY or request.headers["Signature"] != expected:
            raise _No(100, "signature")
        if not -_AHEAD_MS < self.now_ms() + skew_ms - int(stamp) <= _BEHIND_MS:
            raise _No(101, "timestamp")

    def now_ms(self) -> int:
        """The exchange's clock."""
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def place(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Take an order in and match it against one price."""
        del query
        asked = orjson.loads(body)
        quantity = Decimal(asked["quantity"])
        price = None if asked["price"] is None else Decimal(asked["price"])
        sign = 1 if asked["side"] == "BUY" else -1
        if asked["symbol"] != "BTCUSDT" or len(asked["clientId"]) > 32:  # noqa: PLR2004
            raise _No(200, "no such symbol, or the client id is too long")
        if quantity % _LOT or not _LEAST <= quantity <= _MOST or (price and price % _TICK):
            raise _No(201, "quantity or price")
        if any(one["clientId"] == asked["clientId"] for one in self.orders):
            raise _No(205, "client id was used before")
        if asked["reduceOnly"]:
            if self.size * sign >= 0:
                raise _No(204, "nothing to reduce")
            quantity = min(quantity, abs(self.size))
        elif quantity * self.price > self.wallet * self.leverage:
            raise _No(202, "margin")
        crosses = price is None or (price >= self.price if sign > 0 else price <= self.price)
        trades = crosses and asked["timeInForce"] != "POST_ONLY"
        rests = not crosses and asked["timeInForce"] in ("GTC", "POST_ONLY")
        filled = quantity if trades else Decimal(0)
        order = {
            **asked,
            "id": f"t-{len(self.orders) + 1}",
            "quantity": f"{quantity:f}",
            "status": "FILLED" if trades else "NEW" if rests else "CANCELED",
            "filled": f"{filled:f}",
            "average": f"{self.price:f}",
            "fee": f"{filled * self.price * _FEE:f}",
            "time": self.now_ms(),
        }
        self.orders.append(order)
        if trades:
            self._settle(quantity * sign)
        return {"id": order["id"]}

    def _settle(self, change: Decimal) -> None:
        before, self.size = self.size, self.size + change
        self.wallet -= abs(change) * self.price * _FEE
        if before * change < 0:
            closed = min(abs(before), abs(change)) * (1 if before > 0 else -1)
            self.wallet += closed * (self.price - self.entry)
        if before * self.size <= 0:
            self.entry = self.price
        elif abs(self.size) > abs(before):
            self.entry = (self.entry * abs(before) + self.price * abs(change)) / abs(self.size)

    def listed(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Orders by client id, or all since an instant, or the open ones."""
        del body
        wanted, since = query.get("clientId"), query.get("since")
        if wanted is not None:
            found = [one for one in self.orders if one["clientId"] == wanted]
        elif since is not None:
            found = [one for one in self.orders if one["time"] >= int(since)]
        else:
            found = [one for one in self.orders if one["status"] == "NEW"]
        return {"list": found}

    def cancel(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Cancel an open order."""
        for one in self.listed(query, body)["list"]:
            if one["status"] == "NEW":
                one["status"] = "CANCELED"
                return {}
        raise _No(206, "no such open order")

    def fills(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Each order fills at once, so there is one fill."""
        del body
        return {
            "list": [
                {**one, "fillId": f"f-{one['id']}", "price": one["average"]}
                for one in self.orders
                if one["id"] == query["id"] and one["status"] == "FILLED"
            ]
        }

    def held(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """The position, unless it is flat."""
        del query, body
        row = {"symbol": "BTCUSDT", "size": f"{self.size:f}", "entry": f"{self.entry:f}"}
        return {"list": [{**row, "leverage": self.leverage}] if self.size else []}

    def balances(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """The one balance."""
        del query, body
        used = abs(self.size) * self.entry / self.leverage
        row = {"total": f"{self.wallet:f}", "available": f"{self.wallet - used:f}"}
        return {"list": [{"currency": "USDT", **row}]}

    def set_leverage(self, query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Set it, within what the symbol offers."""
        del body
        if not 1 <= int(query["leverage"]) <= 100:  # noqa: PLR2004
            raise _No(200, "leverage")
        self.leverage = int(query["leverage"])
        return {}


_RULES: Final = {
    "symbol": "BTCUSDT",
    "open": True,
    "tick": f"{_TICK}",
    "lot": f"{_LOT}",
    "least": f"{_LEAST}",
    "most": f"{_MOST}",
    "leverage": 100,
}
_Handler = Callable[[Exchange, Mapping[str, str], bytes], dict[str, Any]]
_HANDLERS: Final[Mapping[tuple[str, str], _Handler]] = {
    ("GET", "/time"): lambda exchange, *_: {"now": exchange.now_ms()},
    ("GET", "/instruments"): lambda *_: {"list": [_RULES]},
    ("GET", "/mark"): lambda exchange, *_: {"price": f"{exchange.price}"},
    ("GET", "/leverage"): lambda exchange, *_: {"leverage": exchange.leverage},
    ("POST", "/leverage"): Exchange.set_leverage,
    ("POST", "/orders"): Exchange.place,
    ("GET", "/orders"): Exchange.listed,
    ("DELETE", "/orders"): Exchange.cancel,
    ("GET", "/fills"): Exchange.fills,
    ("GET", "/positions"): Exchange.held,
    ("GET", "/balances"): Exchange.balances,
}


class TemplateStage:
    """See `providers.conformance.Stage`."""

    secrets = (KEY, SECRET)

    def __init__(self) -> None:
        self.exchange = Exchange()

    def connect(self, *, wrong_secret: bool = False) -> TemplateClient:
        """Make a client whose bytes end in this process."""
        own = TemplateSettings(
            template_api_key=SecretStr(KEY),
            template_api_secret=SecretStr("another" if wrong_secret else SECRET),
            template_base_url=HttpUrl("https://standin.example"),
        )
        transport = httpx.MockTransport(self.exchange)
        return PROVIDER.create_client(ExchangeSettings(), transport=transport, own=own)

    async def inject(self, fault: Fault) -> None:
        """Have something go wrong from now on."""
        self.exchange.faults.append(fault)

    async def orders(self, client_order_id: str) -> Sequence[TrueOrder]:
        """All orders accepted under an id."""
        return [_true(o) for o in self.exchange.orders if o["clientId"] == client_order_id]

    async def arrived(self, doing: Doing) -> int:
        """How many requests of a kind have arrived."""
        arrived = self.exchange.arrived
        return len(arrived) if doing is Doing.ANYTHING else arrived.count(_PATHS[doing])

    async def hold_price(self, price: Decimal) -> None:
        """Set the price."""
        self.exchange.price = price

    async def shift_clock(self, seconds: float) -> None:
        """Put the clock forward."""
        self.exchange.ahead_ms += round(seconds * 1000)

    async def go_away(self) -> None:
        """Refuse connections."""
        self.exchange.away = True

    async def come_back(self) -> None:
        """Accept them again."""
        self.exchange.away = False
        await asyncio.sleep(0)


def _true(order: Mapping[str, Any]) -> TrueOrder:
    filled = Decimal(order["filled"])
    return TrueOrder(
        client_order_id=order["clientId"],
        exchange_order_id=order["id"],
        symbol=order["symbol"],
        side=Side(order["side"]),
        leg=None,
        reduces=order["reduceOnly"],
        quantity=Decimal(order["quantity"]),
        price=None if order["price"] is None else Decimal(order["price"]),
        filled=filled,
        value=filled * Decimal(order["average"]),
        fee=Decimal(order["fee"]),
        take_profit=None,
        stop_loss=None,
    )


@dataclass(frozen=True)
class TemplateVenue:
    """See `providers.conformance.Venue`."""

    name: str = "template"
    symbol: str = "BTCUSDT"
    quantity: Decimal = Decimal("0.01")
    price: Decimal = Decimal(50_000)
    modes: tuple[PositionMode, ...] = (PositionMode.ONE_WAY,)
    cannot: Mapping[str, str] = field(default_factory=lambda: _CANNOT)

    @asynccontextmanager
    async def stage(self, mode: PositionMode) -> AsyncIterator[TemplateStage]:
        """Open a stand-in; it has one-way mode only."""
        del mode
        yield TemplateStage()


_PROTECTION: Final = "the exchange has neither take-profit nor stop-loss"
_WHOLE: Final = "the stand-in fills every order whole and at once"
_MODES: Final = "the exchange has cross margin only, which the client says without asking"
_CANNOT: Final[Mapping[str, str]] = {
    "C12": _WHOLE,
    "C13": _WHOLE,
    "C14": "the stand-in rejects nothing that it has accepted",
    "C19": "the stand-in rejects nothing that it has accepted",
    "C33": "the exchange has one position mode",
    "C40": "the exchange has no code for it; its reduce-only refusal is C39",
    "C61": _WHOLE,
    "C62": "the stand-in hides nothing",
    "C84": "the exchange sets the leverage again and says so",
    "C89": _MODES,
    "C90": _MODES,
    **dict.fromkeys(("C100", "C101", "C102", "C103", "C104", "C105"), _PROTECTION),
}
VENUE: Final = TemplateVenue()
