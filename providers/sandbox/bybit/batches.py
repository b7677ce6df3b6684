"""Bybit's batch endpoints: several orders in one request, each with a code of its own.

The answer is a success as a whole; what became of each order is in `retExtInfo`.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.bybit import fields, orders
from providers.sandbox.bybit.codes import REFUSALS, BybitError
from providers.sandbox.bybit.fields import bad, text
from providers.sandbox.values import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.sandbox.engine import Engine
    from providers.sandbox.wire import Call

EXTENDED: Final = "retExtInfo"
"""Where a handler puts what belongs beside its result."""

_MOST: Final = 20


def create(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Accept orders."""
    return _each(engine, call, now_ms, orders.create)


def amend(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Change open orders."""
    return _each(engine, call, now_ms, orders.amend)


def cancel(engine: Engine, call: Call, now_ms: int) -> dict[str, Any]:
    """Ask for open orders to be cancelled."""
    return _each(engine, call, now_ms, orders.cancel)


def weight(call: Call) -> int:
    """How many requests a call counts as: a batch as many as its orders."""
    listed = call.params.get("request")
    return max(1, len(listed)) if isinstance(listed, list) else 1


def _each(
    engine: Engine,
    call: Call,
    now_ms: int,
    handle: Callable[[Engine, Call, int], dict[str, Any]],
) -> dict[str, Any]:
    fields.check_category(call.params)
    listed = call.params.get("request")
    if not isinstance(listed, list) or not 1 <= len(listed) <= _MOST:
        raise bad(f"request must be a list of 1 to {_MOST} orders")
    rows, verdicts = [], []
    for item in listed:
        if not isinstance(item, dict):
            raise bad("each of request must be an object")
        one = copy(call)
        one.params = {"category": "linear", **item}
        ids, verdict = {"orderId": "", "orderLinkId": ""}, {"code": 0, "msg": "OK"}
        try:
            ids = handle(engine, one, now_ms)
        except Refused as refused:
            code, words = REFUSALS[refused.reason]
            verdict = {"code": int(code), "msg": f"{words}: {refused.detail}"}
        except BybitError as error:
            verdict = {"code": error.code, "msg": error.text}
        if verdict["code"]:
            ids["orderLinkId"] = text(one.params, "orderLinkId")
        symbol = text(one.params, "symbol")
        rows.append({"category": "linear", "symbol": symbol, **ids, "createAt": str(now_ms)})
        verdicts.append(verdict)
    return {"list": rows, EXTENDED: {"list": verdicts}}
