"""`trade-worker schema`: the contract documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from consumer.cli.common import load_settings
from consumer.cli.output import ExitCode, err, fail, print_json
from consumer.contract.generated import asyncapi, message_schema
from consumer.queue.topology import Topology

if TYPE_CHECKING:
    from consumer.contract.generated import Document

app = typer.Typer(
    help="Print the contract as a document, generated from the code.", no_args_is_help=True
)
_Out = Annotated[Path | None, typer.Option(help="Write to this file instead.")]


@app.command("message")
def message(*, out: _Out = None) -> None:
    """JSON Schema (draft 7) of a trade message.

    Example: trade-worker schema message --out message.schema.json
    """
    _give(message_schema(), out)


@app.command("asyncapi")
def asyncapi_(*, out: _Out = None) -> None:
    """AsyncAPI 3.0 document of the queues, with the names that the settings give them.

    Example: TRADE_QUEUE=trade-execution trade-worker schema asyncapi | jq .channels
    """
    _give(asyncapi(Topology.of(load_settings())), out)


@app.command("openapi")
def openapi(*, out: _Out = None) -> None:
    """OpenAPI document of the REST API.

    Example: trade-worker schema openapi --out openapi.json
    """
    from consumer.api.app import document  # noqa: PLC0415 - FastAPI takes long to import

    _give(document(), out)


def _give(document: Document, out: Path | None) -> None:
    if out is None:
        print_json(document)
        return
    try:
        out.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        fail(f"{out} can't be written: {error.strerror}", ExitCode.FAILED)
    err.print(f"{out} written", markup=False)
