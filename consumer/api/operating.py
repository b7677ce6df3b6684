"""What operators do: dead letters, the config, the kill switch."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from consumer.api import examples
from consumer.api.bodies import ConfigBody, DropBody, ReplayBody, SwitchBody, body_of, read
from consumer.api.errors import ApiError, success
from consumer.api.routing import EXECUTE, READ, answers, parts_of
from consumer.controls.changing import change
from consumer.controls.registry import KILL_SWITCH
from consumer.documents import LEFT, body_document, letter_document, stats_document
from consumer.letters.replay import Replay, Wanted, summary_document
from storage import config
from storage.dead_letters import (
    LetterFilter,
    LetterState,
    count_letters,
    drop_letters,
    get_body,
    group_letters,
    list_letters,
)
from storage.replays import Mandate

if TYPE_CHECKING:
    from storage.config import ConfigRow

_RATE = 50.0  # dead letters a second
_Text = Annotated[str | None, Query(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
_Id = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
_Key = Annotated[str, PathParameter(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
_WHY = {"why": "margin added", "by": "ann"}

router = APIRouter(tags=["operating"])


@router.get(
    "/dlq",
    dependencies=READ,
    responses=answers(example={"deadLetters": [examples.LETTER], "next": None}),
)
async def dead_letters(
    request: Request,
    state: LetterState | None = None,
    reason: _Text = None,
    exchange: _Text = None,
    symbol: _Text = None,
    batch: _Text = None,
    request_id: Annotated[_Text, Query(alias="requestId")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """List dead letters, newest first; `before` takes the `next` of the page before."""
    database = parts_of(request).database
    above = await list_letters(database, LetterFilter(ids=[before]), 1) if before else []
    if before is not None and not above:
        raise ApiError(400, "before: no such dead letter", code="VALIDATION_ERROR")
    wanted = LetterFilter(
        states=[state] if state else None,
        reason=reason,
        exchange=exchange,
        symbol=symbol,
        batch_id=batch,
        request_id=request_id,
    )
    rows = await list_letters(database, wanted, limit, above[0] if above else None)
    after = rows[-1].id if len(rows) == limit else None
    return success(200, {"deadLetters": [letter_document(row) for row in rows], "next": after})


@router.get(
    "/dlq/groups", dependencies=READ, responses=answers(example={"groups": [examples.GROUP]})
)
async def groups(request: Request) -> Response:
    """Count the dead letters that wait by reason and error, numbers and ids in it aside."""
    found = await group_letters(parts_of(request).database, LetterFilter(states=LEFT), 200)
    return success(
        200,
        {"groups": [{to_camel(name): value for name, value in asdict(one).items()}
                    for one in found]},
    )  # fmt: skip


@router.get("/dlq/stats", dependencies=READ, responses=answers(example=examples.STATS))
async def stats(request: Request) -> Response:
    """Count the dead letters by state, reason and exchange."""
    return success(
        200, stats_document(await count_letters(parts_of(request).database, LetterFilter()))
    )


@router.post(
    "/dlq/replay",
    dependencies=EXECUTE,
    openapi_extra=body_of(ReplayBody, {"ids": [17, 18], "dryRun": True, **_WHY}),
    responses=answers(415, example=examples.REPLAYED),
)
async def replay(request: Request) -> Response:
    """Publish dead letters again, as `trade-worker dlq replay` does, and say what came of each."""
    parts = parts_of(request)
    body = await read(request, ReplayBody, parts.settings.message_max_bytes)
    wanted = Wanted(
        LetterFilter(ids=body.ids),
        Mandate(body.by, body.why),
        _RATE,
        allow_stale=body.allow_stale,
        dry_run=body.dry_run,
    )
    work = Replay(parts.settings, parts.topology, parts.database, parts.publisher, parts.clock)
    summary = await work.run(wanted, asyncio.Event())
    return success(200, summary_document(summary, dry_run=body.dry_run))


@router.post(
    "/dlq/drop",
    dependencies=EXECUTE,
    openapi_extra=body_of(DropBody, {"ids": [17], "why": "producer mended", "by": "ann"}),
    responses=answers(415, example={"dropped": 1}),
)
async def drop(request: Request) -> Response:
    """Put waiting dead letters aside; their rows and bodies stay."""
    parts = parts_of(request)
    body = await read(request, DropBody, parts.settings.message_max_bytes)
    wanted = LetterFilter(ids=body.ids)
    dropped = await drop_letters(parts.database, wanted, body.by, body.why)
    return success(200, {"dropped": dropped})


@router.get(
    "/dlq/{letterId}",
    dependencies=READ,
    responses=answers(404, example={**examples.LETTER, "body": examples.BODY}),
)
async def dead_letter(
    request: Request, letter_id: Annotated[_Id, PathParameter(alias="letterId")]
) -> Response:
    """Show one dead letter with its body, in `bodyBase64` if it is not UTF-8."""
    database = parts_of(request).database
    rows = await list_letters(database, LetterFilter(ids=[letter_id]), 1)
    if not rows:
        raise ApiError(404, "no dead letter has this id")
    return success(
        200, letter_document(rows[0]) | body_document(await get_body(database, letter_id))
    )


@router.get("/config", dependencies=READ, responses=answers(example={"config": [examples.CONFIG]}))
async def list_config(request: Request) -> Response:
    """List the keys that are set."""
    rows = await config.list_config(parts_of(request).database)
    return success(200, {"config": [_config(row) for row in rows]})


@router.get("/config/{key}", dependencies=READ, responses=answers(404, example=examples.CONFIG))
async def get_config(request: Request, key: _Key) -> Response:
    """Show a key; 404 if it is not set."""
    for row in await config.list_config(parts_of(request).database):
        if row.key == key:
            return success(200, _config(row))
    raise ApiError(404, "this key is not set")


@router.put(
    "/config/{key}",
    dependencies=EXECUTE,
    openapi_extra=body_of(ConfigBody, {"value": "10", **_WHY}),
    responses=answers(404, 415, example={"changed": ["trade:max_leverage"]}),
)
async def put_config(request: Request, key: _Key) -> Response:
    """Set a key, or remove it with the value null; workers obey at once."""
    parts = parts_of(request)
    body = await read(request, ConfigBody, parts.settings.message_max_bytes)
    changed = await change(
        parts.database, parts.registry, {key: body.value}, who=body.by, why=body.why
    )
    return success(200, {"changed": changed})


@router.get(
    "/kill-switch",
    dependencies=READ,
    responses=answers(example={"switches": {"global": "off", "bybit": "reduce_only"}}),
)
async def get_switch(request: Request) -> Response:
    """Show the kill switches that are set; `global` is the one for everything."""
    return success(200, {"switches": await _switches(request)})


@router.put(
    "/kill-switch",
    dependencies=EXECUTE,
    openapi_extra=body_of(SwitchBody, {"value": "reduce_only", "scope": "bybit", **_WHY}),
    responses=answers(415, example={"switches": {"bybit": "reduce_only"}}),
)
async def put_switch(request: Request) -> Response:
    """Turn a kill switch: off, reduce_only or on; for everything, an exchange or a symbol."""
    parts = parts_of(request)
    body = await read(request, SwitchBody, parts.settings.message_max_bytes)
    key = f"{KILL_SWITCH}:{body.scope}" if body.scope else KILL_SWITCH
    await change(parts.database, parts.registry, {key: body.value}, who=body.by, why=body.why)
    return success(200, {"switches": await _switches(request)})


async def _switches(request: Request) -> dict[str, str]:
    rows = await config.list_config(parts_of(request).database)
    return {
        row.key.removeprefix(KILL_SWITCH).removeprefix(":") or "global": row.value
        for row in rows
        if row.key == KILL_SWITCH or row.key.startswith(f"{KILL_SWITCH}:")
    }


def _config(row: ConfigRow) -> dict[str, Any]:
    return {to_camel(name): value for name, value in asdict(row).items()}
