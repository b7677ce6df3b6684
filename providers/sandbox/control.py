"""The control API under `/_sandbox/`: the truth, faults, clock, limits, prices, accounts.

It answers 200 with JSON, or 400/404 with `{"error": ...}` that says which field is wrong and what
would be right. It needs no credentials: a sandbox belongs on loopback.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import orjson

from providers.sandbox.control_params import ControlError, Params
from providers.sandbox.faults import ActiveRule, FaultKind, FaultRule
from providers.sandbox.sandbox import Credentials, Sandbox
from providers.sandbox.truth import fill_view, order_view, seen_view
from providers.sandbox.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.sandbox.wire import Inbound

_PAGE: Final = 1000
_PAGE_LARGEST: Final = 10_000


_Action = Callable[[Sandbox, Params], dict[str, Any]]


def answer(sandbox: Sandbox, inbound: Inbound) -> Reply:
    """Answer one control request."""
    try:
        action, names = _find(inbound.method, inbound.path)
        params = Params(_values(inbound))
        params.only(names)
        if action is _info:
            params = Params({"origin": f"http://{inbound.headers.get('Host', '')}"})
        try:
            body = action(sandbox, params)
        except ValueError as error:
            raise ControlError(str(error)) from error
    except ControlError as error:
        return Reply(body=orjson.dumps({"error": str(error)}), status=error.status)
    return Reply(body=orjson.dumps(body, default=_encode))


def _find(method: str, path: str) -> tuple[_Action, frozenset[str]]:
    found = _ACTIONS.get((method, path.strip("/")))
    if found is None:
        known = ", ".join(f"{verb} /_sandbox/{name}" for verb, name in _ACTIONS)
        raise ControlError(f"no {method} {path} here; there are {known}", 404)
    return found


def _values(inbound: Inbound) -> dict[str, Any]:
    values: dict[str, Any] = dict(parse_qsl(inbound.query, keep_blank_values=True))
    if inbound.body:
        try:
            body = json.loads(inbound.body, parse_float=Decimal)
        except ValueError as error:
            raise ControlError(f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise ControlError("the body must be a JSON object")
        values.update(body)
    return values


def _encode(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _info(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    return sandbox.info(params.text("origin"))


def _truth(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    sandbox.advance()
    rows, following = _page(sandbox.truth.orders, params)
    counters = {
        **sandbox.truth.counters(),
        "faults": {str(kind): count for kind, count in sandbox.faults.injected.items()},
    }
    return {"orders": [order_view(row) for row in rows], "next": following, "counters": counters}


def _fills(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    sandbox.advance()
    rows, following = _page(sandbox.truth.fills, params)
    return {"fills": [fill_view(row) for row in rows], "next": following}


def _page(rows: list[Any], params: Params) -> tuple[list[Any], int | None]:
    """The rows of one page; `after` is the sequence number of the last row already seen."""
    after = params.whole("after", 0)
    limit = params.whole("limit", _PAGE)
    prefix = params.text("client_order_id_prefix", "")
    wanted = {
        name: params.text(name, "")
        for name in ("venue", "account", "symbol", "order_id", "client_order_id")
    }
    if not 1 <= limit <= _PAGE_LARGEST:
        raise ControlError(f"limit must be 1..{_PAGE_LARGEST}, not {limit}")
    if after < 0:
        raise ControlError(f"after must be 0 or more, not {after}")
    asked = {name: value for name, value in wanted.items() if value}
    found: Iterable[Any] = (
        row
        for row in islice(rows, after, None)
        if row.client_order_id.startswith(prefix)
        and all(getattr(row, name) == value for name, value in asked.items())
    )
    page = list(islice(found, limit))
    return page, page[-1].sequence if len(page) == limit else None


def _requests(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    limit = params.whole("limit", _PAGE)
    latest = list(sandbox.truth.recent)[-limit:] if limit > 0 else []
    return {"requests": [seen_view(seen) for seen in latest]}


def _faults(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    del params
    return {
        "rules": [_rule_view(active) for active in sandbox.faults.rules],
        "injected": {str(kind): count for kind, count in sandbox.faults.injected.items()},
    }


def _add_fault(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    return _rule_view(sandbox.faults.add(read_rule(params), sandbox.clock.now_ms()))


def _drop_faults(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    if params.has("id"):
        number = params.whole("id")
        if not sandbox.faults.remove(number):
            raise ControlError(f"there is no fault rule {number}")
        return {"removed": 1}
    removed = len(sandbox.faults.rules)
    sandbox.faults.clear()
    return {"removed": removed}


def read_rule(params: Params) -> FaultRule:
    """A fault rule from the fields of a request.

    Raises:
        ControlError: a field is missing or of the wrong kind.
        ValueError: the fields make no sense together.
    """
    kind = params.text("kind")
    if kind not in set(FaultKind):
        raise ControlError(f"kind must be one of {', '.join(FaultKind)}, not {kind!r}")
    values: dict[str, Any] = {"kind": FaultKind(kind)}
    for item in fields(FaultRule):
        if item.name != "kind" and params.has(item.name):
            values[item.name] = _READERS[str(item.type)](params, item.name)
    return FaultRule(**values)


_READERS: Final[dict[str, Callable[[Params, str], Any]]] = {
    "str": Params.text,
    "int": Params.whole,
    "int | None": Params.whole,
    "bool": Params.flag,
    "float": lambda params, name: float(params.decimal(name)),
    "Decimal | None": Params.decimal,
}


def _rule_view(active: ActiveRule) -> dict[str, Any]:
    return {
        "id": active.number,
        "matched": active.matched,
        "injected": active.injected,
        "added_at": active.added_ms,
        **asdict(active.rule),
    }


def _clock(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    del params
    return dict(sandbox.clock_view())


def _set_clock(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    given = [n for n in ("offset_ms", "frozen_at_ms", "advance_ms") if params.has(n)]
    if len(given) != 1:
        raise ControlError("give exactly one of offset_ms, frozen_at_ms and advance_ms")
    by = params.whole(given[0])
    if given[0] == "offset_ms":
        sandbox.change_clock(lambda clock: clock.set_offset(by))
    elif by < 0:
        raise ControlError(f"{given[0]} must be 0 or more, not {by}")
    elif given[0] == "frozen_at_ms":
        sandbox.change_clock(lambda clock: clock.freeze(by))
    else:
        sandbox.change_clock(lambda clock: clock.advance(by))
    return dict(sandbox.clock_view())


def _set_limits(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    setting, venue = params.any("limits"), params.text("venue", "")
    if isinstance(setting, dict) and not all(type(cap) is int for cap in setting.values()):
        raise ControlError("limits: every cap must be a whole number")
    if not isinstance(setting, dict | str):
        raise ControlError("limits must be published, off, or an object of caps by endpoint")
    sandbox.set_limits(setting, venue)  # type: ignore[arg-type]  # the words are checked there
    return {"limits": setting}


def _variants(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    del params
    return {venue: facade.variants.view() for venue, facade in sandbox.facades.items()}


def _set_variant(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    facade = sandbox.facade(params.text("venue"))
    facade.variants.set(params.text("name"), params.text("value"))
    return facade.variants.view()


def _streams(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    del params
    return {"streams": sandbox.streams.view()}


def _cut_streams(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    venue = params.text("venue", "")
    if venue:
        sandbox.facade(venue)
    return {"cut": sandbox.streams.cut(venue)}


def _prices(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    del params
    return {"prices": sandbox.prices()}


def _set_price(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    symbol, venue = params.text("symbol"), params.text("venue", "")
    if params.flag("release"):
        sandbox.set_price(symbol, None, venue=venue)
    else:
        price = params.decimal("price")
        sandbox.set_price(symbol, price, hold=params.flag("hold", default=True), venue=venue)
    return {"symbol": symbol}


def _add_account(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    venue = params.text("venue")
    name = params.text("name")
    credentials = Credentials(
        name=name,
        key=params.text("key", f"sandbox-{venue}-{name}-key"),
        secret=params.text("secret", f"sandbox-{venue}-{name}-secret"),
    )
    balance = params.decimal("balance", sandbox.options.balance)
    hedge = params.flag("hedge")
    sandbox.add_account(venue, credentials, balance=balance, hedge=hedge)
    return {"venue": venue, "name": name, "key": credentials.key, "secret": credentials.secret}


def _reset(sandbox: Sandbox, params: Params) -> dict[str, Any]:
    scope = params.text("scope", "all")
    if scope == "all":
        sandbox.reset()
    elif scope == "recent":
        sandbox.forget_recent()
    else:
        raise ControlError(
            f"scope must be all, or recent (recently closed orders only), not {scope!r}"
        )
    return {"reset": scope}


_ROWS: Final = "after limit venue account symbol order_id client_order_id client_order_id_prefix"
_RULE: Final = " ".join(item.name for item in fields(FaultRule))

_ACTIONS: Final[dict[tuple[str, str], tuple[_Action, frozenset[str]]]] = {
    (method, path): (action, frozenset(names.split()))
    for method, path, action, names in (
        ("GET", "info", _info, ""),
        ("GET", "truth", _truth, _ROWS),
        ("GET", "fills", _fills, _ROWS),
        ("GET", "requests", _requests, "limit"),
        ("GET", "faults", _faults, ""),
        ("POST", "faults", _add_fault, _RULE),
        ("DELETE", "faults", _drop_faults, "id"),
        ("GET", "clock", _clock, ""),
        ("POST", "clock", _set_clock, "offset_ms frozen_at_ms advance_ms"),
        ("POST", "limits", _set_limits, "limits venue"),
        ("GET", "variants", _variants, ""),
        ("POST", "variants", _set_variant, "venue name value"),
        ("GET", "streams", _streams, ""),
        ("DELETE", "streams", _cut_streams, "venue"),
        ("GET", "prices", _prices, ""),
        ("POST", "prices", _set_price, "symbol price hold release venue"),
        ("POST", "accounts", _add_account, "venue name key secret balance hedge"),
        ("POST", "reset", _reset, "scope"),
    )
}
