"""How Bybit V5 requests are signed: pure, over exactly the bytes that are sent.

HMAC-SHA256, lower-case hex, of `timestamp + key + recv window + tail`, where the tail is the
query string without its `?`, or the body. Source: Bybit API docs, V5, "Integration guidance".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.hashing import make_hmac

if TYPE_CHECKING:
    from collections.abc import Callable


def message(timestamp_ms: int, api_key: str, recv_window_ms: int, tail: bytes) -> bytes:
    """What is signed: `tail` is the query string of a GET, the body of a POST, or nothing."""
    return f"{timestamp_ms}{api_key}{recv_window_ms}".encode() + tail


def make_signer(
    api_key: str, secret: str, recv_window_ms: int
) -> Callable[[int, bytes], dict[str, str]]:
    """Make the function that gives a request its authentication headers.

    The secret lives in the function's closure, which no `repr` shows.

    Returns:
        A function of the timestamp in ms (the exchange's clock) and the tail to be signed.
    """
    signature = make_hmac(secret.encode())
    window = str(recv_window_ms)

    def sign(timestamp_ms: int, tail: bytes) -> dict[str, str]:
        return {
            "X-BAPI-API-KEY": api_key,
            "X-BAPI-TIMESTAMP": str(timestamp_ms),
            "X-BAPI-RECV-WINDOW": window,
            "X-BAPI-SIGN": signature(message(timestamp_ms, api_key, recv_window_ms, tail)),
        }

    return sign
