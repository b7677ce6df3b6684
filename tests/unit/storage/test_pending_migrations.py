"""Which migrations are still to run, and which databases are refused."""

from __future__ import annotations

import re

import pytest

from storage.errors import MigrationError
from storage.migrate import Migration, known, pending

FIRST = Migration("0001_first.sql", "CREATE TABLE a ();")
SECOND = Migration("0002_second.sql", "CREATE TABLE b ();")
SHIPPED = [FIRST, SECOND]


def applied(*migrations: Migration) -> dict[str, str]:
    return {migration.name: migration.checksum for migration in migrations}


def test_what_is_missing_runs_in_order() -> None:
    assert pending(SHIPPED, {}) == SHIPPED
    assert pending(SHIPPED, applied(FIRST)) == [SECOND]
    assert pending(SHIPPED, applied(FIRST, SECOND)) == []


def test_a_gap_is_filled() -> None:
    assert pending(SHIPPED, applied(SECOND)) == [FIRST]


def test_a_database_that_is_ahead_is_refused() -> None:
    third = Migration("0003_third.sql", "")
    with pytest.raises(MigrationError, match=r"0003_third\.sql.*newer trade-worker; run that"):
        pending(SHIPPED, applied(FIRST, SECOND, third))


def test_a_migration_that_was_edited_after_it_ran_is_refused() -> None:
    edited = Migration(FIRST.name, FIRST.sql + " -- better")
    with pytest.raises(MigrationError, match=r"0001_first\.sql was changed after it ran"):
        pending([edited, SECOND], applied(FIRST))


def test_the_shipped_ones_have_a_number_each() -> None:
    numbers = [int(migration.name[:4]) for migration in known()]
    assert numbers == sorted(set(numbers))
    assert all(re.search(r"\bCREATE|ALTER|DROP\b", migration.sql) for migration in known())
