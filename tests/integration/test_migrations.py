from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from consumer.settings import Settings
from storage import migrate, postgres
from storage.errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.postgres import Database


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Database]:
    opened = await postgres.connect(Settings(database_url=empty_database_url), give_up_after=10)
    yield opened
    await opened.aclose()


async def test_every_migration_runs_once_and_in_order(empty: Database) -> None:
    applied = await migrate.migrate(empty)

    assert applied == [one.name for one in migrate.known()]
    assert applied == sorted(applied)
    assert await migrate.migrate(empty) == []
    await migrate.check(empty)
    rows = await empty.fetch("SELECT name FROM schema_migrations ORDER BY applied_at, name")
    assert [row["name"] for row in rows] == applied


async def test_replicas_that_start_together_migrate_once(
    empty: Database, empty_database_url: str
) -> None:
    settings = Settings(database_url=empty_database_url)
    others = [await postgres.connect(settings, give_up_after=10) for _ in range(3)]
    try:
        ran = await asyncio.gather(*(migrate.migrate(one) for one in others))
    finally:
        for one in others:
            await one.aclose()

    assert sorted(ran, key=len) == [[], [], [one.name for one in migrate.known()]]
    await migrate.check(empty)


async def test_an_empty_database_is_told_what_it_lacks(empty: Database) -> None:
    with pytest.raises(MigrationError, match=r"lacks .*0001_ledger\.sql.*trade-worker migrate"):
        await migrate.check(empty)

    rows = await empty.fetch("SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public'")
    assert rows[0]["n"] == 0  # a check changes nothing


async def test_a_migration_that_was_edited_after_it_ran_is_refused(database: Database) -> None:
    await database.execute(
        "UPDATE schema_migrations SET checksum = 'other' WHERE name = '0001_ledger.sql'"
    )

    for look in (migrate.check(database), migrate.migrate(database)):
        with pytest.raises(MigrationError, match=r"0001_ledger\.sql was changed after it ran"):
            await look


async def test_a_newer_schema_is_refused(database: Database) -> None:
    await database.execute(
        "INSERT INTO schema_migrations (name, checksum) VALUES ('9999_later.sql', 'x')"
    )

    for look in (migrate.check(database), migrate.migrate(database)):
        with pytest.raises(MigrationError, match=r"9999_later\.sql.*newer trade-worker"):
            await look


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = migrate.known()
    bad = migrate.Migration("9998_bad.sql", "CREATE TABLE half (a int); SELECT 1/0;")
    monkeypatch.setattr(migrate, "known", lambda: [*good, bad])

    with pytest.raises(Exception, match="division by zero"):
        await migrate.migrate(empty)

    monkeypatch.undo()
    rows = await empty.fetch("SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public'")
    assert rows[0]["n"] == 0
    assert await migrate.migrate(empty) == [one.name for one in good]
