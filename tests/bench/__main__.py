"""How fast trade-worker is, beside the least any program could do and beside what else there is.

    make bench                                   # everything
    make bench ARGS='--quick'                    # a smaller look at everything
    make bench ARGS='--only throughput --rounds 3 --orders 1000'

Starts a RabbitMQ, a PostgreSQL and an exchange of its own, lets all contestants run in turn on the
same of them, and prints medians, spreads and ratios. The same figures, each round's, and what they
were taken on are written to .run/bench.json. Ratios are to be trusted more than absolute figures:
what else the machine does changes both sides of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy import local_services
from tests.bench import claims, footprint, latency, machine, signing, tables, throughput
from tests.bench.arena import Arena, FastExchange, RunFailedError
from tests.bench.figures import missed
from tests.bench.lineup import OTHERS, OURS, ROOT, Contestant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deploy.local_services import LocalServices

RESULTS = ROOT / ".run" / "bench.json"
PARTS = ("throughput", "latency", "signing", "startup", "ledger", "memory")
_FEWEST = 100
_STOPPED = 130


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done.

    Attributes:
        rounds: of everything that is compared.
        orders: in one run of the throughput.
        messages: to an idle worker, in one round of the latency.
        seconds: of half load, in one round of the latency.
        signatures: of ours, in one round.
        first_orders: after so many the memory is looked at first.
        all_orders: and after so many again.
        many_rows: in the larger ledger; the smaller one has `few_rows`.
        claims: on each, in one round.
    """

    rounds: int = 5
    orders: int = 3000
    messages: int = 60
    seconds: float = 5.0
    signatures: int = 5000
    first_orders: int = 10_000
    all_orders: int = 100_000
    few_rows: int = 1000
    many_rows: int = 1_000_000
    claims: int = 100


