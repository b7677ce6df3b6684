"""The values that pass between a venue's half of a client and the common half.

A `Call` is a request before it is signed, `Signed` the same as it goes onto the wire, `Verdict`
what the answer to it means.
"""

from __future__ import annotations

import re
from dataclasses import field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from providers.values import value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from providers.fields import Row
    from providers.outcomes import OutcomeClass

_LONGEST_PAUSE = 3 * 86400.0  # seconds: the longest ban that any of the exchanges documents
_SIGNATURE = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")
_SHORTEST_SECRET = 8  # characters


class Call(NamedTuple):
    """One request before it is signed: everything but the timestamp and what follows from it.

    `patient` False asks for a request slot now or not at all.
    """

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    signed: bool = True
    patient: bool = True
    client_order_id: str | None = None  # the order it is about, for records


class Signed(NamedTuple):
    """A request as it goes onto the wire. Prints nothing of headers, query or body."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Tell the method alone: the rest may hold keys and signatures."""
        return f"Signed(method={self.method!r})"


@value(frozen=True, slots=True)
class Verdict:
    """What an answer means, by the venue's table, and the part of it that holds the data."""

    outcome_class: OutcomeClass
    code: str | None
    message: str
    result: Row = field(default_factory=dict, repr=False)


def make_redactor(*secrets: str) -> Callable[[bytes], bytes]:
    """Make the function that takes key and secret out of what an exchange says.

    Some exchanges repeat what was signed, key and all, when they refuse a signature; and what
    stands between us and them may repeat anything. The secrets live in the function's closure,
    which no `repr` shows. One of less than 8 characters is none: it would be found in other words.
    """
    hidden = tuple(secret.encode() for secret in secrets if len(secret) >= _SHORTEST_SECRET)

    def redact(body: bytes) -> bytes:
        for secret in hidden:
            if secret in body:
                body = body.replace(secret, b"***")
        return body

    return redact


def without_signatures(message: str) -> str:
    """Take what looks like a signature out of an exchange's message; all of ours are SHA-256."""
    return _SIGNATURE.sub("***", message)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for, given as seconds or as a date.

    Returns:
        At most three days; None where the header is absent or unreadable.
    """
    value = headers.get("retry-after")
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max(0.0, (until - now).total_seconds()), _LONGEST_PAUSE)
