"""Taking dead letters up again: what the ledger allows, and the record of what was done.

Whether a message may be published again is told by its order's row, which is locked while it is
judged. Publishing is always safe, for the ledger absorbs a second message; what needs care is an
order that is final: it is reopened only where it certainly never reached the exchange's book.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from storage.claims import NewOrder
from storage.dead_letters import LetterState
from storage.identity import client_order_id
from storage.orders import OrderRow
from storage.postgres import statement
from storage.states import REOPENED, OrderState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import asyncpg

    from storage.dead_letters import LetterFilter
    from storage.postgres import Database


class Verdict(StrEnum):
    """What may be done with a dead letter."""

    PUBLISH = "publish"  # nothing stands against it
    REOPEN = "reopen"  # its order ended without reaching the exchange: reopen it, then publish
    DONE = "done"  # the exchange has, or had, the order: there is nothing to do
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and, where it is no, a short word and the reason."""

    verdict: Verdict
    code: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayLetter:
    """A dead letter that may be replayed; no body means that it is too large."""

    id: int
    message_id: str | None
    headers: Mapping[str, object]
    content_type: str | None
    request_id: str | None
    state: LetterState
    replay_message_id: str | None
    batch_id: str
    batch_at: datetime
    batch_order: int
    body: bytes | None
    size: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dead letter whose body is a trade message.

    Attributes:
        new_message_id: under which it would be published.
        allow_stale: its order may be sent although it is too old.
    """

    letter: ReplayLetter
    request_id: str
    account: str
    fingerprint: bytes
    new_message_id: str
    allow_stale: bool


@dataclass(frozen=True, slots=True)
class Mandate:
    """Who wants a replay, and why."""

    by: str
    why: str


def judge(row: OrderRow | None, fingerprint: bytes) -> Judgement:
    """Say whether a message may be published again, by its order's row. Pure."""
    if row is None:
        return Judgement(Verdict.PUBLISH)
    if row.fingerprint != fingerprint:
        return Judgement(
            Verdict.REFUSE,
            "DUPLICATE_REQUEST",
            "its requestId was used for another trade; a new trade needs a new requestId",
        )
    if row.state.unresolved or row.state is OrderState.QUARANTINED:
        return Judgement(
            Verdict.REFUSE,
            "OUTCOME_UNKNOWN",
            f"its order is {row.state}: it may be at the exchange; see `trade-worker orders show`",
        )
    if row.state in (OrderState.RECEIVED, OrderState.DEFERRED):
        return Judgement(Verdict.PUBLISH)
    if row.state in REOPENED and not row.filled_quantity:
        return Judgement(Verdict.REOPEN)
    return Judgement(Verdict.DONE, "ALREADY_DONE", f"its order is {row.state}")


async def last_letter(database: Database) -> int:
    """Return the highest id there is, so that a replay does not chase what dies because of it."""
    rows = await database.fetch("SELECT coalesce(max(id), 0) AS id FROM dead_letters")
    return int(rows[0]["id"])


async def count_replayable(database: Database, wanted: LetterFilter, up_to: int) -> int:
    """Count what a replay would go through."""
    rows = await database.fetch(
        "SELECT count(*) AS n FROM dead_letters_matching($1, $2, $3, $4, $5, $6, $7, $8, $9) "
        "WHERE state IN ('waiting', 'replaying') AND id <= $10",
        *wanted.arguments,
        up_to,
    )
    return int(rows[0]["n"])


async def replay_page(
    database: Database,
    wanted: LetterFilter,
    *,
    up_to: int,
    above: ReplayLetter | None,
    most: int,
    max_bytes: int,
) -> Sequence[ReplayLetter]:
    """Read the next dead letters in the order in which they came; `above` ended the page before."""
    key = (
        (None, None, None, None)
        if above is None
        else (above.batch_at, above.batch_id, above.batch_order, above.id)
    )
    rows = await database.fetch(
        statement("page_of_replay"), *wanted.arguments, max_bytes, up_to, *key, most
    )
    return [_letter(row) for row in rows]


