"""Which retry ladders were ever bound to a queue.

When the delays change, the old ladder's bindings must go, and a broker can't be asked for them
over AMQP. So each ladder is written down before it is bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.postgres import Database


async def remember_ladder(
    database: Database, queue: str, delays: Sequence[str]
) -> list[tuple[str, ...]]:
    """Write a ladder down and return the other ladders that the queue ever had."""
    ladder = ",".join(delays)
    await database.execute(
        "INSERT INTO retry_ladders (queue, delays) VALUES ($1, $2) "
        "ON CONFLICT (queue, delays) DO UPDATE SET applied_at = now()",
        queue,
        ladder,
    )
    rows = await database.fetch(
        "SELECT delays FROM retry_ladders WHERE queue = $1 AND delays <> $2", queue, ladder
    )
    return [tuple(row["delays"].split(",")) for row in rows]
