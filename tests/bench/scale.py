"""Scaling out on one machine: how many orders a second 1, 2 and 4 replicas place.

    make bench-scale
    python -m tests.bench.scale --orders 400 --latency 100 --prefetch 2

Real workers, RabbitMQ and PostgreSQL, and the sandbox with an answer that takes its time, as an
exchange's does; so a replica mostly waits, and more of them wait side by side. The orders go to all
symbols of three exchanges in turn, or with `--shuffled` in random order: then replicas meet in a
lane now and then, and one of them waits. Besides the rate it is checked that the orders of one
symbol reached the exchange in the order they were published wherever one replica had them, that no
two replicas were at work on one lane, and that nothing was lost or doubled. Exits with 1 if
something was, or if four replicas are less than 3.5 times as fast as one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy import local_services
from providers.sandbox.faults import FaultKind
from providers.sandbox.instruments import LINEAR, Listing
from tests.bench.rate_limits import settings_of
from tests.support import databases
from tests.support.messages import trade
from tests.support.waiting import eventually
from tests.support.world import Place, World, open_world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.local_services import LocalServices

EXCHANGES = ("bybit", "binance", "mexc")
REPLICAS = (1, 2, 4)
ENOUGH = 3.5
_NOTIONAL = 120  # USDT an order, about
SETTINGS: dict[str, Any] = {
    "rate_limits": "off",
    "concurrent_batches": 1,
    "retry_delays": ",".join(["1s"] * 20),
    "claim_lease": 30.0,
    "worker_lease": 10.0,
    "send_within": 5.0,
    "exchange_recv_window_ms": 5000,
    "exchange_connect_timeout": 3.0,
    "exchange_request_timeout": 5.0,
    "database_timeout": 5.0,
    "reconcile_interval": 1.0,
    "log_level": "INFO",
}


@dataclass(frozen=True, slots=True)
class Scaled:
    """What so many replicas did.

    Attributes:
        seconds: from the first to the last order at the exchange.
        rate: orders a second.
        disorder: orders of a symbol that overtook another, with one replica; None with more, where
            only a replica's own order is promised.
        shared: pairs of orders of one lane that two replicas had under way at the same time.
    """

    replicas: int
    orders: int
    seconds: float
    rate: float
    disorder: int | None
    shared: int


def stream(orders: int, draw: random.Random | None) -> list[dict[str, object]]:
    """Trades over all lanes, one lane after the other, or in random order."""
    # Binance and MEXC list the coins under other names where a symbol counts thousands.
    traded = [
        one
        for one in LINEAR
        if one.listing is Listing.TRADING and not one.symbol.startswith("1000")
    ]
    messages = []
    for number in range(orders):
        instrument = traded[number % len(traded)]
        lots = max(1, round(_NOTIONAL / instrument.start_price / instrument.step))
        messages.append(
            trade(
                exchange=EXCHANGES[number // len(traded) % len(EXCHANGES)],
                symbol=instrument.symbol,
                quantity=str(lots * instrument.step),
                leverage=10,
            )
        )
    if draw is not None:
        draw.shuffle(messages)
    return messages


async def measure(world: World, replicas: int, messages: Sequence[dict[str, object]]) -> Scaled:
    """Fill the queue, let so many workers empty it, and read the exchange's book."""
    first = world.launch(**settings_of(world, EXCHANGES))
    await first.consuming(within=60)
    await first.stop()  # the queues are there now
    await asyncio.gather(*(world.publish(one) for one in messages))
    workers = [world.launch(**settings_of(world, EXCHANGES)) for _ in range(replicas)]
    ids = [str(one["requestId"]) for one in messages]
    # Waited for at the exchange, in memory: to read the ledger all the time would slow it down.
    await eventually(
        lambda: len(world.truth) >= len(messages), within=300, every=0.25, what="all orders"
    )
    rows = await world.reached(ids, "FILLED", "REJECTED", "DENIED", within=120)
    unfilled = [
        (row.exchange, row.symbol, row.code, row.message) for row in rows if row.state != "FILLED"
    ]
    assert not unfilled, f"not filled: {unfilled[:3]}"
    world.assert_none_doubled()
    placed = sorted(world.truth, key=lambda order: order.sequence)
    assert len(placed) == len(messages)
    ends = [await worker.stop() for worker in workers]
    assert ends == [0] * replicas
    # What the first and the last took to begin and to end is not the flow's rate.
    cut = len(placed) // 10
    flow = placed[cut:-cut]
    seconds = (flow[-1].arrived_ms - flow[0].arrived_ms) / 1000
    return Scaled(
        replicas,
        len(messages),
        seconds,
        (len(flow) - 1) / seconds,
        _disorder(world, messages) if replicas == 1 else None,
        await _shared(world),
    )


