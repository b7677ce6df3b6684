"""On what, when and of what a bench was taken: without that its figures say little."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.lineup import ROOT
from tests.support import databases

if TYPE_CHECKING:
    from tests.bench.arena import Arena


async def facts(arena: Arena) -> dict[str, Any]:
    """Facts about the machine, the servers and the code."""
    async with databases.connected(arena.services.database_url) as connection:
        settings = {
            name: await connection.fetchval(f"SHOW {name}")
            for name in ("server_version", "fsync", "synchronous_commit")
        }
    broker = await arena.amqp.connection()
    properties = getattr(broker.transport.connection, "server_properties", {})  # type: ignore[union-attr]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "load_before": load(),
        "python": platform.python_version(),
        "system": platform.release(),
        "postgresql": settings,
        "rabbitmq": _text(properties.get("version")),
    }


def load() -> float:
    """How many processes wanted a processor in the last minute, about."""
    return round(os.getloadavg()[0], 2)


def _text(found: object) -> str:
    return found.decode() if isinstance(found, bytes) else str(found or "")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """The commit, with a + if something was changed since."""
    try:
        head = subprocess.run(
            ["git", "describe", "--always", "--abbrev=10", "--dirty=+"],  # noqa: S607 - git is on the PATH or not there
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip()
