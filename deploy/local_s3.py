"""An S3 endpoint as a private server: moto's server program, which keeps everything in memory.

For tests and trying things out only: whatever it holds is gone when it stops.
"""

from __future__ import annotations

import http.client
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local_processes import LOOPBACK
from deploy.local_server import PrivateServer, Setting

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "moto_server"
# What clients sign with. moto takes any; a container is started with these.
ACCESS_KEY = "trade-worker"
SECRET_KEY = "trade-worker-local"  # noqa: S105  # for an endpoint that only this machine can reach
REGION = "us-east-1"
STATUS_PATH = "/moto-api/data.json"
ANSWER_SECONDS = 5.0


def find() -> Callable[[Setting], PrivateServer] | None:
    """How to build a private endpoint, or None if moto's server is not installed."""
    root = Path(__file__).resolve().parent.parent
    on_path = shutil.which(PROGRAM)
    candidates = [Path(sys.prefix, "bin", PROGRAM), root / ".venv/bin" / PROGRAM]
    candidates += [Path(on_path)] if on_path else []
    for candidate in candidates:
        if candidate.exists():
            return partial(S3, program=candidate)
    return None


def answers(port: int, path: str) -> bool:
    """Whether the server on this loopback port answers 200 to a GET.

    Raises:
        OSError: not reachable, or not answering in time.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP answer: {error}") from error
    finally:
        connection.close()


class S3(PrivateServer):
    """A private S3 endpoint in memory."""

    title = "the S3 endpoint (moto)"

    def __init__(self, setting: Setting, program: Path) -> None:
        super().__init__(setting)
        self._program = program

    @property
    def url(self) -> str:
        """`http://` URL of the endpoint."""
        return f"http://{self.address}"

    def launch(self) -> None:
        """Start the server."""
        self.run(
            [self._program, "-H", LOOPBACK, "-p", str(self.ports[0])],
            environ={"HOME": str(self.setting.folder)},
        )

    def is_ready(self) -> bool:
        """Whether it answers on its status page."""
        return answers(self.ports[0], STATUS_PATH)
