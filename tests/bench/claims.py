"""What a claim costs with few and with many rows in the ledger, by the ledger's own code.

The rows are finished orders, each with its events, spread over the same lanes; then one claim after
the other is made, in turn on both databases, each a statement and a commit.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from consumer.settings import Settings
from storage import postgres
from storage.ledger import Claimed, Ledger
from tests.bench.exchange import SYMBOLS
from tests.bench.figures import Spread, ratios, rounded
from tests.support import databases
from tests.support.ledgers import new_order

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.bench.arena import Arena

# As they are after a year of trading: ids without an order, all finished.
_ORDERS = """
    INSERT INTO orders (
        request_id, client_order_id, fingerprint, payload, exchange, account, symbol, action,
        quantity, received_at, wanted_at, updated_at, finished_at, state, sends, fence, side,
        order_type, order_quantity, reduce_only, intended_at, sent_at, exchange_order_id,
        filled_quantity, average_price, fee, fee_currency
    )
    SELECT
        md5('r' || n), 'tw-' || left(md5('c' || n), 26), sha256(('f' || n)::bytea),
        jsonb_build_object('requestId', md5('r' || n), 'action', 'LONG', 'quantity', '0.005'),
        'bybit', 'default', ($2::text[])[1 + n % cardinality($2::text[])], 'LONG',
        0.005, at, at, at, at, 'FILLED', 1, 1, 'BUY',
        'MARKET', 0.005, false, at, at, md5('e' || n),
        0.005, 100, 0.01, 'USDT'
    FROM (
        SELECT n, now() - n * interval '30 seconds' AS at FROM generate_series(1, $1::int) AS n
    ) AS old
"""
_EVENTS = """
    INSERT INTO order_events (request_id, at, before_state, after_state, fence, attempt)
    SELECT md5('r' || n), now() - n * interval '30 seconds', before, after, 1, 1
    FROM generate_series(1, $1::int) AS n, (
        VALUES (NULL, 'RECEIVED'), ('RECEIVED', 'SENDING'), ('SENDING', 'ACCEPTED'),
               ('ACCEPTED', 'FILLED')
    ) AS step (before, after)
"""


async def measure(
    arena: Arena, *, few: int, many: int, rounds: int, claims: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Fill two ledgers and claim on both in turn; gives the results."""
    began = time.monotonic()
    async with arena.database() as small, arena.database() as large:
        for url, rows in ((small, few), (large, many)):
            await _fill(url, rows)
        say(f"ledger: {many:,} rows written in {time.monotonic() - began:.0f} s")
        taken = [await _claims(small, large, claims) for _ in range(rounds)]
    fast, slow = zip(*taken, strict=True)
    ratio = ratios(slow, fast)
    say(
        f"ledger: a claim {median(fast):.2f} ms with {few:,} rows, {median(slow):.2f} with {many:,}"
    )
    return {
        "claim_ratio_1m_rows": rounded(ratio.median),
        "claim_ratio_1m_rows_spread": ratio.document,
        "rows": [few, many],
        "claim_ms_few": Spread.of(fast).document,
        "claim_ms_many": Spread.of(slow).document,
    }


async def _fill(url: str, rows: int) -> None:
    async with databases.connected(url) as connection:
        await connection.execute(_ORDERS, rows, list(SYMBOLS), timeout=600)
        await connection.execute(_EVENTS, rows, timeout=600)
        # As autovacuum leaves them; and what was written is on the disk before anything is timed.
        await connection.execute("VACUUM (ANALYZE) orders, order_events", timeout=600)
        await connection.execute("CHECKPOINT", timeout=600)


async def _claims(small: str, large: str, count: int) -> tuple[float, float]:
    """The median of so many claims on each, in ms; one here, one there: both meet the same."""
    async with _claimer(small) as here, _claimer(large) as there:
        for symbol in SYMBOLS:  # the lanes are taken, the statements prepared
            await here(symbol)
            await there(symbol)
        took: tuple[list[float], list[float]] = ([], [])
        for number in range(count):
            symbol = SYMBOLS[number % len(SYMBOLS)]
            both = ((here, took[0]), (there, took[1]))
            for claim, into in both if number % 2 else both[::-1]:
                into.append(await claim(symbol))
    return median(took[0]), median(took[1])


@asynccontextmanager
async def _claimer(url: str) -> AsyncIterator[Callable[[str], Awaitable[float]]]:
    """Open a ledger; gives what claims a new order of a symbol and tells the milliseconds."""
    database = await postgres.connect(Settings(database_url=url), give_up_after=10)
    ledger = Ledger(database, uuid4(), timedelta(seconds=30))

    async def claim(symbol: str) -> float:
        order = new_order(uuid4().hex, symbol=symbol)
        began = time.perf_counter()
        claimed = await ledger.claim(order)
        took = time.perf_counter() - began
        assert isinstance(claimed, Claimed), claimed
        return took * 1e3

    try:
        yield claim
        await database.execute("UPDATE lanes SET owner = NULL")  # the next round takes them anew
    finally:
        await database.aclose()
