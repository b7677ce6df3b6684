"""Binance USDⓈ-M futures: which calls are made for what. I/O only; it decides nothing.

Signing is in `signing`, what codes mean in `codes` and `limits`, JSON in `wire`, `listing` and
`protection`, and the order of work that all venues share in `providers.client_base`. Endpoints:
Binance API docs, USDⓈ-M futures.

Binance forgets a client order id as soon as its order is final, so the id alone keeps nothing
from being executed twice. Nothing in here sends an order a second time, except after a refusal
for its timestamp; whoever does it later must have looked it up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import httpx

from providers.admission import Admission
from providers.binance import codes, limits, listing, protection, rights, wire
from providers.binance.signing import KEY_HEADER, make_signer, query_of
from providers.calls import Call, Signed
from providers.client_base import VenueClient
from providers.clock import to_ms
from providers.errors import ExchangeError, ExchangeRefusal, ExchangeUnavailable
from providers.exchange import KeyRights, MarkPrice, SymbolSetup
from providers.fields import rows, whole
from providers.limits.binance import QUOTA
from providers.many import complete_fills, plainly_shown
from providers.outcomes import OutcomeClass, Placement, PlacementKind, permitted
from providers.urls import Urls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from providers.admission import Ticket, Usage
    from providers.calls import Verdict
    from providers.clock import Clock
    from providers.fields import Row
    from providers.http import Answer, Http
    from providers.orders import (
        Balance,
        Fill,
        Instrument,
        MarginMode,
        OrderView,
        Position,
        PositionMode,
        PreparedOrder,
    )
    from providers.outcomes import Permit

_log = logging.getLogger(__name__)

NAME = "binance"
FUTURE_TOLERANCE = timedelta(seconds=1)

_ORDER = "/fapi/v1/order"
_ORDER_TEST = "/fapi/v1/order/test"
_OPEN_ORDER = "/fapi/v1/openOrder"
_OPEN_ORDERS = "/fapi/v1/openOrders"
_ALL_ORDERS = "/fapi/v1/allOrders"
_ALGO_ORDER = "/fapi/v1/algoOrder"
_TRADES = "/fapi/v1/userTrades"
_POSITIONS = "/fapi/v3/positionRisk"
_BALANCE = "/fapi/v3/balance"
_LEVERAGE = "/fapi/v1/leverage"
_MARGIN_TYPE = "/fapi/v1/marginType"
_SYMBOL_CONFIG = "/fapi/v1/symbolConfig"
_POSITION_MODE = "/fapi/v1/accountConfig"  # for a sixth of the weight of positionSide/dual
_BRACKETS = "/fapi/v1/leverageBracket"
_TIME = "/fapi/v1/time"
_EXCHANGE_INFO = "/fapi/v1/exchangeInfo"
_MARK_PRICE = "/fapi/v1/premiumIndex"

_MOST_ROWS = 1000  # of a page of orders or trades
_MOST_PAGES = 20
_POSITION_MODE_TTL = 3600.0  # seconds; it is a setting of the whole account, and costly to read


class BinanceClient(VenueClient):
    """One Binance account; see `providers.exchange` for what each method promises.

    An `ExchangeClient` that also `ProtectsAfterFill`: take-profit and stop-loss of an order are
    not sent with it, `protect` places them once something is filled. `AccountPositionMode` too.

    Args:
        base_url: scheme and host, with or without a trailing slash.
        api_key: the key.
        api_secret: its secret, which is kept in the signing function only.
        http: the seam to the network; the client closes it.
        clock: local time.
        recv_window_ms: how long after its timestamp Binance may accept a request.
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
            admission=Admission(QUOTA, base_url, Call("POST", _ORDER), clock, sleep),
            sleep=sleep,
        )
        self._urls = Urls(base_url)
        rights_url = rights.base_url_for_rights(base_url.rstrip("/"), httpx.URL(base_url).host)
        self._rights_urls = None if rights_url is None else Urls(rights_url)
        self._sign_query = make_signer(api_secret, recv_window_ms)
        http.hide(api_key, api_secret)
        self._headers: Callable[[], dict[str, str]] = lambda: {KEY_HEADER: api_key}
        self._position_mode: tuple[float, PositionMode] | None = None
        self._reading_mode = asyncio.Lock()
        self._most_leverages: Mapping[str, int] = {}
        self._used_weight = limits.UsedWeight()

    # Signing and limits.

    def _sign(self, call: Call, timestamp_ms: int) -> Signed:
        query = self._sign_query(timestamp_ms, call.query) if call.signed else call.query
        urls = self._rights_urls if call.path == rights.PATH else self._urls
        assert urls is not None  # noqa: S101 - `key_rights` asks for them only where there are any
        url = urls.url(call.path, query)
        return Signed(call.method, url, self._headers() if call.signed else {}, call.body)

    def _classify(self, status: int, body: bytes) -> Verdict:
        return codes.classify(status, body)

    def _reset_after(self, headers: Mapping[str, str]) -> float | None:
        return limits.left_of_counted(headers, self._server_clock.timestamp_ms())

    def _pause(self, verdict: Verdict, headers: Mapping[str, str]) -> float | None:
        now_ms = self._server_clock.timestamp_ms()
        if verdict.outcome_class is OutcomeClass.RATE_IP:
            banned = limits.left_of_ban(verdict.message, now_ms)
            if banned is not None:
                return banned
        seconds = super()._pause(verdict, headers)
        return limits.left_after(verdict, now_ms) if seconds is None else seconds

    def _note_limits(self, verdict: Verdict, answer: Answer, ticket: Ticket) -> float | None:
        self._used_weight.note(answer.headers, self._server_clock.timestamp_ms())
        return super()._note_limits(verdict, answer, ticket)

    def _usages(self, ticket: Ticket, headers: Mapping[str, str]) -> Iterable[Usage]:
        del ticket
        return limits.usages(headers, self._server_clock.timestamp_ms())

    # Market data.

    async def _read_server_ms(self) -> float:
        verdict = await self._call(Call("GET", _TIME, signed=False))
        return self._parse(lambda result: whole(result, "serverTime"), verdict.result)

    async def _load_instruments(self) -> Mapping[str, Instrument]:
        verdict, leverages = await asyncio.gather(
            self._read(Call("GET", _EXCHANGE_INFO, signed=False)), self._read_most_leverages()
        )
        items = self._parse(lambda result: rows(result, "symbols"), verdict.result)
        listed, unreadable = listing.instruments(items, leverages)
        if unreadable:
            # One odd listing must not keep all the others from being traded.
            _log.warning("binance: instruments that can't be read: %s", "; ".join(unreadable[:5]))
        return listed

    async def _read_most_leverages(self) -> Mapping[str, int]:
        """The most leverage of each symbol; where it can't be read, what was read before."""
        try:
            items = await self._rows(Call("GET", _BRACKETS))
            self._most_leverages = listing.most_leverages(items)
        except ExchangeError as error:
            # The exchange itself refuses a leverage that is too high.
            _log.warning("binance: leverage brackets can't be read: %s", error)
        return self._most_leverages

    async def mark_price(self, symbol: str) -> MarkPrice:
        """The mark price, read now."""
        verdict = await self._read(Call("GET", _MARK_PRICE, wire.scope(symbol), signed=False))
        price = self._parse(lambda result: wire.mark_price(result, symbol), verdict.result)
        return MarkPrice(price, self._clock.now())

    # Account.

    async def symbol_setup(self, symbol: str) -> SymbolSetup:
        """Position mode, leverage and margin mode in force for a symbol, read now.

        The position mode belongs to the account and is read once an hour, and again after an
        order was refused because of it.
        """
        mode, (leverage, margin_mode) = await asyncio.gather(
            self._known_position_mode(), self._symbol_config(symbol)
        )
        return SymbolSetup(mode, leverage, margin_mode)

    async def position_mode(self) -> PositionMode:
        """The position mode of the whole account, read now."""
        verdict = await self._read(Call("GET", _POSITION_MODE))
        mode = self._parse(wire.position_mode, verdict.result)
        self._position_mode = (self._clock.monotonic(), mode)
        return mode

    async def set_leverage(
        self, symbol: str, leverage: int, margin_mode: MarginMode | None
    ) -> None:
        """Set the leverage of a symbol, both sides; the margin mode has no part in it here."""
        del margin_mode
        query = wire.leverage_query(symbol, leverage)
        verdict = await self._call(Call("POST", _LEVERAGE, query))
        in_force = self._parse(lambda result: whole(result, "leverage"), verdict.result)
        if in_force != leverage:
            raise self._malformed(f"leverage is {in_force}, not {leverage}, which was set")

    async def set_margin_mode(self, symbol: str, mode: MarginMode, leverage: int | None) -> None:
        """Set the margin mode of a symbol, unless it is so already.

        It is read first, because on some accounts setting what is in force is refused as if it
        were a change.
        """
        del leverage
        _, in_force = await self._symbol_config(symbol)
        if in_force is not mode:
            await self._call(Call("POST", _MARGIN_TYPE, wire.margin_mode_query(symbol, mode)))

    async def positions(self, symbol: str | None = None) -> Sequence[Position]:
        """Open positions with margin in USDT, read now; Binance does not tell their leverage."""
        items = await self._rows(Call("GET", _POSITIONS, wire.scope(symbol)))
        return self._parse(wire.positions, items)

    async def balances(self) -> Sequence[Balance]:
        """Balances of the futures account, read now."""
        return self._parse(wire.balances, await self._rows(Call("GET", _BALANCE)))

    async def key_rights(self) -> KeyRights | None:
        """What the key may do; see `rights` for where that is asked."""
        if self._rights_urls is None:
            return None
        verdict = await self._read(Call("GET", rights.PATH))
        return self._parse(rights.key_rights, verdict.result)

    async def _known_position_mode(self) -> PositionMode:
        async with self._reading_mode:  # once for all symbols, for it is the dearest of all reads
            known = self._position_mode
            if known is None or self._clock.monotonic() - known[0] > _POSITION_MODE_TTL:
                return await self.position_mode()
            return known[1]

    async def _symbol_config(self, symbol: str) -> tuple[Decimal, MarginMode]:
        items = await self._rows(Call("GET", _SYMBOL_CONFIG, wire.scope(symbol)))
        return self._parse(lambda found: wire.symbol_config(found, symbol), items)

    # Orders.

    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        """Sign and send one order, once; see `ExchangeClient.place`.

        Take-profit and stop-loss are not part of it: call `protect` once something is filled.
        """
        placement = await super().place(order, permit)
        if placement.code in codes.MODE_MISMATCH:
            self._position_mode = None
        return placement

    def _order_call(self, order: PreparedOrder) -> Call:
        return Call("POST", _ORDER, wire.order_query(order))

    def _order_id(self, result: Row, order: PreparedOrder) -> str:
        return wire.accepted_id(result, order.client_order_id)

    def _lookup_calls(self, symbol: str, client_order_id: str) -> Sequence[Call]:
        # The first knows open and finished orders; the second is asked as well because "not
        # found" may be read lag, and is what allows an order to be sent again.
        query = wire.lookup_query(symbol, client_order_id)
        return (Call("GET", _ORDER, query), Call("GET", _OPEN_ORDER, query))

    def _orders_in(self, result: Row) -> list[OrderView]:
        return [wire.order_view(result)]

    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        """Look an order up by client id, over open orders and history.

        An order that is final comes with its fee, from its fills, where these can be read at
        once and were all paid in one currency.
        """
        found = await super().find_order(symbol, client_order_id)
        if found is None:
            found = await self._find_among_recent(symbol, client_order_id)
        if found is None or not found.status.final or found.filled_quantity == 0:
            return found
        return await self._with_fee(found)

    async def _find_among_recent(self, symbol: str, client_order_id: str) -> OrderView | None:
        """Look through the latest orders of the last seven days."""
        query = query_of({"symbol": symbol, "limit": str(_MOST_ROWS)})
        for item in reversed(await self._rows(Call("GET", _ALL_ORDERS, query))):
            if item.get("clientOrderId") == client_order_id:
                return self._parse(wire.order_view, item)
        return None

    async def _with_fee(self, order: OrderView) -> OrderView:
        if not self._has_time:
            return order
        try:
            found = await self._read_fills(order.symbol, order, self._call_at_once)
        except ExchangeError:
            return order
        fee, currency = wire.total_fee(found)
        return replace(order, fee=fee, fee_currency=currency)

    @property
    def _has_time(self) -> bool:
        """Whether what can wait may be asked for now."""
        now_ms = self._server_clock.timestamp_ms()
        return not self._admission.busy and self._used_weight.below_half(now_ms)

    async def _call_at_once(self, call: Call) -> Verdict:
        """Ask once, and do not wait for it: a fee must not hold up what is known."""
        return await self._call(call._replace(patient=False))

    async def open_orders(self, symbol: str | None = None) -> Sequence[OrderView]:
        """Orders that are in the book now; conditional orders are not among them."""
        items = await self._rows(Call("GET", _OPEN_ORDERS, wire.scope(symbol)))
        views = self._parse(lambda found: [wire.order_view(item) for item in found], items)
        return [view for view in views if not view.status.final]

    async def recent_orders(self, since: datetime) -> Sequence[OrderView]:
        """Orders of any state made in a time of at most seven days, of every symbol."""
        found: dict[str, Row] = {}
        begin = to_ms(since)
        for _ in range(_MOST_PAGES):
            query = wire.recent_query(begin, _MOST_ROWS)
            page = await self._rows(Call("GET", _ALL_ORDERS, query))
            fresh = self._parse(
                lambda items: {str(whole(one, "orderId")): one for one in items}, page
            )
            more = len(page) >= _MOST_ROWS and not fresh.keys() <= found.keys()
            found |= fresh
            if not more:
                items = list(found.values())
                return self._parse(lambda rows: [wire.order_view(one) for one in rows], items)
            begin = self._parse(lambda items: max(whole(one, "time") for one in items), page)
        raise self._malformed(f"the list of {_ALL_ORDERS} has no end")

    @property
    def worth_listing(self) -> int:
        """So many orders cost less in a list (weight 5) than one by one (weight 1 each)."""
        return 6

    async def find_orders(
        self, wanted: Mapping[str, str], since: datetime
    ) -> Mapping[str, OrderView]:
        """Look orders up in the list of those of every symbol.

        Those that are final come with their fee as by `find_order`.
        """
        items = await self._rows(
            Call("GET", _ALL_ORDERS, wire.recent_query(to_ms(since), _MOST_ROWS))
        )
        own = [item for item in items if item.get("clientOrderId") in wanted]
        views = self._parse(lambda found: [wire.order_view(item) for item in found], own)
        found = plainly_shown(views, wanted)
        return found | await self._with_fees(found.values(), since)

    async def _with_fees(
        self, orders: Iterable[OrderView], since: datetime
    ) -> dict[str, OrderView]:
        """Give the orders whose fees can be read at once with them, by client order id."""
        filled = [one for one in orders if one.status.final and one.filled_quantity]
        if not filled or not self._has_time:
            return {}
        try:
            executions = await self._executions(filled, since, self._call_at_once)
        except ExchangeError:
            return {}
        known = [one for one in filled if one.client_order_id in executions]
        fees = [wire.total_fee(executions[one.client_order_id]) for one in known]
        return {
            one.client_order_id: replace(one, fee=fee, fee_currency=currency)
            for one, (fee, currency) in zip(known, fees, strict=True)
        }

    async def fills_of_many(
        self, orders: Sequence[OrderView], since: datetime
    ) -> Mapping[str, Sequence[Fill]]:
        """Read the executions of orders, those of each symbol with one request.

        An order that is alone in its symbol is left out: alone it costs as much.
        """
        times = Counter(order.symbol for order in orders)
        shared = [order for order in orders if times[order.symbol] > 1]
        return await self._executions(shared, since, self._read)

    async def _executions(
        self,
        orders: Sequence[OrderView],
        since: datetime,
        read: Callable[[Call], Awaitable[Verdict]],
    ) -> dict[str, Sequence[Fill]]:
        complete: dict[str, Sequence[Fill]] = {}
        for symbol in dict.fromkeys(order.symbol for order in orders):
            query = wire.recent_query(to_ms(since), _MOST_ROWS, symbol)
            items = await self._rows(Call("GET", _TRADES, query), read)
            for order in orders:
                if order.symbol == symbol:
                    name = order.exchange_order_id
                    found = self._parse(partial(wire.fills, order_id=name), items)
                    complete |= complete_fills(found, [order])
        return complete

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        """The executions of one order, oldest first, each once.

        Raises:
            ExchangeUnavailable: also where less is shown than was filled: fills lag behind the
                order, and are shown for seven days.
        """
        return await self._read_fills(symbol, order, self._read)

    async def _read_fills(
        self, symbol: str, order: OrderView, read: Callable[[Call], Awaitable[Verdict]]
    ) -> list[Fill]:
        order_id = order.exchange_order_id
        items: list[Row] = []
        from_id = None
        for _ in range(_MOST_PAGES):
            query = wire.fills_query(symbol, order_id, _MOST_ROWS, from_id)
            page = await self._rows(Call("GET", _TRADES, query), read)
            items += page
            if len(page) < _MOST_ROWS:
                break
            from_id = self._parse(lambda found: max(whole(one, "id") for one in found), page) + 1
        found = self._parse(lambda all_items: wire.fills(all_items, order_id), items)
        shown = sum((fill.quantity for fill in found), Decimal(0))
        if shown < order.filled_quantity:
            raise ExchangeUnavailable(
                self._name,
                f"fills of {shown:f} are shown of {order.filled_quantity:f}; ask again later",
                outcome_class=OutcomeClass.UNKNOWN,
            )
        return found

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        """Ask to cancel an order; one that is final already, or was never there, is no error."""
        query = wire.lookup_query(symbol, client_order_id)
        try:
            await self._call(Call("DELETE", _ORDER, query))
        except ExchangeRefusal as error:
            if error.outcome_class is not OutcomeClass.NOT_FOUND:
                raise
            found = await super().find_order(symbol, client_order_id)
            if found is not None and not found.status.final:
                raise

    async def check_order(self, order: PreparedOrder) -> str:
        """Have Binance look at an order without placing it."""
        await self._call(Call("POST", _ORDER_TEST, wire.order_query(order)))
        return "an order was looked at and found good (order/test)"

    # Take-profit and stop-loss.

    async def protect(
        self, order: PreparedOrder, filled: OrderView, permit: Permit = permitted
    ) -> Sequence[Placement]:
        """Place the take-profit and stop-loss of an order; see `ProtectsAfterFill.protect`."""
        wanted = protection.protective_orders(order, filled)
        return await asyncio.gather(*(self._protect_with(one, order, permit) for one in wanted))

    async def _protect_with(
        self, wanted: protection.ProtectiveOrder, order: PreparedOrder, permit: Permit
    ) -> Placement:
        try:
            known = await self._find_protective(wanted)
        except ExchangeError as error:
            return Placement(
                PlacementKind.DEFERRED,
                OutcomeClass.NOT_SENT,
                error.code,
                f"{wanted.kind} was not sent, because it can't be looked up: {error}",
                retry_after=error.retry_after,
            )
        if known is not None:
            algo_id, status = known
            return Placement(
                PlacementKind.DUPLICATE,
                OutcomeClass.DUPLICATE_ID,
                message=f"{wanted.kind} was placed before and is {status}",
                exchange_order_id=algo_id,
            )
        call = Call("POST", _ALGO_ORDER, protection.placing_query(wanted))
        # Of the order, only the id that the answer must name is used.
        return await self._place_call(
            call, replace(order, client_order_id=wanted.client_algo_id), permit
        )

    async def _find_protective(self, wanted: protection.ProtectiveOrder) -> tuple[str, str] | None:
        query = protection.lookup_query(wanted)
        try:
            verdict = await self._read(Call("GET", _ALGO_ORDER, query))
        except ExchangeRefusal as error:
            if error.outcome_class is OutcomeClass.NOT_FOUND:
                return None
            raise
        return self._parse(protection.id_and_status, verdict.result)

    # Lists.

    async def _rows(
        self, call: Call, read: Callable[[Call], Awaitable[Verdict]] | None = None
    ) -> list[Row]:
        """Read a list."""
        verdict = await (read or self._read)(call)
        return self._parse(lambda result: rows(result, codes.LIST), verdict.result)
