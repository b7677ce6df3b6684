"""Keeping our own secrets out of whatever is written down: log lines, objects, notices.

Nothing is meant to write one in the first place; this is the net below it. Whoever echoes a key
(an exchange, a proxy, a library's error), it leaves this process as asterisks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_settings import BaseSettings

_SHORTEST = 8  # characters; what is shorter would also be found in words that are none
_HIDDEN = "***"


class Scrubber:
    """Takes given secrets out of texts, as they are and as JSON and URLs write them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                forms |= {secret, orjson.dumps(secret).decode()[1:-1], quote(secret, safe="")}
        # The longest first: one secret may be part of another.
        self._texts = tuple(sorted(forms, key=len, reverse=True))
        self._bytes = tuple(form.encode() for form in self._texts)
        self._in_json = _in_json(self._bytes)

    def text(self, text: str) -> str:
        """Give a text without the secrets."""
        for secret in self._texts:
            if secret in text:
                text = text.replace(secret, _HIDDEN)
        return text

    def data(self, data: bytes) -> bytes:
        """Give UTF-8 without the secrets; JSON stays JSON."""
        if any(secret in data for secret in self._bytes):
            data = self._in_json.sub(lambda found: b"***" if found[1] else found[0], data)
        for secret in self._bytes:  # left only where it is no JSON
            data = data.replace(secret, _HIDDEN.encode())
        return data


def _in_json(secrets: Iterable[bytes]) -> re.Pattern[bytes]:
    r"""Make what finds secrets, as group 1, or an escape in which none begins. Pure.

    One may begin inside of an escape, as `0000…` does after `\u`, or `new…` after `\`: then the
    escape is taken with it, for what would be left of it is no JSON.
    """
    secret = b"(?:" + b"|".join(map(re.escape, secrets)) + b")"
    begun = rb"\\(?:u[0-9a-fA-F]{0,3})?"
    return re.compile(
        b"(" + secret + b"|" + begun + secret + rb")|\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL
    )


def secrets_of(settings: BaseSettings) -> list[str]:
    """Collect every secret that the settings hold, those inside of URLs as well."""
    found: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            found += [text, *text.split()]  # a list of URLs is as many secrets
        else:
            found += _passwords(value)
    return found


def _passwords(value: Any) -> list[str]:  # noqa: ANN401 - pydantic's URL types share no base
    hosts = getattr(value, "hosts", None)
    if callable(hosts):
        return [host["password"] for host in hosts() if host.get("password")]
    password = getattr(value, "password", None)
    return [password] if isinstance(password, str) and password else []
