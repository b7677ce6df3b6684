"""A minimal customer of the sandbox's Binance side: it signs and sends, judging is left to others.

For the sandbox's own tests and load runs. It is no client to trade with: no retries, no time-outs
worth the name, no reading of codes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import httpx

from providers.sandbox.binance.gate import KEY_HEADER, signature

if TYPE_CHECKING:
    from types import TracebackType

_TIMEOUT_SECONDS: Final = 10.0


def signed(secret: str, params: dict[str, str], timestamp_ms: int) -> str:
    """The query or form of these parameters, with time and signature at its end."""
    text = urlencode({**params, "timestamp": str(timestamp_ms)})
    return f"{text}&signature={signature(secret, text.encode())}"


class BinanceCaller:
    """Sends signed requests, all in the query, to one account of a Binance base URL.

    Args:
        base_url: such as `http://127.0.0.1:8790/binance`.
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

    async def __aenter__(self) -> BinanceCaller:  # noqa: PYI034 - final in use
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.aclose()

    async def send(self, method: str, path: str, /, **params: str) -> httpx.Response:
        """A signed request below `/fapi`, parameters in the order given."""
        now_ms = time.time_ns() // 1_000_000 + self.offset_ms
        url = f"{self.base_url}/fapi/{path}?{signed(self._secret, params, now_ms)}"
        return await self.http.request(method, url, headers={KEY_HEADER: self.key})

    async def ask(self, method: str, path: str, /, **params: str) -> Any:  # noqa: ANN401 - JSON
        """The answer to a request that must succeed."""
        response = await self.send(method, path, **params)
        if not response.is_success:
            raise AssertionError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()

    async def refused(self, method: str, path: str, /, **params: str) -> tuple[int, int]:
        """HTTP status and code of a request that must be refused."""
        response = await self.send(method, path, **params)
        answer = response.json()
        if response.is_success:
            raise AssertionError(f"{method} {path} was carried out: {answer}")
        return response.status_code, int(answer["code"])
