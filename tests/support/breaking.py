"""Taking a server away for a while: stopped, killed, or frozen; it is there again afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from deploy.local_processes import descendants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deploy.local_services import Server


@asynccontextmanager
async def stopped(server: Server) -> AsyncIterator[None]:
    """Let it shut down in order, and start it again at the end."""
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def killed(server: Server) -> AsyncIterator[None]:
    """End it as a power cut would, and start it again at the end."""
    await asyncio.to_thread(server.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def frozen(server: Server) -> AsyncIterator[None]:
    """Freeze every process of it: connections are taken, but nothing is ever answered."""
    await asyncio.to_thread(_signal, server, signal.SIGSTOP)
    try:
        yield
    finally:
        await asyncio.to_thread(_signal, server, signal.SIGCONT)


def _signal(server: Server, number: signal.Signals) -> None:
    if server.trace.container is not None:
        what = "pause" if number is signal.SIGSTOP else "unpause"
        subprocess.run(["docker", what, server.trace.container], check=True, timeout=30)  # noqa: S607 - wherever Docker's program is
        return
    leaders = server.trace.processes
    everyone = {*leaders, *(member for leader in leaders for member in descendants(leader))}
    for process in everyone:
        os.kill(process.pid, number)
