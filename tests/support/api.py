"""The REST API as its callers see it."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

EXECUTE_KEY = "execute-key-of-the-tests"
NEXT_KEY = "the-key-it-is-changed-for"
READ_KEY = "read-key-of-the-tests"


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def keys(port: int) -> dict[str, Any]:
    """The settings that open the API at a port."""
    return {
        "api_port": port,
        "internal_key_binding": f"{EXECUTE_KEY} {NEXT_KEY}",
        "internal_read_key_binding": READ_KEY,
    }


class Caller:
    """Calls the API with a key."""

    def __init__(self, port: int, key: str | None = EXECUTE_KEY) -> None:
        headers = {"X-Internal-Auth-Key": key} if key is not None else {}
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30
        )

    @property
    def headers(self) -> httpx.Headers:
        """What every request is sent with."""
        return self._client.headers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """Make one request; what fails must fail in the envelope."""
        answer = await self._client.request(method, path, **options)
        body = answer.content
        if answer.status_code >= 400 and method != "HEAD" and "faults" not in answer.text:
            document = json.loads(body)
            assert list(document) == ["success", "requestId", "result", "error"], document
            assert document["success"] is False
            assert set(document["error"]) == {"code", "message", "details"}
            assert "Traceback" not in answer.text
        return answer

    async def get(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """GET."""
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: object, **options: Any) -> httpx.Response:  # noqa: ANN401 - as above
        """POST JSON."""
        return await self.call("POST", path, json=body, **options)

    async def put(self, path: str, body: object) -> httpx.Response:
        """PUT JSON."""
        return await self.call("PUT", path, json=body)
