"""Our client and ccxt's of one exchange, side by side, and what each would send.

No network: both are answered by a sandbox in this process, at one frozen instant. What is asked of
them is what they put on the wire, so ccxt is stopped where it would send.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import ccxt  # type: ignore[import-untyped]
import httpx

from providers.binance.client import BinanceClient
from providers.bybit.client import BybitClient
from providers.errors import ProviderError
from providers.http import Http, Timeouts
from providers.mexc.clearance import Opening
from providers.mexc.client import MexcClient
from providers.sandbox.sandbox import Options, Sandbox
from providers.sandbox.wire import Inbound
from tests.unit.providers.helpers import FakeClock

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping

    from providers.sandbox.wire import Facade, Reply

    Client = BybitClient | BinanceClient | MexcClient

NOW = 1700000000000
SYMBOL, UNIFIED = "BTCUSDT", "BTC/USDT:USDT"
CCXT = {"bybit": "bybit", "binance": "binanceusdm", "mexc": "mexc"}
_AUTHENTICATION = frozenset({"timestamp", "signature", "recvWindow"})


class StoppedError(Exception):
    """Ccxt was about to send."""


@dataclass(frozen=True)
class Sent:
    """One request, as bytes."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def meaning(self) -> dict[str, Any]:
        """Its parameters without what only authenticates, numbers whatever way they are written."""
        params: dict[str, Any] = dict(parse_qsl(self.query, keep_blank_values=True))
        kind = self.headers.get("content-type", "")
        if self.body and "urlencoded" in kind:
            params = dict(parse_qsl(self.body.decode(), keep_blank_values=True)) | params
        elif self.body:
            read = json.loads(self.body, parse_float=Decimal)
            params |= read if isinstance(read, dict) else {"items": read}
        return {
            name: _normal(value) for name, value in params.items() if name not in _AUTHENTICATION
        }


def _normal(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A number as a number, true and false as such, whether written as text or not."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    try:
        return Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        return value


@dataclass
class Pair:
    """Both clients of one venue."""

    venue: str
    facade: Facade
    key: str
    secret: str
    runner: asyncio.Runner
    recorded: list[Sent] = field(default_factory=list)
    stopping: bool = False

    def __post_init__(self) -> None:
        transport = httpx.MockTransport(self._answer_ours)
        http = Http(Timeouts(1.0, 1.0), transport)
        self.ours = self.runner.run(self._our_client(http))
        self.theirs = self._their_client()

    async def _our_client(self, http: Http) -> Client:
        clock, named = FakeClock(), (f"https://{self.venue}.test", self.key, self.secret)
        made: Client
        if self.venue == "bybit":
            made = BybitClient(*named, http, clock, recv_window_ms=5000, instruments_ttl=3600.0)
        elif self.venue == "binance":
            made = BinanceClient(*named, http, clock, recv_window_ms=5000, instruments_ttl=3600.0)
        else:
            made = MexcClient(
                *named, http, clock, instruments_ttl=3600.0, opening=Opening(True, "")
            )
        await made.instrument(SYMBOL)
        return made

    def _their_client(self) -> Any:  # noqa: ANN401 - the library has no types
        options = {"apiKey": self.key, "secret": self.secret, "enableRateLimit": False}
        client = getattr(ccxt, CCXT[self.venue])(options | {"options": {"defaultType": "swap"}})
        client.milliseconds = lambda: NOW
        client.fetch = self._answer_theirs
        client.load_markets()
        if self.venue == "bybit":
            client.is_unified_enabled()
        return client

    def we_send(self, call: Coroutine[Any, Any, object]) -> Sent:
        """The last request of a call of ours."""
        self.recorded.clear()
        self.runner.run(_whatever_comes_of(call))
        return self.recorded[-1]

    def they_send(self, call: Callable[[Any], object]) -> Sent:
        """The request of a call of theirs."""
        self.recorded.clear()
        self.stopping = True
        try:
            call(self.theirs)
        except StoppedError:
            return self.recorded[-1]
        finally:
            self.stopping = False
        raise AssertionError("ccxt sent nothing")

    def _answer_ours(self, request: httpx.Request) -> httpx.Response:
        sent = Sent(
            request.method,
            request.url.path,
            request.url.query.decode(),
            httpx.Headers(request.headers),
            request.content,
        )
        reply = self._answer(sent)
        return httpx.Response(reply.status, content=reply.body, headers=reply.headers)

    def _answer_theirs(
        self,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        parts = urlsplit(url)
        sent = Sent(
            method,
            parts.path,
            parts.query,
            httpx.Headers(headers or {}),
            (body or "").encode(),
        )
        if self.stopping:
            self.recorded.append(sent)
            raise StoppedError
        reply = self._answer(sent)
        return json.loads(reply.body)

    def _answer(self, sent: Sent) -> Reply:
        self.recorded.append(sent)
        inbound = Inbound(
            method=sent.method,
            path=sent.path,
            query=sent.query,
            headers=sent.headers,
            body=sent.body,
            arrived_ms=NOW,
            arrived_ns=NOW * 1_000_000,
        )
        call = self.facade.read(inbound)
        return self.facade.admit(call, NOW) or self.facade.execute(call, NOW)


async def _whatever_comes_of(call: Coroutine[Any, Any, object]) -> None:
    """Carry a call out; a refusal is an answer to what was sent, and that is all that matters."""
    with contextlib.suppress(ProviderError):
        await call


def pairs(runner: asyncio.Runner) -> dict[str, Pair]:
    """A pair for each venue, against one sandbox without limits."""
    sandbox = Sandbox(Options(seed=1, fill_delay=0, limits="off"))
    made = {}
    for venue, facade in sandbox.facades.items():
        keys = sandbox.start_credentials(venue)
        made[venue] = Pair(venue, facade, keys.key, keys.secret, runner)
    return made


NUMBERS = itertools.count(1)
"""Client order ids that no other example has."""
