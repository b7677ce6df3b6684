"""MEXC's gate: credentials, age, signature.

After MEXC's public futures documentation: HMAC-SHA256 in lowercase hex over key + `Request-Time` +
parameters. The parameters of a POST are its raw body; those of a GET are its query, sorted by name.
Whether the values of a query are signed percent-encoded or as they are is told both ways, so it is
a variant. Path parameters are not signed. The age allowed is 10 s, and 2 s ahead.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote

from providers.sandbox.mexc.codes import Code, MexcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.sandbox.account import Account
    from providers.sandbox.wire import Inbound

KEY_HEADER: Final = "ApiKey"
TIME_HEADER: Final = "Request-Time"
SIGN_HEADER: Final = "Signature"
WINDOW_HEADER: Final = "Recv-Window"
LANGUAGE_HEADER: Final = "Language"

ENCODED: Final = "encoded"
RAW: Final = "raw"
EITHER: Final = "either"

_WHOLE: Final = re.compile(r"\d{1,18}", re.ASCII)

BEHIND_MS: Final = 10_000
AHEAD_MS: Final = 2_000
_LONGEST_WINDOW: Final = 60
"""`Recv-Window` up to this is taken as seconds, above as milliseconds: MEXC tells it both ways."""


def signature(secret: str, key: str, timestamp: str, parameters: str | bytes) -> str:
    """The signature of a request with these parameters (signed query text or raw body)."""
    raw = parameters.encode() if isinstance(parameters, str) else parameters
    return hmac.digest(secret.encode(), f"{key}{timestamp}".encode() + raw, "sha256").hex()


def signed_query(query: str, *, encoded: bool) -> str:
    """The text signed for a query: sorted by name, values percent-encoded or as they are."""
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    shown = (quote(value, safe="", errors="replace") if encoded else value for _, value in pairs)
    return "&".join(f"{name}={value}" for (name, _), value in zip(pairs, shown, strict=True))


def authenticate(
    inbound: Inbound, find: Callable[[str], Account | None], now_ms: int, *, values: str
) -> Account:
    """The account that signed a request.

    Args:
        inbound: the request as received.
        find: the account of a key.
        now_ms: the server's clock.
        values: how query values are signed: `encoded`, `raw` or `either`.

    Raises:
        MexcError: 401 without credentials, 402 for an unknown key, 513 for a bad age, 602 for a
            bad signature.
    """
    key = inbound.headers.get(KEY_HEADER, "")
    given = inbound.headers.get(SIGN_HEADER, "")
    if not key or not given:
        raise MexcError(Code.NOT_LOGGED_IN, "ApiKey and Signature are required")
    account = find(key)
    if account is None:
        raise MexcError(Code.KEY_EXPIRED, "this key is not known here")
    check_age(inbound, now_ms)
    stamp = inbound.headers.get(TIME_HEADER, "")
    expected = {
        signature(account.secret, key, stamp, text) for text in _signed_texts(inbound, values)
    }
    matching = [hmac.compare_digest(one.encode(), given.encode()) for one in expected]
    if not any(matching):
        raise MexcError(Code.SIGNATURE, "it does not match what was received")
    return account


def wants_chinese(inbound: Inbound) -> bool:
    """Whether texts are to be Chinese: they are, unless another language is named."""
    language = inbound.headers.get(LANGUAGE_HEADER, "")
    return not language or language.lower().startswith("zh")


def check_age(inbound: Inbound, now_ms: int) -> None:
    """Refuse a request that is too old, or dated in the future.

    Raises:
        MexcError: 513.
    """
    stamp = inbound.headers.get(TIME_HEADER, "")
    window = _window_ms(inbound.headers.get(WINDOW_HEADER, ""))
    young = (
        window is not None
        and _WHOLE.fullmatch(stamp) is not None
        and now_ms - window <= int(stamp) <= now_ms + AHEAD_MS
    )
    if not young:
        raise MexcError(Code.TIME)


def _window_ms(text: str) -> int | None:
    if not text:
        return BEHIND_MS
    if not _WHOLE.fullmatch(text):
        return None
    value = int(text)
    return min(value if value > _LONGEST_WINDOW else value * 1000, _LONGEST_WINDOW * 1000)


def _signed_texts(inbound: Inbound, values: str) -> list[bytes]:
    if inbound.method == "POST":
        return [inbound.body]
    return [
        signed_query(inbound.query, encoded=encoded).encode("utf-8", "surrogateescape")
        for encoded, wanted in ((True, ENCODED), (False, RAW))
        if values in (wanted, EITHER)
    ]
