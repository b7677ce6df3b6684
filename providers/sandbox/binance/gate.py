"""Binance's gate: parameters from query and form, key, age, and the signature over what was sent.

After Binance's public USDⓈ-M futures documentation. Signed text: the raw query, immediately
followed by the raw form body, both without their `signature` pair; HMAC-SHA256 in hex of either
case. A request is young enough while `timestamp < server time + 1000` and
`server time - timestamp <= recvWindow`, in milliseconds. On a clash the query wins over the form.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from providers.sandbox.binance.codes import BinanceError, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from providers.sandbox.account import Account
    from providers.sandbox.wire import Inbound

KEY_HEADER: Final = "X-MBX-APIKEY"
DEFAULT_WINDOW: Final = 5000
LARGEST_WINDOW: Final = 60_000
AHEAD_MS: Final = 1000

_FORM: Final = "application/x-www-form-urlencoded"
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def form_of(inbound: Inbound) -> bytes:
    """The form body, empty for a GET and for a body of another kind."""
    if inbound.method == "GET" or not inbound.body:
        return b""
    kind = inbound.headers.get("Content-Type", _FORM)
    return inbound.body if kind.lower().startswith(_FORM) else b""


def decode(inbound: Inbound) -> tuple[dict[str, str], str]:
    """The parameters, and the name of one that was sent twice in one place, if any."""
    form = form_of(inbound)
    params, twice = _pairs(form.decode("utf-8", "replace")) if form else ({}, "")
    if inbound.query:
        query = inbound.query
        if not query.isascii():
            query = _bytes(query).decode("utf-8", "replace")
        first, again = _pairs(query)
        params.update(first)
        twice = again or twice
    return params, twice


def _pairs(text: str) -> tuple[dict[str, str], str]:
    params: dict[str, str] = {}
    twice = ""
    for part in text.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in part or "+" in part:
            name, value = unquote_plus(name), unquote_plus(value)
        if name in params:
            twice = name
        params[name] = value
    return params, twice


def signed_text(query: str, form: bytes) -> bytes:
    """What the signature covers."""
    return _without_signature(_bytes(query)) + _without_signature(form)


def _bytes(text: str) -> bytes:
    """A raw query as the bytes it came in; bytes that are no UTF-8 arrive as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def _without_signature(raw: bytes) -> bytes:
    if b"signature=" not in raw:
        return raw
    return b"&".join(part for part in raw.split(b"&") if not part.startswith(b"signature="))


def signature(secret: str, text: bytes) -> str:
    """The signature of a text, in lowercase hex."""
    return hmac.digest(secret.encode(), text, "sha256").hex()


def account_of(inbound: Inbound, find: Callable[[str], Account | None]) -> Account:
    """The account whose key a request names.

    Raises:
        BinanceError: -2014 for a missing or malformed key, -2015 for an unknown one.
    """
    key = inbound.headers.get(KEY_HEADER, "")
    if not _KEY.fullmatch(key):
        raise BinanceError(Code.KEY_FORMAT)
    account = find(key)
    if account is None:
        raise BinanceError(Code.KEY_REJECTED)
    return account


def check_signature(inbound: Inbound, params: Mapping[str, str], account: Account) -> None:
    """Refuse what was not signed with the account's secret.

    Raises:
        BinanceError: -1022.
    """
    text = signed_text(inbound.query, form_of(inbound))
    expected = signature(account.secret, text)
    given = params.get("signature", "").lower()
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise BinanceError(Code.SIGNATURE)


def check_age(params: Mapping[str, str], now_ms: int) -> None:
    """Refuse a request that is too old, or dated in the future.

    Raises:
        BinanceError: -1102 for a missing or malformed figure, -1130 for a window too long, -1021.
    """
    stamp = _whole(params, "timestamp", None)
    window = _whole(params, "recvWindow", DEFAULT_WINDOW)
    if window > LARGEST_WINDOW:
        raise malformed("recvWindow", f"at most {LARGEST_WINDOW}", Code.PARAMETER)
    if stamp >= now_ms + AHEAD_MS:
        text = f"Timestamp for this request was {AHEAD_MS}ms ahead of the server's time."
        raise BinanceError(Code.TIMESTAMP, text=text)
    if now_ms - stamp > window:
        text = "Timestamp for this request is outside of the recvWindow."
        raise BinanceError(Code.TIMESTAMP, text=text)


def malformed(name: str, wanted: str, code: Code = Code.MANDATORY_MISSING) -> BinanceError:
    """A parameter that is missing or cannot be read."""
    text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    if code is not Code.MANDATORY_MISSING:
        text = f"Data sent for parameter '{name}' is not valid."
    return BinanceError(code, wanted, text=text)


def _whole(params: Mapping[str, str], name: str, default: int | None) -> int:
    value = params.get(name, "")
    if not value and default is not None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 20):  # noqa: PLR2004 - an int64
        raise malformed(name, "a whole number of milliseconds")
    return int(value)
