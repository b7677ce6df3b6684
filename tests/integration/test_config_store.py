"""The config store on a real PostgreSQL: history, notice to every follower, the commands."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg
import pytest

from consumer.controls.changing import change
from consumer.controls.live import LiveConfig
from consumer.controls.registry import Registry
from consumer.errors import ConfigRefused
from consumer.settings import Settings
from providers.clock import SystemClock
from storage import config
from storage.config_feed import ConfigFeed
from tests.support.commands import Commands
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.postgres import Database
    from tests.support.world import World

REGISTRY = Registry({"bybit", "binance", "mexc"})
LEVERAGE = "trade:max_leverage"
CONSTRAINT = (resources.files("storage") / "migrations" / "0023_config_sizes.sql").read_text()


@asynccontextmanager
async def followed(url: str, *, poll: float = 60.0) -> AsyncIterator[LiveConfig]:
    """The config as a worker sees it. Polls so rarely that only what it is told counts."""
    settings = Settings(database_url=url).model_copy(update={"config_poll": poll})
    live = LiveConfig(REGISTRY, 3.0, SystemClock())
    feed = asyncio.create_task(ConfigFeed(settings, live, SystemClock()).run())
    try:
        await eventually(lambda: live.fresh, what="the first snapshot")
        yield live
    finally:
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)


async def test_a_change_has_a_history_and_reaches_every_follower(
    database: Database, database_url: str
) -> None:
    async with followed(database_url) as one, followed(database_url) as other:
        done = await change(
            database, REGISTRY, {LEVERAGE: "20", "trade:kill_switch": "true"}, who="ann", why="test"
        )
        assert done == ["trade:kill_switch", LEVERAGE]
        await eventually(lambda: one.snapshot.limits.max_leverage == 20)
        await eventually(lambda: other.snapshot.limits.max_leverage == 20)
        assert other.snapshot.values["trade:kill_switch"] == "on"
        assert await change(database, REGISTRY, {LEVERAGE: "20"}, who="bob") == []
        await change(database, REGISTRY, {LEVERAGE: None}, who="bob")
        await eventually(lambda: one.snapshot.limits.max_leverage is None)

    told = [(c.key, c.old, c.new, c.who, c.why) for c in await config.history(database)]
    assert told == [
        (LEVERAGE, "20", None, "bob", None),
        (LEVERAGE, None, "20", "ann", "test"),
        ("trade:kill_switch", None, "on", "ann", "test"),
    ]


async def test_a_change_by_hand_is_told_and_remembered_as_well(
    database: Database, database_url: str
) -> None:
    async with followed(database_url) as live:
        await database.execute("INSERT INTO config (key, value) VALUES ($1, '20x')", LEVERAGE)
        await eventually(lambda: live.snapshot.held)
        assert "expected: a whole number from 1 to 125" in live.snapshot.held[None].says
        await database.execute("UPDATE config SET value = '20' WHERE key = $1", LEVERAGE)
        await eventually(lambda: live.snapshot.limits.max_leverage == 20)
        assert not live.snapshot.held
        await database.execute("UPDATE config SET key = 'trade:max_leverage:BTCUSDT'")
        await eventually(lambda: live.snapshot.limits_for("BTCUSDT").max_leverage == 20)

    (role,) = (await database.fetch("SELECT session_user"))[0]
    told = [(c.old, c.new, c.who) for c in await config.history(database, key=LEVERAGE)]
    assert told == [("20", None, role), ("20x", "20", role), (None, "20x", role)]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE config_history SET who = 'nobody'", "DELETE FROM config_history", "TRUNCATE config"],
)
async def test_the_history_can_not_be_got_round(database: Database, statement: str) -> None:
    await change(database, REGISTRY, {LEVERAGE: "20"}, who="ann")

    with pytest.raises(asyncpg.PostgresError, match="refused"):
        await database.execute(statement)


async def test_a_value_without_end_is_refused_by_the_table_and_not_read_where_it_is_not(
    database: Database, database_url: str
) -> None:
    key, endless = "trade:symbols", "BTCUSDT," * 1_000_000
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute("INSERT INTO config VALUES ($1, $2)", key, endless)
    await database.execute("ALTER TABLE config DROP CONSTRAINT config_sizes")
    try:
        async with followed(database_url) as live:
            await database.execute("INSERT INTO config VALUES ($1, $2)", key, endless)
            await eventually(lambda: live.snapshot.held)
            assert "longer than 20000" in live.snapshot.held[None].says
    finally:
        await database.execute("DELETE FROM config")
        await database.execute(CONSTRAINT)


async def test_what_is_wrong_writes_nothing_of_what_is_right(database: Database) -> None:
    with pytest.raises(ConfigRefused):
        await change(database, REGISTRY, {LEVERAGE: "20", "trade:max": "1"}, who="ann")

    assert await config.list_config(database) == []


async def test_what_was_missed_without_a_connection_is_read_with_the_next(
    database: Database, database_url: str
) -> None:
    async with followed(database_url) as live:
        rows = await database.fetch(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN%' OR query LIKE '%_config%' "
            "AND pid <> pg_backend_pid()"
        )
        assert rows[0][0] >= 1
        await change(database, REGISTRY, {LEVERAGE: "30"}, who="ann")
        await eventually(lambda: live.snapshot.limits.max_leverage == 30)


async def test_a_change_that_nobody_was_told_of_is_found(
    database: Database, database_url: str
) -> None:
    async with followed(database_url, poll=0.02) as live:
        async with database.connection() as connection, connection.transaction():
            await connection.execute("ALTER TABLE config DISABLE TRIGGER config_tell")
            await connection.execute("INSERT INTO config (key, value) VALUES ($1, '9')", LEVERAGE)
            await connection.execute(
                "INSERT INTO config_version AS v (version) VALUES (1) "
                "ON CONFLICT (only_row) DO UPDATE SET version = v.version + 1"
            )
            await connection.execute("ALTER TABLE config ENABLE TRIGGER config_tell")
        await eventually(lambda: live.snapshot.limits.max_leverage == 9)


async def test_the_commands(world: World, tmp_path: Path) -> None:
    run = Commands(world.settings)

    async def good(*words: str) -> str:
        return (await run.good("config", *words)).out.strip()

    assert await good("set", LEVERAGE, "20", "--why", "calm", "--who", "ann") == f"{LEVERAGE} = 20"
    assert await good("set", LEVERAGE, "20") == "nothing changed"
    assert await good("get", LEVERAGE) == "20"
    refused = await run.run("config", "set", "trade:max_levrage", "20")
    assert refused.exit_code == 2
    assert "trade:max_levrage" in refused.err
    assert (await run.run("config", "get", "trade:symbols")).exit_code == 4
    await world.database.execute("INSERT INTO config (key, value) VALUES ('trade:max', '1')")
    listed = json.loads(await good("list", "--json"))
    assert [(one["key"], bool(one["fault"])) for one in listed] == [
        ("trade:max", True),
        (LEVERAGE, False),
    ]
    await good("unset", "trade:max")
    assert (await run.run("config", "unset", "trade:max")).exit_code == 4
    (first,) = json.loads(await good("history", LEVERAGE, "--json"))
    assert (first["old"], first["new"], first["who"], first["why"]) == (None, "20", "ann", "calm")

    file = tmp_path / "config.json"
    file.write_text('{"exchanges:default_routing": "binance", "trade:max_order_notional": 250.50}')
    dry = json.loads(await good("import", str(file), "--replace", "--dry-run", "--json"))
    assert dry["changed"][LEVERAGE] is None
    assert await good("get", LEVERAGE) == "20"
    await good("import", str(file), "--replace")
    assert json.loads(await good("export")) == {
        "exchanges:default_routing": "binance",
        "trade:max_order_notional": "250.5",
    }
    assert "trade:kill_switch" in await good("list", "--all")


async def test_a_setting_that_is_wrong_and_has_nothing_to_do_with_it_stops_no_switch(
    world: World,
) -> None:
    run = Commands(world.settings)
    for variable in ("RETRY_DELAYS", "API_PORT", "BYBIT_BASE_URL"):
        await run.good("kill-switch", "on", **{variable: "nonsense"})
    assert (await run.run("kill-switch", "on", DATABASE_TIMEOUT="nonsense")).exit_code == 2
    assert (await run.run("orders", "list", RETRY_DELAYS="nonsense")).exit_code == 2


async def test_an_import_lifts_no_kill_switch(world: World, tmp_path: Path) -> None:
    run = Commands(world.settings)
    before = tmp_path / "before.json"
    await run.good("kill-switch", "off", "--why", "as ever")
    before.write_text((await run.good("config", "export")).out)
    await run.good("kill-switch", "on", "--exchange", "mexc")
    await run.good("kill-switch", "reduce-only")
    await run.good("config", "set", LEVERAGE, "20")

    dry = await run.good("config", "import", str(before), "--replace", "--dry-run", "--json")
    assert dry.json == {"changed": {LEVERAGE: None}}
    done = await run.good("config", "import", str(before), "--replace", "--json")
    assert done.json == {"changed": {LEVERAGE: None}}
    assert "trade:kill_switch:mexc stays on: only `trade-worker kill-switch off`" in done.err
    left = {row.key: row.value for row in await config.list_config(world.database)}
    assert left == {"trade:kill_switch": "reduce_only", "trade:kill_switch:mexc": "on"}

    await run.good(
        "config", "import", "-", stdin='{"trade:kill_switch": "on"}'
    )  # makes it stronger
    twice = await run.run("config", "import", "-", stdin='{"a": 1, "a": 2}')
    assert (twice.exit_code, "a is given twice" in twice.err) == (2, True)


async def test_a_symbol_that_no_order_ever_had_is_pointed_out(world: World) -> None:
    run = Commands(world.settings)
    await world.database.execute(
        "INSERT INTO lanes (exchange, account, symbol, fence) VALUES ('bybit', 'a', 'BTCUSDT', 1)"
    )
    for words in (
        ("kill-switch", "on", "--symbol", "BTC"),
        ("config", "set", "trade:max_leverage:BTC", "5"),
    ):
        ran = await run.good(*words)
        assert "no order of BTC came by so far" in ran.err
    for line in (
        "kill-switch on --symbol btc-usdt",
        "kill-switch off --why test",
        "kill-switch on --exchange mexc",
        "config unset trade:max_leverage:BTC",
    ):
        assert not (await run.good(*line.split())).err


async def test_keys_are_printed_as_they_are(world: World) -> None:
    """`:symbols:` is the name of an emoji."""
    run = Commands(world.settings)
    await run.good("config", "set", "trade:symbols", "BTCUSDT", "--why", "trade:symbols: a word")
    assert "trade:symbols: a word" in (await run.good("config", "history")).out


@asynccontextmanager
async def left_open(url: str) -> AsyncIterator[None]:
    """A change at psql that somebody went to lunch over."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "psql"})
    try:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO config VALUES ('trade:max_order_notional', '1')")
        yield
    finally:
        connection.terminate()


