"""Writes what `make bench` saw last into the README and into RESULTS.md: `make bench-page`.

The README's part stands between `<!-- measured: bench -->` and `<!-- end: measured -->`. Only the
results of a whole run are taken, so that all figures on a page are of one machine at one time.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import tables
from tests.bench.lineup import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

RESULTS = ROOT / ".run" / "bench.json"
README = ROOT / "README.md"
PAGE = Path(__file__).resolve().parent / "RESULTS.md"
PARTS = ("throughput", "latency", "signing", "startup", "ledger", "memory")
_BLOCK = re.compile(r"(<!-- measured: bench -->\n).*?(\n<!-- end: measured -->)", re.DOTALL)


def taken_on(document: Mapping[str, Any]) -> str:
    """A sentence on when and on what it was taken."""
    machine, sizes = document["machine"], document["sizes"]
    postgres = machine["postgresql"]
    quick = " A quick look (`--quick`): fewer rounds, smaller runs." if document["quick"] else ""
    busy = (
        " Other programs kept the machine busy meanwhile: the ratios say more than the figures."
        if machine["load_before"] > machine["cpus"]
        else ""
    )
    return textwrap.fill(
        f"Seen on {machine['at'][:10]} at commit {machine['commit']}: {machine['cpus']} cores "
        f"({machine['cpu']}), {machine['memory_gb']:g} GB, which servers, exchange and contestants "
        f"shared; load {machine['load_before']:g} before and {machine['load_after']:g} after. "
        f"Python {machine['python']}, PostgreSQL {postgres['server_version'].split()[0]} "
        f"(fsync {postgres['fsync']}), RabbitMQ {machine['rabbitmq']}. Medians of "
        f"{sizes['rounds']} rounds, lowest and highest in brackets.{quick}{busy}",
        width=105,
        break_long_words=False,
        break_on_hyphens=False,
    )


def in_readme(text: str, document: Mapping[str, Any]) -> str:
    """The README with these results; raises `ValueError` if it has no place for them. Pure."""
    body = "\n\n".join(
        (
            taken_on(document),
            tables.goals(document).markdown(),
            tables.throughput(document).markdown(),
        )
    )
    renewed, found = _BLOCK.subn(lambda block: block[1] + body + block[2], text)
    if found != 1:
        raise ValueError("README.md needs one <!-- measured: bench --> … <!-- end: measured -->")
    return renewed


def page(document: Mapping[str, Any]) -> str:
    """The page with all tables. Pure."""
    body = "\n\n".join(one.markdown() for one in tables.tables(document))
    head = "# What `make bench` saw\n\nWritten by `make bench-page`."
    return f"{head}\n\n{taken_on(document)}\n\n{body}\n"


def main() -> int:
    """Write both."""
    try:
        document = json.loads(RESULTS.read_text(encoding="utf-8"))
    except OSError:
        print("bench-page: there is no .run/bench.json; run `make bench` first", file=sys.stderr)
        return 1
    if missing := [part for part in PARTS if part not in document]:
        print(
            f"bench-page: .run/bench.json has no {', '.join(missing)}; "
            "run `make bench` without --only",
            file=sys.stderr,
        )
        return 1
    README.write_text(in_readme(README.read_text(encoding="utf-8"), document), encoding="utf-8")
    PAGE.write_text(page(document), encoding="utf-8")
    print("README.md and tests/bench/RESULTS.md have the results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
