"""Numbered SQL migrations: apply what is missing, refuse what does not fit.

Each file `storage/migrations/NNNN_name.sql` runs once, in one transaction, under an advisory
lock, so that several replicas may start at once. What ran is remembered with a checksum: a file
edited after it ran is refused rather than trusted.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from storage.errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.postgres import Database

_LOCK = 0x7472616465  # "trade": any constant that is ours
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text        PRIMARY KEY,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file: its name, its SQL, and the digest of the SQL."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known() -> list[Migration]:
    """Return the migrations this version ships, in order."""
    folder = resources.files("storage").joinpath("migrations")
    files = sorted(
        (entry for entry in folder.iterdir() if _NAME.fullmatch(entry.name)), key=lambda e: e.name
    )
    return [Migration(entry.name, entry.read_text(encoding="utf-8")) for entry in files]


def pending(shipped: Sequence[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """Work out what is still to run. Pure.

    Args:
        shipped: the migrations of this version, in order.
        applied: name → checksum of what the database has.

    Raises:
        MigrationError: the database is ahead of this version, or a file was edited after it ran.
    """
    ours = {migration.name: migration for migration in shipped}
    ahead = sorted(set(applied) - set(ours))
    if ahead:
        raise MigrationError(
            f"the database has migrations this version does not know ({', '.join(ahead)}): "
            "it was migrated by a newer trade-worker; run that version"
        )
    for name, checksum in applied.items():
        if ours[name].checksum != checksum:
            raise MigrationError(
                f"{name} was changed after it ran in this database; put the file back and write "
                "a new migration instead"
            )
    return [migration for migration in shipped if migration.name not in applied]


async def migrate(database: Database) -> list[str]:
    """Apply what is missing and return the names of what ran."""
    async with database.connection() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_CREATE_TABLE)
        rows = await connection.fetch("SELECT name, checksum FROM schema_migrations")
        todo = pending(known(), {row["name"]: row["checksum"] for row in rows})
        for migration in todo:
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)",
                migration.name,
                migration.checksum,
            )
    return [migration.name for migration in todo]


async def check(database: Database) -> None:
    """Raise `MigrationError` unless the schema is exactly this version's."""
    rows = await database.fetch("SELECT to_regclass('schema_migrations') IS NOT NULL AS there")
    applied: dict[str, str] = {}
    if rows[0]["there"]:
        rows = await database.fetch("SELECT name, checksum FROM schema_migrations")
        applied = {row["name"]: row["checksum"] for row in rows}
    todo = pending(known(), applied)
    if todo:
        names = ", ".join(migration.name for migration in todo)
        raise MigrationError(f"the database lacks {names}; run `trade-worker migrate` first")
