"""How Binance requests are written and signed: pure, over exactly the bytes that are sent.

Every parameter, of a POST too, stands in the query string, percent-encoded before it is signed.
The signature is HMAC-SHA256, lower-case hex, of that query, and is appended to it as the last
parameter. Source: Binance API docs, USDⓈ-M futures, "General Info", signed endpoint security.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from providers.hashing import make_hmac

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_READY = re.compile(r"[A-Za-z0-9._~-]*")  # nothing to be encoded, as in nearly every request
KEY_HEADER = "X-MBX-APIKEY"


def query_of(parameters: Mapping[str, str]) -> str:
    """Write parameters as a query string, in their order, with nothing left to be encoded."""
    if _READY.fullmatch("".join(parameters.values())) is None:
        parameters = {name: quote(value, safe="") for name, value in parameters.items()}
    return "&".join([f"{name}={value}" for name, value in parameters.items()])


def make_signer(secret: str, recv_window_ms: int) -> Callable[[int, str], str]:
    """Make the function that turns a query into a signed one.

    The secret lives in the function's closure, which no `repr` shows.

    Returns:
        A function of the timestamp in ms (the exchange's clock) and the query; its result is
        what goes onto the wire after the `?`.
    """
    signature = make_hmac(secret.encode())

    def sign(timestamp_ms: int, query: str) -> str:
        start = f"{query}&" if query else ""
        whole = f"{start}recvWindow={recv_window_ms}&timestamp={timestamp_ms}"
        return f"{whole}&signature={signature(whole.encode())}"

    return sign
