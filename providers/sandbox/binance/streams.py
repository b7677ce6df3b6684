"""Binance's streams: user data behind a listen key, and public prices.

After Binance's public USDⓈ-M futures documentation. A stream is named in the path (`/ws/<name>`,
`/stream?streams=<name>/<name>`), by a listen key in the query, or later with SUBSCRIBE. Since the
routing of 2026 user data comes over `/private` only; paths without a route deliver what is public,
unless the variant `unrouted_streams` says `all`. Which of `/public` and `/market` a price belongs
to is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import orjson

from providers.sandbox.binance import orders_socket, telling, ticking
from providers.sandbox.streams import Frame

if TYPE_CHECKING:
    from providers.sandbox.account import Account
    from providers.sandbox.binance.desk import Desk
    from providers.sandbox.journal import Entry, Told
    from providers.sandbox.streams import Ask, Session
    from providers.sandbox.wire import Inbound

_ROUTES: Final = ("private", "public", "market")
_INVALID: Final = 2


def connect(desk: Desk, inbound: Inbound) -> Session | None:
    """The session of a path, None where there is no stream."""
    first, *rest = inbound.path.strip("/").split("/")
    if [first, *rest] == ["ws-fapi", "v1"]:
        quiet = parse_qs(inbound.query).get("returnRateLimits") == ["false"]
        return orders_socket.OrdersSession(desk, quiet=quiet)
    route = ""
    if first in _ROUTES and rest:
        route, first, rest = first, rest[0], rest[1:]
    if first not in ("ws", "stream"):
        return None
    query = parse_qs(inbound.query)
    names = [*rest, *(query.get("streams", [""])[0].split("/")), *query.get("listenKey", [])]
    events = [name for text in query.get("events", []) for name in text.split("/")]
    private = route == "private" or (not route and desk.variants["unrouted_streams"] == "all")
    return StreamSession(
        desk,
        combined=first == "stream",
        private=private,
        events=frozenset(filter(None, events)),
        subscribed=dict.fromkeys(filter(None, names)),
    )


@dataclass(slots=True, eq=False)
class StreamSession:
    """One connection to streams.

    Attributes:
        combined: frames are wrapped with their stream's name.
        private: user data comes over it.
        events: the kinds of user data wanted, empty for all.
    """

    desk: Desk
    combined: bool
    private: bool
    events: frozenset[str]
    subscribed: dict[str, None]
    _keys: dict[str, str] = field(default_factory=dict)
    _ticker: ticking.Ticker = field(init=False)

    def __post_init__(self) -> None:
        self._ticker = ticking.Ticker(self.desk)

    @property
    def account(self) -> Account | None:
        """The account of the listen key it was opened with."""
        for name in self._keys.values():
            return self.desk.engine.book.accounts.get(name)
        return None

    @property
    def topics(self) -> list[str]:
        """Its streams; listen keys are not shown."""
        return ["user data" if name in self._keys else name for name in self.subscribed]

    def opened(self, now_ms: int) -> list[Frame]:
        """Find out whose keys are among the names."""
        self._find_keys(now_ms)
        return []

    def received(self, text: str, now_ms: int) -> list[Frame | Ask]:
        """SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS and properties."""
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return [_refused(None, "Invalid JSON: expected value")]
        if not isinstance(message, dict):
            return [_refused(None, "Invalid JSON: expected an object")]
        return [self._control(message, now_ms)]

    def _control(self, message: dict[str, Any], now_ms: int) -> Frame:
        number, params = message.get("id"), message.get("params") or []
        result: object = None
        match message.get("method"):
            case "SUBSCRIBE" if isinstance(params, list):
                self.subscribed.update(dict.fromkeys(map(str, params)))
                self._find_keys(now_ms)
            case "UNSUBSCRIBE" if isinstance(params, list):
                for name in map(str, params):
                    self.subscribed.pop(name, None)
                    self._keys.pop(name, None)
            case "LIST_SUBSCRIPTIONS":
                result = list(self.subscribed)
            case "SET_PROPERTY" if isinstance(params, list):
                self.combined = params == ["combined", True]
            case "GET_PROPERTY":
                result = self.combined
            case method:
                return _refused(number, f"Invalid request: unknown variant {method!r}")
        return Frame(orjson.dumps({"result": result, "id": number}))

    def told(self, entry: Entry | Told, now_ms: int) -> list[Frame]:
        """User data of the account, while its key lives."""
        key = next((k for k in self._keys if self.desk.listen_keys.owner(k, now_ms)), None)
        if key is None or not self.private:
            return []
        bodies = telling.tell(self.desk, entry, now_ms)
        return [
            self._frame(key, told, symbol, client_id)
            for told, symbol, client_id in bodies
            if not self.events or told["e"] in self.events
        ]

    def ticked(self, now_ms: int) -> list[Frame]:
        """Prices, and the end of listen keys."""
        frames = [
            self._frame(name, body, symbol, "")
            for name, body, symbol in self._ticker.next(self.subscribed, now_ms)
        ]
        for key in [k for k in self._keys if not self.desk.listen_keys.owner(k, now_ms)]:
            del self._keys[key]
            if self.private and self.desk.listen_keys.expired(key, now_ms):
                body = {"e": "listenKeyExpired", "E": now_ms, "listenKey": key}
                frames.append(self._frame(key, body, "", ""))
        return frames

    def _find_keys(self, now_ms: int) -> None:
        for name in self.subscribed:
            owner = self.desk.listen_keys.owner(name, now_ms)
            if owner:
                self._keys[name] = owner

    def _frame(self, name: str, body: Any, symbol: str, client_id: str) -> Frame:  # noqa: ANN401
        topic = str(body["e"]) if isinstance(body, dict) else name
        if self.combined:
            body = {"stream": name, "data": body}
        return Frame(orjson.dumps(body), topic, symbol, client_id)


def _refused(number: object, text: str) -> Frame:
    return Frame(orjson.dumps({"error": {"code": _INVALID, "msg": text}, "id": number}))
