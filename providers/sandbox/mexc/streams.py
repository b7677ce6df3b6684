"""MEXC's contract WebSocket at `/edge`: login, private pushes, public subscriptions.

After MEXC's public futures documentation. After `login` all private channels flow, unless it says
`"subscribe": false`; `personal.filter` narrows them. Public pushes are the rows of the HTTP API.
Connections are not closed for silence.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from providers.sandbox.market import GRID_MS
from providers.sandbox.mexc import encoding, gate, telling, ticking
from providers.sandbox.mexc.contracts import BY_NAME
from providers.sandbox.streams import Frame

if TYPE_CHECKING:
    from providers.sandbox.account import Account
    from providers.sandbox.journal import Entry, Told
    from providers.sandbox.mexc.desk import Desk
    from providers.sandbox.streams import Ask

PATH: Final = "/edge"
_ALL: Final = frozenset(telling.CHANNELS)


@dataclass(slots=True, eq=False)
class EdgeSession:
    """One connection.

    Attributes:
        wanted: the private channels that flow.
        subscribed: public subscriptions: method without `sub.`, and parameters.
    """

    desk: Desk
    account: Account | None = None
    wanted: frozenset[str] = frozenset()
    subscribed: dict[str, ticking.Subscription] = field(default_factory=dict)
    _grid: int = 0

    @property
    def topics(self) -> list[str]:
        """The channels that flow."""
        return [*sorted(self.wanted), *self.subscribed]

    def opened(self, now_ms: int) -> list[Frame]:
        """Nothing."""
        del now_ms
        return []

    def received(self, text: str, now_ms: int) -> list[Frame | Ask]:
        """Ping, login, filters, subscriptions."""
        try:
            message = encoding.decode(text.encode())
        except ValueError:
            message = None
        if not isinstance(message, dict):
            return [_frame("rs.error", "the message is no JSON object", now_ms)]
        method, params = str(message.get("method", "")), message.get("param")
        params = params if isinstance(params, dict) else {}
        match method.partition(".")[0]:
            case "ping":
                return [_frame("pong", now_ms, now_ms)]
            case "login":
                return self._login(message, params, now_ms)
            case "personal":
                return self._filter(params, now_ms)
            case "sub" | "unsub":
                return self._subscribe(method, params, now_ms)
            case _:
                return [_frame("rs.error", f"no method {method!r}", now_ms)]

    def told(self, entry: Entry | Told, now_ms: int) -> list[Frame]:
        """The private pushes of a change."""
        return [
            Frame(_body(f"push.personal.{channel}", data, now_ms), channel, symbol, client_id)
            for channel, data, symbol, client_id in telling.tell(self.desk, entry, now_ms)
            if channel in self.wanted
        ]

    def ticked(self, now_ms: int) -> list[Frame]:
        """Prices, once the grid has moved on."""
        if now_ms // GRID_MS == self._grid:
            return []
        self._grid = now_ms // GRID_MS
        return [self._push(one, now_ms) for one in self.subscribed.values()]

    def _push(self, one: ticking.Subscription, now_ms: int) -> Frame:
        data = ticking.row(self.desk, one, now_ms)
        more = {"symbol": one.symbol} if one.symbol else {}
        listed = BY_NAME.get(one.symbol)
        symbol = listed.instrument.symbol if listed is not None else ""
        return Frame(_body(f"push.{one.kind}", data, now_ms, **more), one.kind, symbol)

    def _login(
        self, message: dict[str, Any], params: dict[str, Any], now_ms: int
    ) -> list[Frame | Ask]:
        key, stamp = str(params.get("apiKey", "")), str(params.get("reqTime", ""))
        account = self.desk.engine.account_of(key)
        if account is None:
            return [_frame("rs.error", "login failed: unknown apiKey", now_ms)]
        behind, ahead = now_ms - gate.BEHIND_MS, now_ms + gate.AHEAD_MS
        if not (stamp.isascii() and stamp.isdigit() and behind <= int(stamp) <= ahead):
            return [_frame("rs.error", "login failed: reqTime is outside the window", now_ms)]
        expected = gate.signature(account.secret, key, stamp, "")
        given = str(params.get("signature", ""))
        if not hmac.compare_digest(expected.encode(), given.encode()):
            return [_frame("rs.error", "login failed: the signature does not match", now_ms)]
        self.account = account
        self.wanted = frozenset() if message.get("subscribe") is False else _ALL
        return [_frame("rs.login", "success", now_ms)]

    def _filter(self, params: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        if self.account is None:
            return [_frame("rs.error", "login first", now_ms)]
        listed = params.get("filters")
        named = [one.get("filter") for one in listed or () if isinstance(one, dict)]
        self.wanted = _ALL & frozenset(named) if named else _ALL
        return [_frame("rs.personal.filter", "success", now_ms)]

    def _subscribe(self, method: str, params: dict[str, Any], now_ms: int) -> list[Frame | Ask]:
        verb, _, kind = method.partition(".")
        one = ticking.read(kind, params)
        if one is None:
            return [_frame("rs.error", f"no contract or channel for {method}", now_ms)]
        done: list[Frame | Ask] = [_frame(f"rs.{method}", "success", now_ms)]
        if verb == "unsub":
            self.subscribed.pop(one.name, None)
            return done
        self.subscribed[one.name] = one
        return [*done, self._push(one, now_ms)]


def _frame(channel: str, data: object, now_ms: int) -> Frame:
    return Frame(_body(channel, data, now_ms))


def _body(channel: str, data: object, now_ms: int, **more: object) -> bytes:
    return encoding.encode({"channel": channel, "data": data, "ts": now_ms, **more})
