"""Four workers, two thousand orders, the exchanges' real limits: how much is used, what is refused.

    python -m tests.bench.rate_limits                       # about two minutes
    python -m tests.bench.rate_limits --orders 400 --exchanges bybit,mexc

Real workers, RabbitMQ and PostgreSQL, and the sandbox at its published limits. Orders are divided
so that each exchange is busy for the same time. One in four is a close (`--closes`): as much as is
kept free for closes where an exchange allows four orders at a time. Before them comes one order of
each symbol and exchange, with which its leverage is set (MEXC allows that ten times in ten
seconds), and a rest, as at the start, until nothing of what went before counts any more. Work runs
out lane by lane, so the last tenth of the orders is told apart. Exits with 1 if an exchange refused
anything for its limits, or less than 90 % of an allowed rate was used until nine tenths were
placed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy import local_services
from providers.sandbox.binance.limits import ORDERS_1M
from providers.sandbox.binance.limits import PUBLISHED as BINANCE
from providers.sandbox.bybit.routes import ROUTES as BYBIT
from providers.sandbox.limits import Cap
from providers.sandbox.mexc.routes import ROUTES as MEXC
from tests.support import databases
from tests.support.messages import trade
from tests.support.world import Place, World, open_world

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The sandbox's own figures, so that the limiter can't be right about the wrong limit.
ALLOWED: Mapping[str, Cap] = {
    "bybit": Cap(BYBIT["POST", "/v5/order/create"].per_second or 0, 1000),
    "binance": BINANCE[ORDERS_1M],
    "mexc": MEXC["POST", "/api/v1/private/order/create", 0].cap,
}
# Codes and statuses that say a limit was exceeded.
REFUSALS: Mapping[str, frozenset[str]] = {
    "bybit": frozenset({"10006", "403"}),
    "binance": frozenset({"-1003", "-1015", "429", "418", "403"}),
    "mexc": frozenset({"510", "403"}),
}
QUANTITIES = {
    "BTCUSDT": "0.005",
    "ETHUSDT": "0.1",
    "SOLUSDT": "1",
    "XRPUSDT": "50",
    "ADAUSDT": "100",
    "LINKUSDT": "5",
    "LTCUSDT": "1",
    "DOGEUSDT": "500",
}
ENOUGH = 0.9
_AFTER_THE_START = 12.0  # seconds; what an address may use is kept in parts of ten
_LONGEST_MS = 2000  # of a window that counts as one burst
_SECRET = {"binance": "binance_api_secret", "mexc": "mexc_secret_binding"}

# As in production, but for the ladder, so that an order that waits too long comes back soon.
SETTINGS: dict[str, Any] = {
    "rate_limits": "shared",
    "retry_delays": ",".join(["2s"] * 20),
    "claim_lease": 30.0,
    "send_within": 5.0,
    "exchange_recv_window_ms": 5000,
    "exchange_connect_timeout": 3.0,
    "exchange_request_timeout": 5.0,
    "database_timeout": 5.0,
    "reconcile_interval": 0.25,
    "concurrent_batches": 10,
    "log_level": "INFO",
}


@dataclass(frozen=True, slots=True)
class Used:
    """What one exchange saw.

    Attributes:
        placed: orders in its book.
        closes: how many of them were closes.
        seconds: from the first to the last of them.
        used: part of the orders that its limit allows in that time.
        steady: the same until nine tenths of them were placed.
        refused: requests of any kind that it refused for its limits.
    """

    exchange: str
    placed: int
    closes: int
    seconds: float
    used: float
    steady: float
    refused: int

    @property
    def good(self) -> bool:
        """Nothing refused, and nearly all used."""
        return self.refused == 0 and self.steady >= ENOUGH


def division(orders: int, exchanges: Sequence[str]) -> dict[str, int]:
    """So many orders for each exchange that all are busy for the same time."""
    rates = {one: ALLOWED[one].limit / ALLOWED[one].window_ms for one in exchanges}
    return {one: max(1, round(orders * rate / sum(rates.values()))) for one, rate in rates.items()}


def stream(counts: Mapping[str, int], closes: int) -> list[dict[str, object]]:
    """The messages, the exchanges mixed; of each symbol one in so many is a close."""
    placed: list[tuple[float, dict[str, object]]] = []
    symbols = list(QUANTITIES)
    for exchange, count in counts.items():
        for number in range(count):
            symbol = symbols[number % len(symbols)]
            turn, place = divmod(number, len(symbols))
            # Not all symbols' at the same time, and none before something is open.
            close = turn > 0 and (turn + place) % closes == closes - 1
            message = trade(
                exchange=exchange,
                symbol=symbol,
                quantity=QUANTITIES[symbol],
                action="CLOSE_LONG" if close else "LONG",
                leverage=None if close else 10,
            )
            placed.append((number / count, message))
    return [message for _, message in sorted(placed, key=lambda pair: pair[0])]


def settings_of(world: World, exchanges: Sequence[str]) -> dict[str, Any]:
    """What leads a worker to the sandbox's exchanges."""
    found: dict[str, Any] = {}
    for venue in exchanges:
        if venue in _SECRET:
            found |= {
                f"{venue}_base_url": world.sandbox.base_url(venue),
                f"{venue}_api_key": world.sandbox.key(venue),
                _SECRET[venue]: world.sandbox.secret(venue),
            }
    return found