def _disorder(world: World, messages: Sequence[dict[str, object]]) -> int:
    """Count orders that reached the exchange before an earlier one of their lane."""
    sequence = {order.client_order_id: order.sequence for order in world.truth}
    lanes: dict[tuple[object, object], list[int]] = {}
    for message in messages:
        (order,) = world.placed(message["requestId"])
        lane = lanes.setdefault((message["exchange"], message["symbol"]), [])
        lane.append(sequence[order.client_order_id])
    return sum(
        later < earlier for lane in lanes.values() for earlier, later in itertools.pairwise(lane)
    )


async def _shared(world: World) -> int:
    """Count pairs of orders of one lane whose sends by different owners overlap in the ledger."""
    rows = await world.database.fetch(
        """
        WITH sends AS (
            SELECT o.exchange, o.account, o.symbol, e.owner, e.request_id, e.at AS began,
                (SELECT min(l.at) FROM order_events l
                 WHERE l.request_id = e.request_id AND l.id > e.id) AS ended
            FROM order_events e JOIN orders o USING (request_id)
            WHERE e.after_state = 'SENDING'
        )
        SELECT count(*) AS n FROM sends a JOIN sends b
            ON a.exchange = b.exchange AND a.account = b.account AND a.symbol = b.symbol
            AND a.request_id < b.request_id AND a.owner <> b.owner
            AND a.began < b.ended AND b.began < a.ended
        """
    )
    return int(rows[0]["n"])


# How each exchange's placing is named in a fault.
_PLACING = ("order/create", "POST order")


async def bench(arguments: argparse.Namespace) -> list[Scaled]:
    """Start everything, measure each number of replicas, take everything away."""
    name = f"scale-{os.getpid()}"
    found = []
    with local_services.start(name, environ={}) as services, tempfile.TemporaryDirectory() as kept:
        for replicas in REPLICAS:
            found.append(await _once(services, Path(kept), replicas, arguments))
            print(f"{replicas} done: {found[-1].rate:.0f} orders/s", file=sys.stderr)
    return found


async def _once(
    services: LocalServices, folder: Path, replicas: int, arguments: argparse.Namespace
) -> Scaled:
    name = f"scale{os.getpid()}_{replicas}"
    url = await databases.create_migrated(services.database_url, name)
    place = Place(name=name, amqp_url=services.amqp_url, database_url=url, folder=folder)
    # A small prefetch, so that a replica is limited by what it may have in flight and not by this
    # machine's cores, which brokers, database, exchange and all replicas share.
    settings = {**SETTINGS, "max_batch_size": arguments.prefetch}
    async with open_world(place, fill_delay=0.005, **settings) as world:
        for endpoint in _PLACING:
            world.fault(FaultKind.LATENCY, endpoint=endpoint, ms=arguments.latency)
        orders = arguments.orders * replicas
        draw = random.Random(arguments.seed) if arguments.shuffled else None  # noqa: S311 - no secret
        return await measure(world, replicas, stream(orders, draw))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench-scale", description=__doc__)
    parser.add_argument("--orders", type=int, default=160, help="orders for each replica")
    parser.add_argument("--prefetch", type=int, default=1, help="messages a replica may have")
    parser.add_argument("--latency", type=int, default=50, help="the exchange's, ms")
    parser.add_argument("--shuffled", action="store_true", help="symbols in random order")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    found = asyncio.run(bench(arguments))
    times = found[-1].rate / found[0].rate
    if arguments.json:
        print(json.dumps({"runs": [asdict(one) for one in found], "four_to_one": times}, indent=2))
    else:
        print(f"{'replicas':>8} {'orders':>7} {'orders/s':>9} {'times':>6} {'shared lanes':>13}")
        for one in found:
            print(
                f"{one.replicas:>8} {one.orders:>7} {one.rate:>9.0f} "
                f"{one.rate / found[0].rate:>6.2f} {one.shared:>13}"
            )
        print(f"orders of a symbol that overtook another, with one replica: {found[0].disorder}")
    broken = any(one.shared for one in found) or bool(found[0].disorder)
    return int(broken or times < ENOUGH)


if __name__ == "__main__":
    sys.exit(main())
