"""Whether an order could be written now: asked while the ledger is believed to be away."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from storage.postgres import Database

# As an order is born, in the tables that must take it: a full disk, a lock that nobody gives back,
# a right that is missing, or a database that can only be read shows here, and not in an answer to
# SELECT 1.
_WRITE = """
WITH event AS (
    INSERT INTO order_events (request_id, after_state, fence, attempt) VALUES ($1, 'RECEIVED', 1, 1)
)
INSERT INTO orders (request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
    action, quantity, received_at)
VALUES ($1, substr($1, 1, 32), '', jsonb_build_object('probe', repeat('-', 500)), 'probe',
    'probe', 'probe', 'LONG', 1, now())
"""


async def may_make_schema(database: Database) -> bool:
    """Say whether our role may make a schema in the database."""
    rows = await database.fetch("SELECT has_database_privilege(current_database(), 'CREATE')")
    return bool(rows[0][0])


async def prove_writable(database: Database) -> None:
    """Raise `LedgerUnavailable` unless an order can be written; leaves none behind."""
    await database.ping()
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(_WRITE, f"probe-{uuid4().hex}")
        finally:
            await transaction.rollback()
