"""A minimal customer of the sandbox's Bybit side: it signs and sends, judging is left to others.

For the sandbox's own tests and load runs. It is no client to trade with: no retries, no time-outs
worth the name, no reading of codes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import httpx
import orjson

from providers.sandbox.bybit.gate import (
    KEY_HEADER,
    SIGN_HEADER,
    TIME_HEADER,
    WINDOW_HEADER,
    signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

WINDOW_MS: Final = "5000"
_TIMEOUT_SECONDS: Final = 10.0


def signed_headers(key: str, secret: str, tail: str | bytes, timestamp_ms: int) -> dict[str, str]:
    """The headers of a request whose raw query or body is `tail`."""
    stamp = str(timestamp_ms)
    return {
        KEY_HEADER: key,
        TIME_HEADER: stamp,
        WINDOW_HEADER: WINDOW_MS,
        SIGN_HEADER: signature(secret, stamp, key, WINDOW_MS, tail),
        "Content-Type": "application/json",
    }


class BybitCaller:
    """Sends signed requests to one account of a Bybit base URL.

    Args:
        base_url: such as `http://127.0.0.1:8790/bybit`.
        key: the account's key.
        secret: the account's secret.
        offset_ms: added to the machine's clock for timestamps.
    """

    def __init__(self, base_url: str, key: str, secret: str, *, offset_ms: int = 0) -> None:
        self.base_url = base_url
        self.key = key
        self.offset_ms = offset_ms
        self._secret = secret
        self.http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> BybitCaller:  # noqa: PYI034 - final in use
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.aclose()

    async def get(self, path: str, **params: str) -> httpx.Response:
        """A signed GET; parameters go out in the order given."""
        query = urlencode(params, safe="%:")
        url = f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}"
        return await self.http.get(url, headers=self._headers(query))

    async def post(self, path: str, body: Mapping[str, Any] | bytes) -> httpx.Response:
        """A signed POST of a JSON body, or of these very bytes."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = self._headers(raw)
        return await self.http.post(f"{self.base_url}{path}", content=raw, headers=headers)

    async def read(self, path: str, **params: str) -> dict[str, Any]:
        """The result of a GET that must succeed."""
        return _result(await self.get(path, **params))

    async def write(self, path: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """The result of a POST that must succeed; `category=linear` is added."""
        return _result(await self.post(path, {"category": "linear", **fields}))

    async def code(self, path: str, **fields: Any) -> int:  # noqa: ANN401 - JSON values
        """The return code of a POST."""
        response = await self.post(path, {"category": "linear", **fields})
        return int(response.json()["retCode"])

    def _headers(self, tail: str | bytes) -> dict[str, str]:
        now_ms = time.time_ns() // 1_000_000 + self.offset_ms
        return signed_headers(self.key, self._secret, tail, now_ms)


def _result(response: httpx.Response) -> dict[str, Any]:
    answer: dict[str, Any] = response.json()
    if answer["retCode"] != 0:
        raise AssertionError(f"{response.url.path}: {answer['retCode']} {answer['retMsg']}")
    result: dict[str, Any] = answer["result"]
    return result
