"""Debian's Prometheus on loopback, scraping what a test serves."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.api import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

_EVERY = 0.5  # seconds between scrapes


class Prometheus:
    """Asks a running server."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        answer = await self._client.get("/api/v1/query", params={"query": expression})
        document = answer.json()
        assert document["status"] == "success", f"{expression}: {document}"
        result: list[dict[str, Any]] = document["data"]["result"]
        return result

    async def alerts(self) -> dict[str, str]:
        """The state of each alert that is pending or fires."""
        document = (await self._client.get("/api/v1/alerts")).json()
        return {one["labels"]["alertname"]: one["state"] for one in document["data"]["alerts"]}

    async def scraped(self, targets: int) -> None:
        """Wait until so many targets answer."""

        async def all_up() -> bool:
            return len(await self.query("up == 1")) == targets

        await eventually(all_up, within=30, every=0.1, what=f"scrapes of {targets} targets")


@asynccontextmanager
async def scraping(
    ports: Sequence[int], folder: Path, rules: Path | None = None
) -> AsyncIterator[Prometheus]:
    """Scrape these ports of this machine until the context ends."""
    program = shutil.which("prometheus")
    assert program, "prometheus is not installed; on Debian and Ubuntu: apt-get install prometheus"
    config = folder / "prometheus.json"  # YAML, too
    targets = [f"127.0.0.1:{port}" for port in ports]
    config.write_text(
        json.dumps(
            {
                "global": {
                    "scrape_interval": f"{_EVERY * 1000:.0f}ms",
                    "scrape_timeout": f"{_EVERY * 1000:.0f}ms",
                    "evaluation_interval": f"{_EVERY * 1000:.0f}ms",
                },
                "rule_files": [str(rules)] if rules is not None else [],
                "scrape_configs": [
                    {"job_name": "trade-worker", "static_configs": [{"targets": targets}]}
                ],
            }
        ),
        encoding="utf-8",
    )
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - starts at once
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def ready() -> bool:
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                try:
                    return (await client.get("/-/ready")).status_code == httpx.codes.OK
                except httpx.HTTPError:
                    return False

            await eventually(ready, within=30, every=0.05, what="Prometheus")
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(10)
