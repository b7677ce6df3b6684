"""The demo: real RabbitMQ, real PostgreSQL, the sandbox exchange, the real worker, real orders.

Everything runs on loopback with servers and data of its own, and is gone at the end. AMQP_URL
and DATABASE_URL are left alone: the demo never touches anything that is yours.

`--kill N` kills the worker N times with SIGKILL while orders flow, and starts it again. A worker
that somebody else kills is started again too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from rich.console import Console
from rich.live import Live

from consumer.queue import broker
from consumer.queue.publisher import Publisher
from consumer.queue.topology import Topology
from consumer.settings import Settings
from deploy import local_services
from deploy.demo_report import DeadLetter, Report, count, orders_table
from deploy.demo_stream import Part, Planned, stream
from deploy.local_processes import Process, identify, stop_processes
from providers.sandbox.client import SandboxControl
from storage import postgres
from storage.dead_letters import LetterFilter, list_letters
from storage.orders import OrderFilter, list_orders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.orders import OrderRow
    from storage.postgres import Database

ROOT = Path(__file__).resolve().parent.parent
_NAME = "demo"
_ROLE = "trade_worker"
_PIDS = ROOT / ".run" / "demo-processes.json"
_DEADLINE = 55.0  # seconds for everything after the services are up
_PYTHON = sys.executable

# Short, so that the demo is: a real ladder begins at 30 s, and an exchange is given longer.
_SHORT = {
    "RETRY_DELAYS": "1s,2s,3s,4s,5s,6s,7s",
    "EXCHANGE_RECV_WINDOW_MS": "2000",
    "EXCHANGE_CONNECT_TIMEOUT": "1",
    "EXCHANGE_REQUEST_TIMEOUT": "1",
    "SEND_WITHIN": "1",
    "ABSENCE_MARGIN": "1",
    "CLAIM_LEASE": "3",
    "LOG_FORMAT": "json",
    "RATE_LIMITS": "off",  # so that the exchange limits a burst, and the ladder is seen at work
}

console = Console(highlight=False, soft_wrap=True)
_TABLE_WIDTH = 118  # where there is no terminal to ask


@dataclass(frozen=True, slots=True)
class Exchange:
    """The running sandbox: where it is, and the settings that lead a worker to it."""

    origin: str
    environ: dict[str, str]


@dataclass(slots=True)
class Children:
    """The processes that the demo starts; written down, so that `--clean` finds them."""

    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(
        self, name: str, arguments: Sequence[str], environ: Mapping[str, str], output: Path
    ) -> asyncio.subprocess.Process:
        """Start a process of ours with its output in a file."""
        with output.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *arguments, env=dict(environ), stdout=log, stderr=log, start_new_session=True
            )
        self.running[name] = process
        self._write()
        return process

    async def stop(self) -> None:
        """Stop them all: politely, then not."""
        for process in self.running.values():
            if process.returncode is None:
                process.terminate()
        for process in self.running.values():
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
        self.running.clear()
        _PIDS.unlink(missing_ok=True)

    def _write(self) -> None:
        known = [identify(process.pid) for process in self.running.values()]
        _PIDS.write_text(json.dumps([(p.pid, p.started) for p in known if p]), encoding="utf-8")


@dataclass(slots=True)
class Demo:
    """Everything the demo holds while it runs."""

    settings: Settings
    environ: dict[str, str]
    folder: Path
    children: Children
    database: Database
    sandbox: SandboxControl
    kills: int
    published: list[Planned] = field(default_factory=list)
    restarts: int = 0

    async def run(self) -> Report:
        """Publish the stream, watch until all is settled, and count."""
        worker = asyncio.create_task(self._keep_worker(), name="worker")
        try:
            await self._watch()
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        rows = await self._rows()
        dead = await self._dead_letters()
        book = (await self.sandbox.truth()).orders
        report = count(
            [planned.request_id for planned in self.published],
            rows,
            dead,
            book,
            await self._still_queued(),
        )
        wire = {row.request_id: row.wire_seconds for row in rows if row.wire_seconds is not None}
        console.print()
        table = orders_table(sorted(rows, key=lambda row: row.received_at), dead, wire)
        width = console.width if console.is_terminal else _TABLE_WIDTH
        Console(width=width).print(table)
        _say_dead(dead)
        for fault in (*report.lost, *report.doubled):
            console.print(f"[red]wrong:[/red] {fault}")
        return report

    async def _publish(self) -> None:
        publisher = Publisher(self.settings)
        topology = Topology.of(self.settings)
        try:
            for planned in stream():
                if planned.pause:
                    await asyncio.sleep(planned.pause)
                await publisher.publish(
                    planned.body(datetime.now(UTC).isoformat()),
                    exchange=topology.exchange,
                    routing_key=topology.queue,
                    message_id=f"{planned.part}-{planned.request_id}",
                )
                self.published.append(planned)
        finally:
            await publisher.aclose()

    async def _watch(self) -> None:
        """Show progress until every published message is settled, or time is up."""
        started = time.monotonic()
        await self._until_consuming()
        publishing = asyncio.create_task(self._publish(), name="publish")
        killing = asyncio.create_task(self._kill_now_and_then(), name="kill")
        shown = ""
        with contextlib.ExitStack() as stack:
            live = None
            if console.is_terminal:
                live = stack.enter_context(Live(console=console, refresh_per_second=10))
            while time.monotonic() - started < _DEADLINE:
                rows = await self._rows()
                line = self._progress(rows)
                if live is not None:
                    live.update(line)
                elif line != shown and int(time.monotonic() * 2) % 4 == 0:
                    console.print(f"  {line}")
                    shown = line
                if publishing.done() and await self._settled(rows):
                    break
                await asyncio.sleep(0.1)
            else:
                console.print("[red]time is up[/red]: not everything is settled")
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        await publishing

    async def _settled(self, rows: Sequence[OrderRow]) -> bool:
        """True once every message is in a final state or among the dead letters."""
        final = {row.request_id for row in rows if row.state.final}
        malformed = {p.request_id for p in self.published if p.part is Part.MALFORMED}
        expected = {p.request_id for p in self.published} - malformed
        if not expected <= final:
            return False
        dead = {p.request_id for p in self.published if p.part in (Part.MALFORMED, Part.REJECTED)}
        letters = await self._dead_letters()
        return len(letters) >= len(dead) and sum(await self._depths()) == 0

    def _progress(self, rows: Sequence[OrderRow]) -> str:
        states: dict[str, int] = {}
        for row in rows:
            states[row.state] = states.get(row.state, 0) + 1
        parts = "  ".join(f"{state.lower()} {n}" for state, n in sorted(states.items()))
        restarts = f"  worker restarts {self.restarts}" if self.restarts else ""
        return f"published {len(self.published):>2}/{len(stream())}  {parts}{restarts}"

    async def _keep_worker(self) -> None:
        """Run the worker, and run it again if it ends."""
        while True:
            process = await self.children.start(
                "worker",
                [_PYTHON, "-m", "consumer", "run"],
                self.environ,
                self.folder / "worker.log",
            )
            code = await process.wait()
            self.restarts += 1
            console.print(f"  the worker ended ({_ending(code)}): starting it again")

    async def _kill_now_and_then(self) -> None:
        for _ in range(self.kills):
            await asyncio.sleep(random.uniform(0.5, 2.5))  # noqa: S311 - no secret
            process = self.children.running.get("worker")
            if process is not None and process.returncode is None:
                process.send_signal(signal.SIGKILL)

    async def _until_consuming(self) -> None:
        log = self.folder / "worker.log"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if log.exists() and b'"event":"consuming"' in log.read_bytes():
                return
            await asyncio.sleep(0.05)
        tail = log.read_text(encoding="utf-8")[-2000:] if log.exists() else "(no log)"
        raise local_services.LocalServiceError(f"the worker does not consume; its log:\n{tail}")

    async def _rows(self) -> Sequence[OrderRow]:
        return await list_orders(self.database, OrderFilter(limit=1000))

    async def _depths(self) -> list[int]:
        """Messages ready in the trade queue, each retry queue, and the dead-letter queue."""
        topology = Topology.of(self.settings)
        depths = []
        async with broker.connection(self.settings, "demo") as connection:
            channel = await connection.channel()
            for name in (topology.queue, *topology.rung_queues, topology.dead_letter_queue):
                queue = await channel.declare_queue(name, passive=True)
                depths.append(queue.declaration_result.message_count or 0)
        return depths

    async def _still_queued(self) -> int:
        return sum(await self._depths())

    async def _dead_letters(self) -> list[DeadLetter]:
        rows = await list_letters(self.database, LetterFilter(), 1000)
        return [DeadLetter(row.request_id, row.reason, row.error) for row in reversed(rows)]


async def run(kills: int) -> int:
    """Start everything, run the demo, stop everything; returns the exit code."""
    started = time.monotonic()
    environ = {k: v for k, v in os.environ.items() if k not in ("AMQP_URL", "DATABASE_URL")}
    console.print("starting RabbitMQ and PostgreSQL, private ones, on loopback …")
    services = await asyncio.to_thread(
        local_services.start, _NAME, environ=environ, report=lambda line: console.print(f"  {line}")
    )
    children = Children()
    try:
        environ |= services.environment | _SHORT
        environ["OBJECT_STORE_URL"] = (services.folder / "objects").resolve().as_uri()
        sandbox = await _start_sandbox(children, environ, services.folder)
        environ |= sandbox.environ
        console.print(
            f"  up after {time.monotonic() - started:.1f} s; sandbox exchange at {sandbox.origin}"
        )
        console.print(
            f"retry ladder shortened for the demo: {_SHORT['RETRY_DELAYS']} "
            "(default 30s,60s,5m,15m,30m)"
        )
        owners = _settings(environ)
        database = await postgres.connect(owners, give_up_after=10)
        try:
            # As in earnest: who migrates owns the tables, the worker can't change their history.
            await database.execute(f"CREATE ROLE {_ROLE} LOGIN")
            await _migrate(environ)
            environ |= {"DATABASE_URL": _as_role(environ["DATABASE_URL"])}
            settings = _settings(environ)
            async with SandboxControl(sandbox.origin) as control:
                demo = Demo(settings, environ, services.folder, children, database, control, kills)
                report = await demo.run()
        finally:
            await database.aclose()
    finally:
        await children.stop()
        await asyncio.to_thread(services.stop)
    console.print()
    console.print(report.line, markup=False)
    return 1 if report.lost or report.doubled else 0


def clean() -> None:
    """Stop what a demo that was killed left behind."""
    if not _PIDS.exists():
        return
    left = [Process(pid, began) for pid, began in json.loads(_PIDS.read_text(encoding="utf-8"))]
    stop_processes(left)
    _PIDS.unlink()


async def _start_sandbox(children: Children, environ: Mapping[str, str], folder: Path) -> Exchange:
    output = folder / "sandbox.json"
    await children.start(
        "sandbox",
        [_PYTHON, "-m", "consumer", "sandbox", "--port", "0", "--json"],
        environ,
        output,
    )
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(json.JSONDecodeError):
            told = json.loads(output.read_bytes())
            return Exchange(told["origin"], told["environment"])
        await asyncio.sleep(0.05)
    raise local_services.LocalServiceError(f"the sandbox did not start; see {output}")


async def _migrate(environ: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(_PYTHON, "-m", "consumer", "migrate", "--role", _ROLE),
        env=dict(environ),
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await process.wait() != 0:
        raise local_services.LocalServiceError("trade-worker migrate failed")


def _as_role(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{_ROLE}@{parts.netloc.rpartition('@')[2]}"))


def _settings(environ: Mapping[str, str]) -> Settings:
    os.environ.update(environ)
    return Settings()


def _say_dead(dead: Sequence[DeadLetter]) -> None:
    console.print()
    console.print("dead letters, with what their producers are told:")
    for letter in dead:
        console.print(f"  {letter.request_id}: {letter.reason}: {letter.error}", markup=False)


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="make demo",
        description="Runs the real worker against real services and the sandbox exchange.",
        epilog="example: make demo ARGS='--kill 3'",
    )
    parser.add_argument("--kill", type=int, default=0, help="SIGKILL the worker so many times")
    parser.add_argument("--clean", action="store_true", help="stop what a killed demo left")
    options = parser.parse_args()
    clean()
    if options.clean:
        return 0
    try:
        return asyncio.run(run(options.kill))
    except local_services.LocalServiceError as error:
        console.print(f"demo: {error}", markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        console.print("demo: interrupted; everything it started is stopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
