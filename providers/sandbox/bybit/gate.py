"""Bybit's gate: credentials, signature over the raw request, age, and request limits.

Signed text, after Bybit's public V5 documentation: timestamp + key + recv window + the raw query
(GET) or the raw body (POST), HMAC-SHA256 in lowercase hex. A request is young enough while
`server time - recv window <= timestamp < server time + 1000`, in milliseconds.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from providers.sandbox.bybit.codes import BybitError, Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.sandbox.account import Account
    from providers.sandbox.wire import Inbound

KEY_HEADER: Final = "X-BAPI-API-KEY"
TIME_HEADER: Final = "X-BAPI-TIMESTAMP"
WINDOW_HEADER: Final = "X-BAPI-RECV-WINDOW"
SIGN_HEADER: Final = "X-BAPI-SIGN"
DEFAULT_WINDOW: Final = "5000"
AHEAD_MS: Final = 1000


def signature(secret: str, timestamp: str, key: str, window: str, tail: str | bytes) -> str:
    """The signature of a request whose raw query or body is `tail`."""
    raw = tail.encode() if isinstance(tail, str) else tail
    text = f"{timestamp}{key}{window}".encode() + raw
    return hmac.digest(secret.encode(), text, "sha256").hex()


def authenticate(inbound: Inbound, find: Callable[[str], Account | None], now_ms: int) -> Account:
    """The account that signed a request.

    Raises:
        BybitError: 10003 for an unknown key, 10002 for a bad age, 10004 for a bad signature.
    """
    key = inbound.headers.get(KEY_HEADER, "")
    account = find(key)
    if account is None:
        raise BybitError(Code.KEY_INVALID, "API key is invalid here: unknown key")
    check_age(inbound, now_ms)
    tail = inbound.body if inbound.method == "POST" else inbound.query.encode()
    expected = signature(
        account.secret,
        inbound.headers.get(TIME_HEADER, ""),
        key,
        inbound.headers.get(WINDOW_HEADER, DEFAULT_WINDOW),
        tail,
    )
    given = inbound.headers.get(SIGN_HEADER, "")
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise BybitError(Code.SIGNATURE, "signature error: it does not match what was received")
    return account


def check_age(inbound: Inbound, now_ms: int) -> None:
    """Refuse a request that is too old, or dated in the future.

    Raises:
        BybitError: 10002.
    """
    stamp = inbound.headers.get(TIME_HEADER, "")
    window = inbound.headers.get(WINDOW_HEADER, DEFAULT_WINDOW)
    young = (
        stamp.isascii()
        and stamp.isdigit()
        and window.isascii()
        and window.isdigit()
        and now_ms - int(window) <= int(stamp) < now_ms + AHEAD_MS
    )
    if not young:
        raise BybitError(
            Code.TIMESTAMP,
            "request outside the time window, check the timestamp and recv_window: "
            f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]",
        )
