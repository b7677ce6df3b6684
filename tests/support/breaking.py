"""Taking a server away for a while: stopped, killed, or frozen; it is there again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from deploy.local_processes import descendants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deploy.local_processes import Process
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
    seen: set[Process] = set()
    # A process that is not stopped yet may still make others: the leader first, then what it made.
    while fresh := {*server.trace.processes, *_made_by(server)} - seen:
        for process in sorted(fresh, key=lambda one: one.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        seen |= fresh


def _made_by(server: Server) -> set[Process]:
    return {made for leader in server.trace.processes for made in descendants(leader)}
