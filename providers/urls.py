"""URLs of an exchange as they go onto the wire. Parsing each one took longer than signing it."""

from __future__ import annotations

import re

import httpx

# What httpx leaves as it is in a query, so that nothing has to be looked at or encoded.
_READY = re.compile(r"(?:[A-Za-z0-9._~&=-]++|%[0-9A-Fa-f]{2})*+")


class Urls:
    """Makes the URLs below a base.

    Args:
        base_url: scheme, host and whatever stands before every path.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._known: dict[str, str] = {}

    def url(self, path: str, query: str = "") -> str:
        """The URL of a path, one of few, with a query; encoded as httpx encodes it.

        Raises:
            httpx.InvalidURL: the text can't be one.
        """
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = str(httpx.URL(f"{self._base_url}{path}"))
        if not query:
            return known
        if _READY.fullmatch(query) is None:
            return str(httpx.URL(f"{self._base_url}{path}?{query}"))
        return f"{known}?{query}"


def query_in(url: str) -> bytes:
    """The query of a URL as it will be sent, which is what is signed."""
    return url.partition("?")[2].encode()
