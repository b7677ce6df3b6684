"""Simulated runs: `python -m tests.simulation` tries seeds, and each crash of one message's way.

    python -m tests.simulation --seeds 5000        seeds 0 to 4999
    python -m tests.simulation --seeds 500 --first 90000
    python -m tests.simulation --seed 4711 -v      one seed again, with its trace
    python -m tests.simulation --fate mute --step 12 -v

Exit code 1: a promise was broken; the command that shows how is printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from tests.simulation.scenarios import FATES, again, by_seed, crash_at, every_crash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.scenarios import Result


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--fate", choices=FATES, help="one message that meets this")
    parser.add_argument("--step", type=int, help="and whose worker ends before this step")
    parser.add_argument("--keeps-ids", action="store_true", help="a filled order's id stays taken")
    parser.add_argument("--ready", action="store_true", help="nothing has to be asked first")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the trace")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _show(by_seed(options.seed, trace=options.verbose))
    if options.fate is not None:
        fate = FATES[options.fate]
        frees_ids = not options.keeps_ids
        return _show(
            crash_at(
                options.step,
                fate,
                frees_ids=frees_ids,
                ready=options.ready,
                trace=options.verbose,
            )
        )
    return _try(range(options.first, options.first + options.seeds))


def _show(result: Result) -> int:
    for line in (*result.trace, *(f"BROKEN: {one}" for one in result.broken)):
        print(line)
    return 1 if result.broken else 0


def _try(seeds: range) -> int:
    began = time.monotonic()
    failed = crashes = 0
    for crash, result in every_crash():
        crashes += 1
        failed += _tell(str(crash), result)
    for seed in seeds:
        failed += _tell(again(seed), by_seed(seed))
    seconds = time.monotonic() - began
    print(f"{crashes} crashes and {len(seeds)} seeds in {seconds:.1f} s: {failed} broken")
    return 1 if failed else 0


def _tell(command: str, result: Result) -> int:
    for one in result.broken:
        print(f"BROKEN: {one}\n    {command}")
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
