"""`trade-worker publish`: put trade messages on the queue, surely."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from consumer.cli.common import load_settings, run
from consumer.cli.output import ExitCode, err, fail, out, print_json
from consumer.contract.decoding import decode, parse_object
from consumer.errors import MalformedMessage
from consumer.queue.publisher import Publisher
from consumer.queue.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.settings import Settings

_AT_ONCE = 100  # publishes that wait for their confirm at the same time

_HELP = """Publish trade messages, each confirmed by the broker.

From options (one trade), or from a file of JSON (an object, an array, or one object a line); `-`
is standard input. Messages are checked first; nothing is published if one is malformed. Exit 1
if a message is malformed or not taken.

Examples: trade-worker publish --action LONG --symbol BTCUSDT --quantity 0.005 --leverage 10;
trade-worker publish trades.ndjson; generate | trade-worker publish -
"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish and where it came from, for errors."""

    where: str
    body: bytes
    message_id: str


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("publish", help=_HELP)
    def _publish(  # noqa: PLR0913 - each is an option of the command
        file: Annotated[
            str | None, typer.Argument(help="A JSON or NDJSON file, or - for standard input.")
        ] = None,
        *,
        action: Annotated[str | None, typer.Option(help="LONG, SHORT, CLOSE, …")] = None,
        symbol: Annotated[str | None, typer.Option(help="BTCUSDT, …")] = None,
        quantity: Annotated[str | None, typer.Option(help="Base coins.")] = None,
        exchange: Annotated[str | None, typer.Option(help="bybit, …")] = None,
        price: Annotated[str | None, typer.Option(help="Limit price.")] = None,
        order_type: Annotated[str | None, typer.Option(help="MARKET or LIMIT.")] = None,
        leverage: Annotated[int | None, typer.Option(help="1 to 125.")] = None,
        request_id: Annotated[str | None, typer.Option(help="Default: a new one.")] = None,
        unchecked: Annotated[
            bool, typer.Option("--unchecked", help="Publish malformed messages too, as they are.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        options = {
            "requestId": request_id,
            "exchange": exchange,
            "action": action,
            "symbol": symbol,
            "quantity": quantity,
            "price": price,
            "orderType": order_type,
            "leverage": leverage,
        }
        given = {name: value for name, value in options.items() if value is not None}
        if (file is None) == (not given):
            fail(
                "name a file, or describe one trade with --action, --symbol and --quantity",
                ExitCode.USAGE,
            )
        settings = load_settings()
        bodies = _read(file) if file is not None else [("the options", orjson.dumps(given))]
        messages = _prepare(bodies, settings, unchecked=unchecked)
        ids = run(publish_all(settings, messages, progress=not as_json and len(messages) > 1))
        if as_json:
            print_json({"published": len(ids), "requestIds": ids})
        else:
            out.print(f"published {len(ids)}" + (f": {ids[0]}" if len(ids) == 1 else ""))


async def publish_all(
    settings: Settings, messages: Sequence[Outgoing], *, progress: bool
) -> list[str]:
    """Publish messages and wait for every confirm; returns their message ids in order."""
    topology = Topology.of(settings)
    publisher = Publisher(settings)
    places = asyncio.Semaphore(_AT_ONCE)
    bar = Progress(
        TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=err, transient=True,
    )  # fmt: skip
    task = bar.add_task("publish", total=len(messages))

    async def one(message: Outgoing) -> None:
        async with places:
            await publisher.publish(
                message.body,
                exchange=topology.exchange,
                routing_key=topology.queue,
                message_id=message.message_id,
            )
            bar.advance(task)

    try:
        with bar if progress else nullcontext():
            async with asyncio.TaskGroup() as group:
                for message in messages:
                    group.create_task(one(message))
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    finally:
        await publisher.aclose()
    return [message.message_id for message in messages]


def _read(file: str) -> list[tuple[str, bytes]]:
    """Split a file into message bodies, each with where it stands."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail(f"{file} can't be read: {error.strerror}", ExitCode.USAGE)
    name = "standard input" if file == "-" else file
    stripped = data.strip()
    if stripped.startswith(b"["):
        try:
            items = orjson.loads(stripped)
        except orjson.JSONDecodeError as error:
            fail(f"{name} is not JSON: {error}", ExitCode.FAILED)
        # A float would lose digits; JSON numbers in an array are taken as they were written only
        # if they are read the way the worker reads them, so each item is cut out of the text.
        return [(f"{name}, item {n}", body) for n, body in enumerate(_cut(stripped, items), 1)]
    if b"\n" in stripped and not _is_one_object(stripped):
        lines = data.splitlines()
        return [(f"{name}, line {n}", line) for n, line in enumerate(lines, 1) if line.strip()]
    return [(name, stripped)] if stripped else []


def _is_one_object(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _cut(data: bytes, items: list[object]) -> list[bytes]:
    """Cut the items of a JSON array out of its text, untouched."""
    import json  # noqa: PLC0415 - only here is a decoder needed that says where it stopped

    decoder = json.JSONDecoder()
    text = data.decode()
    at = text.index("[") + 1
    bodies = []
    for _ in items:
        while text[at] in " \t\r\n,":
            at += 1
        _, end = decoder.raw_decode(text, at)
        bodies.append(text[at:end].encode())
        at = end
    return bodies


def _prepare(
    bodies: Sequence[tuple[str, bytes]], settings: Settings, *, unchecked: bool
) -> list[Outgoing]:
    """Give each message a request id and the time if it has none, and check it."""
    messages = []
    faults = []
    for where, body in bodies:
        try:
            value = parse_object(body, settings.message_max_bytes)
            flat = "payload" not in value
            missing: dict[str, object] = {}
            if flat and "requestId" not in value:
                missing["requestId"] = str(uuid4())
            if flat and "queuedAt" not in value:
                missing["queuedAt"] = datetime.now(UTC).isoformat()
            full = _with_fields(body, missing)
            message = decode(full, settings.message_max_bytes)
        except MalformedMessage as error:
            if not unchecked:
                faults.append(f"{where}: {error.code}: {error}")
                continue
            messages.append(Outgoing(where, body, error.request_id or str(uuid4())))
        else:
            messages.append(Outgoing(where, full, message.request_id))
    if faults:
        for fault in faults[:20]:
            err.print(fault, markup=False, soft_wrap=True)
        fail(
            f"{len(faults)} of {len(bodies)} messages are malformed; nothing was published",
            ExitCode.FAILED,
        )
    if not messages:
        fail("there is no message to publish", ExitCode.USAGE)
    return messages


def _with_fields(body: bytes, missing: dict[str, object]) -> bytes:
    """Add fields to a JSON object without touching the ones it has."""
    if not missing:
        return body
    inside = body.strip()[1:-1].strip()
    added = orjson.dumps(missing)[1:-1]
    return b"{" + added + (b"," + inside if inside else b"") + b"}"
