"""The values that pass between a venue's half of a client and the common half.

A `Call` is a request before it is signed, `Signed` the same as it goes onto the wire, `Verdict`
what the answer to it means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import httpx

    from providers.fields import Row
    from providers.outcomes import OutcomeClass

_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request before it is signed: everything but the timestamp and what follows from it."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    signed: bool = True


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it goes onto the wire. Prints nothing of headers, query or body."""

    method: str
    url: httpx.URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means, by the venue's table, and the part of it that holds the data."""

    outcome_class: OutcomeClass
    code: str | None
    message: str
    result: Row = field(default_factory=dict, repr=False)


def make_redactor(secret_text: str) -> Callable[[str], str]:
    """Make the function that takes a key out of an exchange's message.

    Some exchanges repeat what was signed, key and all, when they refuse a signature. The key
    lives in the function's closure, which no `repr` shows.
    """

    def redact(message: str) -> str:
        return message.replace(secret_text, "***") if secret_text in message else message

    return redact


def retry_after(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for, given as seconds or as a date; an hour at most.

    Returns:
        None where the header is absent or unreadable.
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
