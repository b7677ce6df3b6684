"""What the database role of a worker may do: what it needs and nothing more.

No DDL, no TRUNCATE, nothing of the history can be changed or removed: events and fills are added
and read, orders are never deleted. The tables belong to whoever migrates.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from storage.errors import MigrationError

if TYPE_CHECKING:
    from storage.postgres import Database

ROLE_NAME = r"[a-z_][a-z0-9_]{0,62}"

_KEPT = "SELECT, INSERT"  # history: added to, never changed
_CURRENT = "SELECT, INSERT, UPDATE"
_COMES_AND_GOES = "SELECT, INSERT, UPDATE, DELETE"
RIGHTS = {
    "order_events": _KEPT,
    "fills": _KEPT,
    "config_history": _KEPT,
    "trade_signals": _CURRENT,
    "orders": _CURRENT,
    "lanes": _CURRENT,
    "foreign_orders": _CURRENT,
    "audits": _CURRENT,
    "dead_letters": _CURRENT,
    "schema_migrations": "SELECT",
}


async def granted(database: Database) -> list[str]:
    """List the roles that were given a worker's rights before."""
    rows = await database.fetch(
        "SELECT rolname FROM pg_roles WHERE NOT rolsuper "
        "AND NOT pg_has_role(rolname, (SELECT tableowner FROM pg_tables "
        "WHERE schemaname = current_schema() AND tablename = 'orders'), 'MEMBER') "
        "AND has_table_privilege(rolname, 'orders', 'UPDATE') "
        "AND has_table_privilege(rolname, 'order_events', 'INSERT') "
        "AND rolname !~ '^pg_' ORDER BY rolname"
    )
    return [row["rolname"] for row in rows]


async def grant(database: Database, role: str) -> None:
    """Give a role that exists a worker's rights, and take what it has beyond them.

    Raises:
        MigrationError: there is no such role, or it may do more by what it is.
    """
    if re.fullmatch(ROLE_NAME, role) is None:
        raise MigrationError(f"{role!r} is no name of a role such as trade_worker")
    rows = await database.fetch(
        "SELECT rolsuper, pg_has_role($1, (SELECT tableowner FROM pg_tables "
        "WHERE schemaname = current_schema() AND tablename = 'orders'), 'MEMBER') AS owner "
        "FROM pg_roles WHERE rolname = $1",
        role,
    )
    if not rows:
        raise MigrationError(
            f"there is no role {role!r}; make it first: CREATE ROLE {role} LOGIN PASSWORD '…'"
        )
    if rows[0]["rolsuper"] or rows[0]["owner"]:
        raise MigrationError(
            f"{role!r} is a superuser or the tables' owner, whose rights can't be bounded; "
            "migrate as one role and run workers as another"
        )
    tables = await database.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
    )
    async with database.connection() as connection, connection.transaction():
        schema = await connection.fetchval("SELECT quote_ident(current_schema())")
        await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        await connection.execute(f"REVOKE CREATE ON SCHEMA {schema} FROM {role}, PUBLIC")
        for table in (row["tablename"] for row in tables):
            rights = RIGHTS.get(table, _COMES_AND_GOES)
            await connection.execute(f"REVOKE ALL ON {schema}.{table} FROM {role}, PUBLIC")
            await connection.execute(f"GRANT {rights} ON {schema}.{table} TO {role}")
        await connection.execute(
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
        )
