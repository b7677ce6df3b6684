"""Notices on their whole way: from the ledger to a real webhook, grouped, tried again, given up."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from consumer.errors import NotifyMisconfigured
from consumer.gate import LedgerGate
from consumer.notify_settings import NotifySettings
from consumer.settings import Settings
from consumer.telling.notifier import Notifier
from consumer.telling.notify import Services
from storage.notifications import Topic, tell_people
from storage.postgres import statement
from storage.states import OrderState as S
from tests.support.commands import Commands
from tests.support.ledgers import bring, open_ledger
from tests.support.messages import trade
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.postgres import Database
    from tests.conftest import NewWorld

SECRET_PATH = "hook-of-a-secret-name"


@dataclass
class Hook:
    """A webhook receiver: what it got, and what it answers."""

    url: str = ""
    status: int = 200
    got: list[dict[str, Any]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(f"{one['title']}\n{one['message']}" for one in self.got)


@asynccontextmanager
async def receiving() -> AsyncIterator[Hook]:
    """A receiver on loopback."""
    hook = Hook()

    async def take(request: web.Request) -> web.Response:
        if hook.status == 200:
            hook.got.append(json.loads(await request.text()))
            hook.at.append(time.monotonic())
        return web.Response(status=hook.status)

    app = web.Application()
    app.router.add_post(f"/{SECRET_PATH}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        hook.url = f"json://127.0.0.1:{port}/{SECRET_PATH}"
        yield hook
    finally:
        await runner.cleanup()


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with receiving() as made:
        yield made


def notifier(database: Database, hook: Hook, **values: Any) -> Notifier:  # noqa: ANN401 - settings
    settings = NotifySettings(notify_urls=hook.url, **{"notify_every": 0.05, **values})
    return Notifier(
        database, Services(settings.notify_services), settings, LedgerGate(database.ping)
    )


async def test_what_happened_meanwhile_is_one_message(database: Database, hook: Hook) -> None:
    telling = notifier(database, hook)
    await telling.want()
    ledger = open_ledger(database)
    await bring(ledger, "bad", S.DENIED)
    await bring(ledger, "odd", S.QUARANTINED)
    await database.execute(
        "INSERT INTO config (key, value) VALUES ('trade:kill_switch', 'on'), ('other', '1')"
    )

    for seconds in (1, 600, 700):  # a short one is no ban, and a longer one not a new one
        cool_down = timedelta(seconds=seconds)
        await database.execute(statement("cool_down"), "mexc", cool_down, "510: too often")

    assert await telling.tell_some()

    (notice,) = hook.got
    assert notice["title"] == "trade-worker: 1 kill switch, 1 quarantined, 1 banned, 1 failed"
    assert "- mexc until 20" in notice["message"]
    assert "request bad" in notice["message"]
    assert "request odd" in notice["message"]
    assert "- trade:kill_switch is on, by " in notice["message"]
    assert notice["type"] == "failure"
    assert not await telling.tell_some()  # nothing is told twice


async def test_messages_keep_their_distance_whoever_sends_them(
    database: Database, hook: Hook
) -> None:
    several = [notifier(database, hook, notify_every=0.4) for _ in range(3)]
    await several[0].want()
    running = [asyncio.create_task(one.run()) for one in several]
    for number in range(30):
        await tell_people(database, Topic.BAN, detail={"exchange": f"e{number}."})
        await asyncio.sleep(0.02)
    await eventually(lambda: sum(one["message"].count("- e") for one in hook.got) > 10)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    assert len(hook.got) < 10
    gaps = [later - earlier for earlier, later in zip(hook.at, hook.at[1:], strict=False)]
    assert all(gap > 0.2 for gap in gaps), gaps


async def test_a_service_that_is_away_is_tried_again_and_given_up(
    database: Database, hook: Hook
) -> None:
    telling = notifier(database, hook, notify_tries=2)
    await telling.want()
    hook.status = 500
    await tell_people(database, Topic.BAN, detail={"exchange": "bybit"})
    with capture_logs() as said:
        await telling.tell_some()
        hook.status = 200
        await database.execute("UPDATE outbox SET available_at = now()")
        assert await eventually(telling.tell_some)
        assert len(hook.got) == 1

        hook.status = 500
        await tell_people(database, Topic.FAILED, request_id="lost")
        for _ in range(2):
            await database.execute("UPDATE outbox SET available_at = now()")
            await database.execute("UPDATE notification_turn SET next_at = now()")
            await telling.tell_some()

    given_up = [one for one in said if one["event"] == "notifications given up"]
    assert [one["request_ids"] for one in given_up] == [["lost"]]
    assert await database.fetch("SELECT FROM outbox") == []
    assert SECRET_PATH not in repr(said)


async def test_one_service_that_fails_does_not_make_the_others_hear_it_twice(
    database: Database, hook: Hook
) -> None:
    async with receiving() as broken:
        broken.status = 500
        settings = NotifySettings(notify_urls=f"{hook.url}\n{broken.url}", notify_every=0.05)
        telling = Notifier(
            database, Services(settings.notify_services), settings, LedgerGate(database.ping)
        )
        await telling.want()
        await tell_people(database, Topic.BAN)
        with capture_logs() as said:
            assert await telling.tell_some()

    assert len(hook.got) == 1
    assert await database.fetch("SELECT FROM outbox") == []
    assert [one["services"] for one in said if "services" in one] == [["json (URL 2)"]]


def test_a_url_that_is_none_is_named_by_its_place_only() -> None:
    with pytest.raises(NotifyMisconfigured, match="URL 2 of 2") as caught:
        Services(["json://127.0.0.1/a", "nonsense://secret-word"])
    assert "secret-word" not in str(caught.value)


async def test_a_dead_letter_and_a_fill_are_told_by_a_real_worker(
    new_world: NewWorld, hook: Hook
) -> None:
    world = await new_world(notify_urls=hook.url, notify_every=0.2, collect_dead_letters=True)
    running = await world.start_worker()

    async def wanted() -> bool:
        return bool(await world.database.fetch("SELECT FROM notification_topics"))

    await eventually(wanted, what="the worker's wish to tell")
    good = trade()
    await world.publish(good, b"no JSON")
    await world.reached([good["requestId"]], "FILLED")
    await eventually(lambda: "Executed" in hook.text, what="a notice of the fill")
    await eventually(lambda: "NOT_JSON" in hook.text, what="a notice of the dead letter")

    assert str(good["requestId"]) in hook.text
    assert SECRET_PATH not in running.text


async def test_the_command_says_which_service_took_the_test(hook: Hook) -> None:
    ran = await Commands(Settings(notify_urls=hook.url)).good("notify", "test", "--json")
    assert ran.json["services"] == {"json (URL 1)": "sent"}
    assert hook.got[0]["title"] == "trade-worker: test"

    hook.status = 500
    failed = await Commands(Settings(notify_urls=hook.url)).run("notify", "test")
    assert failed.exit_code == 1
    assert "json (URL 1): failed" in failed.out

    unset = await Commands(Settings()).run("notify", "test")
    assert unset.exit_code == 2
    assert "NOTIFY_URLS is not set" in unset.err

    wrong = await Commands(Settings(notify_urls="nonsense://secret-word")).run("notify", "test")
    assert wrong.exit_code == 2
    assert "secret-word" not in wrong.err + wrong.out
