"""Binance USDⓈ-M futures as its customers see it: routes, gate, limits, answers, headers.

After Binance's public USDⓈ-M futures documentation. A success is the bare result; an error is an
HTTP status of 400 and above with `{"code", "msg"}`. Paths begin with `/fapi` below the base URL.

Variants (see `variants.py`), where Binance does not say, or differs by time or account:
    place_reply: `new`, an acknowledgement; or `settled`, the state after filling, for `RESULT`.
    commission_asset: `USDT`; `BNB`, as for accounts that pay fees so; or `mixed`, by turns.
    reduce_only_excess: a one-way reduce-only above the position is `trimmed`, or `rejected`.
    hedge_close_notional: a close in hedge mode is `exempt` from the least notional, or not.
    retry_after: with a 429 or 418, the header is `absent`, or `sent`.
    unknown_parameters: are `ignored`, as clients rely on, or `refused` with -1104.
    unrouted_streams: stream paths without a route deliver `public` data only, or `all`.
    key_rights: the key may `trade`, `withdraw` as well, or is `read_only`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from providers.sandbox.account import Account
from providers.sandbox.binance import accounts, codes, gate, limits, public, streams
from providers.sandbox.binance.algo import AlgoBook
from providers.sandbox.binance.codes import REFUSALS, BinanceError, Code
from providers.sandbox.binance.desk import Desk, ListenKeys, Timers
from providers.sandbox.binance.instruments import CONTRACTS
from providers.sandbox.binance.routes import ROUTES, Route, Security
from providers.sandbox.engine import Engine
from providers.sandbox.faults import FaultKind, FaultRule
from providers.sandbox.limits import IP_CAP, Cap, LimitsSetting
from providers.sandbox.market import Market
from providers.sandbox.rules import DuplicateIds, VenueRules
from providers.sandbox.values import PositionMode, Refused
from providers.sandbox.variants import KEY_RIGHTS, READ_ONLY, RIGHTS, Variants
from providers.sandbox.wire import Call, Inbound, Reply

if TYPE_CHECKING:
    from providers.sandbox.streams import Session
    from providers.sandbox.truth import Truth

VENUE: Final = "binance"

VARIANTS: Final = {
    "place_reply": ("new", "settled"),
    "commission_asset": ("USDT", "BNB", "mixed"),
    "reduce_only_excess": ("trimmed", "rejected"),
    "hedge_close_notional": ("exempt", "enforced"),
    "retry_after": ("absent", "sent"),
    "unknown_parameters": ("ignored", "refused"),
    "unrouted_streams": ("public", "all"),
    KEY_RIGHTS: RIGHTS,
}

DEFAULT_LEVERAGE: Final = Decimal(20)
MAX_OPEN_ORDERS: Final = 200

_FIRST_ORDER_ID: Final = 8_389_765_520_000_000_000
_FIRST_TRADE_ID: Final = 698_759_000
_ENGINE_CODES: Final = (range(-2999, -1999), range(-5999, -5000))


class BinanceFacade:
    """Binance's side of the sandbox.

    Args:
        truth: the ledger of the sandbox.
        seed: prices and generated ids follow from it.
        fill_delay_ms: how long an order takes to move on.
        splits: executions a fill is made of.
        limits: request limits in force.
    """

    venue = VENUE
    cap_names = frozenset(limits.PUBLISHED)

    def __init__(
        self,
        truth: Truth,
        *,
        seed: int,
        fill_delay_ms: int,
        splits: int,
        limits: LimitsSetting,
    ) -> None:
        rules = VenueRules(
            venue=VENUE,
            order_id=lambda number: str(_FIRST_ORDER_ID + number),
            fill_id=lambda number: str(_FIRST_TRADE_ID + number),
            taker_fee=Decimal("0.0005"),
            maker_fee=Decimal("0.0002"),
            duplicate_ids=DuplicateIds.REFUSED_WHILE_OPEN,
            max_open_orders=MAX_OPEN_ORDERS,
            cancels_at_once=True,
        )
        market = Market(CONTRACTS, seed)
        self.engine = Engine(rules, market, truth, fill_delay_ms=fill_delay_ms, splits=splits)
        self.limits: LimitsSetting = limits
        self.variants = Variants(VARIANTS)
        self._desk = Desk(
            engine=self.engine,
            truth=truth,
            algos=AlgoBook(self.engine),
            timers=Timers(self.engine),
            listen_keys=ListenKeys(seed),
            variants=self.variants,
            counts=_counts(),
            seed=seed,
        )
        self.engine.book.watcher = self._desk
        self._contracts = orjson.Fragment(orjson.dumps(public.contracts(self._desk)))
        self.set_limits(limits)

    # -- the life of a request ---------------------------------------------------------------

    def read(self, inbound: Inbound) -> Call:
        """Recognise the route and decode query and form."""
        route = ROUTES.get((inbound.method, inbound.path))
        call = Call(inbound=inbound, endpoint=route.name if route is not None else "")
        call.params, call.problem = gate.decode(inbound)
        params = call.params
        call.symbol = params.get("symbol", "")
        call.client_order_id = (
            params.get("newClientOrderId")
            or params.get("origClientOrderId")
            or params.get("clientAlgoId")
            or ""
        )
        return call

    def admit(self, call: Call, now_ms: int) -> Reply | None:
        """Ban, route, weight, credentials, order count, in this order."""
        until_ms = self._address.banned_until(now_ms)
        if until_ms is not None:
            return self._banned(call, until_ms, now_ms)
        inbound = call.inbound
        route = ROUTES.get((inbound.method, inbound.path))
        weight = 1
        if route is not None:
            weight = route.weight if call.symbol else route.weight_of_all
        if not self._address.weight.add(now_ms, weight) and self.limits != "off":
            return self._too_many(call, Code.TOO_MANY_REQUESTS, self._address.weight, now_ms)
        if route is None:
            text = f"Path {inbound.path!a}, Method {inbound.method} is invalid"
            return self._error(call, now_ms, BinanceError(Code.PATH, text=text))
        try:
            self._check_caller(call, route, now_ms)
        except BinanceError as error:
            return self._error(call, now_ms, error)
        return self._count_order(call, now_ms) if route.counts else None

    def too_old(self, call: Call, now_ms: int) -> Reply | None:
        """Check the age of a signed call again, as the matching engine does."""
        if call.account is None or "timestamp" not in call.params:
            return None
        try:
            gate.check_age(call.params, now_ms + call.skew_ms)
        except BinanceError:
            return self._error(call, now_ms, BinanceError(Code.ENGINE_TIMESTAMP))
        return None

    def execute(self, call: Call, now_ms: int) -> Reply:
        """Carry out an admitted call."""
        route = ROUTES[call.inbound.method, call.inbound.path]
        try:
            _check_names(call, route, strict=self.variants["unknown_parameters"] == "refused")
            handler = route.handler or self._exchange_info
            body = orjson.dumps(handler(self._desk, call, now_ms))
        except Refused as refused:
            error = BinanceError(REFUSALS[refused.reason], refused.detail)
            return self._error(call, now_ms, error)
        except BinanceError as error:
            return self._error(call, now_ms, error)
        return Reply(body=body, headers=self._headers(call, now_ms, counted=route.counts))

    def refuse(self, call: Call, rule: FaultRule, now_ms: int) -> Reply:
        """Binance's words for an injected answer."""
        match rule.kind:
            case FaultKind.RATE_LIMIT:
                counts = call.endpoint in _ORDER_ENDPOINTS
                code = Code.TOO_MANY_ORDERS_SENT if counts else Code.TOO_MANY_REQUESTS
                sent = limits.AlignedWindow(self._caps[limits.ORDERS_10S])
                window = sent if counts else self._address.weight
                return self._too_many(call, code, window, now_ms, strike=False)
            case FaultKind.BAN:
                self._address.ban(now_ms + rule.ms)
                return self._banned(call, now_ms + rule.ms, now_ms)
            case FaultKind.MAINTENANCE:
                number = int(rule.code) if _is_code(rule.code) else int(Code.SHUTTING_DOWN)
                error = BinanceError(number, text=rule.message, status=rule.status)
                return self._error(call, now_ms, error)
            case _ if _is_code(rule.code):
                if int(rule.code) == Code.OVERLOADED and not rule.execute and _reduces(call):
                    return self.admit(call, now_ms) or self.execute(call, now_ms)
                error = BinanceError(int(rule.code), text=rule.message, status=rule.status)
                return self._error(call, now_ms, error)
            case _:
                return self._codeless(call, rule, now_ms)

    # -- what control may change -------------------------------------------------------------

    def connect(self, inbound: Inbound) -> Session | None:
        """A stream, or the WebSocket API."""
        return streams.connect(self._desk, inbound)

    def set_limits(self, setting: LimitsSetting) -> None:
        """`published`, `off`, or caps by name; counts and bans start afresh.

        Raises:
            ValueError: a name is no limit of this venue, or a cap is below one.
        """
        if isinstance(setting, Mapping):
            unknown = sorted(set(setting) - self.cap_names)
            if unknown:
                names = ", ".join(sorted(self.cap_names))
                raise ValueError(f"{VENUE} has no limit named {unknown[0]!r}; there are {names}")
            if any(cap < 1 for cap in setting.values()):
                raise ValueError("a cap must be 1 or more")
        self.limits = setting
        self._caps = _caps(setting if isinstance(setting, Mapping) else {})
        self._address = limits.Address(self._caps[IP_CAP])
        self._desk.counts = limits.OrderCounts(self._caps)

    def clock_set_back(self, by_ms: int) -> None:
        """Keep bans, timers and listen keys as long as they were."""
        self._address.rewind(by_ms)
        self._desk.algos.rewind(by_ms)
        self._desk.timers.rewind(by_ms)
        self._desk.listen_keys.rewind(by_ms)

    def new_account(
        self, name: str, key: str, secret: str, balance: str, *, hedge: bool = False
    ) -> Account:
        """An account in one-way mode, cross margin and leverage 20, unless `hedge`."""
        return Account(
            name=name,
            key=key,
            secret=secret,
            start_balance=Decimal(balance),
            position_mode=PositionMode.HEDGE if hedge else PositionMode.ONE_WAY,
            default_leverage=DEFAULT_LEVERAGE,
        )

    def reset(self, accounts_: list[Account]) -> None:
        """Start again with these accounts."""
        self.engine.reset(accounts_)
        self.engine.market.reset()
        self._desk.algos.clear()
        self._desk.timers.clear()
        self._desk.listen_keys.clear()
        self._desk.client_ids = 0
        self._desk.margin_changes.clear()
        self._desk.amendments.clear()
        self.variants.reset()
        self.set_limits(self.limits)

    # -- inside ------------------------------------------------------------------------------

    def _check_caller(self, call: Call, route: Route, now_ms: int) -> None:
        if route.security is Security.NONE:
            return
        call.account = gate.account_of(call.inbound, self.engine.account_of)
        if route.security is Security.SIGNED:
            if not call.params.get("signature"):
                raise gate.malformed("signature", "it is required")
            gate.check_age(call.params, now_ms + call.skew_ms)
            gate.check_signature(call.inbound, call.params, call.account)
            reads = call.inbound.method == "GET"
            if not reads and self.variants[KEY_RIGHTS] == READ_ONLY:
                raise BinanceError(Code.KEY_REJECTED)

    def _count_order(self, call: Call, now_ms: int) -> Reply | None:
        windows = self._desk.counts.of(call.account.name if call.account is not None else "")
        held = [window.add(now_ms) for window in windows]
        if all(held) or self.limits == "off":
            return None
        broken = windows[held.index(False)]
        return self._too_many(call, Code.TOO_MANY_ORDERS_SENT, broken, now_ms)

    def _too_many(
        self,
        call: Call,
        code: Code,
        window: limits.AlignedWindow,
        now_ms: int,
        *,
        strike: bool = True,
    ) -> Reply:
        """429; who goes on regardless is banned by it."""
        if strike:
            self._address.offend(now_ms)
        until_ms = self._address.banned_until(now_ms)
        if until_ms is not None:
            return self._banned(call, until_ms, now_ms)
        what = "orders" if code is Code.TOO_MANY_ORDERS_SENT else "request weight"
        detail = f"current limit is {window.cap.limit} {what} per {window.cap.window_ms} ms"
        reply = self._error(call, now_ms, BinanceError(code, detail))
        return self._retry_after(reply, window.next_ms(now_ms) - now_ms)

    def _banned(self, call: Call, until_ms: int, now_ms: int) -> Reply:
        text = f"Way too many requests; IP banned until {until_ms}."
        error = BinanceError(Code.TOO_MANY_REQUESTS, text=text, status=codes.BANNED)
        return self._retry_after(self._error(call, now_ms, error), until_ms - now_ms)

    def _retry_after(self, reply: Reply, left_ms: int) -> Reply:
        if self.variants["retry_after"] == "sent":
            reply.headers["Retry-After"] = str(-(-left_ms // limits.SECOND_MS))
        return reply

    def _codeless(self, call: Call, rule: FaultRule, now_ms: int) -> Reply:
        """Answers by HTTP status alone; some still have their one code."""
        status = rule.status or codes.UNAVAILABLE
        if status == codes.REQUEST_TIMEOUT:
            return self._error(call, now_ms, BinanceError(Code.TIMEOUT, text=rule.message))
        if status == codes.TOO_MANY:
            code = Code.TOO_MANY_REQUESTS
            return self._error(call, now_ms, BinanceError(code, text=rule.message))
        if status == codes.FORBIDDEN:
            text = rule.message or "<html><body><h1>403 Forbidden</h1></body></html>"
            return Reply(body=text.encode(), status=status, content_type="text/html; charset=utf-8")
        default = codes.UNKNOWN_ERROR if status == codes.UNAVAILABLE else "injected by a fault rule"
        body: dict[str, Any] = {
            "timestamp": now_ms,
            "path": call.inbound.path,
            "msg": rule.message or default,
        }
        headers = self._headers(call, now_ms, counted=False)
        return Reply(body=orjson.dumps(body), status=status, headers=headers)

    def _exchange_info(self, desk: Desk, call: Call, now_ms: int) -> dict[str, Any]:
        del desk
        return {
            "timezone": "UTC",
            "serverTime": now_ms + call.skew_ms,
            "futuresType": "U_MARGINED",
            "rateLimits": accounts.all_limits(self._caps),
            "exchangeFilters": [],
            "assets": [
                {"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"},
                {"asset": "BNB", "marginAvailable": False, "autoAssetExchange": None},
            ],
            "symbols": self._contracts,
        }

    def _error(self, call: Call, now_ms: int, error: BinanceError) -> Reply:
        """An error answer; what never reached the engine shows no order counts."""
        counts = call.endpoint in _ORDER_ENDPOINTS
        counted = counts and any(error.code in codes_ for codes_ in _ENGINE_CODES)
        return Reply(
            body=orjson.dumps({"code": error.code, "msg": error.text}),
            status=error.status,
            headers=self._headers(call, now_ms, counted=counted),
            code=str(error.code),
        )

    def _headers(self, call: Call, now_ms: int, *, counted: bool) -> dict[str, str]:
        headers = {"X-MBX-USED-WEIGHT-1M": str(self._address.weight.used(now_ms))}
        if counted and call.account is not None:
            tens, minutes = self._desk.counts.of(call.account.name)
            headers["X-MBX-ORDER-COUNT-10S"] = str(tens.used(now_ms))
            headers["X-MBX-ORDER-COUNT-1M"] = str(minutes.used(now_ms))
        return headers


_ORDER_ENDPOINTS: Final = frozenset(route.name for route in ROUTES.values() if route.counts)


def _caps(custom: Mapping[str, int]) -> dict[str, Cap]:
    return {
        name: Cap(custom.get(name, cap.limit), cap.window_ms)
        for name, cap in limits.PUBLISHED.items()
    }


def _counts() -> limits.OrderCounts:
    return limits.OrderCounts(_caps({}))


def _is_code(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _check_names(call: Call, route: Route, *, strict: bool) -> None:
    """Refuse a parameter sent twice in one place, and one of a name the endpoint does not have."""
    if call.problem:
        text = f"Duplicate values for parameter '{call.problem}' detected."
        raise BinanceError(Code.TOO_MANY_PARAMETERS, text=text)
    if strict and not call.params.keys() <= route.params:
        names = ", ".join(sorted(call.params.keys() - route.params))
        read, sent = len(call.params.keys() & route.params), len(call.params)
        text = (
            f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'"
            f" ({route.name} takes no {names})."
        )
        raise BinanceError(Code.UNREAD_PARAMETERS, text=text)


def _reduces(call: Call) -> bool:
    """Whether an order says that it only reduces; such are exempt from overload protection."""
    params = call.params
    flags = {params.get("reduceOnly", "").lower(), params.get("closePosition", "").lower()}
    legs = {("LONG", "SELL"), ("SHORT", "BUY")}
    return "true" in flags or (params.get("positionSide"), params.get("side")) in legs
