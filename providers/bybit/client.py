"""Bybit V5, category linear: which calls are made for what. I/O only; it decides nothing.

Signing is in `signing`, what codes mean in `codes`, JSON in `wire`, and the order of work that
all venues share in `providers.client_base`. Endpoints: Bybit API docs, V5.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from providers.admission import Admission, Usage
from providers.bybit import codes, rights, wire
from providers.bybit.signing import make_signer
from providers.calls import Call, Signed
from providers.client_base import VenueClient
from providers.clock import to_ms
from providers.errors import ExchangeError, ExchangeRefusal, ExchangeUnavailable, RequestRefused
from providers.exchange import MarkPrice
from providers.fields import MalformedReply, rows, text, whole
from providers.limits.bybit import QUOTA
from providers.limits.quota import Scope
from providers.many import complete_fills, plainly_shown
from providers.orders import MarginMode
from providers.outcomes import OutcomeClass
from providers.urls import Urls, query_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from providers.admission import Ticket
    from providers.calls import Verdict
    from providers.clock import Clock
    from providers.exchange import KeyRights, SymbolSetup
    from providers.fields import Row
    from providers.http import Http
    from providers.orders import (
        Balance,
        Fill,
        Instrument,
        OrderView,
        Position,
        PreparedOrder,
    )

_log = logging.getLogger(__name__)

NAME = "bybit"
FUTURE_TOLERANCE = timedelta(seconds=1)

_CREATE = "/v5/order/create"
_CANCEL = "/v5/order/cancel"
_REALTIME = "/v5/order/realtime"
_HISTORY = "/v5/order/history"
_EXECUTIONS = "/v5/execution/list"
_POSITIONS = "/v5/position/list"
_SET_LEVERAGE = "/v5/position/set-leverage"
_SET_MARGIN_MODE = "/v5/account/set-margin-mode"
_ACCOUNT = "/v5/account/info"
_BALANCE = "/v5/account/wallet-balance"
_PRE_CHECK = "/v5/order/pre-check"
_KEY = "/v5/user/query-api"
_TIME = "/v5/market/time"
_INSTRUMENTS = "/v5/market/instruments-info"
_TICKERS = "/v5/market/tickers"

_JSON = {"Content-Type": "application/json"}
_MOST_PAGES = 50
_MOST_ORDERS = 50  # of a page
_MOST_EXECUTIONS = 100  # of a page
_LATEST_PAGES = 4  # of what many orders are looked for in; alone each of them costs one request
_MOST_RESET_SECONDS = 60.0  # limits run over one second; more than this would be a misreading
_MARGIN_MODE_TTL = 3600.0  # seconds; it is a setting of the whole account and hardly ever changes


class BybitClient(VenueClient):
    """One Bybit account; see `providers.exchange.ExchangeClient` for what each method promises.

    Args:
        base_url: scheme and host, with or without a trailing slash.
        api_key: the key.
        api_secret: its secret, which is kept in the signing function only.
        http: the seam to the network; the client closes it.
        clock: local time.
        recv_window_ms: how long after its timestamp Bybit may accept a request.
        instruments_ttl: seconds after which instruments are read anew.
        sleep: waits between tries of a read.
    """

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
            future_tolerance=FUTURE_TOLERANCE,
            admission=Admission(QUOTA, base_url, Call("POST", _CREATE), clock, sleep),
            sleep=sleep,
        )
        self._urls = Urls(base_url)
        self._authenticate = make_signer(api_key, api_secret, recv_window_ms)
        http.hide(api_key, api_secret)
        self._margin_mode: tuple[float, MarginMode | None] | None = None

    # Signing.

    def _sign(self, call: Call, timestamp_ms: int) -> Signed:
        url = self._urls.url(call.path, call.query)
        if not call.signed:
            return Signed(call.method, url, {}, call.body)
        # The query as it will be sent, not as it was written.
        headers = self._authenticate(timestamp_ms, call.body or query_in(url))
        if call.body:
            headers |= _JSON
        return Signed(call.method, url, headers, call.body)

    def _classify(self, status: int, body: bytes) -> Verdict:
        return codes.classify(status, body)

    def _reset_after(self, headers: Mapping[str, str]) -> float | None:
        # Milliseconds on Bybit's clock; "now" where no limit was exceeded.
        value = headers.get("x-bapi-limit-reset-timestamp", "")
        if not (value.isascii() and value.isdigit()):
            return None
        left = (int(value) - self._server_clock.timestamp_ms()) / 1000
        return min(max(left, 0.0), _MOST_RESET_SECONDS)

    def _usages(self, ticket: Ticket, headers: Mapping[str, str]) -> Iterable[Usage]:
        # Of the endpoint and account; an answer from a public endpoint speaks of something else.
        most = headers.get("x-bapi-limit", "")
        left = headers.get("x-bapi-limit-status", "")
        named = [need.limit for need in ticket.want.needs if need.limit.scope is Scope.ACCOUNT]
        if not (named and most.isascii() and most.isdigit() and left.isascii() and left.isdigit()):
            return ()
        return (Usage(named[0].name, int(most) - int(left)),)

    # Market data.

    async def _read_server_ms(self) -> float:
        verdict = await self._call(Call("GET", _TIME, signed=False))
        return self._parse(lambda result: whole(result, "timeNano"), verdict.result) / 1e6

    async def _load_instruments(self) -> Mapping[str, Instrument]:
        query = f"category={wire.CATEGORY}&limit=1000"
        items = await self._pages(_INSTRUMENTS, query, signed=False)
        listed, unreadable = wire.instruments(items)
        if unreadable:
            # One odd listing must not keep all the others from being traded.
            _log.warning("bybit: instruments that can't be read: %s", "; ".join(unreadable[:5]))
        return listed

    async def mark_price(self, symbol: str) -> MarkPrice:
        """The mark price, read now."""
        query = f"category={wire.CATEGORY}&symbol={quote(symbol, safe='')}"
        verdict = await self._read(Call("GET", _TICKERS, query, signed=False))
        price = self._parse(lambda result: wire.mark_price(result, symbol), verdict.result)
        return MarkPrice(price, self._clock.now())

    # Account.

    async def symbol_setup(self, symbol: str) -> SymbolSetup:
        """Position mode, leverage and margin mode in force for a symbol, read now.

        The margin mode belongs to the account and is read once an hour. Where it can't be read
        it is None: a close needs the position mode alone.
        """
        margin_mode, verdict = await asyncio.gather(
            self._margin_mode_if_readable(), self._read(Call("GET", _POSITIONS, _scope(symbol)))
        )
        return self._parse(
            lambda result: wire.symbol_setup(rows(result, "list"), symbol, margin_mode),
            verdict.result,
        )

    async def set_leverage(
        self, symbol: str, leverage: int, margin_mode: MarginMode | None
    ) -> None:
        """Set the leverage of a symbol, both sides; the margin mode is the account's here."""
        del margin_mode
        await self._call(Call("POST", _SET_LEVERAGE, body=wire.leverage_body(symbol, leverage)))

    async def set_margin_mode(self, symbol: str, mode: MarginMode, leverage: int | None) -> None:
        """Set the margin mode, which Bybit keeps for the whole account, not for a symbol.

        Raises:
            RequestRefused: `MARGIN_MODE_CONFLICT` if the account is in portfolio margin, which a
                single message must not end.
            ExchangeError: if Bybit refuses, with its reasons, or does not answer.
        """
        del leverage
        if await self._account_margin_mode() is None:
            raise RequestRefused(
                "MARGIN_MODE_CONFLICT",
                f"{symbol} asks for {mode} margin, but the Bybit account is in portfolio margin; "
                "leave marginMode out, or change the account by hand",
            )
        self._margin_mode = None
        await self._call(Call("POST", _SET_MARGIN_MODE, body=wire.margin_mode_body(mode)))
        self._margin_mode = (self._clock.monotonic(), mode)

    async def positions(self, symbol: str | None = None) -> Sequence[Position]:
        """Open positions, read now."""
        if symbol is None:
            items = await self._pages(_POSITIONS, f"{_scope(None)}&limit=200")
        else:  # one or two rows: no second page to ask for
            verdict = await self._read(Call("GET", _POSITIONS, _scope(symbol)))
            items = self._parse(lambda result: rows(result, "list"), verdict.result)
        return self._parse(wire.positions, items)

    async def balances(self) -> Sequence[Balance]:
        """Balances of the account, read now."""
        verdict = await self._read(Call("GET", _BALANCE, "accountType=UNIFIED"))
        return self._parse(wire.balances, verdict.result)

    async def key_rights(self) -> KeyRights:
        """What the key may do."""
        verdict = await self._read(Call("GET", _KEY))
        return self._parse(rights.key_rights, verdict.result)

    async def _account_margin_mode(self) -> MarginMode | None:
        known = self._margin_mode
        now = self._clock.monotonic()
        if known is None or now - known[0] > _MARGIN_MODE_TTL:
            verdict = await self._read(Call("GET", _ACCOUNT))
            known = self._margin_mode = (now, self._parse(wire.margin_mode, verdict.result))
        return known[1]

    async def _margin_mode_if_readable(self) -> MarginMode | None:
        try:
            return await self._account_margin_mode()
        except ExchangeError:
            return None

    # Orders.

    @property
    def worth_listing(self) -> int:
        """So many orders cost less in a list than one by one: an answer is long."""
        return 4

    def _order_call(self, order: PreparedOrder) -> Call:
        return Call("POST", _CREATE, body=wire.order_body(order))

    def _order_id(self, result: Row, order: PreparedOrder) -> str:
        if text(result, "orderLinkId") != order.client_order_id:
            raise MalformedReply("orderLinkId is not the one that was sent")
        return text(result, "orderId")

    def _lookup_calls(self, symbol: str, client_order_id: str) -> Sequence[Call]:
        # Realtime first: history lags behind it, and realtime forgets what is long finished.
        query = f"{_scope(symbol)}&orderLinkId={quote(client_order_id, safe='')}"
        return (Call("GET", _REALTIME, query), Call("GET", _HISTORY, query))

    def _orders_in(self, result: Row) -> list[OrderView]:
        return wire.order_views(result)

    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        """Look an order up by client id, over open orders, history and executions.

        Raises:
            ExchangeUnavailable: also where executions of an order are shown, and the order is not:
                views lag, each in its own way.
        """
        found = await super().find_order(symbol, client_order_id)
        if found is not None:
            return found
        query = f"{_scope(symbol)}&orderLinkId={quote(client_order_id, safe='')}&limit=1"
        verdict = await self._read(Call("GET", _EXECUTIONS, query))
        items = self._parse(lambda result: rows(result, "list"), verdict.result)
        if any(item.get("orderLinkId") == client_order_id for item in items):
            raise ExchangeUnavailable(
                NAME,
                f"executions of {client_order_id} are shown, and the order is not yet",
                outcome_class=OutcomeClass.UNKNOWN,
            )
        return None

    async def open_orders(self, symbol: str | None = None) -> Sequence[OrderView]:
        """Orders that are in the book now."""
        items = await self._pages(_REALTIME, f"{_scope(symbol)}&openOnly=0&limit=50")
        own = [item for item in items if not wire.protects_position(item)]
        views = self._parse(lambda found: [wire.order_view(item) for item in found], own)
        return [view for view in views if not view.status.final]

    async def recent_orders(self, since: datetime) -> Sequence[OrderView]:
        """Finished orders of a time of at most seven days, of every symbol."""
        query = f"{_scope(None)}&startTime={to_ms(since)}&limit=50"
        items = await self._pages(_HISTORY, query)
        own = [item for item in items if not wire.protects_position(item)]
        return self._parse(lambda found: [wire.order_view(item) for item in found], own)

    async def find_orders(
        self, wanted: Mapping[str, str], since: datetime
    ) -> Mapping[str, OrderView]:
        """Look orders up in the list of the latest finished ones of every symbol.

        Where many are not among them, the open ones are read too.
        """
        del since  # Bybit has the latest 500, and they are asked for while they are young
        found: dict[str, OrderView] = {}
        for finished in (1, 0):
            left = {name: symbol for name, symbol in wanted.items() if name not in found}
            if finished or len(left) >= self.worth_listing:
                query = f"{_scope(None)}&openOnly={finished}&limit={_MOST_ORDERS}"
                own = await self._latest(_REALTIME, query, "orderLinkId", left)
                views = self._parse(lambda rows: [wire.order_view(item) for item in rows], own)
                found |= plainly_shown(views, left)
        return found

    async def fills_of_many(
        self, orders: Sequence[OrderView], since: datetime
    ) -> Mapping[str, Sequence[Fill]]:
        """Read the executions of orders from the list of those of every symbol."""
        query = f"category={wire.CATEGORY}&startTime={to_ms(since)}&limit={_MOST_EXECUTIONS}"
        wanted = {order.exchange_order_id for order in orders}
        own = await self._latest(_EXECUTIONS, query, "orderId", wanted)
        return complete_fills(self._parse(wire.fills, own), orders)

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        """The executions of one order, oldest first, each once."""
        order_id = quote(order.exchange_order_id, safe="")
        items = await self._pages(_EXECUTIONS, f"{_scope(symbol)}&orderId={order_id}&limit=100")
        own = [item for item in items if item.get("orderId") == order.exchange_order_id]
        return self._parse(wire.fills, own)

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        """Ask to cancel an order; one that is final already, or was never there, is no error."""
        body = wire.cancel_body(symbol, client_order_id)
        try:
            await self._call(Call("POST", _CANCEL, body=body))
        except ExchangeRefusal as error:
            if error.outcome_class is not OutcomeClass.NOT_FOUND:
                raise

    async def check_order(self, order: PreparedOrder) -> str:
        """Have Bybit look at an order without placing it.

        Its pre-check is not for isolated margin; there, what needs the same right is asked for:
        to cancel an order that does not exist.
        """
        if await self._account_margin_mode() is MarginMode.ISOLATED:
            await self.cancel(order.symbol, order.client_order_id)
            return "the key may trade (tried by cancelling an order that does not exist)"
        await self._call(Call("POST", _PRE_CHECK, body=wire.order_body(order)))
        return "an order was looked at and found good (order/pre-check)"

    # Lists.

    async def _pages(self, path: str, query: str, *, signed: bool = True) -> list[Row]:
        """Read a list to its end; never a part of one in its place."""
        items: list[Row] = []
        cursor = ""
        for _ in range(_MOST_PAGES):
            page, following = await self._page(path, query, cursor, signed=signed)
            items += page
            if not page or not following:
                return items
            if following == cursor:
                break
            cursor = following
        raise self._malformed(f"the list of {path} has no end")

    async def _latest(
        self, path: str, query: str, field: str, wanted: Collection[str]
    ) -> list[Row]:
        """Read a list, latest first, as far back as it has rows that are wanted; gives these."""
        own: list[Row] = []
        cursor = ""
        for _ in range(_LATEST_PAGES):
            page, following = await self._page(path, query, cursor)
            here = [row for row in page if row.get(field) in wanted]
            own += here
            behind = bool(own) and not here
            if behind or not following or len({row[field] for row in own}) == len(wanted):
                break
            cursor = following
        return own

    async def _page(
        self, path: str, query: str, cursor: str, *, signed: bool = True
    ) -> tuple[list[Row], str]:
        """Read a page of a list; gives its rows and the next one's cursor, empty after the last."""
        # Cursors come percent-encoded and go back as they are.
        paged = f"{query}&cursor={cursor}" if cursor else query
        verdict = await self._read(Call("GET", path, paged, signed=signed))
        page = self._parse(lambda result: rows(result, "list"), verdict.result)
        following = verdict.result.get("nextPageCursor") or ""
        if not isinstance(following, str):
            raise self._malformed(f"the list of {path} has no end")
        return page, following


def _scope(symbol: str | None) -> str:
    """The part of a query that says whose rows are wanted; a symbol or a coin is mandatory."""
    if symbol is None:
        return f"category={wire.CATEGORY}&settleCoin={wire.SETTLE_COIN}"
    return f"category={wire.CATEGORY}&symbol={quote(symbol, safe='')}"
