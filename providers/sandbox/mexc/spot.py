"""What clients ask MEXC's spot API on the way to trading contracts: clock, pairs, coins.

Nothing is traded there. Answers have no envelope, and requests are signed as on spot: over the
query without `signature`, which is a parameter, with the key in `X-MEXC-APIKEY`.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from providers.sandbox.mexc import encoding
from providers.sandbox.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.sandbox.account import Account
    from providers.sandbox.wire import Inbound

PREFIX: Final = "/api/v3/"

_KEY_HEADER: Final = "X-MEXC-APIKEY"
_COINS: Final = ("USDT", "USDC", "BTC", "ETH")
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
_BEHIND_MS: Final = 60_000
_AHEAD_MS: Final = 2_000
_BAD_SIGNATURE: Final = 700002
_BAD_TIME: Final = 700003
_KEY_UNKNOWN: Final = 10072


def answer(inbound: Inbound, find: Callable[[str], Account | None], now_ms: int) -> Reply:
    """The whole answer to a request below the spot API."""
    match inbound.method, inbound.path.removeprefix(PREFIX):
        case "GET", "ping":
            return _reply({})
        case "GET", "time":
            return _reply({"serverTime": now_ms})
        case "GET", "exchangeInfo":
            empty: dict[str, Any] = {"rateLimits": [], "exchangeFilters": [], "symbols": []}
            return _reply({"timezone": "CST", "serverTime": now_ms, **empty})
        case "GET", "capital/config/getall":
            return _refusal(inbound, find, now_ms) or _reply([_coin(name) for name in _COINS])
        case _:
            return _reply({"code": _NOT_FOUND, "msg": "Not Found"}, _NOT_FOUND)


def _refusal(inbound: Inbound, find: Callable[[str], Account | None], now_ms: int) -> Reply | None:
    account = find(inbound.headers.get(_KEY_HEADER, ""))
    if account is None:
        return _reply({"code": _KEY_UNKNOWN, "msg": "Api key info invalid"}, _BAD_REQUEST)
    parts = inbound.query.split("&")
    text = "&".join(part for part in parts if not part.startswith("signature="))
    params = parse_qs(inbound.query)
    expected = hmac.digest(account.secret.encode(), text.encode(), "sha256").hex()
    given = params.get("signature", [""])[0].lower()
    if not hmac.compare_digest(expected.encode(), given.encode()):
        text = "Signature for this request is not valid."
        return _reply({"code": _BAD_SIGNATURE, "msg": text}, _BAD_REQUEST)
    stamp = params.get("timestamp", [""])[0]
    young = stamp.isascii() and stamp.isdigit() and len(stamp) <= len(str(now_ms))
    if not (young and now_ms - _BEHIND_MS <= int(stamp) <= now_ms + _AHEAD_MS):
        text = "Timestamp for this request is outside of the recvWindow."
        return _reply({"code": _BAD_TIME, "msg": text}, _BAD_REQUEST)
    return None


def _coin(name: str) -> dict[str, Any]:
    return {"coin": name, "Name": name, "networkList": []}


def _reply(value: object, status: int = 200) -> Reply:
    return Reply(body=encoding.encode(value), status=status)
