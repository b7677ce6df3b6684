"""Secrets planted everywhere they can come from, looked for everywhere they could go to.

They come from settings (keys of exchanges, of the API, of S3, of services that are told, passwords
of broker and database), headers, bodies and queries of requests, headers and bodies of messages,
and from what exchanges reply. They could go to standard output, every table, every object, notices,
traces, metrics, and answers of the API and of commands.

The only places that may have one are those that keep what a producer sent untouched: the body and
the headers of a dead letter.
"""

from __future__ import annotations

import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from providers.sandbox.faults import FaultKind
from storage.objects.opening import open_store
from tests.integration.test_notifier import receiving
from tests.integration.test_secrets_in_logs import SIGNATURE, with_password
from tests.support.api import Caller, free_port
from tests.support.commands import Commands
from tests.support.messages import encode, trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    import httpx

    from storage.postgres import Database
    from tests.conftest import NewWorld
    from tests.support.world import World

CANARY = "canary-of-the-"
DIGESTS = ("fingerprint", "identity", "checksum")  # of our own, and as long as a signature


async def tables(database: Database) -> dict[str, str]:
    """Everything in the database, as text, but for what a producer sent."""
    found = {}
    names = await database.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    )
    for name in (row["tablename"] for row in names):
        columns = [*DIGESTS, *(("body", "headers") if name == "dead_letters" else ())]
        query = f"SELECT (to_jsonb(t) - $1::text[])::text AS text FROM {name} AS t"  # noqa: S608 - ours
        rows = await database.fetch(query, columns)
        found[f"table {name}"] = "\n".join(row["text"] for row in rows)
    return found


async def objects(world: World, bucket: str) -> dict[str, str]:
    """Every object of a bucket, as text."""
    async with open_store(world.settings, bucket) as store:
        bodies = {one.key: await store.get(one.key) async for one in store.list_objects()}
    return {
        key: (gzip.decompress(body) if key.endswith(".gz") else body).decode()
        for key, body in bodies.items()
    }


