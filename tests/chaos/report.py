"""A run's figures, for people and for programs. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.chaos.checks import count_ends, reasons

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.chaos.checks import Verdict
    from tests.chaos.evidence import Evidence


def table(verdicts: Sequence[Verdict], counts: Mapping[str, int]) -> str:
    """Two small tables: what went wrong how often, and which promise was kept how often."""
    lines = [f"  {'fault':<34}{'injected':>9}"]
    lines += [f"  {kind.replace('_', ' '):<34}{count:>9}" for kind, count in counts.items()]
    lines += ["", f"  {'promise':<34}{'checked':>9}{'broken':>8}"]
    lines += [f"  {one.promise:<34}{one.checked:>9}{len(one.wrong):>8}" for one in verdicts]
    return "\n".join(lines)


def result(
    evidence: Evidence,
    verdicts: Sequence[Verdict],
    counts: Mapping[str, int],
    *,
    seed: int,
    seconds: float,
    workers: int,
    settled: bool,
) -> dict[str, Any]:
    """Everything as one object; `pass` is the verdict."""
    broken = {one.promise: len(one.wrong) for one in verdicts}
    lacking = [kind for kind, count in counts.items() if not count]
    return {
        "pass": settled and not lacking and not any(broken.values()),
        "seed": seed,
        "seconds": round(seconds, 1),
        "workers": workers,
        "published": len(evidence.published),
        "kinds": dict(Counter(str(message.kind) for message in evidence.published)),
        "intents": sum(message.is_intent for message in evidence.published),
        "states": count_ends(evidence),
        "dead_letters": reasons(evidence.dead),
        "orders_at_exchanges": len(evidence.book),
        "requests_to_place": len(evidence.sends),
        "lost": broken["one end for every intent"] + broken["poison among the dead letters"],
        "doubled": broken["one order at the exchange"],
        "settled": settled,
        "faults": dict(counts),
        "not_injected": lacking,
        "promises": {
            one.promise: {"checked": one.checked, "broken": len(one.wrong)} for one in verdicts
        },
    }
