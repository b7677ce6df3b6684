"""Which calls are made for what. I/O only; it decides nothing.

`VenueClient` brings what all exchanges share: one send, one more after a clock error, reads that
are tried again, the ban of an address, the instruments, what is told of each request. What is left
is this exchange's paths, its signature, and its words.
"""

from __future__ import annotations

import asyncio
import hmac
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from providers.admission import Admission
from providers.calls import Call, Signed
from providers.client_base import VenueClient
from providers.clock import to_ms
from providers.errors import ExchangeRefusal, RequestRefused
from providers.exchange import MarkPrice, SymbolSetup
from providers.fields import positive, rows, text, whole
from providers.limits.quota import Endpoint, Published, Quota, listed
from providers.orders import MarginMode, PositionMode
from providers.outcomes import OutcomeClass
from providers.template import codes, wire
from providers.urls import Urls, query_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from providers.calls import Verdict
    from providers.clock import Clock
    from providers.fields import Row
    from providers.http import Http
    from providers.orders import Balance, Fill, Instrument, OrderView, Position, PreparedOrder

NAME = "template"

# The limits as the exchange publishes them; requests wait for their turn before they are signed.
QUOTA = Quota(
    venue=NAME,
    limits=listed(Published("all", 100, 1000)),
    endpoints={},
    otherwise=Endpoint((("all", 1),)),
)


class TemplateClient(VenueClient):
    """One account; see `providers.exchange.ExchangeClient` for what each method promises."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        api_secret: str,
        http: Http,
        clock: Clock,
        *,
        recv_window_ms: int,
        instruments_ttl: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            NAME,
            http,
            clock,
            recv_window_ms=recv_window_ms,
            instruments_ttl=instruments_ttl,
            future_tolerance=timedelta(seconds=1),
            admission=Admission(QUOTA, base_url, Call("POST", "/orders"), clock, sleep),
            sleep=sleep,
        )
        self._urls = Urls(base_url)

        # Key and secret live in this function's closure, which no `repr` shows.
        def authenticate(timestamp_ms: int, signed: bytes) -> dict[str, str]:
            message = f"{timestamp_ms}".encode() + signed
            signature = hmac.digest(api_secret.encode(), message, "sha256").hex()
            return {"Key": api_key, "Time": str(timestamp_ms), "Signature": signature}

        self._authenticate = authenticate

    def _sign(self, call: Call, timestamp_ms: int) -> Signed:
        url = self._urls.url(call.path, call.query)
        headers = (
            self._authenticate(timestamp_ms, call.body or query_in(url)) if call.signed else {}
        )
        return Signed(call.method, url, headers, call.body)

    def _classify(self, status: int, body: bytes) -> Verdict:
        return codes.classify(status, body)

    async def _read_server_ms(self) -> float:
        verdict = await self._call(Call("GET", "/time", signed=False))
        return self._parse(lambda result: whole(result, "now"), verdict.result)

    async def _load_instruments(self) -> Mapping[str, Instrument]:
        items = await self._rows("/instruments", signed=False)
        found = self._parse(lambda all_items: [wire.instrument(one) for one in all_items], items)
        return {one.symbol: one for one in found}

    async def mark_price(self, symbol: str) -> MarkPrice:
        """The mark price, read now."""
        query = urlencode({"symbol": symbol})
        verdict = await self._read(Call("GET", "/mark", query, signed=False))
        price = self._parse(lambda result: positive(result, "price"), verdict.result)
        return MarkPrice(price, self._clock.now())

    async def symbol_setup(self, symbol: str) -> SymbolSetup:
        """This exchange has one net position a symbol and cross margin, and nothing else."""
        verdict = await self._read(Call("GET", "/leverage", urlencode({"symbol": symbol})))
        leverage = self._parse(lambda result: whole(result, "leverage"), verdict.result)
        return SymbolSetup(PositionMode.ONE_WAY, Decimal(leverage), MarginMode.CROSS)

    async def set_leverage(
        self, symbol: str, leverage: int, margin_mode: MarginMode | None
    ) -> None:
        """Set the leverage of a symbol."""
        del margin_mode
        query = urlencode({"symbol": symbol, "leverage": leverage})
        await self._call(Call("POST", "/leverage", query))

    async def set_margin_mode(self, symbol: str, mode: MarginMode, leverage: int | None) -> None:
        """There is cross margin only."""
        del leverage
        if mode is not MarginMode.CROSS:
            raise RequestRefused("MARGIN_MODE_CONFLICT", f"{symbol}: {NAME} has cross margin only")

    async def positions(self, symbol: str | None = None) -> Sequence[Position]:
        """Open positions, read now."""
        items = await self._rows("/positions", symbol)
        return self._parse(lambda found: [wire.position(one) for one in found], items)

    async def balances(self) -> Sequence[Balance]:
        """Balances, read now."""
        items = await self._rows("/balances")
        return self._parse(lambda found: [wire.balance(one) for one in found], items)

    def _order_call(self, order: PreparedOrder) -> Call:
        return Call("POST", "/orders", body=wire.order_body(order))

    def _order_id(self, result: Row, order: PreparedOrder) -> str:
        del order
        return text(result, "id")

    def _lookup_calls(self, symbol: str, client_order_id: str) -> Sequence[Call]:
        query = urlencode({"symbol": symbol, "clientId": client_order_id})
        return (Call("GET", "/orders", query),)

    def _orders_in(self, result: Row) -> list[OrderView]:
        return [wire.order_view(item) for item in rows(result, "list")]

    async def open_orders(self, symbol: str | None = None) -> Sequence[OrderView]:
        """Orders that are in the book now."""
        items = await self._rows("/orders", symbol, open="true")
        return self._parse(lambda found: [wire.order_view(one) for one in found], items)

    async def recent_orders(self, since: datetime) -> Sequence[OrderView]:
        """Orders of any state since an instant."""
        items = await self._rows("/orders", since=str(to_ms(since)))
        return self._parse(lambda found: [wire.order_view(one) for one in found], items)

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        """The executions of one order, oldest first, each once."""
        items = await self._rows("/fills", symbol, id=order.exchange_order_id)
        return self._parse(lambda found: [wire.fill(one) for one in found], items)

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        """Ask to cancel an order; one that is final already is not an error."""
        query = urlencode({"symbol": symbol, "clientId": client_order_id})
        try:
            await self._call(Call("DELETE", "/orders", query))
        except ExchangeRefusal as error:
            if error.outcome_class is not OutcomeClass.NOT_FOUND:
                raise

    async def _rows(
        self, path: str, symbol: str | None = None, *, signed: bool = True, **more: str
    ) -> list[Row]:
        query = urlencode({"symbol": symbol, **more} if symbol else more)
        verdict = await self._read(Call("GET", path, query, signed=signed))
        return self._parse(lambda result: rows(result, "list"), verdict.result)
