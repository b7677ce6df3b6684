"""Bybit V5 (linear) as its customers see it: routes, gate, envelope, headers.

After Bybit's public V5 documentation. Business errors are HTTP 200 with a `retCode`; HTTP 403 is
the address ban and the answer to a GET with a body; HTTP 404 is an unknown path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import orjson

from providers.sandbox.account import Account
from providers.sandbox.bybit import accounts, batches, gate, streams
from providers.sandbox.bybit.codes import INJECTED, REFUSALS, BybitError, Code
from providers.sandbox.bybit.fields import OTHER_CATEGORIES
from providers.sandbox.bybit.routes import ROUTES, Handler, Route
from providers.sandbox.engine import Engine
from providers.sandbox.faults import FaultKind, FaultRule
from providers.sandbox.instruments import LINEAR
from providers.sandbox.limits import IP_CAP, Cap, Guard, LimitsSetting, Verdict, Windows
from providers.sandbox.market import Market
from providers.sandbox.rules import DuplicateIds, VenueRules
from providers.sandbox.values import PositionMode, Refused
from providers.sandbox.variants import KEY_RIGHTS, READ_ONLY, RIGHTS, Variants
from providers.sandbox.wire import Call, Inbound, Reply

if TYPE_CHECKING:
    from providers.sandbox.streams import Session
    from providers.sandbox.truth import Truth

VENUE: Final = "bybit"
VARIANTS: Final = {KEY_RIGHTS: RIGHTS}

_SECOND_MS: Final = 1000
_IP: Final = Cap(600, 5 * _SECOND_MS)
_IP_BANS_MS: Final = (600 * _SECOND_MS,)
_MAINTENANCE_MS: Final = 60_000
_NO_PERMISSION: Final = "Permission denied, please check your API key permissions."
_HTTP_UNAUTHORIZED: Final = 401
_HTTP_FORBIDDEN: Final = 403
_HTTP_NOT_FOUND: Final = 404


class BybitFacade:
    """Bybit's side of the sandbox.

    Args:
        truth: the ledger of the sandbox.
        seed: prices and order ids follow from it.
        fill_delay_ms: how long an order takes to move on.
        splits: executions a fill is made of.
        limits: request limits in force.
    """

    venue = VENUE
    cap_names = frozenset({IP_CAP, *(r.name for r in ROUTES.values() if r.per_second is not None)})

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
            order_id=lambda number: _uuid(f"{seed}:order:{number}"),
            fill_id=lambda number: _uuid(f"{seed}:fill:{number}"),
            taker_fee=Decimal("0.00055"),
            maker_fee=Decimal("0.0002"),
            duplicate_ids=DuplicateIds.REFUSED_FOREVER,
        )
        market = Market(LINEAR, seed)
        self.engine = Engine(rules, market, truth, fill_delay_ms=fill_delay_ms, splits=splits)
        self.limits: LimitsSetting = limits
        self.variants = Variants(VARIANTS)
        self._own_handlers: dict[str, Handler] = {
            "system/status": self._system_status,
            "user/query-api": self._key_rights,
        }
        self._maintenance: tuple[int, int] = (0, 0)
        self._connections = 0
        self.set_limits(limits)

    # -- the life of a request ---------------------------------------------------------------

    def read(self, inbound: Inbound) -> Call:
        """Recognise the route and decode query or body."""
        route = ROUTES.get((inbound.method, inbound.path))
        if route is None:
            return Call(inbound=inbound)
        call = Call(inbound=inbound, endpoint=route.name)
        if inbound.method == "POST":
            try:
                params = orjson.loads(inbound.body)
            except orjson.JSONDecodeError:
                call.problem = "the body is not JSON"
                return call
            if not isinstance(params, dict):
                call.problem = "the body must be a JSON object"
                return call
            call.params = params
            if None in params.values():  # as if it had not been sent
                call.params = {name: value for name, value in params.items() if value is not None}
        elif inbound.query:
            call.params = dict(parse_qsl(inbound.query, keep_blank_values=True))
        symbol, link_id = call.params.get("symbol"), call.params.get("orderLinkId")
        call.symbol = symbol if isinstance(symbol, str) else ""
        call.client_order_id = link_id if isinstance(link_id, str) else ""
        return call

    def admit(self, call: Call, now_ms: int) -> Reply | None:
        """Address limit, route, credentials, account limit, in this order."""
        inbound = call.inbound
        if self._address_refused(call, now_ms):
            return _text(_HTTP_FORBIDDEN, "403 Forbidden: access too frequent")
        if inbound.method == "GET" and inbound.body:
            return _text(_HTTP_FORBIDDEN, "403 Forbidden: a GET must not have a body")
        route = ROUTES.get((inbound.method, inbound.path))
        if route is None:
            return _text(_HTTP_NOT_FOUND, "404 page not found")
        return None if route.per_second is None else self._admit_signed(call, route, now_ms)

    def too_old(self, call: Call, now_ms: int) -> Reply | None:
        """Check the age of a signed call again."""
        if call.account is None:
            return None
        try:
            gate.check_age(call.inbound, now_ms + call.skew_ms)
        except BybitError as error:
            return self._error(call, now_ms, error.code, error.text)
        return None

    def execute(self, call: Call, now_ms: int) -> Reply:
        """Carry out an admitted call."""
        route = ROUTES[call.inbound.method, call.inbound.path]
        handler = route.handler or self._own_handlers[route.name]
        if call.problem:
            return self._error(call, now_ms, Code.PARAMETER, f"params error: {call.problem}")
        category = call.params.get("category")
        if call.inbound.method == "GET" and category in OTHER_CATEGORIES:
            nothing = {"category": category, "list": [], "nextPageCursor": ""}
            return self._envelope(call, now_ms, Code.OK, "OK", nothing)
        try:
            result = handler(self.engine, call, now_ms)
        except Refused as refused:
            code, text = REFUSALS[refused.reason]
            detail = f"{text}: {refused.detail}" if refused.detail else text
            return self._error(call, now_ms, code, detail)
        except BybitError as error:
            return self._error(call, now_ms, error.code, error.text, error.result)
        return self._envelope(call, now_ms, Code.OK, "OK", result)

    def refuse(self, call: Call, rule: FaultRule, now_ms: int) -> Reply:
        """Bybit's words for an injected answer."""
        match rule.kind:
            case FaultKind.RATE_LIMIT:
                call.verdict = Verdict(False, 10, 0, now_ms + _SECOND_MS)
                return self._error(call, now_ms, Code.RATE_LIMIT, _TOO_MANY)
            case FaultKind.BAN:
                self._address.ban(now_ms + rule.ms)
                return _text(_HTTP_FORBIDDEN, "403 Forbidden: access too frequent")
            case FaultKind.MAINTENANCE:
                self._maintenance = (now_ms, now_ms + (rule.for_ms or _MAINTENANCE_MS))
                text = "server error: the service is restarting"
                return self._error(call, now_ms, Code.SERVICE_RESTARTING, text)
            case _ if rule.code.lstrip("-").isdigit():
                code = int(rule.code)
                text = rule.message or INJECTED.get(code, "injected by a fault rule")
                reply = self._error(call, now_ms, code, text)
                reply.status = rule.status or reply.status
                return reply
            case _:
                return _text(rule.status or 500, rule.message or "injected by a fault rule")

    # -- what control may change -------------------------------------------------------------

    def connect(self, inbound: Inbound) -> Session | None:
        """A private or public stream, or order entry."""
        self._connections += 1
        return streams.connect(self.engine, inbound.path, self._connections)

    def set_limits(self, setting: LimitsSetting) -> None:
        """`published`, `off`, or caps by endpoint name; counts and bans start afresh.

        Raises:
            ValueError: a name is no endpoint of this venue, or a cap is below one.
        """
        if isinstance(setting, Mapping):
            unknown = sorted(set(setting) - self.cap_names)
            if unknown:
                names = ", ".join(sorted(self.cap_names))
                raise ValueError(f"{VENUE} has no limit named {unknown[0]!r}; there are {names}")
            if any(cap < 1 for cap in setting.values()):
                raise ValueError("a cap must be 1 or more")
        self.limits = setting
        custom = setting if isinstance(setting, Mapping) else {}
        self._caps = {
            route.name: Cap(custom.get(route.name, route.per_second), _SECOND_MS)
            for route in ROUTES.values()
            if route.per_second is not None
        }
        self._address = Guard(Cap(custom.get(IP_CAP, _IP.limit), _IP.window_ms), _IP_BANS_MS)
        self._windows = Windows()

    def clock_set_back(self, by_ms: int) -> None:
        """Keep bans as long as they were."""
        self._address.rewind(by_ms)

    def new_account(
        self, name: str, key: str, secret: str, balance: str, *, hedge: bool = False
    ) -> Account:
        """An account in one-way mode and cross margin, unless `hedge`."""
        return Account(
            name=name,
            key=key,
            secret=secret,
            start_balance=Decimal(balance),
            position_mode=PositionMode.HEDGE if hedge else PositionMode.ONE_WAY,
        )

    def reset(self, accounts_: list[Account]) -> None:
        """Start again with these accounts."""
        self.engine.reset(accounts_)
        self.engine.market.reset()
        self._maintenance = (0, 0)
        self.variants.reset()
        self.set_limits(self.limits)

    # -- inside ------------------------------------------------------------------------------

    def _admit_signed(self, call: Call, route: Route, now_ms: int) -> Reply | None:
        inbound = call.inbound
        if not inbound.headers.get(gate.KEY_HEADER) or not inbound.headers.get(gate.SIGN_HEADER):
            reply = self._error(call, now_ms, Code.KEY_INVALID, "API key or signature missing")
            reply.status = _HTTP_UNAUTHORIZED
            return reply
        try:
            call.account = gate.authenticate(inbound, self.engine.account_of, now_ms + call.skew_ms)
        except BybitError as error:
            return self._error(call, now_ms, error.code, error.text)
        if inbound.method == "POST" and self.variants[KEY_RIGHTS] == READ_ONLY:
            return self._error(call, now_ms, Code.PERMISSION, _NO_PERMISSION)
        return self._account_refused(call, route, now_ms)

    def _address_refused(self, call: Call, now_ms: int) -> bool:
        if self._address.banned_until(now_ms) is not None:
            return True
        if self.limits == "off":
            call.verdict = Verdict(True, _IP.limit, _IP.limit, now_ms)
            return False
        call.verdict = self._address.take(now_ms)
        return not call.verdict.allowed

    def _account_refused(self, call: Call, route: Route, now_ms: int) -> Reply | None:
        cap = self._caps[route.name]
        if self.limits == "off":
            call.verdict = Verdict(True, cap.limit, cap.limit, now_ms)
            return None
        caller = call.account.name if call.account is not None else ""
        call.verdict = self._windows.take(caller, route.name, cap, now_ms, batches.weight(call))
        if call.verdict.allowed:
            return None
        return self._error(call, now_ms, Code.RATE_LIMIT, _TOO_MANY)

    def _key_rights(self, engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
        rights = self.variants[KEY_RIGHTS]
        return accounts.key_rights(engine, call, now_ms, rights=rights)

    def _system_status(self, engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
        del engine, call
        begin, end = self._maintenance
        if now_ms >= end:
            return {"list": []}
        return {
            "list": [
                {
                    "id": _uuid(f"maintenance:{begin}"),
                    "title": "Sandbox maintenance",
                    "state": "ongoing",
                    "begin": str(begin),
                    "end": str(end),
                    "href": "",
                    "serviceTypes": [2, 3],
                    "product": [1],
                    "uidSuffix": [],
                    "maintainType": 1,
                    "env": 1,
                }
            ]
        }

    def _error(
        self,
        call: Call,
        now_ms: int,
        code: int,
        text: str,
        result: dict[str, Any] | None = None,
    ) -> Reply:
        return self._envelope(call, now_ms, code, text, result or {})

    def _envelope(
        self, call: Call, now_ms: int, code: int, text: str, result: dict[str, Any]
    ) -> Reply:
        extended = result.pop(batches.EXTENDED, {})
        body = orjson.dumps(
            {
                "retCode": int(code),
                "retMsg": text,
                "result": result,
                "retExtInfo": extended,
                "time": now_ms + call.skew_ms,
            }
        )
        verdict = call.verdict or Verdict(True, _IP.limit, _IP.limit, now_ms)
        headers = {
            "X-Bapi-Limit": str(verdict.limit),
            "X-Bapi-Limit-Status": str(verdict.remaining),
            "X-Bapi-Limit-Reset-Timestamp": str(verdict.reset_ms + call.skew_ms),
        }
        return Reply(body=body, headers=headers, code=str(int(code)))


_TOO_MANY: Final = "Too many visits! The request limit of this endpoint is exceeded"


def _text(status: int, text: str) -> Reply:
    return Reply(
        body=text.encode(), status=status, content_type="text/plain; charset=utf-8", code=""
    )


def _uuid(text: str) -> str:
    """A version 4 UUID that follows from a text (built by hand: one is made for every order)."""
    digits = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
