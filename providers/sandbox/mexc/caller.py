"""A minimal customer of the sandbox's MEXC side: it signs and sends, judging is left to others.

For the sandbox's own tests. It is no client to trade with: no retries, no reading of codes.
"""

from __future__ import annotations

import time
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from providers.sandbox.mexc import encoding, gate

_TIMEOUT_SECONDS: Final = 10.0
_PRIVATE: Final = "/api/v1/private"


def signed_headers(
    key: str, secret: str, parameters: str | bytes, timestamp_ms: int
) -> dict[str, str]:
    """The headers of a request with this signed query text or raw body."""
    stamp = str(timestamp_ms)
    return {
        gate.KEY_HEADER: key,
        gate.TIME_HEADER: stamp,
        gate.SIGN_HEADER: gate.signature(secret, key, stamp, parameters),
        gate.LANGUAGE_HEADER: "en-US",
        "Content-Type": "application/json",
    }


class MexcCaller:
    """Sends signed requests to one account of a MEXC base URL; paths are below `private/`.

    Args:
        base_url: such as `http://127.0.0.1:8790/mexc`.
        key: the account's key.
        secret: the account's secret.
    """

    def __init__(self, base_url: str, key: str, secret: str) -> None:
        self.base_url = base_url
        self._key = key
        self._secret = secret
        self.http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def get(self, path: str, **params: object) -> httpx.Response:
        """A signed GET."""
        pairs = sorted(params.items())
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in pairs)
        headers = signed_headers(self._key, self._secret, query, _now_ms())
        url = f"{self.base_url}{_PRIVATE}/{path}"
        return await self.http.get(f"{url}?{query}" if query else url, headers=headers)

    async def post(self, path: str, body: object) -> httpx.Response:
        """A signed POST of a JSON body, or of these very bytes."""
        raw = body if isinstance(body, bytes) else encoding.encode(body)
        headers = signed_headers(self._key, self._secret, raw, _now_ms())
        url = f"{self.base_url}{_PRIVATE}/{path}"
        return await self.http.post(url, content=raw, headers=headers)

    async def read(self, path: str, **params: object) -> Any:  # noqa: ANN401 - JSON values
        """The data of a GET that must succeed, None without any."""
        return _data(await self.get(path, **params))

    async def write(self, path: str, body: object) -> Any:  # noqa: ANN401 - JSON values
        """The data of a POST that must succeed, None without any."""
        return _data(await self.post(path, body))

    async def code(self, path: str, body: object) -> int:
        """The code of a POST."""
        return int(encoding.decode((await self.post(path, body)).content)["code"])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _data(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON values
    answer: dict[str, Any] = encoding.decode(response.content)
    if not answer["success"]:
        raise AssertionError(f"{response.url.path}: {answer['code']} {answer['message']}")
    return answer.get("data")
