"""MEXC's contract API (v1) as its customers see it: routes, gate, limits, envelope.

After MEXC's public futures documentation. Business errors are HTTP 200 with `success` false, a
`code` and a `message`, which is Chinese unless the request names another `Language`. HTTP 403 with
an HTML page is the edge in front of the API; HTTP 404 is an unknown path. There are no headers that
tell what is left of a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from providers.sandbox.engine import Engine
from providers.sandbox.faults import FaultKind, FaultRule
from providers.sandbox.limits import Cap, LimitsSetting, Windows
from providers.sandbox.market import Market
from providers.sandbox.mexc import desk as switches
from providers.sandbox.mexc import encoding, gate, routes, spot
from providers.sandbox.mexc.account import MexcAccount
from providers.sandbox.mexc.codes import REFUSALS, Code, MexcError, text_of
from providers.sandbox.mexc.contracts import BY_NAME, CONTRACTS
from providers.sandbox.mexc.desk import NO_DATA, VARIANTS, Desk
from providers.sandbox.mexc.fields import ITEMS
from providers.sandbox.mexc.streams import PATH as EDGE
from providers.sandbox.mexc.streams import EdgeSession
from providers.sandbox.rules import DuplicateIds, VenueRules
from providers.sandbox.values import MarginMode, PositionMode, Refused
from providers.sandbox.variants import Variants
from providers.sandbox.wire import Call, Inbound, Reply

if TYPE_CHECKING:
    from providers.sandbox.account import Account
    from providers.sandbox.mexc.routes import Route
    from providers.sandbox.streams import Session
    from providers.sandbox.truth import Truth

VENUE: Final = "mexc"

_DEFAULT_LEVERAGE: Final = Decimal(20)
_MOST_HEDGE: Final = 200
_HTTP_OK: Final = 200
_HTTP_FORBIDDEN: Final = 403
_HTTP_NOT_FOUND: Final = 404
_HTTP_SERVER_ERROR: Final = 500
_FIRST_ID: Final = 812_345_000_000_000_000
_SEED_STEP: Final = 1_000_000_000_000
_SEEDS: Final = 1000
_ID_STEP: Final = 1_000_003


class MexcFacade:
    """MEXC's side of the sandbox.

    Args:
        truth: the ledger of the sandbox.
        seed: prices and order ids follow from it.
        fill_delay_ms: how long an order takes to move on.
        splits: executions a fill is made of.
        limits: request limits in force.
    """

    venue = VENUE
    cap_names = frozenset(route.name for route in routes.ROUTES.values())

    def __init__(
        self,
        truth: Truth,
        *,
        seed: int,
        fill_delay_ms: int,
        splits: int,
        limits: LimitsSetting,
    ) -> None:
        first = _FIRST_ID + seed % _SEEDS * _SEED_STEP
        rules = VenueRules(
            venue=VENUE,
            order_id=lambda number: str(first + number * _ID_STEP),
            fill_id=lambda number: str(first + number * _ID_STEP + 1),
            taker_fee=Decimal("0.0008"),
            maker_fee=Decimal("0.0006"),
            duplicate_ids=DuplicateIds.ACCEPTED,  # decided by a variant, before the engine
            trims_closes=False,
            max_open_orders=_MOST_HEDGE,
        )
        market = Market((item.instrument for item in CONTRACTS), seed)
        self.engine = Engine(rules, market, truth, fill_delay_ms=fill_delay_ms, splits=splits)
        self.limits: LimitsSetting = limits
        self.variants = Variants(VARIANTS)
        self._desk = Desk(self.engine, self.variants)
        self._banned_until_ms = 0
        self.set_limits(limits)

    # -- the life of a request ---------------------------------------------------------------

    def read(self, inbound: Inbound) -> Call:
        """Recognise the route and decode path, query and body."""
        found = routes.find(inbound.method, inbound.path)
        if found is None:
            return Call(inbound=inbound)
        route, in_path = found
        call = Call(inbound=inbound, endpoint=route.name)
        if inbound.method == "POST":
            try:
                call.params = _body(inbound.body)
            except ValueError as error:
                call.problem = f"the body is no JSON that can be used: {error}"
        elif inbound.query:
            call.params = dict(parse_qsl(inbound.query, keep_blank_values=True))
        call.params.update(in_path)
        named = _named(call.params)
        symbol, external = named.get("symbol"), named.get("externalOid")
        if isinstance(symbol, str):
            call.symbol = BY_NAME[symbol].instrument.symbol if symbol in BY_NAME else symbol
        call.client_order_id = external if isinstance(external, str) else ""
        return call

    def admit(self, call: Call, now_ms: int) -> Reply | None:
        """Edge, route, credentials, limit, in this order."""
        if now_ms < self._banned_until_ms:
            return _edge()
        if call.inbound.path.startswith(spot.PREFIX):
            return spot.answer(call.inbound, self.engine.account_of, now_ms + call.skew_ms)
        found = routes.find(call.inbound.method, call.inbound.path)
        if found is None:
            reply = self._error(call, Code.PATH_UNKNOWN)
            reply.status = _HTTP_NOT_FOUND
            return reply
        route = found[0]
        if route.private:
            try:
                call.account = gate.authenticate(
                    call.inbound,
                    self.engine.account_of,
                    now_ms + call.skew_ms,
                    values=self.variants[switches.SIGNED_VALUES],
                )
            except MexcError as error:
                return self._error(call, error.code, error.detail)
        return self._too_many(call, route, now_ms)

    def too_old(self, call: Call, now_ms: int) -> Reply | None:
        """Check the age of a signed call again."""
        if call.account is None:
            return None
        try:
            gate.check_age(call.inbound, now_ms + call.skew_ms)
        except MexcError as error:
            return self._error(call, error.code, error.detail)
        return None

    def execute(self, call: Call, now_ms: int) -> Reply:
        """Carry out an admitted call."""
        found = routes.find(call.inbound.method, call.inbound.path)
        if found is None:
            raise RuntimeError(f"{call.inbound.path} was admitted without a route")
        if call.problem:
            return self._error(call, Code.JSON, call.problem)
        try:
            data = found[0].handler(self._desk, call, now_ms)
        except Refused as refused:
            return self._error(call, REFUSALS[refused.reason], refused.detail)
        except MexcError as error:
            return self._error(call, error.code, error.detail)
        code = int(self.variants[switches.SUCCESS_CODE])
        answer: dict[str, Any] = {"success": True, "code": code}
        if data is not NO_DATA:
            answer["data"] = data
        return Reply(body=encoding.encode(answer), code=str(code))

    def refuse(self, call: Call, rule: FaultRule, now_ms: int) -> Reply:
        """MEXC's words for an injected answer; a rule's code picks among the maintenance codes."""
        match rule.kind:
            case FaultKind.RATE_LIMIT:
                return self._error(call, Code.TOO_FREQUENT)
            case FaultKind.BAN:
                self._banned_until_ms = now_ms + rule.ms
                return _edge()
            case FaultKind.MAINTENANCE:
                code = int(rule.code) if rule.code.isdecimal() else int(Code.MAINTENANCE)
                return self._error(call, code, rule.message)
            case _ if rule.code.isdecimal():
                reply = self._error(call, int(rule.code), rule.message or "injected by a fault")
                reply.status = rule.status or _HTTP_OK
                return reply
            case _:
                text = rule.message or "injected by a fault rule"
                return _text(rule.status or _HTTP_SERVER_ERROR, text)

    # -- what control may change -------------------------------------------------------------

    def connect(self, inbound: Inbound) -> Session | None:
        """The one stream there is."""
        return EdgeSession(self._desk) if inbound.path == EDGE else None

    def set_limits(self, setting: LimitsSetting) -> None:
        """`published`, `off`, or caps by endpoint name; counts and bans start afresh.

        Raises:
            ValueError: a name is no endpoint of this venue, or a cap is below one.
        """
        custom = setting if isinstance(setting, Mapping) else {}
        unknown = sorted(set(custom) - self.cap_names)
        if unknown:
            names = ", ".join(sorted(self.cap_names))
            raise ValueError(f"{VENUE} has no limit named {unknown[0]!r}; there are {names}")
        if any(cap < 1 for cap in custom.values()):
            raise ValueError("a cap must be 1 or more")
        self.limits = setting
        self._caps = {
            route.name: Cap(custom.get(route.name, route.cap.limit), route.cap.window_ms)
            for route in routes.ROUTES.values()
        }
        self._windows = Windows()
        self._banned_until_ms = 0

    def clock_set_back(self, by_ms: int) -> None:
        """Keep bans as long as they were."""
        self._banned_until_ms = max(0, self._banned_until_ms - by_ms)

    def new_account(
        self, name: str, key: str, secret: str, balance: str, *, hedge: bool = False
    ) -> Account:
        """An account in one-way mode, unless `hedge`; isolated margin until an order says else."""
        return MexcAccount(
            name=name,
            key=key,
            secret=secret,
            start_balance=Decimal(balance),
            position_mode=PositionMode.HEDGE if hedge else PositionMode.ONE_WAY,
            margin_mode=MarginMode.ISOLATED,
            default_leverage=_DEFAULT_LEVERAGE,
        )

    def reset(self, accounts: list[Account]) -> None:
        """Start again with these accounts."""
        self.engine.reset(accounts)
        self.engine.market.reset()
        self.variants.reset()
        self.set_limits(self.limits)

    # -- inside ------------------------------------------------------------------------------

    def _too_many(self, call: Call, route: Route, now_ms: int) -> Reply | None:
        if self.limits == "off":
            return None
        caller = call.account.name if call.account is not None else ""
        call.verdict = self._windows.take(caller, route.name, self._caps[route.name], now_ms)
        return None if call.verdict.allowed else self._error(call, Code.TOO_FREQUENT)

    def _error(self, call: Call, code: int, detail: str = "") -> Reply:
        chinese = gate.wants_chinese(call.inbound)
        message = text_of(code, chinese=chinese)
        if detail and not chinese:
            message = f"{message}: {detail}"
        body = encoding.encode({"success": False, "code": int(code), "message": message})
        return Reply(body=body, code=str(int(code)))


def _body(raw: bytes) -> dict[str, Any]:
    """The parameters of a body: its fields, or the list that it is; an empty text is no fields."""
    if not raw:
        return {}
    value = encoding.decode(raw)
    if isinstance(value, list):
        return {ITEMS: value}
    if isinstance(value, dict):
        value.pop(ITEMS, None)
        return value
    if value == "":
        return {}
    raise ValueError("it must be an object or a list")


def _named(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where symbol and client order id stand: in the body, or in the first item of its list."""
    listed = params.get(ITEMS)
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        first: dict[str, Any] = listed[0]
        return first
    return params


def _edge() -> Reply:
    page = (
        b"<html><head><title>Access Denied</title></head><body><h1>Access Denied</h1></body></html>"
    )
    return Reply(body=page, status=_HTTP_FORBIDDEN, content_type="text/html; charset=utf-8")


def _text(status: int, text: str) -> Reply:
    return Reply(body=text.encode(), status=status, content_type="text/plain; charset=utf-8")
