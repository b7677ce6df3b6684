"""Binance's WebSocket API: requests over `/ws-fapi/v1`, each served as the HTTP request it is.

After Binance's public documentation. A request signs all its parameters but `signature`, sorted by
name, `apiKey` among them. It is checked here and signed again as an HTTP request, so limits, faults
and answers are those of the HTTP API. `session.logon` takes Ed25519 keys only, which the sandbox
does not have.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson

from providers.sandbox.binance import gate, limits
from providers.sandbox.binance.routes import ROUTES, Security
from providers.sandbox.limits import IP_CAP
from providers.sandbox.streams import Ask, Frame
from providers.sandbox.wire import Inbound

if TYPE_CHECKING:
    from providers.sandbox.account import Account
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.journal import Entry, Told
    from providers.sandbox.wire import Reply

_METHODS: Final = {
    "ping": ("GET", "v1/ping"),
    "time": ("GET", "v1/time"),
    "depth": ("GET", "v1/depth"),
    "ticker.price": ("GET", "v2/ticker/price"),
    "ticker.book": ("GET", "v1/ticker/bookTicker"),
    "order.place": ("POST", "v1/order"),
    "order.test": ("POST", "v1/order/test"),
    "order.modify": ("PUT", "v1/order"),
    "order.cancel": ("DELETE", "v1/order"),
    "order.status": ("GET", "v1/order"),
    "algoOrder.place": ("POST", "v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "v1/algoOrder"),
    "account.balance": ("GET", "v2/balance"),
    "v2/account.balance": ("GET", "v3/balance"),
    "account.position": ("GET", "v2/positionRisk"),
    "v2/account.position": ("GET", "v3/positionRisk"),
    "account.status": ("GET", "v2/account"),
    "v2/account.status": ("GET", "v3/account"),
    "userDataStream.start": ("POST", "v1/listenKey"),
    "userDataStream.ping": ("PUT", "v1/listenKey"),
    "userDataStream.stop": ("DELETE", "v1/listenKey"),
}
_WEIGHT: Final = "X-MBX-USED-WEIGHT-1M"
_COUNTS: Final = {"X-MBX-ORDER-COUNT-10S": "orders_10s", "X-MBX-ORDER-COUNT-1M": "orders_1m"}
_BAD: Final = 400
_UNAUTHORIZED: Final = 401
_OK: Final = 200


class OrdersSession:
    """One connection to the WebSocket API.

    Args:
        desk: what the endpoints work on.
        quiet: leave the rate limits out of answers.
    """

    account: Account | None = None

    def __init__(self, desk: Desk, *, quiet: bool) -> None:
        self._desk = desk
        self._quiet = quiet

    @property
    def topics(self) -> list[str]:
        """None: it only answers."""
        return []

    def opened(self, now_ms: int) -> list[Frame]:
        """Nothing."""
        del now_ms
        return []

    def told(self, entry: Entry | Told, now_ms: int) -> list[Frame]:
        """Nothing: user data has streams of its own."""
        del entry, now_ms
        return []

    def ticked(self, now_ms: int) -> list[Frame]:
        """Nothing."""
        del now_ms
        return []

    def received(self, text: str, now_ms: int) -> list[Frame | Ask]:
        """A request."""
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            return [self._failed(None, _BAD, -1135, "Invalid JSON Request")]
        number, method = message.get("id"), str(message.get("method", ""))
        if method.startswith("session."):
            return [self._session(number, method, now_ms)]
        if method not in _METHODS:
            return [self._failed(number, _BAD, -5000, f"Method {method} is invalid")]
        params = message.get("params") or {}
        if not isinstance(params, dict):
            return [self._failed(number, _BAD, -1102, "params must be an object")]
        verb, path = _METHODS[method]
        return [self._asked(number, verb, f"/fapi/{path}", _texts(params), now_ms)]

    def _asked(
        self, number: object, verb: str, path: str, params: dict[str, str], now_ms: int
    ) -> Frame | Ask:
        key, given = params.pop("apiKey", ""), params.pop("signature", "")
        security = ROUTES[verb, path].security
        headers = {gate.KEY_HEADER: key} if key else {}
        query = urlencode(params)
        if security is Security.SIGNED:
            account = self._desk.engine.account_of(key)
            if account is None:
                return self._failed(None, _UNAUTHORIZED, -2015, "Invalid API-key, IP, or action.")
            text = "&".join(f"{k}={v}" for k, v in sorted({**params, "apiKey": key}.items()))
            expected = gate.signature(account.secret, text.encode())
            if not hmac.compare_digest(expected.encode(), given.lower().encode()):
                text = "Signature for this request is not valid."
                return self._failed(number, _BAD, -1022, text)
            query += f"&signature={gate.signature(account.secret, query.encode())}"
        inbound = Inbound(
            method=verb,
            path=path,
            query=query,
            headers=headers,
            body=b"",
            arrived_ms=now_ms,
            arrived_ns=now_ms * 1_000_000,
        )
        return Ask(inbound, lambda reply: self._answered(number, reply))

    def _answered(self, number: object, reply: Reply) -> Frame:
        try:
            body = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            body = {"code": -1000, "msg": "An unknown error occurred while processing the request."}
        name = "result" if reply.status == _OK else "error"
        answer = {"id": number, "status": reply.status, name: body}
        if not self._quiet:
            answer["rateLimits"] = self._limits(reply.headers)
        return Frame(orjson.dumps(answer))

    def _limits(self, headers: dict[str, str]) -> list[dict[str, Any]]:
        used = {IP_CAP: headers.get(_WEIGHT)}
        used |= {name: headers.get(header) for header, name in _COUNTS.items()}
        return [
            {**limits.row(name, cap), "count": int(count)}
            for name, cap in limits.PUBLISHED.items()
            if (count := used.get(name)) is not None
        ]

    def _session(self, number: object, method: str, now_ms: int) -> Frame:
        if method == "session.logon":
            text = "HMAC_SHA256 API key is not supported."
            return self._failed(number, _BAD, -4056, text)
        result = {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": now_ms,
            "returnRateLimits": not self._quiet,
            "serverTime": now_ms,
        }
        return Frame(orjson.dumps({"id": number, "status": _OK, "result": result}))

    def _failed(self, number: object, status: int, code: int, text: str) -> Frame:
        answer = {"id": number, "status": status, "error": {"code": code, "msg": text}}
        return Frame(orjson.dumps(answer))


def _texts(params: dict[str, Any]) -> dict[str, str]:
    """Parameters as the text that is signed: JSON's true and false, whole numbers bare."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in params.items()
    }
