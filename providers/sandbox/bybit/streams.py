"""Bybit's WebSockets: `/v5/private`, `/v5/public/linear` and order entry on `/v5/trade`.

After Bybit's public V5 documentation. A client says who it is with `auth`, then subscribes; orders
on the trade socket are signed by the sandbox in the client's name and served as any HTTP request,
with its limits and faults. Connections are not closed for silence.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from providers.sandbox.bybit import gate, ticking
from providers.sandbox.bybit.telling import PRIVATE_TOPICS, tell
from providers.sandbox.streams import Ask, Frame
from providers.sandbox.wire import Inbound

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.sandbox.account import Account
    from providers.sandbox.engine import Engine
    from providers.sandbox.journal import Entry, Told
    from providers.sandbox.streams import Session
    from providers.sandbox.wire import Reply

_ORDER_OPS: Final = {
    f"order.{op}": f"/v5/order/{op}"
    for op in ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")
}
_SILENT_TOPICS: Final = ("greeks", "dcp")
"""Private topics that are taken and never say anything here."""


def connect(engine: Engine, path: str, number: int) -> Session | None:
    """The session of a path, None where there is no stream."""
    connection = f"sandbox-{number}"
    match path:
        case "/v5/private":
            return PrivateSession(engine, connection)
        case "/v5/public/linear":
            return PublicSession(engine, connection)
        case "/v5/trade":
            return TradeSession(engine, connection)
        case _:
            return None


@dataclass(slots=True, eq=False)
class _Session:
    engine: Engine
    connection: str
    account: Account | None = None
    subscribed: dict[str, None] = field(default_factory=dict)

    @property
    def topics(self) -> list[str]:
        return list(self.subscribed)

    def opened(self, now_ms: int) -> list[Frame]:
        del now_ms
        return []

    def received(self, text: str, now_ms: int) -> list[Frame | Ask]:
        message = _object(text)
        handle = self.handlers().get(str(message.get("op", "")))
        if handle is None:
            return [self.answer(message, ok=False, text=f"error:invalid op,{message.get('op')}")]
        return handle(message, now_ms)

    def told(self, entry: Entry | Told, now_ms: int) -> list[Frame]:
        del entry, now_ms
        return []

    def ticked(self, now_ms: int) -> list[Frame]:
        del now_ms
        return []

    def handlers(self) -> dict[str, Callable[[dict[str, Any], int], list[Frame | Ask]]]:
        return {
            "ping": self.ping,
            "auth": self.authenticate,
            "subscribe": self.subscribe,
            "unsubscribe": self.unsubscribe,
        }

    def answer(self, message: dict[str, Any], *, ok: bool, text: str = "") -> Frame:
        body = {
            "success": ok,
            "ret_msg": text,
            "conn_id": self.connection,
            "req_id": message.get("req_id", ""),
            "op": message.get("op", ""),
        }
        return Frame(orjson.dumps(body))

    def ping(self, message: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        body = {"op": "pong", "args": [str(now_ms)], "conn_id": self.connection}
        if "req_id" in message:
            body["req_id"] = message["req_id"]
        return [Frame(orjson.dumps(body))]

    def authenticate(self, message: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        self.account, problem = identify(self.engine, message.get("args"), now_ms)
        return [self.answer(message, ok=not problem, text=problem)]

    def subscribe(self, message: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        topics = message.get("args")
        if not isinstance(topics, list) or not topics:
            return [self.answer(message, ok=False, text="error:args must be a list of topics")]
        for topic in topics:
            problem = self.refusal(str(topic))
            if problem:
                return [self.answer(message, ok=False, text=problem)]
        self.subscribed.update(dict.fromkeys(map(str, topics)))
        return [self.answer(message, ok=True), *self.first(list(map(str, topics)), now_ms)]

    def unsubscribe(self, message: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        del now_ms
        for topic in message.get("args") or ():
            self.subscribed.pop(str(topic), None)
        return [self.answer(message, ok=True)]

    def refusal(self, topic: str) -> str:
        """Why a topic cannot be subscribed to, empty if it can; here there are none."""
        return f"error:handler not found,topic:{topic}"

    def first(self, topics: list[str], now_ms: int) -> list[Frame]:
        """What is sent at once to who subscribes."""
        del topics, now_ms
        return []


class PrivateSession(_Session):
    """Orders, executions, positions and wallet of one account."""

    __slots__ = ()

    def refusal(self, topic: str) -> str:
        """Who is not known gets nothing."""
        if self.account is None:
            return "Request not authorized"
        known = topic in PRIVATE_TOPICS or topic in _SILENT_TOPICS
        return "" if known else f"error:handler not found,topic:{topic}"

    def told(self, entry: Entry | Told, now_ms: int) -> list[Frame]:
        """A change, by the topics it concerns."""
        return tell(self.engine, entry, self.subscribed, now_ms)


@dataclass(slots=True, eq=False)
class PublicSession(_Session):
    """Prices, trades, books and candles of contracts."""

    ticker: ticking.Ticker = field(init=False)

    def __post_init__(self) -> None:
        self.ticker = ticking.Ticker(self.engine.market)

    def ping(self, message: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        """The answer of the public socket has another shape."""
        del now_ms
        return [self.answer(message, ok=True, text="pong")]

    def authenticate(self, message: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        """Nobody has to."""
        del now_ms
        return [self.answer(message, ok=False, text="error:public streams need no auth")]

    def refusal(self, topic: str) -> str:
        """Only of a topic there is not."""
        known = ticking.read(topic, self.engine.market) is not None
        return "" if known else f"error:handler not found,topic:{topic}"

    def first(self, topics: list[str], now_ms: int) -> list[Frame]:
        """The state of what was subscribed to."""
        return self.ticker.first(topics, now_ms)

    def ticked(self, now_ms: int) -> list[Frame]:
        """What has changed."""
        return self.ticker.next(self.subscribed, now_ms)


@dataclass(slots=True, eq=False)
class TradeSession(_Session):
    """Order entry; a request id may be used once."""

    used: set[str] = field(default_factory=set)

    def handlers(self) -> dict[str, Callable[[dict[str, Any], int], list[Frame | Ask]]]:
        """Order operations instead of subscriptions."""
        own = {"ping": self.ping, "auth": self.authenticate}
        return {**own, **dict.fromkeys(_ORDER_OPS, self.order)}

    def ping(self, message: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        """The answer of the trade socket has a shape of its own."""
        data = {"data": [str(now_ms)]}
        return [self.reply(message, 0, "OK", op="pong", **data)]

    def authenticate(self, message: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        """Once a connection."""
        if self.account is not None:
            return [self.reply(message, 20001, "Repeat auth")]
        self.account, problem = identify(self.engine, message.get("args"), now_ms)
        return [self.reply(message, 10004 if problem else 0, problem or "OK")]

    def order(self, message: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        """Serve an order operation as the HTTP request that it stands for."""
        if self.account is None:
            return [self.reply(message, 10003, "not authenticated: send auth first", data={})]
        request_id = str(message.get("reqId", ""))
        if request_id and request_id in self.used:
            return [self.reply(message, 20006, "reqId is duplicated", data={})]
        self.used.add(request_id)
        listed = message.get("args")
        if not isinstance(listed, list) or len(listed) != 1:
            return [self.reply(message, 10001, "args must be a list of one", data={})]
        given = message.get("header") if isinstance(message.get("header"), dict) else {}
        body = orjson.dumps(listed[0])
        stamp = str((given or {}).get(gate.TIME_HEADER, ""))
        window = str((given or {}).get(gate.WINDOW_HEADER, gate.DEFAULT_WINDOW))
        key = self.account.key
        headers = {
            gate.KEY_HEADER: key,
            gate.TIME_HEADER: stamp,
            gate.WINDOW_HEADER: window,
            gate.SIGN_HEADER: gate.signature(self.account.secret, stamp, key, window, body),
        }
        inbound = Inbound(
            method="POST",
            path=_ORDER_OPS[str(message["op"])],
            query="",
            headers=headers,
            body=body,
            arrived_ms=now_ms,
            arrived_ns=now_ms * 1_000_000,
        )
        return [Ask(inbound, lambda reply: self.wrapped(message, reply, now_ms))]

    def wrapped(self, message: dict[str, Any], reply: Reply, now_ms: int) -> Frame:
        """The answer of the HTTP API in the shape of the socket's."""
        if reply.content_type != "application/json":
            return self.reply(message, 10016, "internal server error", data={})
        answer = orjson.loads(reply.body)
        header = {**reply.headers, "Traceid": self.connection, "Timenow": str(now_ms)}
        return self.reply(
            message,
            answer["retCode"],
            answer["retMsg"],
            data=answer["result"],
            retExtInfo=answer["retExtInfo"],
            header=header,
        )

    def reply(
        self, message: dict[str, Any], code: int, text: str, *, op: str = "", **more: object
    ) -> Frame:
        """An answer of the trade socket."""
        body: dict[str, object] = {
            "retCode": code,
            "retMsg": text,
            "op": op or message.get("op", ""),
            **more,
            "connId": self.connection,
        }
        if "reqId" in message:
            body = {"reqId": message["reqId"], **body}
        return Frame(orjson.dumps(body))


def identify(engine: Engine, args: object, now_ms: int) -> tuple[Account | None, str]:
    """Who signs `auth`, and what is wrong with it: key, an expiry ahead of now, signature."""
    if not isinstance(args, list) or len(args) != 3:  # noqa: PLR2004 - those three
        return None, "Params Error"
    key, expires, given = (str(value) for value in args)
    account = engine.account_of(key)
    if account is None:
        return None, "API key is invalid."
    if not (expires.isascii() and expires.isdigit() and int(expires) > now_ms):
        return None, "Params Error: expires must be an instant ahead, in milliseconds"
    expected = hmac.digest(account.secret.encode(), f"GET/realtime{expires}".encode(), "sha256")
    if not hmac.compare_digest(expected.hex().encode(), given.encode()):
        return None, "Sign error"
    return account, ""


def _object(text: str) -> dict[str, Any]:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return message if isinstance(message, dict) else {}
