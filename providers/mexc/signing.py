"""How requests to MEXC's contract API are signed: pure, over exactly the bytes that are sent.

HMAC-SHA256, lower-case hex, of `key + timestamp + parameters`. The parameters are the query
string of a GET, its names in alphabetical order, or the body of a POST as it is; what stands in
the path is not signed. Source: MEXC contract API docs, "Integration guide".
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from providers.hashing import make_hmac

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The receive window is left out: the documentation and the exchange's own examples disagree about
# its unit, and the default of ten seconds is what is wanted. Messages are Chinese unless asked.
PLAIN_HEADERS = {"Content-Type": "application/json", "Language": "en-US"}


def message(api_key: str, timestamp_ms: int, parameters: bytes) -> bytes:
    """What is signed: `parameters` is the query string of a GET, the body of a POST, or nothing."""
    return f"{api_key}{timestamp_ms}".encode() + parameters


def query(parameters: Mapping[str, str | int]) -> str:
    """A query string as it is signed and sent: names in order, values percent-encoded.

    Whether a comma is signed encoded or raw is not settled, so no value should hold one.
    """
    return "&".join(
        f"{name}={quote(str(value), safe='')}" for name, value in sorted(parameters.items())
    )


def make_signer(api_key: str, secret: str) -> Callable[[int, bytes], dict[str, str]]:
    """Make the function that gives a request its headers.

    The secret lives in the function's closure, which no `repr` shows.

    Returns:
        A function of the timestamp in ms (the exchange's clock) and the parameters to be signed.
    """
    signature = make_hmac(secret.encode())

    def sign(timestamp_ms: int, parameters: bytes) -> dict[str, str]:
        return {
            **PLAIN_HEADERS,
            "ApiKey": api_key,
            "Request-Time": str(timestamp_ms),
            "Signature": signature(message(api_key, timestamp_ms, parameters)),
        }

    return sign
