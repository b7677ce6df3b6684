"""The port of the API from the first moment on: while the worker starts, it says that it starts.

A worker waits for its ledger as long as it takes. Whoever probes it meanwhile must not take that
for a fault that a restart would mend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumer.api.errors import ApiError, answer, failure
from consumer.api.server import ApiServer
from consumer.api.watching import exposition
from consumer.watching import metrics
from consumer.watching.vitals import STARTING

if TYPE_CHECKING:
    from starlette.responses import Response

    from consumer.settings import Settings

_WAITING = [STARTING, "the ledger has not been reached yet"]


class Doorway:
    """Serves the application once there is one."""

    def __init__(self, settings: Settings) -> None:
        self._app: Any = None
        self._server = ApiServer(self, settings, settings.api_port or 0)

    async def open(self) -> None:
        """Listen; raises `CannotListen` if the address can't be had."""
        metrics.LIVE.set(1)
        await self._server.start()

    def lead_to(self, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        """Let every request through from now on."""
        self._app = app

    async def aclose(self) -> None:
        """Take no more, finish what is in flight; safe to call again."""
        await self._server.aclose()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        """Serve one request."""
        served = self._app if self._app is not None else while_starting(scope["path"])
        await served(scope, receive, send)


def while_starting(path: str) -> Response:
    """Answer for a worker that does not know its ledger yet."""
    match path:
        case "/health":
            return answer(200, {"status": "ok", "faults": []})
        case "/ready":
            return answer(503, {"status": "not ready", "faults": _WAITING})
        case "/started":
            return answer(503, {"status": "starting", "faults": _WAITING})
        case "/metrics":
            return exposition()
        case _:
            return failure(ApiError(503, "the worker is still starting", retry_after=1))
