"""MEXC contract API v1: which calls are made for what. I/O only; it decides nothing.

Signing is in `signing`, what codes mean in `codes`, contracts and their names in `contracts`, JSON
in `wire` and `setup`, and the order of work that all venues share in `providers.client_base`.
Endpoints: MEXC contract API docs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from providers.admission import Admission
from providers.calls import Call, Signed
from providers.client_base import VenueClient
from providers.clock import to_ms
from providers.errors import ExchangeRefusal, ExchangeUnavailable, RequestRefused
from providers.exchange import MarkPrice
from providers.fields import whole
from providers.limits.mexc import QUOTA
from providers.mexc import codes, setup, wire
from providers.mexc.clearance import SETTING
from providers.mexc.contracts import Listing, data_rows, read_listing
from providers.mexc.signing import PLAIN_HEADERS, make_signer, query
from providers.orders import OrderStatus
from providers.outcomes import (
    PLACEMENT_OF_CLASS,
    OutcomeClass,
    Placement,
    PlacementKind,
    permitted,
)
from providers.urls import Urls, query_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from providers.calls import Verdict
    from providers.clock import Clock
    from providers.exchange import SymbolSetup
    from providers.fields import Row
    from providers.http import Http
    from providers.mexc.clearance import Opening
    from providers.mexc.contracts import Contract
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

NAME = "mexc"
# A request is accepted up to ten seconds after its timestamp, and up to two before it.
ACCEPTED_FOR_MS = 10_000
FUTURE_TOLERANCE = timedelta(seconds=2)
RATE_PAUSE = 2.0  # seconds; limits run over two, and no header says more

_API = "/api/v1"
_CREATE = f"{_API}/private/order/create"
_CANCEL = f"{_API}/private/order/batch_cancel_with_external"
_BY_CLIENT_ID = f"{_API}/private/order/external"
_OPEN_ORDERS = f"{_API}/private/order/list/open_orders"
_HISTORY = f"{_API}/private/order/list/history_orders"
_FILLS = f"{_API}/private/order/deal_details"
_POSITIONS = f"{_API}/private/position/open_positions"
_POSITION_MODE = f"{_API}/private/position/position_mode"
_LEVERAGE = f"{_API}/private/position/leverage"
_CHANGE_LEVERAGE = f"{_API}/private/position/change_leverage"
_BALANCE = f"{_API}/private/account/assets"
_TIME = f"{_API}/contract/ping"
_INSTRUMENTS = f"{_API}/contract/detail"
_FAIR_PRICE = f"{_API}/contract/fair_price"

_PAGE = 100
_SHORTEST_FULL_PAGE = 20  # the documented default; a server that ignores our wish keeps to it
_MOST_PAGES = 50
# An order in doubt is minutes old, and history shows seven days of one contract.
_HISTORY_PAGES = 3

# What a refusal of our own, found while an order is translated, counts as.
_CLASS_OF_REFUSAL = {
    "EXCHANGE_NOT_CLEARED": OutcomeClass.NOT_TRADABLE,
    "NOT_WHOLE_CONTRACTS": OutcomeClass.FILTER,
}


class MexcClient(VenueClient):
    """One MEXC futures account; see `providers.exchange.ExchangeClient` for what methods promise.

    Args:
        base_url: scheme and host, with or without a trailing slash.
        api_key: the key.
        api_secret: its secret, which is kept in the signing function only.
        http: the seam to the network; the client closes it.
        clock: local time.
        instruments_ttl: seconds after which instruments are read anew.
        opening: whether orders that open are let through; see `check_opening`.
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
        instruments_ttl: float,
        opening: Opening,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            NAME,
            http,
            clock,
            recv_window_ms=ACCEPTED_FOR_MS,
            instruments_ttl=instruments_ttl,
            future_tolerance=FUTURE_TOLERANCE,
            admission=Admission(QUOTA, base_url, Call("POST", _CREATE), clock, sleep),
            sleep=sleep,
        )
        self._urls = Urls(base_url)
        self._authenticate = make_signer(api_key, api_secret)
        http.hide(api_key, api_secret)
        self._opening = opening
        self._listing = Listing()

    # Signing.

    def _sign(self, call: Call, timestamp_ms: int) -> Signed:
        url = self._urls.url(call.path, call.query)
        if not call.signed:
            return Signed(call.method, url, PLAIN_HEADERS, call.body)
        # The query as it will be sent, not as it was written.
        headers = self._authenticate(timestamp_ms, call.body or query_in(url))
        return Signed(call.method, url, headers, call.body)

    def _classify(self, status: int, body: bytes) -> Verdict:
        return codes.classify(status, body)

    def _pause(self, verdict: Verdict, headers: Mapping[str, str]) -> float | None:
        seconds = super()._pause(verdict, headers)
        if verdict.outcome_class is OutcomeClass.RATE_ACCOUNT:
            return max(seconds or 0.0, RATE_PAUSE)
        return seconds

    # Market data.

    async def _read_server_ms(self) -> float:
        verdict = await self._call(Call("GET", _TIME, signed=False))
        return self._parse(lambda result: whole(result, "data"), verdict.result)

    async def _load_instruments(self) -> Mapping[str, Instrument]:
        verdict = await self._read(Call("GET", _INSTRUMENTS, signed=False))
        listing, unreadable = self._parse(read_listing, verdict.result)
        if unreadable:
            # One odd listing must not keep all the others from being traded.
            _log.warning("mexc: contracts that can't be read: %s", "; ".join(unreadable[:5]))
        if listing.by_symbol:
            self._listing = listing
        return {symbol: found.instrument for symbol, found in listing.by_symbol.items()}

    async def mark_price(self, symbol: str) -> MarkPrice:
        """The mark price, read now; MEXC calls it the fair price."""
        contract = await self._contract(symbol)
        path = f"{_FAIR_PRICE}/{quote(contract.venue_symbol, safe='')}"
        verdict = await self._read(Call("GET", path, signed=False))
        price = self._parse(lambda result: wire.mark_price(result, contract), verdict.result)
        return MarkPrice(price, self._clock.now())

    # Account.

    def check_opening(self, symbol: str) -> None:
        """Refuse an opening order while `doctor` has not cleared this account; see `clearance`.

        Raises:
            RequestRefused: `EXCHANGE_NOT_CLEARED`.
        """
        if not self._opening.allowed:
            raise RequestRefused(
                "EXCHANGE_NOT_CLEARED",
                f"{symbol} can't be opened on mexc: its order endpoint has not been checked with "
                f"this key; run `trade-worker doctor --exchange mexc` and set {SETTING} to the "
                "word it prints (closing works meanwhile)",
            )

    @property
    def clearance(self) -> tuple[str, str]:
        """The setting that lets opening orders through, and the value it needs."""
        return SETTING, self._opening.word

    async def check_order(self, order: PreparedOrder) -> str:
        """Send an order for no contracts: it must be refused for that, and for nothing else.

        MEXC has nothing that looks at an order without placing it. An order of volume 0 goes the
        whole way, key, permission, contract, and can't trade.
        """
        contract = await self._contract(order.symbol)
        body = wire.empty_order_body(order, contract)
        try:
            verdict = await self._call(Call("POST", _CREATE, body=body))
        except ExchangeRefusal as error:
            if error.outcome_class is not OutcomeClass.FILTER:
                raise
            return f"an order for 0 contracts was refused for its quantity ({error.code})"
        order_id = self._parse(wire.placed_order_id, verdict.result)
        raise ExchangeUnavailable(
            NAME,
            f"an order for 0 contracts was taken, as {order_id}; look at the account",
            outcome_class=OutcomeClass.UNKNOWN,
        )

    async def position_mode(self) -> PositionMode:
        """The account's position mode, read now."""
        verdict = await self._read(Call("GET", _POSITION_MODE))
        return self._parse(setup.position_mode, verdict.result)

    async def symbol_setup(self, symbol: str) -> SymbolSetup:
        """Position mode, leverage and margin mode in force for a symbol, read now.

        Leverage and margin mode are kept for each leg; where they differ, they are None.
        """
        contract = await self._contract(symbol)
        mode, leverages = await asyncio.gather(self.position_mode(), self._leverages(contract))
        return self._parse(lambda result: setup.symbol_setup(contract, mode, result), leverages)

    async def set_leverage(
        self, symbol: str, leverage: int, margin_mode: MarginMode | None
    ) -> None:
        """Set the leverage of a symbol, both legs, where it is not so already."""
        await self._set_up(symbol, margin_mode, leverage)

    async def set_margin_mode(self, symbol: str, mode: MarginMode, leverage: int | None) -> None:
        """Set the margin mode of a symbol, both legs; MEXC sets it together with the leverage.

        Raises:
            RequestRefused: `MARGIN_MODE_CONFLICT` if a position or an order is in the other mode,
                or the contract does not offer this one.
            ExchangeError: if MEXC refuses, or does not answer.
        """
        await self._set_up(symbol, mode, leverage)

    async def _set_up(self, symbol: str, mode: MarginMode | None, leverage: int | None) -> None:
        contract = await self._contract(symbol)
        leverages, held = await asyncio.gather(
            self._leverages(contract), self._position_rows(contract)
        )
        current = self._parse(lambda items: setup.account_setup(contract, leverages, items), held)
        for body in setup.changes(contract, current, mode, leverage):
            try:
                await self._call(Call("POST", _CHANGE_LEVERAGE, body=body))
            except ExchangeRefusal as error:
                if error.code not in codes.MARGIN_MODE_CONFLICTS:
                    raise
                raise RequestRefused("MARGIN_MODE_CONFLICT", str(error)) from error

    async def positions(self, symbol: str | None = None) -> Sequence[Position]:
        """Open positions, read now."""
        contract = None if symbol is None else await self._contract(symbol)
        items = await self._position_rows(contract)
        only = await self._only(contract, items)
        return self._parse(lambda found: wire.positions(found, self._listing, only), items)

    async def balances(self) -> Sequence[Balance]:
        """Balances of the account, read now."""
        verdict = await self._read(Call("GET", _BALANCE))
        return self._parse(wire.balances, verdict.result)

    async def _leverages(self, contract: Contract) -> Row:
        call = Call("GET", _LEVERAGE, query({"symbol": contract.venue_symbol}))
        return (await self._read(call)).result

    async def _position_rows(self, contract: Contract | None) -> list[Row]:
        scope = "" if contract is None else query({"symbol": contract.venue_symbol})
        verdict = await self._read(Call("GET", _POSITIONS, scope))
        return self._parse(data_rows, verdict.result)

    # Orders.

    async def place(self, order: PreparedOrder, permit: Permit = permitted) -> Placement:
        """Sign and send one order, once; see `ExchangeClient.place`."""
        try:
            return await super().place(order, permit)
        # Both come out of `_order_call`, before anything is signed or sent.
        except RequestRefused as error:
            outcome_class = _CLASS_OF_REFUSAL.get(error.code, OutcomeClass.PARAMETER)
            return Placement(
                PLACEMENT_OF_CLASS[outcome_class], outcome_class, error.code, str(error)
            )
        except ExchangeUnavailable as error:
            return Placement(PlacementKind.DEFERRED, OutcomeClass.NOT_SENT, error.code, str(error))

    def _order_call(self, order: PreparedOrder) -> Call:
        if not order.reduce_only:
            self.check_opening(order.symbol)
        return Call("POST", _CREATE, body=wire.order_body(order, self._listed(order.symbol)))

    def _order_id(self, result: Row, order: PreparedOrder) -> str:
        del order  # the answer does not repeat the client order id
        return wire.placed_order_id(result)

    async def find_order(self, symbol: str, client_order_id: str) -> OrderView | None:
        """Look an order up by client id, then in open orders and history.

        A rejected one is not taken for the last word: the exchange may keep a second request
        under the same id as a rejected order of its own, beside the one that worked.
        """
        contract = await self._contract(symbol)
        found = await super().find_order(symbol, client_order_id)
        for source in (self._open_orders, self._recent_orders):
            if found is not None and found.status is not OrderStatus.REJECTED:
                break
            same_id = [
                view for view in await source(contract) if view.client_order_id == client_order_id
            ]
            living = [view for view in same_id if view.status is not OrderStatus.REJECTED]
            found = next(iter(living or same_id), found)
        if found is not None and found.reject_reason in wire.DUPLICATE_REASONS:
            # It speaks of another order under this id; that one tells what became of ours.
            reason = f"{found.reject_reason}, and the order that has it is not shown"
            raise ExchangeUnavailable(NAME, reason, outcome_class=OutcomeClass.UNKNOWN)
        return found

    def _lookup_calls(self, symbol: str, client_order_id: str) -> Sequence[Call]:
        names = (self._listed(symbol).venue_symbol, client_order_id)
        return (Call("GET", "/".join([_BY_CLIENT_ID, *(quote(one, safe="") for one in names)])),)

    def _orders_in(self, result: Row) -> list[OrderView]:
        return wire.looked_up(result, self._listing)

    async def open_orders(self, symbol: str | None = None) -> Sequence[OrderView]:
        """Orders that are in the book now."""
        contract = None if symbol is None else await self._contract(symbol)
        return await self._open_orders(contract)

    async def _open_orders(self, contract: Contract | None) -> list[OrderView]:
        items, whole_list = await self._pages(_OPEN_ORDERS, {}, _MOST_PAGES)
        if not whole_list:
            raise self._malformed(f"the list of {_OPEN_ORDERS} has no end")
        only = await self._only(contract, items)
        views = self._parse(lambda found: wire.order_views(found, self._listing, only), items)
        return [view for view in views if not view.status.final]

    async def _recent_orders(self, contract: Contract) -> list[OrderView]:
        scope = {"symbol": contract.venue_symbol}
        items, _ = await self._pages(_HISTORY, scope, _HISTORY_PAGES)
        return self._parse(
            lambda found: wire.order_views(found, self._listing, contract.venue_symbol), items
        )

    async def recent_orders(self, since: datetime) -> Sequence[OrderView]:
        """Finished orders of a time of at most seven days, of every contract."""
        # Latest first. A server that takes no heed of the times is read as far back as we need.
        begin = to_ms(since)
        span = {"startTime": str(begin), "endTime": str(self._server_clock.timestamp_ms())}
        items, whole_list = await self._pages(_HISTORY, span, _MOST_PAGES, begin)
        if not whole_list:
            raise self._malformed(f"the list of {_HISTORY} has no end")
        await self._only(None, items)
        return self._parse(lambda found: wire.order_views(found, self._listing, None), items)

    async def fills(self, symbol: str, order: OrderView) -> Sequence[Fill]:
        """The executions of one order, oldest first, each once."""
        contract = await self._contract(symbol)
        call = Call("GET", f"{_FILLS}/{quote(order.exchange_order_id, safe='')}")
        verdict = await self._read(call)
        return self._parse(lambda result: wire.fills(result, contract, order), verdict.result)

    async def cancel(self, symbol: str, client_order_id: str) -> None:
        """Ask to cancel an order; one that is final already, or was never there, is no error."""
        contract = await self._contract(symbol)
        body = wire.cancel_body(contract, client_order_id)
        try:
            verdict = await self._call(Call("POST", _CANCEL, body=body))
        except ExchangeRefusal as error:
            if error.outcome_class is not OutcomeClass.NOT_FOUND:
                raise
            return
        for outcome_class, code, message in self._parse(wire.cancel_failures, verdict.result):
            refused = PLACEMENT_OF_CLASS[outcome_class] is PlacementKind.REJECTED
            raise (ExchangeRefusal if refused else ExchangeUnavailable)(
                NAME,
                f"cancel of {client_order_id}: {message}",
                outcome_class=outcome_class,
                code=code,
            )

    # Contracts and lists.

    async def _contract(self, symbol: str) -> Contract:
        await self.instrument(symbol)
        return self._listed(symbol)

    def _listed(self, symbol: str) -> Contract:
        """A contract out of memory."""
        contract = self._listing.by_symbol.get(symbol)
        if contract is not None:
            return contract
        if self._listing.by_symbol:
            raise RequestRefused("UNKNOWN_SYMBOL", f"{symbol} is not a USDT perpetual of {NAME}")
        raise ExchangeUnavailable(
            NAME, "the contracts are not known yet", outcome_class=OutcomeClass.NOT_SENT
        )

    async def _only(self, contract: Contract | None, items: Sequence[Row]) -> str | None:
        """MEXC's name of the one contract wanted; where all are, have them all known."""
        if contract is not None:
            return contract.venue_symbol
        for name in {str(item.get("symbol")) for item in items}:
            if not self._listing.knows(name):
                # Listed since the last reading, perhaps; if not, the row can't be read.
                with contextlib.suppress(RequestRefused):
                    await self.instrument(name.replace("_", ""))
        return None

    async def _pages(
        self, path: str, scope: Mapping[str, str], most: int, begin_ms: int = 0
    ) -> tuple[list[Row], bool]:
        """Read a list page by page; also whether its end, or what is older, was reached."""
        items: dict[str, Row] = {}
        for number in range(1, most + 1):
            parameters = query({**scope, "page_num": number, "page_size": _PAGE})
            verdict = await self._read(Call("GET", path, parameters))
            page = self._parse(
                lambda result: {wire.identifier(one, "orderId"): one for one in data_rows(result)},
                verdict.result,
            )
            fresh = page.keys() - items.keys()
            items |= page
            over = len(page) < _SHORTEST_FULL_PAGE or not fresh
            if over or (begin_ms and self._older(page.values(), begin_ms)):
                return list(items.values()), True
        return list(items.values()), False

    def _older(self, page: Iterable[Row], begin_ms: int) -> bool:
        """Whether a page of orders, latest first, reaches back beyond an instant."""
        made = self._parse(lambda found: [whole(one, "createTime") for one in found], page)
        return min(made) < begin_ms