@asynccontextmanager
async def parrot() -> AsyncIterator[str]:
    """An exchange that refuses everything and repeats whatever it was sent."""

    async def refuse(request: web.Request) -> web.Response:
        said = f"{request.url} {dict(request.headers)} {await request.text()}"
        headers = {"Set-Cookie": f"session={CANARY}reply", "X-Token": f"{CANARY}reply"}
        return web.json_response({"code": -2014, "msg": said}, status=401, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def collecting(collected: list[bytes]) -> AsyncIterator[str]:
    """Where traces are sent to."""

    async def take(request: web.Request) -> web.Response:
        collected.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def asked(port: int, request_id: object) -> str:
    """What the API answers to those who send secrets along, wanted or not."""
    headers = {
        "Authorization": f"Bearer {CANARY}bearer",
        "Cookie": f"session={CANARY}cookie",
        "X-Request-ID": "hook-1",
        "User-Agent": "canary",
    }
    secrets = f"token={CANARY}query&signature={CANARY}query"
    answers: list[httpx.Response] = []
    for key in (f"{CANARY}execute", f"{CANARY}read", f"{CANARY}wrong", None):
        async with Caller(port, key) as caller:
            caller.headers.update(headers)
            answers += [
                await caller.get(path)
                for path in (
                    f"/orders/{request_id}", "/orders", f"/orders?{secrets}", "/positions", "/dlq",
                    "/dlq/groups", "/config", "/kill-switch", "/metrics", "/ready", f"/x?{secrets}",
                    f"/report?key=trade-reports/x.json&{secrets}", f"/dlq/1?{secrets}",
                )
            ]  # fmt: skip
            for body in (
                {**trade(), "apiSecret": f"{CANARY}body"},
                {**trade(), "quantity": f"{CANARY}body"},
                {**trade(), "requestId": [f"{CANARY}body"]},
                trade(exchange="binance"),
            ):
                answers.append(await caller.post("/process", body))
                answers.append(await caller.post("/webhook", body))
            answers.append(await caller.post("/api/signals", {"price": f"{CANARY}body"}))
            answers.append(await caller.put("/config/trade:max_leverage", {"value": "10"}))
    assert {one.status_code for one in answers} >= {200, 400, 401, 403, 404, 500}
    return "\n".join(f"{one.headers} {one.text}" for one in answers)


@pytest.mark.late
async def test_no_planted_secret_shows_up_anywhere(
    new_world: NewWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces: list[bytes] = []
    port = free_port()
    async with receiving() as hook, parrot() as parrots, collecting(traces) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={CANARY}otlp")
        world = await new_world(
            object_store_url=f"file://{tmp_path}",
            collect_dead_letters=True,
            # Nobody listens at the second: its token would be in an error.
            notify_urls=f"{hook.url}?+X-Token={CANARY}notice json://127.0.0.1:9/{CANARY}notice",
            notify_every=0.2,
            s3_access_key_id=f"{CANARY}s3-key",
            s3_secret_access_key=f"{CANARY}s3-secret",
            binance_base_url=parrots,
            binance_api_key=f"{CANARY}binance-key",
            binance_api_secret=f"{CANARY}binance-secret",
            traces="otlp",
            api_port=port,
            api_fill_wait=0.2,
            internal_key_binding=f"{CANARY}execute",
            internal_read_key_binding=f"{CANARY}read",
        )
        key, secret = world.sandbox.key(), world.sandbox.secret()
        running = await world.start_worker(
            log_level="DEBUG",
            database_url=with_password(str(world.settings.database_url), f"{CANARY}database"),
        )
        await eventually(
            lambda: world.database.fetch("SELECT FROM notification_topics"), what="somebody to tell"
        )
        good, refused, elsewhere = trade(), trade(), trade(exchange="binance")
        # The exchange repeats key and secret as the reason for which it rejects an order.
        world.fault(
            FaultKind.REJECT_LATER,
            request_id=refused["requestId"],
            message=f"no: {key} {secret}",
        )
        surprise = {**trade(), "apiSecret": f"{CANARY}body"}
        await world.amqp.publish(
            encode(surprise),
            world.topology.queue,
            exchange=world.topology.exchange,
            headers={
                "authorization": f"Bearer {CANARY}header",
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            },
        )
        await world.publish(good, refused, elsewhere)
        (row,) = await world.reached([refused["requestId"]], "REJECTED")
        assert row.message is not None
        assert "no: *** ***" in row.message
        await world.reached([good["requestId"]], "FILLED")
        await eventually(
            lambda: "VALIDATION_ERROR" in hook.text, what="a notice of the dead letter"
        )
        await eventually(lambda: "REJECTED" in hook.text, what="a notice of the rejection")
        reports = world.settings.reports_bucket

        async def reported() -> bool:
            return len(await objects(world, reports)) >= 2

        await eventually(reported, what="two reports")
        answers = await asked(port, refused["requestId"])
        assert await running.stop() == 0
        assert b"/v5/order/create" in b"".join(traces)

        places: Mapping[str, str] = {
            "standard output": running.text,
            "notices": hook.text,
            "answers": answers,
            "traces": b"".join(traces).decode(errors="replace"),
            **await tables(world.database),
            **await objects(world, reports),
            **await objects(world, world.settings.system_logs_bucket),
        }
    shown = await Commands(world.settings).good("logs", "download", "--since", "1h")
    lines = shown.out.splitlines()
    assert any(str(row.client_order_id) in line and '"place"' in line for line in lines)
    assert '"path":"/v5/order/create"' in shown.out
    assert '"query":["signature","token"]' in shown.out
    listed = await Commands(world.settings).good("orders", "list", "--json")
    for where, text in {**places, "logs": shown.out, "orders": listed.out}.items():
        for planted in (CANARY, key, secret):
            assert planted not in text, f"{where} has {planted!r}"
        assert SIGNATURE.search(text) is None, f"{where} has a signature"