async def measure(
    world: World,
    orders: int,
    replicas: int,
    exchanges: Sequence[str],
    *,
    within: float,
    rest: float = 0.0,
    closes: int = 4,
) -> list[Used]:
    """Send the orders through so many workers, and see what each exchange saw.

    Args:
        rest: seconds before and after an order of each symbol that does not count; 0 leaves that
            out.
    """
    messages = stream(division(orders, exchanges), closes)
    workers = [world.launch(**settings_of(world, exchanges)) for _ in range(replicas)]
    await asyncio.gather(*(worker.consuming(within=60) for worker in workers))
    if rest:
        _be_another_machine()
        await asyncio.sleep(rest)
        await _work_off(world, stream(dict.fromkeys(exchanges, len(QUANTITIES)), closes), within)
        await asyncio.sleep(rest)
    before = len(world.sandbox.sandbox.truth.orders)
    await _work_off(world, messages, within)
    world.assert_none_doubled()
    return [seen_by(world, exchange, before) for exchange in exchanges]


async def _work_off(world: World, messages: Sequence[dict[str, object]], within: float) -> None:
    await asyncio.gather(*(world.publish(message) for message in messages))
    states = ("FILLED", "ACCEPTED", "PARTIALLY_FILLED", "CANCELED", "REJECTED", "DENIED")
    await world.reached([one["requestId"] for one in messages], *states, within=within)


def _be_another_machine() -> None:
    """Let the exchange, which is in this process, not stand still for longer than one would.

    It waits for no worker's processor time, if we may say so, and collects no rubbish meanwhile.
    """
    gc.disable()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def seen_by(world: World, exchange: str, before: int) -> Used:
    """What an exchange saw, by its own book and counters; the first so many orders don't count."""
    truth = world.sandbox.sandbox.truth
    placed = [one for one in truth.orders[before:] if one.venue == exchange]
    times = sorted(one.arrived_ms for one in placed)
    refused = sum(
        count
        for (venue, code), count in truth.codes.items()
        if venue == exchange and code in REFUSALS[exchange]
    )
    refused += sum(
        seen.venue == exchange and not seen.code and seen.outcome in REFUSALS[exchange]
        for seen in truth.recent
    )
    return Used(
        exchange,
        len(placed),
        sum(one.reduce_only for one in placed),
        (times[-1] - times[0]) / 1000 if times else 0.0,
        _part_used(exchange, times),
        _part_used(exchange, times[: len(times) * 9 // 10]),
        refused,
    )


def _part_used(exchange: str, times: Sequence[int]) -> float:
    """What orders that came at some moments, ms, are of those that were allowed. Pure."""
    if not times:
        return 0.0
    cap = ALLOWED[exchange]
    # A rolling window may be full at the first order already: it counts as one more.
    lasted_ms = times[-1] - times[0] + min(cap.window_ms, _LONGEST_MS)
    return len(times) / (cap.limit / cap.window_ms * lasted_ms)


async def bench(arguments: argparse.Namespace) -> list[Used]:
    """Start everything, measure, take everything away."""
    name = f"bench-{os.getpid()}"
    with local_services.start(name, environ={}) as services, tempfile.TemporaryDirectory() as kept:
        url = await databases.create_migrated(services.database_url, f"bench_{os.getpid()}")
        place = Place(
            name=f"bench{os.getpid()}",
            amqp_url=services.amqp_url,
            database_url=url,
            folder=Path(kept),
        )
        changed = {**SETTINGS, "rate_limit_margin_ms": arguments.margin_ms}
        async with open_world(place, limits="published", fill_delay=0.005, **changed) as world:
            found = await measure(
                world,
                arguments.orders,
                arguments.replicas,
                arguments.exchanges,
                within=3600,
                rest=_AFTER_THE_START,
                closes=arguments.closes,
            )
            ways = Counter(
                f"{one.get('outcome')} {one.get('reason') or ''}".strip()
                for worker in world.workers
                for one in worker.events("settled")
            )
            print(f"settled: {dict(ways)}", file=sys.stderr)
            requests = world.sandbox.sandbox.truth.counters()["requests"]
            print(f"requests: {requests}", file=sys.stderr)
            return found


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--replicas", type=int, default=4, help="how many workers (4)")
    parser.add_argument("--margin-ms", type=int, default=70, help="RATE_LIMIT_MARGIN_MS (70)")
    parser.add_argument("--closes", type=int, default=4, help="one order in so many is a close (4)")
    parser.add_argument(
        "--exchanges",
        type=lambda text: text.split(","),
        default=list(ALLOWED),
        help="which, with commas between (all three)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    unknown = set(arguments.exchanges) - set(ALLOWED)
    if unknown:
        parser.error(
            f"no such exchange: {', '.join(sorted(unknown))}; there are {', '.join(ALLOWED)}"
        )
    found = asyncio.run(bench(arguments))
    if arguments.json:
        print(json.dumps([{**asdict(one), "good": one.good} for one in found], indent=2))
    else:
        for one in found:
            print(
                f"{one.exchange:8} {one.placed} orders ({one.closes} closes) in "
                f"{one.seconds:.1f} s: {one.steady:.1%} of what is allowed, "
                f"{one.used:.1%} with the last tenth, "
                f"{one.refused} refused for a limit"
            )
    return 0 if all(one.good for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