async def enter(database: Database, orders: Sequence[NewOrder]) -> None:
    """Give orders a row if they have none."""
    columns = [
        [orjson.dumps(value).decode() if name == "payload" else value for value in column]
        for name, column in (
            (field.name, [getattr(order, field.name) for order in orders])
            for field in fields(NewOrder)
        )
    ]
    await database.execute(statement("enter_orders"), *columns)


async def begin(
    database: Database, candidates: Sequence[Candidate], mandate: Mandate, *, dry_run: bool = False
) -> Sequence[tuple[Candidate, Judgement]]:
    """Judge dead letters and take up those that may be published; in one transaction.

    A letter that somebody else settled or works on in the meantime is left out. One whose replay
    was interrupted keeps its message id and is published again, whatever its order is by now.
    """
    ids = [candidate.letter.id for candidate in candidates]
    async with database.connection() as connection, connection.transaction():
        letters = {
            row["id"]: row
            for row in await connection.fetch(
                "SELECT id, state, replay_message_id FROM dead_letters "
                "WHERE id = ANY($1::bigint[]) AND state IN ('waiting', 'replaying') "
                "ORDER BY id FOR UPDATE SKIP LOCKED",
                ids,
            )
        }
        free = [candidate for candidate in candidates if candidate.letter.id in letters]
        requests = sorted({candidate.request_id for candidate in free})
        rows = {
            row["request_id"]: OrderRow.read(row)
            for row in await connection.fetch(
                "SELECT * FROM orders WHERE request_id = ANY($1::text[]) "
                "ORDER BY request_id FOR UPDATE",
                requests,
            )
        }
        judged: list[tuple[Candidate, Judgement]] = []
        reopen: list[tuple[Candidate, OrderRow]] = []
        for one in free:
            row = rows.get(one.request_id)
            before = letters[one.letter.id]
            if before["state"] == LetterState.REPLAYING:
                same = replace(one, new_message_id=before["replay_message_id"])
                judged.append((same, Judgement(Verdict.PUBLISH)))
                continue
            judgement = judge(row, one.fingerprint)
            judged.append((one, judgement))
            if judgement.verdict is Verdict.REOPEN and row is not None:
                reopen.append((one, row))
                # A second dead letter of it in the same page finds it open.
                rows[one.request_id] = replace(row, state=OrderState.DEFERRED)
        if not dry_run:
            await _write(connection, judged, reopen, mandate)
    return judged


async def _write(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record],
    judged: Sequence[tuple[Candidate, Judgement]],
    reopen: Sequence[tuple[Candidate, OrderRow]],
    mandate: Mandate,
) -> None:
    if reopen:
        await connection.execute(
            statement("reopen"),
            [row.request_id for _, row in reopen],
            [row.fence for _, row in reopen],
            [
                client_order_id(row.request_id, row.account, f"replay-{row.replays + 1}")
                for _, row in reopen
            ],
            [one.allow_stale for one, _ in reopen],
            [f"replayed by {mandate.by}: {mandate.why}"] * len(reopen),
            [one.letter.id for one, _ in reopen],
        )
    published = [one for one, judgement in judged if judgement.verdict is Verdict.PUBLISH]
    if published:
        await connection.execute(
            statement("want_again"),
            [one.request_id for one in published],
            [one.allow_stale for one in published],
        )
    taken = [one for one, judgement in judged
             if judgement.verdict in (Verdict.PUBLISH, Verdict.REOPEN)]  # fmt: skip
    await connection.execute(
        statement("begin_replay"),
        [one.letter.id for one in taken],
        [one.new_message_id for one in taken],
        mandate.by,
        mandate.why,
    )


async def end(database: Database, results: Mapping[int, str], mandate: Mandate) -> None:
    """Record that dead letters are done with, and what came of them."""
    if results:
        await database.execute(
            statement("end_replay"),
            list(results),
            list(results.values()),
            mandate.by,
            mandate.why,
        )


def _letter(record: asyncpg.Record) -> ReplayLetter:
    values = dict(record)
    values["headers"] = orjson.loads(values["headers"])
    values["state"] = LetterState(values["state"])
    return ReplayLetter(**values)
