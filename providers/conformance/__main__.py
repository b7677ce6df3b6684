"""Run the suite from a shell: `python -m providers.conformance [VENUE] [CASE ...]`.

VENUE is bybit, binance or mexc, or where a `Venue` is: `your_package.venue:VENUE`. Without one, all
three are run. Exit 1 if a case failed, 2 for a venue or case that does not exist.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from providers.conformance.builtin import VENUES
from providers.conformance.running import CASES, Verdict, examine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.conformance.running import Result
    from providers.conformance.venue import Venue

_BUILT_IN = {venue.name: venue for venue in VENUES}


def main() -> int:
    """Run what was asked for and print one line a case."""
    parser = argparse.ArgumentParser(prog="python -m providers.conformance", description=__doc__)
    parser.add_argument("venue", nargs="?", help="a name, or module:attribute; default: all three")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only these, such as C01")
    parser.add_argument("--list", action="store_true", help="print the cases and run none")
    parser.add_argument("--quiet", action="store_true", help="print only what failed")
    given = parser.parse_args()
    if given.list:
        _print(f"{one.number:<5} {one.says}" for one in CASES)
        return 0
    unknown = sorted(set(given.cases) - {one.number for one in CASES})
    if unknown:
        parser.error(f"there is no case {unknown[0]!r}; --list shows them")
    failed = 0
    for venue in VENUES if given.venue is None else (_venue(parser, given.venue),):
        results = asyncio.run(examine(venue, given.cases))
        _print(_lines(venue, results, quiet=given.quiet))
        failed += sum(one.verdict is Verdict.FAILED for one in results)
    return 1 if failed else 0


def _venue(parser: argparse.ArgumentParser, name: str) -> Venue:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    module, _, attribute = name.partition(":")
    try:
        venue: Venue = getattr(import_module(module), attribute or "VENUE")
    except (ImportError, AttributeError, ValueError) as error:
        parser.error(f"no venue {name!r}: {error}; give {', '.join(_BUILT_IN)} or module:attribute")
    return venue


def _lines(venue: Venue, results: list[Result], *, quiet: bool) -> Iterable[str]:
    for one in results:
        if not quiet or one.verdict is Verdict.FAILED:
            mode = one.mode.lower()
            yield f"{venue.name:<8} {one.number:<5} {mode:<8} {one.verdict:<7} {one.says}"
    count = {verdict: sum(one.verdict is verdict for one in results) for verdict in Verdict}
    yield f"{venue.name}: " + ", ".join(f"{number} {verdict}" for verdict, number in count.items())


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