async def test_a_transaction_that_was_left_open_holds_up_a_change_and_no_kill_switch(
    world: World,
) -> None:
    settings = world.changed(database_timeout=1.0)
    run, url = Commands(settings), str(settings.database_url)
    async with left_open(url), followed(url) as live:
        refused = await run.run("config", "set", LEVERAGE, "20")
        assert refused.exit_code == 3
        assert "nothing was changed: the config is locked by" in refused.err
        assert "(psql, idle in transaction since" in refused.err
        assert "pg_terminate_backend(" in refused.err

        await run.good("kill-switch", "on", "--why", "a test")
        await eventually(lambda: live.snapshot.switches)
    stored = {row.key: row.value for row in await config.list_config(world.database)}
    assert stored == {"trade:kill_switch": "on"}


async def test_whoever_may_not_be_ended_is_named(world: World) -> None:
    run = Commands(world.changed(database_timeout=1.0))
    async with left_open(world.owner_url):
        refused = await run.run("kill-switch", "on")
    assert refused.exit_code == 3
    assert "(psql, " in refused.err
    assert "pg_terminate_backend(" in refused.err


async def test_two_who_wait_for_one_are_both_served_by_the_urgent_one(
    database: Database, database_url: str
) -> None:
    async with left_open(database_url):
        patient = asyncio.create_task(change(database, REGISTRY, {LEVERAGE: "20"}, who="ann"))
        await eventually(lambda: _waiting(database), what="a change that waits")
        await change(database, REGISTRY, {"trade:kill_switch:mexc": "reduce_only"}, who="bob")
        assert await patient == [LEVERAGE], "whoever only waits is not ended"


async def _waiting(database: Database) -> bool:
    rows = await database.fetch(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    return bool(rows)


async def test_the_switch_works_in_the_middle_of_an_upgrade(world: World) -> None:
    """The command is of another version than the tables."""
    await world.database.execute("DELETE FROM schema_migrations WHERE name LIKE '0023%'")
    run = Commands(world.settings)
    await run.good("kill-switch", "on", "--why", "a test")
    await run.good("config", "set", LEVERAGE, "20")
    assert (await run.run("kill-switch", "status")).exit_code == 1

    await world.database.execute("ALTER TABLE config RENAME TO config_of_old")
    refused = await run.run("kill-switch", "off", "--why", "a test")
    assert refused.exit_code == 1
    assert "run `trade-worker migrate` first" in refused.err