FULL = Sizes()
QUICK = Sizes(
    rounds=2,
    orders=600,
    messages=30,
    seconds=2.0,
    signatures=1000,
    first_orders=1000,
    all_orders=5000,
    many_rows=100_000,
    claims=50,
)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; `sizes` has what the flags come to."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        type=_names_of(PARTS),
        default=PARTS,
        metavar="PART,…",
        help=f"of {', '.join(PARTS)}; latency has the stage budget with it",
    )
    known = {one.key: one for one in throughput.CONTESTANTS}
    parser.add_argument(
        "--contestants",
        type=_names_of(known),
        default=tuple(known),
        metavar="NAME,…",
        help=f"of the throughput; of {', '.join(known)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and smaller runs")
    parser.add_argument("--rounds", type=int, help="of what is compared (5; quick: 2)")
    parser.add_argument("--orders", type=int, help="in a run of the throughput (3000; quick: 600)")
    parser.add_argument(
        "--memory-orders",
        type=int,
        help="until the memory is looked at again (100000; quick: 5000)",
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is missed")
    parser.add_argument("--json", action="store_true", help="print the results instead of tables")
    found = parser.parse_args(arguments)
    sizes = QUICK if found.quick else FULL
    found.contestants = [known[one] for one in found.contestants]
    found.sizes = replace(
        sizes,
        rounds=found.rounds or sizes.rounds,
        orders=found.orders or sizes.orders,
        all_orders=found.memory_orders or sizes.all_orders,
    )
    if found.sizes.rounds < 1 or found.sizes.orders < _FEWEST:
        parser.error(f"at least 1 round and {_FEWEST} orders, or the figures say nothing")
    if found.sizes.all_orders <= found.sizes.first_orders:
        parser.error(
            f"--memory-orders: more than {sizes.first_orders}, where it is looked at first"
        )
    return found


def _names_of(known: Sequence[str] | dict[str, Contestant]) -> Callable[[str], tuple[str, ...]]:
    """Make a reader of names with commas between."""

    def read(text: str) -> tuple[str, ...]:
        named = tuple(one.strip().lower().replace("-", "_") for one in text.split(","))
        if wrong := [one for one in named if one not in known]:
            raise argparse.ArgumentTypeError(f"no {wrong[0]!r}; there are {', '.join(known)}")
        return named

    return read


def as_json(document: dict[str, Any]) -> str:
    """The results as they are kept."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class Bench:
    """Measures one part after the other, and keeps what it has after each.

    Attributes:
        document: the results so far.
    """

    def __init__(self, arena: Arena, arguments: argparse.Namespace) -> None:
        self._arena = arena
        self._sizes: Sizes = arguments.sizes
        self._contestants: Sequence[Contestant] = arguments.contestants
        self._began = time.monotonic()
        self.document: dict[str, Any] = {
            "quick": arguments.quick,
            "parts": list(arguments.only),
            "sizes": asdict(arguments.sizes),
        }

    def say(self, line: str) -> None:
        """Tell how far it is."""
        took = time.monotonic() - self._began
        print(f"{took:6.0f} s  {line}", file=sys.stderr, flush=True)

    async def run(self, parts: Sequence[str]) -> None:
        """Measure these parts."""
        self.document["machine"] = await machine.facts(self._arena)
        for part in PARTS:
            if part not in parts:
                continue
            try:
                await getattr(self, f"_{part}")()
            except RunFailedError as failed:  # the other parts' figures are worth having
                self.say(f"{part} failed: {failed}")
                self.document.setdefault("failed", {})[part] = str(failed).partition("\n")[0]
            self.document["machine"]["load_after"] = machine.load()
            self.document["seconds"] = round(time.monotonic() - self._began)
            RESULTS.write_text(as_json(self.document), encoding="utf-8")

    async def _throughput(self) -> None:
        self.document["throughput"] = await throughput.measure(
            self._arena,
            rounds=self._sizes.rounds,
            orders=self._sizes.orders,
            say=self.say,
            contestants=self._contestants,
        )

    async def _latency(self) -> None:
        rates = self.document.get("throughput", {}).get("orders_per_second", {})
        if OURS.key in rates:
            rate = rates[OURS.key]["median"]
        else:
            rate = (await throughput.once(self._arena, OURS, self._sizes.orders))["rate"]
        taken = await latency.measure(
            self._arena,
            rounds=self._sizes.rounds,
            messages=self._sizes.messages,
            seconds=self._sizes.seconds,
            orders_per_second=rate,
            say=self.say,
        )
        self.document["latency"] = latency.summary(taken, rate / 2)
        self.document["stages"] = latency.stage_summary(taken)

    async def _signing(self) -> None:
        self.document["signing"] = await asyncio.to_thread(
            signing.measure, rounds=self._sizes.rounds, repeats=self._sizes.signatures, say=self.say
        )

    async def _startup(self) -> None:
        self.document["startup"] = await footprint.startup(
            self._arena, rounds=self._sizes.rounds, say=self.say
        )

    async def _ledger(self) -> None:
        self.document["ledger"] = await claims.measure(
            self._arena,
            few=self._sizes.few_rows,
            many=self._sizes.many_rows,
            rounds=self._sizes.rounds,
            claims=self._sizes.claims,
            say=self.say,
        )

    async def _memory(self) -> None:
        self.document["memory"] = await footprint.memory(
            self._arena,
            first=self._sizes.first_orders,
            orders=self._sizes.all_orders,
            say=self.say,
        )


async def measured(
    arguments: argparse.Namespace, services: LocalServices, folder: Path
) -> dict[str, Any]:
    """Measure what was asked for; gives the results."""
    exchange = FastExchange()
    arena = Arena(services, exchange, folder)
    try:
        await arena.open()
        bench = Bench(arena, arguments)
        await bench.run(arguments.only)
    finally:
        await arena.aclose()
        exchange.close()
    return bench.document


def main() -> int:
    """Measure, print, keep."""
    arguments = parsed()
    if not (OTHERS / "faststream").exists():
        print("bench: run it as `make bench`, which sets the contestants up", file=sys.stderr)
        return 2
    name = f"bench-{os.getpid()}"
    try:
        with (
            local_services.start(name, environ={}) as services,
            tempfile.TemporaryDirectory() as kept,
        ):
            document = asyncio.run(measured(arguments, services, Path(kept)))
    except KeyboardInterrupt:
        print("bench: stopped; what was measured by then is kept", file=sys.stderr)
        return _STOPPED
    if arguments.json:
        print(as_json(document), end="")
    else:
        print("\n\n".join(one.text() for one in tables.tables(document)))
        print(f"\n{RESULTS.relative_to(ROOT)} has every round")
    for part, why in document.get("failed", {}).items():
        print(f"bench: {part} failed: {why}", file=sys.stderr)
    return int("failed" in document or (arguments.strict and bool(missed(document))))


if __name__ == "__main__":
    sys.exit(main())
