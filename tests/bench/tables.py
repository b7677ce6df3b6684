"""The results as tables, for a terminal and for the README. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench.figures import GOALS, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

NAMES = {
    "trade_worker": "trade-worker",
    "floor": "floor",
    "faststream": "FastStream",
    "taskiq": "taskiq",
}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; the first column is text, the others are figures."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """For a terminal."""
        every = [self.head, *self.rows]
        widths = [max(len(row[at]) for row in every) for at in range(len(self.head))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if at else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in every
        )

    def markdown(self) -> str:
        """For the README."""
        rule = ["---", *("--:" for _ in self.head[1:])]
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.head, rule, *self.rows))


def number(value: float) -> str:
    """A figure with as many digits as it is worth."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def spread(found: Mapping[str, float], unit: str = "") -> str:
    """A median with the lowest and the highest."""
    return f"{number(found['median'])}{unit} ({number(found['low'])}–{number(found['high'])})"


def goals(document: Mapping[str, Any]) -> Table:
    """Every goal that was measured, and whether it is met."""
    rows = []
    for goal in GOALS:
        value = value_at(document, goal.key)
        if value is None:
            continue
        around = value_at(document, f"{goal.key}_spread")
        seen = f"{number(value)}{goal.unit}" if around is None else spread(around, goal.unit)
        rows.append((goal.about, seen, goal.wanted, "met" if goal.met(value) else "missed"))
    return Table(("figure", "seen", "goal", ""), rows)


def throughput(document: Mapping[str, Any]) -> Table:
    """The contestants, fastest first."""
    found = document["throughput"]
    speeds = sorted(
        found["orders_per_second"].items(), key=lambda item: item[1]["median"], reverse=True
    )
    rows = []
    for name, speed in speeds:
        ratio = found.get(f"ratio_to_{name}_spread")
        rows.append(
            (
                NAMES.get(name, name),
                spread(speed),
                "" if ratio is None else spread(ratio),
                spread(found["cpu_us_per_order"][name]),
                number(found["exchange_busy_percent"][name]["median"]),
            )
        )
    head = (
        "from a filled queue",
        "orders/s",
        "trade-worker to it",
        "its CPU, µs an order",
        "exchange busy, %",
    )
    return Table(head, rows)


def latency(document: Mapping[str, Any]) -> Table:
    """From delivery to wire, of both."""
    found = document["latency"]
    rate = number(found["half_load_orders_per_second"])
    load = {"idle": "one at a time", "half_load": f"{rate} orders/s"}
    rows = [
        (f"{NAMES[name]}, {about}", *(spread(figure) for figure in found[when][name].values()))
        for when, about in load.items()
        for name in ("floor", "trade_worker")
    ]
    return Table(("delivery to wire, ms", "p50", "p95", "p99"), rows)


def stages(document: Mapping[str, Any]) -> Table:
    """The stage budget."""
    idle, half = document["stages"]["idle"], document["stages"]["half_load"]
    rows = [(step, spread(found), spread(half[step])) for step, found in idle.items()]
    return Table(("one order, µs", "one at a time", "half load"), rows)


def signing(document: Mapping[str, Any]) -> Table:
    """Each exchange, ours and ccxt's."""
    rows = [
        (venue, *(spread(found[key]) for key in ("ours_us", "ccxt_us", "ratio_to_ccxt")))
        for venue, found in document["signing"].items()
        if isinstance(found, dict) and "ours_us" in found
    ]
    return Table(("build and sign, µs", "trade-worker", "ccxt", "times as fast"), rows)


def footprint(document: Mapping[str, Any]) -> Table:
    """Memory, what was left to do, the start, and the claims."""
    rows = []
    if (found := document.get("memory")) is not None:
        rows = [
            (f"MB after {found['orders_first']:,} orders", number(found["rss_mb_first"])),
            (f"MB after {found['orders']:,} orders", number(found["rss_mb"])),
            ("seconds between", number(found["seconds"])),
            (
                "orders not followed to their end then",
                f"{found['not_followed_to_their_end_yet']:,}",
            ),
            ("reports not written then", f"{found['reports_not_written_yet']:,}"),
        ]
    if (found := document.get("startup")) is not None:
        rows += [
            ("seconds from start to first consume", spread(found["seconds_spread"])),
            ("seconds from start to the first order", spread(found["first_order_seconds"])),
        ]
    if (found := document.get("ledger")) is not None:
        few, many = found["rows"]
        rows += [
            (f"ms for a claim, {few:,} rows in the ledger", spread(found["claim_ms_few"])),
            (f"ms for a claim, {many:,} rows", spread(found["claim_ms_many"])),
        ]
    return Table(("one worker", "seen"), rows)


_TABLES: tuple[tuple[frozenset[str], Callable[[Mapping[str, Any]], Table]], ...] = (
    (frozenset({"throughput"}), throughput),
    (frozenset({"latency"}), latency),
    (frozenset({"stages"}), stages),
    (frozenset({"signing"}), signing),
    (frozenset({"memory", "startup", "ledger"}), footprint),
)


def tables(document: Mapping[str, Any]) -> Iterator[Table]:
    """All tables that something was measured for, the goals last."""
    for parts, draw in _TABLES:
        if parts & document.keys():
            yield draw(document)
    yield goals(document)
