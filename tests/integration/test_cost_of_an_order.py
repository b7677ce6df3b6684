"""What an order costs, counted and not timed: statements, commits, requests to the exchange.

A real worker, with a counter between it and PostgreSQL. Whoever makes an order dearer changes a
figure here, and says why. Orders that are alone share nothing with others, so their figures are
exact, but for what is read by the clock; a crowd shares statements and commits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from providers.sandbox.instruments import LINEAR
from tests.support.messages import trade
from tests.support.statements import Statements
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tests.conftest import NewWorld
    from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONE = 6
_SPARE = 2  # what an earlier order's positions are read for; far less than one for each order
_NOTIONAL = Decimal(50)  # quote currency
# Each of these is of an order's way, its look-ups, or its report.
STATEMENTS = {
    "begin_ready": 1,  # claim, request slot and intent: nothing has to be asked first
    "take_slots": 3,  # one for each other request
    "record": 2,  # taken, filled
    "record_fills": 1,
    "put_positions": 1,
    "SELECT * FROM orders WHERE request_id = ANY($1::text[])": 1,  # the report's
    "SELECT * FROM order_events WHERE request_id = ANY($1::text[]": 1,
    "DELETE FROM outbox WHERE id = ANY($1::bigint[])": 1,
}
REQUESTS = {"order/create": 1, "order/realtime": 1, "execution/list": 1, "position/list": 1}
# Run by the clock, whether there are orders or not.
BY_THE_CLOCK = (
    *("due_checks", "due_fills", "take_outbox", "orphans", "beat"),
    *("count_replicas", "count_open", "count_outbox"),
    "SELECT coalesce((SELECT version FROM config_version)",
    "SELECT scope, until, since, why,",
    # asyncpg's, once for a connection
    *("SELECT current_setting('jit')", "WITH RECURSIVE typeinfo_tree("),
)
# Of a crowd's orders each lies in a lane of its own.
SYMBOLS = (
    *("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", "BNBUSDT", "AVAXUSDT"),
    *("LINKUSDT", "LTCUSDT", "DOTUSDT", "TRXUSDT", "BCHUSDT", "NEARUSDT", "SUIUSDT", "APTUSDT"),
)


class Costs:
    """A world with one worker, and what that has asked for since the last look."""

    def __init__(self, world: World, statements: Statements) -> None:
        self.world = world
        self._statements = statements

    async def of(self, *messages: dict[str, object]) -> tuple[Counter[str], Counter[str]]:
        """Statements and requests from publishing some trades to the last word about them."""
        statements, requests = self._so_far()
        ids = [str(one["requestId"]) for one in messages]
        await self.world.publish(*messages)
        await self.told(ids)
        statements_now, requests_now = self._so_far()
        ran, sent = statements_now - statements, requests_now - requests
        ran["take_slots"] -= sent.pop("market/time", 0)  # by the clock
        return ran, sent

    @property
    def arrived(self) -> int:
        """How many messages have come to the worker, in batches that are closed."""
        return sum(one["messages"] for one in self.world.workers[0].events("batch closed"))

    async def told(self, ids: Sequence[str]) -> None:
        """Wait until orders are filled, their fills read, their reports written."""
        await self.world.reached(ids, "FILLED")

        async def nothing_left() -> bool:
            rows = await self.world.database.fetch(
                "SELECT (SELECT count(DISTINCT request_id) FROM fills WHERE request_id = ANY($1)) "
                "= cardinality($1) AND NOT EXISTS (SELECT FROM outbox) AND NOT EXISTS "
                "(SELECT FROM orders WHERE fills_check_at IS NOT NULL) AS so",
                ids,
            )
            return bool(rows[0]["so"])

        await eventually(nothing_left, what="fills and reports")

    def _so_far(self) -> tuple[Counter[str], Counter[str]]:
        found: Counter[str] = Counter()
        for (_, endpoint), count in self.world.sandbox.sandbox.truth.requests.items():
            found[endpoint] += count
        return Counter(self._statements.ran), found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def costs(new_module_world: NewWorld) -> AsyncIterator[Costs]:
    """A worker as by default, with limits that are in nobody's way, and nothing to be set up."""
    lifted = ("order/create", "order/realtime", "execution/list", "position/list")
    world = await new_module_world(
        rate_limits="shared",
        rate_limit_overrides=",".join(f"bybit:{name}=400" for name in lifted),
        offload_interval=0.1,
        max_batch_timeout=0.1,
        log_level="DEBUG",  # tells of each batch
        concurrent_batches=4,
        database_timeout=10.0,
        send_within=5.0,
        worker_lease=10.0,
        audit_interval=3600,
        equity_interval=3600,
    )
    async with Statements(str(world.settings.database_url)) as statements:
        await world.start_worker(database_url=statements.url)
        made = Costs(world, statements)
        # What is read of each symbol once.
        await made.of(*(_trade(symbol) for symbol in SYMBOLS))
        yield made
        await world.workers[0].stop()


async def test_a_lone_order_costs_what_it_did(costs: Costs) -> None:
    statements: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    for _ in range(LONE):
        ran, sent = await costs.of(_trade("BTCUSDT"))
        statements += ran
        requests += sent

    grown = _grown(statements, STATEMENTS, LONE) + _grown(requests, REQUESTS, LONE)
    assert not grown, "an order has become dearer:\n" + "\n".join(grown)


async def test_a_crowd_shares_statements_commits_and_look_ups(costs: Costs) -> None:
    world, before = costs.world, costs.arrived
    messages = [_trade(symbol) for symbol in SYMBOLS]
    async with world.database.connection() as connection, connection.transaction():
        # Nothing is claimed until all of them are here, however slow the machine is.
        await connection.execute("LOCK TABLE lanes IN ACCESS EXCLUSIVE MODE")
        counting = asyncio.create_task(costs.of(*messages))

        await eventually(lambda: costs.arrived == before + len(messages), what="all of them")
    statements, requests = await counting

    # The first to come is claimed alone, all that came meanwhile together; what became of them is
    # read from lists.
    shared = {"begin_ready": 3, "claim": 0, "order/realtime": 5, "execution/list": 5}
    ran = statements + requests
    grown = [
        *(
            f"{name}: {ran[name]}, at most {most} so far"
            for name, most in shared.items()
            if ran[name] > most
        ),
        *_grown(statements, STATEMENTS, len(messages)),
        *_grown(requests, REQUESTS, len(messages)),
    ]
    assert not grown, f"{len(messages)} orders at once have become dearer:\n" + "\n".join(grown)


def _trade(symbol: str) -> dict[str, object]:
    (one,) = (one for one in LINEAR if one.symbol == symbol)
    lots = max(1, round(_NOTIONAL / one.start_price / one.step))
    return trade(symbol=symbol, quantity=str(lots * one.step))


def _grown(found: Mapping[str, int], most: Mapping[str, int], orders: int) -> list[str]:
    """Say what ran more often than it may, or is not known here. Pure."""
    said = []
    for name, count in sorted(found.items()):
        if name.startswith(BY_THE_CLOCK):
            continue
        allowed = most[name] * orders + _SPARE if name in most else 0
        if count > allowed:
            said.append(f"{name}: {count} for {orders} orders, at most {allowed} so far")
    return said
